//! Sessions that outlive a restart of the server: their token wraps the grant, and the server
//! keeps no more than the wrap.
//!
//! Invariant: nothing stored opens a session without its token, which is shown once. A session
//! goes with its unlocker, with the account's keys, with its time, and when its owner says so; an
//! account keeps a bounded number.
//! Refs: specs/session.md §4.

use std::sync::Arc;

use core::net::IpAddr;
use custody::user::{GrantError, KeptSession, SessionId, SessionToken, session_row};
use seal::Secret;
use seal::grant::Grant;
use seal::slot::Scope;
use store::ReadError;
use vocab::{AccountId, CellId, RecordKind, Row, Timestamp};
use zeroize::Zeroizing;

use super::keystore::Keystores;
use super::mark::standing;
use super::opaque::Entered;
use super::{Door, KeystoreError, LoginError};

const KIND: RecordKind = RecordKind::SessionGrant;
/// Sessions that an account keeps; one more, and the one that ends first goes.
pub const SESSIONS_MAX: usize = 16;

impl Door {
    /// Lets a session in again with its token, in this process or another one.
    ///
    /// # Errors
    /// [`LoginError::Wrong`] for a token that opens nothing, also because its unlocker or the
    /// session was taken away; as [`Door::enter`].
    pub async fn resume(
        self: &Arc<Self>,
        token: &str,
        from: Option<IpAddr>,
        scope: Scope,
    ) -> Result<Entered, LoginError> {
        let _turn = self.turns.take(from, false).await?;
        let SessionToken { account, session, secret } =
            SessionToken::read(token).ok_or(LoginError::Wrong)?;
        let door = Arc::clone(self);
        let open = move || -> Result<_, LoginError> {
            let keystores = &door.options.keystores;
            let kept = keystores.read.get(account, KIND, session_row(&session));
            let kept = kept.map_err(|_| LoginError::Failed)?.ok_or(LoginError::Wrong)?;
            let place = (CellId(keystores.cell.0), account);
            let is_it = KeptSession::of(&kept).is_some_and(|kept| kept.session == session);
            let grant = KeptSession::open(&kept, &secret, place)?;
            if !is_it {
                return Err(LoginError::Wrong);
            }
            let granted = keystores.locked(account)?.granted(&grant, scope, door.now());
            Ok((grant, granted))
        };
        let opened = tokio::task::spawn_blocking(open).await.map_err(|_| LoginError::Failed)?;
        let (grant, granted) = opened?;
        let keys = match granted {
            Err(error @ (GrantError::Expired | GrantError::Revoked | GrantError::Stale)) => {
                // It never opens again.
                self.end_session(account, &session).await?;
                return Err(error.into());
            }
            granted => granted?,
        };
        let entered = self.let_in(session, &grant, keys).await?;
        // Its owner may have ended it meanwhile, before there was a pass to end.
        let kept = self.options.keystores.read.get(account, KIND, session_row(&session));
        if kept.map_err(|_| LoginError::Failed)?.is_none() {
            return Err(LoginError::Wrong);
        }
        Ok(entered)
    }

    /// The sessions an account keeps. Those whose time is over may be among them.
    ///
    /// # Errors
    /// [`KeystoreError::Failed`].
    pub fn sessions(&self, account: AccountId) -> Result<Vec<KeptSession>, KeystoreError> {
        let kept = self.options.keystores.kept_sessions(account)?;
        Ok(kept.into_iter().filter_map(|(_, kept)| kept).collect())
    }

    /// Ends a session: what is kept of it, and what goes on. False if none was kept.
    ///
    /// # Errors
    /// What a commit can meet.
    pub async fn end_session(
        &self,
        account: AccountId,
        session: &SessionId,
    ) -> Result<bool, KeystoreError> {
        let keystores = &self.options.keystores;
        let row = session_row(session);
        let is_kept = keystores.read.get(account, KIND, row)?.is_some();
        if is_kept {
            let batch = standing(account).delete(KIND, row).to_make_room();
            keystores.append.commit(batch).await?;
        }
        // After the record: whoever gets a pass now finds that there is none.
        self.passes.end_session(account, session);
        Ok(is_kept)
    }

    /// Deletes what is kept of sessions whose time is over, of every account that is not
    /// on its way; how many. Blocks on the disk.
    ///
    /// # Errors
    /// What reading and a commit can meet.
    pub fn sweep_sessions(&self) -> Result<usize, KeystoreError> {
        let (keystores, now) = (&self.options.keystores, self.now());
        let mut swept = 0;
        for found in keystores.read.accounts() {
            let (account, _) = found?;
            if keystores.is_moving(account)? {
                continue;
            }
            let kept = keystores.kept_sessions(account)?;
            let over: Vec<_> = kept.into_iter().filter(|(_, kept)| is_over(*kept, now)).collect();
            if !over.is_empty() {
                let batch = standing(account).to_make_room();
                let batch = over.iter().fold(batch, |batch, (row, _)| batch.delete(KIND, *row));
                keystores.append.commit_blocking(batch)?;
                swept += over.len();
            }
        }
        Ok(swept)
    }
}

impl Keystores {
    /// Keeps a session, and says its token. Those whose time is over make way, and of too many the
    /// one that ends first.
    pub(super) async fn keep_session(
        &self,
        grant: &Grant,
        session: SessionId,
        now: Timestamp,
    ) -> Result<Zeroizing<String>, KeystoreError> {
        let account = grant.account;
        let entropy = self.entropy.as_ref();
        let secret = Secret::random(entropy);
        let record = KeptSession::keep(grant, &session, &secret, entropy);
        let record = record.map_err(|_| KeystoreError::Failed)?;
        let _changing = self.changing.lock().await;
        let (over, mut stay): (Vec<_>, Vec<_>) =
            self.kept_sessions(account)?.into_iter().partition(|(_, kept)| is_over(*kept, now));
        stay.sort_by_key(|(_, kept)| kept.map(|kept| kept.until));
        let excess = (stay.len() + 1).saturating_sub(SESSIONS_MAX);
        let gone = over.iter().chain(stay.iter().take(excess));
        let batch = gone.fold(standing(account), |batch, (row, _)| batch.delete(KIND, *row));
        self.append.commit(batch.put(KIND, session_row(&session), record)).await?;
        Ok(SessionToken { account, session, secret }.text())
    }

    /// What is clear of each record; a record that is none has nothing.
    fn kept_sessions(
        &self,
        account: AccountId,
    ) -> Result<Vec<(Row, Option<KeptSession>)>, KeystoreError> {
        let mut kept = Vec::new();
        for found in self.read.scan(account, KIND, Row(0)) {
            match found {
                Ok((row, record)) => kept.push((row, KeptSession::of(&record))),
                Err(ReadError::Damaged { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(kept)
    }
}

fn is_over(kept: Option<KeptSession>, now: Timestamp) -> bool {
    kept.is_none_or(|kept| kept.until <= now)
}
