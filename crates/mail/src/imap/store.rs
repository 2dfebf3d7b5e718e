//! STORE.
//!
//! Invariant: what the client is told is what is on disk.
//! Refs: RFC 9051 §6.4.6; RFC 7162 §3.1.3.

use imap_types::command::StoreModifier;
use imap_types::flag::{Flag, StoreResponse, StoreType};
use imap_types::sequence::SequenceSet;
use proto::imap::write;

use super::reply::Reply;
use super::selected::{self, Selected};
use super::session::Session;
use super::set;
use crate::account::Stored;
use crate::mailbox::{FlagChange, FlagSet, Flags};

/// What a STORE asks.
pub(super) struct Wanted<'a> {
    pub(super) kind: StoreType,
    pub(super) response: StoreResponse,
    pub(super) flags: &'a [Flag<'a>],
}

/// Flags as the account knows them; `\Recent` and unknown system flags are not for clients.
pub(super) fn flag_set(flags: &[Flag<'_>]) -> FlagSet {
    let mut set = FlagSet::default();
    for flag in flags {
        match flag {
            Flag::Answered => set.flags = set.flags.with(Flags::ANSWERED),
            Flag::Deleted => set.flags = set.flags.with(Flags::DELETED),
            Flag::Draft => set.flags = set.flags.with(Flags::DRAFT),
            Flag::Flagged => set.flags = set.flags.with(Flags::FLAGGED),
            Flag::Seen => set.flags = set.flags.with(Flags::SEEN),
            Flag::Extension(_) => {}
            Flag::Keyword(keyword) if keyword.as_ref().len() <= 128 => {
                set.keywords.push(keyword.as_ref().to_owned());
            }
            Flag::Keyword(_) => {}
        }
    }
    set
}

impl Session<'_> {
    pub(super) async fn store(
        &mut self,
        messages: &SequenceSet,
        wanted: &Wanted<'_>,
        by_uid: bool,
        modifiers: &[StoreModifier],
    ) -> Reply {
        let mut unchanged_since = None;
        for modifier in modifiers {
            let StoreModifier::UnchangedSince(limit) = modifier;
            unchanged_since = Some(*limit);
            self.enable_condstore();
        }
        let Some((account, selected)) = self.account.clone().zip(self.selected.as_mut()) else {
            return Reply::bad("select a mailbox first");
        };
        if selected.read_only {
            return Reply::no("[CANNOT] the mailbox is only examined");
        }
        let Ok(places) = set::places(messages, by_uid, selected, &self.saved) else {
            return Reply::bad("no such message");
        };
        let uids: Vec<u32> =
            places.iter().filter_map(|place| selected.uids.get(*place)).copied().collect();
        let change = match wanted.kind {
            StoreType::Replace => FlagChange::Replace,
            StoreType::Add => FlagChange::Add,
            StoreType::Remove => FlagChange::Remove,
        };
        let set = flag_set(wanted.flags);
        let row = selected.row;
        let stored =
            match account.store_flags(row, uids.clone(), change, set, unchanged_since).await {
                Ok(stored) => stored,
                Err(error) => return error.into(),
            };
        self.tell_stored(&account, &uids, &stored, wanted.response == StoreResponse::Silent);
        modified_reply(self.selected.as_ref(), &stored, by_uid)
    }

    /// Tells the new flags, and remembers that they were told.
    fn tell_stored(
        &mut self,
        account: &crate::account::Account,
        uids: &[u32],
        stored: &Stored,
        silent: bool,
    ) {
        let manner = self.manner();
        let (Ok(state), Some(selected)) = (account.state(), self.selected.as_mut()) else { return };
        selected.tell_keywords(&mut self.out, &state.keywords);
        for (uid, modseq) in &stored.changed {
            selected.knows(*uid, *modseq);
        }
        // RFC 7162 §3.1.3: a silent STORE still tells the mod-sequence.
        if silent && !manner.condstore {
            return;
        }
        let Some(held) = state.mailbox(selected.row) else { return };
        for uid in uids {
            let Ok(place) = selected.uids.binary_search(uid) else { continue };
            let changed = stored.changed.binary_search_by_key(uid, |(uid, _)| *uid).is_ok();
            let (Some(message), true) = (held.message(*uid), changed || !silent) else { continue };
            let number = Selected::number(place);
            write::text(&mut self.out, &format!("* {number} FETCH (UID {uid}"));
            if !silent {
                self.out.push(b' ');
                let recent = !manner.rev2 && selected.is_recent(*uid);
                selected::flags(&mut self.out, message, &state.keywords, recent);
            }
            if manner.condstore {
                write::text(&mut self.out, &format!(" MODSEQ ({})", message.modseq));
            }
            write::text(&mut self.out, ")\r\n");
        }
    }
}

// RFC 7162 §3.1.3
fn modified_reply(selected: Option<&Selected>, stored: &Stored, by_uid: bool) -> Reply {
    if stored.modified.is_empty() {
        return Reply::ok("stored");
    }
    let numbers = stored.modified.iter().filter_map(|uid| {
        if by_uid {
            return Some(*uid);
        }
        let place = selected?.uids.binary_search(uid).ok()?;
        u32::try_from(Selected::number(place)).ok()
    });
    let mut code = b"[MODIFIED ".to_vec();
    write::set(&mut code, numbers);
    let code = String::from_utf8_lossy(&code).into_owned();
    Reply::Ok(format!("{code}] some had changed meanwhile"))
}
