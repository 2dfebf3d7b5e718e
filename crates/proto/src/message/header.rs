//! Header fields: where they stand, what they hold, and a choice of them for IMAP.
//!
//! Invariant: one pass, no copy but of what is asked for.
//! Refs: RFC 5322 §2.2; RFC 9051 §6.4.5.1.

use memchr::memchr;

/// One field as it stands in a header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name as written, without the colon. Empty for a line that is no field.
    pub name: &'a [u8],
    /// What follows the colon, folding and line end included.
    pub value: &'a [u8],
    /// The whole field with its line ends.
    pub raw: &'a [u8],
}

impl Field<'_> {
    /// Whether this is the field called `name`, in any case.
    #[must_use]
    pub fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The fields of a header, in order. Ends at the blank line or with the octets.
#[derive(Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields at the start of `header`, which may go on into a body.
    #[must_use]
    pub fn new(header: &'a [u8]) -> Self {
        Self { rest: header }
    }
}

/// The length of the first line, its end included.
pub(super) fn line_length(octets: &[u8]) -> usize {
    memchr(b'\n', octets).map_or(octets.len(), |at| at.saturating_add(1))
}

/// Whether a line holds nothing but its end.
pub(super) fn is_blank(line: &[u8]) -> bool {
    matches!(line, b"\r\n" | b"\n")
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let first = self.rest.get(..line_length(self.rest))?;
        if first.is_empty() || is_blank(first) {
            return None;
        }
        let mut length = first.len();
        // RFC 5322 §2.2.3: white space at the start of a line continues the field.
        while let Some(next @ [b' ' | b'\t', ..]) = self.rest.get(length..) {
            length = length.saturating_add(line_length(next));
        }
        let (raw, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        let colon = memchr(b':', first);
        let (name, value) = match colon.and_then(|colon| raw.split_at_checked(colon)) {
            // RFC 5322 §4.5.2: obsolete syntax has white space before the colon.
            Some((name, value)) if is_field_name(name.trim_ascii_end()) => {
                (name.trim_ascii_end(), value.get(1..).unwrap_or_default())
            }
            _ => (&[][..], raw),
        };
        Some(Field { name, value, raw })
    }
}

/// RFC 5322 §2.2: printable ASCII but for the colon.
fn is_field_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

/// The length of the header at the start of a message, its blank line included; all of it
/// if there is none.
#[must_use]
pub fn header_length(message: &[u8]) -> usize {
    let mut length = 0;
    while let Some(rest) = message.get(length..).filter(|rest| !rest.is_empty()) {
        let line = rest.get(..line_length(rest)).unwrap_or(rest);
        length = length.saturating_add(line.len());
        if is_blank(line) {
            break;
        }
    }
    length
}

/// The first field called `name`, folding undone; `None` if there is none.
#[must_use]
pub fn field_value(header: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    Fields::new(header).find(|field| field.is(name)).map(|field| unfold(field.value))
}

/// For `BODY[HEADER.FIELDS (…)]`, or with `except` for `BODY[HEADER.FIELDS.NOT (…)]`: the
/// fields that are (not) among `names`, as they stand, and a blank line.
#[must_use]
pub fn select_fields<N: AsRef<[u8]>>(header: &[u8], names: &[N], except: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for field in Fields::new(header) {
        let named = names.iter().any(|name| field.is(name.as_ref()));
        if named != except {
            out.extend_from_slice(field.raw);
            // The last line of a header that was cut short.
            if !field.raw.ends_with(b"\n") {
                out.extend_from_slice(b"\r\n");
            }
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// A value without folding, NUL, and white space around it.
pub(super) fn unfold(value: &[u8]) -> Vec<u8> {
    let kept = value.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n' | 0));
    kept.collect::<Vec<u8>>().trim_ascii().to_vec()
}
