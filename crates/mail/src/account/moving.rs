//! Moving an account between cells, step by step: marked and written out, taken in and opened, let
//! go of, and brought to life. Who asks, what is logged and where files lie is for the caller.
//!
//! Every step can be cut short and done again: what it leaves is told by the mark alone.
//!
//! Invariant: a marked account changes only here. It is marked in a commit before which every letter
//! it has was folded; it comes to life only with its old cell's discharge. One act decides whose it
//! is: [`Door::let_go`].
//! Refs: specs/move.md.

use std::io;
use std::sync::Arc;

use custody::Pin;
use custody::user::{
    Acceptance, ChangeError, Discharge, Locked, Move, MoveFormError, ParcelHead, Target,
    UnlockError, Unlocked,
};
use seal::code;
use seal::sign::{SigningKey, VerifyingKey};
use seal::slot::Scope;
use store::{Append, Batch, CommitError, Read};
use vocab::{AccountId, CellId, Digest, RecordKind, Timestamp};
use zeroize::Zeroizing;

use super::keys::Keys;
use super::load::load;
use super::mark::{Gone, Mark, Stage, mark_row};
use super::parcel::{self, Parcel, ParcelError, Parcels};
use super::rows::ANCHOR_ROW;
use super::{Anchors, Door, KeystoreError, Keystores, LoginError, OpenError, OpenKeys, RekeyError};

/// Rows and octets of what is taken in in one commit; the row that passes it begins the next.
const ROWS_PER_COMMIT: usize = 1000;
const OCTETS_PER_COMMIT: usize = 8 << 20;
/// How often it is tried to mark an account that other sessions change.
const TRIES_MAX: usize = 50;

/// Why a step was not done. It can be done again.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The account is in this cell, and is not being taken in.
    #[error("the account is in this cell")]
    Here,
    /// The account is not at this step.
    #[error("the account is not at this step of a move")]
    Step,
    /// Something of it is not what it wrote, or letters that came do not check.
    #[error("something of the account was altered")]
    Altered,
    /// Others kept changing it.
    #[error("the account is too busy")]
    Busy,
    /// What was shown is not to be believed.
    #[error("what was shown does not hold")]
    Form(#[from] MoveFormError),
    /// The parcel was not written or not read.
    #[error("the parcel failed")]
    Parcel(#[from] ParcelError),
    /// Its keystore could not be read or changed.
    #[error("the account's keystore failed")]
    Keystore(#[from] KeystoreError),
    /// It did not open.
    #[error("the account could not be opened")]
    Open(#[from] OpenError),
    /// Its owner's secret did not open it.
    #[error("the account was not unlocked")]
    Unlock(#[from] UnlockError),
    /// Its keys could not be changed.
    #[error("the account's keys could not be changed")]
    Change(#[from] ChangeError),
    /// It was not re-keyed to the end.
    #[error("the account was not re-keyed")]
    Rekey(#[from] RekeyError),
}

impl From<CommitError> for MoveError {
    fn from(error: CommitError) -> Self {
        KeystoreError::from(error).into()
    }
}

impl From<store::ReadError> for MoveError {
    fn from(error: store::ReadError) -> Self {
        KeystoreError::from(error).into()
    }
}

impl Mark {
    /// What is said of the move of an account that came with this mark, to the cell `to`.
    #[must_use]
    pub fn arrival(&self, account: AccountId, to: CellId) -> Move {
        Move { account, from: self.other, to, parcel: self.parcel }
    }
}

impl Door {
    /// As [`Door::sudo`], of an account that may be moving.
    ///
    /// # Errors
    /// [`UnlockError`] or [`LoginError`].
    pub async fn sudo_moving(
        self: &Arc<Self>,
        account: AccountId,
        secret: Zeroizing<String>,
    ) -> Result<Result<Unlocked, UnlockError>, LoginError> {
        let _turn = self.turns.take(None, code::kind_of(&secret).is_none()).await?;
        let door = Arc::clone(self);
        let unlock = move || {
            let locked = door.options.keystores.locked_moving(account)?;
            Ok(locked.unlock(&door.attempt(&secret, Scope::SUDO, None, true)))
        };
        tokio::task::spawn_blocking(unlock).await.map_err(|_| LoginError::Failed)?
    }

    /// Marks an account as leaving for the cell `to`, once all that arrived is folded, and ends
    /// its sessions. `key` is what this cell signs with that it leaves.
    ///
    /// # Errors
    /// [`MoveError::Altered`], [`MoveError::Busy`], [`MoveError::Open`], [`MoveError::Keystore`].
    pub async fn leave(
        &self,
        unlocked: Unlocked,
        to: CellId,
        key: VerifyingKey,
        now: Timestamp,
    ) -> Result<(), MoveError> {
        let id = unlocked.account();
        let (keystores, read) = (&self.options.keystores, &self.registry.services().read);
        let account = self.open_unlocked(unlocked).await?;
        let parcel = Digest([0; 32]);
        let mark = Mark { stage: Stage::Leaving, other: to, since: now, parcel, key };
        for _ in 0..TRIES_MAX {
            account.fold_or_say().await;
            if account.is_altered() {
                return Err(MoveError::Altered);
            }
            let seen = read.change(id)?;
            if read.last_row(id, RecordKind::LetterHead)?.is_some() {
                continue;
            }
            let batch = super::standing(id).require_change(seen);
            match keystores.append.commit(keystores.put_mark(batch, id, &mark)?).await {
                Ok(_) => {
                    self.passes.keep(id, |_| false);
                    return Ok(());
                }
                Err(CommitError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // What never folds does not check.
        let waits = read.last_row(id, RecordKind::LetterHead)?.is_some();
        Err(if waits { MoveError::Altered } else { MoveError::Busy })
    }

    /// Writes the parcel of a marked account, as this cell. Blocks on the disk.
    ///
    /// # Errors
    /// [`MoveError::Step`], [`MoveError::Parcel`], [`MoveError::Keystore`].
    pub fn write_parcel(
        &self,
        account: AccountId,
        key: &SigningKey,
        now: Timestamp,
        out: &mut impl io::Write,
    ) -> Result<Parcel, MoveError> {
        let keystores = &self.options.keystores;
        let mark = keystores.mark(account)?.filter(|mark| mark.stage == Stage::Leaving);
        let to = mark.ok_or(MoveError::Step)?.other;
        let (from, manifest) = (CellId(keystores.cell.0), keystores.stored(account)?);
        let head = ParcelHead { from, to, account, made: now, key: key.public(), manifest };
        Ok(parcel::write_parcel(&keystores.read, head, key, out)?)
    }

    /// Notes which parcel is the account's, after it is on disk.
    ///
    /// # Errors
    /// [`MoveError::Step`], [`MoveError::Keystore`].
    pub async fn note_parcel(&self, parcel: &Parcel) -> Result<(), MoveError> {
        let keystores = &self.options.keystores;
        let _changing = keystores.changing.lock().await;
        let account = parcel.head.account;
        let mark = Mark { parcel: parcel.digest, ..keystores.leaving(account)? };
        let batch = keystores.put_mark(Batch::new(account), account, &mark)?;
        keystores.append.commit(batch).await?;
        Ok(())
    }

    /// The account does not leave.
    ///
    /// # Errors
    /// [`MoveError::Step`], also if it has left; [`MoveError::Keystore`].
    pub async fn stay(&self, account: AccountId) -> Result<(), MoveError> {
        let keystores = &self.options.keystores;
        let _changing = keystores.changing.lock().await;
        keystores.leaving(account)?;
        let batch = Batch::new(account).delete(RecordKind::Departure, mark_row(account));
        keystores.append.commit(batch.to_make_room()).await?;
        Ok(())
    }

    /// Whether this acceptance lets an account go; what is on record if it did before.
    ///
    /// # Errors
    /// [`MoveError::Step`], [`MoveError::Form`], [`MoveError::Keystore`].
    pub fn may_go(&self, acceptance: &Acceptance) -> Result<Option<Gone>, MoveError> {
        let (keystores, account) = (&self.options.keystores, acceptance.account());
        if let Some(gone) = keystores.gone(account)? {
            let is_same = gone.acceptance == acceptance.digest();
            return if is_same { Ok(Some(gone)) } else { Err(MoveFormError::Other.into()) };
        }
        let mark = keystores.leaving(account)?;
        let from = CellId(keystores.cell.0);
        let about = Move { account, from, to: mark.other, parcel: mark.parcel };
        acceptance.check(&about, keystores.locked_moving(account)?.manifest())?;
        Ok(None)
    }

    /// Lets an account go: from then on it is the other cell's, whatever happens. It is to be
    /// deleted next.
    ///
    /// # Errors
    /// As [`Door::may_go`]; and what a commit can meet.
    pub async fn let_go(&self, acceptance: &Acceptance, now: Timestamp) -> Result<Gone, MoveError> {
        let keystores = &self.options.keystores;
        let _changing = keystores.changing.lock().await;
        if let Some(gone) = self.may_go(acceptance)? {
            return Ok(gone);
        }
        let account = acceptance.account();
        let Mark { other, parcel, .. } = keystores.leaving(account)?;
        let acceptance = acceptance.digest();
        let version = keystores.locked_moving(account)?.manifest().version;
        let gone = Gone { account, to: other, at: now, parcel, acceptance, version };
        keystores.put_gone(&gone).await?;
        Ok(gone)
    }

    /// Reads a parcel for this cell whole, and checks it: that the cell with the key `from` wrote
    /// it, and not before the account left this one. Blocks on the disk.
    ///
    /// # Errors
    /// [`MoveError::Parcel`], [`MoveError::Keystore`].
    pub fn inspect_parcel(
        &self,
        input: impl io::Read,
        from: &VerifyingKey,
    ) -> Result<(Parcel, Locked), MoveError> {
        let keystores = &self.options.keystores;
        let (parcel, locked) = parcel::inspect(input, CellId(keystores.cell.0), from)?;
        let gone = keystores.gone(parcel.head.account)?;
        if gone.is_some_and(|gone| locked.manifest().version <= gone.version) {
            return Err(ParcelError::Earlier.into());
        }
        Ok((parcel, locked))
    }

    /// Takes in a parcel that was checked, in the place of whatever of the account was taken in
    /// and never came to life.
    ///
    /// # Errors
    /// [`MoveError::Here`], [`MoveError::Parcel`], [`MoveError::Keystore`].
    pub async fn take_in(
        &self,
        input: impl io::Read + Send + 'static,
        parcel: Parcel,
        now: Timestamp,
    ) -> Result<(), MoveError> {
        let (keystores, account) = (&self.options.keystores, parcel.head.account);
        let known = keystores.mark(account)?;
        match known.map(|mark| (mark.stage, mark.parcel == parcel.digest)) {
            Some((Stage::Arrived, true)) => return Ok(()),
            Some((Stage::Arriving | Stage::Arrived, _)) => {}
            Some((Stage::Leaving, _)) => return Err(MoveError::Here),
            None if keystores.read.usage(account)?.records > 0 => return Err(MoveError::Here),
            None => {}
        }
        let ParcelHead { from, key, .. } = parcel.head;
        let stage = Stage::Arriving;
        let mark = Mark { stage, other: from, since: now, parcel: parcel.digest, key };
        let seen = keystores.read.change(account)?;
        let batch = Batch::new(account).require_change(seen);
        keystores.append.commit(keystores.put_mark(batch, account, &mark)?).await?;
        let old = RecordKind::ALL.iter().copied().filter(|kind| *kind != RecordKind::Departure);
        keystores.delete(account, old.collect(), ROWS_PER_COMMIT).await?;
        let append = keystores.append.clone();
        let copying = tokio::task::spawn_blocking(move || copy(input, &parcel, &append));
        copying.await.map_err(|_| KeystoreError::Failed)?
    }

    /// Whether a secret opens the keystore of a parcel, to be asked before anything of it is kept.
    ///
    /// # Errors
    /// [`MoveError::Unlock`]; [`MoveError::Keystore`] if it could not be tried.
    pub async fn try_secret(
        self: &Arc<Self>,
        locked: Locked,
        secret: Zeroizing<String>,
    ) -> Result<(), MoveError> {
        let door = Arc::clone(self);
        let trying =
            move || locked.unlock(&door.attempt(&secret, Scope::SUDO, None, false)).map(drop);
        let tried = tokio::task::spawn_blocking(trying).await;
        Ok(tried.map_err(|_| KeystoreError::Failed)??)
    }

    /// Opens all of what was taken in with its owner's secret, pins it, and gives the owner's word
    /// that it has arrived.
    ///
    /// # Errors
    /// [`MoveError`].
    pub async fn accept(
        self: &Arc<Self>,
        parcel: Parcel,
        locked: Locked,
        secret: Zeroizing<String>,
    ) -> Result<Acceptance, MoveError> {
        let (keystores, account) = (Arc::clone(&self.options.keystores), parcel.head.account);
        let mark = keystores.mark(account)?.filter(|mark| mark.parcel == parcel.digest);
        let mark = mark.filter(|mark| mark.stage != Stage::Leaving).ok_or(MoveError::Step)?;
        let (door, now) = (Arc::clone(self), self.registry.services().clock.now());
        let about = mark.arrival(account, CellId(keystores.cell.0));
        let manifest = Pin { number: locked.manifest().version, digest: locked.digest() };
        let opening = move || {
            let unlocked = locked.unlock(&door.attempt(&secret, Scope::SUDO, None, false))?;
            let acceptance = unlocked.accept(about, now)?;
            let ingest = door.options.ingest;
            let keys = Keys::new(OpenKeys { keys: unlocked.into_keys(), ingest });
            let services = door.registry.services();
            let anchor = agreed(account, &keys, &services.read, &services.anchors)?;
            Ok::<_, MoveError>((acceptance, anchor))
        };
        let opened = tokio::task::spawn_blocking(opening).await;
        let (acceptance, anchor) = opened.map_err(|_| KeystoreError::Failed)??;
        if mark.stage == Stage::Arriving {
            let mark = Mark { stage: Stage::Arrived, ..mark };
            let batch = keystores.put_mark(Batch::new(account), account, &mark)?;
            let batch = keystores.put_pin(batch, account, manifest)?;
            let anchors = &self.registry.services().anchors;
            let (row, pin) = anchors.sealed(account, anchor).ok_or(KeystoreError::Failed)?;
            let batch = batch.put(RecordKind::AccountPin, row, pin);
            keystores.append.commit(batch).await?;
            keystores.recall(account, manifest.number);
            anchors.see(account, anchor.number);
        }
        Ok(acceptance)
    }

    /// Whether this discharge brings an account to life; the move it is of.
    ///
    /// # Errors
    /// [`MoveError::Step`], [`MoveError::Form`], [`MoveError::Keystore`].
    pub fn may_live(&self, discharge: &Discharge) -> Result<Move, MoveError> {
        let (keystores, account) = (&self.options.keystores, discharge.account());
        let mark = keystores.mark(account)?.filter(|mark| mark.stage == Stage::Arrived);
        let mark = mark.ok_or(MoveError::Step)?;
        let about = mark.arrival(account, CellId(keystores.cell.0));
        discharge.check(&about, &mark.key)?;
        Ok(about)
    }

    /// Brings an account to life whose discharge was checked: its manifest names this cell, and
    /// everything is re-keyed. Then unlock it again for [`Door::finish_rekey`]. Done again, it goes
    /// on.
    ///
    /// # Errors
    /// [`MoveError::Change`], [`MoveError::Rekey`].
    pub async fn settle(
        &self,
        mut unlocked: Unlocked,
        target: &Target<'_>,
        now: Timestamp,
    ) -> Result<(), MoveError> {
        let entropy = self.registry.services().entropy.as_ref();
        let mut changes = unlocked.begin_rekey(target, now, entropy)?;
        changes.delete.push((RecordKind::Departure, mark_row(unlocked.account())));
        Ok(self.rekey(unlocked, changes).await?)
    }
}

impl Keystores {
    /// The mark of an account that is leaving, and has not left.
    fn leaving(&self, account: AccountId) -> Result<Mark, MoveError> {
        let mark = self.mark(account)?.filter(|mark| mark.stage == Stage::Leaving);
        if self.gone(account)?.is_some() {
            return Err(MoveError::Step);
        }
        mark.ok_or(MoveError::Step)
    }
}

/// What is in a parcel, into the store.
fn copy(input: impl io::Read, parcel: &Parcel, append: &Append) -> Result<(), MoveError> {
    let account = parcel.head.account;
    let mut records = Parcels::open(input, parcel.head.to)?;
    let (mut batch, mut octets) = (Batch::new(account), 0_usize);
    while let Some((record, value)) = records.next()? {
        if batch.len() >= ROWS_PER_COMMIT || octets >= OCTETS_PER_COMMIT {
            append.commit_blocking(core::mem::replace(&mut batch, Batch::new(account)))?;
            octets = 0;
        }
        octets = octets.saturating_add(value.len());
        batch = batch.put(record.kind, record.row, value);
    }
    append.commit_blocking(batch)?;
    // It is what was checked, and not what somebody put in its place meanwhile.
    if records.end().as_ref() == Some(parcel) { Ok(()) } else { Err(MoveFormError::Other.into()) }
}

/// What the rows come to, if all of them open and the anchor among them knows them.
fn agreed(
    account: AccountId,
    keys: &Keys,
    read: &Read,
    anchors: &Anchors,
) -> Result<Pin, MoveError> {
    let loaded = load(account, keys, read, anchors)?;
    let stored = read.get(account, RecordKind::AccountAnchor, ANCHOR_ROW)?;
    let (Some(found), Some(stored), 0) = (loaded.found, stored, loaded.unreadable) else {
        return Err(MoveError::Altered);
    };
    let kept = found.agreed(keys, read, &stored).ok_or(MoveError::Altered)?;
    Ok(kept.pinned())
}
