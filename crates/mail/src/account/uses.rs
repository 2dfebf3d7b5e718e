//! The day each unlocker last served, so that its owner notices what is used by nobody, or by
//! somebody else.
//!
//! Invariant: days and no times; one row for an account, which only its owner opens; of unlockers
//! that are gone nothing stays.
//! Refs: specs/mail-rows.md §6.

use std::collections::BTreeMap;

use custody::user::{AccountKeys, Record, Unlocked};
use minicbor::{Decode, Encode};
use seal::epoch::STANDING;
use seal::row::{RowKeys, header};
use seal::slot::SlotRecord;
use vocab::{AccountId, Digest, EpochVersion, ModSeq, RecordKind, Row, SlotId, Timestamp};

use super::KeystoreError;
use super::keystore::Keystores;
use super::mark::standing;

const KIND: RecordKind = RecordKind::UnlockerUse;
const ROW: Row = Row(0);
const DAY_SECONDS: u64 = 24 * 3600;

#[derive(Default, Clone, PartialEq, Eq, Encode, Decode)]
struct UsesRow {
    #[n(0)]
    uses: Vec<Use>,
}

#[derive(Clone, PartialEq, Eq, Encode, Decode)]
struct Use {
    #[cbor(n(0), with = "minicbor::bytes")]
    slot: [u8; 16],
    /// Days since 1970-01-01, UTC.
    #[n(1)]
    day: u64,
}

/// An account that is open, by a secret shown here or by a grant.
pub(super) trait Opened: Sync {
    fn account(&self) -> AccountId;
    /// Of the manifest that lists its keys.
    fn digest(&self) -> Digest;
    /// Its row keys of epoch 0, in this version or the highest.
    fn standing(&self, version: Option<EpochVersion>) -> Option<RowKeys>;
}

impl Opened for Unlocked {
    fn account(&self) -> AccountId {
        self.account()
    }

    fn digest(&self) -> Digest {
        self.locked().digest()
    }

    fn standing(&self, version: Option<EpochVersion>) -> Option<RowKeys> {
        self.standing_rows(version).ok()
    }
}

impl Opened for AccountKeys {
    fn account(&self) -> AccountId {
        self.account()
    }

    fn digest(&self) -> Digest {
        self.manifest().1
    }

    fn standing(&self, version: Option<EpochVersion>) -> Option<RowKeys> {
        let keys = match version {
            Some(version) => self.epoch(STANDING, version),
            None => self.standing(),
        };
        RowKeys::of_epoch(keys.ok()?).ok()
    }
}

impl Keystores {
    /// Notes that an unlocker served now. One commit a day.
    pub(super) async fn note_use(
        &self,
        opened: &impl Opened,
        slot: SlotId,
        now: Timestamp,
    ) -> Result<(), KeystoreError> {
        let (account, day) = (opened.account(), now.0 / DAY_SECONDS);
        let is_noted = |last: &Use| last.slot == slot.0 && last.day == day;
        if self.uses(opened)?.1.iter().any(is_noted) {
            return Ok(());
        }
        let _changing = self.changing.lock().await;
        let locked = self.locked(account)?;
        if locked.digest() != opened.digest() {
            // Its keys may be going: the next login notes it.
            return Ok(());
        }
        let (change, before) = self.uses(opened)?;
        let mut uses: BTreeMap<[u8; 16], u64> =
            before.into_iter().map(|last| (last.slot, last.day)).collect();
        uses.insert(slot.0, day);
        let known: Vec<_> = locked.slots().iter().map(SlotRecord::slot).collect();
        uses.retain(|slot, _| known.contains(&SlotId(*slot)));
        let uses = uses.into_iter().map(|(slot, day)| Use { slot, day }).collect();
        let Record { kind, row, bytes } = self.sealed_uses(opened, change, uses)?;
        self.append.commit(standing(account).put(kind, row, bytes)).await?;
        Ok(())
    }

    /// The same, sealed under the present keys; `None` if there is nothing.
    pub(super) fn renewed_uses(
        &self,
        unlocked: &Unlocked,
    ) -> Result<Option<Record>, KeystoreError> {
        let (change, uses) = self.uses(unlocked)?;
        let is_any = !uses.is_empty();
        is_any.then(|| self.sealed_uses(unlocked, change, uses)).transpose()
    }

    fn sealed_uses(
        &self,
        opened: &impl Opened,
        change: u64,
        uses: Vec<Use>,
    ) -> Result<Record, KeystoreError> {
        let plain = crate::mailbox::encode(&UsesRow { uses });
        let keys = opened.standing(None).ok_or(KeystoreError::Failed)?;
        let change = ModSeq(change.saturating_add(1));
        let sealed = keys.seal(KIND, ROW, change, &plain, self.entropy.as_ref());
        let bytes = sealed.map_err(|_| KeystoreError::Failed)?;
        Ok(Record { kind: KIND, row: ROW, bytes })
    }

    /// The beginning of the day on which each unlocker last served; those that never did are not
    /// there.
    ///
    /// # Errors
    /// [`KeystoreError::Failed`].
    pub fn last_uses(
        &self,
        unlocked: &Unlocked,
    ) -> Result<BTreeMap<SlotId, Timestamp>, KeystoreError> {
        let (_, uses) = self.uses(unlocked)?;
        let last = |last: Use| (SlotId(last.slot), Timestamp(last.day.saturating_mul(DAY_SECONDS)));
        Ok(uses.into_iter().map(last).collect())
    }

    /// A row that somebody else wrote counts as none, and makes way for the next.
    fn uses(&self, opened: &impl Opened) -> Result<(u64, Vec<Use>), KeystoreError> {
        let sealed = self.read.get(opened.account(), KIND, ROW)?;
        Ok(sealed.and_then(|sealed| open(opened, &sealed)).unwrap_or_default())
    }
}

fn open(opened: &impl Opened, sealed: &[u8]) -> Option<(u64, Vec<Use>)> {
    let keys = opened.standing(Some(header(sealed).ok()?.version))?;
    let (change, plain) = keys.open(KIND, ROW, sealed).ok()?;
    let held: UsesRow = minicbor::decode(&plain).ok()?;
    Some((change.0, held.uses))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_uses_are_written_as_specified() {
        // specs/mail-rows.md §7
        let uses = vec![Use { slot: [2; 16], day: 20_778 }];
        let octets = crate::mailbox::encode(&UsesRow { uses });
        let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        let expected = ["81818250", &"02".repeat(16), "19512a"].concat();
        assert_eq!(hex, expected);
    }
}
