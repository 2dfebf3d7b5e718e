//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE.
//!
//! Invariant: what these do is on disk before they say so.
//! Refs: RFC 9051 §6.3.4 to §6.3.8.

use imap_types::mailbox::Mailbox;

use super::reply::Reply;
use super::session::Session;
use crate::account::ChangeError;

fn done(result: Result<(), ChangeError>) -> Reply {
    match result {
        Ok(()) => Reply::ok("done"),
        Err(error) => error.into(),
    }
}

impl Session<'_> {
    pub(super) async fn create(&mut self, mailbox: &Mailbox<'_>) -> Reply {
        match (self.name(mailbox), self.account.clone()) {
            (Ok(name), Some(account)) => done(account.create(name).await),
            (Err(reply), _) => reply,
            (_, None) => Reply::bad("log in first"),
        }
    }

    pub(super) async fn delete(&mut self, mailbox: &Mailbox<'_>) -> Reply {
        match (self.name(mailbox), self.account.clone()) {
            (Ok(name), Some(account)) => done(account.delete(name).await),
            (Err(reply), _) => reply,
            (_, None) => Reply::bad("log in first"),
        }
    }

    pub(super) async fn rename(&mut self, from: &Mailbox<'_>, to: &Mailbox<'_>) -> Reply {
        let names = self.name(from).and_then(|from| Ok((from, self.name(to)?)));
        match (names, self.account.clone()) {
            (Ok((from, to)), Some(account)) => done(account.rename(from, to).await),
            (Err(reply), _) => reply,
            (_, None) => Reply::bad("log in first"),
        }
    }

    pub(super) async fn subscribe(&mut self, mailbox: &Mailbox<'_>, wanted: bool) -> Reply {
        match (self.name(mailbox), self.account.clone()) {
            (Ok(name), Some(account)) => done(account.subscribe(name, wanted).await),
            (Err(reply), _) => reply,
            (_, None) => Reply::bad("log in first"),
        }
    }
}
