//! Login, SELECT and FETCH 1:* of one INBOX: what a mail program does first.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::imap::Imap;
use crate::meter::{Figures, Meter, thousandths};

pub(crate) fn run(arguments: &Arguments) -> Result<Value> {
    let (address, user) = (arguments.need("imap")?, arguments.user()?);
    let items = arguments.text("items", "(FLAGS ENVELOPE)");
    let meter = Meter::start(arguments.pids()?)?;
    let began = Instant::now();
    let mut imap = Imap::open(address, &user)?;
    let login = began.elapsed().as_secs_f64();
    let exists = imap.select()?;
    let selected = began.elapsed().as_secs_f64();
    let before = imap.connection.octets_in;
    let answer = imap.command(&format!("FETCH 1:* {items}"))?;
    let whole = began.elapsed().as_secs_f64();
    let octets = imap.connection.octets_in - before;
    let mut figures = Figures::new();
    meter.stop(&mut figures);
    imap.logout();
    for (name, seconds) in [
        ("login_s", login),
        ("select_s", selected - login),
        ("fetch_s", whole - selected),
        ("list_s", whole),
        ("answer_mb", octets as f64 / 1e6),
    ] {
        figures.insert(name.into(), thousandths(seconds));
    }
    figures.insert("messages".into(), json!(exists));
    ensure!(answer.fetches == exists, "{exists} messages, {} fetched", answer.fetches);
    Ok(Value::Object(figures))
}
