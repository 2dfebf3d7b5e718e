//! A letter for another cell, handed over while its sender waits.
//!
//! Invariant: nothing of it is stored here; 250 is said only after the other cell has said it.
//! If the connection breaks in between, the sender tries again and the other cell may get the
//! letter twice.
//! Refs: design §3; RFC 5321 §4.2.5.

use core::time::Duration;

use proto::address::{Address, Path};
use proto::smtp::{Delivery, Job, Reply, TlsNeed};
use tokio::time::timeout;

use super::Context;
use crate::queue::client;
use crate::routes::Peer;

/// RFC 5321 §4.5.3.2.6: the sender waits ten minutes for us.
const PATIENCE: Duration = Duration::from_secs(8 * 60);

/// Hands a message to the cell where it belongs; what that cell says is the answer.
pub(super) async fn hand_over(
    context: &Context,
    peer: &Peer,
    from: &Path,
    to: Address,
    message: &[u8],
) -> Reply {
    let handing = async {
        let network = context.network.as_ref();
        let stream = network.connect_cell(peer.relay, &peer.relay_name).await.ok()?;
        let header = message.get(..proto::message::header_length(message)).unwrap_or_default();
        let job = Job {
            hello: context.hostname.clone(),
            from: from.clone(),
            recipients: vec![to],
            octets: u64::try_from(message.len()).unwrap_or(u64::MAX),
            utf8_headers: !header.is_ascii(),
            eight_bit: !message.is_ascii(),
            // TLS runs already, from the first octet.
            tls: TlsNeed::Never,
        };
        let done = client::send(stream, network, &peer.relay_name, job, message).await;
        done.outcome.deliveries.into_iter().next()
    };
    match timeout(PATIENCE, handing).await {
        Ok(Some(Delivery::Delivered(_))) => Reply::message_accepted(),
        // 421 is about the connection between the cells, not about this one.
        Ok(Some(Delivery::Deferred(said) | Delivery::Refused(said))) if said.code != 421 => said,
        Ok(_) | Err(_) => {
            tracing::warn!(cell = peer.name, "a letter could not be handed to another cell");
            Reply::try_later()
        }
    }
}
