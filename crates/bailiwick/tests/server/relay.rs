//! Letters between cells: the wrong cell hands them over and keeps nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::cell::{Cell, letter, pair};
use crate::mail::plain;
use crate::tls::{self, Authority, Papers};
use crate::wire::{Lines, Smtp};

const PAGE: [u8; 4096] = [0; 4096];

/// Every octet the cell's store has ever written: its journal is append-only, and the room made
/// ready in it is zeros.
fn journal(cell: &Cell) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(cell.path("data/store/journal")).unwrap();
    let files = files.map(|entry| {
        let path = entry.unwrap().path();
        let mut octets = fs::read(&path).unwrap();
        while octets.len() >= PAGE.len() && octets.ends_with(&PAGE) {
            octets.truncate(octets.len() - PAGE.len());
        }
        (path, octets)
    });
    files.filter(|(_, octets)| !octets.is_empty()).collect()
}

#[test]
fn a_letter_at_the_wrong_cell_is_handed_over_and_not_kept() {
    let (mut ie, mut us) = pair();
    us.start();
    ie.start();
    ie.account("clerk");
    let alice = us.account("alice");
    let large = letter("corpus") + &"in chambers, all day long\r\n".repeat(100_000);
    let before = journal(&ie);
    let (code, text) = ie.mx().deliver("bob@example.org", &alice.address, &large);
    assert_eq!(code, 250, "{text}");
    assert!(journal(&us).values().map(Vec::len).sum::<usize>() > large.len(), "looking finds it");
    let letters = us.letters(&alice);
    assert!(letters.contains(&large));
    // The right cell believes what the wrong one found, and says both stations.
    assert!(letters.contains("Authentication-Results: mx.ie.example"), "no results");
    assert!(letters.contains("by mx.ie.example") && letters.contains("by mx.us.example"));
    assert!(journal(&ie) == before, "the wrong cell wrote something down");
    let words = ["habeas", "chambers", "alice", "bob@example.org"];
    assert_eq!(ie.find_in_data(&words), None);
    assert_eq!(ie.admin(&["queue", "list"])["waiting"], 0);
    ie.stop();
    assert_eq!(ie.find_in_data(&words), None);
}

#[test]
fn what_the_right_cell_says_is_the_answer() {
    let (mut ie, mut us) = pair();
    us.start();
    ie.start();
    let alice = us.account("alice");
    let deliver = |to: &str| ie.mx().deliver("bob@example.org", to, &letter("corpus"));
    let (code, text) = deliver("clerk@us.example");
    assert_eq!(code, 550, "{text}");
    us.stop();
    us.edit("disk_reserve_octets = 268435456", "disk_reserve_octets = 1152921504606846976");
    us.start();
    let (code, text) = deliver(&alice.address);
    assert_eq!(code, 452, "{text}");
}

#[test]
fn while_the_right_cell_is_down_its_letters_wait_with_their_senders() {
    let (mut ie, mut us) = pair();
    us.start();
    let alice = us.account("alice");
    us.stop();
    ie.start();
    let (code, text) = ie.mx().deliver("bob@example.org", &alice.address, &letter("corpus"));
    assert!((400..500).contains(&code), "{text}");
    assert_eq!(ie.admin(&["queue", "list"])["waiting"], 0);
    us.start();
    let (code, text) = ie.mx().deliver("bob@example.org", &alice.address, &letter("corpus"));
    assert_eq!(code, 250, "{text}");
    assert_eq!(us.letters(&alice).matches("chambers, corpus").count(), 1);
}

#[test]
fn what_waits_goes_at_once_when_the_administrator_says_so() {
    let (mut ie, mut us) = pair();
    us.start();
    let alice = us.account("alice");
    us.stop();
    ie.edit("retry_minutes = [1,", "retry_minutes = [600,");
    ie.start();
    let clerk = ie.account("clerk");
    let mut smtp = Smtp::greet(Lines::tls(ie.at("submission"), &ie.hostname, &ie.trust()));
    smtp.say(&plain(&clerk.address, &clerk.app_password), 235);
    let sent = "From: clerk@ie.example\r\nSubject: habeas\r\n\r\nchambers, corpus\r\n";
    let (code, text) = smtp.deliver(&clerk.address, &alice.address, sent);
    assert_eq!(code, 250, "{text}");
    ie.until("the letter waits", || ie.admin(&["queue", "list"])["deferred"] == 1);
    let listed = ie.admin(&["queue", "list"]);
    assert!(listed["next_seconds"].as_u64().unwrap() > 30_000, "{listed}");
    assert!(listed["oldest_seconds"].as_u64().unwrap() < 3_600, "{listed}");
    for word in ["alice", "clerk", "example"] {
        assert!(!listed.to_string().contains(word), "{listed}");
    }
    us.start();
    ie.admin(&["queue", "flush"]);
    ie.until("the queue is empty", || ie.admin(&["queue", "list"])["waiting"] == 0);
    assert_eq!(us.letters(&alice).matches("chambers, corpus").count(), 1);
    assert!(ie.admin(&["queue", "list"])["next_seconds"].is_null());
}

/// Whether the relay port lets this client say a word.
fn is_let_in(cell: &Cell, papers: Option<&Papers>) -> bool {
    let config = tls::client(&fs::read_to_string(cell.path("ca.crt")).unwrap(), papers);
    let mut lines = Lines::tls(cell.at("relay"), &cell.hostname, &config);
    // In TLS 1.3 the client has finished before the server refuses its certificate.
    matches!(lines.line(), Ok(line) if line.starts_with(b"220 "))
}

#[test]
fn only_a_cell_may_relay() {
    let authority = Authority::new();
    let (mut ie, us) = (Cell::new("ie", &authority), Cell::new("us", &authority));
    ie.meet(&us);
    ie.start();
    let alice = ie.account("alice");
    assert!(!is_let_in(&ie, None), "without a certificate");
    let stranger = Authority::new().sign("mx.us.example");
    assert!(!is_let_in(&ie, Some(&stranger)), "with a stranger's certificate");
    let peer = authority.sign("mx.us.example");
    assert!(is_let_in(&ie, Some(&peer)), "with a cell's certificate");
    let mut clear = Lines::plain(ie.at("relay"));
    clear.send(b"EHLO mx.us.example\r\n").unwrap();
    assert!(!clear.rest().contains("250"), "in the clear");

    // And what a cell brings must belong here: no letter goes round in circles.
    let config = tls::client(&authority.pem(), Some(&peer));
    let mut smtp = Smtp::greet(Lines::tls(ie.at("relay"), &ie.hostname, &config));
    assert_eq!(smtp.deliver("bob@example.org", &alice.address, &letter("corpus")).0, 250);
    assert_eq!(smtp.deliver("bob@example.org", "clerk@us.example", &letter("x")).0 / 100, 5);
    assert_eq!(smtp.deliver("bob@example.org", "clerk@example.net", &letter("x")).0 / 100, 5);
}

#[test]
fn a_host_the_authority_signed_is_not_thereby_a_cell() {
    let authority = Authority::new();
    let (mut ie, us) = (Cell::new("ie", &authority), Cell::new("us", &authority));
    ie.meet(&us);
    ie.start();
    let printer = authority.sign("printer.ie.example");
    assert!(!is_let_in(&ie, Some(&printer)), "a host that is no peer relays");
}

#[test]
fn nothing_is_handed_to_a_host_that_is_not_the_cell() {
    let authority = Authority::new();
    let (mut ie, mut us) = (Cell::new("ie", &authority), Cell::new("us", &authority));
    ie.meet(&us);
    us.meet(&ie);
    // Somebody else's host at the other cell's address, with papers of its own.
    us.install(&authority.sign("mx.elsewhere.example"));
    us.start();
    ie.start();
    let alice = us.account("alice");
    let (code, text) = ie.mx().deliver("bob@example.org", &alice.address, &letter("corpus"));
    assert!((400..500).contains(&code), "{text}");
    assert_eq!(us.admin(&["account", "list"])["accounts"][0]["arrived_unfolded"], 0);
}
