//! What the cell vouches for of an account: pins, sealed to the cell among the account's records.
//!
//! A manifest proves no more than that its own identity signed it, and an anchor only its account
//! can open. Whoever can write the disk could exchange either, but not what the cell sealed.
//!
//! Invariant: a pin opens only in its own row, as the account's it was sealed for.
//! Refs: specs/cell-rows.md §6.

use minicbor::{Decode, Encode};
use seal::row::RowKeys;
use seal::{Entropy, SealError};
use vocab::{AccountId, Digest, ModSeq, RecordKind, Row};

/// What a pin is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinOf {
    /// The keystore, by its manifest.
    Keystore,
    /// The rows, by their anchor.
    Anchor,
}

/// What the cell saw last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// The manifest's version, or the anchor's modseq; it rises with every change.
    pub number: u64,
    /// The digest of the whole manifest, or [`seal::anchor::Anchor::digest`].
    pub digest: Digest,
}

#[derive(Encode, Decode)]
struct PinRow {
    #[cbor(n(0), with = "minicbor::bytes")]
    account: [u8; 16],
    #[n(1)]
    number: u64,
    #[cbor(n(2), with = "minicbor::bytes")]
    digest: [u8; 32],
}

impl PinOf {
    /// Where the account's pin is, among its own records of kind
    /// [`AccountPin`](RecordKind::AccountPin). The seal binds a row's number and not the account
    /// it is stored with; so the number is the account's, and the whole account is in the row.
    #[must_use]
    pub fn row(self, account: AccountId) -> Row {
        let number = account.0.first_chunk().map_or(0, |head| u64::from_be_bytes(*head));
        Row(if self == Self::Keystore { number } else { !number })
    }
}

impl Pin {
    /// Its octets.
    fn encode(&self, account: AccountId) -> Vec<u8> {
        let Self { number, digest } = *self;
        let row = PinRow { account: account.0, number, digest: digest.0 };
        let mut out = Vec::new();
        // Writing into a Vec cannot fail.
        drop(minicbor::encode(&row, &mut out));
        out
    }

    /// The value to store, under the cell's row keys.
    ///
    /// # Errors
    /// [`SealError`], if `rows` are no cell's.
    pub fn seal(
        &self,
        of: PinOf,
        account: AccountId,
        rows: &RowKeys,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, SealError> {
        let (row, plain) = (of.row(account), self.encode(account));
        rows.seal(RecordKind::AccountPin, row, ModSeq(self.number), &plain, entropy)
    }

    /// What a stored value says; `None` if it is not this cell's pin of this account.
    #[must_use]
    pub fn open(of: PinOf, account: AccountId, rows: &RowKeys, sealed: &[u8]) -> Option<Self> {
        let (modseq, plain) = rows.open(RecordKind::AccountPin, of.row(account), sealed).ok()?;
        let PinRow { account: whose, number, digest } = minicbor::decode(&plain).ok()?;
        let is_its_own = whose == account.0 && number == modseq.0;
        is_its_own.then_some(Self { number, digest: Digest(digest) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_written_as_specified() {
        // specs/cell-rows.md §6
        let account = AccountId([1; 16]);
        for (of, number, digest, row) in [
            (PinOf::Keystore, 3, 2, Row(0x0101_0101_0101_0101)),
            (PinOf::Anchor, 9, 4, Row(0xfefe_fefe_fefe_fefe)),
        ] {
            let octets = Pin { number, digest: Digest([digest; 32]) }.encode(account);
            let tail = format!("{number:02x}5820{}", format!("{digest:02x}").repeat(32));
            assert_eq!(crate::hex::encode(&octets), format!("8350{}{tail}", "01".repeat(16)));
            assert_eq!(of.row(account), row);
        }
    }
}
