//! Object identifiers: of a mailbox, of a message whatever mailbox it is in, of its thread.
//!
//! Invariant: an identifier stays over restarts, renames, moves and new keys, and is never given
//! to another object.
//! Refs: RFC 8474 §4, §5; specs/mail-rows.md §4.

use crate::mailbox::{Mailbox, Message};

/// A mailbox's: a name that is used again after it was deleted has another UIDVALIDITY.
pub(super) fn mailbox(held: &Mailbox) -> String {
    format!("F{:x}-{:x}", held.row, held.uid_validity)
}

/// A message's, which its copies share.
pub(super) fn email(message: &Message) -> String {
    format!("M{:032x}", u128::from_be_bytes(message.letter))
}

/// A thread's.
pub(super) fn thread(message: &Message) -> String {
    format!("T{:x}", message.thread)
}

/// The letter that [`email`] gave this identifier.
pub(super) fn letter_of(id: &[u8]) -> Option<[u8; 16]> {
    let number = number_of(id, b'M', 32)?;
    Some(number.to_be_bytes())
}

/// The thread that [`thread`] gave this identifier.
pub(super) fn thread_of(id: &[u8]) -> Option<u64> {
    u64::try_from(number_of(id, b'T', 16)?).ok()
}

fn number_of(id: &[u8], kind: u8, digits_max: usize) -> Option<u128> {
    let digits = id.strip_prefix(&[kind])?;
    let is_ours = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    let fits = (1..=digits_max).contains(&digits.len()) && digits.iter().all(is_ours);
    let digits = core::str::from_utf8(digits).ok().filter(|_| fits)?;
    u128::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_read_as_it_is_written_and_nothing_else_is() {
        assert_eq!(letter_of(format!("M{:032x}", 7).as_bytes()), Some(7_u128.to_be_bytes()));
        assert_eq!(thread_of(b"T1f"), Some(31));
        for other in ["", "M", "T", "t1f", "T1F", "T+1", "F1", "T11111111111111111"] {
            assert_eq!((letter_of(other.as_bytes()), thread_of(other.as_bytes())), (None, None));
        }
    }
}
