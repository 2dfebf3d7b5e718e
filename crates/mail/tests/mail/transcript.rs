//! Runs a transcript: what the client says and what the server must answer, line by line.
//!
//! `C: text` sends a line, `S: text` expects one; `C2:`/`S2:` and so on are further
//! connections, opened when first named. In what is expected `…` stands for any text and
//! `$NAME` for a value of the world. `C: … {*}` is a literal of the `C| ` lines that follow,
//! sent when the server gives leave. `@deliver` delivers the `M| ` lines that follow,
//! `@messages MAILBOX COUNT` waits until that many are there, `@quota OCTETS MESSAGES` is for
//! connections after it, `@index`, `@shutdown` and `@restart` say what they do. Runs against this server's code; a driver for another server needs only
//! `C:` and `S:`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test stops at the first surprise"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use bailiwick_mail::mailbox::Name;
use bailiwick_mail::quota::Quota;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use crate::world::World;

const PATIENCE: Duration = Duration::from_secs(20);

struct Peer {
    stream: DuplexStream,
    unread: Vec<u8>,
}

impl Peer {
    fn connect(world: &World) -> Self {
        let (client, server) = tokio::io::duplex(1 << 16);
        let context = world.context();
        tokio::spawn(async move { bailiwick_mail::imap::serve(server, None, &context).await });
        Self { stream: client, unread: Vec::new() }
    }

    async fn send(&mut self, octets: &[u8]) {
        tokio::time::timeout(PATIENCE, self.stream.write_all(octets)).await.unwrap().unwrap();
    }

    /// The next line without its CRLF; `None` at the end.
    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            let mut buffer = [0; 4096];
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer));
            let count = read.await.unwrap().unwrap_or(0);
            if count == 0 {
                return None;
            }
            self.unread.extend_from_slice(&buffer[..count]);
        }
    }
}

fn matches(expected: &str, got: &str) -> bool {
    let mut pieces = expected.split('…');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = got.strip_prefix(first) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else { return rest.is_empty() };
    for piece in middle {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

/// The lines after `from` that begin with `mark`, joined as a message.
fn block(lines: &[&str], from: usize, mark: &str) -> (Vec<u8>, usize) {
    let mut text = String::new();
    let mut used = 0;
    for line in &lines[from..] {
        let Some(line) = line.strip_prefix(mark) else { break };
        text.push_str(line.strip_prefix(' ').unwrap_or(line));
        text.push_str("\r\n");
        used += 1;
    }
    (text.into_bytes(), used)
}

/// Splits `C2: text` into the connection and the text.
fn said(line: &str, who: char) -> Option<(u32, &str)> {
    let rest = line.strip_prefix(who)?;
    let (number, text) = rest.split_once(':')?;
    let number = if number.is_empty() { 1 } else { number.parse().ok()? };
    Some((number, text.strip_prefix(' ').unwrap_or(text)))
}

async fn wait_for(world: &World, mailbox: &str, count: usize) {
    let account = world.open().await;
    let mut changes = account.changes();
    let name = Name::parse(mailbox).unwrap();
    let held = || account.state().unwrap().named(&name).map_or(0, |held| held.messages.len());
    while held() != count {
        tokio::time::timeout(PATIENCE, changes.changed()).await.unwrap().unwrap();
    }
}

pub(crate) async fn run(script: &str) {
    run_in(World::new(), script).await;
}

pub(crate) async fn run_in(mut world: World, script: &str) {
    let mut peers: BTreeMap<u32, Peer> = BTreeMap::new();
    let lines: Vec<&str> = script.lines().collect();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at].replace("$SECRET", &world.secret);
        at += 1;
        if let Some((number, text)) = said(&line, 'C') {
            let peer = peers.entry(number).or_insert_with(|| Peer::connect(&world));
            let (literal, used) = block(&lines, at, "C|");
            at += used;
            let waits = text.contains("{*}");
            let text = text.replace("{*}", &format!("{{{}}}", literal.len()));
            let text = text.replace("{*+}", &format!("{{{}+}}", literal.len()));
            peer.send(format!("{text}\r\n").as_bytes()).await;
            if waits {
                assert_eq!(peer.line().await.as_deref(), Some("+ OK"), "line {at}");
            }
            if used > 0 {
                peer.send(&literal).await;
                peer.send(b"\r\n").await;
            }
        } else if let Some((number, text)) = said(&line, 'S') {
            let peer = peers.entry(number).or_insert_with(|| Peer::connect(&world));
            let got = peer.line().await;
            let got = got.as_deref().unwrap_or("(closed)");
            assert!(matches(text, got), "line {at}\n expected: {text}\n      got: {got}");
        } else if line == "@deliver" {
            let (message, used) = block(&lines, at, "M|");
            at += used;
            world.deliver(&message).await;
        } else if let Some(wanted) = line.strip_prefix("@messages ") {
            let (mailbox, count) = wanted.rsplit_once(' ').unwrap();
            wait_for(&world, mailbox, count.parse().unwrap()).await;
        } else if line == "@index" {
            world.open().await.index_now().await.unwrap();
        } else if let Some(wanted) = line.strip_prefix("@quota ") {
            let (octets, messages) = wanted.split_once(' ').unwrap();
            let (octets, messages) = (octets.parse().ok(), messages.parse().ok());
            world.quota = Quota { octets, messages };
        } else if line == "@shutdown" {
            world.down.send_replace(true);
        } else if line == "@restart" {
            peers.clear();
            world = world.restarted().await;
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "line {at}: {line}");
        }
    }
}
