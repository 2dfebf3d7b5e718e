//! The header of a submitted message: checked, completed, signed.
//!
//! Invariant: exactly one From, all of whose addresses are the account's; a field that cannot
//! be read as one is refused, since others might read it otherwise.
//! Refs: RFC 6409 §6.1, §8; RFC 5322 §3.6.2, §3.6.3; RFC 6376 §5.1.

use proto::address::{Address, Domain, LocalPart};
use proto::message::{EnvelopeAddress, Fields};
use proto::smtp::Reply;
use vocab::AccountId;

use crate::inbound::Context;
use crate::inbound::trace::{self, Received, date};

/// Fields that are taken out: RFC 5322 §3.6.3 lets Bcc be removed; Return-Path is for final
/// delivery (RFC 5321 §4.4).
const REMOVED: [&[u8]; 3] = [b"bcc", b"resent-bcc", b"return-path"];

/// The message as it leaves, or why it may not.
pub(super) async fn prepare(
    context: &Context,
    account: AccountId,
    message: Vec<u8>,
    with: &'static str,
) -> Result<Vec<u8>, Reply> {
    let domain = author(context, account, &message)?;
    let now = context.clock.now();
    let entropy = context.entropy.as_ref();
    let has = |name: &[u8]| Fields::new(&message).any(|field| field.is(name));
    let mut completed = Vec::with_capacity(message.len() + 256);
    // RFC 6409 §8.1, §8.2.
    if !has(b"date") {
        completed.extend_from_slice(format!("Date: {}\r\n", date(now)).as_bytes());
    }
    if !has(b"message-id") {
        let id = format!("<{}@{}>", crate::dsn::unique(entropy), domain.to_ascii());
        completed.extend_from_slice(format!("Message-ID: {id}\r\n").as_bytes());
    }
    completed.extend_from_slice(&trace::without(&message, &context.hostname, &REMOVED));
    drop(message);
    let received = Received {
        from: None,
        by: &context.hostname,
        with,
        id: &crate::dsn::unique(entropy),
        at: now,
    };
    let mut out = received.encode().into_bytes();
    let completed = match context.signer.clone() {
        Some(signer) => {
            // Two signatures over the whole message: not for an async thread.
            let signing = tokio::task::spawn_blocking(move || {
                signer.sign(&domain, &completed).map(|fields| (fields, completed))
            });
            let signed = signing.await.map_err(|_| Reply::try_later())?;
            let (fields, completed) = signed.map_err(|_| Reply::try_later())?;
            out.extend_from_slice(&fields);
            completed
        }
        None => completed,
    };
    out.extend_from_slice(&completed);
    Ok(out)
}

/// Checks who the header says wrote and sent it; gives the author's domain.
fn author(context: &Context, account: AccountId, message: &[u8]) -> Result<Domain, Reply> {
    let mut counts = (0_u32, 0_u32);
    for field in Fields::new(message) {
        if field.name.is_empty() {
            return Err(Reply::malformed_header());
        }
        counts.0 += u32::from(field.is(b"from"));
        counts.1 += u32::from(field.is(b"sender"));
    }
    // RFC 5322 §3.6: From exactly once, Sender at most once.
    if counts.0 != 1 || counts.1 > 1 {
        return Err(Reply::malformed_header());
    }
    let (view, _) = proto::message::parse(message);
    let from = addresses(&view.envelope.from).ok_or_else(Reply::malformed_header)?;
    let sender = addresses(&view.envelope.sender).ok_or_else(Reply::malformed_header)?;
    // RFC 5322 §3.6.2: several authors, or a Sender field, name one sender.
    if counts.1 == 1 && sender.len() != 1 {
        return Err(Reply::malformed_header());
    }
    if !from.iter().chain(&sender).all(|address| context.routes.owns(account, address)) {
        return Err(Reply::sender_not_owned());
    }
    from.into_iter().next().map(|first| first.domain).ok_or_else(Reply::malformed_header)
}

/// The addresses of a field, all of them; `None` if one is no address.
fn addresses(listed: &[EnvelopeAddress]) -> Option<Vec<Address>> {
    let address = |listed: &EnvelopeAddress| {
        let local = core::str::from_utf8(listed.mailbox.as_deref()?).ok()?;
        let domain = core::str::from_utf8(listed.host.as_deref()?).ok()?;
        Some(Address { local: LocalPart::new(local).ok()?, domain: Domain::parse(domain).ok()? })
    };
    listed.iter().map(address).collect()
}
