//! The mark of an account that is on its way between cells, and the cell's record of one that went.
//!
//! Invariant: while an account is marked every commit to it fails but those that bring it in or end
//! the mark; whoever changes an account begins with [`standing`]. An account is gone from the moment
//! its record of that is on disk, and not before.
//! Refs: specs/move.md §5, §6.

use custody::PinOf;
use custody::user::Move;
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use seal::sign::VerifyingKey;
use store::Batch;
use vocab::{AccountId, CellId, Digest, ModSeq, RecordKind, Row, Timestamp};

use super::KeystoreError;
use super::keystore::Keystores;

const KIND: RecordKind = RecordKind::Departure;

/// How far a move has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is to leave; its parcel is being written, or is.
    Leaving,
    /// It is being taken in; not all of it is there.
    Arriving,
    /// All of it is there. It may still be the other cell's.
    Arrived,
}

/// An account's mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// How far it has come.
    pub stage: Stage,
    /// The other cell.
    pub other: CellId,
    /// Since when.
    pub since: Timestamp,
    /// The digest of the parcel; zeros while it is being written.
    pub parcel: Digest,
    /// The key of the cell it leaves.
    pub key: VerifyingKey,
}

/// An account that went to another cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone {
    /// The account.
    pub account: AccountId,
    /// The cell it went to.
    pub to: CellId,
    /// When.
    pub at: Timestamp,
    /// The digest of its parcel.
    pub parcel: Digest,
    /// The digest of the acceptance.
    pub acceptance: Digest,
    /// The version of its manifest: what comes back is newer.
    pub version: u64,
}

impl Gone {
    /// The move, from the cell `from`.
    #[must_use]
    pub fn about(&self, from: CellId) -> Move {
        Move { account: self.account, from, to: self.to, parcel: self.parcel }
    }
}

#[derive(Encode, Decode)]
struct MarkRow {
    #[n(0)]
    account: ByteArray<16>,
    #[n(1)]
    stage: u8,
    #[n(2)]
    other: ByteArray<16>,
    #[n(3)]
    since: u64,
    #[n(4)]
    parcel: ByteArray<32>,
    #[n(5)]
    key: ByteArray<32>,
}

#[derive(Encode, Decode)]
struct GoneRow {
    #[n(0)]
    account: ByteArray<16>,
    #[n(1)]
    to: ByteArray<16>,
    #[n(2)]
    at: u64,
    #[n(3)]
    parcel: ByteArray<32>,
    #[n(4)]
    acceptance: ByteArray<32>,
    #[n(5)]
    version: u64,
}

/// Where an account's mark is, among its own records; and among the cell's, that it has gone.
pub(super) fn mark_row(account: AccountId) -> Row {
    PinOf::Keystore.row(account)
}

/// An empty batch for an account, which fails if the account is marked.
pub(crate) fn standing(account: AccountId) -> Batch {
    Batch::new(account).require_absent(KIND, mark_row(account))
}

impl Stage {
    fn number(self) -> u8 {
        match self {
            Self::Leaving => 1,
            Self::Arriving => 2,
            Self::Arrived => 3,
        }
    }

    fn of(number: u8) -> Option<Self> {
        [Self::Leaving, Self::Arriving, Self::Arrived]
            .into_iter()
            .find(|stage| stage.number() == number)
    }
}

impl Mark {
    fn encode(&self, account: AccountId) -> Vec<u8> {
        crate::mailbox::encode(&MarkRow {
            account: account.0.into(),
            stage: self.stage.number(),
            other: self.other.0.into(),
            since: self.since.0,
            parcel: self.parcel.0.into(),
            key: self.key.0.into(),
        })
    }

    fn decode(account: AccountId, plain: &[u8]) -> Option<Self> {
        let row: MarkRow = minicbor::decode(plain).ok()?;
        let mark = Self {
            stage: Stage::of(row.stage)?,
            other: CellId(*row.other),
            since: Timestamp(row.since),
            parcel: Digest(*row.parcel),
            key: VerifyingKey(*row.key),
        };
        (*row.account == account.0).then_some(mark)
    }
}

impl Gone {
    fn encode(&self) -> Vec<u8> {
        crate::mailbox::encode(&GoneRow {
            account: self.account.0.into(),
            to: self.to.0.into(),
            at: self.at.0,
            parcel: self.parcel.0.into(),
            acceptance: self.acceptance.0.into(),
            version: self.version,
        })
    }

    fn decode(plain: &[u8]) -> Option<Self> {
        let row: GoneRow = minicbor::decode(plain).ok()?;
        Some(Self {
            account: AccountId(*row.account),
            to: CellId(*row.to),
            at: Timestamp(row.at),
            parcel: Digest(*row.parcel),
            acceptance: Digest(*row.acceptance),
            version: row.version,
        })
    }
}

impl Keystores {
    /// Whether the account is marked. Does not read the mark.
    ///
    /// # Errors
    /// [`KeystoreError::Failed`].
    pub fn is_moving(&self, account: AccountId) -> Result<bool, KeystoreError> {
        Ok(self.read.len(account, KIND, mark_row(account))?.is_some())
    }

    /// The account's mark, if it has one.
    ///
    /// # Errors
    /// [`KeystoreError::Exchanged`] if it is not the cell's own, [`KeystoreError::Failed`].
    pub fn mark(&self, account: AccountId) -> Result<Option<Mark>, KeystoreError> {
        let row = mark_row(account);
        let Some(sealed) = self.read.get(account, KIND, row)? else { return Ok(None) };
        let (_, plain) =
            self.rows.open(KIND, row, &sealed).map_err(|_| KeystoreError::Exchanged)?;
        Mark::decode(account, &plain).map(Some).ok_or(KeystoreError::Exchanged)
    }

    /// Puts the mark over whatever mark there is.
    pub(super) fn put_mark(
        &self,
        batch: Batch,
        account: AccountId,
        mark: &Mark,
    ) -> Result<Batch, KeystoreError> {
        let row = mark_row(account);
        Ok(batch.put(KIND, row, self.seal_departure(row, &mark.encode(account))?))
    }

    fn seal_departure(&self, row: Row, plain: &[u8]) -> Result<Vec<u8>, KeystoreError> {
        let sealed = self.rows.seal(KIND, row, ModSeq(0), plain, self.entropy.as_ref());
        sealed.map_err(|_| KeystoreError::Failed)
    }

    /// Every account that went to another cell, as far as it is remembered.
    ///
    /// # Errors
    /// [`KeystoreError::Exchanged`], [`KeystoreError::Failed`].
    pub fn all_gone(&self) -> Result<Vec<Gone>, KeystoreError> {
        let mut all = Vec::new();
        for found in self.read.scan(self.cell, KIND, Row(0)) {
            let (row, sealed) = found?;
            all.push(self.open_gone(row, &sealed)?);
        }
        Ok(all)
    }

    /// Where the account went, if it did.
    ///
    /// # Errors
    /// [`KeystoreError::Exchanged`], [`KeystoreError::Failed`].
    pub fn gone(&self, account: AccountId) -> Result<Option<Gone>, KeystoreError> {
        let row = mark_row(account);
        let sealed = self.read.get(self.cell, KIND, row)?;
        let gone = sealed.map(|sealed| self.open_gone(row, &sealed)).transpose()?;
        Ok(gone.filter(|gone| gone.account == account))
    }

    fn open_gone(&self, row: Row, sealed: &[u8]) -> Result<Gone, KeystoreError> {
        let (_, plain) = self.rows.open(KIND, row, sealed).map_err(|_| KeystoreError::Exchanged)?;
        Gone::decode(&plain).ok_or(KeystoreError::Exchanged)
    }

    /// Writes that the account has gone: the one act that decides it.
    pub(super) async fn put_gone(&self, gone: &Gone) -> Result<(), KeystoreError> {
        let row = mark_row(gone.account);
        let sealed = self.seal_departure(row, &gone.encode())?;
        let batch = Batch::new(self.cell).require_absent(KIND, row).put(KIND, row, sealed);
        self.append.commit(batch).await?;
        Ok(())
    }

    /// Forgets that an account has gone: its addresses are anybody's again, or it is back and alive.
    ///
    /// # Errors
    /// What a commit can meet.
    pub async fn forget_gone(&self, account: AccountId) -> Result<(), KeystoreError> {
        let batch = Batch::new(self.cell).delete(KIND, mark_row(account));
        self.append.commit(batch).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(octets: &[u8]) -> String {
        octets.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    #[test]
    fn marks_are_written_as_specified() {
        // specs/move.md §5, §6
        let account = AccountId([1; 16]);
        let mark = Mark {
            stage: Stage::Arrived,
            other: CellId([2; 16]),
            since: Timestamp(1_795_262_400),
            parcel: Digest([3; 32]),
            key: VerifyingKey([4; 32]),
        };
        let octets = mark.encode(account);
        let [one, two] = ["01", "02"].map(|octet| octet.repeat(16));
        let [three, four] = ["03", "04"].map(|octet| octet.repeat(32));
        let expected = format!("8650{one}0350{two}1a6b0187c05820{three}5820{four}");
        assert_eq!(hex(&octets), expected);
        assert_eq!(Mark::decode(account, &octets), Some(mark));
        assert_eq!(Mark::decode(AccountId([2; 16]), &octets), None);
        let gone = Gone {
            account,
            to: CellId([2; 16]),
            at: Timestamp(1_795_262_400),
            parcel: Digest([3; 32]),
            acceptance: Digest([4; 32]),
            version: 9,
        };
        let octets = gone.encode();
        let expected = format!("8650{one}50{two}1a6b0187c05820{three}5820{four}09");
        assert_eq!(hex(&octets), expected);
        assert_eq!(Gone::decode(&octets), Some(gone));
    }
}
