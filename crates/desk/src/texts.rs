//! Which texts of letters a station is handed: those that the order's period and months can need.
//!
//! Invariant: nothing clear is in a sealed text but its row, so this is a bound and no more: what
//! lies between heads of another time, beside a row of another month, or beyond the number of
//! letters that the order names stays in the store. What the station may open is custody's to say.
//! Refs: specs/mail-rows.md §4; specs/production.md §2.1.

use crate::command::SealedKind;
use crate::desk::{Carried, Desk, count};
use crate::error::DeskError;
use crate::held::{Dated, dated};
use crate::refusal::Beyond;
use custody::OrderRecord;
use seal::epoch::{STANDING, begins};
use seal::letter::LetterHeader;
use seal::row;
use std::collections::{BTreeMap, BTreeSet};
use store::HoldId;
use vocab::{AccountId, CaseId, Digest, RecordKind, Timestamp};

/// Texts in rows from here on were put there by their owner; the other bits are the number of the
/// row of the message (specs/mail-rows.md §4).
const OWN_TEXTS: u64 = 1 << 63;

/// What is known, for one order, of the texts of its account.
pub(crate) struct Texts {
    order: Digest,
    /// Arrivals of the letters not fetched yet, by row.
    heads: BTreeMap<u64, Timestamp>,
    /// Nothing arrived before.
    first: Timestamp,
    /// How many letters the order may name, if they are opened to see which.
    letters: u64,
    /// Rows of the texts handed out.
    given: BTreeSet<u64>,
}

impl Desk {
    /// Arrivals of the letters not fetched yet, by row, those of the preservation among them.
    pub(crate) fn arrivals(
        &self,
        account: AccountId,
        kept: Option<HoldId>,
    ) -> Result<BTreeMap<u64, Timestamp>, DeskError> {
        let mut heads = BTreeMap::new();
        for row in self.places(account, RecordKind::LetterHead, 0, kept)? {
            let value = self.sealed_value(account, RecordKind::LetterHead, row, kept)?;
            if let Some(Ok(header)) = value.map(|value| LetterHeader::read(&value)) {
                heads.insert(row, header.arrived);
            }
        }
        Ok(heads)
    }

    /// When an account's first month begins: before it had no key to seal to.
    pub(crate) fn first_month(&self, account: AccountId) -> Result<Timestamp, DeskError> {
        let manifest = self.manifest(account)?.ok_or(DeskError::Gone)?;
        let months = manifest.manifest().epochs.iter().map(|entry| entry.epoch);
        Ok(months.filter(|epoch| *epoch != STANDING).min().map_or(Timestamp(0), begins))
    }

    /// Refuses a text that no letter of the order can have.
    pub(crate) fn needed(
        &self,
        at: &mut Carried<'_>,
        id: CaseId,
        (order, kept): (&OrderRecord, Option<HoldId>),
        text: u64,
    ) -> Result<(), DeskError> {
        let (record, _) = at.case(id)?.order.as_ref().ok_or(DeskError::Damaged)?;
        let digest = OrderRecord::digest(record);
        let known = at.inner.texts.get(&id).is_some_and(|texts| texts.order == digest);
        if !known {
            let texts = self.texts(order, digest, kept)?;
            at.inner.texts.insert(id, texts);
        }
        let texts = at.inner.texts.get(&id).ok_or(DeskError::Damaged)?;
        let again = texts.given.contains(&text);
        let place = dated(text, &texts.heads, (texts.first, at.now), order);
        let within = if !order.opens_account() {
            // The station is told which, and they are these.
            place == Dated::Inside
        } else if text < OWN_TEXTS {
            place != Dated::Outside
        } else {
            self.own_text(order, text, kept)?
        };
        let left = again || !order.opens_account() || count(texts.given.len()) < texts.letters;
        if !within || !left {
            return Err(DeskError::Outside(Beyond::Text));
        }
        at.inner.texts.get_mut(&id).ok_or(DeskError::Damaged)?.given.insert(text);
        Ok(())
    }

    /// Whether a text that its owner put there can be one of the order's months: its message row
    /// says so, unless that is gone and a copy of it elsewhere names the text.
    fn own_text(
        &self,
        order: &OrderRecord,
        text: u64,
        kept: Option<HoldId>,
    ) -> Result<bool, DeskError> {
        let row = text & !OWN_TEXTS;
        let value = self.sealed_value(order.account, RecordKind::Message, row, kept)?;
        if value.is_none() {
            return Ok(true);
        }
        let place = (RecordKind::Message, row);
        let months = |header: row::RowHeader| order.epoch(header.epoch, header.version).is_some();
        let is_named = |value: &[u8]| row::header(value).is_ok_and(months);
        Ok(self.named_value(order.account, place, kept, is_named)?.is_some())
    }

    fn texts(
        &self,
        order: &OrderRecord,
        digest: Digest,
        kept: Option<HoldId>,
    ) -> Result<Texts, DeskError> {
        let heads = self.arrivals(order.account, kept)?;
        let mut letters = count(heads.values().filter(|arrived| order.covers(**arrived)).count());
        if order.opens_account() {
            for row in self.places(order.account, RecordKind::Message, 0, kept)? {
                let is_named = |value: &[u8]| self.named(order, None, SealedKind::Message, value);
                let place = (RecordKind::Message, row);
                let value = self.named_value(order.account, place, kept, is_named)?;
                letters = letters.saturating_add(u64::from(value.is_some()));
            }
        }
        let first = self.first_month(order.account)?;
        Ok(Texts { order: digest, heads, first, letters, given: BTreeSet::new() })
    }
}
