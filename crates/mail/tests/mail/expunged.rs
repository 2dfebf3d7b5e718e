//! What was expunged: put back within its days, purged after them by the owner's session or by the
//! cell that has no key; and what an adversary who can write the disk makes of it.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bailiwick_mail::account::{Account, Finding, Undelete};
use bailiwick_mail::mailbox::{FlagChange, FlagSet, Flags, Message, Name};
use bailiwick_mail::quota::{Quota, Quotas, Room};
use store::{Batch, HoldId};
use tokio::io::AsyncWriteExt as _;
use vocab::{RecordKind, Row};

use crate::world::{NOW, UNDELETE_DAYS, USER, World, until};

const DAY: u64 = 86_400;
const LETTER: &[u8] = b"From: a@example.org\r\nSubject: one\r\n\r\nKnown plaintext.\r\n";
const KIND: RecordKind = RecordKind::ExpungedMessage;
/// Octets of what the cell leaves of a row.
const HUSK: usize = 44;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn messages(account: &Account, mailbox: &str) -> Vec<Message> {
    let state = account.state().unwrap();
    state.named(&name(mailbox)).map(|held| held.messages.clone()).unwrap_or_default()
}

fn rows(world: &World, kind: RecordKind) -> Vec<(Row, Vec<u8>)> {
    let rows = world.store.read().scan(world.account, kind, Row(0));
    rows.map(|found| found.map(|(row, value)| (row, value.to_vec())).unwrap()).collect()
}

fn bodies(world: &World) -> usize {
    rows(world, RecordKind::LetterBody).len()
}

async fn expunge(account: &Arc<Account>, mailbox: &str, uids: Vec<u32>) {
    let row = account.state().unwrap().named(&name(mailbox)).unwrap().row;
    let deleted = FlagSet { flags: Flags::DELETED, keywords: Vec::new() };
    account.store_flags(row, uids.clone(), FlagChange::Add, deleted, None).await.unwrap();
    assert_eq!(account.expunge(row, Some(uids.clone())).await.unwrap(), uids);
}

/// Goes so many days on from the beginning.
fn days_later(world: &World, days: u64) {
    world.clock.0.store(NOW + days * DAY, Ordering::Relaxed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_expunged_can_be_put_back() {
    let world = World::new();
    world.deliver(LETTER).await;
    world.deliver(b"Subject: two\r\n\r\nx").await;
    let account = world.open().await;
    let seen = FlagSet { flags: Flags::SEEN, keywords: vec!["$Todo".to_owned()] };
    let row = account.state().unwrap().named(&Name::inbox()).unwrap().row;
    account.store_flags(row, vec![1], FlagChange::Add, seen, None).await.unwrap();
    let before = messages(&account, "INBOX");
    expunge(&account, "INBOX", vec![1]).await;
    assert_eq!(messages(&account, "INBOX").len(), 1);
    assert_eq!((rows(&world, KIND).len(), bodies(&world)), (1, 2));
    let account = {
        drop(account);
        world.open().await
    };
    let shown = account.expunged().unwrap();
    assert_eq!(shown.len(), 1);
    let shown = shown.first().unwrap();
    assert_eq!((shown.mailbox.as_str(), shown.messages), ("INBOX", 1));
    assert_eq!(shown.octets, LETTER.len() as u64);
    assert_eq!(shown.purged - shown.expunged, u32::from(UNDELETE_DAYS) + 1);
    let elsewhere = Undelete { mailbox: Some(name("Archive")), since: None };
    assert_eq!(account.undelete(elsewhere).await.unwrap(), 0);
    let later = Undelete { mailbox: None, since: Some(shown.expunged + 1) };
    assert_eq!(account.undelete(later).await.unwrap(), 0);
    assert_eq!(account.undelete(Undelete::default()).await.unwrap(), 1);
    let now = messages(&account, "INBOX");
    assert_eq!(now.iter().map(|message| message.uid).collect::<Vec<_>>(), [2, 3]);
    let (was, is) = (before.first().unwrap(), now.last().unwrap());
    assert_eq!((is.flags, is.keywords.len()), (Flags::SEEN, 1));
    assert_eq!((is.thread, is.letter, is.received), (was.thread, was.letter, was.received));
    assert!(is.modseq > was.modseq);
    assert_eq!(account.content(is.row).unwrap().whole().unwrap(), LETTER);
    assert_eq!((rows(&world, KIND).len(), bodies(&world)), (0, 2));
    drop(account);
    let account = world.open().await;
    assert_eq!(messages(&account, "INBOX").len(), 2);
    assert!(!account.is_altered());
    assert_eq!(account.check().await.unwrap().findings, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_its_day_a_session_purges_it_with_its_body() {
    let world = World::new();
    world.deliver(LETTER).await;
    let account = world.open().await;
    expunge(&account, "INBOX", vec![1]).await;
    drop(account);
    days_later(&world, u64::from(UNDELETE_DAYS));
    let account = world.open().await;
    assert_eq!(account.expunged().unwrap().len(), 1);
    drop(account);
    days_later(&world, u64::from(UNDELETE_DAYS) + 1);
    let account = world.open().await;
    assert_eq!(account.undelete(Undelete::default()).await.unwrap(), 0);
    assert_eq!((rows(&world, KIND).len(), bodies(&world)), (0, 0));
    assert!(!account.is_altered());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_can_purge_at_once() {
    let world = World::new();
    world.deliver(LETTER).await;
    let account = world.open().await;
    expunge(&account, "INBOX", vec![1]).await;
    assert_eq!(account.purge().await.unwrap(), 1);
    assert_eq!(account.undelete(Undelete::default()).await.unwrap(), 0);
    assert_eq!((rows(&world, KIND).len(), bodies(&world)), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_keeps_the_body_of_what_was_purged_and_copies_are_purged_together() {
    let world = World::new();
    world.deliver(LETTER).await;
    let account = world.open().await;
    let inbox = account.state().unwrap().named(&Name::inbox()).unwrap().row;
    for mailbox in ["Archive", "Sent"] {
        account.copy(inbox, vec![1], name(mailbox), false).await.unwrap();
    }
    expunge(&account, "INBOX", vec![1]).await;
    expunge(&account, "Sent", vec![1]).await;
    // One letter, one day: one row.
    assert_eq!(rows(&world, KIND).len(), 1);
    let shown: Vec<_> = account.expunged().unwrap();
    assert_eq!(shown.len(), 2);
    let sent = Undelete { mailbox: Some(name("Sent")), since: None };
    assert_eq!(account.undelete(sent).await.unwrap(), 1);
    assert_eq!(messages(&account, "Sent").len(), 1);
    expunge(&account, "Sent", vec![2]).await;
    assert_eq!(account.purge().await.unwrap(), 1);
    assert_eq!(bodies(&world), 1);
    let left = messages(&account, "Archive").pop().unwrap();
    assert_eq!(account.content(left.row).unwrap().whole().unwrap(), LETTER);
    drop(account);
    assert!(!world.open().await.is_altered());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_a_deleted_mailbox_comes_back_with_its_mailbox() {
    let world = World::new();
    let account = world.open().await;
    account.create(name("a/b")).await.unwrap();
    account.append(name("a/b"), LETTER.to_vec(), FlagSet::default(), None).await.unwrap();
    account.delete(name("a/b")).await.unwrap();
    assert_eq!(account.undelete(Undelete::default()).await.unwrap(), 1);
    let back = messages(&account, "a/b").pop().unwrap();
    assert_eq!(account.content(back.row).unwrap().whole().unwrap(), LETTER);
    drop(account);
    assert!(!world.open().await.is_altered());
}

#[tokio::test(flavor = "multi_thread")]
async fn drafts_that_were_replaced_are_not_kept() {
    let world = World::new();
    let account = world.open().await;
    account.append(name("Drafts"), LETTER.to_vec(), FlagSet::default(), None).await.unwrap();
    expunge(&account, "Drafts", vec![1]).await;
    assert_eq!((rows(&world, KIND).len(), bodies(&world)), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cell_purges_without_a_key_and_the_anchor_goes_on_to_agree() {
    let world = World::new();
    world.deliver(LETTER).await;
    world.deliver(LETTER).await;
    let account = world.open().await;
    expunge(&account, "INBOX", vec![1]).await;
    let registry = world.door.registry();
    days_later(&world, u64::from(UNDELETE_DAYS) + 1);
    // An open account is its session's to purge.
    assert_eq!(registry.purge_due().unwrap(), 0);
    drop(account);
    days_later(&world, u64::from(UNDELETE_DAYS));
    assert_eq!(registry.purge_due().unwrap(), 0);
    days_later(&world, u64::from(UNDELETE_DAYS) + 1);
    let whole = rows(&world, KIND);
    assert_eq!(registry.purge_due().unwrap(), 1);
    assert_eq!(registry.purge_due().unwrap(), 0);
    let husks = rows(&world, KIND);
    let ((row, husk), (was, sealed)) = (husks.first().unwrap(), whole.first().unwrap());
    assert_eq!((row, husk.len()), (was, HUSK));
    assert!(husk.len() < sealed.len() && sealed.starts_with(husk.get(..28).unwrap()));
    let account = world.open().await;
    assert!(!account.is_altered());
    assert_eq!(account.undelete(Undelete::default()).await.unwrap(), 0);
    assert_eq!((rows(&world, KIND).len(), bodies(&world)), (0, 1));
    assert_eq!(account.check().await.unwrap().findings, []);
    drop(account);
    assert!(!world.open().await.is_altered());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_purged_before_its_day_is_told() {
    let world = World::new();
    world.deliver(LETTER).await;
    let account = world.open().await;
    expunge(&account, "INBOX", vec![1]).await;
    drop(account);
    let stored = rows(&world, KIND);
    let (row, sealed) = stored.first().unwrap();
    let (head, tag) = (sealed.get(..28).unwrap(), sealed.get(sealed.len() - 16..).unwrap());
    let husk = Batch::new(world.account).put(KIND, *row, [head, tag].concat());
    world.store.append().commit(husk).await.unwrap();
    let account = world.open().await;
    assert!(account.is_altered());
    assert_eq!(account.check().await.unwrap().findings, [Finding::Anchor]);
    // And it goes on to be, until it would be purged anyway.
    drop(account);
    assert!(world.open().await.is_altered());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_taken_out_of_the_window_or_put_back_after_its_day_is_told() {
    let world = World::new();
    world.deliver(LETTER).await;
    let account = world.open().await;
    expunge(&account, "INBOX", vec![1]).await;
    let stored = rows(&world, KIND);
    let (row, sealed) = stored.first().unwrap().clone();
    let account = {
        drop(account);
        let taken = Batch::new(world.account).delete(KIND, row);
        world.store.append().commit(taken).await.unwrap();
        world.open().await
    };
    assert!(account.is_altered());
    drop(account);
    let back = Batch::new(world.account).put(KIND, row, sealed.clone());
    world.store.append().commit(back).await.unwrap();
    let account = world.open().await;
    assert!(!account.is_altered());
    assert_eq!(account.purge().await.unwrap(), 1);
    drop(account);
    let back = Batch::new(world.account).put(KIND, row, sealed);
    world.store.append().commit(back).await.unwrap();
    assert!(world.open().await.is_altered());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_under_another_letters_number_does_not_open() {
    let world = World::new();
    world.deliver(LETTER).await;
    world.deliver(LETTER).await;
    let account = world.open().await;
    expunge(&account, "INBOX", vec![1, 2]).await;
    drop(account);
    let stored = rows(&world, KIND);
    let (one, other) = (stored.first().unwrap(), stored.last().unwrap());
    let exchanged = Batch::new(world.account).put(KIND, one.0, other.1.clone());
    world.store.append().commit(exchanged).await.unwrap();
    let account = world.open().await;
    assert!(account.is_altered());
    assert_eq!(account.expunged().unwrap().iter().map(|it| it.messages).sum::<u64>(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_preservation_holds_outlives_purging_as_sealed_as_it_was_and_nothing_more_does() {
    let world = World::new();
    world.deliver(LETTER).await;
    let account = world.open().await;
    let kept: Vec<(RecordKind, Row)> = [RecordKind::LetterBody, RecordKind::Message]
        .into_iter()
        .flat_map(|kind| rows(&world, kind).into_iter().map(move |(row, _)| (kind, row)))
        .collect();
    let sealed: Vec<Vec<u8>> =
        kept.iter().flat_map(|(kind, _)| rows(&world, *kind)).map(|(_, value)| value).collect();
    let (preserve, hold) = (world.store.preserve(), HoldId([9; 16]));
    preserve.hold(hold, world.account, kept.clone()).await.unwrap();
    world.deliver(b"Subject: later\r\n\r\nx").await;
    drop(account);
    let account = world.open().await;
    expunge(&account, "INBOX", vec![1, 2]).await;
    assert_eq!(account.purge().await.unwrap(), 2);
    tokio::task::block_in_place(|| world.store.compact_blocking()).unwrap();
    for kind in [RecordKind::Message, RecordKind::LetterBody, KIND] {
        assert_eq!(rows(&world, kind), []);
    }
    let held: Vec<_> = preserve.held(hold).map(|row| row.unwrap()).collect();
    assert_eq!(held.iter().map(|row| (row.kind, row.row)).collect::<Vec<_>>(), kept);
    for ((kind, row), sealed) in kept.into_iter().zip(sealed) {
        let read = preserve.read(hold, world.account, kind, row).unwrap().unwrap();
        assert_eq!(read, sealed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_window_is_preserved_as_it_is_and_outlives_the_cells_purging() {
    let world = World::new();
    world.deliver(LETTER).await;
    let account = world.open().await;
    expunge(&account, "INBOX", vec![1]).await;
    drop(account);
    let stored = rows(&world, KIND);
    let (row, sealed) = stored.first().unwrap();
    let (preserve, hold) = (world.store.preserve(), HoldId([9; 16]));
    preserve.hold(hold, world.account, vec![(KIND, *row)]).await.unwrap();
    days_later(&world, u64::from(UNDELETE_DAYS) + 1);
    assert_eq!(world.door.registry().purge_due().unwrap(), 1);
    let read = preserve.read(hold, world.account, KIND, *row).unwrap().unwrap();
    assert_eq!(read, sealed);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_counted_one_by_one_and_nothing_else_is() {
    let world = World::new();
    let quotas = Quotas::new(Quota::default(), Arc::new(|_| None), world.store.read());
    let used = || quotas.used(world.account).unwrap();
    let account = world.open().await;
    assert_eq!(used().messages, 0);
    drop(account);
    world.deliver(LETTER).await;
    world.deliver(LETTER).await;
    assert_eq!(used().messages, 2);
    let account = world.open().await;
    assert_eq!(used().messages, 2);
    let inbox = account.state().unwrap().named(&Name::inbox()).unwrap().row;
    account.copy(inbox, vec![1], name("Archive"), false).await.unwrap();
    assert_eq!(used().messages, 3);
    let before = used().octets;
    expunge(&account, "INBOX", vec![1, 2]).await;
    assert_eq!(used().messages, 1);
    assert!(used().octets < before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_expunged_gives_way_and_goes_first_when_an_account_is_over_its_quota() {
    let mut world = World::new();
    world.deliver(LETTER).await;
    let account = world.open().await;
    let draft = vec![b'x'; 40_000];
    account.append(name("Sent"), draft, FlagSet::default(), None).await.unwrap();
    let limit = world.store.read().usage(world.account).unwrap().bytes + 5_000;
    world.quota = Quota { octets: Some(limit), messages: None };
    let quotas = world.context().quotas;
    assert_eq!(quotas.room(world.account, 20_000, 1), Room::Full);
    expunge(&account, "Sent", vec![1]).await;
    assert_eq!(quotas.room(world.account, 20_000, 1), Room::Fits);
    assert_eq!(quotas.room(world.account, limit, 1), Room::Full);
    let set = FlagSet::default();
    account.append(name("Archive"), vec![b'y'; 20_000], set, None).await.unwrap();
    assert!(quotas.excess(world.account).unwrap() > 0);
    // With the owner's next login it is purged.
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let context = world.context();
    let session =
        tokio::spawn(async move { bailiwick_mail::imap::serve(server, None, &context).await });
    let login = format!("a LOGIN {USER} \"{}\"\r\nb LOGOUT\r\n", world.secret);
    client.write_all(login.as_bytes()).await.unwrap();
    assert!(until(&mut client, "b OK").await.contains("a OK"));
    session.await.unwrap();
    assert_eq!(quotas.excess(world.account).unwrap(), 0);
    assert_eq!(rows(&world, KIND), []);
    assert_eq!(bodies(&world), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_copies_of_one_letter_do_not_make_a_row_that_grows_without_end() {
    let world = World::new();
    let fields: String =
        (0..40).map(|n| format!("To: {n}@{}.example\r\n", "x".repeat(60))).collect();
    let letter = format!("{fields}Subject: one\r\n\r\nx");
    let account = world.open().await;
    account.append(Name::inbox(), letter.into_bytes(), FlagSet::default(), None).await.unwrap();
    let inbox = account.state().unwrap().named(&Name::inbox()).unwrap().row;
    for _ in 0..11 {
        let uids: Vec<u32> = messages(&account, "INBOX").iter().map(|it| it.uid).collect();
        account.copy(inbox, uids, Name::inbox(), false).await.unwrap();
    }
    let uids: Vec<u32> = messages(&account, "INBOX").iter().map(|it| it.uid).collect();
    let begun = std::time::Instant::now();
    expunge(&account, "INBOX", uids).await;
    let stored: usize = rows(&world, KIND).iter().map(|(_, row)| row.len()).sum();
    eprintln!("stored {stored} in {:?}", begun.elapsed());
    assert!(stored < 2 << 20, "{stored}");
}
