//! The disclosure station: the one process that ever sees a letter of somebody else's.
//!
//! Invariant: it runs where its operator runs it, not in the server; what it opens is in its
//! memory alone until it is encrypted to the authority.
//! Refs: specs/production.md; specs/release-evidence.md §8.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use custody::{LeafReceipt, RecipientKey, ReleaseEvidence, TrustPolicy, hex};
use desk::production::archive;
use desk::production::package::Bag;
use desk::production::station::Station;
use desk::{Command, SealedKind};
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

/// Opens, cuts, packages, has it signed and logged, encrypts, records the delivery.
pub(super) fn produce(at: &AtDesk<'_>, args: &Produce) -> Result<desk::Answer> {
    let case = args.case;
    let trust = std::fs::read_to_string(&args.trust)
        .with_context(|| format!("cannot read `{}`", args.trust.display()))?;
    let trust = TrustPolicy::from_json(&trust)?;
    let (evidence, recipient, mut station) = open(at, args, &trust)?;
    fetch(at, case, SealedKind::Head, &mut station)?;
    fetch(at, case, SealedKind::Message, &mut station)?;
    for row in station.wanted() {
        let sealed = body(at, case, row)?;
        station.body(row, &sealed)?;
    }
    let bag = Bag::new(station.close(clock::now())?, &evidence)?;
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
    let answer = at.ask(&command::delivered(case, &package, args.means.clone()))?;
    // The shares that were given for this order open nothing any more.
    std::fs::remove_file(&args.order_key)?;
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

fn open(
    at: &AtDesk<'_>,
    args: &Produce,
    trust: &TrustPolicy,
) -> Result<(ReleaseEvidence, Recipient, Station)> {
    let released = at.ask(&Command::Release { case: args.case })?;
    let desk::Answer::Released { evidence, escrows, answers, recipient } = released else {
        bail!("the desk did not release");
    };
    let escrows: Vec<Escrow> =
        escrows.iter().map(|octets| Escrow::decode(&octets.0)).collect::<Result<_, _>>()?;
    let order_key = load_order_key(&args.order_key)?;
    let station = Station::open(&evidence, trust, order_key, &escrows, &answers, clock::now())?;
    let recipient = station.recipient(&recipient)?;
    Ok((*evidence, recipient, station))
}

fn fetch(at: &AtDesk<'_>, case: CaseId, kind: SealedKind, station: &mut Station) -> Result<()> {
    let mut from = 0;
    loop {
        let desk::Answer::Sealed { rows, next } = at.ask(&Command::Sealed { case, kind, from })?
        else {
            bail!("the desk gave no sealed records");
        };
        for one in rows {
            let (row, now) = (Row(one.row), clock::now());
            match kind {
                SealedKind::Head => station.head(row, &one.value, now)?,
                SealedKind::Message => station.message(row, &one.value, now)?,
            };
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
