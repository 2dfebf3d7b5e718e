//! The administration socket: who may open it, what it refuses, and what it does.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::cell::{Cell, bailiwick, letter, stderr};
use crate::log::administrative_leaves;
use crate::tls::Authority;

/// Octets on the socket, and the line that comes back.
fn raw(cell: &Cell, octets: &[u8]) -> String {
    let mut stream = UnixStream::connect(cell.path("admin.sock")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // The cell may stop reading before we stop writing.
    let _ = stream.write_all(octets);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn the_socket_is_the_cells_user_alone() {
    let mut cell = Cell::serving("ie");
    let mode = std::fs::metadata(cell.path("admin.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    cell.stop();
    let unanswered = bailiwick(&["admin", "--config", &cell.config(), "log"]);
    assert!(!unanswered.status.success());
    assert!(stderr(&unanswered).contains("start it with `bailiwick serve`"), "{unanswered:?}");
}

#[test]
fn junk_gets_a_line_that_says_so() {
    let cell = Cell::serving("ie");
    let requests: [&[u8]; 7] = [
        b"\n",
        b"",
        b"hello\n",
        b"{\"do\":\"open-everything\"}\n",
        b"{\"do\":\"account-create\",\"address\":7}\n",
        b"\xff\xfe\x00\n",
        b"{\"do\":\"log\"",
    ];
    for request in requests {
        let answer = raw(&cell, request);
        assert!(answer.ends_with("}\n"), "{request:?}: {answer}");
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["answer"], "refused", "{request:?}");
        assert!(!answer["cure"].as_str().unwrap().is_empty());
    }
    let deep = "[".repeat(1 << 20) + "\n";
    assert!(raw(&cell, deep.as_bytes()).contains("refused"));
    assert!(raw(&cell, b"{\"do\":\"log\"}\n").contains("\"answer\":\"log\""));
}

#[test]
fn a_request_without_an_end_is_cut_off() {
    let cell = Cell::serving("ie");
    let endless = vec![b'x'; (64 << 20) + (1 << 16)];
    let answer = raw(&cell, &endless);
    assert!(answer.contains("refused"), "{answer}");
    cell.admin(&["log"]);
}

#[test]
fn an_account_is_made_once_and_only_at_home() {
    let cell = Cell::serving("ie");
    let alice = cell.account("alice");
    let create = |address: &str| cell.admin_refused(&["account", "create", address], "");
    assert!(create(&alice.address).0.contains("taken"));
    assert!(create("Alice@IE.example").0.contains("taken"));
    assert!(create("clerk@us.example").1.contains("[cell] domains"));
    assert!(create("not an address").1.contains("alice@ie.example"));
    let trustee = ["account", "create", "clerk@ie.example", "--custody", "trustee"];
    assert!(cell.admin_refused(&trustee, "").1.contains("[custody]"));
    let listed = cell.admin(&["account", "list"]);
    assert_eq!(listed["accounts"].as_array().unwrap().len(), 1);
    assert!(!listed.to_string().contains("alice"), "{listed}");
    // A refused request leaves no leaf behind.
    assert_eq!(administrative_leaves(&cell), 1);
}

#[test]
fn an_alias_leads_to_its_account_until_it_is_removed() {
    let cell = Cell::serving("ie");
    let alice = cell.account("alice");
    let clerk = "clerk@ie.example";
    let deliver = |to: &str, word: &str| cell.mx().deliver("bob@example.org", to, &letter(word)).0;
    assert_eq!(deliver(clerk, "early"), 550);
    cell.admin(&["alias", "add", clerk, &alice.address]);
    assert_eq!(deliver(clerk, "corpus"), 250);
    assert!(cell.letters(&alice).contains("chambers, corpus"));
    assert!(cell.admin_refused(&["alias", "add", clerk, &alice.address], "").0.contains("taken"));
    cell.admin(&["alias", "remove", clerk]);
    assert_eq!(deliver(clerk, "late"), 550);
    let (what, _) = cell.admin_refused(&["alias", "remove", &alice.address], "");
    assert!(what.contains("only address"), "{what}");
    assert_eq!(deliver(&alice.address, "still"), 250);
    let (what, _) = cell.admin_refused(&["alias", "add", clerk, "nobody@ie.example"], "");
    assert!(what.contains("no account"), "{what}");
    // Made, added, removed.
    assert_eq!(administrative_leaves(&cell), 3);
}

/// RFC 5321 §4.5.1: as `init` writes it, until the account is made; and when it is.
#[test]
fn letters_to_the_postmaster_wait_until_somebody_is() {
    let cell = Cell::serving("ie");
    cell.wait_for("[cell] postmaster has no account yet");
    let deliver = |to: &str| cell.mx().deliver("bob@example.org", to, &letter("corpus")).0;
    assert_eq!((deliver("postmaster"), deliver("abuse@ie.example")), (450, 450));
    let office = cell.account("postmaster");
    assert_eq!((deliver("postmaster"), deliver("abuse@ie.example")), (250, 250));
    assert_eq!(cell.letters(&office).matches("chambers, corpus").count(), 2);
    // Somebody else's from now on.
    let alice = cell.account("alice");
    cell.admin(&["alias", "add", "abuse@ie.example", &alice.address]);
    assert_eq!(deliver("abuse@ie.example"), 250);
    assert!(cell.letters(&alice).contains("chambers, corpus"));
}

#[test]
fn a_quota_is_the_cells_or_the_accounts_own() {
    let mut cell = Cell::new("ie", &Authority::new());
    cell.edit("# account_octets_max = 10737418240", "account_octets_max = 1000000");
    cell.start();
    let alice = cell.account("alice");
    let quota =
        |words: &[&str]| cell.admin(&[&["account", "quota", &alice.address], words].concat());
    let usual = quota(&[]);
    assert_eq!((&usual["octets"], &usual["is_usual"]), (&1_000_000.into(), &true.into()));
    assert!(usual["used_octets"].as_u64().unwrap() > 0, "{usual}");
    let deliver = || cell.mx().deliver("bob@example.org", &alice.address, &letter("corpus")).0;
    assert_eq!(deliver(), 250);
    let own = quota(&["--octets", "1"]);
    assert_eq!((&own["octets"], &own["is_usual"]), (&1.into(), &false.into()));
    assert_eq!(deliver(), 452);
    quota(&["--messages", "1"]);
    assert_eq!(deliver(), 452);
    assert_eq!(quota(&["--unlimited"])["octets"], serde_json::Value::Null);
    assert_eq!(deliver(), 250);
    assert_eq!(quota(&["--usual"])["octets"], 1_000_000);
    assert_eq!(administrative_leaves(&cell), 1);
}

#[test]
fn an_alias_is_there_after_a_restart() {
    let mut cell = Cell::serving("ie");
    let alice = cell.account("alice");
    cell.admin(&["alias", "add", "clerk@ie.example", &alice.address]);
    cell.stop();
    assert_eq!(cell.find_in_data(&["clerk", "alice"]), None);
    cell.start();
    let sent = cell.mx().deliver("bob@example.org", "clerk@ie.example", &letter("corpus"));
    assert_eq!(sent.0, 250, "{}", sent.1);
    assert!(cell.letters(&alice).contains("chambers, corpus"));
}

#[test]
fn the_map_names_what_is_kept_and_no_address() {
    let cell = Cell::serving("ie");
    let alice = cell.account("alice");
    cell.mx().deliver("bob@example.org", &alice.address, &letter("corpus"));
    let map = cell.admin(&["account", "map", &alice.address]);
    assert_eq!(map["custody"], "sealed");
    assert!(map["lines"].as_array().unwrap().len() > 5, "{map}");
    for word in ["alice", "bob", "habeas", "example"] {
        assert!(!map.to_string().contains(word), "{word}: {map}");
    }
}

#[test]
fn the_account_that_minds_the_cell_is_not_deleted_unawares() {
    let cell = Cell::serving("ie");
    let office = cell.account("postmaster");
    let delete = ["account", "delete", &office.address];
    let (what, cure) = cell.admin_refused(&delete, &office.recovery_code);
    assert_eq!(what, "the account gets what is written to postmaster and abuse");
    assert!(cure.contains("[cell] postmaster"), "{cure}");
    assert_eq!(cell.mx().deliver("bob@example.org", &office.address, &letter("corpus")).0, 250);
}
