//! A thousand octets at a time out of the attachments of large letters, at random places.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::imap::Imap;
use crate::letters::Dice;
use crate::meter::{Figures, Meter, latencies, thousandths};

const STEP_OCTETS: usize = 1024;

pub(crate) fn run(arguments: &Arguments) -> Result<Value> {
    let mut imap = Imap::open(arguments.need("imap")?, &arguments.user()?)?;
    let reads: u64 = arguments.number("messages", 500)?;
    let octets: usize = arguments.number("octets", 5 << 20)?;
    let part = arguments.text("part", "2");
    let letters = usize::try_from(imap.select()?)?;
    ensure!(letters > 0, "no letters in the mailbox");
    let mut dice = Dice::new(arguments.number("seed", 1)?);
    let meter = Meter::start(arguments.pids()?)?;
    let (began, mut each, mut read) = (Instant::now(), Vec::new(), 0);
    for _ in 0..reads {
        // An eighth is left for the text before and the header.
        let (letter, from) = (1 + dice.below(letters), dice.below(octets / 8 * 7));
        let one = Instant::now();
        let answer =
            imap.command(&format!("FETCH {letter} (BODY.PEEK[{part}]<{from}.{STEP_OCTETS}>)"))?;
        each.push(one.elapsed().as_secs_f64());
        read += answer.literal_octets;
    }
    let seconds = began.elapsed().as_secs_f64();
    let mut figures = Figures::new();
    meter.stop(&mut figures);
    imap.logout();
    ensure!(read == reads * STEP_OCTETS as u64, "{read} octets read in {reads} reads");
    figures.insert("reads".into(), json!(reads));
    figures.insert("letters".into(), json!(letters));
    figures.insert("reads_per_s".into(), thousandths(reads as f64 / seconds));
    latencies(&mut figures, "read", each);
    Ok(Value::Object(figures))
}
