//! The sealed head of an arrived letter: what delivery found out, for its owner.
//!
//! Invariant: the numbers in `#[n(…)]` are an on-disk format: never reuse one. A head is only
//! ever sealed to the account it names.
//! Refs: specs/mail-rows.md §2; specs/bw1.md §7; RFC 5321 §4.4.

use minicbor::{Decode, Encode};
use proto::message::MessageView;

use crate::mailbox::{encode, links};

/// A message as parsed, in the forms that its row keeps (specs/mail-rows.md §4): made once, when
/// it comes in, so that folding thousands need not read them.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Parsed {
    /// The [`MessageView`], encoded.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub view: Vec<u8>,
    /// The ENVELOPE as IMAP sends it (RFC 9051 §7.5.2).
    #[cbor(n(1), with = "minicbor::bytes")]
    pub envelope: Vec<u8>,
    /// The Date field as its writer's clock showed it, in seconds since 1970 as if in UTC:
    /// `SENTSINCE` disregards the zone (RFC 9051 §6.4.4).
    #[n(2)]
    pub sent: Option<i64>,
    /// What other messages of its thread can be known by (specs/mail-rows.md §4.1).
    #[cbor(n(3), with = "minicbor::bytes")]
    pub links: Vec<u8>,
}

impl Parsed {
    /// Parses a message.
    #[must_use]
    pub fn of(message: &[u8]) -> Self {
        let (view, _) = proto::message::parse(message);
        let mut envelope = Vec::new();
        proto::imap::structure::envelope(&mut envelope, &view.envelope);
        let sent = view
            .sent
            .and_then(|sent| sent.unix_seconds.checked_add(i64::from(sent.offset_minutes) * 60));
        let links = links(&view);
        Self { view: encode::<MessageView>(&view), envelope, sent, links }
    }
}

/// What is sealed beside the body when a letter arrives. At most
/// [`seal::letter::HEAD_BYTES_MAX`] octets encoded.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Head {
    /// Octets of the letter, without padding.
    #[n(0)]
    pub length: u64,
    /// SHA-256 of those octets.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub sha256: [u8; 32],
    /// The SMTP reverse-path; empty for a bounce.
    #[n(2)]
    pub mail_from: String,
    /// The SMTP forward-paths that led to this account.
    #[n(3)]
    pub rcpt_to: Vec<String>,
    /// When it was accepted, in seconds since 1970; IMAP's INTERNALDATE.
    #[n(4)]
    pub received: u64,
    /// The message as parsed.
    #[n(5)]
    pub parsed: Parsed,
    /// What SPF, DKIM and DMARC said: the value of the Authentication-Results field.
    #[n(6)]
    pub verdicts: String,
    /// Whether it goes to the mailbox for unwanted mail: its domain's policy asks for that.
    #[n(7)]
    pub junk: bool,
}

impl core::fmt::Debug for Head {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Head").field("length", &self.length).finish_non_exhaustive()
    }
}

/// A head that is not one, or of a newer form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the head of a letter is not readable")]
pub struct Unreadable;

impl Head {
    /// The octets to seal.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn decode(octets: &[u8]) -> Result<Self, Unreadable> {
        minicbor::decode(octets).map_err(|_| Unreadable)
    }
}
