//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE.
//!
//! Invariant: what these do is on disk before they say so.
//! Refs: RFC 9051 §6.3.4 to §6.3.8; RFC 8474 §4.1.

use std::sync::Arc;

use imap_types::mailbox::Mailbox;

use super::objects;
use super::quota::relieve;
use super::reply::Reply;
use super::session::Session;
use crate::account::{Account, ChangeError};
use crate::mailbox::Name;

fn done(result: Result<(), ChangeError>) -> Reply {
    match result {
        Ok(()) => Reply::ok("done"),
        Err(error) => error.into(),
    }
}

impl Session<'_> {
    pub(super) async fn create(&mut self, mailbox: &Mailbox<'_>) -> Reply {
        match (self.name(mailbox), self.account.clone()) {
            (Ok(name), Some(account)) => self.created(&account, name).await,
            (Err(reply), _) => reply,
            (_, None) => Reply::bad("log in first"),
        }
    }

    async fn created(&mut self, account: &Arc<Account>, name: Name) -> Reply {
        if let Err(error) = account.create(name.clone()).await {
            return error.into();
        }
        // RFC 8474 §4.1. Of one that another session has deleted already there is nothing to say.
        match account.state().map(|state| state.named(&name).map(objects::mailbox)) {
            Ok(Some(id)) => Reply::Ok(format!("[MAILBOXID ({id})] created")),
            Ok(None) | Err(_) => Reply::ok("created"),
        }
    }

    pub(super) async fn delete(&mut self, mailbox: &Mailbox<'_>) -> Reply {
        match (self.name(mailbox), self.account.clone()) {
            (Ok(name), Some(account)) => {
                let deleted = account.delete(name).await;
                relieve(&self.context.quotas, &account).await;
                done(deleted)
            }
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
