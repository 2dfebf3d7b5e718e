//! What can be read in the running server's memory, as who may read it would.
//!
//! Root reads all of it; for anybody else the test is that nothing is to be read. The account's
//! keys are derived here from its secret and its rows, as specs/bw1.md §2 to §4 and §8 say it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;

use memchr::memmem::Finder;
use seal::derive::{derive, extract};
use seal::hseal::SecretKey;
use seal::mac::sha256;
use seal::manifest::SignedManifest;
use seal::{Secret, cwrap, hseal};
use store::{Options, Read, Store};
use vocab::{AccountId, RecordKind, Row};

use crate::cell::{Account, Cell, letter};

/// What is looked for, and what to call it.
type Words = Vec<(String, Vec<u8>)>;

fn text(word: &str) -> (String, Vec<u8>) {
    (word.to_owned(), word.as_bytes().to_vec())
}

/// Every octet string that unlocks something of an account, by name.
struct Keys(Words);

impl Keys {
    fn keep(&mut self, name: &str, octets: &[u8; 32]) {
        self.0.push((name.to_owned(), octets.to_vec()));
    }

    /// The keys that an app password leads to, out of a store that nobody has open.
    fn of(cell: &Cell, account: &Account) -> Self {
        let store = Store::open(&cell.path("data/store"), Options::default()).unwrap();
        let mut keys = Self(Vec::new());
        let id = store.read().accounts().map(|found| found.unwrap().0);
        let has_slot = |id: &AccountId| !rows(&store.read(), *id, RecordKind::Slot).is_empty();
        let id = id.into_iter().find(has_slot).unwrap();
        keys.add(&store.read(), id, &account.app_password);
        store.close().unwrap();
        keys
    }

    fn add(&mut self, read: &Read, id: AccountId, password: &str) {
        let manifest = rows(read, id, RecordKind::Manifest).pop().unwrap();
        let generation =
            SignedManifest::decode(&manifest).unwrap().manifest().generation.to_be_bytes();
        let symbols: String = password.chars().filter(|symbol| *symbol != '-').collect();
        let symbols = extract(&[&symbols.as_bytes()[..26]]);
        let slots = rows(read, id, RecordKind::Slot);
        let slot = slots.iter().find(|slot| slot[2] == 3).unwrap();
        let seed = derive::<32>(&symbols, "app password", &[&id.0, &slot[4..20]]);
        let pair = derive::<64>(&seed, "slot", &[&id.0, &slot[4..20]]);
        let key = Secret::copied(pair.expose().first_chunk().unwrap());
        self.keep("slot seed", seed.expose());
        self.keep("slot key", key.expose());
        let bound = sha256(&[&slot[..36], &slot[2727..]]);
        let context: [&[u8]; 4] = [&id.0, &slot[4..20], &generation, &bound.0];
        let key = SecretKey::from_seed(key).unwrap();
        let master = hseal::open(&key, "mrk", &context, &slot[1284..2452]).unwrap();
        let master = Secret::copied(master.first_chunk().unwrap());
        let root = derive::<32>(&master, "root", &[&id.0, &generation]);
        self.keep("master key", master.expose());
        self.keep("root key", root.expose());
        for epoch in rows(read, id, RecordKind::EpochBox) {
            self.add_epoch(id, &root, &epoch);
        }
    }

    fn add_epoch(&mut self, id: AccountId, root: &Secret<32>, record: &[u8]) {
        let public = &record[34..34 + hseal::PUBLIC_BYTES];
        let number: [u8; 8] = record[18..26].try_into().unwrap();
        let place = [id.0.as_slice(), &number].concat();
        let wrapped = &record[record.len() - 136..];
        let context: [&[u8]; 2] = [&place, &sha256(&[public]).0];
        let octets = cwrap::unwrap(root, "epoch", &context, wrapped).unwrap();
        let (arrival, rows) = octets.split_first_chunk::<32>().unwrap();
        let rows = Secret::copied(rows.first_chunk().unwrap());
        let name = format!("epoch {}", u32::from_be_bytes(*number.first_chunk().unwrap()));
        self.keep(&format!("{name}: arrival key"), arrival);
        self.keep(&format!("{name}: row key"), rows.expose());
        for kind in RecordKind::ALL {
            let key = derive::<32>(&rows, "row", &[&place, &kind.table().to_be_bytes()]);
            self.keep(&format!("{name}: key of {kind:?}"), key.expose());
        }
        let anchor = derive::<32>(&rows, "anchor", &[&place]);
        self.keep(&format!("{name}: anchor key"), anchor.expose());
    }
}

fn rows(read: &Read, id: AccountId, kind: RecordKind) -> Vec<Vec<u8>> {
    read.scan(id, kind, Row(0)).map(|found| found.unwrap().1.to_vec()).collect()
}

/// Which of the words are in the memory of a process, as root finds it there.
fn found(pid: u32, words: &Words) -> BTreeSet<String> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut found = BTreeSet::new();
    let finders: Vec<_> = words.iter().map(|(name, word)| (name, Finder::new(word))).collect();
    for line in maps.lines() {
        let mut parts = line.split(' ');
        let (range, rights) = (parts.next().unwrap(), parts.next().unwrap());
        if !rights.starts_with('r') {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|place| u64::from_str_radix(place, 16).unwrap());
        let octets = octets(&memory, from, to);
        if octets.iter().any(|octet| *octet != 0) {
            let here = finders.iter().filter(|(_, finder)| finder.find(&octets).is_some());
            found.extend(here.map(|(name, _)| (*name).clone()));
        }
    }
    found
}

/// A mapping as far as it can be read; of pages that are hidden, nothing.
fn octets(memory: &File, from: u64, to: u64) -> Vec<u8> {
    let mut octets = vec![0; usize::try_from(to.saturating_sub(from)).unwrap()];
    let mut read = 0;
    while let Ok(more @ 1..) = memory.read_at(&mut octets[read..], from + read as u64) {
        read += more;
    }
    octets.truncate(read);
    octets
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|of| std::os::unix::fs::MetadataExt::uid(&of) == 0)
}

#[test]
fn who_is_not_root_reads_nothing_of_the_server() {
    let cell = Cell::serving("ie");
    let pid = cell.pid();
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(line.split_whitespace().nth(4), Some("0"), "{line}");
    // What the kernel says of a process that may not be dumped: all of it is root's.
    for file in ["mem", "maps", "environ"] {
        let path = format!("/proc/{pid}/{file}");
        let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&path).unwrap());
        assert_eq!(owner, 0, "{file}");
        if !is_root() {
            assert_eq!(File::open(&path).unwrap_err().kind(), ErrorKind::PermissionDenied);
        }
    }
    let answer = cell.admin(&["cell"]);
    assert_eq!(answer["memory"]["outside"], 0, "{answer}");
    assert!(answer["memory"]["held"].as_u64().unwrap() > 0, "{answer}");
}

#[test]
fn nothing_of_an_account_stays_in_memory_after_logout_and_no_key_of_it_is_seen_before() {
    let mut cell = Cell::serving("ie");
    let alice = cell.account("alice");
    let (code, said) = cell.mx().deliver("bob@example.org", &alice.address, &letter("corpus"));
    assert_eq!(code, 250, "{said}");
    cell.stop();
    let keys = Keys::of(&cell, &alice);
    assert!(keys.0.len() > 50);
    cell.start();
    if !is_root() {
        return;
    }
    let pid = cell.pid();
    let symbols = alice.app_password.replace('-', "");
    let secrets = vec![text(&alice.app_password), text(&symbols)];
    let words = vec![text("habeas corpus"), text("in chambers, corpus")];

    let mut imap = cell.inbox(&alice);
    imap.ok("UID FETCH 1:* (FLAGS ENVELOPE BODY.PEEK[])");
    // Looking finds what is there: the list of an open mailbox.
    let list = found(pid, &vec![text("bob@example.org")]);
    assert_eq!(list.len(), 1);
    if cell.admin(&["cell"])["memory"]["pages"] == "hidden" {
        // A row that is being opened has its key expanded for less than a microsecond, and what a
        // library left on the stack of a thread that only waits is there until that thread ends.
        cell.until("no key of the account is in ordinary memory", || {
            found(pid, &keys.0).is_empty()
        });
    }
    cell.until("the app password is forgotten while its session goes on", || {
        found(pid, &secrets).is_empty()
    });
    imap.ok("LOGOUT");
    let all = [secrets, words, keys.0, vec![text("bob@example.org")]].concat();
    cell.until("nothing of the account is in memory", || found(pid, &all).is_empty());
}
