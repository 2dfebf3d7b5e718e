//! The restore drill: a cell backed up while it runs, lost, and made again from the backup; and its
//! store examined, running and stopped.

use std::fs;

use crate::cell::{Account, Cell, bailiwick, letter, stderr};
use crate::log::administrative_leaves;
use serde_json::Value;

fn deliver(cell: &Cell, account: &Account, words: std::ops::Range<u32>) {
    let mut mx = cell.mx();
    for word in words {
        let text = letter("corpus").replace("corpus", &format!("corpus-{word}-end"));
        assert_eq!(mx.deliver("bob@example.org", &account.address, &text).0, 250);
    }
}

/// Which of the letters are there to be read.
fn read(cell: &Cell, account: &Account, words: std::ops::Range<u32>) -> Vec<u32> {
    let all = cell.letters(account);
    words.filter(|word| all.contains(&format!("corpus-{word}-end"))).collect()
}

/// A command that prints JSON and needs no running cell.
fn offline(words: &[&str]) -> (bool, Value) {
    let output = bailiwick(words);
    let answer = serde_json::from_slice(&output.stdout);
    (output.status.success(), answer.unwrap_or_else(|_| panic!("{}", stderr(&output))))
}

fn lose(cell: &mut Cell) {
    cell.kill();
    fs::remove_dir_all(cell.path("data")).unwrap();
}

fn restore(cell: &Cell, backup: &str) -> Value {
    let data = cell.path("data");
    let to = data.to_str().unwrap();
    let (done, answer) = offline(&["restore", "--json", "--from", backup, "--to", to]);
    assert!(done, "{answer}");
    answer
}

#[test]
fn a_lost_cell_is_made_again_from_its_backup() {
    let mut cell = Cell::serving("ie");
    let (alice, carol) = (cell.account("alice"), cell.account("carol"));
    let backup = cell.path("backup");
    let backup = backup.to_str().unwrap();
    deliver(&cell, &alice, 0..5);
    assert_eq!(read(&cell, &alice, 0..5), [0, 1, 2, 3, 4]);
    let first = cell.admin(&["backup", backup]);
    deliver(&cell, &alice, 5..8);
    deliver(&cell, &carol, 5..8);
    let second = cell.admin(&["backup", backup]);
    let sequence = |answer: &Value| answer["points"][0]["sequence"].as_u64().unwrap();
    assert!(sequence(&second) > sequence(&first));
    // What it leaves behind is as sealed as the cell, and checks without a key.
    let (sound, points) = offline(&["backup", "check", "--json", backup]);
    assert!(sound, "{points}");
    assert_eq!(points["points"].as_array().unwrap().len(), 2);
    deliver(&cell, &alice, 8..10);
    let before = administrative_leaves(&cell);
    // An unlocker that is revoked after the backup: the restored cell does not know.
    let revoke = ["unlocker", "revoke", &carol.address, &carol.slot];
    let (done, revoked) = cell.ask_admin(&revoke, &carol.recovery_code);
    assert!(done, "{revoked}");
    lose(&mut cell);

    restore(&cell, backup);
    let said = cell.refuses_to_start();
    let lost = "what was acknowledged later is lost, and unlockers revoked later open again";
    assert!(said.contains(lost), "{said}");
    assert!(said.contains("cure: tell the owners; then serve with --accept-restored"), "{said}");
    cell.start_with(&["--accept-restored"]);
    cell.wait_for("this cell is older than it was");
    assert_eq!(administrative_leaves(&cell), before + 1, "the log says that it was restored");
    assert_eq!(read(&cell, &alice, 0..10), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(read(&cell, &carol, 0..10), [5, 6, 7]);
    let (sound, store) = cell.ask_admin(&["store", "check"], "");
    assert!(sound, "{store}");
    // It goes on as a cell, and once the log has said it, it is one like any other.
    deliver(&cell, &alice, 10..11);
    cell.stop();
    cell.start();
    assert_eq!(read(&cell, &alice, 8..11), [10]);
    assert!(sequence(&cell.admin(&["backup", &format!("{backup}-2")])) > sequence(&second));
}

#[test]
fn a_cell_with_other_keys_cannot_be_served_from_a_backup() {
    let cell = Cell::serving("ie");
    let alice = cell.account("alice");
    deliver(&cell, &alice, 0..1);
    let backup = cell.path("backup");
    cell.admin(&["backup", backup.to_str().unwrap()]);
    let mut other = Cell::serving("us");
    lose(&mut other);
    restore(&other, backup.to_str().unwrap());
    let output = bailiwick(&["serve", "--accept-restored", "--config", &other.config()]);
    assert!(!output.status.success(), "it served another cell's backup");
}

#[test]
fn a_restoring_that_broke_off_is_not_served() {
    let mut cell = Cell::serving("ie");
    let backup = cell.path("backup");
    cell.admin(&["backup", backup.to_str().unwrap()]);
    lose(&mut cell);
    restore(&cell, backup.to_str().unwrap());
    fs::remove_dir_all(cell.path("data/store")).unwrap();
    let output = bailiwick(&["serve", "--accept-restored", "--config", &cell.config()]);
    assert!(!output.status.success(), "it served an empty store");
    assert!(stderr(&output).contains("restore again"), "{}", stderr(&output));
}

#[test]
fn the_store_is_examined_running_and_stopped_and_its_index_mended() {
    let mut cell = Cell::serving("ie");
    let alice = cell.account("alice");
    deliver(&cell, &alice, 0..3);
    let (sound, running) = cell.ask_admin(&["store", "check"], "");
    assert!(sound, "{running}");
    assert!(running["records"].as_u64().unwrap() > 3);
    let (_, said) = cell.ask_admin(&["store", "check"], "");
    assert!(said["counts"].as_array().unwrap().iter().any(|line| line["kind"] == "letter"));
    cell.stop();
    let store = cell.path("data/store");
    fs::remove_dir_all(store.join("index")).unwrap();
    let (sound, stopped) = cell.ask_admin(&["store", "check"], "");
    assert!(!sound, "{stopped}");
    assert_eq!(stopped["faults"][0]["what"], "there is no index of this journal");
    let (sound, repaired) = cell.ask_admin(&["store", "check", "--repair"], "");
    assert!(sound, "{repaired}");
    assert_eq!(repaired["is_repaired"], true);
    cell.start();
    assert_eq!(read(&cell, &alice, 0..3), [0, 1, 2]);
    cell.stop();
    // A damaged record is named, and not mended.
    let segment = fs::read_dir(store.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    let segment =
        segment.filter(|path| path.extension().is_some_and(|e| e == "seg")).min().unwrap();
    let mut octets = fs::read(&segment).unwrap();
    octets[200] ^= 1;
    fs::write(&segment, octets).unwrap();
    let (sound, damaged) = cell.ask_admin(&["store", "check", "--repair"], "");
    assert!(!sound, "{damaged}");
    let what = damaged["faults"][0]["what"].as_str().unwrap();
    assert!(what.starts_with("segment 1 is damaged at octet"), "{what}");
    assert!(damaged["faults"][0]["cure"].as_str().unwrap().contains("restore a backup"));
}

#[test]
fn a_folder_that_cannot_take_a_backup_is_refused_with_its_cure() {
    let cell = Cell::serving("ie");
    let refused = |path: &str| {
        let folder = cell.path(path);
        cell.admin_refused(&["backup", folder.to_str().unwrap()], "")
    };
    let (what, cure) = refused("data/backup");
    assert!(what.contains("lost with") && cure.contains("elsewhere"), "{what}: {cure}");
    assert!(!cell.path("data/backup").exists());
    let (what, cure) = refused("bailiwick.toml");
    assert!(what.contains("could not be read") && cure.contains("folder"), "{what}: {cure}");
    fs::create_dir(cell.path("other")).unwrap();
    fs::write(cell.path("other/letter"), "not ours").unwrap();
    let (what, cure) = refused("other");
    assert!(what.contains("no backup in") && cure.contains("empty"), "{what}: {cure}");
}
