//! The splitter: finds the parts of a message and where each stands.
//!
//! It goes through the message once, from delimiter to delimiter, with the open multiparts
//! on a stack of its own.
//!
//! Invariant: no recursion; every position it goes to is after the last.
//! Refs: RFC 2045 §5, §6; RFC 2046 §5.1, §5.2.1; RFC 6532 §3.7.

use memchr::memmem;

use super::content_type::{parse_content_type, parse_token_with_params, parse_tokens};
use super::header::{Fields, is_blank, line_length, unfold};
use super::view::{Disposition, Embedded, MessageView, Part, Span};
use super::{Defect, MAX_DEPTH, MAX_HEADER_OCTETS, MAX_PARTS};
use super::{content_type, date, encoded_word, envelope, preview, subject};

/// Octets in a boundary. RFC 2046 §5.1.1 says 70.
const MAX_BOUNDARY_OCTETS: usize = 256;

pub(super) fn parse(message: &[u8]) -> (MessageView, Vec<Defect>) {
    let mut defects = Vec::new();
    let limit = usize::try_from(u32::MAX).unwrap_or(usize::MAX);
    let message = message.get(..limit).map_or(message, |cut| {
        defects.push(Defect::TooLong);
        cut
    });
    check_octets(message, &mut defects);
    let mut splitter = Splitter {
        message,
        parts: Vec::new(),
        open: Vec::new(),
        header_octets_left: MAX_HEADER_OCTETS,
        counted: Counted::default(),
        defects,
    };
    splitter.run();
    let Splitter { parts, mut defects, .. } = splitter;
    let view = view(message, parts, &mut defects);
    defects.sort_unstable();
    defects.dedup();
    (view, defects)
}

/// RFC 5322 §2.3: CR and LF only together.
fn check_octets(message: &[u8], defects: &mut Vec<Defect>) {
    if memchr::memchr(0, message).is_some() {
        defects.push(Defect::Nul);
    }
    let mut after_crlf = 0;
    for at in memchr::memchr2_iter(b'\r', b'\n', message) {
        if at < after_crlf {
            continue;
        }
        let pair = at.saturating_add(2);
        if message.get(at..pair) != Some(b"\r\n") {
            defects.push(Defect::BareLineEnd);
            return;
        }
        after_crlf = pair;
    }
}

fn view(message: &[u8], parts: Vec<Part>, defects: &mut Vec<Defect>) -> MessageView {
    let header = parts.first().map(|root| root.header.of(message)).unwrap_or_default();
    let header = header.get(..MAX_HEADER_OCTETS).unwrap_or(header);
    let envelope = envelope::envelope(header, defects);
    let threading = envelope::threading(header);
    let sent = envelope.date.as_deref().and_then(date::parse_date);
    if sent.is_none() {
        defects.push(Defect::BadDate);
    }
    if envelope.from.is_empty() {
        defects.push(Defect::NoFrom);
    }
    let subject = encoded_word::decode_header_text(envelope.subject.as_deref().unwrap_or_default());
    let base = subject::base_subject(&subject);
    let mut view = MessageView {
        envelope,
        parts,
        sent,
        message_id: threading.message_id,
        in_reply_to: threading.in_reply_to,
        references: threading.references,
        subject,
        base_subject: base.text,
        is_reply_or_forward: base.is_reply_or_forward,
        preview: String::new(),
    };
    view.preview = preview::preview(&view, message);
    view
}

/// A part whose end is not found yet.
struct Open {
    position: usize,
    /// Line ends before its body.
    lines_before: usize,
    kind: OpenKind,
}

enum OpenKind {
    Leaf,
    Message,
    Multipart { delimiter: Vec<u8>, ended: bool },
}

/// Line ends counted so far, up to an octet.
#[derive(Default)]
struct Counted {
    up_to: usize,
    lines: usize,
}

struct Splitter<'a> {
    message: &'a [u8],
    parts: Vec<Part>,
    open: Vec<Open>,
    header_octets_left: usize,
    counted: Counted,
    defects: Vec<Defect>,
}

/// A delimiter line that some open multipart waits for.
struct Delimiter {
    /// Which of [`Splitter::open`].
    level: usize,
    start: usize,
    end: usize,
    closing: bool,
}

/// What a part is said to be.
enum Shape {
    Leaf,
    Message,
    Multipart(Vec<u8>),
}

impl Splitter<'_> {
    fn run(&mut self) {
        let mut position = self.begin(0, None);
        while let Some(delimiter) = self.next_delimiter(position) {
            self.close_above(delimiter.level, delimiter.start);
            position = delimiter.end;
            let Some(Open { position: parent, kind, .. }) = self.open.get_mut(delimiter.level)
            else {
                break;
            };
            if let (OpenKind::Multipart { ended, .. }, true) = (kind, delimiter.closing) {
                *ended = true;
                continue;
            }
            if self.parts.len() >= MAX_PARTS {
                self.defects.push(Defect::TooManyParts);
                break;
            }
            let parent = *parent;
            position = self.begin(delimiter.end, Some(parent));
        }
        self.close_above_all();
    }

    /// Reads the header of the part that begins at `start`, and of the messages it holds;
    /// gives where the body of the innermost begins.
    fn begin(&mut self, start: usize, parent: Option<usize>) -> usize {
        let mut start = start;
        let mut in_digest = parent
            .and_then(|parent| self.parts.get(parent))
            .is_some_and(|parent| parent.subtype == "digest");
        let mut holder: Option<usize> = None;
        let first = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        if let Some(parent) = parent.and_then(|parent| self.parts.get_mut(parent)) {
            parent.children.push(first);
        }
        loop {
            let position = self.parts.len();
            let body = self.header_end(start);
            let read = self.affordable(span(start, body));
            let mut part = self.read_header(span(start, body), read);
            let shape = self.shape(&mut part, in_digest);
            let shape = self.bounded(&mut part, shape);
            if let Some(holder) = holder {
                let embedded = Embedded {
                    envelope: envelope::envelope(read.of(self.message), &mut self.defects),
                    root: u32::try_from(position).unwrap_or(u32::MAX),
                };
                if let Some(holder) = self.parts.get_mut(holder) {
                    holder.embedded = Some(embedded);
                }
            }
            self.parts.push(part);
            let lines_before = self.count_lines(body);
            let kind = match shape {
                Shape::Leaf => OpenKind::Leaf,
                Shape::Message => OpenKind::Message,
                Shape::Multipart(delimiter) => OpenKind::Multipart { delimiter, ended: false },
            };
            let holds_message = matches!(kind, OpenKind::Message);
            self.open.push(Open { position, lines_before, kind });
            if !holds_message {
                return body;
            }
            start = body;
            in_digest = false;
            holder = Some(position);
        }
    }

    /// Makes a leaf of what nests too deep.
    fn bounded(&mut self, part: &mut Part, shape: Shape) -> Shape {
        let room = match shape {
            Shape::Leaf => return shape,
            // The message within is a part of its own.
            Shape::Message => self.parts.len().saturating_add(1) < MAX_PARTS,
            Shape::Multipart(_) => true,
        };
        let containers =
            self.open.iter().filter(|open| !matches!(open.kind, OpenKind::Leaf)).count();
        let deep = containers >= MAX_DEPTH;
        if room && !deep {
            return shape;
        }
        self.defects.push(if deep { Defect::TooDeep } else { Defect::TooManyParts });
        "application".clone_into(&mut part.media_type);
        "octet-stream".clone_into(&mut part.subtype);
        part.params.clear();
        Shape::Leaf
    }

    /// As much of a header as may still be read.
    fn affordable(&mut self, header: Span) -> Span {
        let left = u32::try_from(self.header_octets_left).unwrap_or(u32::MAX);
        if header.length > left {
            self.defects.push(Defect::HeaderTooLong);
        }
        let length = header.length.min(left);
        let spent = usize::try_from(length).unwrap_or(usize::MAX);
        self.header_octets_left = self.header_octets_left.saturating_sub(spent);
        Span { start: header.start, length }
    }

    /// Where the body of the part that begins at `start` begins: after a blank line, or at
    /// a delimiter, or at the end.
    fn header_end(&mut self, start: usize) -> usize {
        let mut at = start;
        while let Some(rest) = self.message.get(at..).filter(|rest| !rest.is_empty()) {
            let line = rest.get(..line_length(rest)).unwrap_or(rest);
            if line.starts_with(b"--") && self.delimiter_at(at).is_some() {
                break;
            }
            at = at.saturating_add(line.len());
            if is_blank(line) {
                return at;
            }
        }
        self.defects.push(Defect::UnendedHeader);
        at
    }

    fn read_header(&mut self, whole: Span, read: Span) -> Part {
        let header = read.of(self.message);
        if core::str::from_utf8(header).is_err() {
            self.defects.push(Defect::HeaderNotUtf8);
        }
        let mut part = Part {
            media_type: String::new(),
            subtype: String::new(),
            params: Vec::new(),
            id: None,
            description: None,
            encoding: String::new(),
            md5: None,
            disposition: None,
            language: Vec::new(),
            location: None,
            header: whole,
            body: Span { start: whole.end(), length: 0 },
            lines: 0,
            children: Vec::new(),
            embedded: None,
        };
        for field in Fields::new(header) {
            if field.name.is_empty() {
                self.defects.push(Defect::MalformedHeaderLine);
            } else if field
                .name
                .get(..8)
                .is_some_and(|start| start.eq_ignore_ascii_case(b"content-"))
            {
                self.content_field(&mut part, &field.name.to_ascii_lowercase(), field.value);
            }
        }
        part
    }

    fn content_field(&mut self, part: &mut Part, name: &[u8], value: &[u8]) {
        let value = || unfold(value);
        match name {
            b"content-type" if part.media_type.is_empty() => match parse_content_type(&value()) {
                Some((media_type, subtype, params)) => {
                    (part.media_type, part.subtype, part.params) = (media_type, subtype, params);
                }
                None => self.defects.push(Defect::BadContentType),
            },
            b"content-transfer-encoding" if part.encoding.is_empty() => {
                part.encoding =
                    parse_token_with_params(&value()).map(|(token, _)| token).unwrap_or_default();
            }
            b"content-disposition" if part.disposition.is_none() => {
                part.disposition = parse_token_with_params(&value())
                    .map(|(kind, params)| Disposition { kind, params });
            }
            b"content-language" if part.language.is_empty() => {
                part.language = parse_tokens(&value())
            }
            b"content-id" => drop(part.id.get_or_insert_with(value)),
            b"content-description" => drop(part.description.get_or_insert_with(value)),
            b"content-md5" => drop(part.md5.get_or_insert_with(value)),
            b"content-location" => drop(part.location.get_or_insert_with(value)),
            _ => {}
        }
    }

    /// Settles what the part is; a part that cannot be what it says is plain text.
    fn shape(&mut self, part: &mut Part, in_digest: bool) -> Shape {
        if part.encoding.is_empty() {
            "7bit".clone_into(&mut part.encoding);
        }
        if part.media_type.is_empty() {
            // RFC 2045 §5.2; RFC 2046 §5.1.5.
            let (media_type, subtype) =
                if in_digest { ("message", "rfc822") } else { ("text", "plain") };
            media_type.clone_into(&mut part.media_type);
            subtype.clone_into(&mut part.subtype);
        }
        let as_it_stands = matches!(part.encoding.as_str(), "7bit" | "8bit" | "binary");
        match (part.media_type.as_str(), part.subtype.as_str()) {
            ("multipart", _) => {
                // RFC 2045 §6.4: no other encoding is allowed here, so none was used.
                if !as_it_stands {
                    "7bit".clone_into(&mut part.encoding);
                }
                let boundary =
                    content_type::decoded_param(&part.params, "boundary").unwrap_or_default();
                let boundary = boundary.trim_end();
                if boundary.is_empty() || boundary.len() > MAX_BOUNDARY_OCTETS {
                    self.defects.push(Defect::NoBoundary);
                    plain_text(part);
                    return Shape::Leaf;
                }
                Shape::Multipart([b"--", boundary.as_bytes()].concat())
            }
            ("message", "rfc822" | "global") if as_it_stands => Shape::Message,
            ("message", "rfc822" | "global") => {
                // Encoded, against RFC 2046 §5.2.1: a file like any other.
                "application".clone_into(&mut part.media_type);
                "octet-stream".clone_into(&mut part.subtype);
                Shape::Leaf
            }
            _ => Shape::Leaf,
        }
    }

    /// The delimiter line at or after `position` that comes first.
    fn next_delimiter(&mut self, position: usize) -> Option<Delimiter> {
        if !self.open.iter().any(|open| matches!(open.kind, OpenKind::Multipart { .. })) {
            return None;
        }
        if let Some(found) = self.delimiter_at(position) {
            return Some(found);
        }
        let mut from = position;
        loop {
            let found = memmem::find(self.message.get(from..)?, b"\n--")?;
            let start = from.checked_add(found)?.checked_add(1)?;
            if let Some(delimiter) = self.delimiter_at(start) {
                return Some(delimiter);
            }
            from = start;
        }
    }

    /// The delimiter on the line that begins at `start`, if it is one: of the innermost
    /// multipart that waits for it (RFC 2046 §5.1.2 lets an outer one end those inside).
    fn delimiter_at(&self, start: usize) -> Option<Delimiter> {
        let rest = self.message.get(start..)?;
        if !rest.starts_with(b"--") {
            return None;
        }
        let line = rest.get(..line_length(rest))?;
        let text = line.trim_ascii_end();
        self.open.iter().enumerate().rev().find_map(|(level, open)| {
            let OpenKind::Multipart { delimiter, ended: false } = &open.kind else { return None };
            let closing = match text.strip_prefix(delimiter.as_slice())? {
                b"" => false,
                b"--" => true,
                _ => return None,
            };
            Some(Delimiter { level, start, end: start.saturating_add(line.len()), closing })
        })
    }

    /// Ends the parts inside `level`, before the delimiter line at `start`.
    fn close_above(&mut self, level: usize, start: usize) {
        // RFC 2046 §5.1.1: the line end before a delimiter belongs to it.
        let before = self.message.get(..start).unwrap_or_default();
        let end = match before {
            [.., b'\r', b'\n'] => start.saturating_sub(2),
            [.., b'\n'] => start.saturating_sub(1),
            _ => start,
        };
        // A part that ends right after its header keeps the header's line end.
        let end = end.max(self.open.last().map_or(0, |open| self.body_start(open)));
        let lines = self.count_lines(start).saturating_sub(usize::from(end < start));
        while self.open.len() > level.saturating_add(1) {
            let Some(open) = self.open.pop() else { break };
            self.close(&open, end, lines);
        }
    }

    fn close_above_all(&mut self) {
        let end = self.message.len();
        let lines = self.count_lines(end);
        while let Some(open) = self.open.pop() {
            self.close(&open, end, lines);
        }
    }

    fn body_start(&self, open: &Open) -> usize {
        let part = self.parts.get(open.position);
        part.and_then(|part| usize::try_from(part.body.start).ok()).unwrap_or(0)
    }

    fn close(&mut self, open: &Open, end: usize, lines: usize) {
        let Some(part) = self.parts.get_mut(open.position) else { return };
        let start = usize::try_from(part.body.start).unwrap_or(usize::MAX);
        part.body = span(start, end);
        let ended = part.body.length == 0 || part.body.of(self.message).ends_with(b"\n");
        let lines = lines.saturating_sub(open.lines_before).saturating_add(usize::from(!ended));
        part.lines = u32::try_from(lines).unwrap_or(u32::MAX);
        if let OpenKind::Multipart { ended, .. } = &open.kind {
            if !ended {
                self.defects.push(Defect::UnendedMultipart);
            }
            if part.children.is_empty() {
                self.defects.push(Defect::BoundaryNotFound);
                plain_text(part);
            }
        }
    }

    /// Line ends before `position`, which never goes back.
    fn count_lines(&mut self, position: usize) -> usize {
        if let Some(next) = self.message.get(self.counted.up_to..position) {
            self.counted.lines =
                self.counted.lines.saturating_add(memchr::memchr_iter(b'\n', next).count());
            self.counted.up_to = position;
        }
        self.counted.lines
    }
}

fn plain_text(part: &mut Part) {
    "text".clone_into(&mut part.media_type);
    "plain".clone_into(&mut part.subtype);
    part.params.clear();
}

/// Positions are below 4 GiB: [`parse`] has cut the message to that.
fn span(start: usize, end: usize) -> Span {
    let start = u32::try_from(start).unwrap_or(u32::MAX);
    let end = u32::try_from(end).unwrap_or(u32::MAX);
    Span { start, length: end.saturating_sub(start) }
}
