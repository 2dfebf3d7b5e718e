//! One outbound letter: its envelope and how far its delivery is, as a sealed row.
//!
//! The octets are a blob of their own, whose key is in the row; when the row goes, they are
//! noise.
//!
//! Invariant: the numbers in `#[n(…)]` are an on-disk format: never reuse one. Nothing of a row
//! is readable without the cell's key, nor printed.
//! Refs: docs/adr/0005-queue.md; specs/bw1.md §8, §9; RFC 3464 §2.3.

use minicbor::{Decode, Encode};
use proto::address::{Address, Path};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Recipients of one letter.
pub(crate) const RECIPIENTS_MAX: usize = 1000;
/// Characters kept of a server's last reply.
const REPLY_CHARS_MAX: usize = 500;

/// How far one recipient is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub(super) enum State {
    /// To be tried.
    #[n(0)]
    Pending,
    /// Delivered; nothing more to do.
    #[n(1)]
    Delivered,
    /// Given up; the sender is still to be told.
    #[n(2)]
    Failed,
    /// Given up, and the sender knows, or must not be told.
    #[n(3)]
    Returned,
}

#[derive(Clone, PartialEq, Eq, Encode, Decode, Zeroize)]
pub(super) struct Recipient {
    #[n(0)]
    pub(super) address: String,
    #[n(1)]
    #[zeroize(skip)]
    pub(super) state: State,
    /// The last reply to it, for the bounce.
    #[n(2)]
    pub(super) reply: String,
    /// Who said it: a host's name, or nobody.
    #[n(3)]
    pub(super) said_by: String,
}

#[derive(Clone, PartialEq, Eq, Encode, Decode, Zeroize, ZeroizeOnDrop)]
pub(super) struct Item {
    /// The account that sent it, and gets the bounce.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub(super) sender: [u8; 16],
    /// The reverse-path; empty for `<>`, whose failure nobody is told of.
    #[n(1)]
    pub(super) mail_from: String,
    #[n(2)]
    pub(super) recipients: Vec<Recipient>,
    #[cbor(n(3), with = "minicbor::bytes")]
    pub(super) body_key: [u8; 32],
    #[cbor(n(4), with = "minicbor::bytes")]
    pub(super) blob: [u8; 16],
    #[n(5)]
    pub(super) octets: u64,
    #[n(6)]
    pub(super) created: u64,
    #[n(7)]
    pub(super) next_attempt: u64,
    #[n(8)]
    pub(super) attempts: u32,
    /// Whether a header of it is UTF-8 (RFC 6531).
    #[n(9)]
    pub(super) utf8_headers: bool,
    /// Whether it has octets above 127.
    #[n(10)]
    pub(super) eight_bit: bool,
    /// How often this row was written; its change number.
    #[n(11)]
    pub(super) version: u64,
}

impl Item {
    pub(super) fn from(&self) -> Option<Path> {
        if self.mail_from.is_empty() {
            return Some(Path::Null);
        }
        Address::parse(&self.mail_from).ok().map(Path::Address)
    }

    pub(super) fn is_done(&self) -> bool {
        self.recipients
            .iter()
            .all(|recipient| matches!(recipient.state, State::Delivered | State::Returned))
    }

    /// The places of recipients in a state.
    pub(super) fn in_state(&self, state: State) -> Vec<usize> {
        let places = self.recipients.iter().enumerate();
        places.filter(|(_, recipient)| recipient.state == state).map(|(at, _)| at).collect()
    }

    /// Settles one recipient.
    pub(super) fn settle(&mut self, at: usize, state: State, reply: &str, said_by: &str) {
        if let Some(recipient) = self.recipients.get_mut(at) {
            recipient.state = state;
            recipient.reply = reply.chars().take(REPLY_CHARS_MAX).collect();
            recipient.said_by = said_by.to_owned();
        }
    }
}

impl Recipient {
    pub(super) fn new(address: &Address) -> Self {
        Self {
            address: address.to_string(),
            state: State::Pending,
            reply: String::new(),
            said_by: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_written_as_specified() {
        // specs/cell-rows.md §5
        let mut item = Item {
            sender: [1; 16],
            mail_from: "alice@ie.example".to_owned(),
            recipients: vec![Recipient::new(&Address::parse("bob@us.example").unwrap())],
            body_key: [2; 32],
            blob: [3; 16],
            octets: 1000,
            created: 1_795_262_400,
            next_attempt: 1_795_262_460,
            attempts: 1,
            utf8_headers: false,
            eight_bit: true,
            version: 2,
        };
        item.settle(0, State::Pending, "451 4.2.0 later", "mx.us.example");
        let octets = crate::mailbox::encode(&item);
        let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        let expected = [
            "8c50",
            &"01".repeat(16),
            "70616c6963654069652e6578616d706c65",
            "8184",
            "6e626f624075732e6578616d706c65",
            "00",
            "6f34353120342e322e30206c61746572",
            "6d6d782e75732e6578616d706c65",
            "5820",
            &"02".repeat(32),
            "50",
            &"03".repeat(16),
            "1903e8",
            "1a6b0187c0",
            "1a6b0187fc",
            "01",
            "f4",
            "f5",
            "02",
        ]
        .concat();
        assert_eq!(hex, expected);
        let again: Item = minicbor::decode(&octets).unwrap();
        assert!(again == item);
    }
}
