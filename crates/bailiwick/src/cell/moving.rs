//! Accounts that go to another cell, and that come from one.
//!
//! Invariant: an account is in one cell at every moment; which one is decided by the old cell's
//! record that it has gone, which is written once, after the log has it, and never while the law
//! keeps the account here. What keeps it is not said.
//! Refs: specs/move.md; specs/log-entry.md §8.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use custody::acts::{self, Direction};
use custody::hex;
use custody::user::{Acceptance, Discharge, MoveFormError, Target};
use mail::account::{Gone, MoveError, Parcel, ParcelError, Stage};
use seal::sign::{SigningKey, VerifyingKey};
use vocab::{AccountId, CellId, Custody, Timestamp};
use zeroize::Zeroizing;

use super::Cell;
use super::deletion::CLOSED_SECONDS;
use super::unlockers::ALTERED;
use crate::admin::protocol::{Answer, ParcelAnswer};
use crate::admin::server::Refusal;
use crate::clock;
use crate::log::Item;

/// For whoever meets an account that is on its way.
pub(super) const MOVING: &str =
    "wait until it has arrived; or let its owner keep it with `bailiwick admin account stay`";
const AGAIN: &str = "do it again";

impl From<MoveError> for Refusal {
    fn from(error: MoveError) -> Self {
        let cure = match error {
            MoveError::Keystore(error) => return error.into(),
            MoveError::Unlock(error) => return error.into(),
            MoveError::Change(error) => return error.into(),
            MoveError::Parcel(error) => return error.into(),
            MoveError::Form(error) => return error.into(),
            MoveError::Here => "an account can arrive where it is not",
            MoveError::Step => "see the steps in `bailiwick admin account leave --help`",
            MoveError::Altered => "see `bailiwick admin account check`",
            MoveError::Busy => "do it again when its owner's programs are not connected",
            MoveError::Open(_) => ALTERED,
            MoveError::Rekey(_) => AGAIN,
        };
        Self::new(error.to_string(), cure)
    }
}

impl From<MoveFormError> for Refusal {
    fn from(error: MoveFormError) -> Self {
        Self::new(error.to_string(), "show what the other cell gave for this very move")
    }
}

impl From<ParcelError> for Refusal {
    fn from(error: ParcelError) -> Self {
        let cure = match error {
            ParcelError::Elsewhere => "take it to the cell it is for, or let it leave for this one",
            ParcelError::Stranger => {
                "name the moving key that `bailiwick admin cell` prints at the cell it leaves"
            }
            ParcelError::Earlier => "have the account leave the cell where it is",
            ParcelError::Form(_) | ParcelError::Keystore => {
                "have it written again, and copy it whole"
            }
            ParcelError::Changed => AGAIN,
            ParcelError::Read(_) => ALTERED,
            ParcelError::Io(error) => return Self::failed("the parcel", &error),
        };
        Self::new(error.to_string(), cure)
    }
}

impl Cell {
    /// Marks an account as leaving, and writes its parcel to a new file. Of one that is marked it
    /// writes the parcel again.
    pub(crate) async fn leave(
        self: &Arc<Self>,
        address: &str,
        secret: Zeroizing<String>,
        to: &str,
        parcel: &str,
    ) -> Result<Answer, Refusal> {
        let _moving = self.moving.lock().await;
        let account = self.account_of(address)?;
        let not_a_cell = || {
            let cure = "give the 32 hexadecimal digits that `bailiwick admin cell` prints there";
            Refusal::new("not another cell", cure)
        };
        let to: CellId = to.parse().map_err(|_| not_a_cell())?;
        if to == self.keys.cell() {
            return Err(not_a_cell());
        }
        self.refuse_postmaster(account)?;
        let path = new_file(parcel)?;
        let key = self.keys.moving().map_err(|error| Refusal::failed("no key", &error))?;
        let unlocked = self.door.sudo_moving(account, secret).await??;
        self.may_leave(account)?;
        let mark = self.keystores.mark(account)?;
        if mark.is_some_and(|mark| mark.stage != Stage::Leaving || mark.other != to) {
            return Err(MoveError::Step.into());
        }
        // Before the account is marked: where nothing can be written, nobody is kept out.
        let file = create(&path).map_err(|_| {
            Refusal::new("the parcel cannot be written there", "name one the cell can make")
        })?;
        let written = async {
            if mark.is_none() {
                self.log_staff_act(account, "account is to move").await?;
                self.door.leave(unlocked, to, key.public(), clock::now()).await?;
            }
            self.written(account, key, file).await
        };
        let written = match written.await {
            Ok(written) => written,
            Err(refusal) => {
                // What is not whole is of no use to anybody.
                drop(std::fs::remove_file(&path));
                return Err(refusal);
            }
        };
        self.door.note_parcel(&written).await?;
        Ok(Answer::Parcel(ParcelAnswer {
            account: account.to_string(),
            parcel: written.digest.to_string(),
            records: written.records,
            octets: written.octets,
            paper: None,
        }))
    }

    /// Writes the parcel of an account that is marked.
    async fn written(
        &self,
        account: AccountId,
        key: SigningKey,
        file: File,
    ) -> Result<Parcel, Refusal> {
        let door = Arc::clone(&self.door);
        let write = move || {
            let mut out = BufWriter::new(file);
            let parcel = door.write_parcel(account, &key, clock::now(), &mut out)?;
            out.flush().map_err(ParcelError::Io)?;
            out.get_ref().sync_all().map_err(ParcelError::Io)?;
            Ok::<_, MoveError>(parcel)
        };
        let written = tokio::task::spawn_blocking(write).await;
        Ok(written.map_err(|error| Refusal::failed("the parcel", &error))??)
    }

    /// The account does not leave after all.
    pub(crate) async fn stay(
        &self,
        address: &str,
        secret: Zeroizing<String>,
    ) -> Result<Answer, Refusal> {
        let _moving = self.moving.lock().await;
        let account = self.account_of(address)?;
        drop(self.door.sudo_moving(account, secret).await??);
        self.log_staff_act(account, "account stays").await?;
        self.door.stay(account).await?;
        Ok(Answer::Done)
    }

    /// Lets an account go that its owner says has arrived, deletes it here, and gives the
    /// discharge. Shown the same acceptance again, it gives the same.
    pub(crate) async fn part(&self, acceptance: &str) -> Result<Answer, Refusal> {
        let _moving = self.moving.lock().await;
        let acceptance = Acceptance::read(acceptance)?;
        let (account, now) = (acceptance.account(), clock::now());
        let gone = match self.door.may_go(&acceptance)? {
            Some(gone) => gone,
            None => {
                self.may_leave(account)?;
                let mark = self.keystores.mark(account)?.ok_or(MoveError::Step)?;
                self.log_move(account, Direction::Out, mark.other).await?;
                // A demand may have come while the log was being written.
                self.may_leave(account)?;
                self.door.let_go(&acceptance, now).await?
            }
        };
        self.close_departed(&gone).await?;
        if self.routes.closing_accounts().contains(&account) {
            self.shred(account).await?;
            self.overwrite(&[account]).await?;
        }
        let key = self.keys.moving().map_err(|error| Refusal::failed("no key", &error))?;
        let about = gone.about(self.keys.cell());
        let discharge = Discharge::sign(about, gone.at, gone.acceptance, &key);
        Ok(Answer::Paper { text: discharge.text() })
    }

    /// Takes a parcel in, opens all of it with its owner's recovery code, and gives the acceptance.
    pub(crate) async fn arrive(
        self: &Arc<Self>,
        parcel: String,
        from: &str,
        secret: String,
    ) -> Result<Answer, Refusal> {
        let (_moving, secret) = (self.moving.lock().await, Zeroizing::new(secret));
        let from = hex::decode_array(from).map(VerifyingKey).ok_or(ParcelError::Stranger)?;
        let path = PathBuf::from(parcel);
        let (door, input) = (Arc::clone(&self.door), open(&path)?);
        let inspected = tokio::task::spawn_blocking(move || door.inspect_parcel(input, &from));
        let inspected = inspected.await;
        let inspected = inspected.map_err(|error| Refusal::failed("the parcel", &error))?;
        let (parcel, locked) = inspected?;
        let account = parcel.head.account;
        self.can_hold(locked.manifest().custody)?;
        let comes_back = self.keystores.gone(account)?.is_some();
        if comes_back && self.routes.closing_accounts().contains(&account) {
            return Err(Refusal::new("the account has not left to its end", AGAIN));
        }
        if !comes_back && self.routes.closed_accounts().contains(&account) {
            return Err(Refusal::new("the account was deleted here", "make a new account"));
        }
        self.door.try_secret(locked.clone(), secret.clone()).await?;
        self.door.take_in(open(&path)?, parcel, clock::now()).await?;
        let accepted = self.door.accept(parcel, locked, secret).await?;
        if comes_back {
            self.routes.forget_closed_of(account).await?;
        }
        Ok(Answer::Parcel(ParcelAnswer {
            account: account.to_string(),
            parcel: parcel.digest.to_string(),
            records: parcel.records,
            octets: parcel.octets,
            paper: Some(accepted.text()),
        }))
    }

    /// Brings an account to life that its old cell has let go, under an address of this cell.
    pub(crate) async fn settle(
        &self,
        discharge: &str,
        address: &str,
        secret: Zeroizing<String>,
    ) -> Result<Answer, Refusal> {
        let _moving = self.moving.lock().await;
        self.routes.forget_closed(clock::now()).await?;
        let address = self.free_address(address)?;
        let discharge = Discharge::read(discharge)?;
        let account = discharge.account();
        let unlocked = self.door.sudo_moving(account, secret.clone()).await??;
        // Cut short after the first commit, it is this cell's and has no address yet.
        let goes_on = self.keystores.mark(account)?.is_none()
            && unlocked.locked().manifest().cell == self.keys.cell()
            && self.routes.of(account).is_empty();
        if goes_on {
            self.log_staff_act(account, "address added").await?;
        } else {
            let about = self.door.may_live(&discharge)?;
            self.can_hold(unlocked.locked().manifest().custody)?;
            self.log_move(account, Direction::In, about.from).await?;
        }
        let custody = unlocked.locked().manifest().custody;
        let target =
            Target { cell: self.keys.cell(), custody, escrow: self.policies.configured(custody) };
        self.door.settle(unlocked, &target, clock::now()).await?;
        // If it had left this cell: until here that kept old parcels of it out, and from here on an
        // address leads to it.
        self.keystores.forget_gone(account).await?;
        let mut unlocked = self.unlock(account, secret).await?;
        let left = unlocked.leave_behind(clock::now(), self.entropy.as_ref())?;
        if !left.is_empty() {
            self.keystores.commit(account, left).await?;
        }
        if !self.door.finish_rekey(unlocked).await? {
            tracing::warn!("an account that arrived is re-keyed to the end at its next login");
        }
        self.desk.note_account(account, clock::now())?;
        self.routes.add(&address, account, false).await?;
        Ok(Answer::Done)
    }

    /// Closes the addresses of every account that has gone, if that was cut short: what is closed is
    /// then deleted by [`Cell::finish_deletions`].
    pub(crate) async fn finish_departures(&self) -> Result<(), Refusal> {
        for gone in self.keystores.all_gone()? {
            self.close_departed(&gone).await?;
        }
        Ok(())
    }

    async fn close_departed(&self, gone: &Gone) -> Result<(), Refusal> {
        // One that came back since is not marked.
        let is_here = self.keystores.is_moving(gone.account)?;
        if is_here && !self.routes.of(gone.account).is_empty() {
            self.routes.close(gone.account, closed_until(gone), true).await?;
        }
        Ok(())
    }

    /// Whether an account may leave now. One answer for all that may keep it, as one of them may be
    /// a secret.
    fn may_leave(&self, account: AccountId) -> Result<(), Refusal> {
        if self.desk.binds(account, clock::now()) || self.queue.has_letters_of(account) {
            return Err(Refusal::new(
                "the account cannot leave now",
                "ask again in some days: letters that it sent may wait to be delivered, or the \
                 law may keep it here; which it is this program tells nobody",
            ));
        }
        Ok(())
    }

    fn can_hold(&self, custody: Custody) -> Result<(), Refusal> {
        if custody != Custody::Sealed && self.policies.configured(custody).is_none() {
            return Err(Refusal::new(
                "the cell does not offer the custody that the account is in",
                "name holders and guards in [custody] of the configuration, and restart; or let \
                 its owner change its custody in the cell where it is",
            ));
        }
        Ok(())
    }

    async fn log_move(
        &self,
        account: AccountId,
        direction: Direction,
        other: CellId,
    ) -> Result<(), Refusal> {
        let draft = acts::moved(clock::now(), account, direction, other);
        let item = Item { draft, open_by: None, about: None };
        let logged = self.keeper.append(vec![item]).await;
        logged.map(|_| ()).map_err(|error| Refusal::failed("the log could not be written", &error))
    }
}

fn closed_until(gone: &Gone) -> Timestamp {
    Timestamp(gone.at.0.saturating_add(CLOSED_SECONDS))
}

/// A path where nothing is.
fn new_file(path: &str) -> Result<PathBuf, Refusal> {
    let path = PathBuf::from(path);
    if !path.is_absolute() || path.exists() {
        return Err(Refusal::new("not the path of a new file", "name one that does not exist"));
    }
    Ok(path)
}

fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

fn open(path: &Path) -> Result<BufReader<File>, Refusal> {
    let file = File::open(path);
    let unreadable = || Refusal::new("the parcel cannot be read", "name a file the cell can read");
    file.map(BufReader::new).map_err(|_| unreadable())
}
