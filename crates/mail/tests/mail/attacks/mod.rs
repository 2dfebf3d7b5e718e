//! The attack table as tests: an adversary who writes the store as they please, and has no key.
//!
//! docs/attacks.md names every test here and those elsewhere; `table` holds it to that.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod escrows;
mod honest;
mod keystore;
mod letters;
mod rollback;
mod rows;
mod sessions;
mod table;

use std::sync::Arc;
use std::time::Duration;

use bailiwick_mail::account::{Account, Checked};
use bailiwick_mail::mailbox::{FlagChange, FlagSet, Flags, Name};
use bytes::Bytes;
use store::Batch;
use vocab::{RecordKind, Row};

use crate::world::World;

/// One record as it lies on the disk.
type Record = (RecordKind, Row, Bytes);

/// The records of these kinds.
fn copied(world: &World, kinds: &[RecordKind]) -> Vec<Record> {
    let read = world.store.read();
    let of_kind = |kind: &RecordKind| {
        let kind = *kind;
        read.scan(world.account, kind, Row(0)).map(move |found| {
            let (row, octets) = found.unwrap();
            (kind, row, octets)
        })
    };
    kinds.iter().flat_map(of_kind).collect()
}

/// Makes the records of these kinds what the adversary wants them to be.
async fn overwrite(world: &World, kinds: &[RecordKind], with: &[Record]) {
    let mut batch = Batch::new(world.account);
    for (kind, row, _) in copied(world, kinds) {
        batch = batch.delete(kind, row);
    }
    for (kind, row, octets) in with {
        batch = batch.put(*kind, *row, octets.to_vec());
    }
    world.store.append().commit(batch).await.unwrap();
}

/// Writes one record.
async fn write(world: &World, kind: RecordKind, row: Row, octets: &[u8]) {
    let batch = Batch::new(world.account).put(kind, row, octets.to_vec());
    world.store.append().commit(batch).await.unwrap();
}

/// The values of records, each in the row of the next.
fn rotated(records: &[Record]) -> Vec<Record> {
    let values = records.iter().cycle().skip(1).map(|(_, _, octets)| octets.clone());
    records.iter().zip(values).map(|((kind, row, _), octets)| (*kind, *row, octets)).collect()
}

/// A cell whose account holds three letters in INBOX and is closed again.
async fn three_letters() -> World {
    let world = World::new();
    for number in 1..=3 {
        world.deliver(format!("Subject: {number}\r\n\r\nText {number}.\r\n").as_bytes()).await;
    }
    let account = opened(&world).await;
    assert!(!account.is_altered());
    world
}

fn inbox(account: &Account) -> Vec<u32> {
    let state = account.state().unwrap();
    state.named(&Name::inbox()).unwrap().messages.iter().map(|message| message.uid).collect()
}

fn inbox_row(account: &Account) -> u64 {
    account.state().unwrap().named(&Name::inbox()).unwrap().row
}

async fn set_flag(account: &Arc<Account>, uid: u32, flags: Flags) -> bool {
    let set = FlagSet { flags, keywords: Vec::new() };
    let row = inbox_row(account);
    account.store_flags(row, vec![uid], FlagChange::Add, set, None).await.is_ok()
}

/// The account, loaded anew: a task of its own may still be at an earlier session's work.
async fn opened(world: &World) -> Arc<Account> {
    let closed = async {
        while world.door.registry().count() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), closed).await.unwrap();
    world.open().await
}

/// What a check finds of the account, and whether its owner is told at login.
async fn found(world: &World) -> (Checked, bool) {
    let account = opened(world).await;
    let is_told = account.is_altered();
    (account.check().await.unwrap(), is_told)
}
