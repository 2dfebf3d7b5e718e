//! Leaves under non-disclosure orders: batches of one size, and their opening when the time comes.
//!
//! Invariant: neither the number of sealed leaves, nor their time, nor the day they are to be
//! opened says whether any of them is real; each of them, real or not, is opened in time, or kept
//! sealed longer with all that have its day.
//! Refs: specs/log-entry.md §6, §7.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use custody::{Act, Draft, FieldId, Leaf, LeafOpening};
use seal::Entropy;
use vocab::{RecordKind, Row, Timestamp};

use super::keeper::{Item, Keeper, kept};

const DAY_SECONDS: u64 = 86_400;
/// Every sealed leaf is to be opened on the same day of its age, whatever its order says; an
/// order that ends sooner opens it sooner. Below the 744 days that the format allows by more
/// than a leaf can have waited for its batch.
const OPEN_AFTER_DAYS: u64 = 720;
/// How long before their day sealed leaves are opened, or kept sealed longer.
const OPEN_EARLY_SECONDS: u64 = 2 * DAY_SECONDS;
/// Other leaves that one leaf can name (specs/log-entry.md §8).
const NAMED_PER_LEAF: usize = 30;

/// The day of whatever is sealed now.
fn open_by(now: Timestamp) -> Timestamp {
    let day = now.0 - now.0 % DAY_SECONDS;
    Timestamp(day.saturating_add(OPEN_AFTER_DAYS * DAY_SECONDS))
}

impl Keeper {
    /// Writes one batch: the real ones, and dummies up to `size`, in random order. Returns the
    /// index of each real one, in the order given. More than `size` are left for the next batch
    /// by the caller.
    pub(crate) async fn append_batch(&self, real: Vec<Item>, size: usize) -> Result<Vec<u64>> {
        let now = self.options.clock.now();
        let open_by = Some(open_by(now));
        let count = real.len();
        let mut items: Vec<(usize, Item)> = real.into_iter().enumerate().collect();
        for place in items.len()..size {
            let draft = Draft::dummy(now);
            items.push((place, Item { draft, open_by, about: None }));
        }
        for (_, item) in &mut items {
            item.open_by = open_by;
        }
        shuffle(&mut items, self.options.entropy.as_ref());
        let (places, items): (Vec<usize>, Vec<Item>) = items.into_iter().unzip();
        let indexes = self.append(items).await?;
        let mut found: Vec<(usize, u64)> = places.into_iter().zip(indexes).collect();
        found.sort_unstable();
        Ok(found.into_iter().take(count).map(|(_, index)| index).collect())
    }

    /// Opens sealed leaves: they are named by leaves of their own, then their openings published.
    /// A crash between the two is mended at the next round, by naming them again; the other way
    /// round a published opening would pass for one that the log names.
    pub(crate) async fn open_leaves(&self, mut indexes: Vec<u64>) -> Result<()> {
        indexes.sort_unstable();
        indexes.dedup();
        for group in indexes.chunks(NAMED_PER_LEAF) {
            let (mut opened, mut texts) = (Vec::new(), Vec::new());
            for index in group {
                let kept = kept(&self.options, Row(*index))?.context("the log has no such leaf")?;
                let opening: LeafOpening = serde_json::from_slice(&kept.opening)?;
                opened.push((*index, opening.digest()));
                texts.push((*index, kept.opening));
            }
            let draft = custody::acts::opened(self.options.clock.now(), &opened);
            self.append(vec![Item { draft, open_by: None, about: None }]).await?;
            for (index, text) in texts {
                self.options.files.publish_opening(index, &text)?;
            }
        }
        Ok(())
    }

    /// Those of these leaves that are sealed and not opened.
    pub(crate) fn still_sealed(&self, indexes: Vec<u64>) -> Result<Vec<u64>> {
        let mut out = Vec::new();
        for index in indexes {
            let kept = kept(&self.options, Row(index))?.context("the log has no such leaf")?;
            let sealed = Leaf::decode(&kept.leaf)?.act.is_none();
            if sealed && self.options.files.opening(index)?.is_none() {
                out.push(index);
            }
        }
        Ok(out)
    }

    /// Opens every sealed leaf whose day has come, but those of a day on which one is that `secret`
    /// names: all of such a day are kept sealed longer, and the log says so
    /// (specs/log-entry.md §7).
    pub(crate) async fn open_due(&self, secret: &BTreeSet<u64>) -> Result<()> {
        let limit = self.options.clock.now().0.saturating_add(OPEN_EARLY_SECONDS);
        let mut due = self.days()?;
        due.retain(|_, day| day.0 <= limit);
        let mut sealed = Vec::new();
        for (index, day) in due {
            if self.options.files.opening(index)?.is_none() {
                sealed.push((index, day));
            }
        }
        let bound = sealed.iter().filter(|(index, _)| secret.contains(index));
        let bound: BTreeSet<Timestamp> = bound.map(|(_, day)| *day).collect();
        let (kept, ended): (Vec<_>, Vec<_>) =
            sealed.into_iter().partition(|(_, day)| bound.contains(day));
        self.keep_sealed(kept.into_iter().map(|(index, _)| index).collect()).await?;
        self.open_leaves(ended.into_iter().map(|(index, _)| index).collect()).await
    }

    /// The day of every leaf that was written sealed: its own, or the one it was kept until.
    fn days(&self) -> Result<BTreeMap<u64, Timestamp>> {
        let mut days = BTreeMap::new();
        let leaves = self.options.read.scan(self.options.account, RecordKind::LogLeaf, Row(0));
        for found in leaves {
            let (row, _) = found?;
            let Some(kept) = kept(&self.options, row)? else { continue };
            let leaf = Leaf::decode(&kept.leaf)?;
            days.extend(leaf.open_by().map(|day| (row.0, day)));
            if leaf.act == Some(Act::SecrecyRenewed) {
                let until = leaf.public(FieldId::VALID_UNTIL).and_then(number);
                let named = leaf.public.iter().filter(|field| field.id == FieldId::INDEX);
                for index in named.filter_map(|field| number(&field.value)) {
                    days.extend(until.map(|until| (index, Timestamp(until))));
                }
            }
        }
        Ok(days)
    }

    /// Names leaves that stay sealed until a day as far from now as that of a new one.
    async fn keep_sealed(&self, indexes: Vec<u64>) -> Result<()> {
        let now = self.options.clock.now();
        let item = |group: &[u64]| {
            let draft = custody::acts::secrecy_renewed(now, open_by(now), group);
            Item { draft, open_by: None, about: None }
        };
        self.append(indexes.chunks(NAMED_PER_LEAF).map(item).collect()).await?;
        Ok(())
    }
}

fn number(value: &[u8]) -> Option<u64> {
    value.try_into().ok().map(u64::from_be_bytes)
}

/// Fisher and Yates, with chance that nobody can foresee.
fn shuffle<T>(items: &mut [T], entropy: &dyn Entropy) {
    for last in (1..items.len()).rev() {
        let mut octets = [0; 16];
        entropy.fill(&mut octets);
        // 128 bits over a few places: the bias is not measurable.
        let choice = u128::from_be_bytes(octets) % (u128::try_from(last).unwrap_or(0) + 1);
        items.swap(last, usize::try_from(choice).unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_keeps_everything_and_reaches_every_order() {
        let mut seen = BTreeSet::new();
        for _ in 0..200 {
            let mut items = [1, 2, 3];
            shuffle(&mut items, &crate::entropy::OsEntropy);
            let mut sorted = items;
            sorted.sort_unstable();
            assert_eq!(sorted, [1, 2, 3]);
            seen.insert(items);
        }
        assert_eq!(seen.len(), 6);
    }
}
