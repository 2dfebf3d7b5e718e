//! Letters in over SMTP, and read by their owner over IMAP.

use std::io::ErrorKind;
use std::net::TcpStream;

use crate::cell::{Cell, letter};
use crate::tls::{self, Authority};
use crate::wire::{Imap, Lines, Smtp};

#[test]
fn a_letter_in_over_starttls_is_read_by_its_owner() {
    let cell = Cell::serving("ie");
    let alice = cell.account("alice");
    let (code, text) = cell.mx().deliver("bob@example.org", &alice.address, &letter("corpus"));
    assert_eq!(code, 250, "{text}");
    let mut imap = cell.inbox(&alice);
    let all = imap.ok("UID FETCH 1:* (BODY.PEEK[])");
    assert!(all.contains(&letter("corpus")), "{all}");
    assert!(all.contains("Authentication-Results: mx.ie.example"), "{all}");
    assert!(all.contains("with ESMTPS"), "{all}");
    assert!(imap.ok("SEARCH SUBJECT corpus").contains("* SEARCH 1\r\n"));
    assert_eq!(cell.find_in_data(&["habeas", "chambers", "alice", "example.org"]), None);
}

#[test]
fn a_letter_is_read_octet_for_octet_when_it_is_large() {
    let cell = Cell::serving("ie");
    let alice = cell.account("alice");
    let line = format!("{}\r\n", "chambers ".repeat(8));
    let large = letter("corpus") + &line.repeat(40_000);
    let (code, text) = cell.mx().deliver("bob@example.org", &alice.address, &large);
    assert_eq!(code, 250, "{text}");
    assert!(cell.letters(&alice).contains(&large));
}

#[test]
fn who_is_not_here_and_what_is_not_ours_is_refused() {
    let cell = Cell::serving("ie");
    cell.account("alice");
    let mut smtp = cell.mx();
    assert_eq!(smtp.deliver("bob@example.org", "clerk@ie.example", &letter("x")).0, 550);
    assert_eq!(smtp.deliver("bob@example.org", "clerk@example.net", &letter("x")).0, 550);
}

#[test]
fn a_wrong_secret_and_an_unknown_user_are_told_the_same() {
    let cell = Cell::serving("ie");
    let alice = cell.account("alice");
    let wrong = cell.imap().login(&alice.address, "wrong-wrong-wrong");
    let unknown = cell.imap().login("clerk@ie.example", &alice.app_password);
    assert!(wrong.contains("t1 NO [AUTHENTICATIONFAILED]"), "{wrong}");
    assert_eq!(wrong, unknown);
    // And nothing of an account is reached without a login.
    let select = cell.imap().ask("SELECT INBOX");
    assert!(select.contains("t1 BAD") || select.contains("t1 NO"), "{select}");
}

#[test]
fn submission_is_for_owners_under_their_own_address() {
    let cell = Cell::serving("ie");
    let (alice, clerk) = (cell.account("alice"), cell.account("clerk"));
    let submit = || Smtp::greet(Lines::tls(cell.at("submission"), &cell.hostname, &cell.trust()));
    let mut smtp = submit();
    assert_eq!(smtp.ask(&format!("MAIL FROM:<{}>", alice.address)).0, 530);
    smtp.say(&plain(&alice.address, "wrong-wrong-wrong"), 535);
    smtp.say(&plain(&alice.address, &alice.app_password), 235);
    assert_eq!(smtp.ask(&format!("MAIL FROM:<{}>", clerk.address)).0, 550);
    let sent =
        "From: alice@ie.example\r\nTo: clerk@ie.example\r\nSubject: habeas\r\n\r\nchambers\r\n";
    let (code, text) = smtp.deliver(&alice.address, &clerk.address, sent);
    assert_eq!(code, 250, "{text}");
    let mut imap = cell.inbox(&clerk);
    assert_eq!(wait_for_letters(&mut imap, 1), 1);
    let got = imap.ok("UID FETCH 1 (BODY.PEEK[])");
    assert!(got.contains("chambers") && got.contains("DKIM-Signature:"), "{got}");
}

/// An AUTH command (RFC 4616 §2).
pub(crate) fn plain(user: &str, secret: &str) -> String {
    format!("AUTH PLAIN {}", base64(&format!("\0{user}\0{secret}")))
}

pub(crate) fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// Sits in IDLE until INBOX has so many letters; how many it has then.
fn wait_for_letters(imap: &mut Imap, count: usize) -> usize {
    let there = |said: &str| said.lines().filter(|line| line.contains("FETCH")).count();
    let found = there(&imap.ask("UID FETCH 1:* (UID)"));
    if found >= count {
        return found;
    }
    imap.idle_until("EXISTS");
    there(&imap.ask("UID FETCH 1:* (UID)"))
}

#[test]
fn a_certificate_the_client_does_not_trust_ends_the_handshake_and_not_the_server() {
    let cell = Cell::serving("ie");
    let stranger = tls::client(&Authority::new().pem(), None);
    let mut lines = Lines::tls(cell.at("imap"), &cell.hostname, &stranger);
    assert_eq!(lines.line().unwrap_err().kind(), ErrorKind::InvalidData);
    // Nor does a client that speaks no TLS at all.
    let mut clear = Lines::plain(cell.at("imap"));
    clear.send(b"t1 CAPABILITY\r\n").unwrap();
    assert!(!clear.rest().contains("CAPABILITY"));
    cell.imap().ok("NOOP");
}

#[test]
fn connections_above_the_limit_are_closed_and_those_below_go_on() {
    let mut cell = Cell::new("ie", &Authority::new());
    let (at, limit) = (cell.at("imap"), "\nconnections_max = 1\n");
    cell.edit(&format!("listen = \"{at}\"\n"), &format!("listen = \"{at}\"{limit}"));
    cell.start();
    let mut first = cell.imap();
    for _ in 0..20 {
        assert_eq!(Lines::plain(at).rest(), "");
    }
    first.ok("NOOP");
    first.ok("LOGOUT");
    drop(first);
    cell.until("there is room again", || {
        let mut lines = Lines::tls(at, &cell.hostname, &cell.trust());
        matches!(lines.line(), Ok(line) if line.starts_with(b"* OK"))
    });
}

#[test]
fn a_server_that_finds_no_place_is_told_to_come_again() {
    let mut cell = Cell::new("ie", &Authority::new());
    let (at, limit) = (cell.at("mx"), "\nconnections_max = 1\n");
    cell.edit(&format!("listen = \"{at}\"\n"), &format!("listen = \"{at}\"{limit}"));
    cell.start();
    let mut first = cell.mx();
    let told = || Lines::plain(at).rest() == "421 4.3.2 too busy, closing\r\n";
    assert!(told());
    // Those who do not listen take nobody's turn, and nobody's place.
    let deaf: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(at).unwrap()).collect();
    cell.until("another is told", told);
    first.say("NOOP", 250);
    drop((first, deaf));
    cell.until(
        "there is room again",
        || matches!(Lines::plain(at).line(), Ok(line) if line.starts_with(b"220 ")),
    );
}

#[test]
fn an_unlocker_that_is_revoked_opens_no_more() {
    let cell = Cell::serving("ie");
    let alice = cell.account("alice");
    let add = ["unlocker", "add", &alice.address, "--scope", "imap"];
    let (done, added) = cell.ask_admin(&add, &alice.recovery_code);
    assert!(done, "{added}");
    let second = added["app_password"].as_str().unwrap();
    cell.keep_secret(second);
    assert!(cell.imap().login(&alice.address, second).contains("t1 OK"));
    // It was not given for sending.
    let mut smtp = Smtp::greet(Lines::tls(cell.at("submission"), &cell.hostname, &cell.trust()));
    smtp.say(&plain(&alice.address, second), 535);

    let revoke = ["unlocker", "revoke", &alice.address, &alice.slot];
    let (what, _) = cell.admin_refused(&revoke, "not-the-owner-at-all");
    assert!(what.contains("secret") || what.contains("wrong"), "{what}");
    assert!(cell.imap().login(&alice.address, &alice.app_password).contains("t1 OK"));
    let (done, answer) = cell.ask_admin(&revoke, &alice.recovery_code);
    assert!(done, "{answer}");
    assert!(cell.imap().login(&alice.address, &alice.app_password).contains("t1 NO"));
    assert!(cell.imap().login(&alice.address, second).contains("t1 OK"));
    // What comes after it is sealed to new keys, and still reaches its owner.
    assert_eq!(cell.mx().deliver("bob@example.org", &alice.address, &letter("corpus")).0, 250);
    let mut imap = cell.imap();
    assert!(imap.login(&alice.address, second).contains("t1 OK"));
    imap.ok("SELECT INBOX");
    assert!(imap.ok("UID FETCH 1:* (BODY.PEEK[])").contains("chambers, corpus"));
}

#[test]
fn on_a_full_disk_letters_are_deferred_and_reading_goes_on() {
    let mut cell = Cell::serving("ie");
    let alice = cell.account("alice");
    assert_eq!(cell.mx().deliver("bob@example.org", &alice.address, &letter("first")).0, 250);
    assert!(cell.letters(&alice).contains("chambers, first"));
    assert_eq!(cell.mx().deliver("bob@example.org", &alice.address, &letter("second")).0, 250);
    cell.stop();
    cell.edit("disk_reserve_octets = 268435456", "disk_reserve_octets = 1152921504606846976");
    cell.start();
    let (code, text) = cell.mx().deliver("bob@example.org", &alice.address, &letter("third"));
    assert_eq!(code, 452, "{text}");
    let letters = cell.letters(&alice);
    assert!(letters.contains("chambers, first"), "{letters}");
    // What arrived and was never sorted in waits for room; it is not lost (see below).
    assert!(!letters.contains("chambers, third"), "{letters}");
    let (what, cure) = cell.admin_refused(&["account", "create", "clerk@ie.example"], "");
    assert!(what.contains("full") && cure.contains("disk"), "{what}: {cure}");
    // With room again everything goes on.
    cell.stop();
    cell.edit("disk_reserve_octets = 1152921504606846976", "disk_reserve_octets = 1048576");
    cell.start();
    assert_eq!(cell.mx().deliver("bob@example.org", &alice.address, &letter("fourth")).0, 250);
    let letters = cell.letters(&alice);
    for word in ["first", "second", "fourth"] {
        assert!(letters.contains(&format!("chambers, {word}")), "{word}: {letters}");
    }
    cell.account("clerk");
}
