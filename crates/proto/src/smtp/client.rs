//! The client's side: one message to many recipients over one SMTP connection, without
//! the connection.
//!
//! Invariant: a recipient is reported delivered only after a 2yz to the end of the
//! message; whatever breaks before that leaves it deferred. Replies read before TLS do not
//! outlive it.
//! Refs: RFC 5321 §3.3, §4.2.1, §4.5.4; RFC 1870 §6; RFC 2920; RFC 3207; RFC 6152; RFC 6531 §3.

use core::fmt;

use super::line::DotStuffer;
use super::reply::{EnhancedCode, Reply, ReplyReader, Severity};
use crate::address::{Address, Path};

/// Recipients sent at once to a server with PIPELINING; few enough that replies to them
/// fit any window (RFC 2920 §3.1).
const PIPELINED_RECIPIENTS: usize = 50;

/// Whether TLS is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsNeed {
    /// In the clear, even if the server offers more.
    Never,
    /// If the server offers it.
    IfOffered,
    /// Or not at all.
    Required,
}

/// What to deliver.
#[derive(Debug, Clone)]
pub struct Job {
    /// This host's name, for EHLO.
    pub hello: String,
    /// Who it is from.
    pub from: Path,
    /// Whom it is for. Not empty.
    pub recipients: Vec<Address>,
    /// Octets in the message.
    pub octets: u64,
    /// Whether the message's headers are UTF-8 (RFC 6531).
    pub utf8_headers: bool,
    /// Whether the message has octets above 127.
    pub eight_bit: bool,
    /// Whether TLS is wanted.
    pub tls: TlsNeed,
}

/// What became of one recipient. The reply is the server's, or one of ours if it never
/// came to that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The server has taken the message.
    Delivered(Reply),
    /// Not now.
    Deferred(Reply),
    /// Never.
    Refused(Reply),
}

/// What became of the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// One for each of [`Job::recipients`], in their order.
    pub deliveries: Vec<Delivery>,
    /// Whether the message went under TLS.
    pub tls: bool,
}

/// What the driver is to do next.
pub enum ClientEvent {
    /// Read from the server and [`Client::feed`].
    NeedInput,
    /// Send these octets.
    Send(Vec<u8>),
    /// Run the TLS handshake, then [`Client::tls_started`] or [`Client::fail`].
    StartTls,
    /// Hand the message to [`Client::body`] in pieces, sending what that gives, then send
    /// what [`Client::body_end`] gives.
    NeedBody,
    /// Over; close the connection.
    Done(Outcome),
}

impl fmt::Debug for ClientEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeedInput => "NeedInput",
            Self::Send(_) => "Send",
            Self::StartTls => "StartTls",
            Self::NeedBody => "NeedBody",
            Self::Done(_) => "Done",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Handshake,
    Mail,
    /// Recipients up to `sent` have been named; replies up to `answered` have come.
    Rcpt {
        sent: usize,
        answered: usize,
    },
    Data,
    Body,
    End,
    Done,
}

/// What the server offers (RFC 5321 §4.1.1.1).
#[derive(Debug, Clone, Copy, Default)]
struct Offers {
    pipelining: bool,
    eight_bit_mime: bool,
    smtputf8: bool,
    starttls: bool,
    size_known: bool,
    /// 0: no limit is said.
    size_limit: u64,
}

/// One delivery.
pub struct Client {
    job: Job,
    replies: ReplyReader,
    stage: Stage,
    offers: Offers,
    tls_active: bool,
    send: Vec<u8>,
    start_tls: bool,
    /// What is settled of each recipient.
    deliveries: Vec<Option<Delivery>>,
    stuffer: Option<DotStuffer>,
}

impl Client {
    /// A delivery over a connection just made; it waits for the greeting.
    #[must_use]
    pub fn new(job: Job) -> Self {
        Self {
            deliveries: vec![None; job.recipients.len()],
            job,
            replies: ReplyReader::new(),
            stage: Stage::Greeting,
            offers: Offers::default(),
            tls_active: false,
            send: Vec::new(),
            start_tls: false,
            stuffer: None,
        }
    }

    /// Takes octets from the server.
    pub fn feed(&mut self, input: &[u8]) {
        if !matches!(self.stage, Stage::Handshake | Stage::Done) {
            self.replies.push(input);
        }
    }

    /// What to do next.
    pub fn next_event(&mut self) -> ClientEvent {
        loop {
            if !self.send.is_empty() {
                return ClientEvent::Send(core::mem::take(&mut self.send));
            }
            if core::mem::take(&mut self.start_tls) {
                return ClientEvent::StartTls;
            }
            match self.stage {
                Stage::Done => return ClientEvent::Done(self.outcome()),
                Stage::Body => return ClientEvent::NeedBody,
                Stage::Handshake => return ClientEvent::NeedInput,
                Stage::Greeting
                | Stage::Ehlo
                | Stage::Helo
                | Stage::StartTls
                | Stage::Mail
                | Stage::Rcpt { .. }
                | Stage::Data
                | Stage::End => {}
            }
            match self.replies.next_reply() {
                Ok(None) => return ClientEvent::NeedInput,
                Ok(Some(reply)) => self.on_reply(reply),
                Err(_) => self.fail(&Reply::peer_misbehaved()),
            }
        }
    }

    /// The wire form of the next piece of the message, after [`ClientEvent::NeedBody`].
    #[must_use]
    pub fn body(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(piece.len());
        if let (Stage::Body, Some(stuffer)) = (self.stage, &mut self.stuffer) {
            stuffer.stuff(piece, &mut out);
        }
        out
    }

    /// The wire form of the end of the message.
    #[must_use]
    pub fn body_end(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if let (Stage::Body, Some(stuffer)) = (self.stage, self.stuffer.take()) {
            stuffer.finish(&mut out);
            self.stage = Stage::End;
        }
        out
    }

    /// TLS runs; what the server said before is forgotten.
    // RFC 3207 §4.2
    pub fn tls_started(&mut self) {
        if self.stage == Stage::Handshake {
            self.tls_active = true;
            self.replies = ReplyReader::new();
            self.offers = Offers::default();
            self.hello("EHLO", Stage::Ehlo);
        }
    }

    /// The connection is gone, or of no more use: everyone not settled is deferred, with
    /// `why`, such as [`Reply::connection_lost`].
    pub fn fail(&mut self, why: &Reply) {
        self.settle_open(&Delivery::Deferred(why.clone()));
        self.send.clear();
        self.start_tls = false;
        self.stage = Stage::Done;
    }

    fn outcome(&self) -> Outcome {
        let unsettled = || Delivery::Deferred(Reply::connection_lost());
        let deliveries = self.deliveries.iter().map(|d| d.clone().unwrap_or_else(unsettled));
        Outcome { deliveries: deliveries.collect(), tls: self.tls_active }
    }

    fn settle_open(&mut self, delivery: &Delivery) {
        for open in self.deliveries.iter_mut().filter(|settled| settled.is_none()) {
            *open = Some(delivery.clone());
        }
    }

    /// Settles everyone still open, and takes leave.
    fn end_with(&mut self, delivery: &Delivery) {
        self.settle_open(delivery);
        self.send.extend_from_slice(b"QUIT\r\n");
        self.stage = Stage::Done;
    }

    fn hello(&mut self, verb: &str, stage: Stage) {
        self.send.extend_from_slice(format!("{verb} {}\r\n", self.job.hello).as_bytes());
        self.stage = stage;
    }

    fn on_reply(&mut self, reply: Reply) {
        // RFC 5321 §3.8: 421 to anything means that the server is closing.
        if reply.code == 421 {
            return self.fail(&reply);
        }
        match self.stage {
            Stage::Greeting if reply.is_positive() => self.hello("EHLO", Stage::Ehlo),
            // RFC 5321 §3.1: no service at this host; another may have it.
            Stage::Greeting => self.end_with(&Delivery::Deferred(reply)),
            Stage::Ehlo => self.on_ehlo(reply),
            Stage::Helo if reply.is_positive() => self.begin(),
            Stage::Helo => self.end_with(&refusal(reply)),
            Stage::StartTls => self.on_starttls(&reply),
            Stage::Mail if reply.is_positive() => self.name_recipients(0),
            Stage::Mail => self.end_with(&refusal(reply)),
            Stage::Rcpt { sent, answered } => self.on_rcpt(reply, sent, answered),
            Stage::Data if reply.severity() == Severity::Intermediate => {
                self.stuffer = Some(DotStuffer::new());
                self.stage = Stage::Body;
            }
            Stage::Data => self.end_with(&refusal(reply)),
            Stage::End if reply.is_positive() => self.end_with(&Delivery::Delivered(reply)),
            Stage::End => self.end_with(&refusal(reply)),
            Stage::Handshake | Stage::Body | Stage::Done => {}
        }
    }

    fn on_ehlo(&mut self, reply: Reply) {
        if !reply.is_positive() {
            // RFC 5321 §3.2: a server without EHLO has HELO, and then no TLS.
            let old = matches!(reply.code, 500 | 501 | 502 | 504 | 550);
            return if self.job.tls == TlsNeed::Required && !self.tls_active {
                self.end_with(&Delivery::Deferred(Reply::tls_unavailable()));
            } else if old && !self.tls_active {
                self.hello("HELO", Stage::Helo);
            } else {
                self.end_with(&refusal(reply));
            };
        }
        self.offers = offers(&reply);
        match (self.tls_active, self.job.tls, self.offers.starttls) {
            (false, TlsNeed::IfOffered | TlsNeed::Required, true) => {
                self.send.extend_from_slice(b"STARTTLS\r\n");
                self.stage = Stage::StartTls;
            }
            (false, TlsNeed::Required, false) => {
                self.end_with(&Delivery::Deferred(Reply::tls_unavailable()));
            }
            _ => self.begin(),
        }
    }

    fn on_starttls(&mut self, reply: &Reply) {
        if reply.code == 220 {
            if self.replies.has_rest() {
                // Octets in the clear after the reply are an injection.
                return self.fail(&Reply::peer_misbehaved());
            }
            self.start_tls = true;
            self.stage = Stage::Handshake;
        } else if self.job.tls == TlsNeed::Required {
            self.end_with(&Delivery::Deferred(Reply::tls_unavailable()));
        } else {
            self.begin();
        }
    }

    /// Sends MAIL, unless the server cannot take this message.
    fn begin(&mut self) {
        let international = self.job.utf8_headers
            || !self.job.from.address().is_none_or(Address::is_ascii)
            || !self.job.recipients.iter().all(Address::is_ascii);
        if international && !self.offers.smtputf8 {
            return self.end_with(&Delivery::Refused(Reply::peer_lacks_smtputf8()));
        }
        if self.job.eight_bit && !self.offers.eight_bit_mime {
            return self.end_with(&Delivery::Refused(Reply::peer_lacks_8bitmime()));
        }
        let limit = self.offers.size_limit;
        if limit != 0 && self.job.octets > limit {
            return self.end_with(&Delivery::Refused(Reply::message_too_large()));
        }
        let mut line = format!("MAIL FROM:{}", self.job.from.to_wire());
        if self.offers.size_known {
            line.push_str(&format!(" SIZE={}", self.job.octets));
        }
        if self.job.eight_bit {
            line.push_str(" BODY=8BITMIME");
        }
        if international {
            line.push_str(" SMTPUTF8");
        }
        line.push_str("\r\n");
        self.send.extend_from_slice(line.as_bytes());
        self.stage = Stage::Mail;
    }

    /// Names the next recipients, or asks to send the message if all are named.
    fn name_recipients(&mut self, from: usize) {
        let group = if self.offers.pipelining { PIPELINED_RECIPIENTS } else { 1 };
        let next: Vec<_> = self.job.recipients.iter().skip(from).take(group).collect();
        let sent = from.saturating_add(next.len());
        for recipient in &next {
            self.send
                .extend_from_slice(format!("RCPT TO:<{}>\r\n", recipient.to_wire()).as_bytes());
        }
        if !next.is_empty() {
            self.stage = Stage::Rcpt { sent, answered: from };
        } else if self.deliveries.iter().any(Option::is_none) {
            self.send.extend_from_slice(b"DATA\r\n");
            self.stage = Stage::Data;
        } else {
            self.end_with(&Delivery::Deferred(Reply::try_later()));
        }
    }

    fn on_rcpt(&mut self, reply: Reply, sent: usize, answered: usize) {
        if !reply.is_positive()
            && let Some(delivery) = self.deliveries.get_mut(answered)
        {
            // RFC 5321 §4.5.3.1.10: 552 to RCPT can mean too many recipients.
            let too_many = reply.code == 552
                && reply.enhanced.is_none_or(|enhanced| enhanced == EnhancedCode(5, 5, 3));
            *delivery = Some(if too_many { Delivery::Deferred(reply) } else { refusal(reply) });
        }
        let answered = answered.saturating_add(1);
        if answered < sent {
            self.stage = Stage::Rcpt { sent, answered };
        } else {
            self.name_recipients(sent);
        }
    }
}

fn refusal(reply: Reply) -> Delivery {
    match reply.severity() {
        Severity::Permanent => Delivery::Refused(reply),
        Severity::Transient => Delivery::Deferred(reply),
        // Neither yes nor no where one is due.
        Severity::Positive | Severity::Intermediate => Delivery::Deferred(Reply::peer_misbehaved()),
    }
}

fn offers(reply: &Reply) -> Offers {
    let mut offers = Offers::default();
    for line in reply.lines.iter().skip(1) {
        let mut words = line.split_ascii_whitespace();
        match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
            "PIPELINING" => offers.pipelining = true,
            "8BITMIME" => offers.eight_bit_mime = true,
            "SMTPUTF8" => offers.smtputf8 = true,
            "STARTTLS" => offers.starttls = true,
            "SIZE" => {
                offers.size_known = true;
                offers.size_limit = words.next().and_then(|size| size.parse().ok()).unwrap_or(0);
            }
            _ => {}
        }
    }
    offers
}
