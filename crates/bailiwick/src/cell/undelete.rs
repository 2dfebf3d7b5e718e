//! What an owner expunged: said, put back, purged; and purged for those who do not come back.
//!
//! Invariant: without a secret of the owner that may change unlockers nothing is shown, put back or
//! purged before its day; of a message nothing is shown but its mailbox, its days and its size.
//! Refs: specs/mail-rows.md §7.

use std::sync::Arc;
use std::time::Duration;

use mail::account::{Account, ChangeError, ExpungedShown, Undelete};
use mail::mailbox::Name;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::Cell;
use crate::admin::protocol::Answer;
use crate::admin::server::Refusal;

/// How often it is looked what is due.
const LOOK: Duration = Duration::from_secs(6 * 3600);
const DAY_SECONDS: i64 = 86_400;

/// What is to be done with what was expunged.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Expunged {
    /// It is said what there is.
    List,
    /// It is put back: only from this day on (days since 1970 UTC), only into this mailbox.
    Undelete { since: Option<u32>, mailbox: Option<String> },
    /// It is purged.
    Purge,
}

/// What can be put back, after what was done.
#[derive(Serialize, Deserialize)]
pub(crate) struct ExpungedAnswer {
    pub(crate) lines: Vec<ExpungedLine>,
    /// Messages that were put back.
    pub(crate) undeleted: Option<u64>,
    /// Letters that were purged.
    pub(crate) purged: Option<u64>,
}

/// Messages of one mailbox that were expunged on one day. Days since 1970 UTC.
#[derive(Serialize, Deserialize)]
pub(crate) struct ExpungedLine {
    pub(crate) mailbox: String,
    pub(crate) expunged: u32,
    pub(crate) purged: u32,
    pub(crate) messages: u64,
    pub(crate) octets: u64,
}

impl From<ExpungedShown> for ExpungedLine {
    fn from(shown: ExpungedShown) -> Self {
        let ExpungedShown { mailbox, expunged, purged, messages, octets } = shown;
        Self { mailbox, expunged, purged, messages, octets }
    }
}

impl ExpungedAnswer {
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        lines.extend(self.undeleted.map(|count| format!("put back   {count} messages")));
        lines.extend(self.purged.map(|count| format!("purged     {count} letters")));
        for line in &self.lines {
            let ExpungedLine { mailbox, messages, octets, .. } = line;
            let (expunged, purged) = (date(line.expunged), date(line.purged));
            lines.push(format!(
                "expunged   {expunged}, purged on {purged}  {messages:>6} messages {octets:>12} octets  {mailbox}"
            ));
        }
        if self.lines.is_empty() {
            lines.push("nothing that was expunged can be put back".to_owned());
        }
        lines
    }
}

fn date(day: u32) -> String {
    let at = jiff::Timestamp::from_second(i64::from(day) * DAY_SECONDS);
    at.map_or("-".to_owned(), |at| at.strftime("%Y-%m-%d").to_string())
}

/// The day that a person writes as `2026-11-21`, since 1970 UTC.
pub(crate) fn day_of(text: &str) -> Result<u32, String> {
    let date: jiff::civil::Date = text.parse().map_err(|_| "write a day as 2026-11-21")?;
    let at = date.to_zoned(jiff::tz::TimeZone::UTC).map_err(|error| error.to_string())?;
    let days = at.timestamp().as_second().div_euclid(DAY_SECONDS);
    u32::try_from(days).map_err(|_| "a day before 1970".to_owned())
}

/// Why a change of an account was not made.
pub(super) fn not_made(error: ChangeError) -> Refusal {
    match error {
        ChangeError::NoMailbox => Refusal::new(error.to_string(), "name one that is there"),
        ChangeError::Full => Refusal::new(error.to_string(), "free disk space"),
        ChangeError::Limit => Refusal::new(error.to_string(), "make room in the account first"),
        ChangeError::Exists
        | ChangeError::HasChildren
        | ChangeError::Inbox
        | ChangeError::TooLarge
        | ChangeError::Failed => Refusal::failed("the account was not changed", &error),
    }
}

/// A mailbox's name as it was typed.
pub(super) fn mailbox(text: &str) -> Result<Name, Refusal> {
    Name::parse(text).map_err(|error| {
        Refusal::new(error.to_string(), "write it as mail programs show it: `Archive/2026`")
    })
}

impl Cell {
    /// Opens an account for its owner.
    pub(super) async fn opened(
        &self,
        address: &str,
        secret: Zeroizing<String>,
    ) -> Result<Arc<Account>, Refusal> {
        let id = self.account_of(address)?;
        let unlocked = self.unlock(id, secret).await?;
        Ok(self.door.open_unlocked(unlocked).await?)
    }

    /// Says what was expunged, puts it back, or purges it.
    pub(crate) async fn expunged(
        &self,
        address: &str,
        secret: Zeroizing<String>,
        what: Expunged,
    ) -> Result<Answer, Refusal> {
        let account = self.opened(address, secret).await?;
        let (mut undeleted, mut purged) = (None, None);
        match what {
            Expunged::List => {}
            Expunged::Undelete { since, mailbox: name } => {
                let mailbox = name.as_deref().map(mailbox).transpose()?;
                let which = Undelete { mailbox, since };
                undeleted = Some(account.undelete(which).await.map_err(not_made)?);
            }
            Expunged::Purge => purged = Some(account.purge().await.map_err(not_made)?),
        }
        let shown = tokio::task::spawn_blocking(move || account.expunged()).await;
        let shown = shown.map_err(|error| Refusal::failed("it broke off", &error))?;
        let lines = shown.map_err(not_made)?.into_iter().map(ExpungedLine::from).collect();
        Ok(Answer::Expunged(ExpungedAnswer { lines, undeleted, purged }))
    }

    /// Purges what is due of accounts whose owners are not there, without a key, until the cell
    /// stops.
    pub(crate) async fn keep_purging(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            let cell = Arc::clone(&self);
            let purge = move || cell.door.registry().purge_due();
            match tokio::task::spawn_blocking(purge).await {
                Ok(Ok(0)) => {}
                Ok(Ok(rows)) => tracing::info!(rows, "expunged letters were purged"),
                Ok(Err(error)) => tracing::error!(%error, "what is due could not be purged"),
                Err(error) => tracing::error!(%error, "purging broke off"),
            }
            let cell = Arc::clone(&self);
            let sweep = move || cell.door.sweep_sessions();
            if let Ok(Err(error)) = tokio::task::spawn_blocking(sweep).await {
                tracing::error!(%error, "ended sessions could not be swept");
            }
            tokio::select! {
                _ = stop.changed() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_read_as_it_is_shown() {
        assert_eq!(day_of("2026-11-21"), Ok(20_778));
        assert_eq!(date(20_778), "2026-11-21");
        assert!(day_of("21.11.2026").is_err());
        assert!(day_of("1969-12-31").is_err());
    }
}
