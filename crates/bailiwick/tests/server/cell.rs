//! One cell in a folder of its own, as its administrator makes and runs it.
//!
//! Invariant: when a cell is dropped its whole log is read, and nothing in it may be an address,
//! a word of a letter, or a secret.

use std::cell::RefCell;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use serde_json::Value;
use tempfile::TempDir;

use crate::names;
use crate::tls::{self, Authority, Papers};
use crate::wire::{Imap, Lines, Smtp};

pub(crate) const BAILIWICK: &str = env!("CARGO_BIN_EXE_bailiwick");
/// The protocols, with the port that `init --port-offset 10000` gives each.
const PROTOCOLS: [(&str, u16); 5] =
    [("mx", 10025), ("submission", 10465), ("imap", 10993), ("relay", 10026), ("http", 10080)];
/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(60);
/// Words that only addresses, letters and people have; every test's letters use them.
const NEVER_LOGGED: [&str; 9] =
    ["@", "alice", "clerk", "bob", "Subject", "subject", "habeas", "corpus", "chambers"];

/// Runs the program and waits for it.
pub(crate) fn bailiwick(words: &[&str]) -> Output {
    Command::new(BAILIWICK).args(words).stdin(Stdio::null()).output().unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// An address that no other process and no other cell listens at.
fn own_address() -> IpAddr {
    static CELLS: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let cell = 64 + CELLS.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::new(127, cell, high, low.clamp(1, 254)).into()
}

/// What the server says on standard error.
#[derive(Default)]
struct Heard {
    text: Mutex<String>,
    more: Condvar,
}

impl Heard {
    fn listen(self: Arc<Self>, stderr: std::process::ChildStderr) {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            self.text.lock().unwrap().push_str(&format!("{line}\n"));
            self.more.notify_all();
        }
        self.text.lock().unwrap().push_str("(end)\n");
        self.more.notify_all();
    }

    /// Waits for a word; panics if the server ends or `patience` passes before it.
    fn wait_for(&self, word: &str, patience: Duration) {
        let ends = Instant::now() + patience;
        let mut text = self.text.lock().unwrap();
        while !text.contains(word) {
            assert!(!text.ends_with("(end)\n"), "the server ended: {text}");
            let left = ends.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the server did not say `{word}`: {text}");
            text = self.more.wait_timeout(text, left).unwrap().0;
        }
    }
}

/// An account, as its owner was told of it.
pub(crate) struct Account {
    pub(crate) address: String,
    pub(crate) recovery_code: String,
    pub(crate) app_password: String,
    pub(crate) slot: String,
}

struct Running {
    child: Child,
    heard: Arc<Heard>,
    listener: std::thread::JoinHandle<()>,
}

/// A cell.
pub(crate) struct Cell {
    folder: TempDir,
    pub(crate) name: String,
    pub(crate) domain: String,
    pub(crate) hostname: String,
    address: IpAddr,
    authority: String,
    running: Option<Running>,
    /// What earlier runs said.
    log: String,
    secrets: RefCell<Vec<String>>,
}

impl Cell {
    /// A new cell with papers of `authority`, which is also what it trusts other cells by.
    pub(crate) fn new(name: &str, authority: &Authority) -> Self {
        let folder = tempfile::Builder::new().prefix("bw").tempdir().unwrap();
        let (domain, address) = (format!("{name}.example"), own_address());
        let at = folder.path().to_str().unwrap();
        let (listen, dns) = (address.to_string(), names::server().to_string());
        let words = ["init", "--cell", name, "--domain", &domain, "--dir", at, "--listen", &listen];
        let words = [&words[..], &["--port-offset", "10000", "--dns", &dns]].concat();
        let made = bailiwick(&words);
        assert!(made.status.success(), "{}", stderr(&made));
        let cell = Self {
            folder,
            name: name.to_owned(),
            hostname: format!("mx.{domain}"),
            domain,
            address,
            authority: authority.pem(),
            running: None,
            log: String::new(),
            secrets: RefCell::default(),
        };
        cell.take_free_ports();
        cell.install(&authority.sign(&cell.hostname));
        fs::write(cell.path("ca.crt"), authority.pem()).unwrap();
        cell.edit("# peer_ca = \"cells-ca.crt\"", "peer_ca = \"ca.crt\"");
        cell
    }

    /// A cell that serves.
    pub(crate) fn serving(name: &str) -> Self {
        let mut cell = Self::new(name, &Authority::new());
        cell.start();
        cell
    }

    fn take_free_ports(&self) {
        let sockets = PROTOCOLS.map(|_| TcpListener::bind((self.address, 0)).unwrap());
        for ((_, old), socket) in PROTOCOLS.iter().zip(&sockets) {
            let old = SocketAddr::new(self.address, *old).to_string();
            self.edit(&old, &socket.local_addr().unwrap().to_string());
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn config(&self) -> String {
        self.path("bailiwick.toml").to_str().unwrap().to_owned()
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(self.config()).unwrap()
    }

    /// A change to the configuration, as with an editor.
    pub(crate) fn edit(&self, old: &str, new: &str) {
        let text = self.text();
        assert!(text.contains(old), "the configuration has no `{old}`");
        fs::write(self.config(), text.replacen(old, new, 1)).unwrap();
    }

    pub(crate) fn append(&self, lines: &str) {
        fs::write(self.config(), self.text() + lines).unwrap();
    }

    pub(crate) fn install(&self, papers: &Papers) {
        papers.install(self.folder.path());
    }

    /// Where a protocol is served, as the configuration says.
    pub(crate) fn at(&self, protocol: &str) -> SocketAddr {
        let text = self.text();
        let (_, section) = text.split_once(&format!("\n[{protocol}]\n")).unwrap();
        let (_, value) = section.split_once("listen = \"").unwrap();
        value.split('"').next().unwrap().parse().unwrap()
    }

    /// `bailiwick check --json`: what others must know of the cell.
    pub(crate) fn identity(&self) -> Value {
        let checked = bailiwick(&["check", "--json", "--config", &self.config()]);
        assert!(checked.status.success(), "{}", stderr(&checked));
        serde_json::from_slice(&checked.stdout).unwrap()
    }

    /// Introduces another cell to this one.
    pub(crate) fn meet(&self, other: &Self) {
        let keys = other.identity();
        self.append(&format!(
            "\n[[peer]]\nname = \"{}\"\ndomains = [\"{}\"]\nrelay = \"{}\"\nrelay_name = \"{}\"\n\
             log_url = \"http://{}\"\nlog_key = {}\nwitness_key = {}\n",
            other.name,
            other.domain,
            other.at("relay"),
            other.hostname,
            other.at("http"),
            keys["log_key"],
            keys["witness_key"],
        ));
    }

    /// Starts the server and waits until it says that it serves.
    pub(crate) fn start(&mut self) {
        self.start_with(&[]);
    }

    /// [`Cell::start`] with more words on the command line.
    pub(crate) fn start_with(&mut self, words: &[&str]) {
        self.spawn(words);
        self.wait_for("the cell is serving");
    }

    fn spawn(&mut self, words: &[&str]) {
        assert!(self.running.is_none(), "it runs already");
        let mut child = Command::new(BAILIWICK)
            .args(["serve", "--config", &self.config()])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (heard, stderr) = (Arc::new(Heard::default()), child.stderr.take().unwrap());
        let listener = std::thread::spawn({
            let heard = Arc::clone(&heard);
            move || heard.listen(stderr)
        });
        self.running = Some(Running { child, heard, listener });
    }

    /// Waits until this run of the server has logged a word.
    pub(crate) fn wait_for(&self, word: &str) {
        self.running.as_ref().expect("it does not run").heard.wait_for(word, START);
    }

    /// Asks again until something holds.
    pub(crate) fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let ends = Instant::now() + START;
        while !holds() {
            assert!(Instant::now() < ends, "it did not come to be: {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts a server that must not come up; what it says.
    pub(crate) fn refuses_to_start(&self) -> String {
        let output = bailiwick(&["serve", "--config", &self.config()]);
        assert!(!output.status.success(), "it served");
        stderr(&output)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.as_ref().expect("it does not run").child.id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.pid();
        let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for the end of the server; panics if it outlives `patience`.
    pub(crate) fn ended(&mut self, patience: Duration) -> ExitStatus {
        let mut running = self.running.take().expect("it does not run");
        let ends = Instant::now() + patience;
        let status = loop {
            if let Some(status) = running.child.try_wait().unwrap() {
                break Some(status);
            }
            if Instant::now() > ends {
                running.child.kill().unwrap();
                running.child.wait().unwrap();
                break None;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        running.listener.join().unwrap();
        let log = running.heard.text.lock().unwrap();
        self.log.push_str(&log);
        status.unwrap_or_else(|| panic!("it did not end: {log}"))
    }

    /// A clean stop.
    pub(crate) fn stop(&mut self) {
        self.signal("TERM");
        let status = self.ended(Duration::from_secs(30));
        assert_eq!(status.code(), Some(0));
    }

    /// A power cut, as far as a process can tell.
    pub(crate) fn kill(&mut self) {
        self.signal("KILL");
        let status = self.ended(Duration::from_secs(30));
        assert_eq!(status.code(), None);
    }

    /// `bailiwick admin --json`; the exit status and the answer.
    pub(crate) fn ask_admin(&self, words: &[&str], secret: &str) -> (bool, Value) {
        let config = self.config();
        let words = [&["admin", "--json", "--config", &config], words].concat();
        let mut child = Command::new(BAILIWICK)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may have answered without reading its input.
        let _ = writeln!(child.stdin.take().unwrap(), "{secret}");
        let output = child.wait_with_output().unwrap();
        let answer = serde_json::from_slice(&output.stdout);
        (output.status.success(), answer.unwrap_or_else(|_| panic!("{}", stderr(&output))))
    }

    /// An administrative act that must succeed.
    pub(crate) fn admin(&self, words: &[&str]) -> Value {
        let (done, answer) = self.ask_admin(words, "");
        assert!(done, "{answer}");
        answer
    }

    /// An administrative act that must be refused; what is wrong, and the cure.
    pub(crate) fn admin_refused(&self, words: &[&str], secret: &str) -> (String, String) {
        let (done, answer) = self.ask_admin(words, secret);
        assert!(!done, "{answer}");
        assert_eq!(answer["answer"], "refused");
        let word = |name: &str| answer[name].as_str().unwrap().to_owned();
        (word("what"), word("cure"))
    }

    /// A new account in custody `sealed`.
    pub(crate) fn account(&self, local: &str) -> Account {
        let address = format!("{local}@{}", self.domain);
        let made = self.admin(&["account", "create", &address]);
        let word = |name: &str| made[name].as_str().unwrap().to_owned();
        let account = Account {
            address,
            recovery_code: word("recovery_code"),
            app_password: word("app_password"),
            slot: word("slot"),
        };
        self.keep_secret(&account.recovery_code);
        self.keep_secret(&account.app_password);
        account
    }

    /// A word that must never be in the log.
    pub(crate) fn keep_secret(&self, word: &str) {
        self.secrets.borrow_mut().push(word.to_owned());
    }

    pub(crate) fn trust(&self) -> Arc<ClientConfig> {
        tls::client(&self.authority, None)
    }

    /// Another server, with a letter, under STARTTLS.
    pub(crate) fn mx(&self) -> Smtp {
        let smtp = Smtp::greet(Lines::plain(self.at("mx")));
        smtp.start_tls(&self.hostname, &self.trust())
    }

    pub(crate) fn imap(&self) -> Imap {
        Imap::greet(Lines::tls(self.at("imap"), &self.hostname, &self.trust()))
    }

    /// The owner's mail program, with INBOX open.
    pub(crate) fn inbox(&self, account: &Account) -> Imap {
        let mut imap = self.imap();
        let said = imap.login(&account.address, &account.app_password);
        assert!(said.contains(" OK "), "{said}");
        imap.ok("SELECT INBOX");
        imap
    }

    /// Every letter of the INBOX, as one text.
    pub(crate) fn letters(&self, account: &Account) -> String {
        let mut imap = self.inbox(account);
        let all = imap.ok("UID FETCH 1:* (BODY.PEEK[])");
        imap.ok("LOGOUT");
        all
    }

    /// The first file of the data directory that holds one of the words, and the word.
    pub(crate) fn find_in_data(&self, words: &[&str]) -> Option<(PathBuf, String)> {
        let mut folders = vec![self.path("data")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Some(word) = word_in(&path, words) {
                    return Some((path, word));
                }
            }
        }
        None
    }
}

/// The first line of a log with a word that must not be there.
fn indiscretion<'a>(log: &'a str, secrets: &[String]) -> Option<&'a str> {
    let words: Vec<&str> =
        NEVER_LOGGED.into_iter().chain(secrets.iter().map(String::as_str)).collect();
    log.lines().find(|line| words.iter().any(|word| line.contains(word)))
}

#[test]
fn an_indiscreet_log_is_noticed() {
    let secrets = ["abcd-efgh".to_owned()];
    assert_eq!(
        indiscretion("one\nthe letter went to alice\n", &secrets),
        Some("the letter went to alice")
    );
    assert_eq!(indiscretion("one\nLOGIN abcd-efgh\n", &secrets), Some("LOGIN abcd-efgh"));
    assert_eq!(indiscretion("one\ntwo\n", &secrets), None);
}

fn word_in(path: &Path, words: &[&str]) -> Option<String> {
    let octets = fs::read(path).unwrap();
    let has = |word: &&&str| memchr::memmem::find(&octets, word.as_bytes()).is_some();
    words.iter().find(has).map(|word| (*word).to_owned())
}

impl Drop for Cell {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            // What cannot be killed has ended.
            let _ = running.child.kill();
            let _ = running.child.wait();
            let _ = running.listener.join();
            let log = running.heard.text.lock().map(|text| text.clone()).unwrap_or_default();
            self.log.push_str(&log);
        }
        if std::thread::panicking() {
            eprintln!("the log of cell {}:\n{}", self.name, self.log);
        } else {
            assert!(self.log.contains("the cell") || self.log.is_empty(), "nothing was heard");
            assert_eq!(indiscretion(&self.log, &self.secrets.borrow()), None);
        }
    }
}

/// Two cells that know each other; neither runs yet.
pub(crate) fn pair() -> (Cell, Cell) {
    let authority = Authority::new();
    let (ie, us) = (Cell::new("ie", &authority), Cell::new("us", &authority));
    ie.meet(&us);
    us.meet(&ie);
    (ie, us)
}

/// A letter with words that must stay out of logs and disks.
pub(crate) fn letter(word: &str) -> String {
    format!(
        "From: bob@example.org\r\nTo: alice@ie.example\r\nSubject: habeas {word}\r\n\
         Date: Fri, 2 Jan 2026 10:00:00 +0000\r\n\r\nin chambers, {word}\r\n"
    )
}
