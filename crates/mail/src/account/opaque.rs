//! The owner's door for programs that keep their secret to themselves: OPAQUE, passkeys, devices.
//!
//! Two messages show that the secret is there; then the program is offered the account's keystore,
//! opens it by itself, and lets the session in with a grant.
//!
//! Invariant: neither secret nor master key comes here. A user who is not there is answered like
//! one who is. What is remembered between two messages is bounded, serves once, and ends.
//! Refs: specs/session.md; specs/bw1.md §4.5; RFC 9807 §10.9.

use core::net::IpAddr;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use custody::user::client::Offer;
use custody::user::{AccountKeys, GrantError, Locked, SessionId};
use proto::address::Address;
use seal::Entropy;
use seal::grant::Grant;
use seal::hseal::SecretKey;
use seal::opaque::{
    Expected, LOGIN_PROOF_BYTES, LOGIN_REQUEST_BYTES, LOGIN_RESPONSE_BYTES, OpaqueError,
    REGISTRATION_REQUEST_BYTES, REGISTRATION_RESPONSE_BYTES,
};
use seal::slot::{PASSKEY_SALT_BYTES, Scope, SlotKind, SlotRecord, knock};
use vocab::{AccountId, CellId, SlotId, Timestamp};
use zeroize::Zeroizing;

use super::turns::{Source, room, source};
use super::{Account, Door, LoginError, OpenError, OpenKeys, Pass};

/// How long a program may take for its next message. An Argon2id is in it.
const STEP_SECONDS: u64 = 120;
/// Exchanges under way.
const ENTRIES_MAX: usize = 1024;
/// Of these, from one network.
const ENTRIES_PER_SOURCE: usize = 32;

impl From<GrantError> for LoginError {
    fn from(error: GrantError) -> Self {
        match error {
            GrantError::Closed | GrantError::Revoked | GrantError::Keys => Self::Wrong,
            GrantError::Scope => Self::Scope,
            // The program asks its owner again.
            GrantError::Expired | GrantError::Stale => Self::Expired,
        }
    }
}

/// An exchange that goes on.
struct Entry {
    ends: Timestamp,
    source: Source,
    step: Step,
}

enum Step {
    /// The second message is expected; of nobody's, if there is no such password.
    Opaque { expected: Box<Expected>, counted: AccountId, who: Option<(AccountId, SlotId)> },
    /// An answer to what was sealed to a slot.
    Knock { question: [u8; 32], who: Option<(AccountId, SlotId)> },
    /// A grant, sealed to this key.
    Offered { who: (AccountId, SlotId), key: Box<SecretKey> },
}

/// Every exchange under way.
#[derive(Default)]
pub(super) struct Entries(Mutex<HashMap<SessionId, Entry>>);

impl Entries {
    /// One more. Of too many, the one that ends first makes way, and of those whose secret was
    /// shown only if there are no others: whoever begins many and ends none keeps nobody out.
    fn put(&self, session: SessionId, entry: Entry, now: Timestamp) -> Result<(), LoginError> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, entry| entry.ends > now);
        let of_source = held.values().filter(|other| other.source == entry.source).count();
        if entry.source.is_some() && of_source >= ENTRIES_PER_SOURCE {
            return Err(LoginError::Busy);
        }
        let rank = |entry: &Entry| (matches!(entry.step, Step::Offered { .. }), entry.ends);
        if held.len() >= ENTRIES_MAX
            && let Some(first) = held.iter().min_by_key(|(_, entry)| rank(entry))
        {
            let first = *first.0;
            held.remove(&first);
        }
        held.insert(session, entry);
        Ok(())
    }

    /// Each serves once.
    fn take(&self, session: &SessionId, now: Timestamp) -> Option<Entry> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.remove(session).filter(|entry| entry.ends > now)
    }
}

/// What is asked of a passkey or a device.
pub struct Knock {
    /// The exchange, and the session it leads to.
    pub session: SessionId,
    /// What a passkey is evaluated with; nothing to a device.
    pub salt: [u8; PASSKEY_SALT_BYTES],
    /// For [`seal::slot::Unlocker::answer`].
    pub sealed: Vec<u8>,
}

/// A session that was let in.
pub struct Entered {
    /// The account.
    pub account: Arc<Account>,
    /// Leave to go on, until the session's end.
    pub pass: Pass,
    /// When it ends.
    pub until: Timestamp,
    /// What opens it again after a restart, if it was to be kept. Shown once.
    pub token: Option<Zeroizing<String>>,
}

impl Door {
    /// Answers the registration of an OPAQUE password, for an account that was unlocked to change
    /// its unlockers. What comes of it is stored with [`custody::user::Unlocked::set_opaque`].
    ///
    /// # Errors
    /// [`OpaqueError::Malformed`].
    pub fn register_opaque(
        &self,
        account: AccountId,
        request: &[u8; REGISTRATION_REQUEST_BYTES],
    ) -> Result<[u8; REGISTRATION_RESPONSE_BYTES], OpaqueError> {
        self.options.keystores.opaque.register(account, request)
    }

    /// Answers the first message of a login with OPAQUE.
    ///
    /// # Errors
    /// [`LoginError::Wrong`] for what is no such message, [`LoginError::Busy`],
    /// [`LoginError::Failed`], [`LoginError::Tampered`]. None for a user who is not there.
    pub async fn opaque_start(
        self: &Arc<Self>,
        user: &str,
        from: Option<IpAddr>,
        request: [u8; LOGIN_REQUEST_BYTES],
    ) -> Result<(SessionId, [u8; LOGIN_RESPONSE_BYTES]), LoginError> {
        let _turn = self.turns.take(from, false).await?;
        let (now, source, account) = (self.now(), source(from), (self.options.resolve)(user));
        let counted = account.unwrap_or_else(|| self.nobody(user));
        if !self.attempts.admits(counted, source, now) {
            return Err(LoginError::Busy);
        }
        let door = Arc::clone(self);
        let answer = move || -> Result<_, LoginError> {
            let locked =
                account.map(|account| door.options.keystores.locked(account)).transpose()?;
            let slot = locked.as_ref().and_then(|locked| valid(locked, is_opaque, now));
            let record = slot.and_then(SlotRecord::opaque_record);
            let (opaque, entropy) = (&door.options.keystores.opaque, door.entropy());
            let (expected, response) =
                opaque.answer(counted, record, &request, entropy).map_err(|_| LoginError::Wrong)?;
            let who = account.zip(slot.map(SlotRecord::slot));
            let step = Step::Opaque { expected: Box::new(expected), counted, who };
            Ok((door.enter_step(source, step)?, response))
        };
        tokio::task::spawn_blocking(answer).await.map_err(|_| LoginError::Failed)?
    }

    /// Takes the second message: whoever made it knows the password, and is offered the account.
    ///
    /// # Errors
    /// [`LoginError::Wrong`] if not, or if the exchange is over; as [`Door::opaque_start`].
    pub async fn opaque_finish(
        self: &Arc<Self>,
        session: SessionId,
        proof: &[u8; LOGIN_PROOF_BYTES],
    ) -> Result<Offer, LoginError> {
        let entry = self.entries.take(&session, self.now()).ok_or(LoginError::Wrong)?;
        let Step::Opaque { expected, counted, who } = entry.step else {
            return Err(LoginError::Wrong);
        };
        expected.check(proof).map_err(|_| LoginError::Wrong)?;
        let who = who.ok_or(LoginError::Wrong)?;
        self.attempts.forget(counted, entry.source);
        self.offer(who, entry.source).await
    }

    /// Asks something of a passkey or a device that only it can answer.
    ///
    /// # Errors
    /// [`LoginError::Busy`], [`LoginError::Failed`], [`LoginError::Tampered`]. None for a user or
    /// slot that is not there.
    pub async fn knock(
        self: &Arc<Self>,
        user: &str,
        slot: SlotId,
        from: Option<IpAddr>,
    ) -> Result<Knock, LoginError> {
        let _turn = self.turns.take(from, false).await?;
        let account = (self.options.resolve)(user);
        let nobody = self.nobody(user);
        let door = Arc::clone(self);
        let ask = move || -> Result<_, LoginError> {
            let (now, entropy) = (door.now(), door.entropy());
            let locked =
                account.map(|account| door.options.keystores.locked(account)).transpose()?;
            let is_it = |known: &SlotRecord| {
                let kind = known.kind();
                known.slot() == slot && matches!(kind, SlotKind::Passkey | SlotKind::Device)
            };
            let known = locked.as_ref().and_then(|locked| valid(locked, is_it, now));
            let mut question = [0; 32];
            entropy.fill(&mut question);
            // To nobody it is sealed in the same way, for the same salt each time.
            let stranger = account.unwrap_or(nobody);
            let salt = known.and_then(SlotRecord::passkey_salt).copied();
            let salt = salt.unwrap_or_else(|| seal::mac::sha256(&[&nobody.0, &slot.0]).0);
            let to = known.map_or(&door.options.keystores.nobody, SlotRecord::key);
            let sealed = knock(to, stranger, slot, &question, entropy);
            let sealed = sealed.map_err(|_| LoginError::Failed)?;
            let who = account.zip(known.map(SlotRecord::slot));
            let session = door.enter_step(source(from), Step::Knock { question, who })?;
            Ok(Knock { session, salt, sealed })
        };
        tokio::task::spawn_blocking(ask).await.map_err(|_| LoginError::Failed)?
    }

    /// Takes the answer: whoever made it has the slot's secret, and is offered the account.
    ///
    /// # Errors
    /// As [`Door::opaque_finish`].
    pub async fn knocked(
        self: &Arc<Self>,
        session: SessionId,
        answer: &[u8; 32],
    ) -> Result<Offer, LoginError> {
        let entry = self.entries.take(&session, self.now()).ok_or(LoginError::Wrong)?;
        let Step::Knock { question, who } = entry.step else {
            return Err(LoginError::Wrong);
        };
        if question != *answer {
            return Err(LoginError::Wrong);
        }
        self.offer(who.ok_or(LoginError::Wrong)?, entry.source).await
    }

    /// Lets the session in with the grant its program made, for `scope`; and keeps it beyond a
    /// restart of the server if that is wanted.
    ///
    /// # Errors
    /// [`LoginError::Wrong`] for a grant that does not open, holds other keys or is of an unlocker
    /// that was taken away; [`LoginError::Expired`] for one that is over, or that the account's
    /// keys are newer than; [`LoginError::Scope`]; and what opening an account can meet.
    pub async fn enter(
        self: &Arc<Self>,
        session: SessionId,
        sealed: Vec<u8>,
        scope: Scope,
        keep: bool,
    ) -> Result<Entered, LoginError> {
        room()?;
        let entry = self.entries.take(&session, self.now()).ok_or(LoginError::Wrong)?;
        let Step::Offered { who: (account, slot), key } = entry.step else {
            return Err(LoginError::Wrong);
        };
        let door = Arc::clone(self);
        let open = move || -> Result<_, LoginError> {
            let locked = door.options.keystores.locked(account)?;
            let grant = locked.open_grant(&key, slot, &session, &sealed)?;
            let keys = locked.granted(&grant, scope, door.now())?;
            Ok((grant, keys))
        };
        let (grant, keys) =
            tokio::task::spawn_blocking(open).await.map_err(|_| LoginError::Failed)??;
        let mut entered = self.let_in(session, &grant, keys).await?;
        if keep {
            let token = self.options.keystores.keep_session(&grant, session, self.now()).await?;
            entered.token = Some(token);
        }
        Ok(entered)
    }

    /// Opens the account for a session that a grant opens.
    pub(super) async fn let_in(
        self: &Arc<Self>,
        session: SessionId,
        grant: &Grant,
        keys: AccountKeys,
    ) -> Result<Entered, LoginError> {
        let seconds = grant.expires.0.saturating_sub(self.now().0);
        let (id, generation) = (grant.account, grant.generation);
        let pass = self.passes.issue_session(id, grant.slot, (session, generation), seconds);
        let digest = keys.manifest().1;
        if self.options.keystores.is_moving(id)? {
            return Err(LoginError::Moving);
        }
        if let Err(error) = self.options.keystores.note_use(&keys, grant.slot, self.now()).await {
            tracing::error!(%error, "an unlocker's last use was not noted");
        }
        let ingest = self.options.ingest;
        let opened = self.registry.open(OpenKeys { keys, ingest }).await;
        let account = opened.map_err(|error| match error {
            OpenError::Stale => LoginError::Expired,
            error @ (OpenError::Tampered | OpenError::Failed) => error.into(),
        })?;
        // An unlocker that was taken away meanwhile opens nothing.
        if self.options.keystores.stored(id)? != digest {
            return Err(LoginError::Expired);
        }
        Ok(Entered { account, pass, until: grant.expires, token: None })
    }

    async fn offer(
        self: &Arc<Self>,
        (account, slot): (AccountId, SlotId),
        source: Source,
    ) -> Result<Offer, LoginError> {
        let door = Arc::clone(self);
        let offer = move || -> Result<Offer, LoginError> {
            let keystores = &door.options.keystores;
            let locked = keystores.locked(account)?;
            let key = SecretKey::generate(door.entropy()).map_err(|_| LoginError::Failed)?;
            let (to, who) = (key.public(), (account, slot));
            let session = door.enter_step(source, Step::Offered { who, key: Box::new(key) })?;
            let (cell, records) = (CellId(keystores.cell.0), locked.records());
            Ok(Offer { cell, account, slot, session, to, records })
        };
        tokio::task::spawn_blocking(offer).await.map_err(|_| LoginError::Failed)?
    }

    /// One more message is awaited.
    fn enter_step(&self, source: Source, step: Step) -> Result<SessionId, LoginError> {
        let (mut session, now) = ([0; 16], self.now());
        self.entropy().fill(&mut session);
        let ends = Timestamp(now.0.saturating_add(STEP_SECONDS));
        self.entries.put(session, Entry { ends, source, step }, now)?;
        Ok(session)
    }

    /// Whom to answer for under a name that nobody has: the same under every spelling in which an
    /// account would be found, or the spellings would tell that there is none.
    fn nobody(&self, user: &str) -> AccountId {
        let known = Address::parse(user).map(|address| address.lookup_key());
        self.options.keystores.opaque.nobody(known.as_deref().unwrap_or(user))
    }

    pub(super) fn now(&self) -> Timestamp {
        self.registry.services().clock.now()
    }

    fn entropy(&self) -> &dyn Entropy {
        self.registry.services().entropy.as_ref()
    }
}

fn is_opaque(slot: &SlotRecord) -> bool {
    slot.kind() == SlotKind::Opaque
}

/// The account's unlocker that is wanted, unless its time is over.
fn valid(
    locked: &Locked,
    is_it: impl Fn(&SlotRecord) -> bool,
    now: Timestamp,
) -> Option<&SlotRecord> {
    let goes_on = |slot: &SlotRecord| slot.expires().is_none_or(|end| end > now);
    locked.slots().iter().find(|slot| is_it(slot) && goes_on(slot))
}
