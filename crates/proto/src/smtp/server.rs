//! The server's side of one SMTP connection, without the connection.
//!
//! The driver feeds octets in and takes events out until [`Event::NeedInput`]. Three
//! events ask a question (may this sender, this recipient, this message?); the driver
//! answers with a [`Reply`], whose first digit is the decision.
//!
//! Invariant: plaintext that came before TLS is forgotten when TLS starts; no password is
//! taken without TLS; no message passes whose end another server could see elsewhere;
//! every count is bounded, so that a hostile client is sooner or later closed.
//! Refs: RFC 5321 §3, §4.3; RFC 2920; RFC 3207 §4.2; RFC 4954 §4; RFC 6409; RFC 3848.

use core::fmt;
use std::collections::VecDeque;

use super::command::{Command, CommandError, MailParams, Recipient};
use super::line::{DataDecoder, LineError, LineReader};
use super::reply::{Reply, Severity};
use crate::address::{Address, Path};
use crate::sasl::{Credentials, Mechanism};

/// RCPT commands in one message, for each recipient it may have.
const ATTEMPTS_PER_RECIPIENT: u32 = 10;

/// Whom the session serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Other servers, with mail for us (RFC 5321); AUTH is not offered.
    Mx,
    /// Our users, with mail for anyone (RFC 6409); AUTH and TLS are required.
    Submission,
}

/// How the connection is protected when the session begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Not, and cannot be.
    Unavailable,
    /// Not, but STARTTLS is offered (RFC 3207).
    Offered,
    /// From the first octet (RFC 8314).
    Active,
}

/// What a session is told. [`Config::new`] gives the limits.
#[derive(Debug, Clone)]
pub struct Config {
    /// Whom it serves.
    pub role: Role,
    /// This server's name, for the greeting.
    pub hostname: String,
    /// Who gets mail for `<Postmaster>`.
    pub postmaster: Address,
    /// Protection at the start.
    pub tls: Tls,
    /// Octets in a message, as SIZE counts them.
    pub max_message_octets: u64,
    /// Recipients of one message; RFC 5321 §4.5.3.1.8 asks for 100 at least.
    pub max_recipients: u32,
    /// Messages in one session.
    pub max_messages: u32,
    /// Negative replies in one session, refused recipients included.
    pub max_errors: u32,
    /// Commands but RCPT and DATA between two messages.
    pub max_idle_commands: u32,
    /// Failed authentications in one session.
    pub max_auth_failures: u32,
}

impl Config {
    /// A session with the usual limits: 50 MiB, 100 recipients, 1,000 messages, 20 errors,
    /// 50 idle commands, 3 failed authentications.
    #[must_use]
    pub fn new(role: Role, hostname: &str, postmaster: Address, tls: Tls) -> Self {
        Self {
            role,
            hostname: hostname.to_owned(),
            postmaster,
            tls,
            max_message_octets: 50 << 20,
            max_recipients: 100,
            max_messages: 1000,
            max_errors: 20,
            max_idle_commands: 50,
            max_auth_failures: 3,
        }
    }
}

/// What the driver is to do next. Those marked *question* must be answered with
/// [`Session::answer`] before anything else happens.
pub enum Event {
    /// Flush what was queued to be sent, then read from the client and [`Session::feed`].
    NeedInput,
    /// A question was asked and not answered yet.
    NeedAnswer,
    /// Send these octets. They may wait until the next event that is not a reply.
    Reply(Vec<u8>),
    /// Flush, run the TLS handshake, then call [`Session::tls_started`]; if it fails, drop
    /// the connection.
    StartTls,
    /// *Question*: are these right? [`Reply::authenticated`], [`Reply::auth_failed`] or
    /// [`Reply::auth_unavailable`].
    Authenticate(Credentials),
    /// *Question*: may this sender begin a message? [`Reply::sender_ok`] or a refusal.
    MailFrom {
        /// Who it is from.
        from: Path,
        /// What else MAIL said.
        params: MailParams,
    },
    /// *Question*: is there such a recipient? [`Reply::recipient_ok`] or a refusal.
    Rcpt(Address),
    /// A piece of the message, dot-stuffing removed.
    Data(Vec<u8>),
    /// *Question*: the message is whole; is it safely kept?
    /// [`Reply::message_accepted`] or a refusal.
    DataEnd,
    /// The message begun with [`Event::MailFrom`] will not come: drop what was kept of it.
    Abandoned,
    /// Flush and close. Nothing follows.
    Close,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeedInput => "NeedInput",
            Self::NeedAnswer => "NeedAnswer",
            Self::Reply(_) => "Reply",
            Self::StartTls => "StartTls",
            Self::Authenticate(_) => "Authenticate",
            Self::MailFrom { .. } => "MailFrom",
            Self::Rcpt(_) => "Rcpt",
            Self::Data(_) => "Data",
            Self::DataEnd => "DataEnd",
            Self::Abandoned => "Abandoned",
            Self::Close => "Close",
        })
    }
}

/// [`Session::answer`] without a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no question is open")]
pub struct NotAsked;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Authenticate(Mechanism),
    MailFrom,
    Rcpt,
    DataEnd,
}

enum Phase {
    Command,
    /// After an empty challenge.
    AuthResponse(Mechanism),
    /// A token was refused: the client's last line, which says nothing, before that is said.
    AuthRefused(Reply),
    Asked(Question),
    Data {
        decoder: DataDecoder,
        octets: u64,
        received: u64,
    },
    /// Between the reply to STARTTLS and [`Session::tls_started`].
    Handshake,
    Closed,
}

/// A message being taken: between MAIL and its end.
struct Transaction {
    smtputf8: bool,
    recipients: u32,
    /// RCPT commands, refused ones included.
    attempts: u32,
}

#[derive(Default)]
struct Counts {
    messages: u32,
    errors: u32,
    idle_commands: u32,
    auth_failures: u32,
}

/// One connection.
pub struct Session {
    config: Config,
    input: LineReader,
    events: VecDeque<Event>,
    phase: Phase,
    hello: Option<String>,
    extended: bool,
    tls_active: bool,
    authenticated: bool,
    transaction: Option<Transaction>,
    counts: Counts,
}

impl Session {
    /// A session whose first event is the greeting.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let greeting = Event::Reply(Reply::greeting(&config.hostname).encode());
        Self {
            tls_active: config.tls == Tls::Active,
            config,
            input: LineReader::new(),
            events: VecDeque::from([greeting]),
            phase: Phase::Command,
            hello: None,
            extended: false,
            authenticated: false,
            transaction: None,
            counts: Counts::default(),
        }
    }

    /// A session that only says why it cannot be had, such as [`Reply::too_busy`].
    #[must_use]
    pub fn turned_away(config: Config, why: &Reply) -> Self {
        let mut session = Self::new(config);
        session.events.clear();
        session.close_with(why);
        session
    }

    /// What the client calls itself, unverified; graphic ASCII without brackets or quotes.
    #[must_use]
    pub fn hello(&self) -> Option<&str> {
        self.hello.as_deref()
    }

    /// Whether the connection is under TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls_active
    }

    /// Whether the client has proved who it is.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// The protocol, as a Received field names it (RFC 3848; RFC 6531 §3.7.3).
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        let utf8 = self.transaction.as_ref().is_some_and(|transaction| transaction.smtputf8);
        match (self.extended, utf8, self.tls_active, self.authenticated) {
            (false, ..) => "SMTP",
            (true, false, false, false) => "ESMTP",
            (true, false, true, false) => "ESMTPS",
            (true, false, false, true) => "ESMTPA",
            (true, false, true, true) => "ESMTPSA",
            (true, true, false, false) => "UTF8SMTP",
            (true, true, true, false) => "UTF8SMTPS",
            (true, true, false, true) => "UTF8SMTPA",
            (true, true, true, true) => "UTF8SMTPSA",
        }
    }

    /// Takes octets from the client. Call it only after [`Event::NeedInput`], with what
    /// one read gave. During the TLS handshake they are dropped.
    pub fn feed(&mut self, input: &[u8]) {
        if !matches!(self.phase, Phase::Handshake | Phase::Closed) {
            self.input.push(input);
        }
    }

    /// What to do next.
    pub fn next_event(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            let progressed = match self.phase {
                Phase::Closed => return Event::Close,
                Phase::Handshake => return Event::NeedInput,
                Phase::Asked(_) => return Event::NeedAnswer,
                Phase::Data { .. } => self.read_data(),
                Phase::Command | Phase::AuthResponse(_) | Phase::AuthRefused(_) => self.read_line(),
            };
            if !progressed {
                return Event::NeedInput;
            }
        }
    }

    /// Answers the open question: a 2yz is yes, anything else is no. The reply is sent.
    /// A 421 also closes the session.
    ///
    /// # Errors
    /// If no question is open; nothing changes.
    pub fn answer(&mut self, reply: &Reply) -> Result<(), NotAsked> {
        let Phase::Asked(question) = self.phase else { return Err(NotAsked) };
        self.phase = Phase::Command;
        let yes = reply.is_positive();
        match question {
            Question::Authenticate(_) => self.authenticated = yes,
            Question::MailFrom if yes => {}
            Question::MailFrom => self.transaction = None,
            Question::Rcpt => self.count_recipient(yes),
            Question::DataEnd => {
                self.transaction = None;
                self.counts.messages = self.counts.messages.saturating_add(1);
                self.counts.idle_commands = 0;
            }
        }
        if reply.code == 421 {
            self.close_with(reply);
        } else if let Question::Authenticate(mechanism) = question
            && reply.severity() == Severity::Permanent
        {
            self.auth_refused(mechanism, reply);
        } else {
            self.reply(reply);
        }
        Ok(())
    }

    /// TLS runs: the session begins again, with nothing known of the client.
    // RFC 3207 §4.2
    pub fn tls_started(&mut self) {
        if matches!(self.phase, Phase::Handshake) {
            self.input.clear();
            self.tls_active = true;
            self.hello = None;
            self.extended = false;
            self.phase = Phase::Command;
        }
    }

    /// Ends the session from our side, such as with [`Reply::timed_out`] or
    /// [`Reply::shutting_down`].
    pub fn close_with(&mut self, reply: &Reply) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        self.abandon();
        self.events.push_back(Event::Reply(reply.encode()));
        self.phase = Phase::Closed;
        self.input.clear();
    }

    fn count_recipient(&mut self, accepted: bool) {
        if let Some(transaction) = &mut self.transaction
            && accepted
        {
            transaction.recipients = transaction.recipients.saturating_add(1);
        }
    }

    /// Sends a reply, and counts it if it says no.
    fn reply(&mut self, reply: &Reply) {
        self.events.push_back(Event::Reply(reply.encode()));
        if reply.severity() == Severity::Permanent {
            self.counts.errors = self.counts.errors.saturating_add(1);
            if self.counts.errors > self.config.max_errors {
                self.close_with(&Reply::too_many_errors());
            }
        }
    }

    fn abandon(&mut self) {
        if self.transaction.take().is_some() {
            self.events.push_back(Event::Abandoned);
        }
    }

    fn ask(&mut self, question: Question, event: Event) {
        self.phase = Phase::Asked(question);
        self.events.push_back(event);
    }

    /// Reads one line, if there is one whole.
    fn read_line(&mut self) -> bool {
        let line = match self.input.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => return false,
            Err(error) => {
                // What follows cannot be trusted to begin where we think it does.
                self.close_with(&match error {
                    LineError::TooLong => Reply::line_too_long(),
                    LineError::BareCr | LineError::BareLf | LineError::Nul => {
                        Reply::malformed_line()
                    }
                });
                return true;
            }
        };
        if let Phase::AuthResponse(mechanism) = self.phase {
            self.phase = Phase::Command;
            self.auth_response(mechanism, &line);
            return true;
        }
        if let Phase::AuthRefused(reply) = &self.phase {
            let reply = reply.clone();
            self.phase = Phase::Command;
            self.auth_failure(&reply);
            return true;
        }
        match Command::parse(&line) {
            Ok(command) => self.command(command),
            Err(CommandError::NotSmtp) => self.close_with(&Reply::not_smtp()),
            Err(error) => self.reply(&error.reply()),
        }
        true
    }

    fn command(&mut self, command: Command) {
        if !matches!(command, Command::Rcpt(_) | Command::Data | Command::Quit) {
            self.counts.idle_commands = self.counts.idle_commands.saturating_add(1);
            if self.counts.idle_commands > self.config.max_idle_commands {
                return self.close_with(&Reply::too_many_commands());
            }
        }
        match command {
            Command::Hello { extended, name } => self.hello_command(extended, name),
            Command::Quit => self.close_with(&Reply::goodbye()),
            Command::Noop => self.reply(&Reply::ok()),
            Command::StartTls => self.start_tls(),
            _ if self.must_start_tls() => self.reply(&Reply::tls_required()),
            Command::Rset => {
                self.abandon();
                self.reply(&Reply::ok());
            }
            Command::Vrfy => self.reply(&Reply::cannot_verify()),
            Command::Help => self.reply(&Reply::help()),
            Command::Auth { mechanism, initial } => {
                self.auth(&mechanism, initial.as_ref().map(|initial| initial.as_str()));
            }
            Command::Mail { from, params } => self.mail(from, params),
            Command::Rcpt(recipient) => self.rcpt(recipient),
            Command::Data => self.data(),
        }
    }

    fn must_start_tls(&self) -> bool {
        self.config.role == Role::Submission && !self.tls_active
    }

    fn hello_command(&mut self, extended: bool, name: String) {
        // RFC 5321 §4.1.4: a new EHLO ends the transaction.
        self.abandon();
        self.hello = Some(name);
        self.extended = extended;
        let extensions = if extended { self.extensions() } else { Vec::new() };
        self.reply(&Reply::hello(&self.config.hostname, &extensions));
    }

    fn extensions(&self) -> Vec<String> {
        let mut extensions: Vec<String> =
            ["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"]
                .map(str::to_owned)
                .to_vec();
        extensions.push(format!("SIZE {}", self.config.max_message_octets));
        if self.config.tls == Tls::Offered && !self.tls_active {
            extensions.push("STARTTLS".to_owned());
        }
        if self.config.role == Role::Submission && self.tls_active && !self.authenticated {
            let names = Mechanism::ALL.map(Mechanism::name).join(" ");
            extensions.push(format!("AUTH {names}"));
        }
        extensions
    }

    fn start_tls(&mut self) {
        if self.config.tls != Tls::Offered {
            return self.reply(&Reply::not_offered());
        }
        if self.tls_active || self.hello.is_none() {
            return self.reply(&Reply::bad_sequence());
        }
        self.abandon();
        self.reply(&Reply::tls_ready());
        if matches!(self.phase, Phase::Command) {
            // RFC 3207 §4.2, §6: what was sent in the clear after STARTTLS could be
            // anybody's, and must not be taken for the client's.
            self.input.clear();
            self.events.push_back(Event::StartTls);
            self.phase = Phase::Handshake;
        }
    }

    fn auth(&mut self, mechanism: &str, initial: Option<&str>) {
        if self.config.role != Role::Submission {
            return self.reply(&Reply::not_offered());
        }
        if !self.tls_active {
            return self.reply(&Reply::auth_needs_tls());
        }
        // RFC 4954 §4: not twice, not within a transaction, not before EHLO.
        if self.authenticated || self.transaction.is_some() || !self.extended {
            return self.reply(&Reply::auth_not_now());
        }
        let Some(mechanism) = Mechanism::named(mechanism) else {
            return self.reply(&Reply::unknown_mechanism());
        };
        match initial {
            Some(initial) => self.auth_response(mechanism, initial.as_bytes()),
            None => {
                self.reply(&Reply::auth_challenge(""));
                self.phase = Phase::AuthResponse(mechanism);
            }
        }
    }

    fn auth_response(&mut self, mechanism: Mechanism, response: &[u8]) {
        if response == b"*" {
            return self.auth_failure(&Reply::auth_cancelled());
        }
        match Credentials::parse_base64(mechanism, response) {
            Ok(credentials) => {
                self.ask(Question::Authenticate(mechanism), Event::Authenticate(credentials));
            }
            Err(_) => self.auth_failure(&Reply::bad_auth_exchange()),
        }
    }

    fn auth_refused(&mut self, mechanism: Mechanism, reply: &Reply) {
        match mechanism.refusal() {
            None => self.auth_failure(reply),
            Some(refusal) => {
                self.reply(&Reply::auth_challenge(refusal));
                self.phase = Phase::AuthRefused(reply.clone());
            }
        }
    }

    fn auth_failure(&mut self, reply: &Reply) {
        self.reply(reply);
        self.counts.auth_failures = self.counts.auth_failures.saturating_add(1);
        if self.counts.auth_failures >= self.config.max_auth_failures {
            self.close_with(&Reply::too_many_errors());
        }
    }

    fn mail(&mut self, from: Path, params: MailParams) {
        if self.hello.is_none() || self.transaction.is_some() {
            return self.reply(&Reply::bad_sequence());
        }
        if self.config.role == Role::Submission && !self.authenticated {
            return self.reply(&Reply::auth_required());
        }
        if self.counts.messages >= self.config.max_messages {
            return self.close_with(&Reply::too_many_commands());
        }
        if params.size.is_some_and(|size| size > self.config.max_message_octets) {
            return self.reply(&Reply::message_too_large());
        }
        if !params.smtputf8 && from.address().is_some_and(is_international) {
            return self.reply(&Reply::needs_smtputf8());
        }
        let smtputf8 = params.smtputf8;
        self.transaction = Some(Transaction { smtputf8, recipients: 0, attempts: 0 });
        self.ask(Question::MailFrom, Event::MailFrom { from, params });
    }

    fn rcpt(&mut self, recipient: Recipient) {
        let Some(transaction) = &mut self.transaction else {
            return self.reply(&Reply::bad_sequence());
        };
        transaction.attempts = transaction.attempts.saturating_add(1);
        if transaction.attempts > self.config.max_recipients.saturating_mul(ATTEMPTS_PER_RECIPIENT)
        {
            return self.close_with(&Reply::too_many_commands());
        }
        let address = match recipient {
            Recipient::Postmaster => self.config.postmaster.clone(),
            Recipient::Address(address) => address,
        };
        if transaction.recipients >= self.config.max_recipients {
            return self.reply(&Reply::too_many_recipients());
        }
        if !transaction.smtputf8 && is_international(&address) {
            return self.reply(&Reply::needs_smtputf8());
        }
        self.ask(Question::Rcpt, Event::Rcpt(address));
    }

    fn data(&mut self) {
        let Some(transaction) = &self.transaction else {
            return self.reply(&Reply::bad_sequence());
        };
        if !self.input.rest().is_empty() {
            // RFC 2920 §3.1: DATA ends a group. A client that goes on speaks blindly; were
            // DATA refused, its message would be read as commands.
            return self.close_with(&Reply::did_not_wait());
        }
        if transaction.recipients == 0 {
            return self.reply(&Reply::no_valid_recipients());
        }
        self.reply(&Reply::send_message());
        self.phase = Phase::Data { decoder: DataDecoder::new(), octets: 0, received: 0 };
    }

    /// Reads what there is of the message.
    fn read_data(&mut self) -> bool {
        let limit = self.config.max_message_octets;
        let Phase::Data { decoder, octets, received } = &mut self.phase else { return false };
        if self.input.rest().is_empty() {
            return false;
        }
        let mut piece = Vec::new();
        let done = decoder.decode(self.input.rest(), &mut piece);
        self.input.consume(done.consumed);
        *octets = octets.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        *received = received.saturating_add(u64::try_from(done.consumed).unwrap_or(u64::MAX));
        let (error, too_large) = (decoder.error(), *octets > limit);
        // An unwanted message is read to its end, so that the client learns why; but not
        // for ever. Stuffing at most doubles a message.
        let unbounded = *received > limit.saturating_mul(2).saturating_add(1 << 20);
        if error.is_some() || too_large {
            self.abandon();
        } else if !piece.is_empty() {
            self.events.push_back(Event::Data(piece));
        }
        if done.ended {
            self.end_of_data(error, too_large);
        } else if unbounded {
            self.close_with(&Reply::line_unbounded());
        }
        true
    }

    fn end_of_data(&mut self, error: Option<LineError>, too_large: bool) {
        self.phase = Phase::Command;
        if error.is_some() {
            // Whoever sends this may be smuggling: what follows the end is not read.
            self.close_with(&Reply::malformed_message());
        } else if too_large {
            self.reply(&Reply::message_too_large());
        } else {
            self.ask(Question::DataEnd, Event::DataEnd);
        }
    }
}

/// Whether an address may only be used under SMTPUTF8 (RFC 6531 §3.2).
fn is_international(address: &Address) -> bool {
    !address.is_ascii() || !address.domain.as_str().is_ascii()
}
