//! The owner's door: from a user name and a secret to an open account. IMAP, submission and
//! whatever comes later all go through here.
//!
//! Invariant: what is unlocked is dropped but for the session's keys; no key is used that is
//! not stored; a session ends with its unlocker; neither name nor secret is logged.
//! Refs: specs/bw1.md §4, §5.4; design §4.

use core::net::IpAddr;
use std::sync::Arc;

use custody::user::{Attempt, ChangeError, Changes, UnlockError, Unlocked};
use seal::Secret;
use seal::code;
use seal::escrow::EscrowPolicy;
use seal::manifest::Manifest;
use seal::sign::VerifyingKey;
use seal::slot::{Scope, SlotKind};
use vocab::AccountId;
use zeroize::Zeroizing;

use super::attempts::Attempts;
use super::opaque::Entries;
use super::passes::{Pass, Passes};
use super::turns::Turns;
use super::{Account, KeystoreError, Keystores, OpenError, OpenKeys, Registry};

/// How often an account is opened whose keys change while it is opened.
const OPENS_MAX: usize = 5;

/// Why nobody was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// No such user, or not their secret; which of the two is not said.
    #[error("wrong user name or secret")]
    Wrong,
    /// The secret's time is over.
    #[error("the unlocker has expired")]
    Expired,
    /// The secret does not allow this.
    #[error("the unlocker does not allow this")]
    Scope,
    /// Too many attempts at once, or no memory for one.
    #[error("too many logins at once")]
    Busy,
    /// The account is on its way to another cell, or from one.
    #[error("the account is moving to another cell, or from one")]
    Moving,
    /// The account's records were altered.
    #[error("the account's records were tampered with")]
    Tampered,
    /// The store failed.
    #[error("the account could not be opened")]
    Failed,
}

impl From<UnlockError> for LoginError {
    fn from(error: UnlockError) -> Self {
        match error {
            // To whoever stole a secret, one that serves elsewhere is a wrong one.
            UnlockError::Wrong | UnlockError::Network => Self::Wrong,
            UnlockError::Expired => Self::Expired,
            UnlockError::Scope => Self::Scope,
            UnlockError::Memory => Self::Busy,
            UnlockError::Tampered(_) => Self::Tampered,
        }
    }
}

impl From<OpenError> for LoginError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Tampered => Self::Tampered,
            OpenError::Stale | OpenError::Failed => Self::Failed,
        }
    }
}

impl From<KeystoreError> for LoginError {
    fn from(error: KeystoreError) -> Self {
        if error == KeystoreError::Moving {
            return Self::Moving;
        }
        if error.is_tampering() { Self::Tampered } else { Self::Failed }
    }
}

/// Finds the account of a user name as typed; the routes know.
pub type Resolve = Arc<dyn Fn(&str) -> Option<AccountId> + Send + Sync>;
/// The escrow policy for what is made of an account next; `None` in custody `sealed`.
pub type Policy = Arc<dyn Fn(&Manifest) -> Option<EscrowPolicy> + Send + Sync>;

/// What somebody shows at the door.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// The user name, as typed.
    pub user: &'a str,
    /// The secret, as typed.
    pub secret: &'a str,
    /// Whether it was shown as a token, and may be nothing else (RFC 7628).
    pub is_token: bool,
    /// From where.
    pub from: Option<IpAddr>,
}

/// What a door is made with.
pub struct DoorOptions {
    /// Who is meant.
    pub resolve: Resolve,
    /// The holders of an account's escrow from now on ([`super::Policies::next`]).
    pub policy: Policy,
    /// The accounts' keystores.
    pub keystores: Arc<Keystores>,
    /// The cell's key that signs arrivals, public half.
    pub ingest: VerifyingKey,
    /// The cell's pepper for passwords.
    pub pepper: Option<Secret<32>>,
    /// Whether the account's password opens it here, at the cost of an Argon2id; app passwords
    /// and recovery codes always do.
    pub passwords: bool,
    /// Argon2id runs at a time.
    pub parallel: usize,
}

/// The one way in for an owner.
pub struct Door {
    pub(super) registry: Registry,
    pub(super) options: DoorOptions,
    pub(super) turns: Turns,
    pub(super) passes: Passes,
    pub(super) attempts: Attempts,
    pub(super) entries: Entries,
}

impl Door {
    /// A door to the accounts of `registry`.
    #[must_use]
    pub fn new(registry: Registry, options: DoorOptions) -> Arc<Self> {
        let turns = Turns::new(options.parallel);
        let (passes, attempts, entries) = Default::default();
        Arc::new(Self { registry, options, turns, passes, attempts, entries })
    }

    /// The accounts that are open.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Unlocks and opens the account of a user for reading and writing mail.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn open(
        self: &Arc<Self>,
        shown: Shown<'_>,
    ) -> Result<(Arc<Account>, Pass), LoginError> {
        let unlocked = self.unlock(shown, Scope::IMAP).await?;
        let unlocked = self.go_on_rekeying(unlocked).await;
        let mut unlocked = self.upkeep(unlocked).await?;
        let pass = self.pass(&unlocked).await?;
        let id = unlocked.account();
        let mut tries = 1;
        let (account, digest) = loop {
            let digest = unlocked.locked().digest();
            match self.open_unlocked(unlocked).await {
                Err(OpenError::Stale) if tries < OPENS_MAX => {
                    unlocked = self.unlock(shown, Scope::IMAP).await?;
                    tries += 1;
                }
                opened => break (opened?, digest),
            }
        };
        self.reseal_later(&account);
        if self.options.keystores.stored(id)? != digest {
            // Keys were renewed while it was being opened, and nobody told it.
            let keys = self.unlock(shown, Scope::IMAP).await?.into_keys();
            self.registry.renew(OpenKeys { keys, ingest: self.options.ingest }).await;
        }
        Ok((account, pass))
    }

    /// Checks a secret for another use, such as submission, and opens nothing.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn verify(
        self: &Arc<Self>,
        shown: Shown<'_>,
        scope: Scope,
    ) -> Result<(AccountId, Pass), LoginError> {
        let unlocked = self.unlock(shown, scope).await?;
        let pass = self.pass(&unlocked).await?;
        Ok((unlocked.account(), pass))
    }

    /// Unlocks an account for a change of itself, also with its password. Whoever asks found it
    /// by one of its addresses; from where does not count.
    ///
    /// # Errors
    /// [`UnlockError`] or [`LoginError`].
    pub async fn sudo(
        self: &Arc<Self>,
        account: AccountId,
        secret: Zeroizing<String>,
    ) -> Result<Result<Unlocked, UnlockError>, LoginError> {
        let _turn = self.turns.take(None, code::kind_of(&secret).is_none()).await?;
        let door = Arc::clone(self);
        let unlock = move || {
            let locked = door.options.keystores.locked(account)?;
            Ok(locked.unlock(&door.attempt(&secret, Scope::SUDO, None, true)))
        };
        tokio::task::spawn_blocking(unlock).await.map_err(|_| LoginError::Failed)?
    }

    /// Opens the account that was unlocked for something else than mail.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_unlocked(&self, unlocked: Unlocked) -> Result<Arc<Account>, OpenError> {
        let ingest = self.options.ingest;
        self.registry.open(OpenKeys { keys: unlocked.into_keys(), ingest }).await
    }

    /// Stores a change of unlockers. The sessions of those that went end; those that go on get
    /// the account's present keys.
    ///
    /// # Errors
    /// [`KeystoreError`]; then nothing has changed.
    pub async fn change(&self, unlocked: Unlocked, changes: Changes) -> Result<(), KeystoreError> {
        let account = unlocked.account();
        self.options.keystores.commit(account, changes).await?;
        self.passes.keep(account, |slot| {
            unlocked.locked().slots().iter().any(|known| known.slot() == slot)
        });
        self.passes.keep_generation(account, unlocked.locked().manifest().generation);
        let ingest = self.options.ingest;
        self.registry.renew(OpenKeys { keys: unlocked.into_keys(), ingest }).await;
        Ok(())
    }

    async fn unlock(
        self: &Arc<Self>,
        shown: Shown<'_>,
        scope: Scope,
    ) -> Result<Unlocked, LoginError> {
        let Shown { user, secret, is_token, from } = shown;
        let kind = code::kind_of(secret);
        if is_token && kind != Some(SlotKind::Token) {
            return Err(LoginError::Wrong);
        }
        let hashes = self.options.passwords && kind.is_none();
        let _turn = self.turns.take(from, hashes).await?;
        let account = (self.options.resolve)(user).ok_or(LoginError::Wrong)?;
        let (door, secret) = (Arc::clone(self), Zeroizing::new(secret.to_owned()));
        let unlock = move || -> Result<Unlocked, LoginError> {
            let locked = door.options.keystores.locked(account)?;
            let passwords = door.options.passwords;
            let unlocked = locked.unlock(&door.attempt(&secret, scope, from, passwords));
            if unlocked.as_ref().err() == Some(&UnlockError::Network) {
                tracing::warn!("an unlocker was shown from outside its networks");
            }
            Ok(unlocked?)
        };
        tokio::task::spawn_blocking(unlock).await.map_err(|_| LoginError::Failed)?
    }

    pub(super) fn attempt<'a>(
        &'a self,
        secret: &'a str,
        scope: Scope,
        from: Option<IpAddr>,
        passwords: bool,
    ) -> Attempt<'a> {
        Attempt {
            secret,
            scope,
            from,
            passwords,
            pepper: self.options.pepper.as_ref(),
            now: self.registry.services().clock.now(),
            // The keystore was compared with what the cell remembers of it.
            remembered: 0,
        }
    }

    /// A session's leave, and a note of the day. An unlocker that was taken away while it was
    /// being tried opens nothing.
    async fn pass(&self, unlocked: &Unlocked) -> Result<Pass, LoginError> {
        let (account, slot) = (unlocked.account(), unlocked.slot());
        let keystores = &self.options.keystores;
        let pass = self.passes.issue(account, slot);
        if keystores.is_moving(account)? {
            return Err(LoginError::Moving);
        }
        if keystores.stored(account)? != unlocked.locked().digest() {
            let now = keystores.locked(account)?;
            if !now.slots().iter().any(|known| known.slot() == slot) {
                return Err(LoginError::Wrong);
            }
        }
        let now = self.registry.services().clock.now();
        if let Err(error) = keystores.note_use(unlocked, slot, now).await {
            tracing::error!(%error, "an unlocker's last use was not noted");
        }
        Ok(pass)
    }

    /// Makes the months ahead that are missing, so that arrival never needs a private key, and
    /// goes over to other holders if the cell has. The last month has no end, so a failure here
    /// blocks nobody; it is said in the log.
    async fn upkeep(self: &Arc<Self>, unlocked: Unlocked) -> Result<Unlocked, LoginError> {
        let (account, stored) = (unlocked.account(), unlocked.locked().clone());
        let (door, mut unlocked) = (Arc::clone(self), unlocked);
        // Every month may be escrowed anew, which is milliseconds each.
        let made = tokio::task::spawn_blocking(move || {
            let made = door.make_months(&mut unlocked);
            (made, unlocked)
        });
        let (made, mut unlocked) = made.await.map_err(|_| LoginError::Failed)?;
        let changes = match made {
            Ok(changes) if changes.is_empty() => return Ok(unlocked),
            Ok(changes) => changes,
            Err(error) => {
                tracing::error!(%error, "the months ahead could not be made");
                unlocked.take_back(stored);
                return Ok(unlocked);
            }
        };
        let holders_before = stored.manifest().policy;
        match self.options.keystores.commit(account, changes).await {
            Ok(()) if unlocked.locked().manifest().policy != holders_before => {
                tracing::info!("an account went over to the cell's present holders");
            }
            Ok(()) => {}
            Err(error) => {
                // Of two logins at one time, one makes the months.
                if error != KeystoreError::Changed {
                    tracing::error!(%error, "the months ahead were not stored");
                }
                unlocked.take_back(stored);
            }
        }
        Ok(unlocked)
    }

    fn make_months(&self, unlocked: &mut Unlocked) -> Result<Changes, ChangeError> {
        let policy = (self.options.policy)(unlocked.locked().manifest());
        let services = self.registry.services();
        unlocked.upkeep(policy.as_ref(), services.clock.now(), services.entropy.as_ref())
    }
}
