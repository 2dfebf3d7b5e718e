//! Folding: what arrived while the account was locked becomes messages of INBOX.
//!
//! Heads are examined in batches, each on all cores at once, while batches before are being
//! committed; the chain is followed and UIDs are given in the order of arrival. One signature
//! vouches for a batch whose letters follow one another. If power fails before a commit, its
//! heads are still there and are folded at the next unlock; after it, they are gone and their
//! messages are there. There is no between.
//!
//! Invariant: a letter becomes a message only if the cell signed its arrival and its body is
//! the one that arrived; a head that fails stays where it is and is counted.
//! Refs: specs/bw1.md §7; docs/life-of-a-letter.md.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use seal::blob::PREFIX_BYTES;
use seal::letter::{Chain, HeadOpener, LetterHeader, OpenedHead, Stated};
use seal::sign::VerifyingKey;
use store::ReadError;
use tokio::sync::{mpsc, watch};
use vocab::{Digest, RecordKind, Row};

use super::keys::Keys;
use super::rows::{Change, Writer};
use super::{Account, ChangeError, OpenError};
use crate::cores;
use crate::letter::{Head, Parsed};
use crate::mailbox::{Flags, Message, MessageRow, Name, SpecialUse, encode};

/// How many letters one commit folds.
const LETTERS_PER_COMMIT: usize = 2000;
/// How many octets of heads a batch may have; the one that passes it is the batch's last. Three
/// batches are in memory at once: one under examination, one that waits, one being written.
const BATCH_OCTETS: usize = 10 << 20;
/// How long arrivals wait on a full disk before they are tried again.
const FULL_DISK: Duration = Duration::from_secs(60);

/// A head as it is stored, and its row.
type Found = (u64, Bytes);

/// Some heads of one account, in order, and the row of the next one.
struct Heads {
    examined: Vec<Result<Examined, Left>>,
    next: Option<u64>,
}

/// A head that opens; who signed it and where it stands is not said yet.
struct Examined {
    row: u64,
    stated: Stated,
    opened: OpenedHead,
    /// What it says, if its body is the one that arrived.
    head: Result<Head, Left>,
}

/// A letter that checked, ready to become a message.
struct Arrival {
    row: u64,
    opened: OpenedHead,
    head: Head,
    chain: Chain,
}

/// Why a head was left alone.
enum Left {
    /// It is not signed by the cell, does not read or open, or its body is another.
    Altered,
    /// It was folded before: someone put it back.
    Replayed,
    /// The session's keys are older than its epoch, or the disk failed: it must not be passed
    /// over, for what is behind the chain's end is never folded.
    Later,
}

/// An account's chain, as far as this fold has followed it, and what was wrong with it.
struct Following {
    chain: Chain,
    altered: u32,
    replayed: u32,
    gaps: u32,
}

impl Following {
    /// The letters of some heads that check, in order; and whether to go on behind them.
    fn follow(
        &mut self,
        examined: Vec<Result<Examined, Left>>,
        key: &VerifyingKey,
    ) -> (Vec<Arrival>, bool) {
        let mut arrivals = Vec::with_capacity(examined.len());
        let vouched = self.vouched(&examined, key);
        for (at, examined) in examined.into_iter().enumerate() {
            let key = (at >= vouched).then_some(key);
            match examined.and_then(|examined| self.place(examined, key)) {
                Ok(arrival) => {
                    self.gaps += u32::from(arrival.chain.sequence != self.chain.sequence + 1);
                    self.chain = arrival.chain;
                    arrivals.push(arrival);
                }
                Err(Left::Altered) => self.altered += 1,
                Err(Left::Replayed) => self.replayed += 1,
                Err(Left::Later) => {
                    tracing::warn!("arrived letters wait for newer keys, or for a disk that reads");
                    return (arrivals, false);
                }
            }
        }
        (arrivals, true)
    }

    /// How many of the first heads follow one another from here and need no signature of their
    /// own, since the last one's is the cell's (specs/bw1.md §7.4).
    fn vouched(&self, examined: &[Result<Examined, Left>], key: &VerifyingKey) -> usize {
        let (mut chain, mut last, mut count) = (self.chain, None, 0);
        for examined in examined.iter().map_while(|examined| examined.as_ref().ok()) {
            let Ok(next) = examined.stated.follows(&chain) else { break };
            (chain, last, count) = (next, Some(examined.stated), count + 1);
        }
        if last.is_some_and(|stated| stated.verify(key).is_ok()) { count } else { 0 }
    }

    /// Where a head stands in the chain, and that it is signed if a key is given.
    fn place(&self, examined: Examined, key: Option<&VerifyingKey>) -> Result<Arrival, Left> {
        let Examined { row, stated, opened, head } = examined;
        key.map_or(Ok(()), |key| stated.verify(key)).map_err(|_| Left::Altered)?;
        // Signed by the cell, but not the next: letters before it are missing, or it is old.
        let next = stated.follows(&self.chain).ok();
        if next.is_none() && opened.ingest.chain.sequence <= self.chain.sequence {
            return Err(Left::Replayed);
        }
        let chain = next.unwrap_or(opened.ingest.chain);
        Ok(Arrival { row, opened, head: head?, chain })
    }

    /// Whether something is wrong with the chain; the log says what.
    fn report(&self) -> bool {
        let Self { altered, replayed, gaps, .. } = *self;
        let is_wrong = altered + replayed + gaps > 0;
        if is_wrong {
            tracing::error!(altered, replayed, gaps, "the chain of arrivals does not check");
        }
        is_wrong
    }
}

impl Account {
    /// Folds what is there and keeps folding what comes, as long as the account is open.
    pub(super) async fn start_folding(self: &Arc<Self>) -> Result<(), OpenError> {
        let arrivals = self.read.watch(self.id).map_err(|_| OpenError::Failed)?;
        self.fold_or_say().await;
        let (account, waits) = (Arc::downgrade(self), Arc::clone(&self.arrivals_wait));
        let (read, id) = (self.read.clone(), self.id);
        let is_any = move || !matches!(read.last_row(id, RecordKind::LetterHead), Ok(None));
        let task = tokio::spawn(keep_folding(account, waits, is_any, arrivals));
        if let Ok(mut folding) = self.folding.lock() {
            *folding = Some(task.abort_handle());
        }
        Ok(())
    }

    /// Folds every arrived letter; the log says so if that fails. What arrived then stays sealed
    /// and safe, and the owner can read the rest.
    pub(super) async fn fold_or_say(self: &Arc<Self>) {
        if let Err(error) = self.fold().await {
            tracing::error!(error = %error, "arrived letters could not be folded");
        }
    }

    /// Folds every arrived letter.
    ///
    /// # Errors
    /// What a commit can meet; the letters before it are folded, the others stay.
    async fn fold(self: &Arc<Self>) -> Result<(), ChangeError> {
        let account = Arc::clone(self);
        super::to_its_end(async move {
            let mut writer = account.writing.lock().await;
            let mut following = account.following()?;
            let folded = account.fold_all(&mut writer, &mut following).await;
            account.arrivals_wait.store(folded == Err(ChangeError::Full), Ordering::Relaxed);
            if following.report() {
                account.altered.store(true, Ordering::Relaxed);
            }
            folded
        })
        .await
    }

    /// Where the chain of what is folded ends.
    fn following(&self) -> Result<Following, ChangeError> {
        let state = self.state()?;
        let chain = match state.folded {
            0 => Chain::start(self.id),
            sequence => Chain { sequence, digest: Digest(state.chain) },
        };
        Ok(Following { chain, altered: 0, replayed: 0, gaps: 0 })
    }

    async fn fold_all(
        self: &Arc<Self>,
        writer: &mut Writer,
        following: &mut Following,
    ) -> Result<(), ChangeError> {
        let keys = self.keys()?;
        let (sender, mut ready) = mpsc::channel(1);
        tokio::spawn(Arc::clone(self).examine_all(Arc::clone(&keys), sender));
        while let Some(heads) = ready.recv().await {
            let Heads { examined, next } = heads?;
            let (arrivals, go_on) = following.follow(examined, &keys.ingest);
            self.fold_some(writer, arrivals).await?;
            if next.is_none() || !go_on {
                return Ok(());
            }
        }
        // Whoever examined them is gone before the last.
        Err(ChangeError::Failed)
    }

    /// Examines heads ahead of who folds them, until there are no more, or nobody takes them.
    async fn examine_all(
        self: Arc<Self>,
        keys: Arc<Keys>,
        ready: mpsc::Sender<Result<Heads, ChangeError>>,
    ) {
        let mut from = Some(0);
        while let Some(row) = from {
            let (account, keys) = (Arc::clone(&self), Arc::clone(&keys));
            let heads = tokio::task::spawn_blocking(move || account.heads(&keys, row));
            let heads = heads.await.unwrap_or(Err(ChangeError::Failed));
            from = heads.as_ref().ok().and_then(|heads| heads.next);
            if ready.send(heads).await.is_err() {
                return;
            }
        }
    }

    /// The heads from a row on, as many as one commit folds, examined on several cores.
    fn heads(&self, keys: &Keys, from: u64) -> Result<Heads, ChangeError> {
        let (found, lost, next) = self.found(from)?;
        let parts: Vec<_> = found.chunks(found.len().div_ceil(cores::threads()).max(1)).collect();
        let examined = cores::share(parts.len(), |part| {
            parts.get(part).map(|part| self.examine(keys, part)).unwrap_or_default()
        });
        let mut examined: Vec<_> =
            examined.ok_or(ChangeError::Failed)?.into_iter().flatten().collect();
        examined.extend((0..lost).map(|_| Err(Left::Altered)));
        Ok(Heads { examined, next })
    }

    /// The heads, how many of them the disk has lost, and the row of the next one.
    fn found(&self, from: u64) -> Result<(Vec<Found>, usize, Option<u64>), ChangeError> {
        let (mut found, mut lost, mut octets) = (Vec::new(), 0, 0);
        for head in self.read.scan(self.id, RecordKind::LetterHead, Row(from)) {
            let (row, record) = match head {
                Ok(head) => head,
                // What is behind it must not wait for it.
                Err(ReadError::Damaged { .. }) => {
                    lost += 1;
                    continue;
                }
                Err(ReadError::Io(_) | ReadError::Index(_)) => return Err(ChangeError::Failed),
            };
            if found.len() >= LETTERS_PER_COMMIT || octets >= BATCH_OCTETS {
                return Ok((found, lost, Some(row.0)));
            }
            octets += record.len();
            found.push((row.0, record));
        }
        Ok((found, lost, None))
    }

    /// Everything about heads but where they stand in the chain.
    fn examine(&self, keys: &Keys, part: &[Found]) -> Vec<Result<Examined, Left>> {
        let mut opener: Option<HeadOpener<'_>> = None;
        part.iter().map(|found| self.examine_one(keys, &mut opener, found)).collect()
    }

    fn examine_one<'a>(
        &self,
        keys: &'a Keys,
        opener: &mut Option<HeadOpener<'a>>,
        (row, record): &Found,
    ) -> Result<Examined, Left> {
        let altered = |_| Left::Altered;
        let header = LetterHeader::read(record).map_err(altered)?;
        if header.account != self.id {
            return Err(Left::Altered);
        }
        let stated = Stated::read(record).map_err(altered)?;
        let Some(epoch) = keys.letter(header.epoch, header.version) else {
            // Only what the cell signed may hold up what is behind it.
            stated.verify(&keys.ingest).map_err(altered)?;
            return Err(Left::Later);
        };
        let of_epoch = opener.take().filter(|opener| opener.opens_with(epoch));
        let opener = opener.insert(of_epoch.unwrap_or_else(|| HeadOpener::new(epoch)));
        let opened = opener.open(record).map_err(altered)?;
        let head = self.head(*row, &opened);
        Ok(Examined { row: *row, stated, opened, head })
    }

    /// What a head says, if its body is there and the one that arrived.
    fn head(&self, row: u64, opened: &OpenedHead) -> Result<Head, Left> {
        let body = (RecordKind::LetterBody, Row(row));
        let later = |_| Left::Later;
        let prefix = self.read.range(self.id, body.0, body.1, 0..PREFIX_BYTES as u64);
        let prefix = prefix.map_err(later)?.ok_or(Left::Altered)?;
        let (prefix, length) = (&prefix.octets, prefix.total);
        let prefix = prefix.first_chunk::<PREFIX_BYTES>().ok_or(Left::Altered)?;
        opened.ingest.body.check(prefix, length).map_err(|_| Left::Altered)?;
        Head::decode(&opened.head).map_err(|_| Left::Altered)
    }

    /// Makes letters messages, in one commit.
    async fn fold_some(
        &self,
        writer: &mut Writer,
        arrivals: Vec<Arrival>,
    ) -> Result<(), ChangeError> {
        let Some(last) = arrivals.last() else { return Ok(()) };
        let (inbox, junk, mut modseq, mut account_row) = {
            let state = self.state()?;
            let inbox = state.named(&Name::inbox()).ok_or(ChangeError::NoMailbox)?;
            let junk = state.special(SpecialUse::Junk).unwrap_or(inbox);
            let shells = (super::change::shell(inbox), super::change::shell(junk));
            (shells.0, shells.1, state.modseq, state.to_row())
        };
        let mut targets = if inbox.row == junk.row { vec![inbox] } else { vec![inbox, junk] };
        let mut change = self.change()?;
        let mut added = Vec::with_capacity(arrivals.len());
        let links = arrivals.iter().map(|arrival| arrival.head.parsed.links.as_slice());
        let threads = self.state_mut()?.threads.place(modseq + 1, links);
        let saved = self.clock.now().0;
        for (arrival, thread) in arrivals.iter().zip(threads) {
            modseq += 1;
            let at = usize::from(arrival.head.junk && targets.len() > 1);
            let target = targets.get_mut(at).ok_or(ChangeError::Failed)?;
            let uid = target.uid_next;
            target.uid_next = super::change::next_uid(uid)?;
            target.highest_modseq = modseq;
            added.push((
                target.row,
                change.add_arrival(arrival, target.row, uid, modseq, (thread, saved))?,
            ));
        }
        for target in &targets {
            change.put_mailbox(target, modseq)?;
        }
        (account_row.folded, account_row.chain) = (last.chain.sequence, last.chain.digest.0);
        account_row.modseq = modseq;
        let plain = encode(&account_row);
        change.put(RecordKind::AccountState, 0, 0, modseq, &plain)?;
        change.commit(writer).await?;
        self.apply(modseq, |state| {
            (state.folded, state.chain) = (account_row.folded, account_row.chain);
            for target in targets {
                if let Some(held) = state.mailboxes.get_mut(&target.row) {
                    held.uid_next = target.uid_next;
                    held.highest_modseq = target.highest_modseq;
                }
            }
            for ((row, message), arrival) in added.into_iter().zip(&arrivals) {
                state.bodies.insert(message.letter_row, 1);
                state.threads.note(message.thread, &arrival.head.parsed.links);
                if let Some(held) = state.mailboxes.get_mut(&row) {
                    held.messages.push(message);
                }
            }
        })
    }
}

impl Change<'_> {
    /// Makes a letter a message; its body stays where it is.
    fn add_arrival(
        &mut self,
        arrival: &Arrival,
        mailbox: u64,
        uid: u32,
        modseq: u64,
        (thread, saved): (u64, u64),
    ) -> Result<Message, ChangeError> {
        let Arrival { row, opened, head, .. } = arrival;
        let epoch = opened.header.epoch.0;
        let size = u32::try_from(head.length).map_err(|_| ChangeError::TooLarge)?;
        let Parsed { view, envelope, sent, links } = &head.parsed;
        let message_row = MessageRow {
            mailbox,
            uid,
            flags: 0,
            keywords: Vec::new(),
            received: head.received,
            size,
            letter_row: *row,
            letter: opened.header.letter.0,
            body_key: *opened.body_key.expose(),
            envelope,
            view,
            verdicts: &head.verdicts,
            sent: *sent,
            thread,
            links,
            saved,
        };
        self.add_message(modseq, epoch, &message_row)?;
        self.delete_blob(RecordKind::LetterHead, *row);
        Ok(Message {
            row: modseq,
            uid,
            modseq,
            epoch,
            size,
            flags: Flags::NONE,
            keywords: Box::default(),
            received: head.received,
            sent: *sent,
            letter_row: *row,
            envelope: envelope.as_slice().into(),
            letter: opened.header.letter.0,
            thread,
            saved,
        })
    }
}

/// Folds when something was written and there is any letter. It holds the account for nothing
/// else: what most often was written is the account's own, and its session may be gone.
async fn keep_folding(
    account: Weak<Account>,
    waits: Arc<AtomicBool>,
    is_any: impl Fn() -> bool,
    mut arrivals: watch::Receiver<u64>,
) {
    loop {
        let patience = if waits.load(Ordering::Relaxed) { FULL_DISK } else { Duration::MAX };
        // Without an arrival in time it is tried all the same: there may be room again.
        if let Ok(Err(_)) = tokio::time::timeout(patience, arrivals.changed()).await {
            return;
        }
        if is_any() {
            let Some(account) = account.upgrade() else { return };
            account.fold_or_say().await;
        }
    }
}
