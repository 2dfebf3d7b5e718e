//! Letters for another cell: handed over while the sender waits, and stored only there.

use std::sync::Arc;

use bailiwick_mail::dns::Dns;
use bailiwick_mail::inbound::{Service, serve};
use vocab::RecordKind;

use super::dns::{Data, Zone};
use super::world::{Cell, Net, Plan, peer};

const ALICE: &str = "alice@ie.example";
const BOB: &str = "bob@us.example";
const IE: &str = "192.0.2.10:26";
const US: &str = "192.0.2.20:26";
const LETTER: &str =
    "From: sender@example.org\r\nSubject: Known subject\r\n\r\nKnown plaintext.\r\n";

/// Two cells that lead to each other.
async fn cells(dns: Option<Dns>) -> (Cell, Cell) {
    let net = Net::default();
    let mut ie = Plan::new("ie", &[ALICE]);
    ie.peers = vec![peer("us", US)];
    ie.net = net.clone();
    ie.dns = dns;
    let mut us = Plan::new("us", &[BOB]);
    us.peers = vec![peer("ie", IE)];
    us.net = net.clone();
    let (ie, us) = (Cell::new(ie).await, Cell::new(us).await);
    for (at, cell) in [(IE, &ie), (US, &us)] {
        let context = Arc::clone(&cell.context);
        net.host(at, move |stream| {
            let context = Arc::clone(&context);
            let from = "192.0.2.99:40000".parse().unwrap();
            tokio::spawn(async move {
                serve(stream, from, Service::Relay, &context).await;
            });
        });
    }
    (ie, us)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_for_the_other_cell_is_stored_only_there() {
    let (ie, us) = cells(None).await;
    let before = ie.store.stats().records_written;
    let mut talk = ie.mx().await;
    let reply = talk.send("sender@example.org", &[BOB], LETTER).await;
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(ie.store.stats().records_written, before);
    assert_eq!(us.rows(RecordKind::LetterHead), 1);
    let inbox = us.inbox(BOB).await;
    let letter = &inbox[0];
    assert!(letter.starts_with("Return-Path: <sender@example.org>\r\nReceived: "), "{letter}");
    assert!(letter.contains("by mx.us.example") && letter.contains("by mx.ie.example"), "{letter}");
    assert!(letter.contains("Authentication-Results: mx.ie.example; none\r\n"), "{letter}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_cell_found_out_the_other_believes() {
    let zone = Zone::default();
    zone.add("careful.example", Data::Txt("v=spf1 -all".to_owned()));
    zone.add("_dmarc.careful.example", Data::Txt("v=DMARC1; p=quarantine".to_owned()));
    let dns = Dns::new(&[zone.serve().await]).unwrap();
    let (ie, us) = cells(Some(dns)).await;
    let letter = "Authentication-Results: mx.ie.example; dmarc=pass\r\n\
        From: a@careful.example\r\nSubject: a\r\n\r\nBody.";
    let reply = ie.mx().await.send("a@careful.example", &[BOB], letter).await;
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(us.inbox(BOB).await.len(), 0);
    let junk = us.mailbox(BOB, "Junk").await;
    assert!(junk[0].contains("dmarc=fail") && !junk[0].contains("dmarc=pass"), "{}", junk[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_cells_answer_is_the_answer() {
    let (ie, us) = cells(None).await;
    let mut talk = ie.mx().await;
    let reply = talk.send("sender@example.org", &["nobody@us.example"], LETTER).await;
    assert!(reply.starts_with("550 5.1.1"), "{reply}");
    ie.plan.net.unplug(US);
    let reply = talk.send("sender@example.org", &[BOB], LETTER).await;
    assert!(reply.starts_with("451"), "{reply}");
    assert_eq!(us.rows(RecordKind::LetterHead), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_of_two_kinds_come_in_two_transactions() {
    let (ie, us) = cells(None).await;
    let mut talk = ie.mx().await;
    talk.say("MAIL FROM:<sender@example.org>", "250").await;
    talk.say(&format!("RCPT TO:<{ALICE}>"), "250").await;
    talk.say(&format!("RCPT TO:<{BOB}>"), "452 4.5.3").await;
    talk.say("RSET", "250").await;
    talk.say("MAIL FROM:<sender@example.org>", "250").await;
    talk.say(&format!("RCPT TO:<{BOB}>"), "250").await;
    talk.say(&format!("RCPT TO:<{ALICE}>"), "452 4.5.3").await;
    talk.say("RCPT TO:<other@us.example>", "452 4.5.3").await;
    talk.say("DATA", "354").await;
    talk.raw(LETTER.as_bytes()).await;
    talk.say(".", "250").await;
    assert_eq!((ie.rows(RecordKind::LetterHead), us.rows(RecordKind::LetterHead)), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_cell_hands_over_stays_or_is_refused() {
    let (_ie, us) = cells(None).await;
    let mut talk = us.connect(Service::Relay).await;
    let reply = talk.say("EHLO mx.ie.example", "250").await;
    assert!(!reply.contains("AUTH") && !reply.contains("STARTTLS"), "{reply}");
    talk.say("MAIL FROM:<sender@example.org>", "250").await;
    talk.say(&format!("RCPT TO:<{ALICE}>"), "550 5.7.1").await;
    talk.say("RCPT TO:<someone@example.net>", "550 5.7.1").await;
    talk.say(&format!("RCPT TO:<{BOB}>"), "250").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_people_reach_the_other_cell_through_the_sealed_queue() {
    let (ie, us) = cells(None).await;
    let mut talk = ie.submission(ALICE).await;
    let letter = "From: alice@ie.example\r\nSubject: Known subject\r\n\r\nKnown plaintext.";
    let reply = talk.send(ALICE, &[BOB], letter).await;
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(ie.rows(RecordKind::QueueItem), 1);
    for known in ["bob@", "known subject", "plaintext"] {
        assert!(!ie.disk_says(known), "{known}");
    }
    assert_eq!(ie.context.queue.run_once().await, 1);
    assert_eq!((ie.rows(RecordKind::QueueItem), ie.rows(RecordKind::QueueBody)), (0, 0));
    assert!(us.inbox(BOB).await[0].contains("Known plaintext."));
}
