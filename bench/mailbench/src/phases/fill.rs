//! Letters into one INBOX through IMAP, a hundred a command where the server takes that.
//!
//! Invariant: fails unless every letter is in the mailbox afterwards.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::arguments::{Arguments, Owner};
use crate::imap::Imap;
use crate::letters::Letters;
use crate::meter::{Figures, Meter, thousandths};

const BATCH: u64 = 100;

struct Load {
    user: Owner,
    letters: Letters,
    messages: u64,
    next: AtomicU64,
}

impl Load {
    fn session(&self, address: &str) -> Result<()> {
        let mut imap = Imap::open(address, &self.user)?;
        loop {
            let first = self.next.fetch_add(BATCH, Ordering::Relaxed);
            if first >= self.messages {
                imap.logout();
                return Ok(());
            }
            let numbers = first..self.messages.min(first + BATCH);
            let letter = |number| self.letters.letter(number, &self.user.address);
            imap.append(&numbers.map(letter).collect::<Vec<_>>())?;
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<Value> {
    let address = arguments.need("imap")?;
    let load = Load {
        user: arguments.user()?,
        letters: Letters::new(arguments.number("seed", 2)?, arguments.number("octets", 4096)?),
        messages: arguments.number("messages", 1000)?,
        next: AtomicU64::new(0),
    };
    let sessions: u64 = arguments.number("sessions", 1)?;
    let mut imap = Imap::open(address, &load.user)?;
    let before = imap.messages()?;
    let meter = Meter::start(arguments.pids()?)?;
    thread::scope(|scope| {
        let all: Vec<_> = (0..sessions).map(|_| scope.spawn(|| load.session(address))).collect();
        all.into_iter().try_for_each(|one| one.join().ok().context("a session stopped")?)
    })?;
    let mut figures = Figures::new();
    meter.stop(&mut figures);
    let found = imap.messages()? - before;
    figures.insert("messages".into(), json!(load.messages));
    figures.insert("sessions".into(), json!(sessions));
    figures.insert("multiappend".into(), json!(imap.multiappend));
    let cpu = meter.server_seconds() * 1000.0 / load.messages as f64;
    figures.insert("cpu_ms_per_letter".into(), thousandths(cpu));
    ensure!(found == load.messages, "{} appended, {found} in the mailbox", load.messages);
    imap.logout();
    Ok(Value::Object(figures))
}
