//! Folding: many letters at once, some of them spoiled.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use crate::world::World;
use bailiwick_mail::account::Account;
use bailiwick_mail::mailbox::Name;
use store::Batch;
use vocab::{RecordKind, Row};

#[tokio::test(flavor = "multi_thread")]
async fn many_letters_are_folded_in_the_order_they_came() {
    let world = World::new();
    let count = 1030;
    for number in 0..count {
        world.deliver(format!("Subject: {number}\r\n\r\nx").as_bytes()).await;
    }
    // In the first batch, at the seam of two threads or batches, and at the very end.
    let spoiled = [3, 100, 200, 201, 640, count];
    let read = world.store.read();
    for row in spoiled {
        let head = read.get(world.account, RecordKind::LetterHead, Row(row)).unwrap().unwrap();
        let mut altered = head.to_vec();
        altered.iter_mut().skip(1300).take(1).for_each(|octet| *octet ^= 1);
        let batch = Batch::new(world.account).put(RecordKind::LetterHead, Row(row), altered);
        world.store.append().commit(batch).await.unwrap();
    }
    let account = world.open().await;
    let (rows, uids) = arrived(&account);
    assert_eq!(rows, (1..=count).filter(|row| !spoiled.contains(row)).collect::<Vec<_>>());
    assert_eq!(uids, (1..=rows.len() as u64).collect::<Vec<_>>());
    let left = read.scan(world.account, RecordKind::LetterHead, Row(0));
    assert_eq!(left.map(|found| found.unwrap().0.0).collect::<Vec<_>>(), spoiled);
    drop(account);
    // What did not fold does not fold later either, and nothing folds twice.
    let again = world.open().await;
    assert_eq!(again.state().unwrap().named(&Name::inbox()).unwrap().messages.len(), 1024);
}

/// The rows and UIDs of what is in INBOX, in order.
fn arrived(account: &Account) -> (Vec<u64>, Vec<u64>) {
    let state = account.state().unwrap();
    let inbox = &state.named(&Name::inbox()).unwrap().messages;
    inbox.iter().map(|message| (message.letter_row, u64::from(message.uid))).unzip()
}
