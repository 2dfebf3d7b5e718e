//! LOGIN and AUTHENTICATE: a password or a token.
//!
//! Invariant: a failed login costs time that grows, and a connection has few of them; neither
//! name nor password is logged, and both are wiped.
//! Refs: RFC 9051 §6.2.2, §6.2.3; RFC 4616; RFC 4959; RFC 7628.

use imap_types::auth::AuthMechanism;
use proto::sasl::{Credentials, Mechanism, SaslError};
use zeroize::Zeroizing;

use super::connection::Closed;
use super::quota::relieve;
use super::reply::Reply;
use super::session::Session;
use crate::account::Shown;

/// RFC 9051 §7.1: what the owner must be shown.
const ARRIVALS_WAIT: &str =
    "* NO [ALERT] the disk is full: letters that arrived are safe and wait until there is room\r\n";
/// specs/bw1.md §8.4: told at every login and at every opening of a mailbox.
pub(super) const ALTERED: &str = "* NO [ALERT] somebody else has written to the stored records of \
     this account: messages may be missing, altered or old; have the account checked\r\n";

impl Session<'_> {
    pub(super) async fn authenticate(
        &mut self,
        mechanism: &AuthMechanism<'_>,
        initial: Option<&[u8]>,
    ) -> Result<Reply, Closed> {
        let Some(mechanism) = Mechanism::named(mechanism.as_ref()) else {
            return Ok(Reply::no("[CANNOT] only PLAIN and tokens, which TLS protects"));
        };
        let response = match initial {
            Some(response) => Zeroizing::new(response.to_vec()),
            None => {
                self.connection.send(b"+ \r\n").await?;
                let line = Zeroizing::new(self.connection.next_line().await?);
                match proto::imap::authenticate_data(&line) {
                    Ok(Some(response)) => Zeroizing::new(response),
                    Ok(None) => return Ok(Reply::bad("given up")),
                    Err(_) => return Ok(Reply::bad("not base64")),
                }
            }
        };
        let shown = match Credentials::parse(mechanism, &response) {
            Ok(shown) => shown,
            Err(SaslError::Malformed) => return Ok(Reply::bad("not a response of the mechanism")),
            Err(SaslError::Acting) => {
                return Ok(Reply::no("[AUTHORIZATIONFAILED] nobody may act as another"));
            }
        };
        let reply = self
            .unlock(shown.name().as_bytes(), shown.secret().as_bytes(), shown.is_token())
            .await?;
        if let (Reply::No(_), Some(refusal)) = (&reply, mechanism.refusal()) {
            self.connection.send(format!("+ {refusal}\r\n").as_bytes()).await?;
            // RFC 7628 §3.2.3: the client's answer says nothing.
            self.connection.next_line().await?;
        }
        Ok(reply)
    }

    pub(super) async fn unlock(
        &mut self,
        user: &[u8],
        secret: &[u8],
        is_token: bool,
    ) -> Result<Reply, Closed> {
        let (Ok(user), Ok(secret)) = (core::str::from_utf8(user), core::str::from_utf8(secret))
        else {
            return Ok(Reply::bad("user name and password are UTF-8"));
        };
        if user.len() > 320 || secret.len() > 1024 || user.contains('\0') {
            return Ok(Reply::bad("user name or password too long"));
        }
        let began = tokio::time::Instant::now();
        let shown = Shown { user, secret, is_token, from: self.from };
        match self.context.door.open(shown).await {
            Ok((account, pass)) => {
                self.connection.logged_in(account.in_transit(), pass);
                relieve(&self.context.quotas, &account).await;
                if account.arrivals_wait() {
                    self.say(ARRIVALS_WAIT);
                }
                if account.is_altered() {
                    self.say(ALTERED);
                }
                self.account = Some(account);
                let capabilities = self.capabilities();
                Ok(Reply::Ok(format!("[CAPABILITY {capabilities}] unlocked")))
            }
            Err(error) => {
                self.failed_logins += 1;
                tracing::info!(error = %error, "imap login failed");
                let wait = self.context.limits.failed_login * self.failed_logins;
                // Counted from the beginning: a user who does not exist takes as long.
                tokio::time::sleep_until(began + wait).await;
                Ok(error.into())
            }
        }
    }
}
