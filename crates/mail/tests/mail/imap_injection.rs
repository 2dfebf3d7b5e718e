//! What a hostile client, or a hostile letter, can make the server say: never a line of its own.
//!
//! Every octet the server sends is read by a checker that knows only the shape of responses
//! (RFC 9051 §9): tags, atoms, quoted strings, literals, brackets that close.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::time::Duration;

use proto::imap::mutf7;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use crate::world::{USER, World};

const PATIENCE: Duration = Duration::from_secs(60);

/// The end of the response at the start of `wire`, if it is whole. Panics if it is malformed.
fn response_end(wire: &[u8]) -> Option<usize> {
    let (mut at, mut depth, mut text) = (0, 0_i32, false);
    let words = wire.splitn(3, |octet| *octet == b' ').collect::<Vec<_>>();
    if wire.starts_with(b"+ ") {
        text = true;
    } else if words.len() == 3 {
        // OK, NO, BAD and BYE end in text for people, in which nothing opens or closes.
        text = [b"OK".as_slice(), b"NO", b"BAD", b"BYE"].contains(&words[1]);
    }
    loop {
        let octet = *wire.get(at)?;
        at += 1;
        match octet {
            b'\r' => {
                assert_eq!(*wire.get(at)?, b'\n', "a bare CR: {}", shown(wire));
                assert_eq!(depth, 0, "a bracket stays open: {}", shown(wire));
                return Some(at + 1);
            }
            _ if text => assert!(printable(octet), "{octet} in {}", shown(wire)),
            b'"' => at = quoted_end(wire, at)?,
            b'{' => {
                let end = at + wire[at..].iter().position(|octet| *octet == b'}')?;
                let count: usize = std::str::from_utf8(&wire[at..end]).unwrap().parse().unwrap();
                assert_eq!(wire.get(end + 1..end + 3)?, b"\r\n");
                let literal = wire.get(end + 3..end + 3 + count)?;
                let eight = at >= 2 && wire[at - 2] == b'~';
                assert!(eight || !literal.contains(&0), "NUL in a literal: {}", shown(wire));
                at = end + 3 + count;
            }
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => assert!(printable(octet), "{octet} in {}", shown(wire)),
        }
        assert!(depth >= 0, "a bracket too many: {}", shown(wire));
    }
}

fn quoted_end(wire: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *wire.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => {
                assert!(matches!(*wire.get(at + 1)?, b'"' | b'\\'), "{}", shown(wire));
                at += 2;
            }
            octet => {
                assert!(printable(octet), "{octet} quoted in {}", shown(wire));
                at += 1;
            }
        }
    }
}

fn printable(octet: u8) -> bool {
    octet == b' ' || octet.is_ascii_graphic()
}

fn shown(wire: &[u8]) -> String {
    String::from_utf8_lossy(&wire[..wire.len().min(300)]).escape_debug().to_string()
}

struct Client {
    stream: DuplexStream,
    unread: Vec<u8>,
    count: u32,
}

impl Client {
    async fn connect(world: &World) -> Self {
        let (client, server) = tokio::io::duplex(1 << 16);
        let context = world.context();
        tokio::spawn(async move { bailiwick_mail::imap::serve(server, None, &context).await });
        let mut client = Self { stream: client, unread: Vec::new(), count: 0 };
        client.response().await.unwrap();
        client
    }

    async fn logged_in(world: &World) -> Self {
        let mut client = Self::connect(world).await;
        let said = client.run(format!("LOGIN {USER} {}", world.secret).as_bytes()).await;
        assert!(last(&said).contains(" OK "));
        client
    }

    /// The next response; `None` at the end of the connection.
    async fn response(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; 8192];
        loop {
            if let Some(end) = response_end(&self.unread) {
                return Some(self.unread.drain(..end).collect());
            }
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer));
            match read.await.unwrap().unwrap_or(0) {
                0 => {
                    assert!(self.unread.is_empty(), "cut short: {}", shown(&self.unread));
                    return None;
                }
                count => self.unread.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Sends octets, then a NOOP; every response up to the NOOP's.
    async fn raw(&mut self, octets: &[u8]) -> Vec<Vec<u8>> {
        self.count += 1;
        let tag = format!("sync{} ", self.count);
        let wire = [octets, tag.as_bytes(), b"NOOP\r\n"].concat();
        self.stream.write_all(&wire).await.unwrap();
        let mut said = Vec::new();
        while let Some(response) = self.response().await {
            if response.starts_with(tag.as_bytes()) {
                return said;
            }
            let start: String = response.iter().take(80).map(|octet| char::from(*octet)).collect();
            let known = ["* ", "+ ", "t"].iter().any(|mark| start.starts_with(mark));
            assert!(known, "a response nobody asked for: {start}");
            said.push(response);
        }
        panic!("the connection ended after {}", shown(octets));
    }

    /// One command; its responses, the tagged one last.
    async fn run(&mut self, command: &[u8]) -> Vec<Vec<u8>> {
        let said = self.raw(&[b"t ", command, b"\r\n"].concat()).await;
        let tagged = said.iter().filter(|response| response.starts_with(b"t ")).count();
        assert_eq!(tagged, 1, "{}: {:?}", shown(command), said.iter().map(|s| shown(s)));
        said
    }
}

fn last(said: &[Vec<u8>]) -> String {
    String::from_utf8_lossy(said.last().unwrap()).into_owned()
}

fn literal(octets: &[u8]) -> Vec<u8> {
    [format!("{{{}+}}\r\n", octets.len()).as_bytes(), octets].concat()
}

/// Names nobody should have: each as it stands on the wire.
fn hostile_names(rev2: bool) -> Vec<Vec<u8>> {
    let mut names = vec![
        literal(b"a\r\n* BYE gone"),
        literal(b"a\r\nt OK done"),
        literal(b"a\nb"),
        literal(b"a\rb"),
        literal(b"a\0b"),
        literal(b"a\x7fb"),
        literal(b"a\x1bb"),
        literal(b"\xff\xfe"),
        literal(b"a\xc0\xafb"),
        literal("a\u{85}b".as_bytes()),
        literal(&[b'x'; 801]),
        literal(&[b'x'; 60_000]),
        literal("é".repeat(30_000).as_bytes()),
        literal("a/".repeat(400).as_bytes()),
        literal(b"a*b"),
        literal(b"a%b"),
        literal(b"/a"),
        literal(b"a//b"),
        literal(b"a/../b"),
        literal(b""),
        b"\"a\0b\"".to_vec(),
        b"\"\xff\xfe\"".to_vec(),
        b"\"\\n\"".to_vec(),
        b"\"open".to_vec(),
        b"\"a\" \"b".to_vec(),
        b"a{5+}\r\nabcde".to_vec(),
        b"{99999999999999999999+}".to_vec(),
        b"{-1}".to_vec(),
    ];
    if rev2 {
        // RFC 9051 §5.1: there `&` is a character like others.
        return names;
    }
    // RFC 3501 §5.1.3: CR LF, NUL, DEL and a C1 control in disguise; half a surrogate pair; an
    // encoded "a"; runs that touch; runs that do not end; digits that are none.
    let encoded =
        ["&AA0ACg-", "&AAA-", "&AH8-", "&AIU-", "&2AA-", "&AGE-", "&AOQ-&AOQ-", "&", "&AOQ", "&!-"];
    names.extend(encoded.map(|name| format!("\"{name}\"").into_bytes()));
    names
}

/// Names that look dangerous and are lawful.
const ODD_NAMES: [&str; 12] = [
    "a\"b\\c",
    "a) \"/\" \"b",
    "x {5}",
    "x {5+}",
    "~{3}",
    "+ BYE",
    "t OK done",
    "NIL",
    "A&B",
    "台北 \u{202e}\u{2028}",
    "📬",
    "[ALERT] x",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_mailbox_name_breaks_a_response() {
    let world = World::new();
    for rev2 in [false, true] {
        let mut client = Client::logged_in(&world).await;
        if rev2 {
            client.run(b"ENABLE IMAP4rev2").await;
        }
        client.run(b"SELECT INBOX").await;
        for name in hostile_names(rev2) {
            for (before, after) in [
                ("CREATE ", ""),
                ("DELETE ", ""),
                ("RENAME ", " other"),
                ("RENAME INBOX ", ""),
                ("SUBSCRIBE ", ""),
                ("UNSUBSCRIBE ", ""),
                ("STATUS ", " (MESSAGES)"),
                ("LIST \"\" ", ""),
                ("LIST ", " *"),
                ("LIST (SUBSCRIBED) \"\" (", ") RETURN (STATUS (MESSAGES))"),
                ("LSUB \"\" ", ""),
                ("LSUB ", " *"),
                ("EXAMINE ", ""),
                ("COPY 1:* ", ""),
                ("MOVE 1:* ", ""),
                ("APPEND ", " {2+}\r\nxy"),
            ] {
                let wire = [b"t ", before.as_bytes(), &name, after.as_bytes(), b"\r\n"].concat();
                let said = client.raw(&wire).await;
                // An announced literal that was refused leaves its octets to be read as commands.
                assert!(!said.is_empty(), "{}", shown(&wire));
                // A LIST may find nothing; nothing else may succeed.
                let done = said.iter().any(|line| line.starts_with(b"t OK"));
                assert!(!done || before.starts_with('L'), "{}: {}", shown(&wire), last(&said));
            }
        }
        let listed = client.run(b"LIST \"\" *").await;
        assert!(listed.len() < 12, "{listed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lawful_name_is_read_back_as_it_was_written() {
    let world = World::new();
    for (rev2, top) in [(false, "one"), (true, "two")] {
        let mut client = Client::logged_in(&world).await;
        if rev2 {
            client.run(b"ENABLE IMAP4rev2").await;
        }
        let long = "é".repeat(395);
        for odd in ODD_NAMES.into_iter().chain([long.as_str()]) {
            let name = format!("{top}/{odd}");
            let wire = if rev2 { name.clone() } else { mutf7::encode(&name) };
            let sent = literal(wire.as_bytes());
            for command in ["CREATE ", "SUBSCRIBE ", "SELECT "] {
                let said = client.run(&[command.as_bytes(), &sent].concat()).await;
                assert!(last(&said).starts_with("t OK"), "{command}{name}: {}", last(&said));
            }
            for command in [b"LIST \"\" ".as_slice(), b"LSUB \"\" ", b"STATUS "] {
                let items: &[u8] = if command == b"STATUS " { b" (MESSAGES)" } else { b"" };
                let said = client.run(&[command, &sent, items].concat()).await;
                let response = &said[0];
                let plain = wire.replace('\\', "\\\\").replace('"', "\\\"");
                let quoted = format!("\"{plain}\"");
                let literal = format!("{{{}}}\r\n{wire}", wire.len());
                let text = String::from_utf8_lossy(response);
                assert!(text.contains(&quoted) || text.contains(&literal), "{name}: {text}");
            }
        }
        client.run(b"LIST \"\" * RETURN (SUBSCRIBED CHILDREN STATUS (MESSAGES))").await;
        client.run(b"LIST (SUBSCRIBED RECURSIVEMATCH) \"\" %").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_tag_and_no_argument_is_repeated_raw() {
    let world = World::new();
    world.deliver(b"Subject: one\r\n\r\nx").await;
    let mut client = Client::logged_in(&world).await;
    client.run(b"SELECT INBOX").await;
    let long = [&[b'a'; 5000], b" NOOP\r\n".as_slice()].concat();
    for wire in [
        b"t\" NOOP\r\n".as_slice(),
        b"t) SEARCH RETURN (ALL) ALL\r\n",
        b"t\\ SEARCH RETURN (ALL) ALL\r\n",
        b"t\0 NOOP\r\n",
        b"t\xff NOOP\r\n",
        b"t\tx NOOP\r\n",
        b"t{3+}\r\nabc NOOP\r\n",
        b" NOOP\r\n",
        b"\r\n",
        b"\n",
        b"t NOOP\n",
        b"t NO\rOP\r\n",
        b"+ NOOP\r\n",
        &long,
        b"t FETCH 1 BODY.PEEK[HEADER.FIELDS (\"a\\\"b)\" {9+}\r\nx\r\n* BYE)]\r\n",
        b"t FETCH 1 BODY.PEEK[HEADER.FIELDS ({3+}\r\na\0b)]\r\n",
        b"t STORE 1 +FLAGS (a\"b)\r\n",
        b"t STORE 1 +FLAGS ({3+}\r\na\r\n)\r\n",
        b"t STORE 1 +FLAGS (\\Bad)\r\n",
        b"t SEARCH CHARSET {6+}\r\na\r\nb\r\n ALL\r\n",
        b"t SEARCH KEYWORD {4+}\r\na\r\nb\r\n",
        b"t ENABLE {4+}\r\na\r\nb\r\n",
        b"t ENABLE X-\"\r\n",
        b"t ID (\"a\" {4+}\r\na\r\nb)\r\n",
        b"t AUTHENTICATE {4+}\r\na\r\nb\r\n",
        b"t LOGIN {4+}\r\na\r\nb x\r\n",
        b"t {4+}\r\na\r\nb x\r\n",
        b"t NOOP {4+}\r\na\r\nb\r\n",
    ] {
        let said = client.raw(wire).await;
        assert_eq!(said.len().min(1), 1, "{}", shown(wire));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_letter_breaks_a_response() {
    let world = World::new();
    let controls: Vec<u8> = (0..=255).collect();
    let hostile: [&[u8]; 6] = [
        b"a\" b\\ (c) {3}",
        b"x\r y\n z",
        b"=?utf-8?q?=0D=0A*_BYE?=",
        b"a\0b\x7f\x80\xff",
        b"\"open",
        &controls,
    ];
    for value in hostile {
        let mut message = Vec::new();
        let fields = ["From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "Content-ID"];
        for name in fields.into_iter().chain(["Content-Description", "Content-Language"]) {
            message.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        let kind = b"Content-Type: text/plain; name=\"";
        message.extend_from_slice(&[kind, value, b"\"; ", value, b"=1\r\n"].concat());
        message.extend_from_slice(&[b"Content-Disposition: ", value, b"\r\n\r\n", value].concat());
        world.deliver(&message).await;
        let whole = [b"Content-Type: message/rfc822\r\n\r\n", message.as_slice()].concat();
        world.deliver(&whole).await;
    }
    for rev2 in [false, true] {
        let mut client = Client::logged_in(&world).await;
        if rev2 {
            client.run(b"ENABLE IMAP4rev2").await;
        }
        client.run(b"SELECT INBOX").await;
        let items = "(FLAGS ENVELOPE BODY BODYSTRUCTURE BODY.PEEK[] BODY.PEEK[HEADER] \
                     BODY.PEEK[1.MIME] BODY.PEEK[HEADER.FIELDS (SUBJECT)] BINARY.PEEK[1] \
                     RFC822.HEADER RFC822.SIZE BINARY.SIZE[1])";
        let said = client.run(format!("FETCH 1:* {items}").as_bytes()).await;
        let is_fetch = |response: &&Vec<u8>| response.iter().take(20).any(|octet| *octet == b'(');
        let fetched = said.iter().filter(is_fetch).count();
        assert_eq!(fetched, 2 * hostile.len(), "{}", last(&said));
    }
}
