//! The disclosure station: the one process that ever sees a letter of somebody else's.
//!
//! Invariant: it runs where its operator runs it, not in the server; what it opens is in its
//! memory alone until it is encrypted to the authority. What nobody but an owner can open it packs
//! as it is.
//! Refs: specs/production.md; specs/release-evidence.md §8.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use custody::holder::Answer as ShareAnswer;
use custody::{LeafReceipt, OrderRecord, RecipientKey, ReleaseEvidence, TrustPolicy, hex};
use desk::production::archive;
use desk::production::package::Bag;
use desk::production::station::{Cut, Station};
use desk::production::unopened::Unopened;
use desk::{Command, EscrowOctets, Held, SealedKind};
use seal::Secret;
use seal::age::Recipient;
use seal::escrow::Escrow;
use vocab::{CaseId, Row};
use zeroize::Zeroizing;

use super::cli::Produce;
use super::{AtDesk, command, key};
use crate::clock;
use crate::entropy::OsEntropy;

/// How long the log is asked often before it is asked seldom.
const QUICK: Duration = Duration::from_secs(20);

/// Makes the key one order's shares are encrypted to; returns its public half.
pub(super) fn order_key(out: &Path) -> Result<String> {
    let order_key = RecipientKey::generate(&OsEntropy)?;
    let seed = Zeroizing::new(hex::encode(order_key.seed().expose()));
    key::write_new(out, seed.as_bytes())?;
    Ok(hex::encode(&order_key.public()))
}

fn load_order_key(path: &Path) -> Result<RecipientKey> {
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.with_context(|| format!("cannot read `{}`", path.display()))?;
    let seed = hex::decode_array::<32>(text.trim()).map(Zeroizing::new);
    let mut seed = seed.with_context(|| format!("`{}` is not an order key", path.display()))?;
    Ok(RecipientKey::from_seed(Secret::take(&mut seed))?)
}

/// Opens or takes what is sealed, cuts, packages, has it signed and logged, encrypts, records the
/// delivery.
pub(super) fn produce(at: &AtDesk<'_>, args: &Produce) -> Result<desk::Answer> {
    let case = args.case;
    let trust = std::fs::read_to_string(&args.trust)
        .with_context(|| format!("cannot read `{}`", args.trust.display()))?;
    let trust = TrustPolicy::from_json(&trust)?;
    let released = at.ask(&Command::Release { case })?;
    let desk::Answer::Released { evidence, escrows, answers, recipient } = released else {
        bail!("the desk did not release");
    };
    let (cut, recipient) = match OrderRecord::decode(&evidence.order)?.opens_account() {
        true => opened(at, args, (&evidence, &trust), &escrows, &answers, &recipient)?,
        false => unopened(at, args, (&evidence, &trust), &recipient)?,
    };
    let bag = Bag::new(cut, &evidence)?;
    let tag_manifest = bag.tag_manifest().to_vec();
    let produced =
        at.ask(&Command::Produce { case, tag_manifest, record: bag.record().clone() })?;
    let desk::Answer::Produced { signature } = produced else {
        bail!("the desk did not sign the production");
    };
    let receipt = receipt(at, case)?;
    let files = bag.complete(&signature, &receipt)?;
    let tar = Zeroizing::new(archive::tar(&files, clock::now())?);
    let package = seal::age::seal(&[recipient], &tar, &OsEntropy)?;
    key::write_new(&args.out, &package)?;
    let delivered = command::delivered(case, &package, args.means.clone());
    deliver(at, &delivered, args.order_key.as_deref()).with_context(|| {
        let out = args.out.display();
        format!("the package is whole, in `{out}`; then run: desk deliver {case} {out}")
    })
}

/// Records that a package left, and deletes the order's key: the shares that were given for this
/// order open nothing any more.
pub(super) fn deliver(
    at: &AtDesk<'_>,
    delivered: &Command,
    order_key: Option<&Path>,
) -> Result<desk::Answer> {
    let answer = at.ask(delivered)?;
    if let Some(key) = order_key {
        std::fs::remove_file(key).with_context(|| format!("delete `{}`", key.display()))?;
    }
    Ok(answer)
}

/// The log's receipt of the production. Under a non-disclosure order the log takes it with its
/// next batch, so this waits for as long as two batches are apart.
fn receipt(at: &AtDesk<'_>, case: CaseId) -> Result<Box<LeafReceipt>> {
    let patience = Duration::from_secs(at.config.log.sealed_interval_seconds.saturating_add(60));
    let began = Instant::now();
    loop {
        match at.ask(&Command::ProductionReceipt { case }) {
            Ok(desk::Answer::Receipt { receipt }) => return Ok(receipt),
            Ok(_) => bail!("the desk answered something else than a receipt"),
            Err(error) if began.elapsed() > patience => return Err(error),
            Err(_) if began.elapsed() < QUICK => std::thread::sleep(Duration::from_millis(500)),
            Err(_) => {
                eprintln!("waiting for the log's next batch; keep this running");
                std::thread::sleep(Duration::from_secs(30));
            }
        }
    }
}

/// Opens the account with the holders' shares, and keeps what the scope names.
fn opened(
    at: &AtDesk<'_>,
    args: &Produce,
    (evidence, trust): (&ReleaseEvidence, &TrustPolicy),
    escrows: &[EscrowOctets],
    answers: &[ShareAnswer],
    recipient: &str,
) -> Result<(Cut, Recipient)> {
    let case = args.case;
    let escrows: Vec<Escrow> =
        escrows.iter().map(|octets| Escrow::decode(&octets.0)).collect::<Result<_, _>>()?;
    let order_key = args.order_key.as_deref().context("name the order's key: --order-key")?;
    let order_key = load_order_key(order_key)?;
    let mut station = Station::open(evidence, trust, order_key, &escrows, answers, clock::now())
        .context(
            "nothing is opened; see that `share` entered enough answers, and that --order-key and \
             --trust belong to this order",
        )?;
    let recipient = station.recipient(recipient)?;
    fetch(at, case, SealedKind::Head, |row, value| {
        station.head(row, &value, clock::now())?;
        Ok(())
    })?;
    fetch(at, case, SealedKind::Message, |row, value| {
        station.message(row, &value, clock::now())?;
        Ok(())
    })?;
    for row in station.wanted() {
        station.body(row, &body(at, case, row)?)?;
    }
    let held = held(at, case)?;
    Ok((station.close(clock::now())?.with_subscriber(&held.subscriber)?, recipient))
}

/// Takes what is handed out as sealed as it is, and what the cell knows of the subscriber.
fn unopened(
    at: &AtDesk<'_>,
    args: &Produce,
    (evidence, trust): (&ReleaseEvidence, &TrustPolicy),
    recipient: &str,
) -> Result<(Cut, Recipient)> {
    ensure!(args.order_key.is_none(), "nothing is opened for this order: leave out --order-key");
    let case = args.case;
    let mut unopened = Unopened::begin(evidence, trust, held(at, case)?, clock::now())?;
    let recipient = unopened.recipient(recipient)?;
    if unopened.has_letters() {
        fetch(at, case, SealedKind::Head, |row, value| Ok(unopened.head(row, value)?))?;
        fetch(at, case, SealedKind::Message, |row, value| Ok(unopened.message(row, value)?))?;
    }
    for row in unopened.wanted() {
        unopened.body(row, body(at, case, row)?)?;
    }
    Ok((unopened.close(clock::now())?, recipient))
}

fn held(at: &AtDesk<'_>, case: CaseId) -> Result<Held> {
    let desk::Answer::Held { held } = at.ask(&Command::Held { case })? else {
        bail!("the desk did not say what is held");
    };
    Ok(*held)
}

fn fetch(
    at: &AtDesk<'_>,
    case: CaseId,
    kind: SealedKind,
    mut take: impl FnMut(Row, Vec<u8>) -> Result<()>,
) -> Result<()> {
    let mut from = 0;
    loop {
        let desk::Answer::Sealed { rows, next } = at.ask(&Command::Sealed { case, kind, from })?
        else {
            bail!("the desk gave no sealed records");
        };
        for one in rows {
            take(Row(one.row), one.value)?;
        }
        match next {
            Some(next) => from = next,
            None => return Ok(()),
        }
    }
}

fn body(at: &AtDesk<'_>, case: CaseId, row: Row) -> Result<Vec<u8>> {
    let mut sealed = Vec::new();
    loop {
        let from = u64::try_from(sealed.len())?;
        let desk::Answer::Body { octets, total } =
            at.ask(&Command::Body { case, row: row.0, from })?
        else {
            bail!("the desk gave no sealed letter");
        };
        anyhow::ensure!(!octets.is_empty() || total == from, "the desk's answer has no end");
        sealed.extend_from_slice(&octets);
        if u64::try_from(sealed.len())? >= total {
            return Ok(sealed);
        }
    }
}
