//! Whole letters out of one INBOX, in one command or one by one.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::imap::Imap;
use crate::meter::{Figures, Meter, latencies, thousandths};

pub(crate) fn run(arguments: &Arguments) -> Result<Value> {
    let mut imap = Imap::open(arguments.need("imap")?, &arguments.user()?)?;
    let messages: u64 = arguments.number("messages", 1000)?;
    let first: u64 = arguments.number("first", 1)?;
    let last = first + messages - 1;
    let exists = imap.select()?;
    ensure!(exists >= last, "{exists} messages in the mailbox, {last} are needed");
    let meter = Meter::start(arguments.pids()?)?;
    let began = Instant::now();
    let (mut fetches, mut octets, mut each) = (0, 0, Vec::new());
    let mut fetch = |set: String| -> Result<()> {
        let one = Instant::now();
        let answer = imap.command(&format!("FETCH {set} (UID BODY.PEEK[])"))?;
        each.push(one.elapsed().as_secs_f64());
        fetches += answer.fetches;
        octets += answer.literal_octets;
        Ok(())
    };
    if arguments.switch("single") {
        (first..=last).try_for_each(|number| fetch(number.to_string()))?;
    } else {
        fetch(format!("{first}:{last}"))?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let mut figures = Figures::new();
    meter.stop(&mut figures);
    imap.logout();
    ensure!(fetches == messages, "{messages} asked for, {fetches} fetched");
    figures.insert("messages".into(), json!(messages));
    figures.insert("bodies_s".into(), thousandths(seconds));
    figures.insert("body_mb".into(), thousandths(octets as f64 / 1e6));
    figures.insert("mb_per_s".into(), thousandths(octets as f64 / 1e6 / seconds));
    latencies(&mut figures, "fetch", each);
    Ok(Value::Object(figures))
}
