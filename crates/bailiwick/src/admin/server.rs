//! The answering side of administration.
//!
//! Invariant: the socket is the cell's user's alone (mode 0600); what a request says is checked
//! as if a stranger had sent it.

use std::fs::{DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
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

/// Opens the socket, in the place of one that a dead server left. It is made in a folder that is
/// its user's alone and moved out of it with its mode: at no moment could another user connect.
pub(crate) fn bind(path: &Path) -> Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        anyhow::bail!("another server answers at `{}`", path.display());
    }
    let cannot =
        || format!("cannot listen at `{}`; change `admin_socket` in [cell]", path.display());
    let mut folder = path.as_os_str().to_owned();
    folder.push(".new");
    let folder = PathBuf::from(folder);
    let inside = folder.join("s");
    // What a start that was cut short left; a link or a folder of others is none of it.
    if folder.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        match std::fs::remove_file(&inside) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(cannot);
            }
            Ok(()) | Err(_) => std::fs::remove_dir(&folder).with_context(cannot)?,
        }
    }
    // Refused if somebody else was quicker to make it.
    DirBuilder::new().mode(0o700).create(&folder).with_context(cannot)?;
    let listener = UnixListener::bind(&inside).with_context(cannot)?;
    std::fs::set_permissions(&inside, Permissions::from_mode(0o600))?;
    std::fs::rename(&inside, path).with_context(cannot)?;
    std::fs::remove_dir(&folder)?;
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
        Ok(request) => when_it_may(cell, request).await.unwrap_or_else(Answer::from),
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

async fn when_it_may(cell: &Arc<Cell>, request: Request) -> Result<Answer, Refusal> {
    if request.waits_for_log() {
        cell.log_goes_on().await?;
    }
    carry_out(cell, request).await
}

async fn carry_out(cell: &Arc<Cell>, request: Request) -> Result<Answer, Refusal> {
    match request {
        Request::AccountCreate { address, custody, password } => {
            cell.create_account(&address, custody.into(), password.as_deref()).await
        }
        Request::AccountAddress { account, address } => {
            cell.address_account(&account, &address).await
        }
        Request::AccountShow { address } => cell.show_account(&address),
        Request::AccountQuota { address, change } => cell.quota(&address, change).await,
        Request::AccountCheck { address, secret, accept } => {
            cell.check_account(&address, secret.into(), accept).await
        }
        Request::AccountExpunged { address, secret, what } => {
            cell.expunged(&address, secret.into(), what).await
        }
        Request::AccountRetention { address, secret, mailbox, days } => {
            cell.retention(&address, secret.into(), mailbox.as_deref(), days).await
        }
        Request::AccountList => cell.list_accounts(),
        Request::AccountMap { address } => cell.map_account(&address),
        Request::AccountPassword { address, secret, password, suspect } => {
            cell.change_password(&address, secret.into(), password.into(), suspect).await
        }
        Request::AccountRecovery { address, secret, suspect, confirm } => {
            cell.recovery(&address, secret.into(), suspect, confirm.as_deref()).await
        }
        Request::AccountRekey { address, secret, custody } => {
            cell.rekey_account(&address, secret.into(), custody.map(Into::into)).await
        }
        Request::AccountDelete { which, secret } => {
            cell.delete_account(&which, secret.map(Into::into)).await
        }
        Request::AccountLeave { address, secret, to, parcel } => {
            cell.leave(&address, secret.into(), &to, &parcel).await
        }
        Request::AccountStay { address, secret } => cell.stay(&address, secret.into()).await,
        Request::AccountPart { acceptance } => cell.part(&acceptance).await,
        Request::AccountArrive { parcel, from, secret } => cell.arrive(parcel, &from, secret).await,
        Request::AccountSettle { discharge, address, secret } => {
            cell.settle(&discharge, &address, secret.into()).await
        }
        Request::UnlockerList { address, secret } => {
            cell.list_unlockers(&address, secret.into()).await
        }
        Request::UnlockerAdd { secret, wanted } => {
            cell.add_app_password(secret.into(), &wanted).await
        }
        Request::UnlockerToken { secret, wanted } => cell.add_token(secret.into(), &wanted).await,
        Request::UnlockerRename { address, secret, slot, name } => {
            cell.rename_unlocker(&address, secret.into(), &slot, &name).await
        }
        Request::UnlockerRevoke { address, secret, slot } => {
            cell.revoke_unlocker(&address, secret.into(), &slot).await
        }
        Request::AliasAdd { alias, address } => cell.add_alias(&alias, &address).await,
        Request::AliasRemove { alias } => cell.remove_alias(&alias).await,
        Request::Cell => cell.describe(),
        Request::Log => cell.describe_log().await,
        Request::LogResume { fork } => cell.resume_log(&fork).await,
        Request::Queue => Ok(cell.describe_queue()),
        Request::QueueFlush => Ok(cell.flush_queue()),
        Request::StoreCheck => cell.check_store().await,
        Request::Backup { to, keep } => cell.back_up(&to, keep).await,
        Request::AccountOf { address } => cell.find_account(&address),
        Request::StaffEnrol { staff } => cell.enrol_staff(*staff).await,
        Request::Trust => cell.trust().await,
        Request::Desk { signed } => cell.at_desk(*signed).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[tokio::test]
    async fn nobody_else_can_connect_at_any_moment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let (done, watched) = std::sync::mpsc::channel::<()>();
        let watching = std::thread::spawn({
            let folder = folder.path().to_owned();
            move || {
                let mut seen = 0;
                while watched.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                    for entry in std::fs::read_dir(&folder).unwrap() {
                        // Gone again since it was listed.
                        let Ok(found) = entry.unwrap().path().symlink_metadata() else { continue };
                        assert_eq!(found.mode() & 0o077, 0, "{found:?}");
                        seen += 1;
                    }
                }
                seen
            }
        });
        for _ in 0..300 {
            drop(bind(&path).unwrap());
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        }
        drop(done);
        assert!(watching.join().unwrap() > 0);
    }

    #[tokio::test]
    async fn a_folder_put_in_the_way_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let (path, new) = (folder.path().join("admin.sock"), folder.path().join("admin.sock.new"));
        // Of a start that was cut short: taken away.
        std::fs::create_dir(&new).unwrap();
        drop(std::os::unix::net::UnixListener::bind(new.join("s")).unwrap());
        drop(bind(&path).unwrap());
        assert!(!new.exists());
        // With something else in it, or a link: refused.
        std::fs::create_dir(&new).unwrap();
        std::fs::write(new.join("other"), "").unwrap();
        assert!(bind(&path).is_err());
        std::fs::remove_dir_all(&new).unwrap();
        std::os::unix::fs::symlink(folder.path(), &new).unwrap();
        assert!(bind(&path).is_err());
    }
}
