//! Everything put back at once: the rows of an account with their anchor, then with the cell's
//! pin of it too.

use std::sync::Arc;

use bailiwick_mail::account::{Finding, KeystoreError};
use bailiwick_mail::mailbox::Flags;
use vocab::RecordKind;

use super::{copied, found, opened, overwrite, set_flag, three_letters};
use crate::world::World;

const ROWS: [RecordKind; 5] = [
    RecordKind::Message,
    RecordKind::Mailbox,
    RecordKind::AccountState,
    RecordKind::AccountAnchor,
    RecordKind::SearchIndex,
];

#[tokio::test(flavor = "multi_thread")]
async fn all_rows_put_back_with_their_anchor_are_told_by_the_cells_pin() {
    let world = three_letters().await;
    let old = copied(&world, &ROWS);
    let account = opened(&world).await;
    assert!(set_flag(&account, 2, Flags::SEEN).await);
    drop(account);
    overwrite(&world, &ROWS, &old).await;
    // After a restart too: the pin is on disk, under the cell's key.
    let world = world.restarted().await;
    let (checked, is_told) = found(&world).await;
    assert!(is_told);
    assert_eq!(checked.findings, [Finding::Anchor]);
    opened(&world).await.accept().await.unwrap();
    let world = world.restarted().await;
    assert!(!opened(&world).await.is_altered());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rows_taken_away_with_their_anchor_are_told() {
    let world = three_letters().await;
    overwrite(&world, &ROWS, &[]).await;
    let world = world.restarted().await;
    assert!(opened(&world).await.is_altered(), "it is no new account");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_old_account_with_its_pins_is_told_while_the_cell_runs() {
    let world = three_letters().await;
    let all: Vec<_> = RecordKind::ALL.to_vec();
    let old = copied(&world, &all);
    let account = opened(&world).await;
    assert!(set_flag(&account, 2, Flags::SEEN).await);
    drop(account);
    overwrite(&world, &all, &old).await;
    assert!(opened(&world).await.is_altered());
}

/// What a cell does at its start with the pins of the day, which its log vouches for.
#[tokio::test(flavor = "multi_thread")]
async fn a_whole_old_account_put_back_over_a_restart_is_told_by_the_days_pins() {
    let world = three_letters().await;
    let all: Vec<_> = RecordKind::ALL.to_vec();
    let old = copied(&world, &all);
    let account = opened(&world).await;
    assert!(set_flag(&account, 2, Flags::SEEN).await);
    drop(account);
    let anchors = |world: &World| Arc::clone(&world.door.registry().services().anchors);
    let day = anchors(&world).pinned(world.account).unwrap().unwrap();
    let version = world.keystores.locked(world.account).unwrap().manifest().version;
    overwrite(&world, &all, &old).await;
    let world = world.restarted().await;
    assert!(!opened(&world).await.is_altered(), "nothing here tells");
    let world = world.restarted().await;
    anchors(&world).see(world.account, day.number);
    let account = opened(&world).await;
    assert!(account.is_altered());
    // What the owner accepts is newer than what the day remembers.
    account.accept().await.unwrap();
    drop(account);
    let world = world.restarted().await;
    anchors(&world).see(world.account, day.number);
    assert!(!opened(&world).await.is_altered());
    // An older keystore is refused in the same way.
    world.keystores.recall(world.account, version + 1);
    let older = world.keystores.locked(world.account).err();
    assert_eq!(older, Some(KeystoreError::Older));
}
