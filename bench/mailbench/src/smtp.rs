//! A client for SMTP and LMTP, as a busy relay speaks them: pipelined, many letters a connection.
//!
//! Refs: RFC 5321; RFC 2033; RFC 2920.

use anyhow::{Result, bail};

use crate::letters::SENDER;
use crate::net::Connection;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Smtp,
    Lmtp,
}

/// One session.
pub(crate) struct Smtp {
    connection: Connection,
    pipelining: bool,
}

impl Smtp {
    pub(crate) fn open(address: &str, protocol: Protocol) -> Result<Self> {
        let mut smtp = Self { connection: Connection::open(address, false)?, pipelining: false };
        smtp.want(2)?;
        let hello = match protocol {
            Protocol::Smtp => "EHLO mx.example.org",
            Protocol::Lmtp => "LHLO mx.example.org",
        };
        let offered = smtp.command(hello, 2)?;
        smtp.pipelining = offered.to_ascii_uppercase().contains("PIPELINING");
        Ok(smtp)
    }

    /// Reads one reply; an error if its first digit is another.
    fn want(&mut self, digit: u8) -> Result<String> {
        let (mut reply, mut line) = (String::new(), Vec::new());
        loop {
            self.connection.line(&mut line)?;
            reply += &String::from_utf8_lossy(&line);
            // RFC 5321 §4.2.1: a hyphen after the code says that more lines follow.
            if line.get(3) != Some(&b'-') {
                break;
            }
            reply.push('\n');
        }
        if line.first() != Some(&(b'0' + digit)) {
            bail!("wanted {digit}xx, got: {reply}");
        }
        Ok(reply)
    }

    fn command(&mut self, command: &str, digit: u8) -> Result<String> {
        self.connection.send(format!("{command}\r\n").as_bytes())?;
        self.want(digit)
    }

    /// Delivers a letter that ends with the line of one dot.
    pub(crate) fn deliver(&mut self, to: &str, letter: &[u8]) -> Result<()> {
        let commands = [format!("MAIL FROM:<{SENDER}>"), format!("RCPT TO:<{to}>"), "DATA".into()];
        if self.pipelining {
            self.connection.send(format!("{}\r\n", commands.join("\r\n")).as_bytes())?;
            for digit in [2, 2, 3] {
                self.want(digit)?;
            }
        } else {
            for (command, digit) in commands.iter().zip([2, 2, 3]) {
                self.command(command, digit)?;
            }
        }
        self.connection.send(letter)?;
        self.want(2)?;
        Ok(())
    }

    pub(crate) fn quit(mut self) {
        // The letters are delivered; how the server says goodbye changes nothing.
        let _ = self.command("QUIT", 2);
    }
}
