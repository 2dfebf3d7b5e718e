//! Threads and the identifiers of RFC 8474: stable over moves, copies, restarts and undeleting.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use bailiwick_mail::account::{Account, Undelete};
use bailiwick_mail::mailbox::{FlagChange, FlagSet, Flags, Message, Name};

use crate::world::World;

const FIRST: &[u8] = b"Message-ID: <a@ie.example>\r\nSubject: Lunch\r\n\r\nx\r\n";
const ANSWER: &[u8] =
    b"Message-ID: <b@ie.example>\r\nIn-Reply-To: <a@ie.example>\r\nSubject: Re: Lunch\r\n\r\ny\r\n";
const OTHER: &[u8] =
    b"Message-ID: <c@ie.example>\r\nIn-Reply-To: <a@ie.example>\r\nSubject: Tea\r\n\r\nz\r\n";

fn messages(account: &Account, mailbox: &str) -> Vec<Message> {
    let state = account.state().unwrap();
    state.named(&Name::parse(mailbox).unwrap()).unwrap().messages.clone()
}

fn threads(account: &Account, mailbox: &str) -> Vec<u64> {
    messages(account, mailbox).iter().map(|message| message.thread).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_and_what_the_owner_put_here_share_threads_over_restarts() {
    let world = World::new();
    world.deliver(FIRST).await;
    world.deliver(OTHER).await;
    let account = world.open().await;
    let begun = threads(&account, "INBOX");
    assert_eq!(begun.len(), 2);
    assert_ne!(begun.first(), begun.last());
    drop(account);
    let world = world.restarted().await;
    world.deliver(ANSWER).await;
    let account = world.open().await;
    let sent = Name::parse("Sent").unwrap();
    account.append(sent, ANSWER.to_vec(), FlagSet::default(), None).await.unwrap();
    let (first, other) = (*begun.first().unwrap(), *begun.last().unwrap());
    assert_eq!(threads(&account, "INBOX"), [first, other, first]);
    assert_eq!(threads(&account, "Sent"), [first]);
    let inbox = account.state().unwrap().named(&Name::inbox()).unwrap().row;
    let before = messages(&account, "INBOX").pop().unwrap();
    account.copy(inbox, vec![3], Name::parse("Archive").unwrap(), true).await.unwrap();
    drop(account);
    let world = world.restarted().await;
    let account = world.open().await;
    let moved = messages(&account, "Archive").pop().unwrap();
    assert_eq!((moved.thread, moved.letter), (before.thread, before.letter));
    assert!(!account.is_altered());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_finds_the_thread_of_what_was_put_back() {
    let world = World::new();
    world.deliver(FIRST).await;
    let account = world.open().await;
    let inbox = account.state().unwrap().named(&Name::inbox()).unwrap().row;
    let begun = threads(&account, "INBOX");
    let deleted = FlagSet { flags: Flags::DELETED, keywords: Vec::new() };
    account.store_flags(inbox, vec![1], FlagChange::Add, deleted, None).await.unwrap();
    account.expunge(inbox, None).await.unwrap();
    drop(account);
    // Whoever opens it now has never heard of the thread.
    let account = world.open().await;
    assert_eq!(account.undelete(Undelete::default()).await.unwrap(), 1);
    let sent = Name::parse("Sent").unwrap();
    account.append(sent, ANSWER.to_vec(), FlagSet::default(), None).await.unwrap();
    assert_eq!(threads(&account, "INBOX"), begun);
    assert_eq!(threads(&account, "Sent"), begun);
}
