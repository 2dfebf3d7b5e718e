//! ENVELOPE, BODY and BODYSTRUCTURE as a server writes them.
//!
//! Invariant: written from a [`MessageView`], never from the message; every string goes through
//! [`write`], so no message can shape a reply. Nesting is bounded by the view's own bound.
//! Refs: RFC 9051 §7.5.2; RFC 3501 §7.4.2.

use super::write::{nstring, string};
use crate::message::{Disposition, Envelope, EnvelopeAddress, MessageView, Param, Part};

/// An `envelope`.
pub fn envelope(out: &mut Vec<u8>, envelope: &Envelope) {
    out.push(b'(');
    nstring(out, envelope.date.as_deref());
    out.push(b' ');
    nstring(out, envelope.subject.as_deref());
    let lists = [
        envelope.from.as_slice(),
        envelope.sender_or_from(),
        envelope.reply_to_or_from(),
        &envelope.to,
        &envelope.cc,
        &envelope.bcc,
    ];
    for list in lists {
        out.push(b' ');
        addresses(out, list);
    }
    out.push(b' ');
    nstring(out, envelope.in_reply_to.as_deref());
    out.push(b' ');
    nstring(out, envelope.message_id.as_deref());
    out.push(b')');
}

fn addresses(out: &mut Vec<u8>, list: &[EnvelopeAddress]) {
    if list.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for address in list {
        let fields = [&address.name, &address.route, &address.mailbox, &address.host];
        for (at, field) in fields.iter().enumerate() {
            out.push(if at == 0 { b'(' } else { b' ' });
            nstring(out, field.as_deref());
        }
        out.push(b')');
    }
    out.push(b')');
}

/// A `body`: with its extension data for BODYSTRUCTURE, without for BODY.
pub fn body(out: &mut Vec<u8>, view: &MessageView, extended: bool) {
    match view.root() {
        Some(root) => part(out, view, root, extended, 0),
        // A view is never without a root; an empty text is the harmless reading.
        None => out.extend_from_slice(b"(\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 0 0)"),
    }
}

fn part(out: &mut Vec<u8>, view: &MessageView, entity: &Part, extended: bool, depth: usize) {
    out.push(b'(');
    if entity.is_multipart() && depth <= 2 * crate::message::MAX_DEPTH {
        multipart(out, view, entity, extended, depth);
    } else {
        single(out, view, entity, extended, depth);
    }
    out.push(b')');
}

fn multipart(out: &mut Vec<u8>, view: &MessageView, entity: &Part, extended: bool, depth: usize) {
    let mut any = false;
    for child in entity.children.iter().filter_map(|at| view.part(*at)) {
        part(out, view, child, extended, depth + 1);
        any = true;
    }
    if !any {
        // RFC 9051 `body-type-mpart = 1*body`: a multipart without parts shows an empty one.
        out.extend_from_slice(b"(\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 0 0)");
    }
    out.push(b' ');
    string(out, entity.subtype.as_bytes());
    if extended {
        out.push(b' ');
        params(out, &entity.params);
        trailer(out, entity);
    }
}

fn single(out: &mut Vec<u8>, view: &MessageView, entity: &Part, extended: bool, depth: usize) {
    string(out, entity.media_type.as_bytes());
    out.push(b' ');
    string(out, entity.subtype.as_bytes());
    out.push(b' ');
    // RFC 2045 §5.2: text that names no charset is in US-ASCII.
    let bare = entity.is_text() && !entity.params.iter().any(|param| is_charset(&param.name));
    if bare {
        with_charset(out, &entity.params);
    } else {
        params(out, &entity.params);
    }
    out.push(b' ');
    nstring(out, entity.id.as_deref());
    out.push(b' ');
    nstring(out, entity.description.as_deref());
    out.push(b' ');
    string(out, entity.encoding.as_bytes());
    out.extend_from_slice(format!(" {}", entity.body.length).as_bytes());
    if let Some((inner, root)) = entity.embedded.as_ref().zip(view.embedded_root(entity))
        && depth <= 2 * crate::message::MAX_DEPTH
    {
        out.push(b' ');
        envelope(out, &inner.envelope);
        out.push(b' ');
        part(out, view, root, extended, depth + 1);
        out.extend_from_slice(format!(" {}", entity.lines).as_bytes());
    } else if entity.is_text() {
        out.extend_from_slice(format!(" {}", entity.lines).as_bytes());
    }
    if extended {
        out.push(b' ');
        nstring(out, entity.md5.as_deref());
        trailer(out, entity);
    }
}

/// Disposition, language and location, which both kinds of body end with.
fn trailer(out: &mut Vec<u8>, entity: &Part) {
    out.push(b' ');
    disposition(out, entity.disposition.as_ref());
    out.push(b' ');
    match entity.language.as_slice() {
        [] => out.extend_from_slice(b"NIL"),
        tags => {
            for (at, tag) in tags.iter().enumerate() {
                out.push(if at == 0 { b'(' } else { b' ' });
                string(out, tag.as_bytes());
            }
            out.push(b')');
        }
    }
    out.push(b' ');
    nstring(out, entity.location.as_deref());
}

fn disposition(out: &mut Vec<u8>, disposition: Option<&Disposition>) {
    let Some(disposition) = disposition else {
        out.extend_from_slice(b"NIL");
        return;
    };
    out.push(b'(');
    string(out, disposition.kind.as_bytes());
    out.push(b' ');
    params(out, &disposition.params);
    out.push(b')');
}

fn is_charset(name: &str) -> bool {
    name.eq_ignore_ascii_case("charset") || name.eq_ignore_ascii_case("charset*")
}

fn with_charset(out: &mut Vec<u8>, given: &[Param]) {
    if given.is_empty() {
        out.extend_from_slice(b"(\"charset\" \"us-ascii\")");
        return;
    }
    params(out, given);
    out.pop();
    out.extend_from_slice(b" \"charset\" \"us-ascii\")");
}

fn params(out: &mut Vec<u8>, params: &[Param]) {
    if params.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    for (at, param) in params.iter().enumerate() {
        out.push(if at == 0 { b'(' } else { b' ' });
        string(out, param.name.as_bytes());
        out.push(b' ');
        string(out, &param.value);
    }
    out.push(b')');
}
