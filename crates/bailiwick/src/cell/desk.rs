//! The desk in the running cell: signed commands in, leaves out.
//!
//! Invariant: a leaf of the desk is appended by one task at a time, and an event that a crash
//! left logged but unrecorded is recorded at the next start, so no event is logged twice.
//! Refs: docs/life-of-a-demand.md; specs/log-entry.md §7.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use custody::receipt::COSIGNATURE_SECONDS_MAX;
use custody::{LogTrust, TrustPolicy};
use desk::{Command, Desk, IDENTIFIERS_MAX, LoggedAt, Signed, Staff, Unlogged};
use vocab::Row;

use super::Cell;
use crate::admin::protocol::Answer;
use crate::admin::server::Refusal;
use crate::clock;
use crate::listen::{Stop, stopped};
use crate::log::{Item, Stopped};

impl From<desk::DeskError> for Refusal {
    fn from(error: desk::DeskError) -> Self {
        Self::new(error.to_string(), error.cure())
    }
}

impl Cell {
    /// Carries out what a member of staff signed, and logs what came of it.
    pub(crate) async fn at_desk(self: &Arc<Self>, signed: Signed) -> Result<Answer, Refusal> {
        self.names_its_account(&signed)?;
        let receipt = match self.desk.wants_receipt(&signed) {
            None => None,
            Some(index) => {
                // Holders and courts believe a checkpoint only with fresh cosignatures.
                self.keeper.cosign().await;
                // Asking may have shown that the log has forked.
                self.log_goes_on().await?;
                let receipt = self.keeper.receipt(index).await;
                Some(receipt.map_err(|error| Refusal::failed("no receipt from the log", &error))?)
            }
        };
        // While leaves are being written nobody can say which of them are in clear.
        let secret = matches!(signed.command(), Ok(Command::Secrecy { .. }));
        let still = if secret { Some(self.logging.lock().await) } else { None };
        if still.as_deref() == Some(&true) {
            // The log has leaves that the desk does not know of yet.
            self.catch_up().map_err(|error| Refusal::failed("the log cannot be read", &error))?;
        }
        let cell = Arc::clone(self);
        let carried = tokio::task::spawn_blocking(move || {
            cell.desk.carry_out(&signed, receipt, clock::now())
        });
        let answer =
            carried.await.map_err(|error| Refusal::failed("the desk failed", &error))??;
        drop(still);
        self.log_desk_now().await?;
        Ok(Answer::Desk { said: Box::new(answer) })
    }

    /// A demand is entered on an account only if one of its own identifiers leads there: officers
    /// and trustees see the account's number alone, and nobody else compares.
    fn names_its_account(&self, signed: &Signed) -> Result<(), Refusal> {
        let Ok(Command::Receive { demand, account: Some(account), .. }) = signed.command() else {
            return Ok(());
        };
        let leads = |name: &String| {
            self.routes.account_of(name) == Some(account) || *name == account.to_string()
        };
        if demand.rehearsal || demand.identifiers.iter().take(IDENTIFIERS_MAX).any(leads) {
            return Ok(());
        }
        Err(Refusal::new(
            "no identifier of the demand leads to this account",
            "enter the identifiers as the paper names them, and the address that is one of them",
        ))
    }

    /// Enrols staff; the operator's act.
    pub(crate) async fn enrol_staff(&self, staff: Staff) -> Result<Answer, Refusal> {
        self.desk.enrol_staff(staff, clock::now())?;
        self.log_desk_now().await?;
        Ok(Answer::Done)
    }

    /// Enters the configuration's holders into the desk's register, for it to know whom to ask.
    pub(crate) fn enrol_holders(&self) -> Result<()> {
        let known = self.desk.enrolled_holders();
        for holder in self.config.custody.entries() {
            if !known.contains(&holder) {
                self.desk.enrol_holder(holder, clock::now())?;
            }
        }
        Ok(())
    }

    /// The policy that holders and courts are handed beforehand.
    pub(crate) async fn trust(&self) -> Result<Answer, Refusal> {
        if self.config.peers.is_empty() {
            return Err(Refusal::new(
                "the cell has no witness, and without one nobody can trust its log",
                "name another cell in [[peer]] of the configuration, and restart",
            ));
        }
        let made = self.trust_policy().await;
        let policy = made.map_err(|error| Refusal::failed("no trust policy", &error))?;
        Ok(Answer::Trust { policy })
    }

    async fn trust_policy(&self) -> Result<String> {
        let mut text = format!("log {}\n", self.keeper.key().await);
        let names: Vec<&str> = self.config.peers.iter().map(|peer| peer.name.as_str()).collect();
        for peer in &self.config.peers {
            text.push_str(&format!("witness {} {}\n", peer.name, peer.witness_key.get_ref()));
        }
        let needed = self.config.log.witnesses_min;
        text.push_str(&format!("group witnesses {needed} {}\nquorum witnesses\n", names.join(" ")));
        let policy = TrustPolicy {
            cell: self.keys.cell(),
            log: LogTrust::new(&text, COSIGNATURE_SECONDS_MAX)
                .context("the cell has no witness: name another cell in [[peer]]")?,
            register: self.desk.officers()?,
            desk: self.keys.desk()?.public(),
        };
        Ok(policy.to_json()?)
    }

    /// Logs every open event of the desk, and leaves those under secrecy for their batch. While
    /// the log is stopped they wait for it.
    pub(crate) async fn log_desk_now(&self) -> Result<(), Refusal> {
        match self.log_desk(false).await {
            Err(error) if !error.is::<Stopped>() => {
                Err(Refusal::failed("the log could not be written", &error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    async fn log_desk(&self, batch: bool) -> Result<()> {
        let mut behind = self.logging.lock().await;
        if *behind {
            // The log took leaves whose events were not recorded; it must not take them twice.
            self.catch_up()?;
        }
        *behind = true;
        let mut unlogged = self.desk.unlogged()?;
        // One leaf that cannot be written must not keep the others out of the log.
        unlogged.retain(|one| {
            let checked = one.draft.check(one.open_by.is_some());
            if let Err(error) = &checked {
                tracing::error!(event = one.event.0, %error, "an event is set aside from the log");
            }
            checked.is_ok()
        });
        let (sealed, open): (Vec<Unlogged>, Vec<Unlogged>) =
            unlogged.into_iter().partition(|one| one.open_by.is_some());
        let (events, items) = leaves(open);
        let indexes = self.keeper.append(items).await?;
        self.record(&events, &indexes, false)?;
        if batch {
            let size = usize::try_from(self.config.log.sealed_batch).unwrap_or(usize::MAX);
            let (events, items) = leaves(sealed.into_iter().take(size).collect());
            let indexes = self.keeper.append_batch(items, size).await?;
            self.record(&events, &indexes, true)?;
        }
        *behind = false;
        Ok(())
    }

    fn record(&self, events: &[Row], indexes: &[u64], sealed: bool) -> Result<()> {
        for (event, index) in events.iter().zip(indexes) {
            let at = LoggedAt { index: *index, sealed };
            self.desk.record_logged(*event, at, clock::now())?;
        }
        Ok(())
    }

    /// Records what the log holds and the desk does not know of yet, after a crash.
    pub(crate) fn catch_up(&self) -> Result<()> {
        for (event, index, sealed) in self.keeper.abouts()? {
            self.desk.record_logged(event, LoggedAt { index, sealed }, clock::now())?;
        }
        Ok(())
    }

    /// The ends of preservations, the batches under secrecy, and the openings when secrecy ends.
    pub(crate) async fn keep_log(self: Arc<Self>, stop: Stop) {
        let every = self.config.log.sealed_interval_seconds.max(1);
        let stopping = stopped(stop);
        tokio::pin!(stopping);
        loop {
            // At fixed times of the day, so that a restart neither delays a batch nor shows.
            let wait = every - clock::now().0 % every;
            tokio::select! {
                () = &mut stopping => return,
                () = tokio::time::sleep(Duration::from_secs(wait)) => {}
            }
            if let Err(error) = self.batch_and_open().await {
                tracing::error!(error = %format!("{error:#}"), "the log's batch failed");
            }
        }
    }

    async fn batch_and_open(self: &Arc<Self>) -> Result<()> {
        if self.keeper.stopped().await.is_some() {
            return Ok(());
        }
        let cell = Arc::clone(self);
        let ending = move || cell.desk.end_preservations(clock::now());
        // What ended is logged below, whatever becomes of the others.
        if let Err(error) = tokio::task::spawn_blocking(ending).await? {
            tracing::error!(%error, "a preservation could not be ended");
        }
        self.log_desk(true).await?;
        // What is due to be opened is opened whatever becomes of the day's pins.
        if let Err(error) = self.keeper.pin_day().await {
            tracing::error!(error = %format!("{error:#}"), "the day's pins could not be kept");
        }
        let openable = self.desk.openable(clock::now());
        self.keeper.open_leaves(self.keeper.still_sealed(openable)?).await?;
        self.keeper.open_due(&self.desk.secret(clock::now())).await?;
        Ok(())
    }
}

fn leaves(unlogged: Vec<Unlogged>) -> (Vec<Row>, Vec<Item>) {
    unlogged
        .into_iter()
        .map(|one| {
            let Unlogged { event, draft, open_by } = one;
            (event, Item { draft, open_by, about: Some(event) })
        })
        .unzip()
}

/// The desk of a cell.
pub(crate) fn open(
    keys: &custody::CellKeys,
    store: &store::Store,
    place: law::Place,
    entropy: Arc<dyn seal::Entropy>,
) -> Result<Desk> {
    let packs = law::Packs::builtin().context("a law pack cannot be loaded")?;
    Ok(Desk::open(desk::DeskOptions {
        cell: keys.cell(),
        place,
        rows: keys.rows()?,
        signing: keys.desk()?,
        ingest: keys.ingest()?.public(),
        append: store.append(),
        read: store.read(),
        preserve: store.preserve(),
        packs,
        entropy,
    })?)
}
