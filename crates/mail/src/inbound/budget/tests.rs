//! Who gets room, who waits for it, and who has to make it.

use super::*;

/// Letters of this size, and ten seconds of patience.
fn room(octets: u64, message_octets: u64) -> Budget {
    let standing = Duration::from_secs(10);
    Budget::new(octets, &Limits { message_octets, standing, ..Limits::default() })
}

fn stranger(ip: &str) -> Sender {
    Sender::Stranger(ip.parse().unwrap())
}

impl Granted {
    /// Grows without waiting.
    fn grows(&self, octets: usize) -> bool {
        let asked = self.budget.state().ask(self.id, octets * COPIES, true, &self.budget.0);
        asked == Asked::Granted
    }

    /// As if it had last moved on so long ago.
    fn stood_still(&self, seconds: u64) {
        let mut state = self.budget.state();
        let letter = state.letters.get_mut(&self.id).unwrap();
        letter.moved = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
    }

    fn has_to_leave(&self) -> bool {
        self.budget.state().letters[&self.id].phase == Phase::Leaving
    }
}

#[test]
fn what_is_granted_comes_back() {
    let budget = room(1000, 500);
    let first = budget.begin(Sender::Cell);
    assert!(first.grows(400) && budget.left() == 200);
    let second = budget.begin(Sender::Cell);
    assert!(second.grows(50) && !second.grows(100));
    drop(first);
    assert!(second.grows(100));
    drop(second);
    assert_eq!(budget.left(), 1000);
    assert!(budget.state().letters.is_empty());
}

#[test]
fn one_source_leaves_room_for_others() {
    let budget = room(1000, 10);
    let [one, same, other] = ["2001:db8:0:1::1", "2001:db8:0:1::2", "192.0.2.1"].map(stranger);
    let first = budget.begin(one);
    assert!(first.grows(100) && !first.grows(26));
    let second = budget.begin(same);
    assert!(!second.grows(26) && second.grows(25) && !second.grows(1));
    let third = budget.begin(other);
    assert!(third.grows(125));
    drop((first, second, third));
    assert_eq!(budget.left(), 1000);
    assert!(budget.state().sources.is_empty());
    // A budget of few letters still takes one of the largest size.
    assert!(room(1000, 500).begin(one).grows(500));
}

/// Four sources, as many as hold everything.
fn full(budget: &Budget) -> Vec<Granted> {
    let letters = (1..=4).map(|n| budget.begin(stranger(&format!("192.0.2.{n}"))));
    let letters: Vec<Granted> = letters.collect();
    assert!(letters.iter().all(|letter| letter.grows(125)) && budget.left() == 0);
    letters
}

#[test]
fn what_stands_still_makes_room_and_what_moves_does_not() {
    let budget = room(1000, 10);
    let letters = full(&budget);
    let honest = budget.begin(stranger("198.51.100.1"));
    assert!(!honest.grows(10));
    assert!(!letters.iter().any(Granted::has_to_leave));
    letters[1].stood_still(11);
    letters[2].stood_still(20);
    letters[3].stood_still(9);
    assert!(!honest.grows(10));
    // One is enough, and it is the one that wastes most.
    let leaving: Vec<bool> = letters.iter().map(Granted::has_to_leave).collect();
    assert_eq!(leaving, [false, false, true, false]);
    // Asking again sends nobody else away.
    assert!(!honest.grows(10) && !letters[1].has_to_leave());
    letters[2].give_back();
    assert!(honest.grows(10));
    // Whoever has to leave gets nothing more.
    assert!(!letters[2].grows(1));
}

#[test]
fn whoever_has_room_is_never_hurried() {
    let budget = room(1000, 10);
    let slow = budget.begin(stranger("192.0.2.1"));
    assert!(slow.grows(100));
    slow.stood_still(1700);
    let other = budget.begin(stranger("192.0.2.2"));
    assert!(other.grows(125) && !slow.has_to_leave());
    // The share of its own source is not what others' letters have to make room for.
    assert!(!other.grows(1) && !slow.has_to_leave());
}

#[test]
fn strangers_leave_before_our_own_people_and_other_cells_never() {
    let budget = room(1000, 500);
    let [cell, own, small] =
        [Sender::Cell, Sender::Own("192.0.2.7".parse().unwrap()), stranger("192.0.2.8")]
            .map(|sender| budget.begin(sender));
    assert!(cell.grows(200) && own.grows(250) && small.grows(50));
    [&cell, &own, &small].iter().for_each(|letter| letter.stood_still(60));
    let honest = budget.begin(stranger("198.51.100.1"));
    assert!(!honest.grows(40));
    assert!(small.has_to_leave() && !own.has_to_leave() && !cell.has_to_leave());
    assert!(!honest.grows(300));
    assert!(own.has_to_leave() && !cell.has_to_leave());
}

#[test]
fn a_trickle_is_standing_still_and_a_steady_pace_is_not() {
    let budget = room(10_000, 1000);
    let letter = budget.begin(stranger("192.0.2.1"));
    let moved = || budget.state().letters[&letter.id].moved;
    assert!(letter.grows(800));
    letter.stood_still(30);
    let before = moved();
    assert!(letter.grows(50) && moved() == before, "a sixteenth");
    assert!(letter.grows(80) && moved() > before, "more than an eighth together");
}

#[test]
fn a_letter_that_is_whole_or_waits_for_room_is_not_sent_away() {
    let budget = room(1000, 10);
    let letters = full(&budget);
    letters[0].is_whole();
    assert!(!letters[1].grows(1), "it has its share");
    let waiting = budget.begin(stranger("198.51.100.2"));
    letters.iter().for_each(|letter| letter.stood_still(60));
    assert!(!waiting.grows(400));
    let leaving: Vec<bool> = letters.iter().map(Granted::has_to_leave).collect();
    assert_eq!(leaving, [false, false, false, false], "more than a source's share: in vain");
    assert!(!waiting.grows(125));
    assert!(!letters[0].has_to_leave());
}

#[tokio::test]
async fn whoever_waits_gets_what_comes_back() {
    let budget = room(1000, 10);
    let mut letters = full(&budget);
    let honest = budget.begin(stranger("198.51.100.1"));
    letters[0].stood_still(60);
    let leaving = letters.remove(0);
    let told = leaving.told_to_leave();
    let ends = Instant::now() + Duration::from_secs(60);
    let (granted, ()) = tokio::join!(honest.grow(100, ends), async {
        told.await;
        drop(leaving);
    });
    assert!(granted);
    // And who waits in vain is told so.
    let late = budget.begin(stranger("198.51.100.2"));
    assert!(late.fits(25, Instant::now()).await && !late.fits(26, Instant::now()).await);
}
