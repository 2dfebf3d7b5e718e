//! What unlocks an account: given, named and taken away with its owner's secret.
//!
//! Invariant: nothing here works without a secret of the owner that may change unlockers.

use custody::user::{ChangeError, Changes, Renewal, Terms, UnlockError, Unlocked};
use mail::account::{KeystoreError, LoginError};
use seal::escrow::EscrowPolicy;
use seal::note::{Note, NoteError};
use seal::slot::{Scope, SlotKind, SlotRecord};
use vocab::{AccountId, SlotId, Timestamp};
use zeroize::Zeroizing;

use super::{Cell, LONGER};
use crate::admin::protocol::{Answer, UnlockerLine, Wanted};
use crate::admin::server::Refusal;
use crate::clock;

pub(super) const ALTERED: &str =
    "somebody else has written to the data folder: restore it from a backup";

const SLOT: &str = "use a slot that `bailiwick admin unlocker list` prints";

impl From<LoginError> for Refusal {
    fn from(error: LoginError) -> Self {
        let cure = match error {
            LoginError::Wrong | LoginError::Expired | LoginError::Scope => {
                "give the account's password or recovery code"
            }
            LoginError::Busy => "do it again when the cell has less to do",
            LoginError::Moving => super::moving::MOVING,
            LoginError::Tampered => ALTERED,
            LoginError::Failed => "see the server's log",
        };
        Self::new(error.to_string(), cure)
    }
}

impl From<NoteError> for Refusal {
    fn from(error: NoteError) -> Self {
        let cure = match error {
            NoteError::Name => "choose a shorter name, on one line",
            NoteError::TooMany => "name fewer networks, or larger ones",
            NoteError::Network => "write the first address of the network and its length",
        };
        Self::new(error.to_string(), cure)
    }
}

impl From<UnlockError> for Refusal {
    fn from(error: UnlockError) -> Self {
        let cure = match error {
            UnlockError::Wrong
            | UnlockError::Expired
            | UnlockError::Scope
            | UnlockError::Network => {
                "give the account's password or recovery code; an app password does not do"
            }
            UnlockError::Memory => "do it again when the cell has less to do",
            UnlockError::Tampered(_) => ALTERED,
        };
        Self::new(error.to_string(), cure)
    }
}

impl From<ChangeError> for Refusal {
    fn from(error: ChangeError) -> Self {
        let cure = match error {
            ChangeError::Sudo => "give the account's password or recovery code",
            ChangeError::TooMany => "revoke an app password first",
            ChangeError::Unknown => SLOT,
            ChangeError::LastRecovery => "use `bailiwick admin account recovery` to make another",
            ChangeError::NoRecovery => "make a recovery code first",
            ChangeError::End => "name a time that is to come, and for a token within a day",
            ChangeError::Taken => "do it again",
            ChangeError::Name(_) => "choose a shorter name, on one line",
            ChangeError::Policy => {
                "name holders and guards in [custody] of the configuration, and restart"
            }
            ChangeError::Short => LONGER,
            ChangeError::Password(_) => "choose another password",
            ChangeError::Tampered => ALTERED,
            ChangeError::Seal(_) => "see the server's log",
        };
        Self::new(error.to_string(), cure)
    }
}

impl From<KeystoreError> for Refusal {
    fn from(error: KeystoreError) -> Self {
        let cure = match error {
            KeystoreError::Changed => "do it again",
            KeystoreError::Moving => super::moving::MOVING,
            KeystoreError::Full => "free disk space",
            KeystoreError::Unpinned
            | KeystoreError::Exchanged
            | KeystoreError::Older
            | KeystoreError::Altered(_) => ALTERED,
            KeystoreError::Failed => "see the server's log",
        };
        Self::new(error.to_string(), cure)
    }
}

impl Cell {
    /// Every unlocker of an account, with what its owner says of it.
    pub(crate) async fn list_unlockers(
        &self,
        address: &str,
        secret: Zeroizing<String>,
    ) -> Result<Answer, Refusal> {
        let account = self.account_of(address)?;
        let unlocked = self.unlock(account, secret).await?;
        let last_uses = self.keystores.last_uses(&unlocked)?;
        let notes = unlocked.notes()?;
        let kept = self.door.sessions(account)?;
        let sessions = |slot| {
            let own = kept.iter().filter(|kept| kept.slot == slot);
            own.map(|kept| (SlotId(kept.session).to_string(), kept.until.0)).collect()
        };
        let line = |(slot, note): &(&SlotRecord, Note)| UnlockerLine {
            slot: slot.slot().to_string(),
            kind: kind_name(slot.kind()).to_owned(),
            name: note.name().to_owned(),
            scope: scope_names(slot.scope()),
            from: note.networks().iter().map(ToString::to_string).collect(),
            created: slot.created().0,
            expires: slot.expires().map(|end| end.0),
            last_used: last_uses.get(&slot.slot()).map(|day| day.0),
            sessions: sessions(slot.slot()),
        };
        Ok(Answer::Unlockers { unlockers: notes.iter().map(line).collect() })
    }

    /// A new app password for one program.
    pub(crate) async fn add_app_password(
        &self,
        secret: Zeroizing<String>,
        wanted: &Wanted,
    ) -> Result<Answer, Refusal> {
        let (account, terms) = (self.account_of(&wanted.address)?, terms(wanted)?);
        let mut unlocked = self.unlock(account, secret).await?;
        let new = unlocked.add_app_password(&terms, clock::now(), self.entropy.as_ref())?;
        self.change(unlocked, new.changes, "app password added").await?;
        Ok(Answer::AppPassword { slot: new.slot.to_string(), app_password: new.secret.to_string() })
    }

    /// A new token for one program.
    pub(crate) async fn add_token(
        &self,
        secret: Zeroizing<String>,
        wanted: &Wanted,
    ) -> Result<Answer, Refusal> {
        let (account, terms) = (self.account_of(&wanted.address)?, terms(wanted)?);
        let mut unlocked = self.unlock(account, secret).await?;
        let new = unlocked.add_token(&terms, clock::now(), self.entropy.as_ref())?;
        self.change(unlocked, new.changes, "token issued").await?;
        Ok(Answer::Token { slot: new.slot.to_string(), token: new.secret.to_string() })
    }

    /// Gives an unlocker another name, which only its owner can read.
    pub(crate) async fn rename_unlocker(
        &self,
        address: &str,
        secret: Zeroizing<String>,
        slot: &str,
        name: &str,
    ) -> Result<Answer, Refusal> {
        let (account, slot) = (self.account_of(address)?, slot_of(slot)?);
        let mut unlocked = self.unlock(account, secret).await?;
        let changes = unlocked.rename(slot, name, clock::now(), self.entropy.as_ref())?;
        self.door.change(unlocked, changes).await?;
        Ok(Answer::Done)
    }

    /// Takes an unlocker away, with new keys for what comes; its sessions end. Or ends one session
    /// that is kept, and nothing else.
    pub(crate) async fn revoke_unlocker(
        &self,
        address: &str,
        secret: Zeroizing<String>,
        slot: &str,
    ) -> Result<Answer, Refusal> {
        let (account, slot) = (self.account_of(address)?, slot_of(slot)?);
        let mut unlocked = self.unlock(account, secret).await?;
        if self.door.sessions(account)?.iter().any(|kept| kept.session == slot.0) {
            self.log_staff_act(account, "session ended").await?;
            self.door.end_session(account, &slot.0).await?;
            return Ok(Answer::Done);
        }
        let renewal = Renewal::Suspect(self.policies.next(unlocked.locked().manifest()));
        let changes = unlocked.revoke(slot, renewal, clock::now(), self.entropy.as_ref())?;
        self.change(unlocked, changes, "unlocker revoked").await?;
        Ok(Answer::Done)
    }

    /// A password, in the place of the old one if there is one.
    pub(crate) async fn change_password(
        &self,
        address: &str,
        secret: Zeroizing<String>,
        password: Zeroizing<String>,
        suspect: bool,
    ) -> Result<Answer, Refusal> {
        let account = self.account_of(address)?;
        let mut unlocked = self.unlock(account, secret).await?;
        let policy = self.policies.next(unlocked.locked().manifest()).cloned();
        let (pepper, entropy) = (self.keys.pepper(), std::sync::Arc::clone(&self.entropy));
        // An Argon2id, as long as a login's.
        let made = tokio::task::spawn_blocking(move || {
            let renewal = renewal(suspect, policy.as_ref());
            let (now, pepper) = (clock::now(), Some(&pepper));
            let changes = unlocked.set_password(&password, pepper, renewal, now, entropy.as_ref());
            changes.map(|changes| (unlocked, changes))
        });
        let made = made.await.map_err(|error| Refusal::failed("the password failed", &error))?;
        let (unlocked, changes) = made?;
        self.change(unlocked, changes, "password changed").await?;
        Ok(Answer::Done)
    }

    /// A recovery code beside the old one; or, with the slot of a new one, the end of the others.
    pub(crate) async fn recovery(
        &self,
        address: &str,
        secret: Zeroizing<String>,
        suspect: bool,
        confirm: Option<&str>,
    ) -> Result<Answer, Refusal> {
        match confirm {
            None => self.add_recovery(address, secret).await,
            Some(slot) => self.confirm_recovery(address, secret, slot, suspect).await,
        }
    }

    async fn add_recovery(
        &self,
        address: &str,
        secret: Zeroizing<String>,
    ) -> Result<Answer, Refusal> {
        let account = self.account_of(address)?;
        let mut unlocked = self.unlock(account, secret).await?;
        let new = unlocked.add_recovery(clock::now(), self.entropy.as_ref())?;
        self.change(unlocked, new.changes, "recovery code added").await?;
        let (slot, recovery_code) = (new.slot.to_string(), new.secret.to_string());
        Ok(Answer::Recovery { slot, recovery_code })
    }

    /// The end of every recovery code but the one that is shown, which has to be the new one.
    async fn confirm_recovery(
        &self,
        address: &str,
        code: Zeroizing<String>,
        slot: &str,
        suspect: bool,
    ) -> Result<Answer, Refusal> {
        let (account, slot) = (self.account_of(address)?, slot_of(slot)?);
        let mut unlocked = self.unlock(account, code).await?;
        let policy = self.policies.next(unlocked.locked().manifest());
        let (renewal, now) = (renewal(suspect, policy), clock::now());
        let changes = match unlocked.settle_recovery(slot, renewal, now, self.entropy.as_ref()) {
            Err(ChangeError::Unknown) => {
                return Err(Refusal::new(
                    "that is not the new recovery code; the old one opens still",
                    "give the code of that slot, as it was shown",
                ));
            }
            made => made?,
        };
        self.change(unlocked, changes, "recovery code changed").await?;
        Ok(Answer::Done)
    }

    /// Logs what is done to an account's unlockers, then does it: a secret is shown only once the
    /// change is stored, and a log that cannot be written has changed nothing.
    async fn change(
        &self,
        unlocked: Unlocked,
        changes: Changes,
        what: &str,
    ) -> Result<(), Refusal> {
        self.log_staff_act(unlocked.account(), what).await?;
        Ok(self.door.change(unlocked, changes).await?)
    }

    pub(super) async fn unlock(
        &self,
        account: AccountId,
        secret: Zeroizing<String>,
    ) -> Result<Unlocked, Refusal> {
        Ok(self.door.sudo(account, secret).await??)
    }
}

fn renewal(suspect: bool, policy: Option<&EscrowPolicy>) -> Renewal<'_> {
    if suspect { Renewal::Suspect(policy) } else { Renewal::Routine }
}

fn slot_of(text: &str) -> Result<SlotId, Refusal> {
    text.parse().map_err(|_| Refusal::new("not a slot, which is 32 hexadecimal digits", SLOT))
}

/// What was asked for, as custody takes it.
fn terms(wanted: &Wanted) -> Result<Terms, Refusal> {
    let scope = Scope(wanted.scope);
    if !Scope::IMAP.and(Scope::SUBMIT).contains(scope) || scope == Scope(0) {
        return Err(Refusal::new("not a scope of an app password", "use `imap` and `submit`"));
    }
    let networks: Vec<_> =
        wanted.from.iter().map(|text| text.parse()).collect::<Result<_, NoteError>>()?;
    let note = Note::new(&wanted.name, &networks)?;
    let end = |seconds| Timestamp(clock::now().0.saturating_add(seconds));
    Ok(Terms { scope, expires: wanted.seconds.map(end), note })
}

fn kind_name(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::Password => "password",
        SlotKind::Opaque => "opaque",
        SlotKind::AppPassword => "app password",
        SlotKind::Passkey => "passkey",
        SlotKind::Recovery => "recovery code",
        SlotKind::Device => "device key",
        SlotKind::Token => "token",
    }
}

fn scope_names(scope: Scope) -> Vec<String> {
    let names = [
        (Scope::SUDO, "changes"),
        (Scope::IMAP, "imap"),
        (Scope::JMAP, "jmap"),
        (Scope::DAV, "dav"),
        (Scope::SUBMIT, "submit"),
    ];
    let held = names.iter().filter(|(one, _)| scope.contains(*one));
    held.map(|(_, name)| (*name).to_owned()).collect()
}
