//! An account whose rows somebody else wrote: its owner is told, and can look and go on.

use store::{Batch, Options, Store};
use vocab::{AccountId, RecordKind, Row};

use crate::cell::{Account, Cell, letter};

const WHOLE: usize = 0;

fn findings(cell: &Cell, account: &Account, words: &[&str]) -> (bool, usize) {
    let words = [&["account", "check", &account.address], words].concat();
    let (is_whole, answer) = cell.ask_admin(&words, &account.recovery_code);
    assert_eq!(answer["answer"], "checked", "{answer}");
    (is_whole, answer["findings"].as_array().unwrap().len())
}

/// Takes the account's first message out of a cell that is stopped.
fn take_a_message(cell: &Cell) {
    let store = Store::open(&cell.path("data/store"), Options::default()).unwrap();
    let accounts = store.read().accounts().map(|found| found.unwrap().0);
    let rows = |account: AccountId| {
        let first = store.read().scan(account, RecordKind::Message, Row(0)).next();
        first.map(|found| (account, found.unwrap().0))
    };
    let (account, row) = accounts.filter_map(rows).next().unwrap();
    let batch = Batch::new(account).delete(RecordKind::Message, row);
    store.append().commit_blocking(batch).unwrap();
    store.close().unwrap();
}

#[test]
fn a_letter_taken_from_the_disk_is_told_until_its_owner_accepts_that() {
    let mut cell = Cell::serving("ie");
    let alice = cell.account("alice");
    for word in ["one", "two"] {
        let (code, said) = cell.mx().deliver("bob@example.org", &alice.address, &letter(word));
        assert_eq!(code, 250, "{said}");
    }
    assert!(!cell.imap().login(&alice.address, &alice.app_password).contains("ALERT"));
    assert_eq!(findings(&cell, &alice, &[]), (true, WHOLE));
    let (what, _) = cell.admin_refused(&["account", "check", &alice.address], &alice.app_password);
    assert!(what.contains("unlocker"), "{what}");
    cell.stop();
    take_a_message(&cell);
    cell.start();
    let mut imap = cell.imap();
    assert!(imap.login(&alice.address, &alice.app_password).contains("* NO [ALERT] somebody"));
    assert!(imap.ok("SELECT INBOX").contains("* NO [ALERT] somebody"));
    drop(imap);
    let (is_whole, found) = findings(&cell, &alice, &[]);
    assert!(!is_whole && found > WHOLE);
    assert!(findings(&cell, &alice, &["--accept"]).0);
    cell.stop();
    cell.start();
    assert!(!cell.imap().login(&alice.address, &alice.app_password).contains("ALERT"));
}
