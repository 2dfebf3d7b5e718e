//! Ends and starts: the clean stop, the power cut, the second server, the unknown format.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use crate::cell::{Cell, letter};
use crate::log::administrative_leaves;
use crate::wire::{Imap, Lines, Smtp};

/// What RFC 5321 §3.8 and RFC 9051 §7.1.5 ask for, within the patience of a service manager.
const STOP: Duration = Duration::from_secs(10);

#[test]
fn a_stop_says_goodbye_on_every_connection() {
    let mut cell = Cell::serving("ie");
    let alice = cell.account("alice");
    let idle = cell.inbox(&alice);
    let stranger = cell.imap();
    let mut smtp = cell.mx();
    smtp.say("MAIL FROM:<bob@example.org>", 250);
    let submission = Smtp::greet(Lines::tls(cell.at("submission"), &cell.hostname, &cell.trust()));
    cell.signal("TERM");
    assert_eq!(cell.ended(STOP).code(), Some(0));
    for smtp in [smtp, submission] {
        let said = smtp.into_lines().rest();
        assert!(said.starts_with("421 "), "{said}");
    }
    for imap in [idle, stranger] {
        let said = Imap::into_lines(imap).rest();
        assert!(said.contains("* BYE"), "{said}");
    }
}

#[test]
fn a_stop_does_not_wait_for_those_who_say_nothing() {
    let mut cell = Cell::serving("ie");
    // No handshake, half a handshake, half a request, half a letter.
    let silent = ["imap", "submission", "mx", "relay", "http"]
        .map(|protocol| TcpStream::connect(cell.at(protocol)).unwrap());
    let mut half = TcpStream::connect(cell.at("http")).unwrap();
    half.write_all(b"GET /checkpoint HTTP/1.1\r\nHost: ").unwrap();
    let mut hello = TcpStream::connect(cell.at("imap")).unwrap();
    hello.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00]).unwrap();
    let alice = cell.account("alice");
    let mut smtp = cell.mx();
    smtp.say("MAIL FROM:<bob@example.org>", 250);
    smtp.say(&format!("RCPT TO:<{}>", alice.address), 250);
    smtp.say("DATA", 354);
    cell.signal("TERM");
    assert_eq!(cell.ended(STOP + Duration::from_secs(5)).code(), Some(0));
    drop((silent, half, hello));
    let said = smtp.into_lines().rest();
    assert!(said.starts_with("421 "), "{said}");
}

#[test]
fn one_data_directory_serves_one_cell() {
    let mut cell = Cell::serving("ie");
    // Even when nothing else of the two would collide.
    let text = cell.text();
    for protocol in ["mx", "submission", "imap", "relay", "http"] {
        let at = cell.at(protocol).to_string();
        let free = std::net::TcpListener::bind((cell.at(protocol).ip(), 0)).unwrap();
        cell.edit(&at, &free.local_addr().unwrap().to_string());
    }
    cell.edit("admin_socket = \"admin.sock\"", "admin_socket = \"other.sock\"");
    let said = cell.refuses_to_start();
    assert!(said.contains("the store is open elsewhere"), "{said}");
    assert!(said.contains("stop the other server, or change `data`"), "{said}");
    std::fs::write(cell.config(), text).unwrap();
    // The first one is not harmed by the attempt, nor by one with its very configuration.
    cell.refuses_to_start();
    cell.account("alice");
    cell.stop();
    cell.start();
}

#[test]
fn what_was_acknowledged_outlives_a_kill() {
    let mut cell = Cell::serving("ie");
    let alice = cell.account("alice");
    for word in ["first", "second"] {
        assert_eq!(cell.mx().deliver("bob@example.org", &alice.address, &letter(word)).0, 250);
        let folded = cell.letters(&alice);
        assert!(folded.contains(&format!("chambers, {word}")));
    }
    assert_eq!(cell.mx().deliver("bob@example.org", &alice.address, &letter("third")).0, 250);
    cell.kill();
    cell.start();
    let letters = cell.letters(&alice);
    for word in ["first", "second", "third"] {
        assert!(letters.contains(&format!("chambers, {word}")), "{word}: {letters}");
    }
    assert_eq!(letters.matches("BODY[]").count(), 3, "{letters}");
    // The account and its unlockers are there, and the log goes on from where it was.
    assert_eq!(administrative_leaves(&cell), 1);
    cell.account("clerk");
    assert_eq!(administrative_leaves(&cell), 2);
}

#[test]
fn a_store_of_a_newer_format_is_not_touched() {
    let mut cell = Cell::serving("ie");
    cell.stop();
    let format = cell.path("data/store/FORMAT");
    std::fs::write(&format, "bailiwick store\nversion 4000\n").unwrap();
    let said = cell.refuses_to_start();
    assert!(said.contains("format 4000") && said.contains("use a newer build"), "{said}");
    assert_eq!(std::fs::read_to_string(&format).unwrap(), "bailiwick store\nversion 4000\n");
    std::fs::write(&format, "something else\n").unwrap();
    let said = cell.refuses_to_start();
    assert!(said.contains("holds no store"), "{said}");
}

#[test]
fn the_keys_of_another_cell_open_nothing() {
    let mut cell = Cell::serving("ie");
    cell.account("alice");
    cell.stop();
    let keys = std::fs::read_to_string(cell.path("cell.keys")).unwrap();
    let secret = keys.lines().find_map(|line| line.strip_prefix("secret ")).unwrap();
    let digit = if secret.starts_with('0') { "1" } else { "0" };
    let damaged = keys.replace(secret, &format!("{digit}{}", &secret[1..]));
    std::fs::write(cell.path("cell.keys"), damaged).unwrap();
    let said = cell.refuses_to_start();
    assert!(said.contains("restore it from your copy"), "{said}");
    std::fs::write(cell.path("cell.keys"), keys).unwrap();
    cell.start();
}
