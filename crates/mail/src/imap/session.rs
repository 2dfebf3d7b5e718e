//! One connection from greeting to BYE: its state, and which command may run when.
//!
//! Invariant: a command runs only in the states RFC 9051 §6 allows it in; every command gets
//! exactly one tagged reply, after the data it caused.
//! Refs: RFC 9051 §3, §6, §7.1.

use core::net::IpAddr;
use std::sync::Arc;

use imap_types::command::CommandBody;
use imap_types::core::AString;
use imap_types::mailbox::Mailbox;
use proto::imap::{Body, Frame, Objects, Refused, Request, mutf7};

use super::Context;
use super::connection::{Closed, Connection, Incoming};
use super::reply::Reply;
use super::selected::{Manner, Selected};
use crate::account::Account;
use crate::mailbox::Name;

pub(super) struct Session<'a> {
    pub(super) context: &'a Context,
    pub(super) connection: Connection,
    /// From where the client comes, if that is known.
    pub(super) from: Option<IpAddr>,
    pub(super) account: Option<Arc<Account>>,
    pub(super) selected: Option<Selected>,
    pub(super) rev2: bool,
    pub(super) condstore: bool,
    /// `$` (RFC 5182): UIDs of the selected mailbox.
    pub(super) saved: Vec<u32>,
    /// The identifiers that the running command asks for (RFC 8474).
    pub(super) objects: Objects,
    /// Untagged data of the running command, to be sent with its reply.
    pub(super) out: Vec<u8>,
    pub(super) failed_logins: u32,
    bad_commands: u32,
}

/// What remains to be done when a command is.
enum After {
    /// Tell of changes, expunges too.
    Sync,
    /// Tell of changes, but of no expunge (RFC 9051 §7.5.1).
    SyncNoExpunge,
    /// Say BYE.
    Logout,
}

impl<'a> Session<'a> {
    pub(super) fn new(context: &'a Context, connection: Connection, from: Option<IpAddr>) -> Self {
        Self {
            context,
            connection,
            from,
            account: None,
            selected: None,
            rev2: false,
            condstore: false,
            saved: Vec::new(),
            objects: Objects::default(),
            out: Vec::new(),
            failed_logins: 0,
            bad_commands: 0,
        }
    }

    pub(super) async fn run(mut self) {
        let greeting = format!("* OK [CAPABILITY {}] Bailiwick\r\n", self.capabilities());
        let mut end = self.connection.send(greeting.as_bytes()).await;
        while end.is_ok() {
            end = self.turn().await;
        }
        let last = match end {
            Err(Closed::Silent) => "* BYE [UNAVAILABLE] silent too long\r\n".to_owned(),
            Err(Closed::Shutdown) => "* BYE [UNAVAILABLE] the server goes down\r\n".to_owned(),
            Err(Closed::Revoked) => "* BYE [EXPIRED] this password was taken away\r\n".to_owned(),
            Err(Closed::Unframed(why)) => format!("* BYE {why}\r\n"),
            Err(Closed::Gone | Closed::Done) | Ok(()) => String::new(),
        };
        self.connection.close(last.as_bytes()).await;
    }

    async fn turn(&mut self) -> Result<(), Closed> {
        match self.connection.next_command().await? {
            Incoming::Refused(Refused { tag, reason, too_big }) => {
                let reply = if too_big {
                    Reply::No(format!("[TOOBIG] {reason}"))
                } else {
                    Reply::bad(reason)
                };
                self.answer(&tag, &reply).await
            }
            Incoming::Frame(frame) => self.command(frame).await,
        }
    }

    async fn command(&mut self, mut frame: Frame) -> Result<(), Closed> {
        let (tag, name) = (frame.tag(), frame.name());
        let Ok(Request { tag, body, objects }) = frame.request() else {
            return self.answer(&tag, &Reply::bad("not a command, or not one known here")).await;
        };
        self.objects = objects;
        let after = after(&body);
        let reply = Box::pin(self.dispatch(&tag, body)).await?;
        tracing::debug!(command = name, "imap");
        match after {
            After::Logout => {
                self.say("* BYE good-bye\r\n");
                self.answer(&tag, &reply).await?;
                return Err(Closed::Done);
            }
            After::Sync => self.sync(true),
            After::SyncNoExpunge => self.sync(false),
        }
        self.answer(&tag, &reply).await
    }

    async fn answer(&mut self, tag: &str, reply: &Reply) -> Result<(), Closed> {
        self.bad_commands = if matches!(reply, Reply::Bad(_)) { self.bad_commands + 1 } else { 0 };
        self.say(&reply.line(tag));
        self.flush().await?;
        if self.bad_commands >= self.context.limits.bad_commands {
            return Err(Closed::Unframed("too many bad commands"));
        }
        if self.account.is_none() && self.failed_logins >= self.context.limits.failed_logins {
            return Err(Closed::Unframed("too many failed logins"));
        }
        Ok(())
    }

    /// Adds a line to what is sent.
    pub(super) fn say(&mut self, line: &str) {
        self.out.extend_from_slice(line.as_bytes());
    }

    /// Sends what was said so far.
    pub(super) async fn flush(&mut self) -> Result<(), Closed> {
        let out = core::mem::take(&mut self.out);
        self.connection.send(&out).await?;
        // The buffer is kept for the next command unless it grew large.
        if out.capacity() <= 64 * 1024 {
            self.out = out;
            self.out.clear();
        }
        Ok(())
    }

    pub(super) fn manner(&self) -> Manner {
        Manner { rev2: self.rev2, condstore: self.condstore }
    }

    /// Tells what has changed in the selected mailbox.
    pub(super) fn sync(&mut self, may_expunge: bool) {
        let manner = self.manner();
        let Some((account, selected)) = self.account.as_ref().zip(self.selected.as_mut()) else {
            return;
        };
        if let Err(error) = selected.sync(&mut self.out, account, manner, may_expunge) {
            tracing::error!(error = %error, "imap session cannot follow its mailbox");
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "imap-types' enum: the rest is one answer")]
    async fn dispatch(&mut self, tag: &str, body: Body<'_>) -> Result<Reply, Closed> {
        let command = match body {
            Body::List(list) => return Ok(self.list(&list)),
            Body::Search(returned, command) => {
                let CommandBody::Search { charset, criteria, uid } = command else {
                    return Ok(Reply::bad("not a search"));
                };
                let wanted = (charset.as_ref(), criteria.as_ref(), uid);
                return Ok(self.search(tag, wanted, Some(&returned)).await);
            }
            Body::Plain(command) => command,
        };
        match command {
            CommandBody::Capability => Ok(self.capability()),
            CommandBody::Noop => Ok(Reply::ok("done")),
            CommandBody::Logout => Ok(Reply::ok("done")),
            CommandBody::Id { .. } => Ok(self.id()),
            CommandBody::Login { .. } | CommandBody::Authenticate { .. }
                if self.account.is_some() =>
            {
                Ok(Reply::bad("already logged in"))
            }
            CommandBody::Login { username, password } => {
                self.unlock(username.as_ref(), password.declassify().as_ref(), false).await
            }
            CommandBody::Authenticate { mechanism, initial_response } => {
                let initial = initial_response.as_ref().map(|given| given.declassify().as_ref());
                self.authenticate(&mechanism, initial).await
            }
            command => {
                if self.account.is_none() {
                    return Ok(Reply::bad("log in first"));
                }
                self.dispatch_open(tag, command).await
            }
        }
    }

    /// Commands of the authenticated state.
    #[expect(clippy::wildcard_enum_match_arm, reason = "imap-types' enum: the rest is one answer")]
    async fn dispatch_open(
        &mut self,
        tag: &str,
        command: CommandBody<'_>,
    ) -> Result<Reply, Closed> {
        match command {
            CommandBody::Enable { capabilities } => Ok(self.enable(capabilities.as_ref())),
            CommandBody::Namespace => Ok(self.namespace()),
            CommandBody::Select { mailbox, parameters } => {
                Ok(self.select(&mailbox, &parameters, false))
            }
            CommandBody::Examine { mailbox, parameters } => {
                Ok(self.select(&mailbox, &parameters, true))
            }
            CommandBody::Create { mailbox } => Ok(self.create(&mailbox).await),
            CommandBody::Delete { mailbox } => Ok(self.delete(&mailbox).await),
            CommandBody::Rename { from, to } => Ok(self.rename(&from, &to).await),
            CommandBody::Subscribe { mailbox } => Ok(self.subscribe(&mailbox, true).await),
            CommandBody::Unsubscribe { mailbox } => Ok(self.subscribe(&mailbox, false).await),
            CommandBody::Lsub { reference, mailbox_wildcard } => {
                Ok(self.lsub(&reference, &mailbox_wildcard))
            }
            CommandBody::Status { mailbox, item_names } => Ok(self.status(&mailbox, &item_names)),
            CommandBody::Append { mailbox, flags, date, message } => {
                Ok(self.append(&mailbox, &flags, date.as_ref(), message).await)
            }
            CommandBody::GetQuota { root } => Ok(self.quota(&root)),
            CommandBody::GetQuotaRoot { mailbox } => Ok(self.quota_root(&mailbox)),
            CommandBody::Idle => self.idle().await,
            command => {
                if self.selected.is_none() {
                    return Ok(Reply::bad("select a mailbox first"));
                }
                self.dispatch_selected(tag, command).await
            }
        }
    }

    /// Commands of the selected state.
    #[expect(clippy::wildcard_enum_match_arm, reason = "imap-types' enum: the rest is one answer")]
    async fn dispatch_selected(
        &mut self,
        tag: &str,
        command: CommandBody<'_>,
    ) -> Result<Reply, Closed> {
        match command {
            CommandBody::Check => Ok(Reply::ok("everything is on disk")),
            CommandBody::Close => Ok(self.close().await),
            CommandBody::Unselect => Ok(self.unselect()),
            CommandBody::Expunge => Ok(self.expunge(None).await),
            CommandBody::ExpungeUid { sequence_set } => Ok(self.expunge(Some(&sequence_set)).await),
            CommandBody::Search { charset, criteria, uid } => {
                Ok(self.search(tag, (charset.as_ref(), criteria.as_ref(), uid), None).await)
            }
            CommandBody::Fetch { sequence_set, macro_or_item_names, uid, modifiers } => {
                self.fetch(&sequence_set, &macro_or_item_names, uid, &modifiers).await
            }
            CommandBody::Store { sequence_set, kind, response, flags, uid, modifiers } => {
                let change = super::store::Wanted { kind, response, flags: &flags };
                Ok(self.store(&sequence_set, &change, uid, &modifiers).await)
            }
            CommandBody::Copy { sequence_set, mailbox, uid } => {
                Ok(self.copy(&sequence_set, &mailbox, uid, false).await)
            }
            CommandBody::Move { sequence_set, mailbox, uid } => {
                Ok(self.copy(&sequence_set, &mailbox, uid, true).await)
            }
            // What the codec reads and this server does not do: SORT, THREAD, SETQUOTA, COMPRESS.
            other => Ok(Reply::Bad(format!("{} is not known here", other.name()))),
        }
    }

    /// A mailbox name as a client sent it.
    pub(super) fn name(&self, mailbox: &Mailbox<'_>) -> Result<Name, Reply> {
        match mailbox {
            Mailbox::Inbox => Ok(Name::inbox()),
            Mailbox::Other(other) => {
                let text = self.utf8(other.as_ref()).ok_or_else(bad_name)?;
                // RFC 9051 §6.3.4: a `/` at the end says there will be names below it.
                Name::parse(text.strip_suffix('/').unwrap_or(&text)).map_err(|_| bad_name())
            }
        }
    }

    /// Text of a mailbox name, which IMAP4rev2 sends in UTF-8 and IMAP4rev1 in modified UTF-7.
    pub(super) fn utf8(&self, sent: &[u8]) -> Option<String> {
        let plain = || String::from_utf8(sent.to_vec()).ok();
        if self.rev2 || !sent.is_ascii() { plain() } else { mutf7::decode(sent) }
    }
}

fn bad_name() -> Reply {
    Reply::no("[CANNOT] not a mailbox name")
}

/// The octets of an `astring`.
pub(super) fn octets<'s>(string: &'s AString<'_>) -> &'s [u8] {
    string.as_ref()
}

fn after(body: &Body<'_>) -> After {
    match body {
        Body::Search(..) => After::SyncNoExpunge,
        Body::Plain(
            CommandBody::Search { .. } | CommandBody::Fetch { .. } | CommandBody::Store { .. },
        ) => After::SyncNoExpunge,
        Body::Plain(CommandBody::Logout) => After::Logout,
        Body::Plain(_) | Body::List(_) => After::Sync,
    }
}
