//! The rows an owner's mailboxes are kept in, before they are sealed.
//!
//! Invariant: the numbers in `#[n(…)]` are an on-disk format: never reuse one. A row's
//! mod-sequence is in its seal, not here.
//! Refs: specs/mail-rows.md; specs/bw1.md §8; RFC 9051 §2.3.

use minicbor::{Decode, Encode};

/// One mailbox. Sealed in epoch 0. Its row number is the mod-sequence it was made at.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct MailboxRow {
    #[n(0)]
    pub(crate) name: String,
    #[n(1)]
    pub(crate) uid_validity: u32,
    #[n(2)]
    pub(crate) uid_next: u32,
    #[n(3)]
    pub(crate) highest_modseq: u64,
    /// [`super::SpecialUse`] as a number; 0 for none.
    #[n(4)]
    pub(crate) special: u8,
    #[n(5)]
    pub(crate) subscribed: bool,
    /// False for a name that is only subscribed to (RFC 9051 §6.3.7).
    #[n(6)]
    pub(crate) exists: bool,
    /// Messages from this UID on are recent to the next session (RFC 3501 §2.3.2).
    #[n(7)]
    pub(crate) recent_from: u32,
    /// Days after which a message that came into it is expunged; 0 for never.
    #[n(8)]
    pub(crate) keep_days: u16,
}

/// One message of one mailbox. Sealed in the epoch its letter arrived in. Its row number is
/// the mod-sequence it was made at. Borrows what is long from the opened row.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct MessageRow<'a> {
    #[n(0)]
    pub(crate) mailbox: u64,
    #[n(1)]
    pub(crate) uid: u32,
    #[n(2)]
    pub(crate) flags: u8,
    #[n(3)]
    pub(crate) keywords: Vec<String>,
    /// INTERNALDATE in seconds since 1970.
    #[n(4)]
    pub(crate) received: u64,
    /// Octets of the message.
    #[n(5)]
    pub(crate) size: u32,
    /// The row of its LetterBody; several messages may share one.
    #[n(6)]
    pub(crate) letter_row: u64,
    #[cbor(n(7), with = "minicbor::bytes")]
    pub(crate) letter: [u8; 16],
    #[cbor(n(8), with = "minicbor::bytes")]
    pub(crate) body_key: [u8; 32],
    /// The ENVELOPE as IMAP sends it.
    #[cbor(b(9), with = "minicbor::bytes")]
    pub(crate) envelope: &'a [u8],
    /// The `proto::message::MessageView`, encoded.
    #[cbor(b(10), with = "minicbor::bytes")]
    pub(crate) view: &'a [u8],
    /// What SPF, DKIM and DMARC said when it arrived; empty for what the owner put here.
    #[b(11)]
    pub(crate) verdicts: &'a str,
    /// The Date field as its writer's clock showed it, in seconds since 1970 as if in UTC.
    #[n(12)]
    pub(crate) sent: Option<i64>,
    /// The row number of the message that began its thread.
    #[n(13)]
    pub(crate) thread: u64,
    /// What other messages of its thread can be known by ([`super::Threads`]).
    #[cbor(b(14), with = "minicbor::bytes")]
    pub(crate) links: &'a [u8],
    /// When it came into its mailbox, in seconds since 1970.
    #[n(15)]
    pub(crate) saved: u64,
}

/// What belongs to the account as a whole. Row 0, sealed in epoch 0.
#[derive(Clone, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct StateRow {
    /// No mod-sequence at or below this will be given again.
    #[n(0)]
    pub(crate) modseq: u64,
    /// No UIDVALIDITY at or below this will be given again.
    #[n(1)]
    pub(crate) uid_validity: u32,
    /// The last arrival that was folded, and the chain after it.
    #[n(2)]
    pub(crate) folded: u64,
    #[cbor(n(3), with = "minicbor::bytes")]
    pub(crate) chain: [u8; 32],
    /// As [`MailboxRow::keep_days`], for the mailboxes where that is 0.
    #[n(4)]
    pub(crate) keep_days: u16,
}

/// Expunged messages of one letter that are purged on one day. Sealed in the letter's epoch.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct ExpungedRow<'a> {
    #[b(0)]
    pub(crate) messages: Vec<ExpungedMessage<'a>>,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct ExpungedMessage<'a> {
    /// The name its mailbox had.
    #[b(0)]
    pub(crate) mailbox: &'a str,
    /// The day it was expunged, since 1970.
    #[n(1)]
    pub(crate) day: u32,
    /// Its [`MessageRow`], encoded.
    #[cbor(b(2), with = "minicbor::bytes")]
    pub(crate) row: &'a [u8],
}

/// The octets of a row.
pub(crate) fn encode<T: Encode<()>>(row: &T) -> Vec<u8> {
    let mut out = Vec::new();
    // Writing into a Vec cannot fail.
    drop(minicbor::encode(row, &mut out));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(octets: &[u8]) -> String {
        octets.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    // specs/mail-rows.md §8
    #[test]
    fn rows_are_written_as_specified() {
        let mailbox = MailboxRow {
            name: "INBOX".to_owned(),
            uid_validity: 1_795_262_400,
            uid_next: 3,
            highest_modseq: 8,
            special: 0,
            subscribed: true,
            exists: true,
            recent_from: 1,
            keep_days: 30,
        };
        assert_eq!(hex(&encode(&mailbox)), "8965494e424f581a6b0187c0030800f5f501181e");
        let message = MessageRow {
            mailbox: 1,
            uid: 2,
            flags: 8,
            keywords: vec!["$Todo".to_owned()],
            received: 1_795_262_400,
            size: 5,
            letter_row: 1,
            letter: [1; 16],
            body_key: [2; 32],
            envelope: b"()",
            view: b"v",
            verdicts: "",
            sent: Some(-1),
            thread: 7,
            links: &[3; 8],
            saved: 1_795_262_401,
        };
        let expected = format!(
            "90010208816524546f646f1a6b0187c0050150{}5820{}422829417660200748{}1a6b0187c1",
            "01".repeat(16),
            "02".repeat(32),
            "03".repeat(8)
        );
        assert_eq!(hex(&encode(&message)), expected);
        let state =
            StateRow { modseq: 8, uid_validity: 7, folded: 2, chain: [3; 32], keep_days: 0 };
        assert_eq!(hex(&encode(&state)), format!("850807025820{}00", "03".repeat(32)));
        let expunged = ExpungedMessage { mailbox: "Sent", day: 20_778, row: b"r" };
        let expunged = ExpungedRow { messages: vec![expunged] };
        assert_eq!(hex(&encode(&expunged)), "818183645365 6e7419512a4172".replace(' ', ""));
        let octets = encode(&message);
        let read: MessageRow<'_> = minicbor::decode(&octets).unwrap();
        assert!(read == message);
    }
}
