//! An IMAP client that reads answers as fast as they come and keeps only what is counted.
//!
//! Refs: RFC 9051; RFC 3502 (MULTIAPPEND); RFC 7888 (LITERAL+).

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::arguments::Owner;
use crate::net::Connection;

/// What a command's answer held.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) fetches: u64,
    pub(crate) literal_octets: u64,
    /// The first untagged lines, and the tagged one.
    lines: Vec<String>,
}

impl Answer {
    /// The numbers in an answer to SEARCH, as text.
    pub(crate) fn found(&self) -> Vec<&str> {
        let numbers = self.lines.iter().find_map(|line| line.strip_prefix("* SEARCH"));
        numbers.map_or(Vec::new(), |numbers| numbers.split_ascii_whitespace().collect())
    }
}

/// One session, logged in.
pub(crate) struct Imap {
    pub(crate) connection: Connection,
    tag: u32,
    line: Vec<u8>,
    pub(crate) multiappend: bool,
}

/// Lines of an answer that are kept.
const KEPT: usize = 64;

fn is_fetch(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"* ") else { return false };
    let digits = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
    digits > 0 && rest[digits..].starts_with(b" FETCH")
}

/// The size of the literal that follows this line, if one does.
fn literal(line: &[u8]) -> Option<usize> {
    let inner = line.strip_suffix(b"}")?;
    let open = inner.iter().rposition(|octet| *octet == b'{')?;
    std::str::from_utf8(&inner[open + 1..]).ok()?.parse().ok()
}

impl Imap {
    pub(crate) fn open(address: &str, user: &Owner) -> Result<Self> {
        let connection = Connection::open(address, true)?;
        let mut imap = Self { connection, tag: 0, line: Vec::new(), multiappend: false };
        imap.read_line()?;
        let secret = STANDARD.encode(format!("\0{}\0{}", user.address, user.password));
        let mut answer = imap.command(&format!("AUTHENTICATE PLAIN {secret}"))?;
        if !answer.lines.iter().any(|line| line.contains("CAPABILITY")) {
            answer = imap.command("CAPABILITY")?;
        }
        let offered = answer.lines.join(" ");
        imap.multiappend = offered.contains("MULTIAPPEND") && offered.contains("LITERAL+");
        Ok(imap)
    }

    fn read_line(&mut self) -> Result<()> {
        self.connection.line(&mut self.line)
    }

    fn start(&mut self, command: &str) -> Result<()> {
        self.tag += 1;
        self.connection.send(format!("a{} {command}\r\n", self.tag).as_bytes())
    }

    /// Reads to the tagged line.
    fn finish(&mut self) -> Result<Answer> {
        let tag = format!("a{} ", self.tag);
        let mut answer = Answer::default();
        let mut continued = false;
        loop {
            self.read_line()?;
            if !continued {
                if let Some(status) = self.line.strip_prefix(tag.as_bytes()) {
                    let text = String::from_utf8_lossy(status).into_owned();
                    if !text.starts_with("OK") {
                        bail!("the server says: {text}");
                    }
                    answer.lines.push(text);
                    return Ok(answer);
                }
                answer.fetches += u64::from(is_fetch(&self.line));
                if answer.lines.len() < KEPT {
                    answer.lines.push(String::from_utf8_lossy(&self.line).into_owned());
                }
            }
            let octets = literal(&self.line);
            continued = octets.is_some();
            if let Some(octets) = octets {
                answer.literal_octets += octets as u64;
                self.connection.skip(octets)?;
            }
        }
    }

    pub(crate) fn command(&mut self, command: &str) -> Result<Answer> {
        self.start(command)?;
        self.finish()
    }

    /// How many messages INBOX holds.
    pub(crate) fn messages(&mut self) -> Result<u64> {
        let answer = self.command("STATUS INBOX (MESSAGES)")?;
        let count = |line: &String| {
            let rest = line.split("MESSAGES ").nth(1)?;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        answer.lines.iter().find_map(count).context("no MESSAGES in the answer to STATUS")
    }

    /// Selects INBOX and says how many messages it holds.
    pub(crate) fn select(&mut self) -> Result<u64> {
        let answer = self.command("SELECT INBOX")?;
        let exists = |line: &String| line.strip_prefix("* ")?.strip_suffix(" EXISTS")?.parse().ok();
        answer.lines.iter().find_map(exists).context("no EXISTS in the answer to SELECT")
    }

    /// Appends letters to INBOX in one command, or one command each.
    pub(crate) fn append(&mut self, letters: &[Vec<u8>]) -> Result<()> {
        let together = if self.multiappend { letters.len().max(1) } else { 1 };
        for group in letters.chunks(together) {
            self.tag += 1;
            let mut command = format!("a{} APPEND INBOX", self.tag).into_bytes();
            for letter in group {
                command.extend_from_slice(format!(" {{{}+}}\r\n", letter.len()).as_bytes());
                command.extend_from_slice(letter);
            }
            command.extend_from_slice(b"\r\n");
            self.connection.send(&command)?;
            self.finish()?;
        }
        Ok(())
    }

    /// Waits for news from now on (RFC 2177).
    pub(crate) fn idle(&mut self) -> Result<()> {
        self.start("IDLE")?;
        while !self.line.starts_with(b"+") {
            self.read_line()?;
            ensure!(!self.line.starts_with(b"a"), "IDLE is refused");
        }
        Ok(())
    }

    /// Stops waiting, and logs out.
    pub(crate) fn leave(mut self) {
        // How the server says goodbye changes nothing.
        let _ = self.connection.send(b"DONE\r\n");
        let _ = self.finish();
        self.logout();
    }

    pub(crate) fn logout(mut self) {
        // What was asked is answered; how the server says goodbye changes nothing.
        let _ = self.command("LOGOUT");
    }
}
