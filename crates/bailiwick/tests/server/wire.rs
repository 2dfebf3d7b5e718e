//! Clients as small as the protocols allow: lines out, lines in, every wait bounded.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// No test waits longer for one answer.
const PATIENCE: Duration = Duration::from_secs(60);

enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(octets),
            Self::Tls(stream) => stream.write(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// A connection that speaks in lines.
pub(crate) struct Lines(BufReader<Wire>);

impl Lines {
    pub(crate) fn plain(to: SocketAddr) -> Self {
        Self::over(TcpStream::connect(to).unwrap())
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(Wire::Plain(stream)))
    }

    pub(crate) fn tls(to: SocketAddr, host: &str, config: &Arc<ClientConfig>) -> Self {
        Self::plain(to).start_tls(host, config)
    }

    pub(crate) fn start_tls(self, host: &str, config: &Arc<ClientConfig>) -> Self {
        assert!(self.0.buffer().is_empty(), "octets in the clear after STARTTLS was agreed");
        let Wire::Plain(stream) = self.0.into_inner() else { panic!("TLS runs already") };
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let tls = ClientConnection::new(Arc::clone(config), name).unwrap();
        Self(BufReader::new(Wire::Tls(Box::new(StreamOwned::new(tls, stream)))))
    }

    pub(crate) fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(octets)?;
        self.0.get_mut().flush()
    }

    /// The next line with its end; empty at the end of the connection.
    pub(crate) fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        match self.0.read_until(b'\n', &mut line) {
            // A peer that closes without TLS's own good-bye has closed.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(line),
            Err(error) => Err(error),
            Ok(_) => Ok(line),
        }
    }

    /// Everything that is still said, until the connection ends.
    pub(crate) fn rest(&mut self) -> String {
        let mut all = Vec::new();
        loop {
            match self.line() {
                Ok(line) if line.is_empty() => break,
                Ok(line) => all.extend_from_slice(&line),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
                Err(error) => panic!("the connection did not end: {error}"),
            }
        }
        String::from_utf8_lossy(&all).into_owned()
    }
}

/// An SMTP client.
pub(crate) struct Smtp(Lines);

impl Smtp {
    /// Takes the greeting and says hello.
    pub(crate) fn greet(lines: Lines) -> Self {
        let mut smtp = Self(lines);
        smtp.reply(220);
        smtp.say("EHLO mail.example.org", 250);
        smtp
    }

    pub(crate) fn start_tls(mut self, host: &str, config: &Arc<ClientConfig>) -> Self {
        self.say("STARTTLS", 220);
        let mut smtp = Self(self.0.start_tls(host, config));
        smtp.say("EHLO mail.example.org", 250);
        smtp
    }

    fn read(&mut self) -> (u16, String) {
        let mut text = String::new();
        loop {
            let line = String::from_utf8(self.0.line().unwrap()).unwrap();
            assert!(line.len() >= 4, "the connection ended where a reply was due; before: {text}");
            text.push_str(&line);
            if line.as_bytes()[3] == b' ' {
                return (line[..3].parse().unwrap(), text);
            }
        }
    }

    fn reply(&mut self, code: u16) -> String {
        let (said, text) = self.read();
        assert_eq!(said, code, "{text}");
        text
    }

    /// One command, and the reply's code and text.
    pub(crate) fn ask(&mut self, command: &str) -> (u16, String) {
        self.0.send(format!("{command}\r\n").as_bytes()).unwrap();
        self.read()
    }

    /// One command that must be answered so.
    pub(crate) fn say(&mut self, command: &str, code: u16) -> String {
        let (said, text) = self.ask(command);
        assert_eq!(said, code, "{text}");
        text
    }

    /// A whole transaction; the first reply that is not positive, or the last one.
    pub(crate) fn deliver(&mut self, from: &str, to: &str, message: &str) -> (u16, String) {
        for command in [format!("MAIL FROM:<{from}>"), format!("RCPT TO:<{to}>")] {
            let (code, text) = self.ask(&command);
            if code != 250 {
                self.say("RSET", 250);
                return (code, text);
            }
        }
        self.say("DATA", 354);
        self.0.send(format!("{message}.\r\n").as_bytes()).unwrap();
        self.read()
    }

    pub(crate) fn into_lines(self) -> Lines {
        self.0
    }
}

/// An IMAP client.
pub(crate) struct Imap {
    lines: Lines,
    commands: u32,
}

impl Imap {
    /// Takes the greeting.
    pub(crate) fn greet(mut lines: Lines) -> Self {
        let greeting = lines.line().unwrap();
        assert!(greeting.starts_with(b"* OK"), "{}", String::from_utf8_lossy(&greeting));
        Self { lines, commands: 0 }
    }

    /// One command; everything up to and with its tagged line.
    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.commands += 1;
        let tag = format!("t{}", self.commands);
        self.lines.send(format!("{tag} {command}\r\n").as_bytes()).unwrap();
        let mut all = String::new();
        loop {
            let line = String::from_utf8_lossy(&self.lines.line().unwrap()).into_owned();
            assert!(!line.is_empty(), "the connection ended within a command; before: {all}");
            all.push_str(&line);
            if line.starts_with(&format!("{tag} ")) {
                return all;
            }
        }
    }

    /// One command that must succeed.
    pub(crate) fn ok(&mut self, command: &str) -> String {
        let all = self.ask(command);
        let tag = format!("t{} OK", self.commands);
        assert!(all.lines().any(|line| line.starts_with(&tag)), "{command}: {all}");
        all
    }

    /// Idles until the server says a word unasked (RFC 2177).
    pub(crate) fn idle_until(&mut self, word: &str) {
        self.commands += 1;
        let tag = format!("t{}", self.commands);
        self.lines.send(format!("{tag} IDLE\r\n").as_bytes()).unwrap();
        self.wait_for(word);
        self.lines.send(b"DONE\r\n").unwrap();
        self.wait_for(&format!("{tag} OK"));
    }

    fn wait_for(&mut self, word: &str) {
        loop {
            let line = String::from_utf8_lossy(&self.lines.line().unwrap()).into_owned();
            assert!(!line.is_empty(), "the connection ended before `{word}`");
            if line.contains(word) {
                return;
            }
        }
    }

    pub(crate) fn login(&mut self, user: &str, secret: &str) -> String {
        self.ask(&format!("LOGIN {user} {secret}"))
    }

    pub(crate) fn into_lines(self) -> Lines {
        self.lines
    }
}

/// One HTTP request as raw octets, and the status and body of the answer.
pub(crate) fn http(to: SocketAddr, request: &str) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let ends = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let body = answer.split_off(ends + 4);
    let head = String::from_utf8(answer).unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
}

/// A path as it stands: no client tidies it first.
pub(crate) fn http_get(to: SocketAddr, path: &str) -> (u16, Vec<u8>) {
    http(to, &format!("GET {path} HTTP/1.1\r\nHost: log.example\r\nConnection: close\r\n\r\n"))
}
