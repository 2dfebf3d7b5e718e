//! LOGIN and AUTHENTICATE PLAIN.
//!
//! Invariant: a failed login costs time that grows, and a connection has few of them; neither
//! name nor password is logged, and both are wiped.
//! Refs: RFC 9051 §6.2.2, §6.2.3; RFC 4616; RFC 4959.

use imap_types::auth::AuthMechanism;
use zeroize::Zeroizing;

use super::connection::Closed;
use super::reply::Reply;
use super::session::Session;

/// RFC 9051 §7.1: what the owner must be shown.
const ARRIVALS_WAIT: &str =
    "* NO [ALERT] the disk is full: letters that arrived are safe and wait until there is room\r\n";

impl Session<'_> {
    pub(super) async fn authenticate(
        &mut self,
        mechanism: &AuthMechanism<'_>,
        initial: Option<&[u8]>,
    ) -> Result<Reply, Closed> {
        if *mechanism != AuthMechanism::Plain {
            return Ok(Reply::no("[CANNOT] only PLAIN, which TLS protects"));
        }
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
        // RFC 4616 §2: authorization identity, NUL, user name, NUL, password.
        let mut fields = response.splitn(3, |byte| *byte == 0);
        let (Some(acting), Some(user), Some(password)) =
            (fields.next(), fields.next(), fields.next())
        else {
            return Ok(Reply::bad("not a PLAIN response"));
        };
        if !acting.is_empty() && acting != user {
            return Ok(Reply::no("[AUTHORIZATIONFAILED] nobody may act as another"));
        }
        self.unlock(user, password).await
    }

    pub(super) async fn unlock(&mut self, user: &[u8], password: &[u8]) -> Result<Reply, Closed> {
        let (Ok(user), Ok(password)) = (core::str::from_utf8(user), core::str::from_utf8(password))
        else {
            return Ok(Reply::bad("user name and password are UTF-8"));
        };
        if user.len() > 320 || password.len() > 1024 || user.contains('\0') {
            return Ok(Reply::bad("user name or password too long"));
        }
        let began = tokio::time::Instant::now();
        match self.context.door.open(user, password).await {
            Ok(account) => {
                self.connection.logged_in(account.in_transit());
                if account.arrivals_wait() {
                    self.say(ARRIVALS_WAIT);
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
