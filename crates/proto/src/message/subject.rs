//! The base subject: what stays of a subject when replying and forwarding are taken away.
//!
//! Invariant: only the first [`MAX_CHARS`] characters take part, which bounds the work.
//! Refs: RFC 5256 §2.1, §5.

/// Characters of a subject that take part.
const MAX_CHARS: usize = 1000;

/// A base subject.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseSubject {
    /// What stays.
    pub text: String,
    /// Whether a mark of a reply or a forward was taken away.
    pub is_reply_or_forward: bool,
}

/// The base subject of a decoded subject.
#[must_use]
pub fn base_subject(subject: &str) -> BaseSubject {
    // RFC 5256 §2.1 (1): white space becomes single spaces.
    let cut: String = subject.chars().take(MAX_CHARS).collect();
    let spaced = cut.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    let mut text = spaced.as_str();
    let mut marked = false;
    loop {
        // (2)
        while let Some(rest) = strip_trailer(text) {
            marked = true;
            text = rest;
        }
        // (3) to (5)
        loop {
            text = text.trim_start();
            if let Some(rest) = strip_leader(text) {
                marked = true;
                text = rest;
            } else if let Some(rest) = strip_blob(text).filter(|rest| !rest.is_empty()) {
                text = rest;
            } else {
                break;
            }
        }
        // (6)
        match strip_forward(text) {
            Some(inner) => {
                marked = true;
                text = inner;
            }
            None => break,
        }
    }
    BaseSubject { text: text.trim().to_owned(), is_reply_or_forward: marked }
}

/// `text` without the ASCII `prefix`, in any case.
fn strip_prefix_any_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (found, rest) = text.split_at_checked(prefix.len())?;
    found.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// RFC 5256 §5 `subj-trailer`, without its white space.
fn strip_trailer(text: &str) -> Option<&str> {
    let text = text.trim_end();
    let at = text.len().checked_sub("(fwd)".len())?;
    let (rest, found) = text.split_at_checked(at)?;
    found.eq_ignore_ascii_case("(fwd)").then(|| rest.trim_end())
}

/// RFC 5256 §5 `subj-leader`: `*subj-blob subj-refwd`.
fn strip_leader(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(next) = strip_blob(rest) {
        rest = next;
    }
    let rest = ["re", "fwd", "fw"].iter().find_map(|mark| strip_prefix_any_case(rest, mark))?;
    let rest = rest.trim_start();
    strip_blob(rest).unwrap_or(rest).strip_prefix(':')
}

/// RFC 5256 §5 `subj-blob`: brackets with no bracket inside.
fn strip_blob(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?;
    let (blob, rest) = inner.split_once(']')?;
    (!blob.contains('[')).then(|| rest.trim_start())
}

/// RFC 5256 §5 `subj-fwd`: `[fwd: …]`.
fn strip_forward(text: &str) -> Option<&str> {
    strip_prefix_any_case(text, "[fwd:")?.strip_suffix(']')
}
