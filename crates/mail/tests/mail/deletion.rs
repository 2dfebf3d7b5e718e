//! An account deleted: its keys first, every row after them, and what the law preserved kept.

use bailiwick_mail::account::LoginError;
use custody::user::MANIFEST_ROW;
use store::{Batch, HoldId};
use vocab::{RecordKind, Row};

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_account_has_no_row_and_opens_for_nobody() {
    let world = World::new();
    for count in 0..3 {
        world.deliver(format!("Subject: {count}\r\n\r\ntext").as_bytes()).await;
    }
    let account = world.open().await;
    drop(account);
    world.door.delete(world.account).await.unwrap();
    assert_eq!(world.store.read().usage(world.account).unwrap().records, 0);
    assert_eq!(world.try_open().await.err(), Some(LoginError::Tampered));
    // Nothing is left to do, and that is no error.
    world.door.delete(world.account).await.unwrap();
}

/// A pass given after the sessions were ended, and before the keys went, would never end.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_when_nobody_can_begin_another() {
    let world = World::new();
    let (account, mut pass) = world.door.open(world.shown()).await.unwrap();
    let (read, id) = (world.store.read(), world.account);
    let session = tokio::spawn(async move {
        pass.ended().await;
        drop(account);
        read.get(id, RecordKind::Manifest, MANIFEST_ROW).unwrap().is_none()
    });
    world.door.delete(world.account).await.unwrap();
    assert!(session.await.unwrap());
    assert_eq!(world.store.read().usage(world.account).unwrap().records, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_was_cut_short_is_finished_by_the_next() {
    let world = World::new();
    world.deliver(b"Subject: s\r\n\r\ntext").await;
    drop(world.open().await);
    // As a crash leaves it: the keystore is gone, the rest is there.
    let mut batch = Batch::new(world.account);
    for kind in [RecordKind::Slot, RecordKind::Manifest, RecordKind::EpochBox] {
        for found in world.store.read().scan(world.account, kind, Row(0)) {
            batch = batch.delete(kind, found.unwrap().0);
        }
    }
    world.store.append().commit(batch).await.unwrap();
    assert!(world.store.read().usage(world.account).unwrap().records > 0);
    world.door.delete(world.account).await.unwrap();
    assert_eq!(world.store.read().usage(world.account).unwrap().records, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_preserved_outlives_its_account_as_sealed_as_it_was() {
    let world = World::new();
    world.deliver(b"Subject: s\r\n\r\nKnown plaintext.").await;
    let (preserve, hold) = (world.store.preserve(), HoldId([1; 16]));
    let mut rows = Vec::new();
    for kind in [RecordKind::LetterHead, RecordKind::LetterBody, RecordKind::EpochBox] {
        for found in world.store.read().scan(world.account, kind, Row(0)) {
            rows.push((kind, found.unwrap().0));
        }
    }
    let count = rows.len();
    let account = world.account;
    let holding = preserve.clone();
    let held = tokio::task::spawn_blocking(move || holding.hold_blocking(hold, account, rows));
    held.await.unwrap().unwrap();
    world.door.delete(world.account).await.unwrap();
    assert_eq!(world.store.read().usage(world.account).unwrap().records, 0);
    assert_eq!(preserve.held(hold).filter(Result::is_ok).count(), count);
}
