//! SELECT, EXAMINE, CLOSE, UNSELECT.
//!
//! Invariant: whatever happens, the mailbox selected before is not selected any more.
//! Refs: RFC 9051 §6.3.2, §6.3.3, §6.4.1, §6.4.2; RFC 7162 §3.1.8; RFC 8474 §4.2.

use imap_types::command::SelectParameter;
use imap_types::mailbox::Mailbox;

use super::objects;
use super::quota::relieve;
use super::reply::Reply;
use super::selected::{Selected, all_flags};
use super::session::Session;
use crate::account::ChangeError;
use crate::mailbox::Flags;

impl Session<'_> {
    pub(super) fn select(
        &mut self,
        mailbox: &Mailbox<'_>,
        parameters: &[SelectParameter],
        read_only: bool,
    ) -> Reply {
        for parameter in parameters {
            match parameter {
                SelectParameter::CondStore => self.enable_condstore(),
                SelectParameter::QResync { .. } => return Reply::bad("QRESYNC is not offered"),
            }
        }
        if self.selected.take().is_some() {
            // RFC 9051 §7.1: what follows is about the new mailbox.
            self.say("* OK [CLOSED] the mailbox before is closed\r\n");
        }
        self.saved.clear();
        let name = match self.name(mailbox) {
            Ok(name) => name,
            Err(reply) => return reply,
        };
        match self.try_select(&name, read_only) {
            Ok(()) if read_only => Reply::ok("[READ-ONLY] examined"),
            Ok(()) => Reply::ok("[READ-WRITE] selected"),
            Err(error) => error.into(),
        }
    }

    fn try_select(
        &mut self,
        name: &crate::mailbox::Name,
        read_only: bool,
    ) -> Result<(), ChangeError> {
        let Some(account) = self.account.clone() else { return Err(ChangeError::NoMailbox) };
        let row = account.state()?.named(name).ok_or(ChangeError::NoMailbox)?.row;
        let mut selected = Selected::new(&account, row, read_only)?;
        let mut said = String::new();
        {
            let state = account.state()?;
            let held = state.mailbox(row).ok_or(ChangeError::NoMailbox)?;
            said.push_str(&format!("* FLAGS ({})\r\n", all_flags(&state.keywords)));
            selected.knows_keywords(&state.keywords);
            let permanent = if read_only {
                String::new()
            } else {
                format!("{} \\*", all_flags(&state.keywords))
            };
            said.push_str(&format!("* OK [PERMANENTFLAGS ({permanent})] kept\r\n"));
            said.push_str(&format!("* {} EXISTS\r\n", selected.uids.len()));
            if !self.rev2 {
                said.push_str(&format!("* {} RECENT\r\n", selected.recent.len()));
                // Counted as the client was told: the mailbox may have changed since.
                let seen = |uid| held.message(uid).is_none_or(|it| it.flags.has(Flags::SEEN));
                let first = selected.uids.iter().position(|uid| !seen(*uid));
                if let Some(first) = first {
                    said.push_str(&format!("* OK [UNSEEN {}] first unseen\r\n", first + 1));
                }
            }
            said.push_str(&format!("* OK [UIDVALIDITY {}] valid\r\n", held.uid_validity));
            said.push_str(&format!("* OK [MAILBOXID ({})] its own\r\n", objects::mailbox(held)));
            said.push_str(&format!("* OK [UIDNEXT {}] next\r\n", held.uid_next));
            said.push_str(&format!("* OK [HIGHESTMODSEQ {}] highest\r\n", held.highest_modseq));
            if self.rev2 {
                said.push_str("* LIST () \"/\" ");
            }
        }
        if account.is_altered() {
            self.say(super::login::ALTERED);
        }
        self.say(&said);
        if self.rev2 {
            proto::imap::write::mailbox(&mut self.out, name.as_str(), true);
            self.say("\r\n");
        }
        self.selected = Some(selected);
        Ok(())
    }

    /// CLOSE removes what is marked deleted, and tells nobody here of it.
    pub(super) async fn close(&mut self) -> Reply {
        let Some((account, selected)) = self.account.clone().zip(self.selected.take()) else {
            return Reply::bad("select a mailbox first");
        };
        self.saved.clear();
        if selected.read_only {
            return Reply::ok("closed");
        }
        // RFC 9051 §6.4.1: of what this session has been told of.
        let expunged = account.expunge(selected.row, Some(selected.uids)).await;
        relieve(&self.context.quotas, &account).await;
        match expunged {
            Ok(_) | Err(ChangeError::NoMailbox) => Reply::ok("closed"),
            Err(error) => error.into(),
        }
    }

    pub(super) fn unselect(&mut self) -> Reply {
        self.selected = None;
        self.saved.clear();
        Reply::ok("unselected")
    }
}
