//! Letters over SMTP or LMTP, several sessions at once, until each is in its mailbox.
//!
//! Invariant: an accepted letter that is not in its mailbox afterwards fails the phase.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::arguments::{Arguments, Owner};
use crate::imap::Imap;
use crate::letters::Letters;
use crate::meter::{Figures, Meter, latencies, thousandths};
use crate::smtp::{Protocol, Smtp};

/// Letters after which a session takes a new connection.
const LETTERS_PER_CONNECTION: u64 = 100;
const DRAIN_LIMIT: Duration = Duration::from_secs(600);

struct Load<'a> {
    address: &'a str,
    protocol: Protocol,
    users: &'a [Owner],
    letters: Letters,
    messages: u64,
    next: AtomicU64,
    times: Mutex<Vec<f64>>,
}

impl Load<'_> {
    fn user(&self, number: u64) -> &Owner {
        &self.users[number as usize % self.users.len()]
    }

    fn session(&self) -> Result<()> {
        let mut times = Vec::new();
        let mut open: Option<(Smtp, u64)> = None;
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.messages {
                break;
            }
            let to = &self.user(number).address;
            let mut letter = self.letters.letter(number, to);
            letter.extend_from_slice(b".\r\n");
            let began = Instant::now();
            let (mut smtp, sent) = match open.take() {
                Some((smtp, sent)) if sent < LETTERS_PER_CONNECTION => (smtp, sent),
                spent => {
                    if let Some((smtp, _)) = spent {
                        smtp.quit();
                    }
                    (Smtp::open(self.address, self.protocol)?, 0)
                }
            };
            smtp.deliver(to, &letter).with_context(|| format!("letter {number}"))?;
            times.push(began.elapsed().as_secs_f64());
            open = Some((smtp, sent + 1));
        }
        if let Some((smtp, _)) = open {
            smtp.quit();
        }
        self.times.lock().ok().context("another session failed")?.extend(times);
        Ok(())
    }

    /// How many letters each user is sent.
    fn shares(&self) -> Vec<u64> {
        let users = self.users.len() as u64;
        (0..users)
            .map(|user| self.messages / users + u64::from(user < self.messages % users))
            .collect()
    }
}

/// How many messages each user has; a login each.
fn counts(address: &str, users: &[Owner]) -> Result<Vec<u64>> {
    let count = |user: &Owner| {
        let mut imap = Imap::open(address, user)?;
        let messages = imap.messages()?;
        imap.logout();
        Ok(messages)
    };
    users.iter().map(count).collect()
}

/// Waits until every mailbox holds what it was sent.
fn drain(imaps: &mut [Imap], wanted: &[u64]) -> Result<()> {
    let limit = Instant::now() + DRAIN_LIMIT;
    for (imap, wanted) in imaps.iter_mut().zip(wanted) {
        while imap.messages()? < *wanted {
            if Instant::now() > limit {
                bail!(
                    "letters are missing {} s after the last was accepted",
                    DRAIN_LIMIT.as_secs()
                );
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(())
}

pub(crate) fn run(arguments: &Arguments) -> Result<Value> {
    let imap = arguments.need("imap")?;
    let mut users = arguments.users()?;
    if arguments.switch("user") {
        users = vec![arguments.user()?];
    }
    let messages: u64 = arguments.number("messages", 100)?;
    let sessions: u64 = arguments.number("sessions", 1)?;
    users.truncate(usize::try_from(messages)?);
    let load = Load {
        address: arguments.need("to")?,
        protocol: match arguments.text("protocol", "smtp") {
            "smtp" => Protocol::Smtp,
            "lmtp" => Protocol::Lmtp,
            other => bail!("--protocol is smtp or lmtp, not `{other}`"),
        },
        users: &users,
        letters: Letters::new(arguments.number("seed", 1)?, arguments.number("octets", 10240)?),
        messages,
        next: AtomicU64::new(0),
        times: Mutex::new(Vec::with_capacity(usize::try_from(messages)?)),
    };
    // Not logged in: what comes next measures the first login after these arrivals.
    let unopened = arguments.switch("unopened");
    let before = if unopened { Vec::new() } else { counts(imap, &users)? };
    let wanted: Vec<u64> = before.iter().zip(load.shares()).map(|(old, new)| old + new).collect();
    // Behind a queue "accepted" is not "delivered": watch the mailboxes, logged in beforehand.
    let mut watchers = Vec::new();
    if arguments.switch("queued") {
        for user in &users {
            watchers.push(Imap::open(imap, user)?);
        }
    }
    let meter = Meter::start(arguments.pids()?)?;
    let began = Instant::now();
    thread::scope(|scope| {
        let all: Vec<_> = (0..sessions).map(|_| scope.spawn(|| load.session())).collect();
        all.into_iter().try_for_each(|one| one.join().ok().context("a session stopped")?)
    })?;
    let accepted = began.elapsed().as_secs_f64();
    drain(&mut watchers, &wanted)?;
    let delivered = began.elapsed().as_secs_f64();
    let mut figures = Figures::new();
    meter.stop(&mut figures);
    let (cpu, count) = (meter.server_seconds(), messages as f64);
    watchers.into_iter().for_each(Imap::logout);
    if !unopened {
        ensure!(counts(imap, &users)? == wanted, "accepted letters are not in their mailboxes");
    }
    // What the first login after an arrival costs the server, beyond the arrival itself.
    let opened = meter.server_seconds() - cpu;
    for (name, value) in [
        ("accepted_per_s", count / accepted),
        ("delivered_per_s", count / delivered),
        ("cpu_ms_per_letter", cpu * 1000.0 / count),
        ("login_cpu_ms_per_letter", opened * 1000.0 / count),
    ] {
        figures.insert(name.into(), thousandths(value));
    }
    figures.insert("sessions".into(), json!(sessions));
    figures.insert("messages".into(), json!(messages));
    latencies(&mut figures, "letter", load.times.into_inner().unwrap_or_default());
    Ok(Value::Object(figures))
}
