//! The owner's door: from a user name and a secret to an open account. IMAP, submission and
//! whatever comes later all go through here.
//!
//! Invariant: few Argon2id runs at a time; what is unlocked is dropped but for the session's
//! keys; no key is used that is not stored; neither name nor secret is logged.
//! Refs: specs/bw1.md §4, §5.4; design §4.

use std::sync::Arc;

use custody::user::{Attempt, ChangeError, Changes, UnlockError, Unlocked};
use seal::Secret;
use seal::escrow::EscrowPolicy;
use seal::manifest::Manifest;
use seal::sign::VerifyingKey;
use seal::slot::Scope;
use tokio::sync::Semaphore;
use vocab::AccountId;
use zeroize::Zeroizing;

use super::{Account, KeystoreError, Keystores, OpenError, OpenKeys, Registry};

/// Attempts that may wait for their turn; more are told to come again.
const WAITING_MAX: usize = 64;

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
            UnlockError::Wrong => Self::Wrong,
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
            OpenError::Failed => Self::Failed,
        }
    }
}

impl From<KeystoreError> for LoginError {
    fn from(error: KeystoreError) -> Self {
        if error.is_tampering() { Self::Tampered } else { Self::Failed }
    }
}

/// Finds the account of a user name as typed; the routes know.
pub type Resolve = Arc<dyn Fn(&str) -> Option<AccountId> + Send + Sync>;
/// The escrow policy for what is made of an account next; `None` in custody `sealed`.
pub type Policy = Arc<dyn Fn(&Manifest) -> Option<EscrowPolicy> + Send + Sync>;

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
    registry: Registry,
    options: DoorOptions,
    turns: Semaphore,
    waiting: Semaphore,
}

impl Door {
    /// A door to the accounts of `registry`.
    #[must_use]
    pub fn new(registry: Registry, options: DoorOptions) -> Arc<Self> {
        let turns = Semaphore::new(options.parallel.max(1));
        Arc::new(Self { registry, options, turns, waiting: Semaphore::new(WAITING_MAX) })
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
        user: &str,
        secret: &str,
    ) -> Result<Arc<Account>, LoginError> {
        let unlocked = self.unlock(user, secret, Scope::IMAP).await?;
        let unlocked = self.upkeep(unlocked).await?;
        let ingest = self.options.ingest;
        Ok(self.registry.open(OpenKeys { keys: unlocked.into_keys(), ingest }).await?)
    }

    /// Checks a secret for another use, such as submission, and opens nothing.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn verify(
        self: &Arc<Self>,
        user: &str,
        secret: &str,
        scope: Scope,
    ) -> Result<AccountId, LoginError> {
        Ok(self.unlock(user, secret, scope).await?.account())
    }

    async fn unlock(
        self: &Arc<Self>,
        user: &str,
        secret: &str,
        scope: Scope,
    ) -> Result<Unlocked, LoginError> {
        let Ok(_place) = self.waiting.try_acquire() else { return Err(LoginError::Busy) };
        let _turn = self.turns.acquire().await.map_err(|_| LoginError::Failed)?;
        let account = (self.options.resolve)(user).ok_or(LoginError::Wrong)?;
        let (door, secret) = (Arc::clone(self), Zeroizing::new(secret.to_owned()));
        let unlock = move || door.unlock_blocking(account, &secret, scope);
        tokio::task::spawn_blocking(unlock).await.map_err(|_| LoginError::Failed)?
    }

    fn unlock_blocking(
        &self,
        account: AccountId,
        secret: &str,
        scope: Scope,
    ) -> Result<Unlocked, LoginError> {
        let locked = self.options.keystores.locked(account)?;
        Ok(locked.unlock(&Attempt {
            secret,
            scope,
            passwords: self.options.passwords,
            pepper: self.options.pepper.as_ref(),
            now: self.registry.services().clock.now(),
            // The keystore was compared with what the cell remembers of it.
            remembered: locked.manifest().version,
        })?)
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
