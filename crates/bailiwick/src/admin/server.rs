//! The answering side of administration.
//!
//! Invariant: the socket is the cell's user's alone (mode 0600); what a request says is checked
//! as if a stranger had sent it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::protocol::{Answer, LINE_OCTETS_MAX, Request};
use crate::cell::Cell;
use crate::listen::{Stop, stopped};

/// Why a request was not carried out: what is wrong, and what to do about it.
pub(crate) struct Refusal {
    pub(crate) what: String,
    pub(crate) cure: String,
}

impl Refusal {
    pub(crate) fn new(what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { what: what.into(), cure: cure.into() }
    }

    /// Something failed that no request can mend.
    pub(crate) fn failed(what: &str, error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, what, "an administrative request failed");
        Self::new(format!("{what}: {error}"), "see the server's log")
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::Refused { what: refusal.what, cure: refusal.cure }
    }
}

/// Opens the socket, in the place of one that a dead server left.
pub(crate) fn bind(path: &Path) -> Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        anyhow::bail!("another server answers at `{}`", path.display());
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path)
        .with_context(|| format!("cannot listen at `{}`", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers until `stop`.
pub(crate) async fn serve(listener: UnixListener, cell: Arc<Cell>, stop: Stop) {
    let stopping = stopped(stop);
    tokio::pin!(stopping);
    loop {
        let accepted = tokio::select! {
            () = &mut stopping => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let cell = Arc::clone(&cell);
                tokio::spawn(async move {
                    if let Err(error) = answer(stream, &cell).await {
                        tracing::warn!(%error, "an administrative connection broke");
                    }
                });
            }
            Err(error) => tracing::warn!(%error, "accept failed on the administration socket"),
        }
    }
}

async fn answer(stream: UnixStream, cell: &Arc<Cell>) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = Vec::new();
    BufReader::new(read.take(LINE_OCTETS_MAX)).read_until(b'\n', &mut line).await?;
    let answer = match serde_json::from_slice::<Request>(&line) {
        Ok(request) => carry_out(cell, request).await.unwrap_or_else(Answer::from),
        Err(error) => Answer::Refused {
            what: format!("not a request: {error}"),
            cure: "use the `bailiwick` program of the same version".into(),
        },
    };
    let mut octets = serde_json::to_vec(&answer)?;
    octets.push(b'\n');
    write.write_all(&octets).await?;
    write.shutdown().await
}

async fn carry_out(cell: &Arc<Cell>, request: Request) -> Result<Answer, Refusal> {
    match request {
        Request::AccountCreate { address, custody, password } => {
            cell.create_account(&address, custody.into(), password.as_deref()).await
        }
        Request::AccountList => cell.list_accounts(),
        Request::AccountMap { address } => cell.map_account(&address),
        Request::AppPasswordAdd { address, secret, scope } => {
            cell.add_app_password(&address, secret.into(), scope).await
        }
        Request::AppPasswordRevoke { address, secret, slot } => {
            cell.revoke_slot(&address, secret.into(), &slot).await
        }
        Request::AliasAdd { alias, address } => cell.add_alias(&alias, &address).await,
        Request::AliasRemove { alias } => cell.remove_alias(&alias).await,
        Request::Cell => cell.describe(),
        Request::Log => cell.describe_log().await,
        Request::Queue => cell.describe_queue(),
        Request::AccountOf { address } => cell.find_account(&address),
        Request::StaffEnrol { staff } => cell.enrol_staff(*staff).await,
        Request::Trust => cell.trust().await,
        Request::Desk { signed } => cell.at_desk(*signed).await,
    }
}
