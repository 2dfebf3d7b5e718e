//! SPF, DKIM and DMARC over a real resolver, and what is done with what they say.

use bailiwick_mail::dkim::{Signer, SignerError, SignerOptions};
use bailiwick_mail::dns::Dns;
use proto::address::Domain;
use seal::Secret;
use vocab::RecordKind;

use super::dns::{Data, Zone};
use super::world::{Cell, Plan, signer};

const ALICE: &str = "alice@ie.example";

async fn cell(zone: &Zone) -> Cell {
    let mut plan = Plan::new("ie", &[ALICE]);
    plan.dns = Some(Dns::new(&[zone.serve().await]).unwrap());
    Cell::new(plan).await
}

fn text(zone: &Zone, name: &str, text: &str) {
    zone.add(name, Data::Txt(text.to_owned()));
}

fn letter(from: &str) -> String {
    format!("From: {from}\r\nTo: {ALICE}\r\nSubject: a\r\n\r\nBody.\r\n")
}

fn signed() -> Domain {
    Domain::parse("signed.example").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_reject_is_refused_in_the_session() {
    let zone = Zone::default();
    text(&zone, "strict.example", "v=spf1 ip4:198.51.100.0/24 -all");
    text(&zone, "_dmarc.strict.example", "v=DMARC1; p=reject");
    let cell = cell(&zone).await;
    let mut talk = cell.mx().await;
    let reply = talk.send("a@strict.example", &[ALICE], &letter("a@strict.example")).await;
    assert!(reply.starts_with("550 5.7.26"), "{reply}");
    assert_eq!(cell.rows(RecordKind::LetterHead), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_quarantine_leads_to_junk_and_a_pass_to_the_inbox() {
    let zone = Zone::default();
    text(&zone, "careful.example", "v=spf1 ip4:198.51.100.0/24 -all");
    text(&zone, "_dmarc.careful.example", "v=DMARC1; p=quarantine");
    text(&zone, "good.example", "v=spf1 ip4:192.0.2.1 -all");
    text(&zone, "_dmarc.good.example", "v=DMARC1; p=reject");
    let cell = cell(&zone).await;
    let mut talk = cell.mx().await;
    for from in ["a@careful.example", "a@good.example"] {
        let forged = format!(
            "Authentication-Results: mx.ie.example; dmarc=pass\r\n{}",
            letter(&format!("<{from}>"))
        );
        let reply = talk.send(from, &[ALICE], &forged).await;
        assert!(reply.starts_with("250"), "{reply}");
    }
    let (inbox, junk) = (cell.inbox(ALICE).await, cell.mailbox(ALICE, "Junk").await);
    assert_eq!((inbox.len(), junk.len()), (1, 1));
    assert!(inbox[0].contains("spf=pass") && inbox[0].contains("dmarc=pass"), "{}", inbox[0]);
    assert!(inbox[0].contains("dkim=none"), "{}", inbox[0]);
    assert!(junk[0].contains("dmarc=fail") && !junk[0].contains("dmarc=pass"), "{}", junk[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_of_our_signatures_check_and_a_changed_letter_does_not() {
    let zone = Zone::default();
    let signer = signer(&signed());
    for record in signer.records() {
        text(&zone, &record.name, &record.text);
    }
    text(&zone, "_dmarc.signed.example", "v=DMARC1; p=reject");
    let cell = cell(&zone).await;
    let plain = letter("a@signed.example");
    let fields = signer.sign(&signed(), plain.as_bytes()).unwrap();
    let signed = format!("{}{plain}\r\n", String::from_utf8(fields).unwrap());
    let mut talk = cell.mx().await;
    let reply = talk.send("bounce@other.example", &[ALICE], signed.trim_end()).await;
    assert!(reply.starts_with("250"), "{reply}");
    let inbox = cell.inbox(ALICE).await;
    let results: Vec<_> = inbox[0].matches("dkim=pass header.d=signed.example").collect();
    assert_eq!(results.len(), 2, "{}", inbox[0]);
    assert!(inbox[0].contains("a=rsa-sha256") && inbox[0].contains("a=ed25519-sha256"));
    let changed = signed.replace("Body.", "Other.");
    let reply = talk.send("bounce@other.example", &[ALICE], changed.trim_end()).await;
    assert!(reply.starts_with("550 5.7.26"), "{reply}");
    // A second Subject, which a signature that names Subject once would let pass.
    let added = signed.replace("From: a@", "Subject: other\r\nFrom: a@");
    let reply = talk.send("bounce@other.example", &[ALICE], added.trim_end()).await;
    assert!(reply.starts_with("550 5.7.26"), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_whose_policy_cannot_be_judged_now_is_deferred() {
    let zone = Zone::default();
    zone.add("half.example", Data::Servfail);
    text(&zone, "_dmarc.half.example", "v=DMARC1; p=reject");
    zone.add("dark.example", Data::Servfail);
    zone.add("_dmarc.dark.example", Data::Servfail);
    let cell = cell(&zone).await;
    let mut talk = cell.mx().await;
    let reply = talk.send("a@half.example", &[ALICE], &letter("a@half.example")).await;
    assert!(reply.starts_with("451 4.4.3"), "{reply}");
    // Of which nothing at all is known, it is let in, and says so.
    let reply = talk.send("a@dark.example", &[ALICE], &letter("a@dark.example")).await;
    assert!(reply.starts_with("250"), "{reply}");
    let inbox = cell.inbox(ALICE).await;
    assert!(inbox[0].contains("dmarc=temperror"), "{}", inbox[0]);
}

/// Whoever writes the envelope chooses whose DNS SPF asks.
#[tokio::test(flavor = "multi_thread")]
async fn a_forger_whose_dns_is_silent_does_not_silence_dmarc() {
    let zone = Zone::default();
    zone.add("slow.example", Data::Silence);
    text(&zone, "_dmarc.bank.example", "v=DMARC1; p=reject");
    let mut plan = Plan::new("ie", &[ALICE]);
    // A third of it is DMARC's alone.
    plan.limits.checks = core::time::Duration::from_millis(1500);
    plan.dns = Some(Dns::new(&[zone.serve().await]).unwrap());
    let cell = Cell::new(plan).await;
    let mut talk = cell.mx().await;
    let reply = talk.send("a@slow.example", &[ALICE], &letter("ceo@bank.example")).await;
    assert!(reply.starts_with("550 5.7.26"), "{reply}");
    let reply = talk.send("a@slow.example", &[ALICE], &letter("a@slow.example")).await;
    assert!(reply.starts_with("250"), "{reply}");
    assert!(cell.inbox(ALICE).await[0].contains("spf=temperror"));
}

#[tokio::test(flavor = "multi_thread")]
async fn spf_is_asked_as_the_rfc_says_over_a_real_resolver() {
    let zone = Zone::default();
    text(&zone, "two.example", "v=spf1 +all");
    text(&zone, "two.example", "v=spf1 ip4:192.0.2.1 -all");
    text(&zone, "broken.example", "v=spf1 +all moo");
    text(&zone, "named.example", "v=spf1 ptr -all");
    zone.add("1.2.0.192.in-addr.arpa", Data::Ptr("mail.named.example"));
    zone.add("mail.named.example", Data::A([192, 0, 2, 1].into()));
    text(&zone, "odd.example", "v=spf1 a:x:y/z.odd.example -all");
    zone.add("x:y/z.odd.example", Data::A([192, 0, 2, 1].into()));
    let cell = cell(&zone).await;
    let mut talk = cell.mx().await;
    for (domain, wanted) in [
        ("two.example", "spf=permerror"),
        ("broken.example", "spf=permerror"),
        ("named.example", "spf=pass"),
        ("odd.example", "spf=pass"),
    ] {
        let from = format!("a@{domain}");
        let reply = talk.send(&from, &[ALICE], &letter(&from)).await;
        assert!(reply.starts_with("250"), "{reply}");
        let inbox = cell.inbox(ALICE).await;
        let last = inbox.last().unwrap();
        assert!(last.contains(wanted) && last.contains(domain), "{last}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_literal_has_no_spf_policy() {
    let zone = Zone::default();
    let cell = cell(&zone).await;
    let mut talk = cell.mx().await;
    let reply = talk.send("a@[192.0.2.1]", &[ALICE], &letter("a@example.org")).await;
    assert!(reply.starts_with("250"), "{reply}");
    let inbox = cell.inbox(ALICE).await;
    assert!(inbox[0].contains("spf=none"), "{}", inbox[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_with_two_authors_to_choose_from_is_junk() {
    let zone = Zone::default();
    let cell = cell(&zone).await;
    let mut talk = cell.mx().await;
    let two = format!("From: ceo@bank.example\r\n{}", letter("a@example.org"));
    let reply = talk.send("a@example.org", &[ALICE], &two).await;
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(cell.inbox(ALICE).await.len(), 0);
    assert_eq!(cell.mailbox(ALICE, "Junk").await.len(), 1);
}

#[test]
fn a_signer_wants_a_key_that_others_accept() {
    let with = |rsa_key| {
        Signer::new(SignerOptions {
            domains: &[Domain::parse("signed.example").unwrap()],
            ed25519_seed: Secret::copied(&[9; 32]),
            ed25519_selector: "ed",
            rsa_key,
            rsa_selector: "rsa",
        })
        .err()
    };
    assert_eq!(with("not a key"), Some(SignerError::Rsa));
    assert_eq!(with(include_str!("dkim-test-key.pem")), None);
    let other = Domain::parse("other.example").unwrap();
    assert_eq!(signer(&signed()).sign(&other, b"From: a@other.example\r\n\r\n"), Ok(Vec::new()));
}
