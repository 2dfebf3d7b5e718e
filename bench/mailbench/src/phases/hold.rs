//! Many sessions that are logged in, have a mailbox selected, and wait (RFC 2177): what they keep in
//! memory, beside what is kept for nobody and for one session of each user.

use std::thread;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::arguments::{Arguments, Owner};
use crate::imap::Imap;
use crate::meter::{Figures, Meter, thousandths, tree_pss_kib, wait_for_calm};

const OPENERS: usize = 8;
/// A server may index what it opened.
const CALM_LIMIT: Duration = Duration::from_secs(30);

/// Opens as many sessions more, several at a time.
fn open(address: &str, users: &[Owner], count: usize) -> Result<Vec<Imap>> {
    let one = |number: usize| -> Result<Imap> {
        let mut imap = Imap::open(address, &users[number % users.len()])?;
        imap.select()?;
        imap.idle()?;
        Ok(imap)
    };
    thread::scope(|scope| {
        let some =
            |from| move || (from..count).step_by(OPENERS).map(one).collect::<Result<Vec<_>>>();
        let all: Vec<_> = (0..OPENERS).map(|from| scope.spawn(some(from))).collect();
        let mut sessions = Vec::new();
        for one in all {
            sessions.extend(one.join().ok().context("a session stopped")??);
        }
        Ok(sessions)
    })
}

pub(crate) fn run(arguments: &Arguments) -> Result<Value> {
    let (address, pids) = (arguments.need("imap")?, arguments.pids()?);
    let users =
        if arguments.switch("user") { vec![arguments.user()?] } else { arguments.users()? };
    let sessions: usize = arguments.number("sessions", 1000)?;
    let seconds: u64 = arguments.number("seconds", 10)?;
    let mut figures = Figures::new();
    let mut pss = |name: &str| {
        wait_for_calm(&pids, CALM_LIMIT);
        figures.insert(name.into(), json!(tree_pss_kib(&pids)));
    };
    pss("locked_pss_kib");
    let mut held = open(address, &users, users.len())?;
    pss("unlocked_pss_kib");
    held.extend(open(address, &users, sessions.saturating_sub(users.len()))?);
    pss("held_pss_kib");
    let meter = Meter::start(pids.clone())?;
    sleep(Duration::from_secs(seconds));
    let idle_cpu = meter.server_seconds();
    let count = held.len();
    held.into_iter().for_each(Imap::leave);
    pss("left_pss_kib");
    meter.stop(&mut figures);
    figures.insert("idle_cpu_cores".into(), thousandths(idle_cpu / seconds.max(1) as f64));
    figures.insert("users".into(), json!(users.len()));
    figures.insert("sessions".into(), json!(count));
    Ok(Value::Object(figures))
}
