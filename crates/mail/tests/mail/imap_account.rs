//! What an open account must hold to when the store is altered, and when many use it at once.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bailiwick_mail::account::{Account, ChangeError, LoginError, Shown};
use bailiwick_mail::mailbox::{FlagChange, FlagSet, Flags, Name};
use seal::slot::Scope;
use store::Batch;
use vocab::{RecordKind, Row};

use crate::world::World;

const LETTER: &[u8] = b"From: a@example.org\r\nSubject: one\r\n\r\nKnown plaintext.\r\n";

fn inbox(account: &Account) -> Vec<u32> {
    let state = account.state().unwrap();
    state.named(&Name::inbox()).unwrap().messages.iter().map(|message| message.uid).collect()
}

fn inbox_row(account: &Account) -> u64 {
    account.state().unwrap().named(&Name::inbox()).unwrap().row
}

fn bodies(world: &World) -> usize {
    world.store.read().scan(world.account, RecordKind::LetterBody, Row(0)).count()
}

fn heads(world: &World) -> usize {
    world.store.read().scan(world.account, RecordKind::LetterHead, Row(0)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_logins_share_one_account_and_the_last_to_leave_closes_it() {
    let world = World::new();
    let (one, two) = tokio::join!(world.open(), world.open());
    assert!(Arc::ptr_eq(&one, &two));
    assert_eq!(world.door.registry().count(), 1);
    drop((one, two));
    assert_eq!(world.door.registry().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_opens_nothing() {
    let world = World::new();
    let wrong = world.door.open(Shown { secret: "not it", ..world.shown() }).await.err();
    assert_eq!(wrong, Some(LoginError::Wrong));
    let nobody = world.door.open(Shown { user: "nobody@ie.example", ..world.shown() }).await.err();
    assert_eq!(nobody, Some(LoginError::Wrong));
    let verified = world.door.verify(world.shown(), Scope::SUBMIT).await.unwrap();
    assert_eq!(verified.0, world.account);
    assert_eq!(world.door.registry().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn folding_leaves_the_body_and_takes_the_head() {
    let world = World::new();
    world.deliver(LETTER).await;
    assert_eq!((heads(&world), bodies(&world)), (1, 1));
    let account = world.open().await;
    assert_eq!(inbox(&account), [1]);
    assert_eq!((heads(&world), bodies(&world)), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_the_cell_did_not_sign_is_not_folded() {
    let world = World::new();
    let row = world.deliver(LETTER).await;
    let read = world.store.read();
    let head = read.get(world.account, RecordKind::LetterHead, Row(row)).unwrap().unwrap();
    for at in [0, 70, 1200, head.len() - 100, head.len() - 1] {
        let mut altered = head.to_vec();
        altered.iter_mut().skip(at).take(1).for_each(|octet| *octet ^= 1);
        let batch = Batch::new(world.account).put(RecordKind::LetterHead, Row(row), altered);
        world.store.append().commit(batch).await.unwrap();
        let account = world.open().await;
        assert!(inbox(&account).is_empty(), "octet {at}");
        assert_eq!(heads(&world), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_letters_body_is_not_taken() {
    let world = World::new();
    let (one, two) = (world.deliver(LETTER).await, world.deliver(b"Subject: b\r\n\r\nx").await);
    let read = world.store.read();
    let other = read.get(world.account, RecordKind::LetterBody, Row(two)).unwrap().unwrap();
    let batch = Batch::new(world.account).put(RecordKind::LetterBody, Row(one), other);
    world.store.append().commit(batch).await.unwrap();
    let account = world.open().await;
    // The second folds although the first cannot: its signature and body are good.
    assert_eq!(inbox(&account).len(), 1);
    assert_eq!(heads(&world), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_put_back_after_folding_is_not_folded_again() {
    let world = World::new();
    let row = world.deliver(LETTER).await;
    let read = world.store.read();
    let head = read.get(world.account, RecordKind::LetterHead, Row(row)).unwrap().unwrap();
    drop(world.open().await);
    let batch = Batch::new(world.account).put(RecordKind::LetterHead, Row(row), head);
    world.store.append().commit(batch).await.unwrap();
    let account = world.open().await;
    assert_eq!(inbox(&account), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_row_put_in_anothers_place_is_not_shown() {
    let world = World::new();
    world.deliver(LETTER).await;
    world.deliver(b"Subject: b\r\n\r\nx").await;
    drop(world.open().await);
    let read = world.store.read();
    let rows: Vec<_> =
        read.scan(world.account, RecordKind::Message, Row(0)).map(|found| found.unwrap()).collect();
    let (Some((first, _)), Some((_, second))) = (rows.first(), rows.get(1)) else { panic!() };
    let batch =
        Batch::new(world.account).put(RecordKind::Message, *first, second.as_ref().to_vec());
    world.store.append().commit(batch).await.unwrap();
    let account = world.open().await;
    assert_eq!(inbox(&account), [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_goes_with_the_last_row_that_names_it() {
    let world = World::new();
    world.deliver(LETTER).await;
    let account = world.open().await;
    let row = inbox_row(&account);
    account.copy(row, vec![1], Name::parse("Archive").unwrap(), false).await.unwrap();
    let deleted = FlagSet { flags: Flags::DELETED, keywords: Vec::new() };
    account.store_flags(row, vec![1], FlagChange::Add, deleted, None).await.unwrap();
    assert_eq!(account.expunge(row, None).await.unwrap(), [1]);
    assert_eq!(bodies(&world), 1);
    // Also when what is shared was counted by loading, not by copying.
    drop(account);
    let account = world.open().await;
    account.delete(Name::parse("Archive").unwrap()).await.unwrap();
    // It can be put back for some days.
    assert_eq!(bodies(&world), 1);
    account.purge().await.unwrap();
    assert_eq!(bodies(&world), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_conditional_stores_one_loses() {
    let world = World::new();
    world.deliver(LETTER).await;
    let account = world.open().await;
    let row = inbox_row(&account);
    let modseq = account.state().unwrap().mailbox(row).unwrap().highest_modseq;
    let store = |keyword: &str| {
        let (account, keywords) = (account.clone(), vec![keyword.to_owned()]);
        async move {
            let set = FlagSet { flags: Flags::NONE, keywords };
            account.store_flags(row, vec![1], FlagChange::Replace, set, Some(modseq)).await.unwrap()
        }
    };
    let (one, two) = tokio::join!(store("one"), store("two"));
    assert_eq!(one.changed.len() + two.changed.len(), 1);
    assert_eq!(one.modified.len() + two.modified.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_get_uids_that_ascend_without_a_gap() {
    let world = World::new();
    let account = world.open().await;
    let mut tasks = Vec::new();
    for number in 0..40 {
        let account = account.clone();
        tasks.push(tokio::spawn(async move {
            let message = format!("Subject: {number}\r\n\r\n{number}\r\n").into_bytes();
            account.append(Name::inbox(), message, FlagSet::default(), None).await.unwrap().uid
        }));
    }
    for number in 0..40 {
        world.deliver(format!("Subject: d{number}\r\n\r\nx\r\n").as_bytes()).await;
    }
    let mut uids = Vec::new();
    for task in tasks {
        uids.push(task.await.unwrap());
    }
    let mut changes = account.changes();
    while inbox(&account).len() < 80 {
        tokio::time::timeout(Duration::from_secs(20), changes.changed()).await.unwrap().unwrap();
    }
    assert_eq!(inbox(&account), (1..=80).collect::<Vec<_>>());
    uids.sort_unstable();
    uids.dedup();
    assert_eq!(uids.len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_mailbox_that_is_gone_is_refused() {
    let world = World::new();
    let account = world.open().await;
    let name = Name::parse("short").unwrap();
    account.create(name.clone()).await.unwrap();
    let row = account.state().unwrap().named(&name).unwrap().row;
    account.delete(name.clone()).await.unwrap();
    assert_eq!(account.expunge(row, None).await, Err(ChangeError::NoMailbox));
    let message = b"Subject: x\r\n\r\nx".to_vec();
    let appended = account.append(name, message, FlagSet::default(), None).await;
    assert_eq!(appended, Err(ChangeError::NoMailbox));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_readable_is_on_disk() {
    let world = World::new();
    world.deliver(LETTER).await;
    let account = world.open().await;
    account.create(Name::parse("Secret plans").unwrap()).await.unwrap();
    let message = b"Subject: appended words\r\n\r\nAppended words.".to_vec();
    account.append(Name::inbox(), message, FlagSet::default(), None).await.unwrap();
    for kind in RecordKind::ALL {
        for found in world.store.read().scan(world.account, *kind, Row(0)) {
            let (_, value) = found.unwrap();
            for word in [&b"plaintext"[..], b"Secret", b"ppended", b"Subject", b"example.org"] {
                assert!(!value.windows(word.len()).any(|seen| seen == word), "{kind:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_message_is_read_in_ranges() {
    let world = World::new();
    let account = world.open().await;
    let mut message = b"Subject: large\r\n\r\n".to_vec();
    message.extend((0..600_000_u32).map(|n| b'a' + u8::try_from(n % 26).unwrap()));
    let size = u32::try_from(message.len()).unwrap();
    account.append(Name::inbox(), message.clone(), FlagSet::default(), None).await.unwrap();
    let row = {
        let state = account.state().unwrap();
        state.named(&Name::inbox()).unwrap().message(1).unwrap().row
    };
    let content = account.content(row).unwrap();
    assert_eq!(content.size, size);
    for (from, to) in [(0, 10), (16_380, 16_390), (399_999, 400_001), (size - 3, size + 50)] {
        let expected = message.get(from as usize..to.min(size) as usize).unwrap();
        assert_eq!(content.read(from..to).unwrap(), expected, "{from}");
    }
    assert_eq!(content.whole().unwrap(), message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_under_newer_keys_waits_for_the_next_login() {
    let world = World::new();
    let account = world.open().await;
    // Fourteen months on, a second session makes the months that are missing.
    let later = world.clock.0.load(Ordering::Relaxed) + 430 * 86_400;
    world.clock.0.store(later, Ordering::Relaxed);
    let keys = world.unlocked_with_upkeep().await;
    world.deliver(LETTER).await;
    world.deliver(LETTER).await;
    tokio::task::yield_now().await;
    assert_eq!((inbox(&account).len(), heads(&world)), (0, 2));
    drop(keys);
    let again = world.open().await;
    assert!(Arc::ptr_eq(&account, &again));
    assert_eq!((inbox(&account).len(), heads(&world)), (2, 0));
}
