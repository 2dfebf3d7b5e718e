//! The owner's door: from a user name and a secret to an open account. IMAP, submission and
//! whatever comes later all go through here.
//!
//! Invariant: few Argon2id runs at a time; what is unlocked is dropped but for the session's
//! keys; neither name nor secret is logged.
//! Refs: specs/bw1.md §4, §5.4; design §4.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use custody::user::{Attempt, Changes, Locked, UnlockError, Unlocked};
use seal::Secret;
use seal::escrow::EscrowPolicy;
use seal::manifest::Manifest;
use seal::sign::VerifyingKey;
use seal::slot::Scope;
use store::Batch;
use tokio::sync::Semaphore;
use vocab::{AccountId, RecordKind, Row};
use zeroize::Zeroizing;

use super::{Account, OpenError, OpenKeys, Registry};

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

/// Finds the account of a user name as typed; the routes know.
pub type Resolve = Arc<dyn Fn(&str) -> Option<AccountId> + Send + Sync>;
/// The escrow policy a manifest names, for the months made ahead; `None` in custody `sealed`.
pub type Policy = Arc<dyn Fn(&Manifest) -> Option<EscrowPolicy> + Send + Sync>;

/// What a door is made with.
pub struct DoorOptions {
    /// Who is meant.
    pub resolve: Resolve,
    /// The holders of an account's escrow.
    pub policy: Policy,
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
    /// The highest manifest version seen of each account since the process began.
    seen: Mutex<HashMap<AccountId, u64>>,
    /// One change of a keystore at a time.
    keeping: tokio::sync::Mutex<()>,
}

impl Door {
    /// A door to the accounts of `registry`.
    #[must_use]
    pub fn new(registry: Registry, options: DoorOptions) -> Arc<Self> {
        let turns = Semaphore::new(options.parallel.max(1));
        Arc::new(Self {
            registry,
            options,
            turns,
            waiting: Semaphore::new(WAITING_MAX),
            seen: Mutex::new(HashMap::new()),
            keeping: tokio::sync::Mutex::new(()),
        })
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
        let mut unlocked = self.unlock(user, secret, Scope::IMAP).await?;
        self.upkeep(&mut unlocked).await;
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
        // Before the records: what is remembered later may be newer than what is read here.
        let remembered = self.remembered(account);
        let records = self.keystore(account)?;
        let locked = Locked::from_records(account, records).map_err(|_| LoginError::Tampered)?;
        let unlocked = locked.unlock(&Attempt {
            secret,
            scope,
            passwords: self.options.passwords,
            pepper: self.options.pepper.as_ref(),
            now: self.registry.services().clock.now(),
            remembered,
        })?;
        self.remember(account, unlocked.version());
        Ok(unlocked)
    }

    /// The account's keystore as of one moment: a change between two scans is read again.
    fn keystore(&self, account: AccountId) -> Result<Vec<(RecordKind, Bytes)>, LoginError> {
        let read = &self.registry.services().read;
        let failed = |_| LoginError::Failed;
        let mut records = Vec::new();
        for _ in 0..5 {
            records.clear();
            let before = read.change(account).map_err(failed)?;
            for kind in [RecordKind::Manifest, RecordKind::Slot, RecordKind::EpochBox] {
                for found in read.scan(account, kind, Row(0)) {
                    records.push((kind, found.map_err(failed)?.1));
                }
            }
            if read.change(account).map_err(failed)? == before {
                break;
            }
        }
        Ok(records)
    }

    /// Makes the months ahead that are missing, so that arrival never needs a private key. The
    /// last month has no end, so a failure here blocks nobody; it is said in the log.
    async fn upkeep(&self, unlocked: &mut Unlocked) {
        let _keeping = self.keeping.lock().await;
        let services = self.registry.services();
        let account = unlocked.account();
        if self.remembered(account) > unlocked.version() {
            // Someone else has just done it.
            return;
        }
        let policy = (self.options.policy)(unlocked.locked().manifest());
        let made =
            unlocked.upkeep(policy.as_ref(), services.clock.now(), services.entropy.as_ref());
        let changes = match made {
            Ok(changes) if changes.is_empty() => return,
            Ok(changes) => changes,
            Err(error) => {
                tracing::error!(error = %error, "the months ahead could not be made");
                return;
            }
        };
        match services.append.commit(batch(account, changes)).await {
            Ok(_) => self.remember(account, unlocked.version()),
            Err(error) => tracing::error!(error = %error, "the months ahead were not stored"),
        }
    }

    fn remembered(&self, account: AccountId) -> u64 {
        self.seen.lock().ok().and_then(|seen| seen.get(&account).copied()).unwrap_or(0)
    }

    fn remember(&self, account: AccountId, version: u64) {
        if let Ok(mut seen) = self.seen.lock() {
            let highest = seen.entry(account).or_insert(0);
            *highest = version.max(*highest);
        }
    }
}

/// A keystore's changes as one batch.
pub fn batch(account: AccountId, changes: Changes) -> Batch {
    let mut batch = Batch::new(account);
    for (kind, row) in changes.delete {
        batch = batch.delete(kind, row);
    }
    for record in changes.put {
        batch = batch.put(record.kind, record.row, record.bytes);
    }
    batch
}
