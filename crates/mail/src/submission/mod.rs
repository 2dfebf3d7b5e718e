//! What our own people send: checked, completed, signed, and on its way.
//!
//! Invariant: an account sends only as its own addresses, in the envelope and in the header;
//! blind copies stay blind; 250 is said only when every recipient's letter is on disk, sealed,
//! delivered or queued.
//! Refs: RFC 6409 §4, §6, §8; RFC 5322 §3.6; RFC 6376 §5.

mod prepare;

use std::sync::Arc;

use bytes::Bytes;
use proto::address::Address;
use proto::smtp::Reply;
use vocab::AccountId;

use crate::inbound::envelope::Envelope;
use crate::inbound::{Context, DeliverError, Letter, reply, trace};
use crate::queue::Outgoing;

/// Takes a whole message from an account.
pub(crate) async fn accept(
    context: &Context,
    account: AccountId,
    envelope: Envelope,
    message: Vec<u8>,
    with: &'static str,
) -> Reply {
    let octets = match prepare::prepare(context, account, message, with).await {
        Ok(octets) => Bytes::from(octets),
        Err(reply) => return reply,
    };
    let mut remote = envelope.remote;
    match deliver_here(context, &envelope.from, envelope.local, &octets).await {
        // What could not be delivered here just now waits with the rest.
        Ok(waiting) => remote.extend(waiting),
        Err(reply) => return reply,
    }
    if remote.is_empty() {
        return Reply::message_accepted();
    }
    let outgoing = Outgoing { sender: account, from: envelope.from, recipients: remote, octets };
    match context.queue.accept(outgoing).await {
        Ok(()) => Reply::message_accepted(),
        Err(error) => reply::of_queueing(error),
    }
}

/// Delivers to accounts of this cell; gives the addresses that must wait.
async fn deliver_here(
    context: &Context,
    from: &proto::address::Path,
    local: Vec<(AccountId, Vec<Address>)>,
    octets: &[u8],
) -> Result<Vec<Address>, Reply> {
    if local.is_empty() {
        return Ok(Vec::new());
    }
    let mail_from = from.address().map(Address::to_string).unwrap_or_default();
    let letter = Arc::new(Letter {
        octets: trace::with_return_path(&mail_from, octets).into(),
        mail_from,
        received: context.clock.now(),
        verdicts: format!("{}; auth=pass", context.hostname),
        junk: false,
    });
    let mut waiting = Vec::new();
    for (account, addresses) in local {
        let to = addresses.iter().map(Address::to_string).collect();
        match context.deliverer.deliver(account, Arc::clone(&letter), to).await {
            Ok(()) => {}
            Err(DeliverError::TooLarge) => return Err(Reply::message_too_large()),
            Err(
                DeliverError::Full
                | DeliverError::OverQuota
                | DeliverError::OverAllQuota
                | DeliverError::Moving
                | DeliverError::NoKeys
                | DeliverError::Failed,
            ) => waiting.extend(addresses),
        }
    }
    Ok(waiting)
}
