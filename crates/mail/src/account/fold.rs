//! Folding: what arrived while the account was locked becomes messages of INBOX.
//!
//! If power fails before the commit, the heads are still there and are folded at the next
//! unlock; after it, they are gone and their messages are there. There is no between.
//!
//! Invariant: a letter becomes a message only if the cell signed its arrival and its body is
//! the one that arrived; a head that fails stays where it is and is counted.
//! Refs: specs/bw1.md §7; docs/life-of-a-letter.md.

use std::sync::{Arc, Weak};

use proto::message::MessageView;
use seal::OpenError as SealOpenError;
use seal::blob::PREFIX_BYTES;
use seal::letter::{Chain, LetterHeader, OpenedHead, open_head, verify_ingest};
use store::Batch;
use tokio::sync::watch;
use vocab::{Digest, RecordKind, Row};

use super::keys::Keys;
use super::{Account, ChangeError, OpenError};
use crate::letter::Head;
use crate::mailbox::{Flags, Message, MessageRow, Name, SpecialUse, encode};

/// How many letters one commit folds.
const LETTERS_PER_COMMIT: usize = 200;

/// A letter that checked, ready to become a message.
struct Arrival {
    row: u64,
    opened: OpenedHead,
    head: Head,
    chain: Chain,
}

/// Why a head was left alone.
enum Left {
    /// It is not signed by the cell, does not open, or its body is another.
    Altered,
    /// It was folded before: someone put it back.
    Replayed,
    /// The session's keys are older than its epoch, or the disk failed: it must not be passed
    /// over, for what is behind the chain's end is never folded.
    Later,
}

impl Account {
    /// Folds what is there and keeps folding what comes, as long as the account is open.
    pub(super) async fn start_folding(self: &Arc<Self>) -> Result<(), OpenError> {
        let arrivals = self.read.watch(self.id).map_err(|_| OpenError::Failed)?;
        if let Err(error) = self.fold().await {
            // What arrived stays sealed and safe; the owner can read the rest.
            tracing::error!(error = %error, "arrived letters could not be folded");
        }
        let task = tokio::spawn(keep_folding(Arc::downgrade(self), arrivals));
        if let Ok(mut folding) = self.folding.lock() {
            *folding = Some(task.abort_handle());
        }
        Ok(())
    }

    /// Folds every arrived letter.
    ///
    /// # Errors
    /// What a commit can meet; the letters before it are folded, the others stay.
    pub(super) async fn fold(self: &Arc<Self>) -> Result<(), ChangeError> {
        let account = Arc::clone(self);
        super::to_its_end(async move {
            let _writing = account.writing.lock().await;
            let mut from = 0;
            loop {
                let checking = Arc::clone(&account);
                let batch = tokio::task::spawn_blocking(move || checking.arrivals(from));
                let (arrivals, next) = batch.await.map_err(|_| ChangeError::Failed)??;
                if !arrivals.is_empty() {
                    account.fold_some(arrivals).await?;
                }
                match next {
                    Some(next) => from = next,
                    None => return Ok(()),
                }
            }
        })
        .await
    }

    /// The next letters from a row on that check, and where to go on.
    fn arrivals(&self, from: u64) -> Result<(Vec<Arrival>, Option<u64>), ChangeError> {
        let keys = self.keys()?;
        let (folded, digest) = {
            let state = self.state()?;
            (state.folded, state.chain)
        };
        let mut chain = match folded {
            0 => Chain::start(self.id),
            sequence => Chain { sequence, digest: Digest(digest) },
        };
        let mut arrivals = Vec::new();
        let (mut altered, mut replayed, mut gaps) = (0_u32, 0_u32, 0_u32);
        for found in self.read.scan(self.id, RecordKind::LetterHead, Row(from)) {
            let (row, record) = found.map_err(|_| ChangeError::Failed)?;
            if arrivals.len() >= LETTERS_PER_COMMIT {
                return Ok((arrivals, Some(row.0)));
            }
            match self.check(&keys, row.0, &record, chain) {
                Ok(arrival) => {
                    gaps += u32::from(arrival.chain.sequence != chain.sequence + 1);
                    chain = arrival.chain;
                    arrivals.push(arrival);
                }
                Err(Left::Altered) => altered += 1,
                Err(Left::Replayed) => replayed += 1,
                Err(Left::Later) => {
                    tracing::warn!("arrived letters wait for newer keys");
                    break;
                }
            }
        }
        if altered + replayed + gaps > 0 {
            tracing::error!(altered, replayed, gaps, "the chain of arrivals does not check");
        }
        Ok((arrivals, None))
    }

    fn check(&self, keys: &Keys, row: u64, record: &[u8], chain: Chain) -> Result<Arrival, Left> {
        let altered = |_| Left::Altered;
        let header = LetterHeader::read(record).map_err(altered)?;
        if header.account != self.id {
            return Err(Left::Altered);
        }
        let next = match verify_ingest(record, &keys.ingest, &chain) {
            Ok(next) => Some(next),
            // Signed by the cell, but not the next: letters before it are missing, or it is old.
            Err(SealOpenError::Mismatch) => None,
            Err(SealOpenError::Malformed | SealOpenError::Tampered) => return Err(Left::Altered),
        };
        let epoch = keys.letter(header.epoch, header.version).ok_or(Left::Later)?;
        let opened = open_head(record, epoch).map_err(altered)?;
        if next.is_none() && opened.ingest.chain.sequence <= chain.sequence {
            return Err(Left::Replayed);
        }
        let body = (RecordKind::LetterBody, Row(row));
        let later = |_| Left::Later;
        let length = self.read.len(self.id, body.0, body.1).map_err(later)?;
        let prefix = 0..PREFIX_BYTES as u64;
        let prefix = self.read.range(self.id, body.0, body.1, prefix).map_err(later)?;
        let (length, prefix) = length.zip(prefix).ok_or(Left::Altered)?;
        let prefix = prefix.first_chunk::<PREFIX_BYTES>().ok_or(Left::Altered)?;
        opened.ingest.check_body(prefix, length).map_err(altered)?;
        let head = Head::decode(&opened.head).map_err(|_| Left::Altered)?;
        let chain = next.unwrap_or(opened.ingest.chain);
        Ok(Arrival { row, opened, head, chain })
    }

    async fn fold_some(&self, arrivals: Vec<Arrival>) -> Result<(), ChangeError> {
        let (inbox, junk, mut modseq, mut account_row) = {
            let state = self.state()?;
            let inbox = state.named(&Name::inbox()).ok_or(ChangeError::NoMailbox)?;
            let junk = state.special(SpecialUse::Junk).unwrap_or(inbox);
            let shells = (super::change::shell(inbox), super::change::shell(junk));
            (shells.0, shells.1, state.modseq, state.to_row())
        };
        let mut targets = if inbox.row == junk.row { vec![inbox] } else { vec![inbox, junk] };
        let mut batch = Batch::new(self.id);
        let mut added = Vec::with_capacity(arrivals.len());
        for arrival in &arrivals {
            modseq += 1;
            let at = usize::from(arrival.head.junk && targets.len() > 1);
            let target = targets.get_mut(at).ok_or(ChangeError::Failed)?;
            let uid = target.uid_next;
            target.uid_next = super::change::next_uid(uid)?;
            target.highest_modseq = modseq;
            let (next, message) = self.put_arrival(batch, arrival, target.row, uid, modseq)?;
            batch = next.delete(RecordKind::LetterHead, Row(arrival.row));
            added.push((target.row, message));
        }
        let Some(last) = arrivals.last() else { return Ok(()) };
        for target in &targets {
            batch = self.put_mailbox(batch, target, modseq)?;
        }
        (account_row.folded, account_row.chain) = (last.chain.sequence, last.chain.digest.0);
        account_row.modseq = modseq;
        let plain = encode(&account_row);
        batch = self.put_row(batch, RecordKind::AccountState, 0, 0, modseq, &plain)?;
        self.append.commit(batch).await?;
        self.apply(modseq, |state| {
            (state.folded, state.chain) = (account_row.folded, account_row.chain);
            for target in targets {
                if let Some(held) = state.mailboxes.get_mut(&target.row) {
                    held.uid_next = target.uid_next;
                    held.highest_modseq = target.highest_modseq;
                }
            }
            for (row, message) in added {
                state.bodies.insert(message.letter_row, 1);
                if let Some(held) = state.mailboxes.get_mut(&row) {
                    held.messages.push(message);
                }
            }
        })
    }

    fn put_arrival(
        &self,
        batch: Batch,
        arrival: &Arrival,
        mailbox: u64,
        uid: u32,
        modseq: u64,
    ) -> Result<(Batch, Message), ChangeError> {
        let Arrival { row, opened, head, .. } = arrival;
        let epoch = opened.header.epoch.0;
        let size = u32::try_from(head.length).map_err(|_| ChangeError::TooLarge)?;
        let mut envelope = Vec::new();
        proto::imap::structure::envelope(&mut envelope, &head.view.envelope);
        let sent = super::writers_clock(&head.view);
        let view = encode::<MessageView>(&head.view);
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
            envelope: &envelope,
            view: &view,
            verdicts: &head.verdicts,
            sent,
        };
        let batch = self.put_message(batch, modseq, epoch, modseq, &message_row)?;
        let message = Message {
            row: modseq,
            uid,
            modseq,
            epoch,
            size,
            flags: Flags::NONE,
            keywords: Box::default(),
            received: head.received,
            sent,
            letter_row: *row,
            envelope: envelope.into(),
        };
        Ok((batch, message))
    }
}

async fn keep_folding(account: Weak<Account>, mut arrivals: watch::Receiver<u64>) {
    while arrivals.changed().await.is_ok() {
        let Some(account) = account.upgrade() else { return };
        if let Err(error) = account.fold().await {
            tracing::error!(error = %error, "arrived letters could not be folded");
        }
    }
}
