//! What is held and needs no holder: the records of an account that nobody but its owner opens,
//! as sealed as they are; and what the cell itself knows of a subscriber.
//!
//! Invariant: given out only under an order in force that names it, kind by kind and field by
//! field. Of letters nothing is given of which it is not clear that the period touches it.
//! Refs: specs/production.md §2.1, §2.2; specs/cell-rows.md §2, §8; Regulation (EU) 2023/1543
//! art. 3(9); 18 U.S.C. § 2703(c)(2).

use crate::command::{Answer, SealedRow};
use crate::desk::{Carried, Desk, count};
use crate::error::DeskError;
use crate::refusal::Lack;
use crate::scope::{Form, Scope, SubscriberField};
use custody::ciphertext::Reach;
use custody::{OrderEpoch, OrderRecord};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use store::{Batch, HoldId};
use vocab::{AccountId, CaseId, Custody, RecordKind, Row, Timestamp};

/// How far two letters may arrive in another order than they are stored in, in seconds: a slow
/// session ends after a quick one that began later.
const DISORDER_SECONDS: u64 = 3600;

/// What needs no holder, for the station to pack.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// The account's manifest as it is stored; empty if nothing is handed out sealed.
    #[serde(with = "crate::octets")]
    pub manifest: Vec<u8>,
    /// The epoch records of the order's months.
    pub epochs: Vec<SealedRow>,
    /// Rows of the letters' texts that are clearly of the order's period, ascending.
    pub bodies: Vec<u64>,
    /// Texts of which nothing clear says whether they are.
    pub undated: u64,
    /// What the cell knows of the subscriber, by the fields the order's scope names.
    pub subscriber: BTreeMap<SubscriberField, Value>,
}

/// A route's row (specs/cell-rows.md §2).
#[derive(Decode)]
struct Route {
    #[n(0)]
    address: String,
    #[cbor(n(1), with = "minicbor::bytes")]
    account: [u8; 16],
    #[n(2)]
    is_alias: bool,
}

/// A subscription's row (specs/cell-rows.md §8).
#[derive(Encode, Decode)]
struct Subscription {
    #[cbor(n(0), with = "minicbor::bytes")]
    account: [u8; 16],
    #[n(1)]
    created: u64,
}

fn subscription_row(account: AccountId) -> Row {
    // Accounts are chance, so their beginnings differ.
    Row(account.0.first_chunk().map_or(0, |head| u64::from_be_bytes(*head)))
}

/// Where a text lies against a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dated {
    Inside,
    Outside,
    Unknown,
}

/// Rows of texts ascend as letters arrive: the heads still there date those between them.
pub(crate) fn dated(
    row: u64,
    heads: &BTreeMap<u64, Timestamp>,
    (first, now): (Timestamp, Timestamp),
    order: &OrderRecord,
) -> Dated {
    if let Some(arrived) = heads.get(&row) {
        return if order.covers(*arrived) { Dated::Inside } else { Dated::Outside };
    }
    let before = heads.range(..row).next_back();
    let after = heads.range(row..).next();
    let earliest = before.map_or(first, |(_, at)| Timestamp(at.0.saturating_sub(DISORDER_SECONDS)));
    let last = after.map_or(now, |(_, at)| Timestamp(at.0.saturating_add(DISORDER_SECONDS)));
    // Where a clock was set back the two have changed places.
    let (earliest, latest) = (earliest.min(last), earliest.max(last));
    if order.from <= earliest && latest < order.until {
        Dated::Inside
    } else if latest < order.from || order.until <= earliest {
        Dated::Outside
    } else {
        Dated::Unknown
    }
}

impl Desk {
    /// Writes down since when an account exists; whoever makes an account calls it, and again
    /// after a failure: the first time counts. Blocks on the disk.
    ///
    /// # Errors
    /// [`DeskError::Read`], [`DeskError::Commit`].
    pub fn note_account(&self, account: AccountId, now: Timestamp) -> Result<(), DeskError> {
        let (kind, row) = (RecordKind::Subscription, subscription_row(account));
        if self.options.read.get(self.account(), kind, row)?.is_some() {
            return Ok(());
        }
        let known = Subscription { account: account.0, created: now.0 };
        let plain = minicbor::to_vec(&known).map_err(|_| DeskError::Damaged)?;
        let sealed = self.sealed(kind, row.0, &plain)?;
        let batch = Batch::new(self.account()).require_absent(kind, row).put(kind, row, sealed);
        self.options.append.commit_blocking(batch)?;
        Ok(())
    }

    /// Forgets since when an account exists: it is deleted.
    ///
    /// # Errors
    /// [`DeskError::Commit`].
    pub fn forget_account(&self, account: AccountId) -> Result<(), DeskError> {
        let (kind, row) = (RecordKind::Subscription, subscription_row(account));
        self.options.append.commit_blocking(Batch::new(self.account()).delete(kind, row))?;
        Ok(())
    }

    /// How many records, and octets, are kept of since when an account exists.
    ///
    /// # Errors
    /// [`DeskError::Read`].
    pub fn noted(&self, account: AccountId) -> Result<(u64, u64), DeskError> {
        let (kind, row) = (RecordKind::Subscription, subscription_row(account));
        let value = self.options.read.get(self.account(), kind, row)?;
        Ok(value.map_or((0, 0), |value| (1, count(value.len()))))
    }

    /// The months that holders open for a scope; none if nothing is opened, which is right only of
    /// what the cell reads itself and of an account in custody `sealed`.
    pub(crate) fn months_opened(
        &self,
        scope: &Scope,
        kept: Option<HoldId>,
    ) -> Result<Vec<OrderEpoch>, DeskError> {
        if scope.opens_account() {
            return self.epochs(scope, kept);
        }
        if scope.form == Form::Sealed {
            let manifest = self.manifest(scope.account)?;
            let manifest = manifest.ok_or(DeskError::Gone)?;
            if manifest.manifest().custody != Custody::Sealed {
                return Err(DeskError::Scope("holders open this account: its form is `opened`"));
            }
        }
        Ok(Vec::new())
    }

    /// See [`Held`].
    pub(crate) fn held(&self, at: &Carried<'_>, id: CaseId) -> Result<Answer, DeskError> {
        let (order, kept) = self.fetchable(at, id)?;
        let (_, scope) = at.case(id)?.order.as_ref().ok_or(DeskError::Lacks(Lack::Order))?;
        let mut held = Held::default();
        if let Some(reach) = self.reach(&order)? {
            held.epochs = self.epoch_records(&reach)?;
            (held.bodies, held.undated) = self.dated_bodies(&reach, kept, at.now)?;
            held.manifest = reach.manifest().as_bytes().to_vec();
        }
        for field in Scope::from_text(scope)?.fields {
            held.subscriber.insert(field, self.known(order.account, field)?);
        }
        Ok(Answer::Held { held: Box::new(held) })
    }

    /// What of an account an order reaches that hands out what is sealed; `None` for another.
    pub(crate) fn reach(&self, order: &OrderRecord) -> Result<Option<Reach>, DeskError> {
        if !order.hands_out_sealed() {
            return Ok(None);
        }
        let signed = self.manifest(order.account)?.ok_or(DeskError::Gone)?;
        let reach = Reach::new(order.clone(), signed);
        // Otherwise the account's custody has changed since the officers signed.
        let opened = "the account is no longer its owner's alone to open; prepare another order";
        reach.map(Some).map_err(|_| DeskError::Scope(opened))
    }

    fn epoch_records(&self, reach: &Reach) -> Result<Vec<SealedRow>, DeskError> {
        let mut out = Vec::new();
        let account = reach.order().account;
        for found in self.options.read.scan(account, RecordKind::EpochBox, Row(0)) {
            let (row, value) = found?;
            if reach.line(RecordKind::EpochBox, row.0, &value).is_ok() {
                out.push(SealedRow { row: row.0, value: value.to_vec() });
            }
        }
        Ok(out)
    }

    fn dated_bodies(
        &self,
        reach: &Reach,
        kept: Option<HoldId>,
        now: Timestamp,
    ) -> Result<(Vec<u64>, u64), DeskError> {
        let order = reach.order();
        let heads = self.arrivals(order.account, kept)?;
        let first = self.first_month(order.account)?;
        let (mut bodies, mut undated) = (Vec::new(), 0_u64);
        for row in self.places(order.account, RecordKind::LetterBody, 0, kept)? {
            match dated(row, &heads, (first, now), order) {
                Dated::Inside => bodies.push(row),
                Dated::Outside => {}
                Dated::Unknown => undated = undated.saturating_add(1),
            }
        }
        Ok((bodies, undated))
    }

    /// Rows of this kind from `from` on, those of the preservation among them.
    pub(crate) fn places(
        &self,
        account: AccountId,
        kind: RecordKind,
        from: u64,
        kept: Option<HoldId>,
    ) -> Result<BTreeSet<u64>, DeskError> {
        let mut places = BTreeSet::new();
        for found in self.options.preserve.rows(account, kind, Row(from)) {
            places.insert(found?.0.0);
        }
        let Some(kept) = kept else { return Ok(places) };
        for found in self.options.preserve.held(kept) {
            let held = found?;
            if (held.account, held.kind) == (account, kind) && held.row.0 >= from {
                places.insert(held.row.0);
            }
        }
        Ok(places)
    }

    /// One field, read from the one kind of record it is kept in.
    fn known(&self, account: AccountId, field: SubscriberField) -> Result<Value, DeskError> {
        match field {
            SubscriberField::Account => Ok(json!(account.to_string())),
            SubscriberField::Addresses => self.addresses(account),
            SubscriberField::Created => self.created(account),
            SubscriberField::Service => {
                // Of an account that was deleted it is not known any more.
                let Some(manifest) = self.manifest(account)? else { return Ok(Value::Null) };
                let custody = match manifest.manifest().custody {
                    Custody::Sealed => "sealed",
                    Custody::Trustee => "trustee",
                    Custody::Managed => "managed",
                };
                Ok(json!({ "kind": "electronic mail", "custody": custody }))
            }
        }
    }

    fn addresses(&self, account: AccountId) -> Result<Value, DeskError> {
        let mut out = BTreeMap::new();
        for found in self.options.read.scan(self.account(), RecordKind::Route, Row(0)) {
            let (row, value) = found?;
            let plain = self.unseal(RecordKind::Route, row, &value)?;
            let route: Route = minicbor::decode(&plain).map_err(|_| DeskError::Damaged)?;
            if route.account == account.0 {
                out.insert((route.is_alias, route.address.clone()), ());
            }
        }
        let line =
            |(is_alias, address): &(bool, String)| json!({ "address": address, "alias": is_alias });
        Ok(out.keys().map(line).collect())
    }

    fn created(&self, account: AccountId) -> Result<Value, DeskError> {
        let (kind, row) = (RecordKind::Subscription, subscription_row(account));
        let Some(value) = self.options.read.get(self.account(), kind, row)? else {
            return Ok(Value::Null);
        };
        let plain = self.unseal(kind, row, &value)?;
        let known: Subscription = minicbor::decode(&plain).map_err(|_| DeskError::Damaged)?;
        let ours = Some(known.created).filter(|_| known.account == account.0);
        Ok(json!(ours))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocab::{DataCategory, Keeper};

    #[test]
    fn no_field_of_a_subscriber_is_read_from_content_or_traffic() {
        for field in SubscriberField::ALL {
            let holding = field.kind().holding();
            let by_cell = holding.keeper == Keeper::Cell
                && holding.category == Some(DataCategory::Subscriber);
            let about_nobody = holding.keeper == Keeper::Clear && holding.category.is_none();
            assert!(by_cell || about_nobody, "{}: {}", field.word(), holding.name);
        }
    }

    #[test]
    fn a_subscription_is_written_as_specified() {
        let known = Subscription { account: [1; 16], created: 1_795_219_200 };
        let octets = custody::hex::encode(&minicbor::to_vec(&known).unwrap());
        assert_eq!(octets, format!("8250{}1a6b00df00", "01".repeat(16)));
        assert_eq!(subscription_row(AccountId([1; 16])), Row(0x0101_0101_0101_0101));
    }

    #[test]
    fn the_cell_keeps_no_identifying_data() {
        // The statement of a production says so.
        let kept = RecordKind::ALL
            .iter()
            .any(|kind| kind.holding().category == Some(DataCategory::Identifying));
        assert!(!kept);
    }

    fn order(from: u64, until: u64) -> OrderRecord {
        OrderRecord {
            version: 1,
            case: CaseId([0; 16]),
            cell: vocab::CellId([0; 16]),
            account: AccountId([0; 16]),
            demand: vocab::Digest([0; 32]),
            scope: vocab::Digest([0; 32]),
            authority: String::new(),
            basis: String::new(),
            epochs: vec![],
            kinds: vec![],
            from: Timestamp(from),
            until: Timestamp(until),
            not_before: Timestamp(0),
            valid_until: Timestamp(0),
            secret_until: None,
            recipient: vec![],
            register: vocab::Digest([0; 32]),
        }
    }

    #[test]
    fn a_text_without_a_head_is_dated_by_those_around_it_or_not_at_all() {
        const HOUR: u64 = 3600;
        let heads = [(10, 100 * HOUR), (20, 200 * HOUR)];
        let heads: BTreeMap<u64, Timestamp> =
            heads.into_iter().map(|(row, at)| (row, Timestamp(at))).collect();
        let life = (Timestamp(50 * HOUR), Timestamp(300 * HOUR));
        let find = |row, from, until| dated(row, &heads, life, &order(from * HOUR, until * HOUR));
        assert_eq!(find(10, 100, 101), Dated::Inside, "its own head says so");
        assert_eq!(find(10, 101, 250), Dated::Outside);
        assert_eq!(find(15, 99, 202), Dated::Inside);
        assert_eq!(find(15, 100, 202), Dated::Unknown, "a slow session may have begun before");
        assert_eq!(find(15, 150, 160), Dated::Unknown);
        assert_eq!(find(15, 202, 250), Dated::Outside);
        assert_eq!(find(5, 50, 102), Dated::Inside, "the account is no older");
        assert_eq!(find(5, 51, 102), Dated::Unknown);
        assert_eq!(find(25, 199, 301), Dated::Inside, "nothing is newer than now");
        assert_eq!(find(25, 199, 300), Dated::Unknown);
        assert_eq!(find(25, 60, 199), Dated::Outside);
        // The clock was set back: nothing is clear between the two.
        let heads = BTreeMap::from([(10, Timestamp(200 * HOUR)), (20, Timestamp(100 * HOUR))]);
        let find = |from, until| dated(15, &heads, life, &order(from * HOUR, until * HOUR));
        assert_eq!(find(150, 250), Dated::Unknown);
        assert_eq!(find(50, 250), Dated::Inside);
    }
}
