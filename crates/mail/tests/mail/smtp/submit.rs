//! What our own people send: only as themselves, completed, signed, and safely kept.

use bailiwick_mail::inbound::Service;
use proto::address::Address;
use vocab::RecordKind;

use super::world::{Cell, Plan};

const ALICE: &str = "alice@ie.example";
const BOB: &str = "bob@ie.example";

async fn cell() -> Cell {
    let mut plan = Plan::new("ie", &[ALICE, BOB]);
    plan.is_signing = true;
    Cell::new(plan).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sends_without_logging_in() {
    let cell = cell().await;
    let mut talk = cell.connect(Service::Submission).await;
    let reply = talk.say("EHLO laptop", "250").await;
    assert!(reply.contains("AUTH PLAIN"), "{reply}");
    talk.say(&format!("MAIL FROM:<{ALICE}>"), "530").await;
    talk.say("AUTH PLAIN AGFsaWNlQGllLmV4YW1wbGUAd3Jvbmc=", "535 5.7.8").await;
    talk.say("AUTH PLAIN AG5vYm9keUBpZS5leGFtcGxlAHdyb25n", "535 5.7.8").await;
    talk.say(&format!("AUTH PLAIN {}", cell.credentials(ALICE)), "235").await;
    talk.say(&format!("MAIL FROM:<{ALICE}>"), "250").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sends_as_another() {
    let cell = cell().await;
    let mut talk = cell.submission(ALICE).await;
    talk.say(&format!("MAIL FROM:<{BOB}>"), "550 5.7.1").await;
    talk.say("MAIL FROM:<alice@example.org>", "550 5.7.1").await;
    for (header, code) in [
        ("From: bob@ie.example", "550 5.7.1"),
        ("From: alice@ie.example, bob@ie.example", "550 5.7.1"),
        ("From: alice@ie.example\r\nFrom: bob@ie.example", "550 5.6.0"),
        ("From: alice@ie.example\r\nSender: bob@ie.example", "550 5.7.1"),
        ("From: \"alice@ie.example\" <bob@ie.example>", "550 5.7.1"),
        ("From: alice@ie.example (x)\r\nfrom : bob@ie.example", "550 5.6.0"),
        ("From: undisclosed:;", "550 5.6.0"),
        ("Subject: no author", "550 5.6.0"),
        ("not a field\r\nFrom: alice@ie.example", "550 5.6.0"),
    ] {
        let reply = talk.send(ALICE, &[BOB], &format!("{header}\r\n\r\nBody.")).await;
        assert!(reply.starts_with(code), "{header}: {reply}");
    }
    assert_eq!(cell.rows(RecordKind::LetterHead), 0);
    assert_eq!(cell.rows(RecordKind::QueueItem), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_completed_signed_and_delivered() {
    let cell = cell().await;
    let alias = Address::parse("info@ie.example").unwrap();
    cell.context.routes.add(&alias, cell.account(ALICE), true).await.unwrap();
    let mut talk = cell.submission(ALICE).await;
    let letter = "From: Info <info+desk@ie.example>\r\nTo: bob@ie.example\r\n\
        Bcc: secret@example.org\r\nAuthentication-Results: mx.ie.example; dmarc=pass\r\n\
        Subject: a\r\n\r\nBody.";
    let reply = talk.send("info@ie.example", &[BOB], letter).await;
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(cell.rows(RecordKind::QueueItem), 0);
    let inbox = cell.inbox(BOB).await;
    let letter = &inbox[0];
    assert!(!letter.contains("secret@") && !letter.contains("dmarc=pass"), "{letter}");
    assert!(letter.contains("\r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\n"), "{letter}");
    assert!(letter.contains("\r\nMessage-ID: <"), "{letter}");
    assert_eq!(letter.matches("DKIM-Signature: v=1;").count(), 2, "{letter}");
    // Where our people are is nobody's business.
    assert!(letter.contains("Received: by mx.ie.example with ESMTPSA id"), "{letter}");
    assert!(!letter.contains("192.0.2.1") && !letter.contains("laptop"), "{letter}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_elsewhere_is_sealed_in_the_queue_before_it_is_acknowledged() {
    let cell = cell().await;
    let mut talk = cell.submission(ALICE).await;
    talk.say(&format!("MAIL FROM:<{ALICE}>"), "250").await;
    talk.say("RCPT TO:<nobody@ie.example>", "550 5.1.1").await;
    talk.say("RCPT TO:<someone@[192.0.2.7]>", "550 5.7.1").await;
    talk.say("RCPT TO:<someone@example.net>", "250").await;
    talk.say(&format!("RCPT TO:<{BOB}>"), "250").await;
    talk.say("DATA", "354").await;
    talk.raw(b"From: alice@ie.example\r\nSubject: Known subject\r\n\r\nKnown plaintext.\r\n").await;
    talk.say(".", "250").await;
    assert_eq!(cell.rows(RecordKind::QueueItem), 1);
    assert_eq!(cell.rows(RecordKind::QueueBody), 1);
    assert_eq!(cell.inbox(BOB).await.len(), 1);
    for known in ["someone@", "alice@", "known subject", "plaintext"] {
        assert!(!cell.disk_says(known), "{known}");
    }
    let status = cell.context.queue.status();
    assert_eq!((status.items, status.deferred, status.in_flight), (1, 0, 0));
}
