//! Kills and power cuts amid deliveries and the changes of a mail program.
//!
//! Senders deliver to two accounts, and a mail program appends, flags and expunges in a third, until
//! the server dies. After every start all of it is read back. `./x test` kills a hundred times;
//! `./x soak` a thousand (`CUTS=1000`), and `./x power` takes the power from the disk too.
//!
//! Invariant: what was acknowledged is there; what was not may be there, whole.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::cell::{Account, BAILIWICK, Cell, letter};
use crate::tls::Authority;
use crate::wire::Lines;

const CUTS: usize = 100;
const SENDERS: usize = 4;
/// A mailbox with more letters than this is emptied, so that reading back stays quick.
const MAILBOX_MAX: usize = 400;
const FLAGS: [&str; 3] = ["\\Seen", "\\Flagged", "\\Answered"];

#[expect(clippy::disallowed_methods, reason = "whoever runs the test names what it runs")]
fn named(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn cuts() -> usize {
    named("CUTS").map_or(CUTS, |text| text.parse().expect("a number of cuts"))
}

/// Sends letters until the server dies; the word of each letter that was acknowledged goes into
/// `acknowledged`.
fn send(
    mx: SocketAddr,
    to: &str,
    next: &AtomicUsize,
    acknowledged: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let stream = TcpStream::connect(mx)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let mut ask = |command: String| -> io::Result<String> {
        (&stream).write_all(command.as_bytes())?;
        loop {
            let line = lines.next().ok_or(io::ErrorKind::UnexpectedEof)??;
            if line.as_bytes().get(3) == Some(&b' ') {
                return Ok(line);
            }
        }
    };
    ask(String::new())?;
    ask("EHLO mail.example.org\r\n".to_owned())?;
    loop {
        let word = format!("letter-{}-end", next.fetch_add(1, Ordering::Relaxed));
        ask("MAIL FROM:<bob@example.org>\r\n".to_owned())?;
        ask(format!("RCPT TO:<{to}>\r\n"))?;
        ask("DATA\r\n".to_owned())?;
        let text = "in chambers\r\n".repeat(300);
        let reply = ask(format!("From: bob@example.org\r\nSubject: {word}\r\n\r\n{text}.\r\n"))?;
        assert!(reply.starts_with("250"), "{reply}");
        acknowledged.lock().unwrap().push(word);
    }
}

/// One letter of a mailbox, as IMAP shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    uid: u32,
    flags: BTreeSet<String>,
}

/// The letters of an INBOX from one UID on, by their words.
fn shown(cell: &Cell, account: &Account, from: u32) -> BTreeMap<String, Shown> {
    let mut imap = cell.inbox(account);
    let all = imap.ok(&format!("UID FETCH {from}:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])"));
    imap.ok("LOGOUT");
    let (mut letters, mut last) = (BTreeMap::new(), None);
    for line in all.lines() {
        if let Some((_, items)) = line.split_once(" FETCH (") {
            let after = |name: &str| items.split_once(name).map(|(_, rest)| rest);
            let uid = after("UID ").and_then(|rest| rest.split([' ', ')']).next());
            let flags = after("FLAGS (").and_then(|rest| rest.split(')').next()).unwrap_or("");
            let flags = flags.split(' ').filter(|flag| FLAGS.contains(flag));
            let flags = flags.map(str::to_owned).collect();
            last = uid.map(|uid| Shown { uid: uid.parse().unwrap(), flags });
        }
        if let Some(word) = line.strip_prefix("Subject: ") {
            letters.insert(word.trim().to_owned(), last.clone().expect("a letter has a UID"));
        }
    }
    letters
}

/// What a mail program asks for.
#[derive(Debug, Clone)]
enum Change {
    Append(String),
    Flag(String, &'static str, bool),
    Expunge(String),
}

/// A mailbox that one program changes: what it was told is so, and what it had asked for and not
/// heard of when the server died.
#[derive(Default)]
struct Program {
    told: BTreeMap<String, Shown>,
    asked: Option<Change>,
    next: usize,
    changes: usize,
    last_uid: u32,
}

impl Program {
    /// Changes the mailbox until the server dies.
    fn change(
        &mut self,
        mut lines: Lines,
        account: &Account,
        done: &AtomicUsize,
    ) -> io::Result<()> {
        lines.line()?;
        let login = format!("LOGIN {} {}", account.address, account.app_password);
        self.ask(&mut lines, &login)?;
        self.ask(&mut lines, "SELECT INBOX")?;
        loop {
            let change = self.choose();
            self.asked = Some(change.clone());
            let said = match &change {
                Change::Append(word) => {
                    let text = format!("Subject: {word}\r\n\r\nin chambers\r\n");
                    lines.send(format!("a APPEND INBOX {{{}}}\r\n", text.len()).as_bytes())?;
                    lines.line()?;
                    lines.send(format!("{text}\r\n").as_bytes())?;
                    self.hear(&mut lines)?
                }
                Change::Flag(word, flag, sets) => {
                    let (uid, sign) = (self.told[word].uid, if *sets { '+' } else { '-' });
                    self.ask(&mut lines, &format!("UID STORE {uid} {sign}FLAGS ({flag})"))?
                }
                Change::Expunge(word) => {
                    let uid = self.told[word].uid;
                    self.ask(&mut lines, &format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"))?;
                    self.ask(&mut lines, &format!("UID EXPUNGE {uid}"))?
                }
            };
            let uid = said.split_once("[APPENDUID ").and_then(|(_, rest)| rest.split(' ').nth(1));
            let uid = uid.map(|uid| uid.trim_end_matches(']').parse().unwrap());
            self.know(&change, uid);
            self.asked = None;
            self.changes += 1;
            done.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn ask(&self, lines: &mut Lines, command: &str) -> io::Result<String> {
        lines.send(format!("a {command}\r\n").as_bytes())?;
        self.hear(lines)
    }

    /// Reads up to the tagged answer, which must be OK.
    fn hear(&self, lines: &mut Lines) -> io::Result<String> {
        loop {
            let line = String::from_utf8_lossy(&lines.line()?).into_owned();
            // A server that was killed amid its answer has answered nothing.
            if !line.ends_with('\n') {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line.starts_with("a ") {
                assert!(line.starts_with("a OK"), "{:?}: {line}", self.asked);
                return Ok(line);
            }
        }
    }

    fn choose(&mut self) -> Change {
        self.next += 1;
        let nth = self.next;
        let old = self.told.keys().nth(nth * 7 % self.told.len().max(1)).cloned();
        match (nth % 5, old) {
            (1 | 3, Some(word)) => {
                let flag = FLAGS[nth % FLAGS.len()];
                let is_set = self.told[&word].flags.contains(flag);
                Change::Flag(word, flag, !is_set)
            }
            (4, Some(word)) if self.told.len() > 20 => Change::Expunge(word),
            _ => Change::Append(format!("change-{nth}-end")),
        }
    }

    fn know(&mut self, change: &Change, uid: Option<u32>) {
        match change {
            Change::Append(word) => {
                let uid = uid.expect("APPEND says the UID");
                assert!(uid > self.last_uid, "UID {uid} was given twice");
                self.last_uid = uid;
                self.told.insert(word.clone(), Shown { uid, flags: BTreeSet::new() });
            }
            Change::Flag(word, flag, sets) => {
                let flags = &mut self.told.get_mut(word).unwrap().flags;
                if *sets {
                    flags.insert((*flag).to_owned())
                } else {
                    flags.remove(*flag)
                };
            }
            Change::Expunge(word) => drop(self.told.remove(word)),
        }
    }

    /// What is there now is what was told, but for the one change that was under way.
    fn read_back(&mut self, now: BTreeMap<String, Shown>) {
        if let Some(change) = self.asked.take() {
            let (Change::Append(word) | Change::Flag(word, ..) | Change::Expunge(word)) = &change;
            let before = self.told.get(word).cloned();
            if now.get(word) != before.as_ref() {
                self.know(&change, now.get(word).map(|shown| shown.uid));
            }
        }
        assert_eq!(self.told, now, "after {} changes", self.changes);
    }
}

/// What senders were told is delivered to one account, and what of it was read.
#[derive(Default)]
struct Inbox {
    read: BTreeSet<String>,
    last_uid: u32,
}

impl Inbox {
    /// Reads what came since the last time; of what was acknowledged meanwhile all must be there.
    fn read_back(&mut self, cell: &Cell, account: &Account, acknowledged: &[String]) {
        for (word, letter) in shown(cell, account, self.last_uid + 1) {
            self.last_uid = self.last_uid.max(letter.uid);
            self.read.insert(word);
        }
        let lost = acknowledged.iter().filter(|word| !self.read.contains(*word));
        assert_eq!(lost.collect::<Vec<_>>(), Vec::<&String>::new(), "these are lost");
        if self.read.len() > MAILBOX_MAX {
            self.see_all(cell, account);
            let mut imap = cell.inbox(account);
            imap.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)");
            imap.ok("EXPUNGE");
            imap.ok("LOGOUT");
            self.read.clear();
        }
    }

    /// What was read once is there still.
    fn see_all(&self, cell: &Cell, account: &Account) {
        let all: BTreeSet<_> = shown(cell, account, 1).into_keys().collect();
        assert_eq!(all, self.read);
    }
}

/// Cuts a cell off amid its work, again and again.
struct Trial {
    cell: Cell,
    accounts: [Account; 2],
    owner: Account,
    program: Program,
    inboxes: [Inbox; 2],
    next: AtomicUsize,
    letters: usize,
}

impl Trial {
    /// A trial of a cell that serves; it is stopped.
    fn of(mut cell: Cell) -> Self {
        let accounts = [cell.account("alice"), cell.account("carol")];
        let owner = cell.account("clerk");
        cell.stop();
        let (program, inboxes) = (Program::default(), Default::default());
        Self { cell, accounts, owner, program, inboxes, next: AtomicUsize::new(0), letters: 0 }
    }

    /// One life: from a start to the server's death. The words that were acknowledged, for each
    /// account.
    fn live(&mut self, nth: usize) -> [Vec<String>; 2] {
        let mx = self.cell.at("mx");
        let (imap, host) = (self.cell.at("imap"), self.cell.hostname.clone());
        let trust = self.cell.trust();
        let words: [Mutex<Vec<String>>; 2] = Default::default();
        let done = AtomicUsize::new(0);
        let (accounts, owner, program) = (&self.accounts, &self.owner, &mut self.program);
        std::thread::scope(|scope| {
            for sender in 0..SENDERS {
                let to = sender % accounts.len();
                let (next, acknowledged) = (&self.next, &words[to]);
                // Its connection breaks when the server dies; that is how it ends.
                scope.spawn(move || send(mx, &accounts[to].address, next, acknowledged).is_err());
            }
            scope.spawn(|| -> io::Result<()> {
                let lines = Lines::over(TcpStream::connect(imap)?).start_tls(&host, &trust);
                program.change(lines, owner, &done)
            });
            // Three times of four the program is at work by then.
            let ends = Instant::now() + Duration::from_secs(10);
            while !nth.is_multiple_of(4)
                && done.load(Ordering::Relaxed) == 0
                && Instant::now() < ends
            {
                std::thread::sleep(Duration::from_millis(1));
            }
            // Each cut comes at another time of the work.
            std::thread::sleep(Duration::from_millis(20 + (nth as u64 * 7) % 90));
            self.cell.kill();
        });
        words.map(|words| words.into_inner().unwrap())
    }

    /// Everything that was acknowledged is there.
    fn read_back(&mut self, acknowledged: &[Vec<String>]) {
        let inboxes = self.inboxes.iter_mut().zip(&self.accounts);
        for ((inbox, account), words) in inboxes.zip(acknowledged) {
            inbox.read_back(&self.cell, account, words);
            self.letters += words.len();
        }
        self.program.read_back(shown(&self.cell, &self.owner, 1));
    }

    /// Cuts so often; `between` is called when the server is dead.
    fn run(&mut self, cuts: usize, mut between: impl FnMut(usize)) {
        self.cell.start();
        for nth in 0..cuts {
            let acknowledged = self.live(nth);
            between(nth);
            self.cell.start();
            self.read_back(&acknowledged);
            if nth % 100 == 99 {
                println!(
                    "{} cuts: {} letters, {} changes",
                    nth + 1,
                    self.letters,
                    self.program.changes
                );
            }
        }
        for (inbox, account) in self.inboxes.iter().zip(&self.accounts) {
            inbox.see_all(&self.cell, account);
        }
        let (sound, checked) = self.cell.ask_admin(&["store", "check"], "");
        assert!(sound, "{checked}");
        assert!(self.letters > cuts, "only {} letters: nothing was tried", self.letters);
        assert!(self.program.changes > cuts, "only {} changes", self.program.changes);
        println!(
            "{cuts} cuts: {} letters and {} changes of a mail program acknowledged, none lost",
            self.letters, self.program.changes
        );
    }
}

#[test]
fn kills_amid_deliveries_and_changes_lose_nothing_acknowledged() {
    let mut trial = Trial::of(Cell::serving("ie"));
    trial.run(cuts(), |_| {});
}

fn journal(cell: &Cell) -> Vec<u8> {
    let folder = cell.path("data/store/journal");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|end| end != "spare")).collect();
    files.sort();
    files.iter().flat_map(|path| std::fs::read(path).unwrap_or_default()).collect()
}

#[test]
fn a_deletion_that_is_cut_short_is_overwritten_after_the_next_start() {
    let mut cell = Cell::serving("ie");
    let alice = cell.account("alice");
    cell.account("carol");
    let before = journal(&cell);
    let text = letter("corpus") + &"in chambers\r\n".repeat(80_000);
    assert_eq!(cell.mx().deliver("bob@example.org", &alice.address, &text).0, 250);
    // Of the sealed letter, what stands where nothing stood before.
    let after = journal(&cell);
    let places = (0..after.len()).step_by(16 << 10).filter(|at| {
        let new = |octets: &[u8]| octets.get(*at..*at + 32).is_some_and(|o| o != [0; 32]);
        new(&after) && !new(&before)
    });
    let samples: Vec<_> = places.map(|at| after[at..at + 32].to_vec()).collect();
    assert!(samples.len() > 40, "{}", samples.len());
    let mut asking = Command::new(BAILIWICK)
        .args(["admin", "--config", &cell.config(), "account", "delete", &alice.address])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    writeln!(asking.stdin.take().unwrap(), "{}", alice.recovery_code).unwrap();
    cell.wait_for("what was deleted is overwritten now");
    cell.kill();
    asking.wait().unwrap();
    cell.start();
    let is_left = || {
        let octets = journal(&cell);
        samples.iter().any(|sample| memchr::memmem::find(&octets, sample).is_some())
    };
    cell.until("the letter is overwritten", || !is_left());
    cell.stop();
    cell.start();
    let (sound, checked) = cell.ask_admin(&["store", "check"], "");
    assert!(sound, "{checked}");
}

/// A folder on a disk whose power can be cut (the program of `power/`).
struct PowerDisk {
    program: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl PowerDisk {
    fn mounted_at(folder: &std::path::Path) -> Self {
        let program = named("POWERDISK").expect("POWERDISK names the program; ./x power does");
        std::fs::create_dir(folder).unwrap();
        let mut program = Command::new(program)
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let to = program.stdin.take();
        let from = BufReader::new(program.stdout.take().unwrap());
        let mut disk = Self { program, to, from };
        assert_eq!(disk.hear(), "ready\n");
        disk
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        line
    }

    /// Loses what was not synced; what that was.
    fn cut(&mut self, seed: usize) -> String {
        writeln!(self.to.as_ref().unwrap(), "cut {seed}").unwrap();
        self.hear()
    }
}

impl Drop for PowerDisk {
    fn drop(&mut self) {
        drop(self.to.take());
        let _ = self.program.wait();
    }
}

#[test]
#[ignore = "needs FUSE and root: ./x power"]
fn power_cuts_amid_deliveries_and_changes_lose_nothing_acknowledged() {
    let cell = Cell::new("ie", &Authority::new());
    let mut disk = PowerDisk::mounted_at(&cell.path("disk"));
    cell.edit("data = \"data\"", "data = \"disk\"");
    let mut cell = cell;
    cell.start();
    let mut trial = Trial::of(cell);
    let (mut lossy, mut nameless) = (0, 0);
    trial.run(cuts(), |nth| {
        let said = disk.cut(nth);
        let numbers: Vec<usize> =
            said.split(' ').filter_map(|word| word.trim_matches(',').parse().ok()).collect();
        lossy += usize::from(numbers[0] > 0);
        nameless += usize::from(numbers[2] > 0);
    });
    println!("{lossy} cuts took writes that were not synced, {nameless} took names");
    trial.cell.stop();
}
