//! An owner re-keys an account and changes its custody, with commands, while programs go on.

use serde_json::{Value, json};
use store::{Options, Store};
use vocab::{AccountId, RecordKind, Row};

use crate::cell::{Account, Cell, letter};
use crate::config::{group, holder, public_key};
use crate::log::administrative_leaves;
use crate::tls::Authority;

const ALICE: &str = "alice@ie.example";

fn ask(cell: &Cell, words: &[&str], secret: &str) -> Value {
    let (done, answer) = cell.ask_admin(words, secret);
    assert!(done, "{words:?}: {answer}");
    answer
}

fn shown(cell: &Cell) -> (Value, Value) {
    let shown = cell.admin(&["account", "show", ALICE]);
    (shown["custody"].clone(), shown["holders"].clone())
}

fn deliver(cell: &Cell, word: &str) {
    assert_eq!(cell.mx().deliver("bob@example.org", ALICE, &letter(word)).0, 250);
}

fn reads(cell: &Cell, alice: &Account, words: &[&str]) {
    let letters = cell.letters(alice);
    for word in words {
        assert!(letters.contains(&format!("chambers, {word}")), "{word}: {letters}");
    }
}

/// How many escrows, and which versions of epochs, are on the disk of a stopped cell.
fn on_disk(cell: &Cell) -> (usize, Vec<u64>) {
    let store = Store::open(&cell.path("data/store"), Options::default()).unwrap();
    let read = store.read();
    let owners: Vec<AccountId> = read
        .accounts()
        .map(|found| found.unwrap().0)
        .filter(|id| read.last_row(*id, RecordKind::Manifest).unwrap().is_some())
        .collect();
    let rows = |kind| {
        let of = |id: &AccountId| read.scan(*id, kind, Row(0)).map(|found| found.unwrap().0.0);
        owners.iter().flat_map(of).collect::<Vec<u64>>()
    };
    let mut versions: Vec<u64> =
        rows(RecordKind::EpochBox).iter().map(|row| row & 0xffff_ffff).collect();
    versions.sort_unstable();
    versions.dedup();
    (rows(RecordKind::Escrow).len(), versions)
}

#[test]
fn an_owner_rekeys_and_changes_custody_and_programs_go_on() {
    let mut cell = Cell::new("ie", &Authority::new());
    let named = |id| holder(id, &public_key(id));
    let trustees: Vec<_> = (1..4).map(named).collect();
    let guards: Vec<_> = (101..103).map(named).collect();
    cell.append(&(group("trustees", 2, &trustees) + &group("guards", 1, &guards)));
    cell.start();
    let alice = cell.account("alice");
    deliver(&cell, "corpus");
    reads(&cell, &alice, &["corpus"]);
    assert_eq!(shown(&cell), (json!("sealed"), json!("none")));
    // An app password changes nothing, and neither does whoever has the socket.
    for secret in [alice.app_password.as_str(), "a password nobody has"] {
        for words in [&["account", "rekey", ALICE][..], &["account", "custody", ALICE, "trustee"]] {
            cell.admin_refused(words, secret);
        }
    }
    let (what, cure) =
        cell.admin_refused(&["account", "custody", ALICE, "managed"], &alice.recovery_code);
    assert!(what.contains("does not offer") && cure.contains("[custody]"), "{what} {cure}");
    assert_eq!(shown(&cell), (json!("sealed"), json!("none")));
    let logged = administrative_leaves(&cell);
    let custody = ["account", "custody", ALICE, "trustee"];
    let done = ask(&cell, &custody, &alice.recovery_code);
    assert_eq!((&done["before"], &done["custody"]), (&json!("sealed"), &json!("trustee")));
    assert_eq!(done["is_finished"], true, "{done}");
    assert_eq!(shown(&cell), (json!("trustee"), json!("present")));
    assert_eq!(administrative_leaves(&cell), logged + 1);
    deliver(&cell, "habeas");
    reads(&cell, &alice, &["corpus", "habeas"]);
    assert_eq!(ask(&cell, &["account", "rekey", ALICE], &alice.recovery_code)["is_finished"], true);
    cell.stop();
    let (escrows, versions) = on_disk(&cell);
    assert!(escrows >= 14, "{escrows}");
    assert_eq!(versions, [3]);
    cell.start();
    reads(&cell, &alice, &["corpus", "habeas"]);
    let done = ask(&cell, &["account", "custody", ALICE, "sealed"], &alice.recovery_code);
    assert_eq!((&done["custody"], &done["is_finished"]), (&json!("sealed"), &json!(true)));
    assert_eq!(shown(&cell), (json!("sealed"), json!("none")));
    assert_eq!(administrative_leaves(&cell), logged + 3);
    reads(&cell, &alice, &["corpus", "habeas"]);
    let check = ask(&cell, &["account", "check", ALICE], &alice.recovery_code);
    assert_eq!(check["findings"], json!([]), "{check}");
    cell.stop();
    assert_eq!(on_disk(&cell), (0, vec![4]));
    cell.start();
    reads(&cell, &alice, &["corpus", "habeas"]);
}
