//! How long an owner keeps messages: as they set it, told to every client, and never unasked.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bailiwick_mail::account::{Account, ChangeError, Undelete};
use bailiwick_mail::mailbox::{FlagSet, Name};

use crate::world::{NOW, World};

const DAY: u64 = 86_400;
const LETTER: &[u8] = b"From: a@example.org\r\nSubject: one\r\n\r\nKnown plaintext.\r\n";

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn count(account: &Account, mailbox: &str) -> usize {
    account.state().unwrap().named(&name(mailbox)).unwrap().messages.len()
}

async fn days_later(world: &World, account: Arc<Account>, days: u64) -> Arc<Account> {
    drop(account);
    world.clock.0.store(NOW + days * DAY, Ordering::Relaxed);
    world.open().await
}

async fn append(account: &Arc<Account>, mailbox: &str, received: Option<u64>) {
    let set = FlagSet::default();
    account.append(name(mailbox), LETTER.to_vec(), set, received).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_that_its_owner_did_not_say_should_go() {
    let world = World::new();
    let account = world.open().await;
    for mailbox in ["INBOX", "Trash", "Junk"] {
        append(&account, mailbox, None).await;
    }
    let account = days_later(&world, account, 3650).await;
    assert_eq!(account.retention().unwrap(), (0, Vec::new()));
    for mailbox in ["INBOX", "Trash", "Junk"] {
        assert_eq!(count(&account, mailbox), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailboxs_days_go_before_the_accounts() {
    let world = World::new();
    let account = world.open().await;
    for mailbox in ["INBOX", "Trash", "Archive"] {
        append(&account, mailbox, None).await;
    }
    account.retain(Some(name("Trash")), 30).await.unwrap();
    account.retain(Some(name("Archive")), 400).await.unwrap();
    account.retain(None, 100).await.unwrap();
    let none = account.retain(Some(name("nowhere")), 1).await;
    assert_eq!(none, Err(ChangeError::NoMailbox));
    let counts =
        |account: &Account| ["INBOX", "Trash", "Archive"].map(|mailbox| count(account, mailbox));
    let account = days_later(&world, account, 30).await;
    assert_eq!(counts(&account), [1, 1, 1]);
    let account = days_later(&world, account, 31).await;
    assert_eq!(counts(&account), [1, 0, 1]);
    let account = days_later(&world, account, 101).await;
    assert_eq!(counts(&account), [0, 0, 1]);
    let own = vec![(name("Trash"), 30), (name("Archive"), 400)];
    let (days, mut shown) = account.retention().unwrap();
    shown.sort_by_key(|(_, days)| *days);
    assert_eq!((days, shown), (100, own));
    // It can be put back like all that is expunged, and its days begin anew.
    assert_eq!(account.undelete(Undelete::default()).await.unwrap(), 1);
    let account = days_later(&world, account, 102).await;
    assert_eq!(counts(&account), [1, 0, 1]);
    account.retain(None, 0).await.unwrap();
    let account = days_later(&world, account, 390).await;
    assert_eq!(counts(&account), [1, 0, 1]);
    assert!(!account.is_altered());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_letter_moved_to_a_mailbox_that_keeps_little_stays_for_its_days() {
    let world = World::new();
    let account = world.open().await;
    account.retain(Some(name("Trash")), 30).await.unwrap();
    append(&account, "INBOX", Some(NOW - 900 * DAY)).await;
    let account = days_later(&world, account, 60).await;
    let inbox = account.state().unwrap().named(&Name::inbox()).unwrap().row;
    account.copy(inbox, vec![1], name("Trash"), true).await.unwrap();
    let account = days_later(&world, account, 89).await;
    assert_eq!(count(&account, "Trash"), 1);
    let account = days_later(&world, account, 91).await;
    assert_eq!(count(&account, "Trash"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_that_grew_old_can_be_put_back() {
    let world = World::new();
    let account = world.open().await;
    append(&account, "Drafts", None).await;
    account.retain(None, 30).await.unwrap();
    let account = days_later(&world, account, 31).await;
    assert_eq!(count(&account, "Drafts"), 0);
    assert_eq!(account.undelete(Undelete::default()).await.unwrap(), 1);
    assert_eq!(count(&account, "Drafts"), 1);
}
