//! The public log over HTTP, as an outsider checks it, and the other cell as its witness.

use std::fs;

use custody::{Act, Leaf};
use serde_json::{Value, json};
use tlog::{Checkpoint, Resource, SignedNote, SourceError, TileSource, VerifierKey};

use crate::cell::{Cell, bailiwick, letter, pair, stderr};
use crate::wire::{http, http_get};

/// A log as its tiles are served.
struct Served<'a>(&'a Cell);

impl Served<'_> {
    fn get(&self, resource: Resource) -> Result<Vec<u8>, SourceError> {
        match http_get(self.0.at("http"), &format!("/{resource}")) {
            (200, body) => Ok(body),
            _ => Err(SourceError::Missing(resource)),
        }
    }

    fn note(&self) -> SignedNote {
        SignedNote::parse(&self.get(Resource::Checkpoint).unwrap()).unwrap()
    }

    /// The checkpoint, with its signature checked.
    fn checkpoint(&self) -> Checkpoint {
        let key: VerifierKey = self.0.identity()["log_key"].as_str().unwrap().parse().unwrap();
        Checkpoint::open(&self.note(), &key).unwrap()
    }

    /// The leaves, each checked to be in the signed tree.
    fn leaves(&self) -> Vec<Vec<u8>> {
        let checkpoint = self.checkpoint();
        let width = u16::try_from(checkpoint.size).unwrap();
        if width == 0 {
            return Vec::new();
        }
        let bundle = self.entries(0, width).unwrap();
        let leaves: Vec<Vec<u8>> =
            tlog::split_bundle(&bundle, width).unwrap().into_iter().map(<[u8]>::to_vec).collect();
        for (index, leaf) in (0..).zip(&leaves) {
            let path = tlog::inclusion_proof(self, checkpoint.size, index).unwrap();
            let hash = tlog::leaf_hash(leaf);
            tlog::verify_inclusion(&hash, index, checkpoint.size, &path, &checkpoint.root).unwrap();
        }
        leaves
    }
}

impl TileSource for Served<'_> {
    fn tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<u8>, SourceError> {
        self.get(Resource::Tile { level, index, width })
    }

    fn entries(&self, index: u64, width: u16) -> Result<Vec<u8>, SourceError> {
        self.get(Resource::Entries { index, width })
    }
}

/// Every leaf of a cell's log.
pub(crate) fn leaves(cell: &Cell) -> Vec<Vec<u8>> {
    Served(cell).leaves()
}

/// How many leaves say that the administrator did something.
pub(crate) fn administrative_leaves(cell: &Cell) -> usize {
    let leaves = Served(cell).leaves();
    let act = |leaf: &Vec<u8>| Leaf::decode(leaf).unwrap().act;
    leaves.iter().filter(|leaf| act(leaf) == Some(Act::StaffAct)).count()
}

#[test]
fn every_act_of_the_administrator_is_a_leaf() {
    let cell = Cell::serving("ie");
    assert_eq!(administrative_leaves(&cell), 0);
    let alice = cell.account("alice");
    cell.account("clerk");
    cell.admin(&["alias", "add", "post@ie.example", &alice.address]);
    cell.admin(&["alias", "remove", "post@ie.example"]);
    let add = ["unlocker", "add", &alice.address];
    let (done, added) = cell.ask_admin(&add, &alice.recovery_code);
    assert!(done, "{added}");
    assert_eq!(administrative_leaves(&cell), 5);
    // Public, and so without a word of whom it was about.
    for leaf in Served(&cell).leaves() {
        for word in ["alice", "clerk", "post", "ie.example"] {
            assert_eq!(memchr::memmem::find(&leaf, word.as_bytes()), None, "{word}");
        }
    }
}

#[test]
fn a_log_continues_over_a_restart_and_a_kill() {
    let mut cell = Cell::serving("ie");
    cell.account("alice");
    let before = Served(&cell).checkpoint();
    cell.kill();
    cell.start();
    assert_eq!(Served(&cell).checkpoint(), before);
    cell.account("clerk");
    cell.stop();
    cell.start();
    let after = Served(&cell).checkpoint();
    assert_eq!(after.size, before.size + 1);
    let proof = tlog::consistency_proof(&Served(&cell), before.size, after.size).unwrap();
    tlog::verify_consistency(before.size, &before.root, after.size, &after.root, &proof).unwrap();
    assert_eq!(administrative_leaves(&cell), 2);
}

#[test]
fn a_log_that_lost_its_checkpoint_is_not_begun_again() {
    let mut cell = Cell::serving("ie");
    cell.account("alice");
    cell.stop();
    let checkpoint = fs::read(cell.path("data/log/checkpoint")).unwrap();
    fs::remove_file(cell.path("data/log/checkpoint")).unwrap();
    let said = cell.refuses_to_start();
    assert!(said.contains("restore it"), "{said}");
    fs::write(cell.path("data/log/checkpoint"), checkpoint).unwrap();
    cell.start();
}

#[test]
fn the_other_cell_cosigns() {
    let (mut ie, mut us) = pair();
    us.start();
    ie.start();
    ie.account("alice");
    let key: VerifierKey = us.identity()["witness_key"].as_str().unwrap().parse().unwrap();
    ie.until("the witness has cosigned the newest checkpoint", || {
        let note = Served(&ie).note();
        let keys = [key.clone()];
        note.verify(&keys).is_ok()
    });
    assert_eq!(ie.admin(&["log"])["cosigned_by"][0], "us.example/witness");
    // The witness shows what it cosigned, under the digest of the log's origin.
    let origin = seal::mac::sha256(&[b"ie.example/log"]);
    let (status, body) = http_get(us.at("http"), &format!("/witness/{origin}/checkpoint"));
    assert_eq!(status, 200);
    let seen = SignedNote::parse(&body).unwrap();
    assert_eq!(seen.text_unverified(), Served(&ie).note().text_unverified());
}

#[test]
fn a_witness_that_was_away_is_asked_again() {
    let (mut ie, mut us) = pair();
    ie.start();
    ie.account("alice");
    ie.wait_for("no cosignature");
    us.start();
    // A new leaf is a reason to ask before the minute is over.
    ie.account("clerk");
    ie.until("the witness has cosigned", || {
        ie.admin(&["log"])["cosigned_by"][0] == "us.example/witness"
    });
}

/// Every file below a folder, copied over what is there.
pub(crate) fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, to).unwrap();
        }
    }
}

#[test]
fn a_cell_put_back_to_an_old_backup_logs_nothing_until_its_operator_says_so() {
    let (mut ie, mut us) = pair();
    us.start();
    ie.start();
    let alice = ie.account("alice");
    ie.stop();
    copy(&ie.path("data"), &ie.path("backup"));
    ie.start();
    ie.account("clerk");
    let seen = Served(&ie).checkpoint().size;
    ie.until("the witness has cosigned", || {
        ie.admin(&["log"])["cosigned_by"][0] == "us.example/witness"
    });
    ie.stop();
    fs::remove_dir_all(ie.path("data")).unwrap();
    copy(&ie.path("backup"), &ie.path("data"));
    ie.start();
    ie.wait_for("the log has forked or lost leaves");
    let size = Served(&ie).checkpoint().size;
    assert!(size < seen);
    for restarted in [false, true] {
        if restarted {
            ie.stop();
            ie.start();
        }
        let stopped = ie.admin(&["log"])["stopped"].clone();
        assert_eq!(
            (stopped["theirs"].as_u64(), stopped["witness"].as_str()),
            (Some(seen), Some("us"))
        );
        assert!(stopped["cure"].as_str().unwrap().contains("restore"), "{stopped}");
        let (what, cure) = ie.admin_refused(&["account", "create", "bob@ie.example"], "");
        assert!(
            what.contains("the log is stopped") && cure.contains("admin log"),
            "{what}: {cure}"
        );
        assert_eq!(Served(&ie).checkpoint().size, size, "nothing is signed");
        // Letters do not wait for the log.
        assert_eq!(ie.mx().deliver("bob@example.org", &alice.address, &letter("on")).0, 250);
    }
    let fork = ie.admin(&["log"])["stopped"]["fork"].as_str().unwrap().to_owned();
    ie.admin_refused(&["log", "resume", &"0".repeat(64)], "");
    ie.admin(&["log", "resume", &fork]);
    assert_eq!(Served(&ie).checkpoint().size, size + 1);
    assert!(ie.admin(&["log"])["stopped"].is_null());
    ie.account("bob");
}

/// `bailiwick desk --json`, which must succeed.
pub(crate) fn desk(cell: &Cell, words: &[&str]) -> Value {
    let (done, answer) = ask_desk(cell, words);
    assert!(done, "{answer}");
    answer
}

fn ask_desk(cell: &Cell, words: &[&str]) -> (bool, Value) {
    let config = cell.config();
    let output = bailiwick(&[&["desk", "--json", "--config", &config], words].concat());
    let answer = serde_json::from_slice(&output.stdout);
    (output.status.success(), answer.unwrap_or_else(|_| stderr(&output).into()))
}

/// A clerk's key file.
pub(crate) fn clerk(cell: &Cell) -> String {
    let key = cell.path("clerk.key").to_str().unwrap().to_owned();
    let made = desk(cell, &["keygen", "--out", &key]);
    let words: Vec<&str> = made["public"].as_str().unwrap().split_whitespace().collect();
    desk(cell, &[&["enrol"], &words[..], &["--name", "a clerk", "--role", "clerk"]].concat());
    key
}

#[test]
fn who_deletes_an_account_is_not_told_whether_something_of_it_is_preserved() {
    let (mut ie, _us) = pair();
    ie.start();
    let [alice, bob] = ["alice", "bob"].map(|name| ie.account(name));
    for owner in [&alice, &bob] {
        let large = "a line of a large letter\r\n".repeat(10_000);
        let large = format!("Subject: s\r\n\r\n{large}");
        assert_eq!(ie.mx().deliver("carol@example.org", &owner.address, &large).0, 250);
    }
    let key = clerk(&ie);
    let demand = json!({
        "authority": "a court", "reference": "1", "basis": "an act", "secrecy": "none",
        "identifiers": [alice.address], "rehearsal": true,
        "facts": { "cell": "ie", "served": "2026-01-02T10:00:00Z" },
    });
    fs::write(ie.path("demand.json"), demand.to_string()).unwrap();
    fs::write(ie.path("paper"), "as served").unwrap();
    let path = |name: &str| ie.path(name).to_str().unwrap().to_owned();
    let (demand, paper) = (path("demand.json"), path("paper"));
    let receive = ["--as", &key, "receive", &demand, &paper, "--address", &alice.address];
    let received = desk(&ie, &receive);
    let case = received["said"]["receipt"]["case"].as_str().unwrap().to_owned();
    desk(&ie, &["--as", &key, "preserve", &case, "--days", "30"]);
    let told = [&alice, &bob].map(|owner| {
        let words = ["account", "delete", &owner.address];
        let (done, mut told) = ie.ask_admin(&words, &owner.recovery_code);
        assert!(done && told["closed_until"].take().is_u64(), "{told}");
        told
    });
    assert_eq!(told[0], told[1]);
}

#[test]
fn while_the_log_is_stopped_a_demand_is_received_and_preserved_and_its_leaves_follow() {
    let (mut ie, mut us) = pair();
    us.start();
    ie.start();
    let alice = ie.account("alice");
    let key = clerk(&ie);
    ie.stop();
    copy(&ie.path("data"), &ie.path("backup"));
    ie.start();
    ie.account("bob");
    ie.until("the witness has cosigned", || {
        ie.admin(&["log"])["cosigned_by"][0] == "us.example/witness"
    });
    ie.stop();
    fs::remove_dir_all(ie.path("data")).unwrap();
    copy(&ie.path("backup"), &ie.path("data"));
    ie.start();
    ie.wait_for("the log has forked or lost leaves");
    let size = Served(&ie).checkpoint().size;
    let demand = json!({
        "authority": "a court", "reference": "1", "basis": "an act", "secrecy": "none",
        "identifiers": [alice.address], "rehearsal": true,
        "facts": { "cell": "ie", "served": "2026-01-02T10:00:00Z" },
    });
    fs::write(ie.path("demand.json"), demand.to_string()).unwrap();
    fs::write(ie.path("paper"), "as served").unwrap();
    let path = |name: &str| ie.path(name).to_str().unwrap().to_owned();
    let (demand, paper) = (path("demand.json"), path("paper"));
    let receive = ["--as", &key, "receive", &demand, &paper, "--address", &alice.address];
    let received = desk(&ie, &receive);
    let case = received["said"]["receipt"]["case"].as_str().unwrap().to_owned();
    desk(&ie, &["--as", &key, "preserve", &case, "--days", "30"]);
    let (done, refused) = ask_desk(&ie, &["--as", &key, "withdraw", &case, "a slip"]);
    assert!(!done && refused.to_string().contains("the log is stopped"), "{refused}");
    for restarted in [false, true] {
        if restarted {
            ie.kill();
            ie.start();
        }
        assert_eq!(Served(&ie).checkpoint().size, size, "nothing is signed");
        let cure = ie.admin(&["log"])["stopped"]["cure"].as_str().unwrap().to_owned();
        assert!(cure.contains("2 acts of the desk wait for the log"), "{cure}");
    }
    let fork = ie.admin(&["log"])["stopped"]["fork"].as_str().unwrap().to_owned();
    ie.admin(&["log", "resume", &fork]);
    // That it goes on, and what waited.
    assert_eq!(Served(&ie).checkpoint().size, size + 3);
    let shown = desk(&ie, &["--as", &key, "show", &case]);
    let events = shown["said"]["file"]["file"].as_array().unwrap();
    let logged = |word: &str| {
        let event = events.iter().find(|event| event["what"] == word).unwrap();
        event["log_index"].as_u64()
    };
    assert_eq!(logged("received"), Some(size + 1));
    assert_eq!(logged("preserved"), Some(size + 2));
}

#[test]
fn odd_paths_lead_nowhere() {
    let cell = Cell::serving("ie");
    cell.account("alice");
    let at = cell.at("http");
    let size = Served(&cell).checkpoint().size;
    assert_eq!(http_get(at, &format!("/tile/0/000.p/{size}")).0, 200);
    assert_eq!(http_get(at, &format!("/tile/entries/000.p/{size}")).0, 200);
    for path in [
        "/",
        "/tile/",
        "/tile/../../../cell.keys",
        "/tile/../..",
        "/tile/%2e%2e/%2e%2e/store/FORMAT",
        "/tile/..%2f..%2f..%2fcell.keys",
        "/tile/0/../checkpoint",
        "/tile//0/000.p/1",
        "/tile/entries/000.p/255",
        "/tile/0/000",
        "/tile/0/000.p/0",
        "/tile/0/000.p/255",
        "/tile/0/000.p/256",
        "/tile/0/0.p/1",
        "/tile/00/000.p/1",
        "/tile/0/000.p/01",
        "/tile/0/x000/000.p/1",
        "/tile/64/000.p/1",
        "/tile/0/000.p/1.new",
        "/checkpoint/",
        "/checkpoint.new",
        "/witness/../cell.keys/checkpoint",
        "/witness/00/checkpoint",
        "/../../cell.keys",
    ] {
        let (status, body) = http_get(at, path);
        assert!(status == 404 || status == 400, "{path}: {status}");
        assert!(body.len() < 200, "{path}: {}", String::from_utf8_lossy(&body));
    }
}

#[test]
fn strangers_move_no_witness() {
    let (mut ie, us) = pair();
    ie.start();
    let at = ie.at("http");
    let post = |body: &str| {
        let length = body.len();
        http(
            at,
            &format!(
                "POST /witness/add-checkpoint HTTP/1.1\r\nHost: log.example\r\n\
                 Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            ),
        )
        .0
    };
    assert_eq!(post(""), 400);
    assert_eq!(post("old 0\n"), 400);
    let unsigned = "old 0\n\nus.example/log\n1\nAAAA\n\n— us.example/log AAAAAAAA\n";
    assert!([400, 403].contains(&post(unsigned)));
    assert!([400, 404].contains(&post("old 0\n\nelsewhere\n0\nAAAA\n\n— elsewhere AAAAAAAA\n")));
    let origin = seal::mac::sha256(&[b"us.example/log"]);
    assert_eq!(http_get(at, &format!("/witness/{origin}/checkpoint")).0, 404);
    assert_eq!(post(&"x".repeat(tlog::REQUEST_BYTES_MAX + 1)), 413);
    drop(us);
}
