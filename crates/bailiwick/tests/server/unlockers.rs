//! What unlocks an account, as its owner changes it with commands.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use store::{Options, Store};
use vocab::AccountId;

use crate::cell::{Account, BAILIWICK, Cell};
use crate::wire::{Lines, Smtp};

fn ask(cell: &Cell, words: &[&str], secret: &str) -> Value {
    let (done, answer) = cell.ask_admin(words, secret);
    assert!(done, "{words:?}: {answer}");
    answer
}

fn list(cell: &Cell, alice: &Account) -> Vec<Value> {
    let answer = ask(cell, &["unlocker", "list", &alice.address], &alice.recovery_code);
    answer["unlockers"].as_array().unwrap().clone()
}

fn count_accounts(cell: &Cell) -> usize {
    cell.admin(&["account", "list"])["accounts"].as_array().unwrap().len()
}

fn opens(cell: &Cell, alice: &Account, secret: &str) -> bool {
    cell.imap().login(&alice.address, secret).contains("t1 OK")
}

#[test]
fn unlockers_are_listed_with_names_that_the_disk_does_not_know() {
    let cell = Cell::serving("ie");
    let alice = cell.account("alice");
    let add = ["unlocker", "add", &alice.address, "--name", "chambers laptop", "--days", "30"];
    let add = [&add[..], &["--scope", "imap", "--from", "127.0.0.0/8", "--from", "::1"]].concat();
    let added = ask(&cell, &add, &alice.recovery_code);
    let (slot, secret) = (added["slot"].as_str().unwrap(), added["app_password"].as_str().unwrap());
    let of_slot = || list(&cell, &alice).into_iter().find(|one| one["slot"] == slot).unwrap();
    let listed = of_slot();
    assert_eq!(listed["kind"], "app password");
    assert_eq!(listed["name"], "chambers laptop");
    assert_eq!(listed["scope"], json!(["imap"]));
    assert_eq!(listed["from"], json!(["127.0.0.0/8", "::1/128"]));
    let days = listed["expires"].as_u64().unwrap() - listed["created"].as_u64().unwrap();
    assert_eq!((days + 60) / 86_400, 30);
    assert_eq!(listed["last_used"], Value::Null);
    assert!(opens(&cell, &alice, secret));
    assert_eq!(of_slot()["last_used"].as_u64().unwrap() % 86_400, 0);
    ask(&cell, &["unlocker", "rename", &alice.address, slot, "old laptop"], &alice.recovery_code);
    assert_eq!(of_slot()["name"], "old laptop");
    let words = ["chambers laptop", "old laptop"].map(ToOwned::to_owned);
    for word in &words {
        cell.keep_secret(word);
    }
    assert_eq!(cell.find_in_data(&words.each_ref().map(String::as_str)), None);
    // An app password lists nothing.
    let (what, cure) = cell.admin_refused(&["unlocker", "list", &alice.address], secret);
    assert!(what.contains("does not serve") && cure.contains("recovery code"), "{what}: {cure}");
    let map = cell.admin(&["account", "map", &alice.address]);
    let line = map["lines"].as_array().unwrap().iter();
    let line = line.clone().find(|line| line["kind"] == "unlockers' last use").unwrap();
    assert_eq!((&line["category"], &line["records"]), (&json!("traffic"), &json!(1)));
    assert_eq!(line["opens_for"], "its owner");
}

#[test]
fn an_unlocker_for_another_network_is_refused_as_a_wrong_one() {
    let cell = Cell::serving("ie");
    let alice = cell.account("alice");
    let add = ["unlocker", "add", &alice.address, "--from", "192.0.2.0/24"];
    let added = ask(&cell, &add, &alice.recovery_code);
    let elsewhere = added["app_password"].as_str().unwrap();
    let refused = cell.imap().login(&alice.address, elsewhere);
    assert_eq!(refused, cell.imap().login(&alice.address, "no-secret-of-hers"));
    let add = ["unlocker", "add", &alice.address, "--from", "192.0.2.1/24"];
    let (what, cure) = cell.admin_refused(&add, &alice.recovery_code);
    assert!(what.contains("not a network") && cure.contains("length"), "{what}: {cure}");
}

#[test]
fn a_password_and_a_recovery_code_are_replaced() {
    let cell = Cell::serving("ie");
    let alice = cell.account("alice");
    let (first, second) = ("a long enough password", "another long password");
    let set = |old: &str, new: &str, more: &[&str]| {
        let words = [&["account", "password", &alice.address], more].concat();
        cell.ask_admin(&words, &format!("{old}\n{new}"))
    };
    let (done, short) = set(&alice.recovery_code, "short", &[]);
    assert!(!done && short["what"].as_str().unwrap().contains("15 characters"), "{short}");
    assert!(set(&alice.recovery_code, first, &[]).0);
    assert!(!set("not the password at all", second, &[]).0);
    assert!(set(first, second, &["--suspect"]).0);
    assert!(!set(first, second, &[]).0);
    // The app password goes on; the recovery code too, until it is replaced.
    assert!(opens(&cell, &alice, &alice.app_password));
    let recovery = ["account", "recovery", &alice.address];
    let made = ask(&cell, &recovery, second);
    let (new, slot) = (made["recovery_code"].as_str().unwrap(), made["slot"].as_str().unwrap());
    // Both open until the owner has shown that the new one is in their hands.
    let confirm = [&recovery[..], &["--confirm", slot]].concat();
    let (what, _) = cell.admin_refused(&confirm, &alice.recovery_code);
    assert!(what.contains("not the new recovery code"), "{what}");
    assert!(opens(&cell, &alice, &alice.recovery_code) && opens(&cell, &alice, new));
    ask(&cell, &confirm, new);
    let (what, _) = cell.admin_refused(&recovery, &alice.recovery_code);
    assert!(what.contains("no unlocker"), "{what}");
    let again = ask(&cell, &recovery, new);
    let (newer, slot) = (again["recovery_code"].as_str().unwrap(), again["slot"].as_str().unwrap());
    ask(&cell, &[&recovery[..], &["--suspect", "--confirm", slot]].concat(), newer);
    assert!(newer != new && !opens(&cell, &alice, new));
    assert!(opens(&cell, &alice, &alice.app_password));
    let log = cell.admin(&["log"]);
    assert!(log["size"].as_u64().unwrap() >= 5, "{log}");
}

#[test]
fn a_secret_is_not_lost_because_the_log_cannot_be_written() {
    let mut cell = Cell::serving("ie");
    let alice = cell.account("alice");
    let (log, away) = (cell.path("data/log"), cell.path("data/log.away"));
    std::fs::rename(&log, &away).unwrap();
    std::fs::write(&log, "in the way").unwrap();
    let config = cell.config();
    let words = ["admin", "--config", &config, "account", "recovery", &alice.address];
    let mut asking = Command::new(BAILIWICK).args(words).stdin(Stdio::piped()).spawn().unwrap();
    writeln!(asking.stdin.take().unwrap(), "{}", alice.recovery_code).unwrap();
    assert!(!asking.wait().unwrap().success());
    // A log that cannot be written ends the cell.
    assert!(!cell.ended(Duration::from_secs(30)).success());
    std::fs::remove_file(&log).unwrap();
    std::fs::rename(&away, &log).unwrap();
    cell.start();
    assert_eq!(list(&cell, &alice).len(), 2, "the old code opens: nobody saw a new one");
}

#[test]
fn a_token_reads_and_sends_and_ends_with_its_revocation() {
    let cell = Cell::serving("ie");
    let alice = cell.account("alice");
    let issue = ["unlocker", "token", &alice.address, "--minutes", "5", "--name", "webmail"];
    let issued = ask(&cell, &issue, &alice.recovery_code);
    let (token, slot) = (issued["token"].as_str().unwrap(), issued["slot"].as_str().unwrap());
    let message = format!("n,a={},\u{1}auth=Bearer {token}\u{1}\u{1}", alice.address);
    let base64 = crate::mail::base64(&message);
    let mut imap = cell.imap();
    let said = imap.ok(&format!("AUTHENTICATE OAUTHBEARER {base64}"));
    assert!(said.contains("unlocked"), "{said}");
    let mut smtp = Smtp::greet(Lines::tls(cell.at("submission"), &cell.hostname, &cell.trust()));
    smtp.say(&format!("AUTH OAUTHBEARER {base64}"), 235);
    smtp.say(&format!("MAIL FROM:<{}>", alice.address), 250);
    smtp.say("RSET", 250);
    ask(&cell, &["unlocker", "revoke", &alice.address, slot], &alice.recovery_code);
    let told = imap.into_lines().rest();
    assert!(told.contains("* BYE [EXPIRED]"), "{told}");
    smtp.say(&format!("MAIL FROM:<{}>", alice.address), 421);
    let mut smtp = Smtp::greet(Lines::tls(cell.at("submission"), &cell.hostname, &cell.trust()));
    smtp.say(&format!("AUTH OAUTHBEARER {base64}"), 334);
    smtp.say("AQ==", 535);
}

#[test]
fn a_deleted_account_leaves_nothing_on_the_disk_and_its_address_is_nobody_elses() {
    let mut cell = Cell::serving("ie");
    let (alice, clerk) = (cell.account("alice"), cell.account("clerk"));
    cell.admin(&["alias", "add", "alice.x@ie.example", &alice.address]);
    for word in ["first", "second"] {
        let letter = crate::cell::letter(word);
        assert_eq!(cell.mx().deliver("bob@example.org", &alice.address, &letter).0, 250);
        assert_eq!(cell.mx().deliver("bob@example.org", &clerk.address, &letter).0, 250);
    }
    assert!(cell.letters(&alice).contains("chambers, first"));
    assert_eq!(count_accounts(&cell), 2);
    let map = cell.admin(&["account", "map", &alice.address]);
    assert!(map["lines"].as_array().unwrap().iter().any(|line| line["records"] != 0), "{map}");
    let idle = cell.inbox(&alice);
    let id = cell.admin(&["account", "show", &alice.address])["account"].clone();
    let delete = ["account", "delete", &alice.address];
    let (what, _) = cell.admin_refused(&delete, &alice.app_password);
    assert!(what.contains("does not allow"), "{what}");
    let (what, _) = cell.admin_refused(&delete, &clerk.recovery_code);
    assert!(what.contains("no unlocker"), "{what}");
    assert!(opens(&cell, &alice, &alice.app_password));
    let before = cell.admin(&["log"])["size"].as_u64().unwrap();
    let deleted = ask(&cell, &delete, &alice.recovery_code);
    assert!(deleted["closed_until"].as_u64().unwrap() > 0, "{deleted}");
    assert!(cell.admin(&["log"])["size"].as_u64().unwrap() > before);
    assert!(idle.into_lines().rest().contains("BYE"));
    assert!(!opens(&cell, &alice, &alice.app_password));
    assert_eq!(count_accounts(&cell), 1);
    for address in [alice.address.as_str(), "alice.x@ie.example"] {
        let (code, _) = cell.mx().deliver("bob@example.org", address, "Subject: s\r\n\r\ns\r\n");
        assert_eq!(code, 550, "{address}");
        let (what, cure) = cell.admin_refused(&["account", "create", address], "");
        assert!(what.contains("deleted") && cure.contains("free from"), "{what}: {cure}");
        let (what, _) = cell.admin_refused(&["alias", "add", address, &clerk.address], "");
        assert!(what.contains("deleted"), "{what}");
    }
    let (what, _) = cell.admin_refused(&delete, &alice.recovery_code);
    assert!(what.contains("leads to no account"), "{what}");
    // Over a restart too, and the other account is whole.
    cell.stop();
    let store = Store::open(&cell.path("data").join("store"), Options::default()).unwrap();
    let account: AccountId = id.as_str().unwrap().parse().unwrap();
    assert_eq!(store.read().usage(account).unwrap().records, 0);
    store.close().unwrap();
    cell.start();
    assert!(!opens(&cell, &alice, &alice.app_password));
    let (what, _) = cell.admin_refused(&["account", "create", &alice.address], "");
    assert!(what.contains("deleted"), "{what}");
    assert!(cell.letters(&clerk).contains("chambers, second"));
}
