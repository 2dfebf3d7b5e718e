//! Every way a release must fail, each with its own reason.

use crate::world::{DAY, MONTH, NOW, SCOPE, World};
use custody::holder::{HolderSide, Served, ask_guard, ask_trustee, examine_guard, examine_trustee};
use custody::{
    Approval, FieldId, LeafError, LeafReceipt, LogTrust, OrderError, OrderRecord, RecipientKey,
    Refused, ReleaseEvidence, Role, TrustPolicy, acts,
};
use vocab::{CellId, Digest, Epoch, PersonId, RecordKind, Timestamp};

fn setting() -> (World, RecipientKey, ReleaseEvidence) {
    let mut world = World::new();
    let recipient = RecipientKey::generate(&world.chance).unwrap();
    let evidence = world.evidence(&recipient);
    (world, recipient, evidence)
}

/// What everyone who checks says: the cell, a trustee, and a court looking back.
fn refused(world: &World, evidence: &ReleaseEvidence) -> Option<Refused> {
    let cell = evidence.verify(&world.trust, NOW).err();
    assert_eq!(evidence.verify_past(&world.trust, NOW).err(), cell);
    assert_eq!(world.trustee_answer(evidence, 0, &[], NOW).err(), cell);
    cell
}

fn order(evidence: &ReleaseEvidence) -> OrderRecord {
    OrderRecord::decode(&evidence.order).unwrap()
}

#[test]
fn a_release_in_order_is_verified_by_all() {
    let (world, _, evidence) = setting();
    assert_eq!(refused(&world, &evidence), None);
    assert!(world.guard_answer(&evidence, 0, &[], NOW).is_ok());
    let verified = evidence.verify(&world.trust, NOW).unwrap();
    assert_eq!(verified.scope(), SCOPE);
    assert_eq!(verified.order().account, world.account);
    let json = serde_json::to_string(&evidence).unwrap();
    assert_eq!(serde_json::from_str::<ReleaseEvidence>(&json).unwrap(), evidence);
    assert!(
        serde_json::from_str::<ReleaseEvidence>(&json.replacen('{', "{\"more\":1,", 1)).is_err()
    );
}

#[test]
fn one_officer_is_not_enough() {
    let (mut world, recipient, _) = setting();
    let order = world.order(&recipient, SCOPE);
    let approvals = world.approvals(&order);
    let one = world.evidence_of(&order, approvals[..1].to_vec());
    assert_eq!(refused(&world, &one), Some(Refused::TwoOfficers));
    let none = world.evidence_of(&order, Vec::new());
    assert_eq!(refused(&world, &none), Some(Refused::TwoOfficers));
}

#[test]
fn second_approver_must_differ() {
    let (mut world, recipient, _) = setting();
    let order = world.order(&recipient, SCOPE);
    let digest = OrderRecord::digest(&order.encode().unwrap());
    // Counsel is in the register as approver too.
    let both = |role| Approval::sign(digest, world.counsel.0, role, NOW, &world.counsel.1);
    let both = vec![both(Role::Counsel), both(Role::Approver)];
    let evidence = world.evidence_of(&order, both);
    assert_eq!(refused(&world, &evidence), Some(Refused::OnePerson));
    // Another name with the same key is the same person.
    let mut approvals = world.approvals(&order);
    approvals[1] = Approval::sign(digest, world.approver.0, Role::Approver, NOW, &world.counsel.1);
    let evidence = world.evidence_of(&order, approvals);
    assert_eq!(refused(&world, &evidence), Some(Refused::OnePerson));
}

#[test]
fn an_approval_must_be_by_an_officer_in_that_office_then() {
    let (mut world, recipient, _) = setting();
    let order = world.order(&recipient, SCOPE);
    let digest = OrderRecord::digest(&order.encode().unwrap());
    let approvals = world.approvals(&order);
    let mut with = |second: Approval| {
        let pair = vec![approvals[0].clone(), second];
        let evidence = world.evidence_of(&order, pair);
        refused(&world, &evidence)
    };
    let key = seal::sign::SigningKey::from_seed(seal::Secret::copied(&[99; 32])).unwrap();
    let stranger = Approval::sign(digest, PersonId([9; 16]), Role::Approver, NOW, &key);
    assert_eq!(with(stranger), Some(Refused::UnknownOfficer));
    let impostor = Approval::sign(digest, PersonId([2; 16]), Role::Approver, NOW, &key);
    assert_eq!(with(impostor), Some(Refused::UnknownOfficer));
    let key = seal::sign::SigningKey::from_seed(seal::Secret::copied(&[12; 32])).unwrap();
    let wrong = Approval::sign(digest, PersonId([2; 16]), Role::Counsel, NOW, &key);
    assert_eq!(with(wrong), Some(Refused::Offices));
    let late = Timestamp(NOW.0 + 366 * DAY);
    let after = Approval::sign(digest, PersonId([2; 16]), Role::Approver, late, &key);
    assert_eq!(with(after), Some(Refused::NotInOffice));
    let tomorrow = Timestamp(NOW.0 + DAY);
    let early = Approval::sign(digest, PersonId([2; 16]), Role::Approver, tomorrow, &key);
    assert_eq!(with(early), Some(Refused::Early));
}

#[test]
fn a_forged_signature_is_refused() {
    let (mut world, recipient, _) = setting();
    let order = world.order(&recipient, SCOPE);
    for change in 0..4 {
        let mut approvals = world.approvals(&order);
        match change {
            0 => approvals[1].signature[5] ^= 1,
            1 => approvals[1].at = Timestamp(approvals[1].at.0 + 1),
            2 => approvals[0].signature = approvals[1].signature,
            _ => {
                let other = Digest([0; 32]);
                let (person, key) = &world.approver;
                approvals[1] = Approval::sign(other, *person, Role::Approver, NOW, key);
            }
        }
        let evidence = world.evidence_of(&order, approvals);
        assert_eq!(refused(&world, &evidence), Some(Refused::Signature), "{change}");
    }
}

#[test]
fn an_approval_exchanged_after_logging_is_not_the_one_logged() {
    let (world, _, mut evidence) = setting();
    let digest = OrderRecord::digest(&evidence.order);
    let (person, key) = &world.approver;
    evidence.approvals[1] = Approval::sign(digest, *person, Role::Approver, NOW, key);
    assert_eq!(refused(&world, &evidence), Some(Refused::Differs("pair of approvals")));
}

#[test]
fn an_order_is_refused_before_and_after_its_time() {
    let (world, _, evidence) = setting();
    let order = order(&evidence);
    let at = |now| evidence.verify(&world.trust, now).err();
    // Within its 72 hours the receipt is fresh, so that only the order's own time counts.
    assert_eq!(at(Timestamp(NOW.0 + 2 * DAY)), None);
    assert_eq!(at(order.valid_until), Some(Refused::Stale));
    let mut world = World::new();
    let recipient = RecipientKey::generate(&world.chance).unwrap();
    for (not_before, valid_until, why) in
        [(NOW.0 - 2 * DAY, NOW.0, Refused::Expired), (NOW.0 + 1, NOW.0 + DAY, Refused::Early)]
    {
        let mut order = world.order(&recipient, SCOPE);
        order.not_before = Timestamp(not_before);
        order.valid_until = Timestamp(valid_until);
        let approvals = world.approvals(&order);
        let evidence = world.evidence_of(&order, approvals);
        assert_eq!(refused(&world, &evidence), Some(why.clone()));
        assert_eq!(world.guard_answer(&evidence, 0, &[], NOW).err(), Some(why));
    }
}

#[test]
fn another_scope_than_the_approved_one_is_refused() {
    let (world, _, mut evidence) = setting();
    evidence.scope = SCOPE.replace("2026-10-11", "2026-10-31");
    assert_eq!(refused(&world, &evidence), Some(Refused::Scope));
}

#[test]
fn an_order_changed_after_logging_is_not_the_one_logged() {
    let (mut world, _, evidence) = setting();
    let mut wider = order(&evidence);
    wider.until = Timestamp(wider.until.0 + DAY);
    let mut changed = evidence.clone();
    changed.order = wider.encode().unwrap();
    assert_eq!(refused(&world, &changed), Some(Refused::Differs("order")));
    // Nor does it help to have the officers approve the wider one.
    changed.approvals = world.approvals(&wider);
    assert_eq!(refused(&world, &changed), Some(Refused::Differs("order")));
    // A leaf that names another recipient, or more guard tags, than its order.
    let order = order(&evidence);
    let approvals = evidence.approvals.clone();
    let draft =
        acts::authorised(NOW, &order, &approvals).unwrap().with(FieldId::GUARD_TAG, &[0; 16]);
    let receipt = world.log(draft, NOW);
    let wider = ReleaseEvidence { receipt, ..evidence.clone() };
    assert_eq!(refused(&world, &wider), Some(Refused::Differs("set of guard tags")));
    let hidden = evidence.receipt.opening.part(|id, _| id != FieldId::ACCOUNT);
    let receipt = LeafReceipt { opening: hidden, ..evidence.receipt.clone() };
    let hidden = ReleaseEvidence { receipt, ..evidence };
    assert_eq!(refused(&world, &hidden), Some(Refused::Differs("account")));
}

#[test]
fn a_tampered_leaf_is_refused() {
    let (world, _, evidence) = setting();
    let mut changed = evidence.clone();
    changed.receipt.leaf[40] ^= 1;
    assert_eq!(refused(&world, &changed), Some(Refused::Leaf(LeafError::Commitment)));
    assert_eq!(
        world.guard_answer(&changed, 0, &[], NOW).err(),
        Some(Refused::Leaf(LeafError::Commitment))
    );
    // The number in the month is not committed to by the opening, but it is by the log.
    let mut moved = evidence.clone();
    moved.receipt.leaf[13] ^= 1;
    assert_eq!(refused(&world, &moved), Some(Refused::NotLogged));
    assert_eq!(world.guard_answer(&moved, 0, &[], NOW).err(), Some(Refused::NotLogged));
    let mut short = evidence;
    short.receipt.leaf.pop();
    assert_eq!(refused(&world, &short), Some(Refused::Leaf(LeafError::Malformed)));
}

#[test]
fn a_leaf_of_another_act_authorises_nothing() {
    let (mut world, _, evidence) = setting();
    let order = order(&evidence);
    let digest = OrderRecord::digest(&evidence.order);
    let draft = acts::produced(NOW, order.case, digest, order.scope, digest, 3);
    let receipt = world.log(draft, NOW);
    let other = ReleaseEvidence { receipt, ..evidence };
    assert_eq!(refused(&world, &other), Some(Refused::NotAuthorised));
    assert_eq!(world.guard_answer(&other, 0, &[], NOW).err(), Some(Refused::NotAuthorised));
}

#[test]
fn an_unwitnessed_or_half_witnessed_checkpoint_is_refused() {
    let (mut world, _, evidence) = setting();
    let order = order(&evidence);
    for witnesses in [0, 1] {
        let draft = acts::authorised(NOW, &order, &evidence.approvals).unwrap();
        let receipt = world.log_witnessed(draft, None, NOW, witnesses);
        let evidence = ReleaseEvidence { receipt, ..evidence.clone() };
        assert_eq!(refused(&world, &evidence), Some(Refused::NotWitnessed));
        let guard = world.guard_answer(&evidence, 0, &[], NOW).err();
        assert_eq!(guard, Some(Refused::NotWitnessed));
    }
}

#[test]
fn a_policy_without_witnesses_is_none() {
    let world = World::new();
    let text = world.trust.log.text();
    let log = text.lines().next().unwrap();
    assert!(LogTrust::new(&format!("{log}\nquorum none\n"), 1).is_err());
    // Witnesses listed, none needed, none there.
    let lax = text.replace("quorum both", "quorum none");
    let trust = TrustPolicy { log: LogTrust::new(&lax, 72 * 3600).unwrap(), ..world.trust.clone() };
    let mut world = world;
    let recipient = RecipientKey::generate(&world.chance).unwrap();
    let order = world.order(&recipient, SCOPE);
    let mut evidence = world.evidence(&recipient);
    let draft = acts::authorised(NOW, &order, &evidence.approvals).unwrap();
    evidence.receipt = world.log_witnessed(draft, None, NOW, 0);
    assert_eq!(evidence.verify(&trust, NOW).err(), Some(Refused::NotWitnessed));
}

#[test]
fn cosignatures_of_last_week_or_of_tomorrow_are_refused() {
    let (mut world, _, evidence) = setting();
    let order = order(&evidence);
    for at in [NOW.0 - 72 * 3600 - 1, NOW.0 + 3600] {
        let draft = acts::authorised(NOW, &order, &evidence.approvals).unwrap();
        let receipt = world.log(draft, Timestamp(at));
        let evidence = ReleaseEvidence { receipt, ..evidence.clone() };
        assert_eq!(refused(&world, &evidence), Some(Refused::Stale));
    }
}

#[test]
fn another_logs_proof_or_none_is_refused() {
    let (world, _, evidence) = setting();
    let mut broken = evidence.clone();
    broken.receipt.proof = "c2sp.org/tlog-proof@v1\n".to_owned();
    assert_eq!(refused(&world, &broken), Some(Refused::Proof));
    let mut forged = evidence.clone();
    forged.receipt.proof =
        evidence.receipt.proof.replace("\nlog.ie.example\n", "\nlog.us.example\n");
    assert_eq!(refused(&world, &forged), Some(Refused::NotSigned));
    let mut moved = evidence;
    moved.receipt.proof = moved.receipt.proof.replace("\nindex 1\n", "\nindex 0\n");
    assert_eq!(refused(&world, &moved), Some(Refused::NotLogged));
}

#[test]
fn another_cell_or_register_is_refused() {
    let (world, _, evidence) = setting();
    let elsewhere = TrustPolicy { cell: CellId([1; 16]), ..world.trust.clone() };
    assert_eq!(evidence.verify(&elsewhere, NOW).err(), Some(Refused::Cell));
    let fewer = world.trust.register.officers()[1..].to_vec();
    let register = custody::Register::new(fewer).unwrap();
    let other = TrustPolicy { register, ..world.trust.clone() };
    assert_eq!(evidence.verify(&other, NOW).err(), Some(Refused::Register));
}

#[test]
fn a_leaf_is_answered_to_one_recipient_only() {
    let (world, _, evidence) = setting();
    let before = |recipient| Served {
        leaf: tlog::leaf_hash(&evidence.receipt.leaf),
        recipient: Digest(recipient),
    };
    let same = order(&evidence).recipient_digest();
    assert!(world.trustee_answer(&evidence, 0, &[before(same.0)], NOW).is_ok());
    let other = [before([0; 32])];
    assert_eq!(world.trustee_answer(&evidence, 0, &other, NOW).err(), Some(Refused::Replayed));
    assert_eq!(world.guard_answer(&evidence, 0, &other, NOW).err(), Some(Refused::Replayed));
}

#[test]
fn a_guard_is_not_led_to_another_recipient() {
    let (world, _, evidence) = setting();
    let held = &world.guards[0];
    let mut request = ask_guard(&evidence, &[world.escrow(MONTH)], held.id).unwrap();
    let thief = RecipientKey::generate(&world.chance).unwrap();
    request.evidence.recipient = thief.public();
    let side = HolderSide { key: &held.key, trust: &world.trust, served: &[], now: NOW };
    let refused = examine_guard(&request, &side).err();
    assert_eq!(refused, Some(Refused::Differs("recipient")));
}

#[test]
fn a_guard_is_shown_no_account_case_order_or_officer() {
    let (world, _, evidence) = setting();
    let order = order(&evidence);
    let request = ask_guard(&evidence, &[world.escrow(MONTH)], world.guards[0].id).unwrap();
    let text = serde_json::to_string(&request).unwrap();
    let secrets: [&[u8]; 6] = [
        &order.account.0,
        &order.case.0,
        &order.demand.0,
        &order.scope.0,
        &world.counsel.0.0,
        &OrderRecord::digest(&evidence.order).0,
    ];
    for secret in secrets {
        assert!(!text.contains(&custody::hex::encode(secret)));
    }
    assert!(text.contains(&custody::hex::encode(&order.epochs[0].guard_tag)));
}

#[test]
fn a_share_of_another_month_is_not_given() {
    let (world, _, evidence) = setting();
    let other = world.escrow(Epoch(MONTH.0 + 1));
    let held = &world.trustees[0];
    let request = ask_trustee(&evidence, &[world.escrow(MONTH), other.clone()], held.id).unwrap();
    let side = HolderSide { key: &held.key, trust: &world.trust, served: &[], now: NOW };
    assert_eq!(examine_trustee(&request, &side).err(), Some(Refused::OutsideOrder));
    let held = &world.guards[0];
    let mut request = ask_guard(&evidence, &[world.escrow(MONTH)], held.id).unwrap();
    request.shares = ask_guard(&evidence, &[other], held.id).unwrap().shares;
    let side = HolderSide { key: &held.key, ..side };
    assert_eq!(examine_guard(&request, &side).err(), Some(Refused::OutsideOrder));
}

#[test]
fn a_share_that_is_not_this_holders_is_refused() {
    let (world, _, evidence) = setting();
    let request = ask_trustee(&evidence, &[world.escrow(MONTH)], world.trustees[1].id).unwrap();
    let key = &world.trustees[0].key;
    let side = HolderSide { key, trust: &world.trust, served: &[], now: NOW };
    assert_eq!(examine_trustee(&request, &side).err(), Some(Refused::Share));
    let mut empty = request;
    empty.shares.clear();
    assert_eq!(examine_trustee(&empty, &side).err(), Some(Refused::Form));
}

#[test]
fn an_order_keeps_to_its_limits_and_has_one_encoding() {
    let world = World::new();
    let recipient = RecipientKey::generate(&world.chance).unwrap();
    let order = world.order(&recipient, SCOPE);
    let encoded = order.encode().unwrap();
    assert_eq!(OrderRecord::decode(&encoded).unwrap(), order);
    let longer = [encoded.as_slice(), &[0]].concat();
    assert_eq!(OrderRecord::decode(&longer), Err(OrderError::Malformed));
    // The version as a two-octet integer.
    let padded = [&encoded[..1], &[0x18], &encoded[1..]].concat();
    assert_eq!(OrderRecord::decode(&padded), Err(OrderError::Malformed));
    let broken = |change: &dyn Fn(&mut OrderRecord)| {
        let mut order = order.clone();
        change(&mut order);
        order.encode().err()
    };
    assert_eq!(broken(&|order| order.version = 2), Some(OrderError::Malformed));
    assert_eq!(broken(&|order| order.authority.clear()), Some(OrderError::Text));
    assert_eq!(broken(&|order| order.basis = "x".repeat(513)), Some(OrderError::Text));
    assert_eq!(broken(&|order| order.until = order.from), Some(OrderError::Period));
    assert_eq!(broken(&|order| order.kinds.clear()), Some(OrderError::Kinds));
    assert_eq!(broken(&|order| order.kinds.reverse()), Some(OrderError::Kinds));
    for kind in [
        RecordKind::Slot,
        RecordKind::Escrow,
        // Rows of epoch 0 and what opens a session: no order, whoever approved it.
        RecordKind::AccountAnchor,
        RecordKind::UnlockerUse,
        RecordKind::SessionGrant,
        RecordKind::QueueBody,
        RecordKind::LogLeaf,
    ] {
        let beyond = |order: &mut OrderRecord| {
            order.kinds.push(kind.table());
            order.kinds.sort_unstable();
        };
        assert_eq!(broken(&beyond), Some(OrderError::Kinds), "{kind:?}");
    }
    let route = RecordKind::Route.table();
    assert_eq!(broken(&|order| order.kinds.push(route)), None);
    // Nothing is opened, so nobody's share is sealed to anyone.
    assert_eq!(broken(&|order| order.epochs.clear()), Some(OrderError::Recipient));
    let unopened = |order: &mut OrderRecord| {
        order.epochs.clear();
        order.recipient.clear();
    };
    assert_eq!(broken(&unopened), None);
    assert_eq!(broken(&|order| order.recipient.truncate(32)), Some(OrderError::Recipient));
    let long = |order: &mut OrderRecord| order.valid_until.0 = order.not_before.0 + 30 * DAY + 1;
    assert_eq!(broken(&long), Some(OrderError::Validity));
    // An order for October opens October.
    for (number, last, outcome) in [
        (MONTH.0 + 1, false, Some(OrderError::Epochs)),
        (MONTH.0 - 1, false, Some(OrderError::Epochs)),
        (MONTH.0 - 1, true, None),
        (0, false, None),
    ] {
        let other = |order: &mut OrderRecord| {
            order.epochs[0].epoch = number;
            order.epochs[0].last = last;
        };
        assert_eq!(broken(&other), outcome, "{number} {last}");
    }
}
