//! Letters from strangers: sealed before they are acknowledged, or refused in the session.

use bailiwick_mail::account::ChangeError;
use bailiwick_mail::inbound::{Service, turn_away};
use bailiwick_mail::mailbox::{FlagChange, FlagSet, Flags, Name};
use bailiwick_mail::quota::Quota;
use proto::address::Address;
use tokio::task::JoinSet;
use vocab::RecordKind;

use super::talk::Talk;
use super::world::{Cell, Plan};

const ALICE: &str = "alice@ie.example";
const LETTER: &str = "From: sender@example.org\r\nTo: alice@ie.example\r\n\
    Subject: Known subject\r\n\r\nKnown plaintext.\r\n..dots\r\n";

async fn cell() -> Cell {
    Cell::new(Plan::new("ie", &[ALICE, "bob@ie.example"])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_sealed_before_it_is_acknowledged_and_opens_for_its_owner() {
    let cell = cell().await;
    let mut talk = cell.mx().await;
    let reply = talk.send("sender@example.org", &[ALICE], LETTER).await;
    assert!(reply.starts_with("250 2.0.0"), "{reply}");
    assert_eq!(cell.rows(RecordKind::LetterHead), 1);
    assert_eq!(cell.rows(RecordKind::LetterBody), 1);
    for known in ["Known", "plaintext", "sender@", "alice@"] {
        assert!(!cell.disk_says(known), "{known}");
    }
    let inbox = cell.inbox(ALICE).await;
    assert_eq!(inbox.len(), 1);
    let letter = &inbox[0];
    assert!(letter.starts_with("Return-Path: <sender@example.org>\r\n"), "{letter}");
    assert!(letter.contains("Authentication-Results: mx.ie.example; none\r\n"), "{letter}");
    assert!(letter.contains("Received: from client.example.org ([192.0.2.1])"), "{letter}");
    assert!(letter.ends_with("\r\n\r\nKnown plaintext.\r\n.dots\r\n\r\n"), "{letter}");
    // Nobody's address but the sender's own is in the trace.
    assert!(!letter.contains("for <"), "{letter}");
    assert_eq!(cell.rows(RecordKind::LetterHead), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_cannot_be_smuggled_in_another() {
    for end in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r"] {
        let cell = cell().await;
        let mut talk = cell.mx().await;
        let smuggled = format!(
            "From: sender@example.org\r\n\r\none{end}MAIL FROM:<ceo@example.org>\r\n\
             RCPT TO:<alice@ie.example>\r\nDATA\r\nFrom: ceo@example.org\r\n\r\ntwo"
        );
        let reply = talk.send("sender@example.org", &[ALICE], &smuggled).await;
        assert!(reply.starts_with("550 5.6.0"), "{end:?}: {reply}");
        assert_eq!(talk.hear().await, "", "the connection is closed");
        assert_eq!(cell.rows(RecordKind::LetterHead), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_before_tls_is_forgotten() {
    let cell = cell().await;
    let mut talk = cell.mx().await;
    talk.raw(b"STARTTLS\r\nMAIL FROM:<injected@example.org>\r\n").await;
    talk.expect("220").await;
    talk.raw(b"HELLO\n").await;
    assert_eq!(talk.hear_line().await, "OK\n");
    let reply = talk.say("EHLO client.example.org", "250").await;
    assert!(!reply.contains("STARTTLS"), "{reply}");
    talk.say("RCPT TO:<alice@ie.example>", "503").await;
    let reply = talk.send("sender@example.org", &[ALICE], LETTER).await;
    assert!(reply.starts_with("250"), "{reply}");
    assert!(cell.inbox(ALICE).await[0].contains("with ESMTPS id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_is_too_large_is_refused() {
    let cell = cell().await;
    let mut talk = cell.mx().await;
    talk.say("MAIL FROM:<sender@example.org> SIZE=1048577", "552 5.3.4").await;
    let large = format!("Subject: a\r\n\r\n{}", "0123456789abcdef\r\n".repeat(60_000));
    let reply = talk.send("sender@example.org", &[ALICE], &large).await;
    assert!(reply.starts_with("552 5.3.4"), "{reply}");
    assert_eq!(cell.rows(RecordKind::LetterHead), 0);
    assert_eq!(cell.context.budget.left(), 64 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_that_have_no_room_in_memory_are_deferred() {
    let mut plan = Plan::new("ie", &[ALICE]);
    plan.budget = 100_000;
    let cell = Cell::new(plan).await;
    let mut talk = cell.mx().await;
    talk.say("MAIL FROM:<sender@example.org> SIZE=60000", "452 4.3.1").await;
    let large = format!("Subject: a\r\n\r\n{}", "0123456789abcdef\r\n".repeat(5_000));
    let reply = talk.send("sender@example.org", &[ALICE], &large).await;
    assert!(reply.starts_with("452 4.3.1"), "{reply}");
    assert_eq!(cell.context.budget.left(), 100_000);
    let reply = talk.send("sender@example.org", &[ALICE], LETTER).await;
    assert!(reply.starts_with("250"), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_unknown_and_nobody_elsewhere_gets_a_letter() {
    let cell = cell().await;
    let mut talk = cell.mx().await;
    talk.say("MAIL FROM:<sender@example.org>", "250").await;
    talk.say("RCPT TO:<nobody@ie.example>", "550 5.1.1").await;
    talk.say("RCPT TO:<someone@example.net>", "550 5.7.1").await;
    talk.say("RCPT TO:<alice@[127.0.0.1]>", "550 5.7.1").await;
    talk.say("RCPT TO:<alice%example.net@ie.example>", "550 5.1.1").await;
    talk.say("DATA", "554").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aliases_and_details_lead_to_one_letter() {
    let cell = cell().await;
    let alias = Address::parse("postmaster@ie.example").unwrap();
    cell.context.routes.add(&alias, cell.account(ALICE), true).await.unwrap();
    let mut talk = cell.mx().await;
    let to = ["ALICE@IE.example", "alice+lists@ie.example", "Postmaster", "bob@ie.example"];
    let reply = talk.send("", &to, LETTER).await;
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(cell.inbox(ALICE).await.len(), 1);
    assert_eq!(cell.inbox("bob@ie.example").await.len(), 1);
    assert_eq!(cell.context.routes.remove(&alias).await.unwrap(), cell.account(ALICE));
}

/// RFC 5321 §4.5.1, RFC 2142 §2: both always reach somebody, at each of our domains.
#[tokio::test(flavor = "multi_thread")]
async fn letters_to_the_postmaster_reach_whoever_minds_the_cell_or_wait() {
    let cell = Cell::new(Plan::new("ie", &[ALICE])).await;
    let mut talk = cell.mx().await;
    talk.say("MAIL FROM:<sender@example.org>", "250").await;
    for to in ["postmaster", "POSTMASTER@ie.example", "abuse@ie.example"] {
        talk.say(&format!("RCPT TO:<{to}>"), "450 4.2.1").await;
    }
    talk.say("RCPT TO:<webmaster@ie.example>", "550 5.1.1").await;
    talk.say("RCPT TO:<postmaster@example.net>", "550 5.7.1").await;
    talk.say("RSET", "250").await;
    drop(talk);
    // Named in the configuration, and there.
    let cell = cell.restarted(|plan| plan.postmaster = Some(ALICE)).await;
    let mut talk = cell.mx().await;
    let to = ["Postmaster", "PostMaster@IE.example", "abuse+spam@ie.example"];
    let reply = talk.send("sender@example.org", &to, LETTER).await;
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(cell.inbox(ALICE).await.len(), 1);
    // Whoever minds it may answer as it, and nobody else.
    let abuse = Address::parse("abuse@ie.example").unwrap();
    assert!(cell.context.routes.owns(cell.account(ALICE), &abuse));
    assert!(!cell.context.routes.owns(vocab::AccountId([7; 16]), &abuse));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_account_defers_letters_until_its_owner_deletes_some() {
    let mut plan = Plan::new("ie", &[ALICE, "bob@ie.example"]);
    plan.quota = Quota { octets: Some(200_000), messages: None };
    let cell = Cell::new(plan).await;
    let mut talk = cell.mx().await;
    let large = format!("Subject: a\r\n\r\n{}", "0123456789abcdef\r\n".repeat(7_000));
    let reply = talk.send("sender@example.org", &[ALICE], &large).await;
    assert!(reply.starts_with("250"), "{reply}");
    // Not announced: known at the end.
    let reply = talk.send("sender@example.org", &[ALICE], &large).await;
    assert!(reply.starts_with("452 4.2.2"), "{reply}");
    talk.say("MAIL FROM:<sender@example.org> SIZE=130000", "250").await;
    talk.say(&format!("RCPT TO:<{ALICE}>"), "452 4.2.2").await;
    talk.say("RCPT TO:<bob@ie.example>", "250").await;
    talk.say("RSET", "250").await;
    // What never fits is refused for good.
    talk.say("MAIL FROM:<sender@example.org> SIZE=200001", "250").await;
    talk.say(&format!("RCPT TO:<{ALICE}>"), "552 5.2.2").await;
    talk.say("RSET", "250").await;
    let account = cell.open(ALICE).await;
    let inbox = account.state().unwrap().named(&Name::inbox()).unwrap().row;
    let set = FlagSet { flags: Flags::DELETED, keywords: Vec::new() };
    account.store_flags(inbox, vec![1], FlagChange::Add, set, None).await.unwrap();
    assert_eq!(account.expunge(inbox, None).await, Ok(vec![1]));
    let reply = talk.send("sender@example.org", &[ALICE], &large).await;
    assert!(reply.starts_with("250"), "{reply}");
    // One account may have more than is usual, and keeps it.
    let more = Quota { octets: None, messages: None };
    cell.context.routes.set_quota(cell.account(ALICE), Some(more)).await.unwrap();
    drop((account, talk));
    let cell = cell.restarted(|_| {}).await;
    assert_eq!(cell.context.routes.quota_of(cell.account(ALICE)), Some(more));
    let reply = cell.mx().await.send("sender@example.org", &[ALICE], &large).await;
    assert!(reply.starts_with("250"), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_loops_or_would_bend_our_trace_is_refused() {
    let cell = cell().await;
    let mut talk = cell.mx().await;
    let looping = format!("{}{LETTER}", "Received: from a by b; c\r\n".repeat(51));
    let reply = talk.send("sender@example.org", &[ALICE], &looping).await;
    assert!(reply.starts_with("550 5.4.6"), "{reply}");
    let bending = format!(" dkim=pass\r\n{LETTER}");
    let reply = talk.send("sender@example.org", &[ALICE], &bending).await;
    assert!(reply.starts_with("550 5.6.0"), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_that_come_at_one_time_keep_one_chain() {
    let cell = cell().await;
    let mut sending = JoinSet::new();
    for count in 0..40 {
        let mut talk = cell.mx().await;
        sending.spawn(async move {
            let letter = format!("Subject: {count}\r\n\r\n{count}\r\n");
            let reply = talk.send("sender@example.org", &[ALICE], &letter).await;
            assert!(reply.starts_with("250"), "{reply}");
        });
    }
    sending.join_all().await;
    assert_eq!(cell.rows(RecordKind::LetterHead), 40);
    let cell = cell.restarted(|_| {}).await;
    let reply = cell.mx().await.send("sender@example.org", &[ALICE], LETTER).await;
    assert!(reply.starts_with("250"), "{reply}");
    // Folding checks every signature and the chain; a head that fails stays.
    assert_eq!(cell.inbox(ALICE).await.len(), 41);
    assert_eq!(cell.rows(RecordKind::LetterHead), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_defers_letters_and_reading_goes_on() {
    let cell = cell().await;
    let reply = cell.mx().await.send("sender@example.org", &[ALICE], LETTER).await;
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(cell.inbox(ALICE).await.len(), 1);
    let reply = cell.mx().await.send("sender@example.org", &[ALICE], LETTER).await;
    assert!(reply.starts_with("250"), "{reply}");
    let cell = cell.restarted(|plan| plan.reserve_bytes = u64::MAX).await;
    let reply = cell.mx().await.send("sender@example.org", &[ALICE], LETTER).await;
    assert!(reply.starts_with("452 4.3.1"), "{reply}");
    // What arrived and was not folded waits, and its owner is told; the rest is read.
    assert_eq!(cell.inbox(ALICE).await.len(), 1);
    let heard = cell.imap_login(ALICE).await;
    assert!(heard.contains("* NO [ALERT] the disk is full"), "{heard}");
    assert!(heard.contains("a OK") && heard.contains("* 1 EXISTS"), "{heard}");
    assert!(heard.contains("Known plaintext.") && heard.contains("d NO [UNAVAILABLE]"), "{heard}");
    let cell = cell.restarted(|plan| plan.reserve_bytes = 0).await;
    assert_eq!(cell.inbox(ALICE).await.len(), 2);
    assert!(!cell.imap_login(ALICE).await.contains("ALERT"));
}

/// What is free where the tests keep their stores.
fn free_octets() -> u64 {
    let df = std::process::Command::new("df")
        .args(["--block-size=1", "--output=avail"])
        .arg(std::env::temp_dir())
        .output();
    let said = String::from_utf8(df.unwrap().stdout).unwrap();
    said.lines().nth(1).unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_an_owner_still_deletes_and_changes_nothing_else() {
    let cell = cell().await;
    for _ in 0..3 {
        cell.mx().await.send("sender@example.org", &[ALICE], LETTER).await;
    }
    assert_eq!(cell.inbox(ALICE).await.len(), 3);
    let full = free_octets() / 2 * 3;
    let cell = cell.restarted(|plan| plan.reserve_bytes = full).await;
    let reply = cell.mx().await.send("sender@example.org", &[ALICE], LETTER).await;
    assert!(reply.starts_with("452 4.3.1"), "{reply}");
    let account = cell.open(ALICE).await;
    let inbox = account.state().unwrap().named(&Name::inbox()).unwrap().row;
    let flag = async |flag| {
        let set = FlagSet { flags: flag, keywords: Vec::new() };
        account.store_flags(inbox, vec![1], FlagChange::Add, set, None).await
    };
    let copy = async |to: &str, moving| {
        account.copy(inbox, vec![2], Name::parse(to).unwrap(), moving).await.map(|_| ())
    };
    assert_eq!(flag(Flags::FLAGGED).await, Err(ChangeError::Full));
    assert_eq!(copy("Archive", true).await, Err(ChangeError::Full));
    assert_eq!(copy("Trash", false).await, Err(ChangeError::Full));
    assert_eq!(copy("Trash", true).await, Ok(()));
    assert!(flag(Flags::DELETED).await.is_ok());
    assert_eq!(account.expunge(inbox, None).await, Ok(vec![1]));
    drop(account);
    let cell = cell.restarted(|plan| plan.reserve_bytes = 0).await;
    assert_eq!(cell.inbox(ALICE).await.len(), 1);
    assert_eq!(cell.mailbox(ALICE, "Trash").await.len(), 1);
}

/// Rows that together are more than one commit may put into the reserve ([`store::ROOM_BYTES_MAX`]).
#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_an_owner_deletes_many_large_letters_at_one_time() {
    let cell = cell().await;
    let to: String = (0..1500).map(|at| format!("person{at}@example.org,\r\n ")).collect();
    let letter = format!("From: sender@example.org\r\nTo: {to}x@example.org\r\n\r\nx\r\n");
    for _ in 0..60 {
        let reply = cell.mx().await.send("sender@example.org", &[ALICE], &letter).await;
        assert!(reply.starts_with("250"), "{reply}");
    }
    assert_eq!(cell.inbox(ALICE).await.len(), 60);
    let full = free_octets() / 2 * 3;
    let cell = cell.restarted(|plan| plan.reserve_bytes = full).await;
    let account = cell.open(ALICE).await;
    let inbox = account.state().unwrap().named(&Name::inbox()).unwrap().row;
    let set = FlagSet { flags: Flags::DELETED, keywords: Vec::new() };
    let uids = |range: core::ops::RangeInclusive<u32>| range.collect::<Vec<_>>();
    let trash = Name::parse("Trash").unwrap();
    let moved = account.copy(inbox, uids(1..=55), trash, true).await.unwrap();
    assert_eq!((moved.from, moved.to), (uids(1..=55), uids(1..=55)));
    let before = account.state().unwrap().mailbox(inbox).unwrap().highest_modseq;
    account.store_flags(inbox, vec![60], FlagChange::Add, set.clone(), None).await.unwrap();
    let add = FlagChange::Add;
    let stored = account.store_flags(inbox, uids(1..=60), add, set, Some(before)).await.unwrap();
    assert_eq!(stored.modified, [60]);
    assert_eq!(stored.changed.iter().map(|(uid, _)| *uid).collect::<Vec<_>>(), uids(56..=59));
    assert_eq!(account.expunge(inbox, None).await, Ok(uids(56..=60)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keystore_that_was_altered_receives_nothing() {
    let cell = cell().await;
    let account = cell.account(ALICE);
    let read = cell.store.read();
    let (row, octets) =
        read.scan(account, RecordKind::EpochBox, vocab::Row(1)).next().unwrap().unwrap();
    let other = cell.account("bob@ie.example");
    let theirs = read.get(other, RecordKind::EpochBox, row).unwrap().unwrap();
    assert_ne!(octets, theirs);
    let batch = store::Batch::new(account).put(RecordKind::EpochBox, row, theirs.to_vec());
    cell.store.append().commit(batch).await.unwrap();
    let reply = cell.mx().await.send("sender@example.org", &[ALICE], LETTER).await;
    assert!(reply.starts_with("451"), "{reply}");
    assert_eq!(cell.rows(RecordKind::LetterHead), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_says_so() {
    let cell = cell().await;
    let mut talk = cell.connect(Service::Mx).await;
    cell.down.send_replace(true);
    talk.expect("421 4.3.2").await;
    assert_eq!(talk.hear().await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_ends_a_session() {
    let mut plan = Plan::new("ie", &[ALICE]);
    plan.limits.silence = std::time::Duration::from_millis(50);
    let cell = Cell::new(plan).await;
    let mut talk = cell.connect(Service::Mx).await;
    talk.expect("421 4.4.2").await;
    assert_eq!(talk.hear().await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_takes_too_long_is_given_up_with_what_it_held() {
    let mut plan = Plan::new("ie", &[ALICE]);
    plan.limits.letter = std::time::Duration::from_millis(300);
    let cell = Cell::new(plan).await;
    let mut talk = cell.mx().await;
    talk.say("MAIL FROM:<sender@example.org>", "250").await;
    talk.say(&format!("RCPT TO:<{ALICE}>"), "250").await;
    talk.say("DATA", "354").await;
    talk.raw(LETTER.as_bytes()).await;
    talk.expect("421 4.4.2").await;
    assert_eq!(talk.hear().await, "");
    assert_eq!(cell.context.budget.left(), 64 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_strangers_make_room_for_a_letter_that_comes() {
    let mut plan = Plan::new("ie", &[ALICE]);
    plan.limits.standing = std::time::Duration::from_millis(100);
    plan.budget = 2 << 20;
    let cell = Cell::new(plan).await;
    let line = "0123456789abcdef\r\n";
    let mut slow = Vec::new();
    for number in 1..=4 {
        let mut talk = cell.mx_from(&format!("198.51.100.{number}:25")).await;
        talk.say("MAIL FROM:<slow@example.org>", "250").await;
        talk.say(&format!("RCPT TO:<{ALICE}>"), "250").await;
        talk.say("DATA", "354").await;
        talk.raw(line.repeat((1 << 20) / line.len() / 4).as_bytes()).await;
        slow.push(talk);
    }
    let large = format!("Subject: a\r\n\r\n{}", line.repeat((1 << 19) / line.len()));
    let reply = cell.mx().await.send("sender@example.org", &[ALICE], &large).await;
    assert!(reply.starts_with("250"), "{reply}");
    // Those that had to go hear why; the others, for whom there was room, finish in their time.
    let mut gone = 0;
    for mut talk in slow {
        talk.raw(b"\r\n.\r\n").await;
        let reply = talk.hear().await;
        gone += usize::from(reply.starts_with("421 4.4.5"));
        assert!(reply.starts_with("421 4.4.5") || reply.starts_with("250"), "{reply}");
    }
    assert!((1..=2).contains(&gone), "{gone}");
    assert_eq!(cell.context.budget.left(), 2 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_too_many_is_told_so() {
    let cell = cell().await;
    let (here, there) = tokio::io::duplex(4096);
    turn_away(there, Service::Mx, &cell.context).await;
    let mut talk = Talk::new(here);
    talk.expect("421 4.3.2").await;
    assert_eq!(talk.hear().await, "");
}
