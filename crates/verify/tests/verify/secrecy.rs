//! Leaves that stay sealed longer than one leaf may, over the years that an order is renewed.

use crate::world::{DAY, NOW};
use crate::{Trial, assert_said};
use custody::{LeafReceipt, acts};
use seal::epoch::{ends, epoch_of};
use vocab::{CaseId, Digest, PersonId, Timestamp};

/// How many leaves are under the order: more than one leaf can name.
const LEAVES: usize = 40;
/// A cell renews this long before a leaf's day.
const EARLY: u64 = 2 * DAY;

fn later(at: Timestamp, days: u64) -> Timestamp {
    Timestamp(at.0 + days * DAY)
}

/// A log with sealed leaves of one day, the clock at [`NOW`].
fn sealed(trial: &mut Trial, day: Timestamp) -> Vec<(u64, LeafReceipt)> {
    let one = |_| {
        let draft = acts::received(NOW, CaseId([3; 16]), Digest([4; 32]), None);
        let receipt = trial.world.log_witnessed(draft, Some(day), NOW, 2);
        (index(&receipt), receipt)
    };
    (0..LEAVES).map(one).collect()
}

fn index(receipt: &LeafReceipt) -> u64 {
    tlog::TlogProof::parse(receipt.proof.as_bytes()).unwrap().index
}

/// Logs at a time, in its month.
fn log_at(trial: &mut Trial, draft: custody::Draft, at: Timestamp) -> u64 {
    let months = epoch_of(at).0 - 1;
    trial.world.month = (2000 + months / 12) * 100 + months % 12 + 1;
    index(&trial.world.log(draft, at))
}

fn keep(trial: &mut Trial, at: Timestamp, until: Timestamp, leaves: &[u64]) {
    for named in leaves.chunks(30) {
        log_at(trial, acts::secrecy_renewed(at, until, named), at);
    }
}

/// Anything, for a checkpoint of that time.
fn tick(trial: &mut Trial, at: Timestamp) {
    log_at(trial, acts::staff_act(at, PersonId([1; 16]), None, "test"), at);
}

fn check(trial: &Trial, at: Timestamp) -> (i32, String) {
    let log = trial.put("log", &trial.world.tiles);
    trial.check("log", &log, &["--at", &at.0.to_string()])
}

fn open(trial: &mut Trial, leaves: &[(u64, LeafReceipt)], at: Timestamp) {
    for group in leaves.chunks(30) {
        let named: Vec<_> =
            group.iter().map(|(index, one)| (*index, one.opening.digest())).collect();
        log_at(trial, acts::opened(at, &named), at);
    }
    for (index, one) in leaves {
        let text = serde_json::to_vec(&one.opening).unwrap();
        trial.write(&format!("log/openings/{index}.json"), &text);
    }
}

#[test]
fn an_order_renewed_three_times_keeps_all_its_leaves_and_no_day_longer() {
    let mut trial = Trial::new();
    let mut day = later(NOW, 720);
    let leaves = sealed(&mut trial, day);
    let indexes: Vec<u64> = leaves.iter().map(|(index, _)| *index).collect();
    for _ in 0..3 {
        let at = Timestamp(day.0 - EARLY);
        keep(&mut trial, at, later(at, 720), &indexes);
        // Past the day they had, and none is late.
        let past = Timestamp(day.0 + 1);
        let outcome = check(&trial, past);
        assert_said(&outcome, 0, "All 40 leaves kept sealed longer were so in time");
        assert_said(&outcome, 0, "of them kept longer        40");
        day = later(at, 720);
    }
    assert!(day.0 > NOW.0 + 7 * 365 * DAY);
    // Opened by the last day, in four years' or in eight years' time: all is well.
    open(&mut trial, &leaves, Timestamp(day.0 - DAY));
    assert_said(&check(&trial, Timestamp(day.0 + 1)), 0, "of them kept longer         0");
}

#[test]
fn without_the_next_renewal_every_leaf_is_late() {
    let mut trial = Trial::new();
    let day = later(NOW, 720);
    let leaves = sealed(&mut trial, day);
    let indexes: Vec<u64> = leaves.iter().map(|(index, _)| *index).collect();
    let at = Timestamp(day.0 - EARLY);
    keep(&mut trial, at, later(at, 720), &indexes);
    let over = later(at, 800);
    tick(&mut trial, over);
    let all = indexes.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    assert_said(&check(&trial, over), 1, &format!("was opened in time: not {all}\n"));
    // Opened then, in a later month than that of their last day: late for ever.
    open(&mut trial, &leaves, over);
    assert_said(&check(&trial, over), 1, &format!("was opened in time: not {all}\n"));
}

#[test]
fn a_renewal_that_names_the_first_leaf_excuses_no_other() {
    let mut trial = Trial::new();
    let day = later(NOW, 720);
    let leaves = sealed(&mut trial, day);
    let (first, rest) = leaves.split_first().unwrap();
    let at = Timestamp(day.0 - EARLY);
    keep(&mut trial, at, later(at, 720), &[first.0]);
    let rest: Vec<String> = rest.iter().map(|(index, _)| index.to_string()).collect();
    let outcome = check(&trial, Timestamp(day.0 + 1));
    assert_said(&outcome, 1, &format!("was opened in time: not {}\n", rest.join(", ")));
}

#[test]
fn what_is_overdue_or_too_far_or_not_sealed_is_not_kept() {
    let day = later(NOW, 720);
    let early = Timestamp(day.0 - EARLY);
    // In the month after that of the day; and by more than a sealed leaf may name.
    let late = Timestamp(ends(epoch_of(day)).0 + DAY);
    let far = Timestamp(ends(epoch_of(early)).0 + 744 * DAY + 1);
    for (at, until) in [(late, later(late, 720)), (early, far), (early, Timestamp(day.0 - 1))] {
        let mut trial = Trial::new();
        let leaves = sealed(&mut trial, day);
        keep(&mut trial, at, until, &[leaves[0].0]);
        tick(&mut trial, late);
        let outcome = check(&trial, late);
        assert_said(&outcome, 1, "All 0 leaves kept sealed longer were so in time: not ");
        assert_said(&outcome, 1, "was opened in time: not 1, 3");
    }
    // A leaf in clear, one to come, and no day at all.
    for named in [0, 2 * LEAVES as u64 + 100] {
        let mut trial = Trial::new();
        sealed(&mut trial, day);
        keep(&mut trial, early, later(early, 720), &[named]);
        assert_said(&check(&trial, early), 1, "kept sealed longer were so in time: not ");
    }
    let mut trial = Trial::new();
    sealed(&mut trial, day);
    let dayless = custody::Draft::new(custody::Act::SecrecyRenewed, early);
    log_at(&mut trial, dayless.clear(custody::FieldId::INDEX, &1_u64.to_be_bytes()), early);
    assert_said(&check(&trial, early), 1, "kept sealed longer were so in time: not ");
}
