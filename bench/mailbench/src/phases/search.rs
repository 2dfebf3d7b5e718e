//! SEARCH of one INBOX after a new login: a rare text, a frequent one, one in no letter, phrases; and
//! what a person waits for, the search and the envelopes of the newest fifty found.
//!
//! A server may index in the background, or at the first question: with `--settle` the mailbox is
//! asked for a text it does not have until the answer takes no tenth of a second, before anything
//! is timed: an index half made answers in less than a second, and opens every letter it lacks.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::imap::Imap;
use crate::letters::Letters;
use crate::meter::{Figures, Meter, thousandths};

/// How soon a server that has its index answers.
const SETTLED: Duration = Duration::from_millis(100);
/// Messages on a page of results.
const PAGE: usize = 50;

pub(crate) fn run(arguments: &Arguments) -> Result<Value> {
    let (address, user) = (arguments.need("imap")?, arguments.user()?);
    let settle = Duration::from_secs(arguments.number("settle", 0)?);
    let meter = Meter::start(arguments.pids()?)?;
    let began = Instant::now();
    let mut imap = Imap::open(address, &user)?;
    imap.select()?;
    while began.elapsed() < settle {
        let asked = Instant::now();
        imap.command("SEARCH BODY xyzzyq")?;
        if asked.elapsed() < SETTLED {
            break;
        }
        sleep(Duration::from_secs(2));
    }
    imap.logout();
    let settled = began.elapsed().as_secs_f64();
    // What is kept for an open account is let go.
    sleep(Duration::from_secs(2));
    let mut figures = Figures::new();
    let mut imap = Imap::open(address, &user)?;
    imap.select()?;
    for (name, text) in texts() {
        if arguments.switch("few") && name != "rare" {
            continue;
        }
        let asked = Instant::now();
        let answer = imap.command(&format!("SEARCH BODY \"{text}\""))?;
        let found = answer.found();
        figures.insert(format!("{name}_s"), thousandths(asked.elapsed().as_secs_f64()));
        figures.insert(format!("{name}_found"), json!(found.len()));
        if let Some(newest) = found.last_chunk::<PAGE>() {
            imap.command(&format!("FETCH {} (FLAGS ENVELOPE)", newest.join(",")))?;
            figures.insert(format!("{name}_page_s"), thousandths(asked.elapsed().as_secs_f64()));
        }
    }
    imap.logout();
    meter.stop(&mut figures);
    figures.insert("settle_s".into(), thousandths(settled));
    Ok(Value::Object(figures))
}

/// Names and texts; the first is the first that is asked of a new session.
fn texts() -> [(&'static str, String); 5] {
    let letters = Letters::new(1, 0);
    let word = |number: usize| letters.vocabulary(number).to_owned();
    let phrase = |one: usize, next: usize| format!("{} {}", word(one), word(next));
    [
        ("rare", word(7900)),
        ("frequent", word(5)),
        ("none", "xyzzyq".to_owned()),
        ("phrase", phrase(1900, 2900)),
        ("common_phrase", phrase(40, 60)),
    ]
}
