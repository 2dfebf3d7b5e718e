//! An account goes from one cell to another: all of it, once, and nothing before the discharge.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::Cursor;
use std::sync::atomic::Ordering;

use bailiwick_mail::account::{LoginError, MoveError, Parcel, ParcelError, Stage};
use bailiwick_mail::mailbox::{FlagChange, FlagSet, Flags, Name};
use custody::user::{Acceptance, Discharge, Move, MoveFormError, Target};
use seal::sign::SigningKey;
use store::Batch;
use vocab::{AccountId, CellId, Custody, RecordKind, Row, Timestamp};
use zeroize::Zeroizing;

use crate::world::{NOW, World, cell_keys, keys_of};

const NEW_CELL: CellId = CellId([9; 16]);

fn moving_key() -> SigningKey {
    cell_keys().moving().unwrap()
}

/// Marks the account and writes its parcel.
async fn leave(world: &World) -> (Vec<u8>, Parcel) {
    let unlocked = sudo(world).await;
    let key = moving_key();
    world.door.leave(unlocked, NEW_CELL, key.public(), Timestamp(NOW)).await.unwrap();
    write(world).await
}

async fn write(world: &World) -> (Vec<u8>, Parcel) {
    let mut out = Vec::new();
    let key = moving_key();
    let parcel = world.door.write_parcel(world.account, &key, Timestamp(NOW), &mut out).unwrap();
    world.door.note_parcel(&parcel).await.unwrap();
    (out, parcel)
}

async fn sudo(world: &World) -> custody::user::Unlocked {
    let secret = Zeroizing::new(world.secret.clone());
    world.door.sudo_moving(world.account, secret).await.unwrap().unwrap()
}

async fn arrive(new: &World, parcel: &[u8]) -> Result<Acceptance, MoveError> {
    let (about, locked) =
        new.door.inspect_parcel(Cursor::new(parcel.to_vec()), &moving_key().public())?;
    new.door.take_in(Cursor::new(parcel.to_vec()), about, Timestamp(NOW)).await?;
    new.door.accept(about, locked, Zeroizing::new(new.secret.clone())).await
}

async fn part(old: &World, acceptance: &Acceptance) -> Discharge {
    let gone = old.door.let_go(acceptance, Timestamp(NOW)).await.unwrap();
    old.door.delete(old.account).await.unwrap();
    Discharge::sign(gone.about(CellId([1; 16])), gone.at, gone.acceptance, &moving_key())
}

async fn settle(new: &World, discharge: &Discharge) -> Result<(), MoveError> {
    new.door.may_live(discharge)?;
    let target = Target { cell: NEW_CELL, custody: Custody::Sealed, escrow: None };
    new.door.settle(sudo(new).await, &target, Timestamp(NOW)).await?;
    assert!(new.door.finish_rekey(sudo(new).await).await.unwrap());
    Ok(())
}

/// UID, mod-sequence, flags and size of a message.
type Line = (u32, u64, u8, u32);
/// A mailbox's name, UIDVALIDITY, UIDNEXT, HIGHESTMODSEQ and messages.
type Seen = (String, u32, u32, u64, Vec<Line>);

/// What a client knows of an account.
fn seen(account: &bailiwick_mail::account::Account) -> Vec<Seen> {
    let state = account.state().unwrap();
    let mut seen: Vec<_> = state
        .mailboxes
        .values()
        .map(|mailbox| {
            let line = |message: &bailiwick_mail::mailbox::Message| {
                (message.uid, message.modseq, message.flags.0, message.size)
            };
            let lines = mailbox.messages.iter().map(line).collect();
            let name = mailbox.name.as_str().to_owned();
            (name, mailbox.uid_validity, mailbox.uid_next, mailbox.highest_modseq, lines)
        })
        .collect();
    seen.sort();
    seen
}

fn rows(world: &World, kind: RecordKind) -> usize {
    world.store.read().scan(world.account, kind, Row(0)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_arrives_with_the_same_uids_and_its_old_cell_keeps_nothing() {
    let old = World::new();
    for count in 0..5 {
        old.deliver(format!("Subject: {count}\r\n\r\ntext {count}").as_bytes()).await;
    }
    let account = old.open().await;
    let before = seen(&account);
    assert_eq!(before.iter().map(|mailbox| mailbox.4.len()).sum::<usize>(), 5);
    drop(account);
    // What arrives while nobody is there is folded before it leaves.
    old.deliver(b"Subject: last\r\n\r\nKnown plaintext.").await;
    let (octets, parcel) = leave(&old).await;
    assert!(!octets.windows(16).any(|window| window == b"Known plaintext."));
    let new = World::empty(NEW_CELL, &old.secret);
    let acceptance = arrive(&new, &octets).await.unwrap();
    // Nobody is let in before the old cell has let go.
    assert_eq!(new.try_open().await.err(), Some(LoginError::Moving));
    let discharge = part(&old, &acceptance).await;
    assert_eq!(old.store.read().usage(old.account).unwrap().records, 0);
    settle(&new, &discharge).await.unwrap();
    let account = new.open().await;
    assert!(!account.is_altered());
    let after = seen(&account);
    let inbox = |seen: &[Seen]| seen.iter().find(|mailbox| mailbox.0 == "INBOX").unwrap().clone();
    let (was, is) = (inbox(&before), inbox(&after));
    assert_eq!(was.1, is.1, "UIDVALIDITY");
    assert_eq!(was.4, is.4[..5], "UIDs, mod-sequences, flags and sizes");
    assert_eq!(is.4.len(), 6);
    // Every epoch is in a new version alone, and no row is under an old one.
    for kind in [RecordKind::Message, RecordKind::Mailbox, RecordKind::AccountState] {
        for found in new.store.read().scan(new.account, kind, Row(0)) {
            let (_, sealed) = found.unwrap();
            assert_eq!(seal::row::header(&sealed).unwrap().version.0, 2, "{kind:?}");
        }
    }
    assert_eq!(rows(&new, RecordKind::EpochBox) as u64, parcel_epochs(&octets, &new));
    assert_eq!(rows(&new, RecordKind::Departure), 0);
    assert_eq!(parcel.head.account, new.account);
}

fn parcel_epochs(octets: &[u8], new: &World) -> u64 {
    let (_, locked) =
        new.door.inspect_parcel(Cursor::new(octets.to_vec()), &moving_key().public()).unwrap();
    locked.epochs().count() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaving_account_takes_no_letter_and_lets_nobody_in_until_it_stays() {
    let old = World::new();
    old.deliver(b"Subject: s\r\n\r\ntext").await;
    let (account, mut pass) = old.door.open(old.shown()).await.unwrap();
    let (octets, parcel) = leave(&old).await;
    pass.ended().await;
    drop(account);
    assert_eq!(old.try_open().await.err(), Some(LoginError::Moving));
    let mark = old.keystores.mark(old.account).unwrap().unwrap();
    assert_eq!((mark.stage, mark.parcel), (Stage::Leaving, parcel.digest));
    // After a restart too, and a parcel that is written again holds the same.
    let old = old.restarted().await;
    assert_eq!(old.try_open().await.err(), Some(LoginError::Moving));
    let (again, _) = write(&old).await;
    assert_eq!(again, octets);
    old.door.stay(old.account).await.unwrap();
    assert_eq!(old.open().await.state().unwrap().mailboxes.values().next().unwrap().uid_next, 2);
    // And it is over: nothing that arrived elsewhere lets it go.
    let new = World::empty(NEW_CELL, &old.secret);
    let acceptance = arrive(&new, &octets).await.unwrap();
    let refused = old.door.let_go(&acceptance, Timestamp(NOW)).await;
    assert!(matches!(refused, Err(MoveError::Step)), "{refused:?}");
    assert!(matches!(old.door.stay(old.account).await, Err(MoveError::Step)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cell_purges_nothing_of_an_account_that_is_on_its_way() {
    let old = World::new();
    old.deliver(b"Subject: s\r\n\r\ntext").await;
    let account = old.open().await;
    let inbox = account.state().unwrap().named(&Name::inbox()).unwrap().row;
    let deleted = FlagSet { flags: Flags::DELETED, keywords: Vec::new() };
    account.store_flags(inbox, vec![1], FlagChange::Add, deleted, None).await.unwrap();
    account.expunge(inbox, None).await.unwrap();
    drop(account);
    let (octets, _) = leave(&old).await;
    old.clock.0.store(NOW + 86_400 * 400, Ordering::Relaxed);
    assert_eq!(old.door.registry().purge_due().unwrap(), 0);
    assert_eq!(write(&old).await.0, octets);
    old.door.stay(old.account).await.unwrap();
    assert_eq!(old.door.registry().purge_due().unwrap(), 1);
    assert!(!old.open().await.is_altered());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_an_open_session_writes_late_is_refused() {
    let old = World::new();
    let account = old.open().await;
    leave(&old).await;
    let name = Name::parse("Late").unwrap();
    let before = old.store.read().change(old.account).unwrap();
    assert!(account.create(name).await.is_err());
    assert_eq!(old.store.read().change(old.account).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_let_go_does_not_stay_and_gets_the_same_discharge_again() {
    let old = World::new();
    let (octets, _) = leave(&old).await;
    let new = World::empty(NEW_CELL, &old.secret);
    let acceptance = arrive(&new, &octets).await.unwrap();
    let gone = old.door.let_go(&acceptance, Timestamp(NOW)).await.unwrap();
    // The power fails before a row is deleted.
    let old = old.restarted().await;
    assert!(matches!(old.door.stay(old.account).await, Err(MoveError::Step)));
    assert_eq!(old.try_open().await.err(), Some(LoginError::Moving));
    assert_eq!(old.door.may_go(&acceptance).unwrap(), Some(gone));
    let later = Timestamp(NOW + 60);
    assert_eq!(old.door.let_go(&acceptance, later).await.unwrap(), gone);
    assert_eq!(old.keystores.all_gone().unwrap(), [gone]);
    // A second copy somewhere else is not let go.
    let third = World::empty(NEW_CELL, &old.secret);
    third.clock.0.store(NOW + 5, Ordering::Relaxed);
    let other = arrive(&third, &octets).await.unwrap();
    assert_ne!(other, acceptance);
    let refused = old.door.may_go(&other);
    assert!(matches!(refused, Err(MoveError::Form(MoveFormError::Other))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_that_was_altered_is_not_taken_in() {
    let old = World::new();
    old.deliver(b"Subject: s\r\n\r\ntext").await;
    let (octets, _) = leave(&old).await;
    let new = World::empty(NEW_CELL, &old.secret);
    for at in [0, 9, 40, 100, 200, octets.len() / 2, octets.len() - 100, octets.len() - 1] {
        let mut altered = octets.clone();
        altered[at] ^= 1;
        let refused = arrive(&new, &altered).await;
        assert!(matches!(refused, Err(MoveError::Parcel(_))), "{at}: {refused:?}");
    }
    for length in [0, 100, 128, 129, octets.len() - 1] {
        let refused = arrive(&new, &octets[..length]).await;
        assert!(matches!(refused, Err(MoveError::Parcel(_))), "{length}: {refused:?}");
    }
    let longer = [&octets[..], &[0]].concat();
    assert!(matches!(arrive(&new, &longer).await, Err(MoveError::Parcel(_))));
    assert_eq!(new.store.read().usage(new.account).unwrap().records, 0);
    // One for another cell.
    let other = World::empty(CellId([8; 16]), &old.secret);
    let refused = arrive(&other, &octets).await;
    assert!(matches!(refused, Err(MoveError::Parcel(ParcelError::Elsewhere))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_arrival_that_was_cut_short_is_done_again_and_a_newer_parcel_replaces_an_older() {
    let old = World::new();
    old.deliver(b"Subject: s\r\n\r\ntext").await;
    let (first, about) = leave(&old).await;
    let new = World::empty(NEW_CELL, &old.secret);
    // Cut short after the rows: nobody accepted yet.
    new.door.take_in(Cursor::new(first.clone()), about, Timestamp(NOW)).await.unwrap();
    let new = new.restarted().await;
    assert_eq!(new.try_open().await.err(), Some(LoginError::Moving));
    let stage = |world: &World| world.keystores.mark(world.account).unwrap().unwrap().stage;
    assert_eq!(stage(&new), Stage::Arriving);
    let accepted = arrive(&new, &first).await.unwrap();
    assert_eq!(stage(&new), Stage::Arrived);
    assert_eq!(arrive(&new, &first).await.unwrap(), accepted);
    // The owner kept it and let it leave again, with more in it.
    old.door.stay(old.account).await.unwrap();
    old.deliver(b"Subject: t\r\n\r\ntext").await;
    let (second, _) = leave(&old).await;
    let accepted = arrive(&new, &second).await.unwrap();
    let discharge = part(&old, &accepted).await;
    settle(&new, &discharge).await.unwrap();
    let account = new.open().await;
    let count = |account: &bailiwick_mail::account::Account| {
        let state = account.state().unwrap();
        state.mailboxes.values().map(|mailbox| mailbox.messages.len()).sum::<usize>()
    };
    assert_eq!(count(&account), 2);
    // What lives here does not arrive.
    assert!(matches!(arrive(&new, &second).await, Err(MoveError::Here)));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_discharge_but_the_old_cells_own_of_this_parcel_brings_an_account_to_life() {
    let old = World::new();
    let (octets, _) = leave(&old).await;
    let new = World::empty(NEW_CELL, &old.secret);
    let acceptance = arrive(&new, &octets).await.unwrap();
    let gone = old.door.let_go(&acceptance, Timestamp(NOW)).await.unwrap();
    let about = gone.about(CellId([1; 16]));
    let stranger = SigningKey::generate(old.entropy.as_ref()).unwrap();
    let forged = Discharge::sign(about, gone.at, gone.acceptance, &stranger);
    assert!(matches!(new.door.may_live(&forged), Err(MoveError::Form(MoveFormError::Signature))));
    let of_another = Move { account: AccountId([6; 16]), ..about };
    let of_another = Discharge::sign(of_another, gone.at, gone.acceptance, &moving_key());
    assert!(matches!(new.door.may_live(&of_another), Err(MoveError::Step)));
    let elsewhere = Move { to: CellId([8; 16]), ..about };
    let elsewhere = Discharge::sign(elsewhere, gone.at, gone.acceptance, &moving_key());
    assert!(matches!(new.door.may_live(&elsewhere), Err(MoveError::Form(MoveFormError::Other))));
}

#[tokio::test(flavor = "multi_thread")]
async fn coming_to_life_goes_on_after_a_crash_and_can_be_done_twice() {
    let old = World::new();
    for count in 0..3 {
        old.deliver(format!("Subject: {count}\r\n\r\ntext").as_bytes()).await;
    }
    let (octets, _) = leave(&old).await;
    let new = World::empty(NEW_CELL, &old.secret);
    let acceptance = arrive(&new, &octets).await.unwrap();
    let discharge = part(&old, &acceptance).await;
    new.door.may_live(&discharge).unwrap();
    let target = Target { cell: NEW_CELL, custody: Custody::Sealed, escrow: None };
    new.door.settle(sudo(&new).await, &target, Timestamp(NOW)).await.unwrap();
    // The old versions are there still when the power fails.
    let new = new.restarted().await;
    new.door.settle(sudo(&new).await, &target, Timestamp(NOW)).await.unwrap();
    assert!(new.door.finish_rekey(sudo(&new).await).await.unwrap());
    let account = new.open().await;
    assert!(!account.is_altered());
    assert_eq!(seen(&account).iter().map(|mailbox| mailbox.4.len()).sum::<usize>(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_altered_on_the_way_are_not_accepted() {
    let old = World::new();
    old.deliver(b"Subject: s\r\n\r\ntext").await;
    old.deliver(b"Subject: t\r\n\r\ntext").await;
    drop(old.open().await);
    let (octets, about) = leave(&old).await;
    let new = World::empty(NEW_CELL, &old.secret);
    let (_, locked) =
        new.door.inspect_parcel(Cursor::new(octets.clone()), &moving_key().public()).unwrap();
    new.door.take_in(Cursor::new(octets), about, Timestamp(NOW)).await.unwrap();
    // Who can write the new cell's disk takes a message away before its owner has looked.
    let found = new.store.read().scan(new.account, RecordKind::Message, Row(0)).next();
    let (row, _) = found.unwrap().unwrap();
    let batch = Batch::new(new.account).delete(RecordKind::Message, row);
    new.store.append().commit(batch).await.unwrap();
    let secret = Zeroizing::new(new.secret.clone());
    let refused = new.door.accept(about, locked, secret).await;
    assert!(matches!(refused, Err(MoveError::Altered)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_signed_anew_by_whoever_carries_it_is_not_taken_in() {
    let old = World::new();
    let (octets, _) = leave(&old).await;
    // The same records in a parcel of his own key, which he could then discharge.
    let stranger = SigningKey::generate(old.entropy.as_ref()).unwrap();
    let mut forged = Vec::new();
    let now = Timestamp(NOW);
    old.door.write_parcel(old.account, &stranger, now, &mut forged).unwrap();
    let new = World::empty(NEW_CELL, &old.secret);
    let refused = arrive(&new, &forged).await;
    assert!(matches!(refused, Err(MoveError::Parcel(ParcelError::Stranger))), "{refused:?}");
    assert_eq!(new.store.read().usage(new.account).unwrap().records, 0);
    arrive(&new, &octets).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_parcel_shown_again_brings_nothing_back_that_has_left_since() {
    let old = World::new();
    let (first, _) = leave(&old).await;
    let new = World::empty(NEW_CELL, &old.secret);
    let acceptance = arrive(&new, &first).await.unwrap();
    let discharge = part(&old, &acceptance).await;
    settle(&new, &discharge).await.unwrap();
    // It goes back to where it was.
    let (key, now) = (keys_of(NEW_CELL).moving().unwrap(), Timestamp(NOW));
    new.door.leave(sudo(&new).await, CellId([1; 16]), key.public(), now).await.unwrap();
    let mut back = Vec::new();
    let parcel = new.door.write_parcel(new.account, &key, now, &mut back).unwrap();
    new.door.note_parcel(&parcel).await.unwrap();
    let input = || Cursor::new(back.clone());
    let (about, locked) = old.door.inspect_parcel(input(), &key.public()).unwrap();
    old.door.take_in(input(), about, now).await.unwrap();
    let secret = Zeroizing::new(old.secret.clone());
    let acceptance = old.door.accept(about, locked, secret).await.unwrap();
    new.door.let_go(&acceptance, now).await.unwrap();
    new.door.delete(new.account).await.unwrap();
    // The first parcel and its discharge are still in somebody's hands.
    let refused = arrive(&new, &first).await;
    assert!(matches!(refused, Err(MoveError::Parcel(ParcelError::Earlier))), "{refused:?}");
    assert!(matches!(new.door.may_live(&discharge), Err(MoveError::Step)));
    assert_eq!(new.store.read().usage(new.account).unwrap().records, 0);
}
