//! What a hostile host, an officer or a log tries, beyond what the specification's list names.

use crate::world::{DAY, MONTH, NOW, SCOPE, World};
use custody::leaf::SEALED_SECONDS_MAX;
use custody::receipt::LogTrustError;
use custody::{
    FieldId, Leaf, LeafError, LogTrust, Officer, OrderEpoch, OrderError, Place, RecipientKey,
    Refused, Register, TrustPolicy, acts,
};
use seal::epoch::{begins, ends};
use tlog::{SignatureKind, VerifierKey};
use vocab::{CaseId, Digest, Timestamp};

#[test]
fn an_officer_who_left_does_not_sign_with_an_earlier_date() {
    let mut world = World::new();
    let gone = |officer: &Officer| {
        let left = officer.person == world.approver.0;
        let until = if left { Timestamp(NOW.0 - 1800) } else { officer.until };
        Officer { until, ..officer.clone() }
    };
    let officers = world.trust.register.officers().iter().map(gone).collect();
    world.trust = TrustPolicy { register: Register::new(officers).unwrap(), ..world.trust.clone() };
    let recipient = RecipientKey::generate(&world.chance).unwrap();
    // Both approvals say an hour ago, when the approver was still in office.
    let evidence = world.evidence(&recipient);
    assert_eq!(evidence.verify(&world.trust, NOW).err(), Some(Refused::NotInOffice));
}

#[test]
fn only_the_highest_month_can_have_been_the_last() {
    let world = World::new();
    let recipient = RecipientKey::generate(&world.chance).unwrap();
    let mut order = world.order(&recipient, SCOPE);
    let old = OrderEpoch { epoch: 100, last: true, ..order.epochs[0] };
    order.epochs.insert(0, old);
    assert_eq!(order.encode().err(), Some(OrderError::Epochs));
    order.epochs[0].last = false;
    assert_eq!(order.encode().err(), Some(OrderError::Epochs), "nor is it touched");
    order.epochs.remove(0);
    order.epochs[0].last = true;
    assert!(order.encode().is_ok());
}

#[test]
fn a_log_is_not_its_own_witness() {
    let world = World::new();
    let text = world.trust.log.text();
    let log = world.trust.log.policy().logs().next().unwrap();
    let own =
        VerifierKey::new("witness.example.org", SignatureKind::Cosignature, *log.public_key());
    let policy =
        format!("{}\nwitness own {}\nquorum own\n", text.lines().next().unwrap(), own.unwrap());
    assert_eq!(LogTrust::new(&policy, 72 * 3600).err(), Some(LogTrustError::OwnWitness));
}

#[test]
fn a_leaf_sealed_for_longer_than_the_log_allows_is_none() {
    let world = World::new();
    let place = Place { month: 202_611, seq: 1 };
    let sealed = |day: u64| {
        let draft = acts::received(NOW, CaseId([3; 16]), Digest([4; 32]), None);
        let mut leaf = draft.write(place, Some(NOW), &world.chance).unwrap().leaf;
        leaf.public[0].value = day.to_be_bytes().to_vec();
        Leaf::decode(&leaf.encode().unwrap()).err()
    };
    let latest = ends(vocab::Epoch(MONTH.0 + 1)).0 + SEALED_SECONDS_MAX;
    assert_eq!(sealed(latest), None);
    assert_eq!(sealed(latest + 1), Some(LeafError::Malformed));
    assert_eq!(sealed(u64::MAX), Some(LeafError::Malformed));
}

#[test]
fn a_leaf_dated_long_after_its_cosignatures_is_refused() {
    let mut world = World::new();
    let recipient = RecipientKey::generate(&world.chance).unwrap();
    // A clock that ran ahead turned the month over too soon.
    world.month = 202_612;
    let evidence = world.evidence(&recipient);
    assert_eq!(evidence.verify(&world.trust, NOW).err(), None);
    world.month = 999_901;
    let evidence = world.evidence(&recipient);
    assert_eq!(evidence.verify(&world.trust, NOW).err(), Some(Refused::Ahead));
    assert_eq!(world.guard_answer(&evidence, 0, &[], NOW).err(), Some(Refused::Ahead));
    let draft = acts::received(NOW, CaseId([3; 16]), Digest([4; 32]), None);
    let receipt = world.log_witnessed(draft, Some(Timestamp(NOW.0 + DAY)), NOW, 2);
    assert_eq!(receipt.verify_past(&world.trust.log).err(), Some(Refused::Ahead));
    assert!(begins(Place { month: 999_901, seq: 1 }.epoch()) > NOW);
}

#[test]
fn a_field_committed_to_twice_is_shown_to_no_holder() {
    let mut world = World::new();
    let recipient = RecipientKey::generate(&world.chance).unwrap();
    let (order, mut evidence) = {
        let order = world.order(&recipient, SCOPE);
        let approvals = world.approvals(&order);
        (order.clone(), world.evidence_of(&order, approvals))
    };
    // Two recipients in one leaf: the trustee would be shown one, the guard the other.
    let thief = RecipientKey::generate(&world.chance).unwrap();
    let second = seal::mac::sha256(&[&thief.public()]).0;
    let draft = acts::authorised(NOW, &order, &evidence.approvals).unwrap();
    let mut receipt = world.log(draft.with(FieldId::RECIPIENT, &second), NOW);
    let whole = receipt.opening.clone();
    for hide in [order.recipient_digest().0, second] {
        receipt.opening = whole.part(|id, value| id != FieldId::RECIPIENT || value != hide);
        evidence.receipt = receipt.clone();
        let refused = Some(Refused::Differs("recipient"));
        assert_eq!(evidence.verify(&world.trust, NOW).err(), refused);
        assert_eq!(world.guard_answer(&evidence, 0, &[], NOW).err(), refused);
    }
}
