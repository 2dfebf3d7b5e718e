//! The day each unlocker last served, so that its owner notices what is used by nobody, or by
//! somebody else.
//!
//! Invariant: days and no times; one row for an account, which only its owner opens; of unlockers
//! that are gone nothing stays.
//! Refs: specs/mail-rows.md §6.

use std::collections::BTreeMap;

use custody::user::Unlocked;
use minicbor::{Decode, Encode};
use seal::row::header;
use seal::slot::SlotRecord;
use store::Batch;
use vocab::{ModSeq, RecordKind, Row, SlotId, Timestamp};

use super::KeystoreError;
use super::keystore::Keystores;

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

impl Keystores {
    /// Notes that the unlocker served now. One commit a day.
    pub(super) async fn note_use(
        &self,
        unlocked: &Unlocked,
        now: Timestamp,
    ) -> Result<(), KeystoreError> {
        let (account, slot, day) = (unlocked.account(), unlocked.slot(), now.0 / DAY_SECONDS);
        if self.last_uses(unlocked)?.get(&slot) == Some(&Timestamp(day * DAY_SECONDS)) {
            return Ok(());
        }
        let _changing = self.changing.lock().await;
        let (change, before) = self.uses(unlocked)?;
        let mut uses: BTreeMap<[u8; 16], u64> =
            before.into_iter().map(|last| (last.slot, last.day)).collect();
        uses.insert(slot.0, day);
        let known: Vec<_> = unlocked.locked().slots().iter().map(SlotRecord::slot).collect();
        uses.retain(|slot, _| known.contains(&SlotId(*slot)));
        let uses = uses.into_iter().map(|(slot, day)| Use { slot, day }).collect();
        let plain = crate::mailbox::encode(&UsesRow { uses });
        let keys = unlocked.standing_rows(None).map_err(|_| KeystoreError::Failed)?;
        let change = ModSeq(change.saturating_add(1));
        let sealed = keys.seal(KIND, ROW, change, &plain, self.entropy.as_ref());
        let sealed = sealed.map_err(|_| KeystoreError::Failed)?;
        self.append.commit(Batch::new(account).put(KIND, ROW, sealed)).await?;
        Ok(())
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
    fn uses(&self, unlocked: &Unlocked) -> Result<(u64, Vec<Use>), KeystoreError> {
        let sealed = self.read.get(unlocked.account(), KIND, ROW)?;
        Ok(sealed.and_then(|sealed| open(unlocked, &sealed)).unwrap_or_default())
    }
}

fn open(unlocked: &Unlocked, sealed: &[u8]) -> Option<(u64, Vec<Use>)> {
    let keys = unlocked.standing_rows(Some(header(sealed).ok()?.version)).ok()?;
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
