//! IDLE.
//!
//! Invariant: a change is told as soon as it is in memory; the wait ends with DONE, with the
//! time limit, or with the server.
//! Refs: RFC 2177; RFC 9051 §6.3.13.

use super::connection::Closed;
use super::reply::Reply;
use super::session::Session;

impl Session<'_> {
    pub(super) async fn idle(&mut self) -> Result<Reply, Closed> {
        let Some(account) = self.account.clone() else { return Ok(Reply::bad("log in first")) };
        let mut changes = account.changes();
        self.say("+ idling\r\n");
        loop {
            self.sync(true);
            if !self.out.is_empty() {
                self.flush().await?;
            }
            tokio::select! {
                line = self.connection.next_line() => {
                    return Ok(if line?.eq_ignore_ascii_case(b"DONE") {
                        Reply::ok("done idling")
                    } else {
                        Reply::bad("DONE was expected")
                    });
                }
                // The sender lives as long as the account this session holds.
                _ = changes.changed() => {}
            }
        }
    }
}
