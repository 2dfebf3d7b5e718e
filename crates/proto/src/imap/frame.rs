//! Where one command ends and the next begins.
//!
//! Invariant: a command's lines together hold at most [`Limits::line`] octets and its literals
//! what [`Limits`] says; more is refused before it is buffered. A line ends with CRLF only.
//! Refs: RFC 9051 §2.2.1, §4.3; RFC 7888 §4.

/// What one command may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// All lines of one command together, in octets.
    pub line: usize,
    /// Any literal but the message of an APPEND, in octets.
    pub literal: usize,
    /// The message of an APPEND, in octets; 0 before login.
    pub append: usize,
    /// Literals in one command.
    pub literals: usize,
}

impl Limits {
    /// For a peer that has not logged in.
    #[must_use]
    pub const fn before_login() -> Self {
        // RFC 2971 §3.3: an ID has up to thirty fields of 30 and 1024 octets.
        Self { line: 40 * 1024, literal: 4 * 1024, append: 0, literals: 4 }
    }

    /// For a peer that has.
    #[must_use]
    pub const fn after_login(append: usize) -> Self {
        Self { line: 64 * 1024, literal: 64 * 1024, append, literals: 256 }
    }
}

/// One complete command as it came, literals and final CRLF included.
///
/// No `Debug`: a LOGIN carries a password.
pub struct Frame {
    pub(super) wire: Vec<u8>,
    /// Where the literals' octets lie.
    pub(super) literals: Vec<core::ops::Range<usize>>,
}

/// Why a command was not taken; the connection goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The command's tag as far as it could be read; `*` otherwise.
    pub tag: String,
    /// What the matter is.
    pub reason: &'static str,
    /// Whether it is a matter of size (RFC 7889 `TOOBIG`; a NO, not a BAD).
    pub too_big: bool,
}

/// What the framer found.
pub enum Event {
    /// The peer waits for leave to send a literal: say `+ `.
    Continue,
    /// A whole command.
    Frame(Frame),
    /// A command that will not be taken; its announced literal is not expected any more.
    Refused(Refused),
}

/// Why the connection cannot go on: what follows could not be told from a literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    /// A line beyond [`Limits::line`].
    #[error("a command line is too long")]
    Line,
    /// A literal that is sent without asking and is too large (RFC 7888 §4).
    #[error("a literal is too large")]
    Literal,
}

/// The cutter. Push octets, then take events until `None`.
pub struct Framer {
    limits: Limits,
    input: Vec<u8>,
    /// How far `input` has been searched for a line end.
    searched: usize,
    wire: Vec<u8>,
    literals: Vec<core::ops::Range<usize>>,
    line_octets: usize,
    /// Octets of the current literal still to come.
    wanted: usize,
}

struct Announced {
    length: usize,
    waits: bool,
}

impl Framer {
    /// A framer with nothing in it.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            input: Vec::new(),
            searched: 0,
            wire: Vec::new(),
            literals: Vec::new(),
            line_octets: 0,
            wanted: 0,
        }
    }

    /// Changes the limits, from the next literal or line on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Hands in what was read. The caller bounds one read.
    pub fn push(&mut self, octets: &[u8]) {
        if self.wanted > 0 && self.input.is_empty() {
            // The long middle of an APPEND goes straight where it belongs.
            let (now, rest) = octets.split_at(self.wanted.min(octets.len()));
            self.wire.extend_from_slice(now);
            self.wanted -= now.len();
            self.input.extend_from_slice(rest);
        } else {
            self.input.extend_from_slice(octets);
        }
    }

    /// The next event, if what was pushed holds one.
    ///
    /// # Errors
    /// [`Fatal`]: say BYE and close.
    pub fn next_event(&mut self) -> Result<Option<Event>, Fatal> {
        loop {
            if self.wanted > 0 {
                let taken = self.wanted.min(self.input.len());
                self.wire.extend(self.input.drain(..taken));
                self.wanted -= taken;
                self.searched = 0;
                if self.wanted > 0 {
                    return Ok(None);
                }
            }
            let room = self.limits.line.saturating_sub(self.line_octets);
            let Some(line) = self.take_line(room)? else { return Ok(None) };
            self.line_octets += line.len();
            if !line.ends_with(b"\r\n") {
                return Ok(Some(self.refuse(&line, "a line ends with CR LF", false)));
            }
            let announced = announced(&line);
            let Some(announced) = announced else {
                self.wire.extend_from_slice(&line);
                self.line_octets = 0;
                let frame = Frame {
                    wire: core::mem::take(&mut self.wire),
                    literals: core::mem::take(&mut self.literals),
                };
                return Ok(Some(Event::Frame(frame)));
            };
            if let Some(event) = self.begin_literal(&line, &announced)? {
                return Ok(Some(event));
            }
        }
    }

    /// The next bare line, without its CRLF: what follows `AUTHENTICATE` or ends `IDLE`.
    /// A line that ends in a bare LF is given with a trailing NUL, which no grammar accepts.
    ///
    /// # Errors
    /// [`Fatal::Line`].
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, Fatal> {
        let Some(mut line) = self.take_line(self.limits.line)? else { return Ok(None) };
        if line.ends_with(b"\r\n") {
            line.truncate(line.len() - 2);
        } else {
            line.push(0);
        }
        Ok(Some(line))
    }

    /// Whether octets are waiting that no event has used.
    #[must_use]
    pub fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Octets held of what has not become an event.
    #[must_use]
    pub fn held(&self) -> usize {
        self.wire.len().saturating_add(self.input.len())
    }

    fn take_line(&mut self, room: usize) -> Result<Option<Vec<u8>>, Fatal> {
        let unseen = self.input.get(self.searched..).unwrap_or_default();
        let Some(at) = unseen.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.input.len();
            return if self.input.len() > room { Err(Fatal::Line) } else { Ok(None) };
        };
        let end = self.searched + at + 1;
        self.searched = 0;
        if end > room {
            return Err(Fatal::Line);
        }
        let line = self.input.drain(..end).collect();
        if self.input.is_empty() {
            // It may have been a password: given back, the memory is wiped; kept, it is not.
            self.input = Vec::new();
        }
        Ok(Some(line))
    }

    fn begin_literal(
        &mut self,
        line: &[u8],
        announced: &Announced,
    ) -> Result<Option<Event>, Fatal> {
        // What a literal is for shows before the first one: what has come is not read again.
        let appends = is_append(if self.wire.is_empty() { line } else { &self.wire });
        let limit = if appends && mailbox_is_past(line, self.literals.len()) {
            self.limits.append.max(self.limits.literal)
        } else {
            self.limits.literal
        };
        let too_many = self.literals.len() >= self.limits.literals;
        if announced.length > limit || too_many {
            if !announced.waits {
                return Err(Fatal::Literal);
            }
            return Ok(Some(self.refuse(line, "literal too large", true)));
        }
        self.wire.extend_from_slice(line);
        let start = self.wire.len();
        self.literals.push(start..start + announced.length);
        self.wanted = announced.length;
        Ok(announced.waits.then_some(Event::Continue))
    }

    fn refuse(&mut self, line: &[u8], reason: &'static str, too_big: bool) -> Event {
        let first = if self.wire.is_empty() { line } else { &self.wire };
        let tag = tag_of(first);
        self.wire.clear();
        self.literals.clear();
        self.line_octets = 0;
        Event::Refused(Refused { tag, reason, too_big })
    }
}

/// `{n}` or `{n+}` at the end of a line.
fn announced(line: &[u8]) -> Option<Announced> {
    let text = line.strip_suffix(b"}\r\n")?;
    let open = text.iter().rposition(|byte| *byte == b'{')?;
    let inside = text.get(open + 1..)?;
    let (digits, waits) = match inside.strip_suffix(b"+") {
        Some(digits) => (digits, false),
        None => (inside, true),
    };
    if digits.is_empty() || digits.len() > 10 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length = core::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(Announced { length, waits })
}

fn is_append(wire: &[u8]) -> bool {
    let mut words = wire.split(|byte| *byte == b' ');
    words.nth(1).is_some_and(|word| word.eq_ignore_ascii_case(b"APPEND"))
}

/// In an APPEND the mailbox name may be a literal too; it is no message.
fn mailbox_is_past(line: &[u8], literals: usize) -> bool {
    literals > 0 || line.split(|byte| *byte == b' ').nth(3).is_some()
}

/// The tag for an answer to a command that could not be read (RFC 9051 §7.1.3).
pub(super) fn tag_of(wire: &[u8]) -> String {
    let end = wire.iter().position(|byte| matches!(byte, b' ' | b'\r' | b'\n')).unwrap_or(0);
    let tag = wire.get(..end).unwrap_or_default();
    let good = !tag.is_empty()
        && tag.len() <= 64
        && tag.iter().all(|byte| byte.is_ascii_graphic() && !b"(){%*\"\\+]".contains(byte));
    if good { String::from_utf8_lossy(tag).into_owned() } else { "*".to_owned() }
}
