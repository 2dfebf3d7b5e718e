//! Accounts over time: how they are made, who holds shares of them, and what a writer of the disk
//! can do to them.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::custody::user::{CreateAccount, create};
use ::custody::{Act, Leaf};
use serde_json::{Value, json};
use store::{Batch, Options, Store};
use vocab::{AccountId, CellId, Custody, RecordKind, Row, Timestamp};

use crate::cell::{Account, Cell, letter};
use crate::config::{group, holder, public_key};
use crate::log::{administrative_leaves, leaves};
use crate::tls::Authority;

const ALICE: &str = "alice@ie.example";

/// Two of three trustees, from `first` on, and one of two guards.
fn holders(first: u8) -> String {
    let named = |id| holder(id, &public_key(id));
    let trustees: Vec<_> = (first..first + 3).map(named).collect();
    let guards: Vec<_> = (101..103).map(named).collect();
    group("trustees", 2, &trustees) + &group("guards", 1, &guards)
}

fn made(cell: &Cell, custody: &str) -> Account {
    let made = cell.admin(&["account", "create", ALICE, "--custody", custody]);
    let word = |name: &str| made[name].as_str().unwrap().to_owned();
    let secrets = (word("recovery_code"), word("app_password"));
    cell.keep_secret(&secrets.0);
    cell.keep_secret(&secrets.1);
    let (recovery_code, app_password) = secrets;
    Account { address: ALICE.to_owned(), recovery_code, app_password, slot: word("slot") }
}

fn shown(cell: &Cell) -> Value {
    cell.admin(&["account", "show", ALICE])
}

fn deliver(cell: &Cell, word: &str) -> u16 {
    cell.mx().deliver("bob@example.org", ALICE, &letter(word)).0
}

fn changes_of_holders(cell: &Cell) -> usize {
    let leaves = leaves(cell);
    leaves
        .iter()
        .filter(|leaf| Leaf::decode(leaf).unwrap().act == Some(Act::HoldersChanged))
        .count()
}

#[test]
fn after_a_change_of_holders_an_account_goes_over_at_its_owners_login() {
    let mut cell = Cell::new("ie", &Authority::new());
    cell.append(&holders(1));
    cell.start();
    let alice = made(&cell, "trustee");
    let first = shown(&cell);
    assert_eq!((&first["holders"], &first["version"]), (&json!("present"), &json!(2)));
    assert_eq!(first["sides"][0]["holders"][0], json!("01".repeat(16)));
    assert_eq!(first["sides"][0]["names"], json!(["holder", "holder", "holder"]));
    assert_eq!(changes_of_holders(&cell), 1);
    cell.stop();
    cell.edit(&holders(1), &holders(11));
    cell.start();
    // In the log before anything is under them; and until the owner comes, as it was.
    assert_eq!(changes_of_holders(&cell), 2);
    let waiting = shown(&cell);
    assert_eq!(waiting["holders"], "earlier");
    assert_eq!((&waiting["policy"], &waiting["sides"]), (&first["policy"], &first["sides"]));
    assert_eq!(cell.admin(&["account", "list"])["accounts"][0]["holders"], "earlier");
    assert_eq!(deliver(&cell, "corpus"), 250);
    assert!(cell.letters(&alice).contains("chambers, corpus"));
    let gone_over = shown(&cell);
    assert_eq!((&gone_over["holders"], &gone_over["version"]), (&json!("present"), &json!(3)));
    assert_eq!(gone_over["sides"][0]["holders"][0], json!("0b".repeat(16)));
    // Without holders in the configuration it stays under those it has, and goes on.
    cell.stop();
    cell.edit(&holders(11), "");
    cell.start();
    assert_eq!(deliver(&cell, "habeas"), 250);
    assert!(cell.letters(&alice).contains("chambers, habeas"));
    let left = shown(&cell);
    assert_eq!((&left["holders"], &left["version"]), (&json!("earlier"), &json!(3)));
    assert_eq!(left["policy"], gone_over["policy"]);
    let (done, revoked) =
        cell.ask_admin(&["unlocker", "revoke", ALICE, &alice.slot], &alice.recovery_code);
    assert!(done, "{revoked}");
}

/// A request on the socket, and the line that comes back, if one does.
fn ask(cell: &Cell, request: &Value) -> Value {
    let mut stream = UnixStream::connect(cell.path("admin.sock")).unwrap();
    stream.write_all(format!("{request}\n").as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    serde_json::from_str(&answer).unwrap_or(Value::Null)
}

/// The first half of making an account.
fn begin(cell: &Cell) -> Value {
    let request = json!({"do": "account-create", "address": ALICE, "custody": "sealed"});
    let begun = ask(cell, &request);
    assert_eq!(begun["answer"], "created", "{begun}");
    for secret in ["recovery_code", "app_password"] {
        cell.keep_secret(begun[secret].as_str().unwrap());
    }
    begun
}

fn address(begun: &Value) -> Value {
    json!({"do": "account-address", "account": begun["account"], "address": ALICE})
}

#[test]
fn an_account_whose_secrets_nobody_saw_has_no_address() {
    let mut cell = Cell::serving("ie");
    let begun = begin(&cell);
    cell.kill();
    cell.start();
    assert_eq!(deliver(&cell, "early"), 550);
    let secret = begun["app_password"].as_str().unwrap();
    assert!(!cell.imap().login(ALICE, secret).contains("t1 OK"));
    assert_eq!(administrative_leaves(&cell), 0);
    let listed = cell.admin(&["account", "list"]);
    assert_eq!(listed["accounts"][0]["addresses"], 0, "{listed}");
    // The address is free, and what was begun cannot be had twice.
    let alice = made(&cell, "sealed");
    assert_eq!(deliver(&cell, "corpus"), 250);
    assert!(cell.letters(&alice).contains("chambers, corpus"));
    let refused = ask(&cell, &address(&begun));
    assert!(refused["what"].as_str().unwrap().contains("taken"), "{refused}");
    let (what, cure) = cell.admin_refused(&["account", "create", ALICE], "");
    assert!(what.contains("taken") && cure.contains("it is made"), "{what} {cure}");
    assert_eq!(administrative_leaves(&cell), 1);
    let other =
        json!({"do": "account-address", "account": "00".repeat(16), "address": "x@ie.example"});
    assert_eq!(ask(&cell, &other)["answer"], "refused");
    // What was begun is deleted by its number, without a secret; what has an address is not.
    let found = ask(&cell, &json!({"do": "account-of", "address": ALICE}));
    let (what, _) =
        cell.admin_refused(&["account", "delete", found["account"].as_str().unwrap()], "");
    assert!(what.contains("waits for its address"), "{what}");
    cell.admin(&["account", "delete", begun["account"].as_str().unwrap()]);
    let listed = cell.admin(&["account", "list"]);
    assert_eq!(listed["accounts"].as_array().unwrap().len(), 1, "{listed}");
    assert!(cell.letters(&alice).contains("chambers, corpus"));
}

#[test]
fn a_kill_amid_the_making_leaves_a_whole_account_or_a_free_address() {
    let mut cell = Cell::serving("ie");
    let mut addresses = 0;
    for (cut, after_milliseconds) in [0, 1, 2, 4, 8, 16, 32, 64].into_iter().enumerate() {
        let (address, begun) = (format!("judge{cut}@ie.example"), begin(&cell));
        let give =
            json!({"do": "account-address", "account": begun["account"], "address": address});
        let mut stream = UnixStream::connect(cell.path("admin.sock")).unwrap();
        let asking = std::thread::spawn(move || {
            let _ = stream.write_all(format!("{give}\n").as_bytes());
            let _ = stream.read_to_string(&mut String::new());
        });
        std::thread::sleep(Duration::from_millis(after_milliseconds));
        cell.kill();
        asking.join().unwrap();
        cell.start();
        let leads = ask(&cell, &json!({"do": "account-of", "address": address}));
        let is_whole = leads["account"] == begun["account"];
        let secret = begun["app_password"].as_str().unwrap();
        assert_eq!(cell.imap().login(&address, secret).contains("t1 OK"), is_whole);
        if !is_whole {
            assert_eq!(leads["answer"], "refused");
            cell.admin(&["account", "create", &address]);
        }
        // Each address has its leaf; a cut between the two leaves one more.
        addresses += 1;
        assert!((addresses..=addresses * 2).contains(&administrative_leaves(&cell)));
    }
}

/// `account create` with a password on its standard input: whether it was done, what it said.
fn create_with(config: &str, password: &str) -> (bool, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bailiwick"))
        .args(["admin", "--config", config, "account", "create", ALICE, "--password-stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// As when `head` has read enough.
#[test]
fn who_reads_what_is_printed_may_go_away() {
    let cell = Cell::serving("ie");
    let mut child = Command::new(env!("CARGO_BIN_EXE_bailiwick"))
        .args(["check", "--config", &cell.config()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("bailiwick: cannot print"), "{said}");
}

#[test]
fn a_password_is_not_for_mail_programs_and_its_maker_is_told() {
    let cell = Cell::serving("ie");
    let config = cell.config();
    let password = "a long enough password";
    let (done, said) = create_with(&config, "14 characters.");
    assert!(!done && said.contains("at least 15 characters"), "{said}");
    let (done, said) = create_with(&config, password);
    assert!(done, "{said}");
    assert!(said.contains("IMAP and submission refuse it"), "{said}");
    assert!(said.contains("bailiwick admin unlocker add"), "{said}");
    assert!(!said.contains(password), "{said}");
    assert!(!cell.imap().login(ALICE, password).contains("t1 OK"));
    let (done, added) = cell.ask_admin(&["unlocker", "add", ALICE], password);
    assert!(done, "{added}");
    assert!(cell.imap().login(ALICE, added["app_password"].as_str().unwrap()).contains("t1 OK"));
}

/// What a writer of the disk does while the cell is stopped.
fn at_the_disk<T>(cell: &Cell, act: impl FnOnce(&Store) -> T) -> T {
    let options = Options { reserve_bytes: 0, ..Options::default() };
    let store = Store::open(&cell.path("data").join("store"), options).unwrap();
    let done = act(&store);
    store.close().unwrap();
    done
}

type Rows = Vec<(RecordKind, Row, Vec<u8>)>;

/// Puts other keystore records in the place of those that are there, and gives these.
fn exchange(store: &Store, account: AccountId, with: Rows) -> Rows {
    let mut own = Vec::new();
    for kind in [RecordKind::Manifest, RecordKind::Slot, RecordKind::EpochBox] {
        for found in store.read().scan(account, kind, Row(0)) {
            let (row, value) = found.unwrap();
            own.push((kind, row, value.to_vec()));
        }
    }
    let mut batch = Batch::new(account);
    for (kind, row, _) in &own {
        batch = batch.delete(*kind, *row);
    }
    for (kind, row, value) in with {
        batch = batch.put(kind, row, value);
    }
    store.append().commit_blocking(batch).unwrap();
    own
}

/// Hashes of a counter.
struct Chance(AtomicU64);

impl seal::Entropy for Chance {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let count = self.0.fetch_add(1, Ordering::Relaxed);
            chunk.copy_from_slice(&seal::mac::sha256(&[&count.to_be_bytes()]).0[..chunk.len()]);
        }
    }
}

#[test]
fn a_writer_of_the_disk_cannot_have_letters_sealed_to_himself() {
    let mut cell = Cell::serving("ie");
    let alice = cell.account("alice");
    let id = ask(&cell, &json!({"do": "account-of", "address": ALICE}));
    let account: AccountId = id["account"].as_str().unwrap().parse().unwrap();
    cell.stop();
    let with = CreateAccount {
        account,
        cell: CellId([9; 16]),
        custody: Custody::Sealed,
        escrow: None,
        password: None,
        pepper: None,
        now: Timestamp(1_795_262_400),
    };
    let forged = create(&with, &Chance(AtomicU64::new(0))).unwrap();
    let code = forged.recovery_code.to_string();
    let forged = forged.records.into_iter().map(|one| (one.kind, one.row, one.bytes)).collect();
    let own = at_the_disk(&cell, |store| exchange(store, account, forged));
    cell.start();
    assert_eq!(deliver(&cell, "corpus"), 451);
    cell.wait_for("keystore was tampered with");
    for secret in [&code, &alice.recovery_code] {
        assert!(!cell.imap().login(ALICE, secret).contains("t1 OK"));
    }
    cell.stop();
    at_the_disk(&cell, |store| exchange(store, account, own));
    cell.start();
    assert_eq!(deliver(&cell, "habeas"), 250);
    let letters = cell.letters(&alice);
    assert!(letters.contains("chambers, habeas") && !letters.contains("corpus"), "{letters}");
}
