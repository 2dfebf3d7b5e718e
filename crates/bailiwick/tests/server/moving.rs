//! An account moves from one running cell to another.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use store::{Batch, Options, Store};
use vocab::{AccountId, RecordKind, Row};

use crate::cell::{Account, Cell, letter, pair};
use crate::log::{clerk, copy, desk};

fn ask(cell: &Cell, words: &[&str], secret: &str) -> Value {
    let (done, answer) = cell.ask_admin(words, secret);
    assert!(done, "{words:?}: {answer}");
    answer
}

fn path(cell: &Cell, name: &str) -> String {
    cell.path(name).to_str().unwrap().to_owned()
}

fn cell_id(cell: &Cell) -> String {
    cell.admin(&["cell"])["identity"]["id"].as_str().unwrap().to_owned()
}

fn moving_key(cell: &Cell) -> String {
    cell.admin(&["cell"])["identity"]["moving_key"].as_str().unwrap().to_owned()
}

/// `leave`, at `old`, for `new`; the parcel's path.
fn leave(old: &Cell, new: &Cell, alice: &Account, name: &str) -> String {
    let (to, parcel) = (cell_id(new), path(old, name));
    let words = ["account", "leave", &alice.address, "--to", &to, "--parcel", &parcel];
    let left = ask(old, &words, &alice.recovery_code);
    assert!(left["records"].as_u64().unwrap() > 10, "{left}");
    parcel
}

/// Writes what a cell answered to where the other reads it.
fn hand_over(to: &Cell, name: &str, text: &Value) -> String {
    fs::write(to.path(name), format!("{}\n", text.as_str().unwrap())).unwrap();
    path(to, name)
}

fn deliver(cell: &Cell, to: &str, word: &str) -> (u16, String) {
    cell.mx().deliver("bob@example.org", to, &letter(word))
}

/// What a mail program remembers between two days.
fn remembered(cell: &Cell, alice: &Account) -> String {
    let mut imap = cell.inbox(alice);
    let status = imap.ok("STATUS INBOX (MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ)");
    let status = status.lines().find(|line| line.starts_with("* STATUS")).unwrap().to_owned();
    let all = imap.ok("UID FETCH 1:* (UID FLAGS MODSEQ INTERNALDATE RFC822.SIZE BODY.PEEK[])");
    let found = imap.ok("UID SEARCH TEXT \"chambers, second\"");
    let found = found.lines().find(|line| line.contains("SEARCH")).unwrap().to_owned();
    let all: String =
        all.lines().filter(|line| !line.starts_with('t')).collect::<Vec<_>>().join("\n");
    [status, all, found].join("\n")
}

#[test]
fn a_mail_program_finds_everything_again_in_the_new_cell_and_the_old_one_keeps_nothing() {
    let (mut ie, mut us) = pair();
    us.start();
    ie.start();
    ie.account("clerk");
    let alice = ie.account("alice");
    for word in ["first", "second", "third"] {
        assert_eq!(deliver(&ie, &alice.address, word).0, 250);
    }
    let mut imap = ie.inbox(&alice);
    imap.ok("UID STORE 2 +FLAGS (\\Flagged \\Seen $Label1)");
    imap.ok("UID STORE 1 +FLAGS (\\Deleted)");
    imap.ok("EXPUNGE");
    let before = remembered(&ie, &alice);
    let id = ie.admin(&["account", "show", &alice.address])["account"].as_str().unwrap().to_owned();
    let parcel = leave(&ie, &us, &alice, "parcel");
    assert!(ie.admin(&["account", "list"])["accounts"].to_string().contains("moving"));
    assert!(imap.into_lines().rest().contains("BYE"));
    let (code, said) = deliver(&ie, &alice.address, "late");
    assert!(code == 450 && said.contains("4.2.1"), "{code} {said}");
    assert!(ie.imap().login(&alice.address, &alice.app_password).contains("UNAVAILABLE"));
    // Nothing in it is readable, and no app password opens it there before it is let go.
    let octets = fs::read(&parcel).unwrap();
    assert!(!octets.windows(8).any(|window| window == b"chambers"));
    let (what, _) = us.admin_refused(
        &["account", "arrive", &parcel, "--from", &moving_key(&ie)],
        &alice.app_password,
    );
    assert!(what.contains("does not allow"), "{what}");
    let strange = ["account", "arrive", &parcel, "--from", &moving_key(&us)];
    let (what, _) = us.admin_refused(&strange, &alice.recovery_code);
    assert!(what.contains("named cell"), "{what}");
    let arrived =
        ask(&us, &["account", "arrive", &parcel, "--from", &moving_key(&ie)], &alice.recovery_code);
    let acceptance = hand_over(&ie, "acceptance", &arrived["paper"]);
    let before_leaf = ie.admin(&["log"])["size"].as_u64().unwrap();
    let parted = ask(&ie, &["account", "part", &acceptance], "");
    assert!(ie.admin(&["log"])["size"].as_u64().unwrap() > before_leaf);
    assert_eq!(ask(&ie, &["account", "part", &acceptance], ""), parted, "as often as it is asked");
    let discharge = hand_over(&us, "discharge", &parted["text"]);
    let alice_there = Account { address: "alice@us.example".into(), ..alice };
    let settle = ["account", "settle", &alice_there.address, &discharge];
    ask(&us, &settle, &alice_there.recovery_code);
    assert_eq!(remembered(&us, &alice_there), before);
    // Mail arrives where it is, and who writes to where it was is told.
    assert_eq!(deliver(&us, &alice_there.address, "fourth").0, 250);
    assert!(us.letters(&alice_there).contains("chambers, fourth"));
    let (code, said) = deliver(&ie, "alice@ie.example", "late");
    assert!(code == 550 && said.contains("5.1.6"), "{code} {said}");
    let (what, _) = ie.admin_refused(&["account", "create", "alice@ie.example"], "");
    assert!(what.contains("deleted"), "{what}");
    // Once is enough; and it lives on after a restart of both.
    us.admin_refused(&settle, &alice_there.recovery_code);
    us.admin_refused(
        &["account", "arrive", &parcel, "--from", &moving_key(&ie)],
        &alice_there.recovery_code,
    );
    ie.stop();
    us.stop();
    let store = Store::open(&ie.path("data").join("store"), Options::default()).unwrap();
    let account: AccountId = id.parse().unwrap();
    assert_eq!(store.read().usage(account).unwrap().records, 0);
    store.close().unwrap();
    us.start();
    ie.start();
    assert!(us.letters(&alice_there).contains("chambers, third"));
    let check = ["account", "check", &alice_there.address];
    let checked = ask(&us, &check, &alice_there.recovery_code);
    assert_eq!(checked["findings"], json!([]), "{checked}");
}

#[test]
fn an_account_that_stays_is_as_it_was_and_what_keeps_one_is_not_said() {
    let (mut ie, mut us) = pair();
    us.start();
    ie.start();
    let alice = ie.account("alice");
    assert_eq!(deliver(&ie, &alice.address, "first").0, 250);
    let before = remembered(&ie, &alice);
    // Where no parcel can be written, nothing has begun.
    let (to, nowhere) = (cell_id(&us), path(&ie, "nowhere/parcel"));
    let words = ["account", "leave", &alice.address, "--to", &to, "--parcel", &nowhere];
    let (what, _) = ie.admin_refused(&words, &alice.recovery_code);
    assert!(what.contains("cannot be written"), "{what}");
    assert_eq!(remembered(&ie, &alice), before);
    let parcel = leave(&ie, &us, &alice, "parcel");
    ie.kill();
    ie.start();
    assert_eq!(deliver(&ie, &alice.address, "late").0, 450);
    let arrived =
        ask(&us, &["account", "arrive", &parcel, "--from", &moving_key(&ie)], &alice.recovery_code);
    let acceptance = hand_over(&ie, "acceptance", &arrived["paper"]);
    // A demand comes before the acceptance does.
    let key = clerk(&ie);
    let demand = json!({
        "authority": "a court", "reference": "1", "basis": "an act", "secrecy": "none",
        "identifiers": [alice.address], "rehearsal": true,
        "facts": { "cell": "ie", "served": "2026-01-02T10:00:00Z" },
    });
    fs::write(ie.path("demand.json"), demand.to_string()).unwrap();
    fs::write(ie.path("paper"), "as served").unwrap();
    let (demand, paper) = (path(&ie, "demand.json"), path(&ie, "paper"));
    desk(&ie, &["--as", &key, "receive", &demand, &paper, "--address", &alice.address]);
    let kept = ie.admin_refused(&["account", "part", &acceptance], "");
    assert!(kept.0.contains("cannot leave now"), "{kept:?}");
    ask(&ie, &["account", "stay", &alice.address], &alice.recovery_code);
    assert_eq!(remembered(&ie, &alice), before);
    assert_eq!(deliver(&ie, &alice.address, "second").0, 250);
    // What it does not say, in the words of an ordinary reason.
    let (to, parcel) = (cell_id(&us), path(&ie, "another"));
    let words = ["account", "leave", &alice.address, "--to", &to, "--parcel", &parcel];
    assert_eq!(ie.admin_refused(&words, &alice.recovery_code), kept);
    assert!(!Path::new(&parcel).exists());
    for word in ["order", "demand", "court", "preserv", "secre"] {
        assert!(!format!("{kept:?}").contains(word), "{kept:?}");
    }
    // Nor does what is over there come to life.
    let (what, _) = ie.admin_refused(&["account", "part", &acceptance], "");
    assert!(what.contains("step"), "{what}");
    // The copy is its owner's to delete, as the cell that has it cannot know that it is only one.
    let id = arrived["account"].as_str().unwrap();
    let (what, _) = us.admin_refused(&["account", "delete", id], "");
    assert!(what.contains("all there is of it"), "{what}");
    let delete = ["account", "delete", id, "--owner"];
    us.admin_refused(&delete, &alice.app_password);
    ask(&us, &delete, &alice.recovery_code);
}

#[test]
fn a_departure_that_was_cut_short_is_finished_at_the_next_start() {
    let (mut ie, mut us) = pair();
    us.start();
    ie.start();
    ie.account("clerk");
    let alice = ie.account("alice");
    assert_eq!(deliver(&ie, &alice.address, "first").0, 250);
    let id = ie.admin(&["account", "show", &alice.address])["account"].as_str().unwrap().to_owned();
    let cell = cell_id(&ie);
    let parcel = leave(&ie, &us, &alice, "parcel");
    let arrived =
        ask(&us, &["account", "arrive", &parcel, "--from", &moving_key(&ie)], &alice.recovery_code);
    let acceptance = hand_over(&ie, "acceptance", &arrived["paper"]);
    ie.stop();
    copy(&ie.path("data"), &ie.path("before"));
    ie.start();
    let parted = ask(&ie, &["account", "part", &acceptance], "");
    ie.stop();
    // As the power leaves it right after the one act that decides: its rows and routes are there.
    let (account, cell): (AccountId, AccountId) = (id.parse().unwrap(), cell.parse().unwrap());
    let folder = ie.path("");
    let open =
        |name: &str| Store::open(&folder.join(name).join("store"), Options::default()).unwrap();
    let (before, after) = (open("before"), open("data"));
    for (whose, kinds) in [(account, RecordKind::ALL), (cell, &[RecordKind::Route])] {
        let mut batch = Batch::new(whose);
        for kind in kinds {
            for found in before.read().scan(whose, *kind, Row(0)) {
                let (row, octets) = found.unwrap();
                batch = batch.put(*kind, row, octets);
            }
        }
        after.append().commit_blocking(batch).unwrap();
    }
    before.close().unwrap();
    assert!(after.read().usage(account).unwrap().records > 0);
    after.close().unwrap();
    ie.start();
    assert_eq!(deliver(&ie, &alice.address, "late").0, 550);
    assert_eq!(ask(&ie, &["account", "part", &acceptance], ""), parted);
    ie.stop();
    let after = open("data");
    assert_eq!(after.read().usage(account).unwrap().records, 0);
    after.close().unwrap();
}

#[test]
fn an_account_comes_back_to_its_address_and_no_old_paper_or_restart_ends_that() {
    let (mut ie, mut us) = pair();
    us.start();
    ie.start();
    ie.account("clerk");
    us.account("clerk");
    let alice = ie.account("alice");
    assert_eq!(deliver(&ie, &alice.address, "first").0, 250);
    let moves = |from: &Cell, to: &Cell, at: &Account, address: &str, name: &str| {
        let parcel = leave(from, to, at, name);
        let arrive = ["account", "arrive", &parcel, "--from", &moving_key(from)];
        let arrived = ask(to, &arrive, &at.recovery_code);
        let acceptance = hand_over(from, "acceptance", &arrived["paper"]);
        let parted = ask(from, &["account", "part", &acceptance], "");
        let discharge = hand_over(to, "discharge", &parted["text"]);
        ask(to, &["account", "settle", address, &discharge], &at.recovery_code);
        (parcel, discharge)
    };
    let (parcel, discharge) = moves(&ie, &us, &alice, "alice@us.example", "there");
    let there = Account { address: "alice@us.example".into(), ..alice };
    // What arrives there is counted on here.
    for word in ["second", "third"] {
        assert_eq!(deliver(&us, &there.address, word).0, 250);
    }
    moves(&us, &ie, &there, "alice@ie.example", "back");
    let alice = Account { address: "alice@ie.example".into(), ..there };
    // Who still has the first parcel and its discharge makes no second account of it.
    let again = ["account", "arrive", &parcel, "--from", &moving_key(&ie)];
    let (what, _) = us.admin_refused(&again, &alice.recovery_code);
    assert!(what.contains("before the account left"), "{what}");
    us.admin_refused(&["account", "settle", "al@us.example", &discharge], &alice.recovery_code);
    for _ in 0..2 {
        assert_eq!(deliver(&ie, &alice.address, "later").0, 250);
        let letters = ie.letters(&alice);
        for word in ["first", "second", "third"] {
            assert!(letters.contains(&format!("chambers, {word}")), "{word}: {letters}");
        }
        ie.stop();
        ie.start();
    }
    assert!(ie.letters(&alice).contains("chambers, later"));
}
