//! What an account takes from one cell to another: the ends of its parcel, the owner's word that it
//! arrived, and the old cell's that it has left.
//!
//! Invariant: only a session that may change unlockers accepts; a cell discharges only what was
//! accepted under the account's own identity. Each names account, cells and parcel, and is one text.
//! Refs: specs/move.md.

use super::change::{ChangeError, Renewal};
use super::{Changes, Unlocked, slot_row};
use crate::hex;
use seal::Entropy;
use seal::mac::{Sha256, sha256};
use seal::manifest::Manifest;
use seal::sign::{SigningKey, VerifyingKey};
use seal::slot::{SlotKind, SlotRecord};
use vocab::{AccountId, CellId, Digest, RecordKind, Row, Timestamp};

/// Octets of a parcel's head.
pub const HEAD_BYTES: usize = 128;
/// Octets before a record of a parcel, its mark not among them.
pub const RECORD_BYTES: usize = 14;
/// Octets of a parcel's end, its mark not among them.
pub const END_BYTES: usize = 112;
/// The octet before a record, and before the end.
pub const MARKS: (u8, u8) = (1, 0);

const PARCEL: &[u8; 8] = b"BWPARCEL";
const ACCEPT: Kind = Kind {
    mark: b"BWACCEPT",
    label: b"bailiwick.v1 acceptance\0",
    text: "bailiwick-acceptance 1 ",
};
const DISCHARGE: Kind =
    Kind { mark: b"BWDISCHG", label: b"bailiwick.v1 discharge\0", text: "bailiwick-discharge 1 " };

/// A parcel, an acceptance or a discharge that is not to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoveFormError {
    /// It does not read.
    #[error("it is not of its form")]
    Form,
    /// The signature is not of whoever should have signed.
    #[error("it is not signed by whom it should be")]
    Signature,
    /// It is about another account, cell or parcel.
    #[error("it is about another account, cell or parcel")]
    Other,
}

/// Whether what the store keeps under this kind goes along with an account that moves.
#[must_use]
pub const fn travels(kind: RecordKind) -> bool {
    match kind {
        RecordKind::Slot
        | RecordKind::Manifest
        | RecordKind::EpochBox
        | RecordKind::Arrivals
        | RecordKind::LetterBody
        | RecordKind::Message
        | RecordKind::Mailbox
        | RecordKind::AccountState
        | RecordKind::AccountAnchor
        | RecordKind::SearchIndex
        | RecordKind::SearchSegment
        | RecordKind::UnlockerUse
        | RecordKind::ExpungedMessage => true,
        // Of holders, of sessions, folded before; or the cell's own.
        RecordKind::Escrow
        | RecordKind::SessionGrant
        | RecordKind::LetterHead
        | RecordKind::Route
        | RecordKind::Subscription
        | RecordKind::QueueItem
        | RecordKind::QueueBody
        | RecordKind::AccountPin
        | RecordKind::HolderPolicy
        | RecordKind::Departure
        | RecordKind::CaseEvent
        | RecordKind::CaseDocument
        | RecordKind::Preservation
        | RecordKind::LogLeaf
        | RecordKind::Registrant => false,
    }
}

/// Whose parcel it is, from where and to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParcelHead {
    /// The cell it leaves.
    pub from: CellId,
    /// The cell it is for.
    pub to: CellId,
    /// The account.
    pub account: AccountId,
    /// When it was made.
    pub made: Timestamp,
    /// What the cell signs with that it leaves ([`crate::cell::CellKeys::moving`]), public half.
    pub key: VerifyingKey,
    /// The digest of the account's manifest.
    pub manifest: Digest,
}

impl ParcelHead {
    /// Its octets.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self { from, to, account, made, key, manifest } = self;
        let made = made.0.to_be_bytes();
        [&PARCEL[..], &from.0, &to.0, &account.0, &made, &key.0, &manifest.0].concat()
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`MoveFormError::Form`].
    pub fn decode(octets: &[u8]) -> Result<Self, MoveFormError> {
        let mut rest = Fields(octets);
        if rest.take::<8>()? != *PARCEL {
            return Err(MoveFormError::Form);
        }
        let head = Self {
            from: CellId(rest.take()?),
            to: CellId(rest.take()?),
            account: AccountId(rest.take()?),
            made: Timestamp(u64::from_be_bytes(rest.take()?)),
            key: VerifyingKey(rest.take()?),
            manifest: Digest(rest.take()?),
        };
        rest.end().map(|()| head)
    }
}

/// What is before each record of a parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHead {
    /// Its kind.
    pub kind: RecordKind,
    /// Its row.
    pub row: Row,
    /// How many octets follow.
    pub length: u32,
}

impl RecordHead {
    /// Its octets, the mark not among them.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self { kind, row, length } = self;
        [&kind.table().to_be_bytes()[..], &row.0.to_be_bytes(), &length.to_be_bytes()].concat()
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`MoveFormError::Form`], also for a kind that does not travel.
    pub fn decode(octets: &[u8; RECORD_BYTES]) -> Result<Self, MoveFormError> {
        let mut rest = Fields(octets);
        let kind = RecordKind::from_table(u16::from_be_bytes(rest.take()?));
        let kind = kind.filter(|kind| travels(*kind)).ok_or(MoveFormError::Form)?;
        let row = Row(u64::from_be_bytes(rest.take()?));
        let length = u32::from_be_bytes(rest.take()?);
        rest.end().map(|()| Self { kind, row, length })
    }
}

/// Follows a parcel's octets, to its digest.
pub struct ParcelDigest {
    hash: Sha256,
    records: u64,
    octets: u64,
}

impl ParcelDigest {
    /// Begins with the head.
    #[must_use]
    pub fn begin(head: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"bailiwick.v1 parcel\0");
        hash.update(head);
        Self { hash, records: 0, octets: 0 }
    }

    /// One more record.
    pub fn record(&mut self, head: &RecordHead, octets: &[u8]) {
        self.hash.update(&[MARKS.0]);
        self.hash.update(&head.encode());
        self.hash.update(octets);
        self.records = self.records.saturating_add(1);
        self.octets = self.octets.saturating_add(u64::from(head.length));
    }

    /// How many records there were, and octets in them.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.records, self.octets)
    }

    fn finish(mut self) -> ([u8; 16], Digest) {
        let mut counts = [0; 16];
        let both = [self.records.to_be_bytes(), self.octets.to_be_bytes()];
        counts.iter_mut().zip(both.as_flattened()).for_each(|(to, from)| *to = *from);
        self.hash.update(&[MARKS.1]);
        self.hash.update(&counts);
        (counts, self.hash.finish())
    }

    /// The end of a parcel that is written, its mark not among it; and the parcel's digest.
    #[must_use]
    pub fn sign(self, key: &SigningKey) -> (Vec<u8>, Digest) {
        let (counts, digest) = self.finish();
        let signature = key.sign(&signed_parcel(&digest));
        ([&counts[..], &digest.0, &signature].concat(), digest)
    }

    /// The digest of a parcel that was read to its end.
    ///
    /// # Errors
    /// [`MoveFormError`].
    pub fn verify(
        self,
        end: &[u8; END_BYTES],
        key: &VerifyingKey,
    ) -> Result<Digest, MoveFormError> {
        let (counts, digest) = self.finish();
        let mut rest = Fields(end);
        if rest.take::<16>()? != counts || rest.take::<32>()? != digest.0 {
            return Err(MoveFormError::Form);
        }
        let signature = rest.take::<64>()?;
        let signed = key.verify(&signed_parcel(&digest), &signature);
        signed.map(|()| digest).map_err(|_| MoveFormError::Signature)
    }
}

fn signed_parcel(digest: &Digest) -> Vec<u8> {
    [&b"bailiwick.v1 parcel signature\0"[..], &digest.0].concat()
}

struct Kind {
    mark: &'static [u8; 8],
    label: &'static [u8],
    text: &'static str,
}

/// A move of one account, as an acceptance and a discharge name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// The account.
    pub account: AccountId,
    /// The cell it leaves.
    pub from: CellId,
    /// The cell it is for.
    pub to: CellId,
    /// The parcel's digest.
    pub parcel: Digest,
}

/// What was signed of a move.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Signed {
    about: Move,
    at: Timestamp,
    further: Digest,
    signature: [u8; 64],
}

impl Signed {
    fn message(kind: &Kind, about: &Move, at: Timestamp, further: &Digest) -> Vec<u8> {
        let Move { account, from, to, parcel } = about;
        let at = at.0.to_be_bytes();
        [&kind.mark[..], &account.0, &from.0, &to.0, &parcel.0, &at, &further.0].concat()
    }

    fn sign(kind: &Kind, about: Move, at: Timestamp, further: Digest, key: &SigningKey) -> Self {
        let message = Self::message(kind, &about, at, &further);
        let signature = key.sign(&[kind.label, &message].concat());
        Self { about, at, further, signature }
    }

    fn encode(&self, kind: &Kind) -> Vec<u8> {
        let mut out = Self::message(kind, &self.about, self.at, &self.further);
        out.extend_from_slice(&self.signature);
        out
    }

    fn text(&self, kind: &Kind) -> String {
        format!("{}{}", kind.text, hex::encode(&self.encode(kind)))
    }

    fn read(kind: &Kind, text: &str) -> Result<Self, MoveFormError> {
        let octets = text.trim().strip_prefix(kind.text).and_then(hex::decode);
        let octets = octets.ok_or(MoveFormError::Form)?;
        let mut rest = Fields(&octets);
        if rest.take::<8>()? != *kind.mark {
            return Err(MoveFormError::Form);
        }
        let (account, from) = (AccountId(rest.take()?), CellId(rest.take()?));
        let (to, parcel) = (CellId(rest.take()?), Digest(rest.take()?));
        let at = Timestamp(u64::from_be_bytes(rest.take()?));
        let (further, signature) = (Digest(rest.take()?), rest.take()?);
        let about = Move { account, from, to, parcel };
        rest.end().map(|()| Self { about, at, further, signature })
    }

    fn check(&self, kind: &Kind, about: &Move, key: &VerifyingKey) -> Result<(), MoveFormError> {
        if self.about != *about {
            return Err(MoveFormError::Other);
        }
        let message = Self::message(kind, &self.about, self.at, &self.further);
        let signed = key.verify(&[kind.label, &message].concat(), &self.signature);
        signed.map_err(|_| MoveFormError::Signature)
    }
}

/// The owner's word that the account is whole in the new cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance(Signed);

impl Acceptance {
    /// Reads its text; who signed it is not checked.
    ///
    /// # Errors
    /// [`MoveFormError::Form`].
    pub fn read(text: &str) -> Result<Self, MoveFormError> {
        let signed = Signed::read(&ACCEPT, text)?;
        if signed.further == Digest([0; 32]) { Ok(Self(signed)) } else { Err(MoveFormError::Form) }
    }

    /// The account it says to be about.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.0.about.account
    }

    /// Whether it is of this move, under the identity that the account's manifest names.
    ///
    /// # Errors
    /// [`MoveFormError::Other`], [`MoveFormError::Signature`].
    pub fn check(&self, about: &Move, manifest: &Manifest) -> Result<(), MoveFormError> {
        self.0.check(&ACCEPT, about, &manifest.identity)
    }

    /// What a discharge names it by.
    #[must_use]
    pub fn digest(&self) -> Digest {
        sha256(&[&self.0.encode(&ACCEPT)])
    }

    /// Its text, without a line end.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.text(&ACCEPT)
    }
}

/// The old cell's word that the account is the new cell's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discharge(Signed);

impl Discharge {
    /// Signs it: the same for the same words.
    #[must_use]
    pub fn sign(about: Move, at: Timestamp, acceptance: Digest, key: &SigningKey) -> Self {
        Self(Signed::sign(&DISCHARGE, about, at, acceptance, key))
    }

    /// Reads its text; who signed it is not checked.
    ///
    /// # Errors
    /// [`MoveFormError::Form`].
    pub fn read(text: &str) -> Result<Self, MoveFormError> {
        Signed::read(&DISCHARGE, text).map(Self)
    }

    /// The account it says to be about.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.0.about.account
    }

    /// Whether it is of this move, by the cell that wrote the parcel.
    ///
    /// # Errors
    /// [`MoveFormError::Other`], [`MoveFormError::Signature`].
    pub fn check(&self, about: &Move, key: &VerifyingKey) -> Result<(), MoveFormError> {
        self.0.check(&DISCHARGE, about, key)
    }

    /// Its text, without a line end.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.text(&DISCHARGE)
    }
}

impl Unlocked {
    /// The owner's word that the account arrived whole.
    ///
    /// # Errors
    /// [`ChangeError::Sudo`].
    pub fn accept(&self, about: Move, now: Timestamp) -> Result<Acceptance, ChangeError> {
        self.sudo()?;
        let identity = &self.inner.identity;
        Ok(Acceptance(Signed::sign(&ACCEPT, about, now, Digest([0; 32]), identity)))
    }

    /// Takes away the unlockers that need what only the cell has that the account left. Commit
    /// nothing if there is nothing to commit.
    ///
    /// # Errors
    /// As [`Unlocked::revoke`].
    pub fn leave_behind(
        &mut self,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Changes, ChangeError> {
        self.sudo()?;
        let (gone, stay): (Vec<_>, Vec<_>) = self.locked.slots.iter().cloned().partition(is_bound);
        if gone.is_empty() {
            return Ok(Changes::default());
        }
        let delete = gone.iter().map(|slot| (RecordKind::Slot, slot_row(slot.slot()))).collect();
        let changes = Changes { put: Vec::new(), delete };
        self.exchange_slots(stay, changes, Renewal::Routine, now, entropy)
    }
}

/// Passwords are hashed with the cell's pepper, and OPAQUE is a secret shared with the cell.
fn is_bound(slot: &SlotRecord) -> bool {
    matches!(slot.kind(), SlotKind::Password | SlotKind::Opaque)
}

/// What is left of fixed fields.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], MoveFormError> {
        let (field, rest) = self.0.split_first_chunk().ok_or(MoveFormError::Form)?;
        self.0 = rest;
        Ok(*field)
    }

    fn end(self) -> Result<(), MoveFormError> {
        if self.0.is_empty() { Ok(()) } else { Err(MoveFormError::Form) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seal::Secret;
    use zeroize::Zeroizing;

    fn key(octet: u8) -> SigningKey {
        SigningKey::from_seed(Secret::take(&mut Zeroizing::new([octet; 32]))).unwrap()
    }

    fn about() -> Move {
        let parcel = Digest([4; 32]);
        Move { account: AccountId([1; 16]), from: CellId([2; 16]), to: CellId([3; 16]), parcel }
    }

    #[test]
    fn a_parcel_is_written_as_specified() {
        // specs/move.md §2
        let head = ParcelHead {
            from: CellId([2; 16]),
            to: CellId([3; 16]),
            account: AccountId([1; 16]),
            made: Timestamp(1_795_262_400),
            key: key(5).public(),
            manifest: Digest([6; 32]),
        };
        let octets = head.encode();
        assert_eq!(octets.len(), HEAD_BYTES);
        assert_eq!(ParcelHead::decode(&octets), Ok(head));
        let record = RecordHead { kind: RecordKind::Manifest, row: Row(1), length: 3 };
        assert_eq!(hex::encode(&record.encode()), "0002000000000000000100000003");
        let mut parcel = ParcelDigest::begin(&octets);
        parcel.record(&record, b"abc");
        assert_eq!(parcel.counts(), (1, 3));
        let (end, digest) = parcel.sign(&key(5));
        let counts = [[0, 0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0, 3]];
        let parts: [&[u8]; 5] = [
            b"bailiwick.v1 parcel\0",
            &octets,
            &[&[1][..], &record.encode(), b"abc"].concat(),
            &[0],
            counts.as_flattened(),
        ];
        assert_eq!(digest, sha256(&parts));
        let end: [u8; END_BYTES] = end.try_into().unwrap();
        let read = |octets: &[u8]| {
            let mut parcel = ParcelDigest::begin(&head.encode());
            parcel.record(&record, octets);
            parcel
        };
        assert_eq!(read(b"abc").verify(&end, &key(5).public()), Ok(digest));
        assert_eq!(read(b"abd").verify(&end, &key(5).public()), Err(MoveFormError::Form));
        assert_eq!(read(b"abc").verify(&end, &key(6).public()), Err(MoveFormError::Signature));
    }

    #[test]
    fn what_only_a_cell_reads_does_not_travel() {
        for kind in [RecordKind::Escrow, RecordKind::AccountPin, RecordKind::LetterHead] {
            let record = RecordHead { kind, row: Row(0), length: 0 };
            let octets: [u8; RECORD_BYTES] = record.encode().try_into().unwrap();
            assert_eq!(RecordHead::decode(&octets), Err(MoveFormError::Form));
        }
    }

    #[test]
    fn a_discharge_is_of_one_move_and_by_the_cell_of_the_parcel() {
        let made = Discharge::sign(about(), Timestamp(7), Digest([8; 32]), &key(5));
        assert_eq!(made, Discharge::sign(about(), Timestamp(7), Digest([8; 32]), &key(5)));
        let text = made.text();
        let octets = hex::decode(text.strip_prefix("bailiwick-discharge 1 ").unwrap()).unwrap();
        assert_eq!(octets.len(), 192);
        let read = Discharge::read(&format!("{text}\n")).unwrap();
        assert_eq!(read.check(&about(), &key(5).public()), Ok(()));
        let other = Move { to: CellId([9; 16]), ..about() };
        assert_eq!(read.check(&other, &key(5).public()), Err(MoveFormError::Other));
        assert_eq!(read.check(&about(), &key(6).public()), Err(MoveFormError::Signature));
        assert_eq!(Acceptance::read(&text), Err(MoveFormError::Form));
        let altered = text.replace("0808", "0809");
        let altered = Discharge::read(&altered).unwrap();
        assert_eq!(altered.check(&about(), &key(5).public()), Err(MoveFormError::Signature));
        assert_eq!(Discharge::read(text.get(..text.len() - 2).unwrap()), Err(MoveFormError::Form));
        assert_eq!(Discharge::read(&format!("{text}00")), Err(MoveFormError::Form));
    }
}
