//! Logins, each with SELECT and LOGOUT, several at once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::imap::Imap;
use crate::meter::{Figures, Meter, latencies, thousandths};

pub(crate) fn run(arguments: &Arguments) -> Result<Value> {
    let (address, users) = (arguments.need("imap")?, arguments.users()?);
    let logins: u64 = arguments.number("messages", 400)?;
    let sessions: u64 = arguments.number("sessions", 8)?;
    let (next, times) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let session = || -> Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= logins {
                return Ok(());
            }
            let user = &users[number as usize % users.len()];
            let began = Instant::now();
            let mut imap = Imap::open(address, user)?;
            imap.select()?;
            let seconds = began.elapsed().as_secs_f64();
            imap.logout();
            times.lock().ok().context("another session failed")?.push(seconds);
        }
    };
    let meter = Meter::start(arguments.pids()?)?;
    let began = Instant::now();
    thread::scope(|scope| {
        let all: Vec<_> = (0..sessions).map(|_| scope.spawn(session)).collect();
        all.into_iter().try_for_each(|one| one.join().ok().context("a session stopped")?)
    })?;
    let seconds = began.elapsed().as_secs_f64();
    let mut figures = Figures::new();
    meter.stop(&mut figures);
    figures.insert("sessions".into(), json!(sessions));
    figures.insert("logins".into(), json!(logins));
    figures.insert("logins_per_s".into(), thousandths(logins as f64 / seconds));
    latencies(&mut figures, "login", times.into_inner().unwrap_or_default());
    Ok(Value::Object(figures))
}
