//! EXPUNGE and UID EXPUNGE.
//!
//! Invariant: only messages this session was told of go, and only those marked deleted.
//! Refs: RFC 9051 §6.4.3, §6.4.9; RFC 4315 §2.1.

use imap_types::sequence::SequenceSet;

use super::quota::relieve;
use super::reply::Reply;
use super::session::Session;
use super::set;

impl Session<'_> {
    pub(super) async fn expunge(&mut self, among: Option<&SequenceSet>) -> Reply {
        let Some((account, selected)) = self.account.clone().zip(self.selected.as_ref()) else {
            return Reply::bad("select a mailbox first");
        };
        if selected.read_only {
            return Reply::no("[CANNOT] the mailbox is only examined");
        }
        let uids = match among {
            None => selected.uids.clone(),
            Some(among) => match set::places(among, true, selected, &self.saved) {
                Ok(places) => {
                    places.iter().filter_map(|place| selected.uids.get(*place)).copied().collect()
                }
                Err(_) => return Reply::bad("no such message"),
            },
        };
        // The EXPUNGE lines come with the sync that ends every command.
        let expunged = account.expunge(selected.row, Some(uids)).await;
        relieve(&self.context.quotas, &account).await;
        match expunged {
            Ok(_) => Reply::ok("expunged"),
            Err(error) => error.into(),
        }
    }
}
