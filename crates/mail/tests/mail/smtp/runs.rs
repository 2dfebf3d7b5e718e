//! Letters that arrive in quick succession share a capsule, within the limits of
//! specs/bw1.md §7.1, and all open.

use std::collections::BTreeMap;
use std::sync::Arc;

use bailiwick_mail::inbound::Letter;
use vocab::{RecordKind, Row, Timestamp};

use super::world::{Cell, NOW, Plan};

const ALICE: &str = "alice@ie.example";
const CAPSULE: core::ops::Range<usize> = 60..1180;

async fn arrive(cell: &Cell, count: usize) {
    for _ in 0..count {
        let letter = Letter {
            octets: b"Subject: s\r\n\r\nx\r\n".as_slice().into(),
            mail_from: String::new(),
            received: Timestamp(NOW),
            verdicts: String::new(),
            junk: false,
        };
        let account = cell.account(ALICE);
        let delivered = cell.context.deliverer.deliver(account, Arc::new(letter), Vec::new());
        delivered.await.unwrap();
    }
}

/// How many letters have each capsule, in the order in which the capsules first came.
fn runs(cell: &Cell) -> Vec<usize> {
    let (mut order, mut counts) = (Vec::new(), BTreeMap::new());
    for found in cell.store.read().scan(cell.account(ALICE), RecordKind::LetterHead, Row(0)) {
        let capsule = found.unwrap().1[CAPSULE].to_vec();
        *counts.entry(capsule.clone()).or_insert(0) += 1;
        if !order.contains(&capsule) {
            order.push(capsule);
        }
    }
    order.iter().map(|capsule| counts[capsule]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_after_its_letters_or_its_minute_or_when_the_clock_goes_back() {
    let cell = Cell::new(Plan::new("ie", &[ALICE])).await;
    arrive(&cell, 258).await;
    assert_eq!(runs(&cell), [256, 2]);
    cell.clock.set(NOW + 59);
    arrive(&cell, 1).await;
    assert_eq!(runs(&cell), [256, 3]);
    cell.clock.set(NOW + 60);
    arrive(&cell, 2).await;
    assert_eq!(runs(&cell), [256, 3, 2]);
    cell.clock.set(NOW + 59);
    arrive(&cell, 1).await;
    assert_eq!(runs(&cell), [256, 3, 2, 1]);
    // A restart forgets the run.
    let cell = cell.restarted(|_| {}).await;
    arrive(&cell, 1).await;
    assert_eq!(runs(&cell), [256, 3, 2, 1, 1]);
    assert_eq!(cell.inbox(ALICE).await.len(), 263);
}
