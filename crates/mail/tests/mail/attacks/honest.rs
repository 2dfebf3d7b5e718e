//! The other half of every alarm: what the account itself does never raises one.

use bailiwick_mail::account::Account;
use bailiwick_mail::mailbox::{FlagChange, FlagSet, Flags, Name};
use std::sync::Arc;

use super::{found, inbox_row, opened};
use crate::world::World;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// One change of some kind; many of them are refused, and that is a change of none.
async fn change(account: &Arc<Account>, kind: u64, chance: u64) {
    let row = inbox_row(account);
    let all: Vec<u32> = {
        let state = account.state().unwrap();
        let held = state.mailbox(row).unwrap().messages.iter();
        held.map(|message| message.uid).filter(|uid| u64::from(*uid) % 3 != chance % 3).collect()
    };
    let (one, two) = (name(&format!("m{}", chance % 3)), name(&format!("m{}/x", chance % 2)));
    let flags = FlagSet { flags: Flags::DELETED, keywords: vec![format!("k{}", chance % 4)] };
    match kind {
        0 => drop(account.create(one).await),
        1 => drop(account.create(two).await),
        2 => drop(account.rename(one, two).await),
        3 => drop(account.delete(one).await),
        4 => drop(account.subscribe(two, chance.is_multiple_of(2)).await),
        5 => drop(account.copy(row, all, one, chance.is_multiple_of(2)).await),
        6 => drop(account.copy(row, all, Name::inbox(), chance.is_multiple_of(2)).await),
        7 => drop(account.store_flags(row, all, FlagChange::Add, flags, None).await),
        8 => drop(account.store_flags(row, all, FlagChange::Replace, flags, None).await),
        9 => drop(account.expunge(row, Some(all)).await),
        _ => {
            let message = b"Subject: own\r\n\r\nown\r\n".to_vec();
            account.append(Name::inbox(), message, flags, None).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_change_of_the_accounts_own_ever_raises_an_alarm() {
    for seed in 0..6_u8 {
        let world = World::new();
        for round in 0..6_u64 {
            for _ in 0..4 {
                world.deliver(b"Subject: arrived\r\n\r\nx").await;
            }
            let account = opened(&world).await;
            for step in 0..12_u64 {
                let at = (round * 100 + step).to_be_bytes();
                let block = seal::mac::sha256(&[b"honest", &[seed], &at]).0;
                change(&account, u64::from(block[0]) % 12, u64::from(block[1])).await;
            }
            drop(account);
            let (checked, is_told) = found(&world).await;
            assert!(!is_told && checked.findings.is_empty(), "{seed} {round}: {checked:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_change_at_once_leave_one_anchor_that_agrees() {
    let world = World::new();
    let account = opened(&world).await;
    let changes = (0..30_u64).map(|number| {
        let account = Arc::clone(&account);
        tokio::spawn(async move { change(&account, number % 12, number).await })
    });
    let changes: Vec<_> = changes.collect();
    for _ in 0..30 {
        world.deliver(b"Subject: arrived\r\n\r\nx").await;
    }
    for change in changes {
        change.await.unwrap();
    }
    drop(account);
    let world = world.restarted().await;
    let (checked, is_told) = found(&world).await;
    assert!(!is_told && checked.findings.is_empty(), "{checked:?}");
}

/// The anchor is in the batch of the rows it speaks for: no power cut comes between.
#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_one_commit_with_its_anchor() {
    let world = World::new();
    let account = opened(&world).await;
    let read = world.store.read();
    for (kind, chance) in [(0, 1), (10, 0), (5, 0), (7, 1), (9, 1), (3, 1)] {
        let before = read.change(world.account).unwrap();
        change(&account, kind, chance).await;
        assert!(read.change(world.account).unwrap() <= before + 1, "{kind}");
    }
}
