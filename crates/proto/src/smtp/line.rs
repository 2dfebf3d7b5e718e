//! Lines and message text on the wire: CRLF, dot-stuffing and the end of DATA.
//!
//! Invariant: only CRLF ends a line and only CRLF `.` CRLF ends a message. A CR or LF that
//! stands alone, or a NUL, makes the command or the message unacceptable; it never moves
//! the place where something ends.
//! Refs: RFC 5321 §2.3.8, §4.1.1.4, §4.5.2, §4.5.3.1.

use memchr::{memchr, memchr3};

/// Octets in one command line, CRLF excluded. RFC 5321 §4.5.3.1.4 asks for 512 at least;
/// RFC 4954 §4 for 12,288 in an AUTH exchange.
pub(crate) const MAX_COMMAND_OCTETS: usize = 12_288;

/// Octets in one line of a message, CRLF excluded. RFC 5321 §4.5.3.1.6 says 998; longer
/// ones are common, and refused only beyond this.
pub(crate) const MAX_TEXT_LINE_OCTETS: usize = 65_536;

/// What no line may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// LF without a CR before it.
    #[error("line feed without carriage return")]
    BareLf,
    /// CR without an LF after it.
    #[error("carriage return without line feed")]
    BareCr,
    /// An octet of value zero.
    #[error("octet zero")]
    Nul,
    /// More octets than a line may have.
    #[error("line too long")]
    TooLong,
}

/// Splits what a client sends into command lines. After an error it gives nothing more.
#[derive(Default)]
pub struct LineReader {
    buffer: Vec<u8>,
    /// Where the unread part of the buffer begins.
    start: usize,
    /// How much of the unread part is known to hold no line end.
    scanned: usize,
    failed: Option<LineError>,
}

impl LineReader {
    /// A reader with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes octets from the wire. They are held until read, so hand over no more than one
    /// read's worth between calls of [`Self::next_line`].
    pub fn push(&mut self, input: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(input);
    }

    /// The next line without its CRLF, or `None` until one is whole.
    ///
    /// # Errors
    /// If the line is not one; every later call fails alike.
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, LineError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.scan().inspect_err(|error| self.failed = Some(*error))
    }

    fn scan(&mut self) -> Result<Option<Vec<u8>>, LineError> {
        let rest = self.rest();
        let unscanned = rest.get(self.scanned..).unwrap_or_default();
        let Some(found) = memchr3(b'\r', b'\n', 0, unscanned) else {
            let length = rest.len();
            self.scanned = length;
            return if length > MAX_COMMAND_OCTETS { Err(LineError::TooLong) } else { Ok(None) };
        };
        let at = self.scanned.saturating_add(found);
        match (rest.get(at), rest.get(at.saturating_add(1))) {
            _ if at > MAX_COMMAND_OCTETS => Err(LineError::TooLong),
            (Some(b'\r'), Some(b'\n')) => {
                let line = rest.get(..at).unwrap_or_default().to_vec();
                self.start = self.start.saturating_add(at).saturating_add(2);
                self.scanned = 0;
                if self.rest().is_empty() {
                    // It may have been a password: given back, the memory is wiped; kept, it is not.
                    (self.buffer, self.start) = (Vec::new(), 0);
                }
                Ok(Some(line))
            }
            (Some(b'\r'), None) => {
                self.scanned = at;
                Ok(None)
            }
            (Some(b'\r'), Some(_)) => Err(LineError::BareCr),
            (Some(b'\n'), _) => Err(LineError::BareLf),
            _ => Err(LineError::Nul),
        }
    }

    /// What was pushed and not read yet.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Passes over octets that were read through [`Self::rest`].
    pub fn consume(&mut self, octets: usize) {
        self.start = self.start.saturating_add(octets).min(self.buffer.len());
        self.scanned = 0;
    }

    /// Forgets what was not read.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.start = 0;
        self.scanned = 0;
    }
}

/// What one call of [`DataDecoder::decode`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataPiece {
    /// Octets of the input that belong to the message; the rest is the next command.
    pub consumed: usize,
    /// Whether the message has ended.
    pub ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DataState {
    /// At the start of a line; the CRLF of the DATA command counts.
    LineStart,
    /// After a dot that begins a line.
    Dot,
    /// After such a dot and a CR.
    DotCr,
    /// Within a line.
    Text,
    /// After a CR within a line.
    Cr,
    Ended,
}

/// Takes the message out of a DATA stream: finds its end, removes dot-stuffing, and notes
/// what makes it unacceptable. It streams; pieces may be cut anywhere.
pub struct DataDecoder {
    state: DataState,
    line_octets: usize,
    error: Option<LineError>,
}

impl Default for DataDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl DataDecoder {
    /// A decoder for what follows the CRLF of a DATA command.
    #[must_use]
    pub fn new() -> Self {
        Self { state: DataState::LineStart, line_octets: 0, error: None }
    }

    /// What makes the message unacceptable, if anything so far. The end is still found.
    #[must_use]
    pub fn error(&self) -> Option<LineError> {
        self.error
    }

    /// Decodes a piece of the stream, appending to `out`; nothing more is appended once
    /// [`Self::error`] is set.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> DataPiece {
        let mut at = 0;
        while self.state != DataState::Ended {
            let rest = input.get(at..).unwrap_or_default();
            let Some(&first) = rest.first() else { break };
            if self.state == DataState::Text {
                // The common case by far: a run of text, copied whole.
                let run = memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len());
                if run > 0 {
                    self.put(rest.get(..run).unwrap_or_default(), out);
                    at = at.saturating_add(run);
                    continue;
                }
            }
            self.step(first, out);
            at = at.saturating_add(1);
        }
        DataPiece { consumed: at, ended: self.state == DataState::Ended }
    }

    fn step(&mut self, octet: u8, out: &mut Vec<u8>) {
        self.state = match (self.state, octet) {
            (DataState::LineStart, b'.') => DataState::Dot,
            (DataState::Dot, b'\r') => DataState::DotCr,
            (DataState::DotCr, b'\n') => DataState::Ended,
            (DataState::Cr, b'\n') => {
                self.put(b"\r\n", out);
                self.line_octets = 0;
                DataState::LineStart
            }
            (DataState::DotCr | DataState::Cr, _) => {
                // The CR stands alone. This octet is read anew, within the same line.
                self.fail(LineError::BareCr);
                self.state = DataState::Text;
                return self.step(octet, out);
            }
            (_, b'\r') => DataState::Cr,
            (_, b'\n') => {
                // Not a line end: a dot that follows it does not begin a line.
                self.fail(LineError::BareLf);
                DataState::Text
            }
            (_, 0) => {
                self.fail(LineError::Nul);
                DataState::Text
            }
            // RFC 5321 §4.5.2: the dot that begins a longer line was added by the sender.
            (DataState::LineStart | DataState::Dot | DataState::Text | DataState::Ended, _) => {
                self.put(&[octet], out);
                DataState::Text
            }
        };
    }

    fn put(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        self.line_octets = self.line_octets.saturating_add(octets.len());
        if self.line_octets > MAX_TEXT_LINE_OCTETS.saturating_add(2) {
            self.fail(LineError::TooLong);
        }
        if self.error.is_none() {
            out.extend_from_slice(octets);
        }
    }

    fn fail(&mut self, error: LineError) {
        self.error.get_or_insert(error);
    }
}

/// Makes a DATA stream of a message: doubles dots that begin lines, and ends it. A CR or LF
/// that stands alone becomes CRLF, since no server may ever be sent one.
pub struct DotStuffer {
    at_line_start: bool,
    after_cr: bool,
}

impl Default for DotStuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl DotStuffer {
    /// A stuffer at the start of a message.
    #[must_use]
    pub fn new() -> Self {
        Self { at_line_start: true, after_cr: false }
    }

    /// Appends the wire form of the next piece of the message; pieces may be cut anywhere.
    pub fn stuff(&mut self, message: &[u8], out: &mut Vec<u8>) {
        let mut rest = message;
        while let Some(&first) = rest.first() {
            let run = match first {
                b'\n' => {
                    // An LF after a CR ends the line that the CR has ended already.
                    if !self.after_cr {
                        self.end_line(out);
                    }
                    self.after_cr = false;
                    1
                }
                b'\r' => {
                    self.end_line(out);
                    self.after_cr = true;
                    1
                }
                _ => {
                    if first == b'.' && self.at_line_start {
                        out.push(b'.');
                    }
                    let run = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
                    out.extend_from_slice(rest.get(..run).unwrap_or_default());
                    self.at_line_start = false;
                    self.after_cr = false;
                    run
                }
            };
            rest = rest.get(run..).unwrap_or_default();
        }
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
        self.at_line_start = true;
    }

    /// Appends the end of the message, with a line end before it if the message has none.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        if !self.at_line_start {
            self.end_line(out);
        }
        out.extend_from_slice(b".\r\n");
    }
}

/// The next line of a server's reply, without its end, and the octets it took. Servers that
/// end replies with LF alone exist; here that does no harm.
pub(crate) fn reply_line(input: &[u8]) -> Option<(&[u8], usize)> {
    let end = memchr(b'\n', input)?;
    let line = input.get(..end)?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), end.saturating_add(1)))
}
