//! COPY and MOVE.
//!
//! Invariant: a message moved is never in neither mailbox, whatever fails.
//! Refs: RFC 9051 §6.4.7, §6.4.8; RFC 4315 §3; RFC 6851 §4.3.

use imap_types::mailbox::Mailbox;
use imap_types::sequence::SequenceSet;
use proto::imap::write;

use super::reply::Reply;
use super::session::Session;
use super::set;
use crate::account::{ChangeError, Copied};

impl Session<'_> {
    pub(super) async fn copy(
        &mut self,
        messages: &SequenceSet,
        target: &Mailbox<'_>,
        by_uid: bool,
        r#move: bool,
    ) -> Reply {
        let Some((account, selected)) = self.account.clone().zip(self.selected.as_ref()) else {
            return Reply::bad("select a mailbox first");
        };
        if r#move && selected.read_only {
            return Reply::no("[CANNOT] the mailbox is only examined");
        }
        let Ok(places) = set::places(messages, by_uid, selected, &self.saved) else {
            return Reply::bad("no such message");
        };
        let uids: Vec<u32> =
            places.iter().filter_map(|place| selected.uids.get(*place)).copied().collect();
        let row = selected.row;
        let name = match self.name(target) {
            Ok(name) => name,
            Err(reply) => return reply,
        };
        let asked = uids.len();
        // A copy shares its message's body; what is moved adds nothing.
        if !r#move && let Err(reply) = self.refuse_over_quota(&account, 0, asked) {
            return reply;
        }
        match account.copy(row, uids, name, r#move).await {
            Ok(copied) if copied.from.is_empty() && asked > 0 && !by_uid => {
                Reply::no("[EXPUNGEISSUED] these messages are gone")
            }
            Ok(copied) => self.copied(&copied, r#move),
            Err(ChangeError::NoMailbox) => Reply::no("[TRYCREATE] no such mailbox"),
            Err(error) => error.into(),
        }
    }

    fn copied(&mut self, copied: &Copied, r#move: bool) -> Reply {
        if copied.from.is_empty() {
            return Reply::ok("there was nothing to do");
        }
        let mut code = format!("[COPYUID {} ", copied.uid_validity).into_bytes();
        write::set(&mut code, copied.from.iter().copied());
        code.push(b' ');
        write::set(&mut code, copied.to.iter().copied());
        code.push(b']');
        let code = String::from_utf8_lossy(&code).into_owned();
        if r#move {
            // RFC 6851 §4.3: COPYUID before the EXPUNGEs that the sync after this says.
            self.say(&format!("* OK {code} moved\r\n"));
            Reply::ok("moved")
        } else {
            Reply::Ok(format!("{code} copied"))
        }
    }
}
