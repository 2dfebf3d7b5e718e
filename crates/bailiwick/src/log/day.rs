//! The day's pins: what every account had come to, kept by the cell and vouched for by one leaf.
//!
//! Who puts a whole account back while the cell is stopped, pins and all, would have to put these
//! rows back too; and then the log that vouches for them, which its witnesses hold.
//!
//! Invariant: the rows are on disk before their leaf; no line ever goes back.
//! Refs: specs/cell-rows.md §9; specs/log-entry.md §8.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use custody::{Act, DAY_LINE_OCTETS, DayLine, FieldId, Leaf, Pin, PinOf, day_digest};
use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};
use store::{Batch, Read, ReadError};
use vocab::{AccountId, Digest, ModSeq, RecordKind, Row};

use super::keeper::{Item, Keeper, kept};

const DAY_SECONDS: u64 = 86_400;
/// Lines of one row.
const LINES_MAX: usize = 100_000;
const KIND: RecordKind = RecordKind::AccountPin;

#[derive(Encode, Decode)]
struct PartRow {
    #[n(0)]
    salt: ByteArray<32>,
    #[n(1)]
    lines: ByteVec,
}

/// A day's lines, and which day it was.
struct Day {
    day: u64,
    lines: Vec<DayLine>,
}

/// A day's rows, sealed, and their digest.
struct Gathered {
    rows: Vec<(Row, Vec<u8>)>,
    digest: Digest,
}

impl Keeper {
    /// Writes down what every account has come to, unless that was done today.
    pub(crate) async fn pin_day(self: &Arc<Self>) -> Result<()> {
        let now = self.options.clock.now();
        let today = now.0 / DAY_SECONDS;
        let keeper = Arc::clone(self);
        let gathered = tokio::task::spawn_blocking(move || keeper.gather(today)).await??;
        let Some(Gathered { rows, digest }) = gathered else { return Ok(()) };
        // A try earlier today that got no leaf may have had more rows.
        self.forget(|row| row.0 >= today << 16).await?;
        for (row, sealed) in rows {
            let batch = Batch::new(self.options.account).put(KIND, row, sealed);
            self.options.append.commit(batch).await?;
        }
        let draft = custody::acts::day(now, digest);
        self.append(vec![Item { draft, open_by: None, about: None }]).await?;
        self.forget(|row| row.0 < today << 16).await
    }

    /// Deletes rows of days.
    async fn forget(&self, which: impl Fn(Row) -> bool) -> Result<()> {
        let mut batch = Batch::new(self.options.account);
        for found in self.options.read.scan(self.options.account, KIND, Row(0)) {
            let (row, _) = found?;
            if which(row) {
                batch = batch.delete(KIND, row);
            }
        }
        if !batch.is_empty() {
            self.options.append.commit(batch).await?;
        }
        Ok(())
    }

    /// The rows of today and their digest; `None` if today's leaf is there.
    fn gather(&self, today: u64) -> Result<Option<Gathered>> {
        let last = self.last_day()?;
        if last.as_ref().is_some_and(|last| last.day >= today) {
            return Ok(None);
        }
        let mut lines: BTreeMap<AccountId, DayLine> = BTreeMap::new();
        for found in self.options.read.accounts() {
            let (account, _) = found?;
            lines.extend(self.line(account)?.map(|line| (account, line)));
        }
        for before in last.map(|last| last.lines).unwrap_or_default() {
            // Gone accounts keep no line. One that was put back keeps its later one, and so does one
            // whose pins were taken away: they could be put back on another day.
            if self.options.read.usage(before.account)?.records > 0 {
                let line = lines.entry(before.account).or_insert(before);
                *line = line.later(before);
            }
        }
        let mut salt = [0; 32];
        self.options.entropy.fill(&mut salt);
        let lines: Vec<Vec<u8>> = lines.values().map(DayLine::encode).collect();
        let digest = day_digest(&salt, lines.iter().map(Vec::as_slice));
        let parts: Vec<Vec<u8>> = lines.chunks(LINES_MAX).map(<[_]>::concat).collect();
        // A cell without accounts has a day too.
        let parts = if parts.is_empty() { vec![Vec::new()] } else { parts };
        let rows = (today << 16..).map(Row).zip(parts);
        let rows = rows.map(|(row, part)| Ok((row, self.seal_part(row, salt, part)?)));
        Ok(Some(Gathered { rows: rows.collect::<Result<_>>()?, digest }))
    }

    fn seal_part(&self, row: Row, salt: [u8; 32], lines: Vec<u8>) -> Result<Vec<u8>> {
        let part = PartRow { salt: salt.into(), lines: lines.into() };
        let plain = minicbor::to_vec(&part).map_err(|_| anyhow::anyhow!("pins not encoded"))?;
        let entropy = self.options.entropy.as_ref();
        Ok(self.options.rows.seal(KIND, row, ModSeq(0), &plain, entropy)?)
    }

    /// What an account has come to by its own pins; `None` without a keystore.
    fn line(&self, account: AccountId) -> Result<Option<DayLine>> {
        let Some(keystore) = self.pin(PinOf::Keystore, account)? else { return Ok(None) };
        let none = Pin { number: 0, digest: Digest([0; 32]) };
        let rows = self.pin(PinOf::Anchor, account)?.unwrap_or(none);
        Ok(Some(DayLine { account, keystore, rows }))
    }

    fn pin(&self, of: PinOf, account: AccountId) -> Result<Option<Pin>> {
        let read: &Read = &self.options.read;
        let sealed = match read.get(account, KIND, of.row(account)) {
            // One account's is no reason to keep nobody's.
            Err(ReadError::Damaged { .. }) => None,
            sealed => sealed?,
        };
        Ok(sealed.and_then(|sealed| Pin::open(of, account, &self.options.rows, &sealed)))
    }

    /// The digest that the last leaf of act 8 holds.
    fn vouched(&self) -> Result<Option<Digest>> {
        let mut vouched = None;
        let leaves = self.options.read.scan(self.options.account, RecordKind::LogLeaf, Row(0));
        for found in leaves {
            let (row, _) = found?;
            let Some(kept) = kept(&self.options, row)? else { continue };
            let leaf = Leaf::decode(&kept.leaf)?;
            if leaf.act == Some(Act::DailyRoot) {
                let subject = leaf.public(FieldId::SUBJECT).context("a day's leaf says nothing")?;
                vouched = Some(Digest(subject.try_into()?));
            }
        }
        Ok(vouched)
    }

    /// What the log's last leaf of act 8 vouches for; `None` before the first.
    fn last_day(&self) -> Result<Option<Day>> {
        let Some(vouched) = self.vouched()? else { return Ok(None) };
        let mut days: BTreeMap<u64, ([u8; 32], Vec<Vec<u8>>)> = BTreeMap::new();
        for found in self.options.read.scan(self.options.account, KIND, Row(0)) {
            let (row, sealed) = found?;
            let (_, plain) = self.options.rows.open(KIND, row, &sealed)?;
            let part: PartRow = minicbor::decode(&plain)?;
            let (salt, lines) = days.entry(row.0 >> 16).or_default();
            *salt = *part.salt;
            lines.extend(part.lines.chunks(DAY_LINE_OCTETS).map(<[u8]>::to_vec));
        }
        let is_vouched = |(_, (salt, lines)): &(u64, ([u8; 32], Vec<Vec<u8>>))| {
            day_digest(salt, lines.iter().map(Vec::as_slice)) == vouched
        };
        let (day, (_, lines)) = days.into_iter().find(is_vouched).context(
            "the pins of the day are not those the log vouches for: somebody else has written to \
             the data folder\n  cure: restore it from a backup",
        )?;
        let lines = lines.iter().map(|line| DayLine::decode(line).context("not a day's pin"));
        Ok(Some(Day { day, lines: lines.collect::<Result<_>>()? }))
    }

    /// The lines that the log's last leaf of act 8 vouches for; none before the first. Blocks on
    /// the disk.
    pub(crate) fn day_pins(&self) -> Result<Vec<DayLine>> {
        Ok(self.last_day()?.map(|last| last.lines).unwrap_or_default())
    }
}
