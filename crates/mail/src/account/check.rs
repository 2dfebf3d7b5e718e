//! Looking through a whole account: what its owner can be told of it, and what can be done.
//!
//! Invariant: reads everything and changes nothing; the one change, [`Account::accept`], is the
//! owner's own word that what is there is what they go on with.
//! Refs: specs/bw1.md §7.4, §8.4, §10.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use seal::letter::Chain;
use store::ReadError;
use vocab::{RecordKind, Row};

use super::load::{Loaded, load};
use super::{Account, ChangeError, OpenError};
use crate::mailbox::State;

/// What was found of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Messages that are shown.
    pub messages: u64,
    /// Mailboxes.
    pub mailboxes: u64,
    /// Letters that arrived and wait to be folded.
    pub waiting: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// One thing that is wrong with an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Rows that do not open, or that the disk has lost.
    Unreadable(u64),
    /// The rows are not those the anchor knows: some were removed, put back, added or exchanged.
    Anchor,
    /// Messages whose body is missing, or is not theirs, or was cut off.
    Bodies(u64),
    /// Bodies that belong to no message and to no letter that waits.
    Ownerless(u64),
    /// Letters that arrived and are neither folded nor there.
    Lost(u64),
    /// The chain of arrivals is not the one that was folded: it was put back or exchanged.
    Chain,
    /// Letters that wait although they were tried: not the cell's, altered, or put back.
    Unfolded(u64),
    /// An order can open fewer epochs than the manifest lists, or others.
    Escrows(u64),
}

impl Finding {
    /// What is wrong, in words.
    #[must_use]
    pub fn what(&self) -> String {
        match self {
            Self::Unreadable(rows) => format!("{rows} rows do not open, and are not shown"),
            Self::Anchor => "the rows are not those the account wrote last: some were removed, \
                             put back, added or exchanged"
                .into(),
            Self::Bodies(messages) => {
                format!("{messages} messages cannot be read: their body is missing or altered")
            }
            Self::Ownerless(bodies) => format!("{bodies} bodies belong to no message"),
            Self::Lost(letters) => {
                format!("{letters} letters arrived and were deleted before they were shown")
            }
            Self::Chain => "the chain of arrivals is not the one that was followed".into(),
            Self::Unfolded(letters) => {
                format!("{letters} arrived letters are altered, forged or were put back")
            }
            Self::Escrows(epochs) => {
                format!("the escrows of {epochs} epochs are not those the manifest lists")
            }
        }
    }

    /// What can be done.
    #[must_use]
    pub const fn cure(&self) -> &'static str {
        match self {
            Self::Unreadable(_) | Self::Bodies(_) | Self::Lost(_) => {
                "restore them from a backup; without one they are lost"
            }
            Self::Anchor => {
                "restore the account from a backup; or go on with what is there: `--accept`"
            }
            Self::Ownerless(_) => "none is needed: no message was lost with them alone",
            Self::Chain => "letters that arrive now may not be shown: see the server's log",
            Self::Unfolded(_) => "none: they are left where they are, and never shown",
            Self::Escrows(_) => "the owner's next login with changed holders makes them anew",
        }
    }
}

impl Account {
    /// Opens every row, and the first and last part of every body, as they are on disk now. Nothing
    /// is changed meanwhile; long for a large account.
    ///
    /// # Errors
    /// [`OpenError::Tampered`] if its own rows do not open, and [`OpenError::Failed`].
    pub async fn check(self: &Arc<Self>) -> Result<Checked, OpenError> {
        // What was there before is folded now, or cannot be.
        let before = self.arrivals()?.sequence;
        self.fold_or_say().await;
        let writer = self.writing.lock().await;
        let checking = Arc::clone(self);
        let checked = tokio::task::spawn_blocking(move || checking.check_blocking(before)).await;
        drop(writer);
        checked.map_err(|_| OpenError::Failed)?
    }

    fn check_blocking(&self, before: u64) -> Result<Checked, OpenError> {
        let keys = self.keys().map_err(|_| OpenError::Failed)?;
        let loaded = load(self.id, &keys, &self.read, &self.anchors)?;
        let mut findings = Vec::new();
        let mut add = |found: u64, finding: fn(u64) -> Finding| {
            findings.extend((found > 0).then(|| finding(found)));
        };
        let messages = || loaded.state.mailboxes.values().flat_map(|held| &held.messages);
        add(count(loaded.unreadable), Finding::Unreadable);
        let unread = messages().filter(|message| !self.has_body(message.row, message.size));
        add(count(unread.count()), Finding::Bodies);
        let (heads, ownerless) = self.unclaimed(&loaded.state)?;
        add(ownerless, Finding::Ownerless);
        let arrivals = self.arrivals()?;
        let folded = loaded.state.folded;
        let (tried, waiting): (Vec<u64>, Vec<u64>) = heads.iter().partition(|row| **row <= before);
        let beyond = tried.iter().filter(|row| **row > folded).count();
        add(before.saturating_sub(folded).saturating_sub(count(beyond)), Finding::Lost);
        add(count(tried.len()), Finding::Unfolded);
        let is_behind = arrivals.sequence < folded;
        let differs = arrivals.sequence == folded && arrivals.digest.0 != loaded.state.chain;
        if is_behind || (folded > 0 && differs) {
            findings.push(Finding::Chain);
        }
        let today = super::expunged::day(self.clock.now());
        if loaded.kept.is_none() || loaded.state.window.has_early_husk(today) {
            findings.push(Finding::Anchor);
        }
        Ok(Checked {
            messages: count(messages().count()),
            mailboxes: count(loaded.state.mailboxes.values().filter(|held| held.exists).count()),
            waiting: count(waiting.len()),
            findings,
        })
    }

    /// Whether a message's body begins and ends as it was written.
    fn has_body(&self, row: u64, size: u32) -> bool {
        let Ok(content) = self.content(row) else { return false };
        let last = size.saturating_sub(1);
        content.read(0..size.min(1)).is_ok() && content.read(last..size).is_ok()
    }

    /// The letters that wait, by row; and how many bodies are neither theirs nor a message's.
    fn unclaimed(&self, state: &State) -> Result<(Vec<u64>, u64), OpenError> {
        // What the disk has lost is found missing by whatever needs it.
        let rows = |kind| {
            self.read.scan(self.id, kind, Row(0)).filter_map(|found| match found {
                Ok((row, _)) => Some(Ok(row.0)),
                Err(ReadError::Damaged { .. }) => None,
                Err(ReadError::Io(_) | ReadError::Index(_)) => Some(Err(OpenError::Failed)),
            })
        };
        let heads: Vec<u64> = rows(RecordKind::LetterHead).collect::<Result<_, _>>()?;
        let mut ownerless = 0;
        for row in rows(RecordKind::LetterBody) {
            let row = row?;
            let is_owned = state.bodies.contains_key(&row)
                || state.window.names(row) > 0
                || heads.binary_search(&row).is_ok();
            ownerless += u64::from(!is_owned);
        }
        Ok((heads, ownerless))
    }

    /// Where the chain of arrivals stands by the cell's own record.
    fn arrivals(&self) -> Result<Chain, OpenError> {
        let stored = self.read.get(self.id, RecordKind::Arrivals, Row(0));
        let Some(stored) = stored.map_err(|_| OpenError::Failed)? else {
            return Ok(Chain::start(self.id));
        };
        Chain::decode(&stored).map_err(|_| OpenError::Tampered)
    }

    /// Goes on with the rows that are there: the anchor is written anew over those that open, and
    /// the owner is told no more.
    ///
    /// # Errors
    /// What a commit can meet, and [`ChangeError::Failed`] if its own rows do not open.
    pub async fn accept(self: &Arc<Self>) -> Result<(), ChangeError> {
        let account = Arc::clone(self);
        super::to_its_end(async move {
            let mut writer = account.writing.lock().await;
            let (counting, keys) = (Arc::clone(&account), account.keys()?);
            let loading = move || load(counting.id, &keys, &counting.read, &counting.anchors);
            let loaded = tokio::task::spawn_blocking(loading).await;
            let loaded = loaded.map_err(|_| ChangeError::Failed)?;
            let Loaded { state, found, .. } = loaded.map_err(|_| ChangeError::Failed)?;
            // Above whatever there was, or it would be taken for something put back.
            let modseq =
                account.anchors.seen(account.id).max(account.state()?.modseq).max(state.modseq) + 1;
            writer.accept(&account, found.ok_or(ChangeError::Failed)?, modseq).await?;
            account.altered.store(false, Ordering::Relaxed);
            account.apply(modseq, |_| ())
        })
        .await
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
