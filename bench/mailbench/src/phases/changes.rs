//! Flags on the first messages of one INBOX, set and taken away; then their deletion.
//!
//! Invariant: fails unless exactly these are gone afterwards.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::imap::Imap;
use crate::meter::{Figures, Meter, thousandths};

pub(crate) fn run(arguments: &Arguments) -> Result<Value> {
    let mut imap = Imap::open(arguments.need("imap")?, &arguments.user()?)?;
    let messages: u64 = arguments.need("messages")?.parse()?;
    let before = imap.select()?;
    ensure!(before >= messages, "{before} messages in the mailbox, {messages} are needed");
    let meter = Meter::start(arguments.pids()?)?;
    let mut figures = Figures::new();
    for (name, command) in [
        ("flag_s", format!("STORE 1:{messages} +FLAGS.SILENT (\\Flagged)")),
        ("unflag_s", format!("STORE 1:{messages} -FLAGS.SILENT (\\Flagged)")),
        ("delete_s", format!("STORE 1:{messages} +FLAGS.SILENT (\\Deleted)")),
        ("expunge_s", "EXPUNGE".to_owned()),
    ] {
        let began = Instant::now();
        imap.command(&command)?;
        figures.insert(name.into(), thousandths(began.elapsed().as_secs_f64()));
    }
    meter.stop(&mut figures);
    let after = imap.messages()?;
    imap.logout();
    ensure!(after == before - messages, "{before} messages before, {after} afterwards");
    figures.insert("messages".into(), json!(messages));
    figures.insert("left".into(), json!(after));
    Ok(Value::Object(figures))
}
