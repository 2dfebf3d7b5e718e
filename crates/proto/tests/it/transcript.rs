//! Runs the transcripts in `tests/transcripts`.
//!
//! `C:` the client says, `S:` the server says, each a line. `R:` octets the client sends as
//! they are, with `\r`, `\n`, `\0`, `\xHH` and `\\`. Lines of the client that follow each
//! other arrive together. `E:` an event for the driver; `=>` is what the driver answers.
//! `T:` TLS has started. The first line holds the configuration.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use bailiwick_proto::address::{Address, Path as MailPath};
use bailiwick_proto::smtp::{
    Client, ClientEvent, Config, Delivery, Event, Job, Reply, ReplyReader, Role, Session, Tls,
    TlsNeed,
};

fn transcripts(kind: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(kind);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files.into_iter().map(|path| (path.clone(), std::fs::read_to_string(&path).unwrap())).collect()
}

fn parse_reply(text: &str) -> Reply {
    let mut reader = ReplyReader::new();
    reader.push(format!("{text}\r\n").as_bytes());
    reader.next_reply().unwrap().unwrap()
}

/// `\r`, `\n`, `\0`, `\xHH`, `\\`.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('r')) => out.push(b'\r'),
            ('\\', Some('n')) => out.push(b'\n'),
            ('\\', Some('0')) => out.push(0),
            ('\\', Some('x')) => {
                let hex: String = chars.by_ref().take(2).collect();
                out.push(u8::from_str_radix(&hex, 16).unwrap());
            }
            ('\\', Some(other)) => out.extend(other.to_string().bytes()),
            (other, _) => out.extend(other.to_string().bytes()),
        }
    }
    out
}

fn options(first: &str) -> Vec<(&str, &str)> {
    first.split_whitespace().skip(1).map(|word| word.split_once('=').unwrap()).collect()
}

/// The script without comments and empty lines.
fn script(text: &str) -> VecDeque<(usize, &str)> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#')).collect()
}

struct Server {
    session: Session,
    said: VecDeque<String>,
}

impl Server {
    fn new(first: &str) -> Self {
        let mut role = Role::Mx;
        let mut tls = Tls::Unavailable;
        for (name, value) in options(first) {
            match (name, value) {
                ("role", "submission") => role = Role::Submission,
                ("tls", "offered") => tls = Tls::Offered,
                ("tls", "active") => tls = Tls::Active,
                _ => {}
            }
        }
        let postmaster = Address::parse("postmaster@ie.example").unwrap();
        let mut config = Config::new(role, "mx.ie.example", postmaster, tls);
        for (name, value) in options(first) {
            match name {
                "size" => config.max_message_octets = value.parse().unwrap(),
                "recipients" => config.max_recipients = value.parse().unwrap(),
                "errors" => config.max_errors = value.parse().unwrap(),
                "idle" => config.max_idle_commands = value.parse().unwrap(),
                "messages" => config.max_messages = value.parse().unwrap(),
                "role" | "tls" => {}
                _ => panic!("unknown option {name}"),
            }
        }
        Self { session: Session::new(config), said: VecDeque::new() }
    }

    /// What the session does next, as a line of a transcript.
    fn next(&mut self) -> String {
        if let Some(line) = self.said.pop_front() {
            return line;
        }
        match self.session.next_event() {
            Event::Reply(octets) => {
                let text = String::from_utf8(octets).unwrap();
                assert!(text.ends_with("\r\n"));
                self.said = text
                    .trim_end_matches("\r\n")
                    .split("\r\n")
                    .map(|l| format!("S: {l}"))
                    .collect();
                self.next()
            }
            Event::MailFrom { from, params } => {
                format!(
                    "E: MailFrom {from} size={:?} {:?} utf8={}",
                    params.size, params.body, params.smtputf8
                )
            }
            Event::Rcpt(address) => format!("E: Rcpt {address}"),
            Event::Authenticate(c) => format!("E: Authenticate {} {}", c.name(), c.secret()),
            Event::Data(octets) => format!("E: Data {}", octets.escape_ascii()),
            event => format!("E: {event:?}"),
        }
    }
}

fn run_server(text: &str, one_octet_at_a_time: bool) -> Result<(), String> {
    let mut script = script(text);
    let (_, first) = script.pop_front().unwrap();
    let mut server = Server::new(first);
    while let Some((number, line)) = script.pop_front() {
        let fail = |found: &str| Err(format!("line {number}: expected {line:?}, found {found:?}"));
        match line.split_at(2) {
            ("C:" | "R:", _) => {
                let mut sent = Vec::new();
                let mut next = Some(line);
                while let Some(line) = next {
                    match line.split_at(2) {
                        ("C:", said) => sent.extend(
                            [said.strip_prefix(' ').unwrap_or(said), "\r\n"].concat().bytes(),
                        ),
                        (_, raw) => sent.extend(unescape(raw.strip_prefix(' ').unwrap_or(raw))),
                    }
                    next = None;
                    if script
                        .front()
                        .is_some_and(|(_, line)| line.starts_with("C:") || line.starts_with("R:"))
                    {
                        next = script.pop_front().map(|(_, line)| line);
                    }
                }
                let found = server.next();
                if found != "E: NeedInput" {
                    return fail(&found);
                }
                if one_octet_at_a_time {
                    for octet in sent {
                        server.session.feed(&[octet]);
                    }
                } else {
                    server.session.feed(&sent);
                }
            }
            ("T:", _) => server.session.tls_started(),
            _ => {
                let (expected, answer) = match line.split_once(" => ") {
                    Some((expected, answer)) => (expected, Some(answer)),
                    None => (line, None),
                };
                let found = server.next();
                if found != expected {
                    return fail(&found);
                }
                if let Some(answer) = answer {
                    server
                        .session
                        .answer(&parse_reply(answer))
                        .map_err(|error| error.to_string())?;
                }
            }
        }
    }
    match server.next().as_str() {
        "E: NeedInput" | "E: Close" => Ok(()),
        left => Err(format!("left over: {left:?}")),
    }
}

#[test]
fn server_transcripts_hold() {
    for (path, text) in transcripts("server") {
        for one_octet_at_a_time in [false, true] {
            if let Err(error) = run_server(&text, one_octet_at_a_time) {
                panic!("{}: {error}", path.display());
            }
        }
    }
}

fn job(first: &str) -> Job {
    let mut job = Job {
        hello: "mx.ie.example".to_owned(),
        from: MailPath::Null,
        recipients: Vec::new(),
        octets: 0,
        utf8_headers: false,
        eight_bit: false,
        tls: TlsNeed::Never,
    };
    for (name, value) in options(first) {
        match (name, value) {
            ("tls", "required") => job.tls = TlsNeed::Required,
            ("tls", "offered") => job.tls = TlsNeed::IfOffered,
            ("from", _) => job.from = MailPath::parse(value).unwrap(),
            ("to", _) => {
                job.recipients = value.split(',').map(|a| Address::parse(a).unwrap()).collect()
            }
            ("octets", _) => job.octets = value.parse().unwrap(),
            ("utf8", _) => job.utf8_headers = true,
            ("eight", _) => job.eight_bit = true,
            _ => panic!("unknown option {name}"),
        }
    }
    job
}

fn delivery(delivery: &Delivery) -> String {
    match delivery {
        Delivery::Delivered(reply) => format!("delivered {reply}"),
        Delivery::Deferred(reply) => format!("deferred {reply}"),
        Delivery::Refused(reply) => format!("refused {reply}"),
    }
}

fn run_client(text: &str) -> Result<(), String> {
    let mut script = script(text);
    let (_, first) = script.pop_front().unwrap();
    let mut client = Client::new(job(first));
    let mut said: VecDeque<String> = VecDeque::new();
    let mut outcome: Option<VecDeque<String>> = None;
    for (number, line) in script {
        match line.split_at(2) {
            ("S:", text) => {
                client.feed(format!("{}\r\n", text.strip_prefix(' ').unwrap_or(text)).as_bytes())
            }
            ("R:", raw) => client.feed(&unescape(raw.strip_prefix(' ').unwrap_or(raw))),
            ("T:", _) => client.tls_started(),
            ("B:", message) => {
                let ClientEvent::NeedBody = client.next_event() else {
                    return Err(format!("line {number}: no body was asked for"));
                };
                let mut octets =
                    client.body(&unescape(message.strip_prefix(' ').unwrap_or(message)));
                octets.extend(client.body_end());
                said.push_back(format!("W: {}", octets.escape_ascii()));
            }
            ("X:", _) => client.fail(&Reply::connection_lost()),
            _ => {
                while said.is_empty() && outcome.is_none() {
                    match client.next_event() {
                        ClientEvent::Send(octets) => {
                            let text = String::from_utf8(octets).unwrap();
                            said.extend(
                                text.trim_end_matches("\r\n")
                                    .split("\r\n")
                                    .map(|l| format!("C: {l}")),
                            );
                        }
                        ClientEvent::Done(done) => {
                            let mut lines: VecDeque<_> = done
                                .deliveries
                                .iter()
                                .map(|d| format!("E: {}", delivery(d)))
                                .collect();
                            lines.push_back(format!("E: Done tls={}", done.tls));
                            outcome = Some(lines);
                        }
                        event => said.push_back(format!("E: {event:?}")),
                    }
                }
                let found =
                    said.pop_front().or_else(|| outcome.as_mut().and_then(VecDeque::pop_front));
                if found.as_deref() != Some(line) {
                    return Err(format!("line {number}: expected {line:?}, found {found:?}"));
                }
            }
        }
    }
    match outcome {
        Some(rest) if rest.is_empty() && said.is_empty() => Ok(()),
        _ => Err("the transcript ends before the session".to_owned()),
    }
}

#[test]
fn client_transcripts_hold() {
    for (path, text) in transcripts("client") {
        if let Err(error) = run_client(&text) {
            panic!("{}: {error}", path.display());
        }
    }
}
