//! A production, checked: that what left is what was approved, logged and signed.
//!
//! Invariant: every check of specs/production.md §6, in its order; none is left out because an
//! earlier one failed unless it cannot be made.
//! Refs: specs/production.md §6.

use crate::bag::Bag;
use crate::clock::utc;
use crate::contents;
use crate::evidence;
use crate::report::{Report, whole};
use custody::leaf::Act;
use custody::production::{CustodyRecord, ManifestSignature, manifest_digest};
use custody::{FieldId, LeafReceipt, Logged, OrderRecord, ReleaseEvidence, TrustPolicy};
use seal::mac::sha256;
use std::collections::BTreeMap;
use tlog::FUTURE_SECONDS_MAX;
use vocab::Digest;

/// Checks a production. `demand` is the demand as served, if the reader has it.
pub(crate) fn check(bag: &Bag, trust: &TrustPolicy, demand: Option<&[u8]>) -> Report {
    let mut report = Report::default();
    let what = "The package is complete, and every file has both hashes its manifests give";
    let lengths = report.check(what, bag.complete());
    let manifest = bag.read("tagmanifest-sha256.txt");
    report.check("The package is signed by the cell's desk", signed(bag, &manifest, trust));

    let read = bag
        .json::<CustodyRecord>("custody.json")
        .and_then(|record| Ok((record, bag.json::<ReleaseEvidence>("release.json")?)));
    let read = report.check("The custody record and the release evidence can be read", read);
    let released = read.and_then(|(record, evidence)| {
        let (order, place) = evidence::release(&mut report, &evidence, trust, record.opened_at)?;
        Some((record, evidence, order, place))
    });
    let Some((record, evidence, order, place)) = released else {
        report.skip("The custody record, demand, scope, letters and receipt");
        return report;
    };
    let what = "The custody record is about this order, case and cell";
    let matches = custody_matches(&record, &evidence, &order, trust);
    report.check(what, matches.and_then(|()| described(bag, &record, lengths.as_ref())));
    let what = match demand {
        Some(_) => "The order names the demand you have given",
        None => "The order names the demand whose SHA-256 is in `order.sha256`",
    };
    report.check(what, demand_named(bag, &order, demand));
    let what = "The scope in the package is the approved one";
    report.check(what, scope_approved(bag, &order));
    let scoped = (&order, evidence.scope.as_str());
    contents::check(&mut report, bag, scoped, (&record, &place), lengths.as_ref());
    let receipt = bag.json::<LeafReceipt>("receipt.json");
    let receipt = report.check("The receipt of the production can be read", receipt);
    if let Some(receipt) = receipt
        && let Some(logged) = evidence::receipt(&mut report, &receipt, trust)
    {
        let what = "The log's entry names this order, scope, package and number of records";
        let digest = manifest.map(|manifest| manifest_digest(&manifest));
        let order_digest = OrderRecord::digest(&evidence.order);
        let named =
            digest.and_then(|digest| produced(&logged, &order, order_digest, digest, &record));
        report.check(what, named);
        let copy = bag.read("log-proof.txt");
        let same = copy.is_ok_and(|copy| copy == receipt.proof.as_bytes());
        let what = "`log-proof.txt` is that receipt's proof";
        report.check(what, if same { Ok(()) } else { Err("it is missing or another") });
    }
    report
}

fn signed(
    bag: &Bag,
    manifest: &Result<Vec<u8>, String>,
    trust: &TrustPolicy,
) -> Result<(), String> {
    let signature: ManifestSignature = bag.json("manifest.sig")?;
    let manifest = manifest.as_ref().map_err(Clone::clone)?;
    signature.verify(manifest, &trust.desk).map_err(|why| whole(&why))
}

fn custody_matches(
    record: &CustodyRecord,
    evidence: &ReleaseEvidence,
    order: &OrderRecord,
    trust: &TrustPolicy,
) -> Result<(), String> {
    let rules = [
        (record.version == 1, "it is of another version"),
        (record.case == order.case, "it is about another case"),
        (record.cell == trust.cell, "it is about another cell"),
        (record.order == OrderRecord::digest(&evidence.order), "it is about another order"),
        (record.opened_at <= record.closed_at, "it was closed before it was opened"),
        (record.closed_at < order.valid_until, "it was closed after the order had ended"),
    ];
    if let Some((_, why)) = rules.into_iter().find(|(kept, _)| !kept) {
        return Err(why.to_owned());
    }
    record.tally_fits(order).map_err(|why| why.to_string())
}

/// `bag-info.txt` says of the package what is true of it, and nothing else.
fn described(
    bag: &Bag,
    record: &CustodyRecord,
    lengths: Option<&BTreeMap<String, u64>>,
) -> Result<(), String> {
    let case = format!("External-Identifier: {}", record.case);
    let day = utc(record.closed_at).split(' ').next().map(|day| format!("Bagging-Date: {day}"));
    let size = lengths.map(|lengths| {
        let octets = lengths.values().fold(0, |sum: u64, length| sum.saturating_add(*length));
        format!("Payload-Oxum: {octets}.{}", lengths.len())
    });
    let cell = format!("Source-Organization: cell {}", record.cell);
    let known = [Some(case.clone()), day, size, Some(cell)];
    let text = String::from_utf8_lossy(&bag.read("bag-info.txt")?).into_owned();
    let strange = text.lines().any(|line| !known.iter().flatten().any(|known| known == line));
    if strange || text.lines().filter(|line| *line == case).count() != 1 {
        return Err("`bag-info.txt` says something else".to_owned());
    }
    Ok(())
}

fn demand_named(bag: &Bag, order: &OrderRecord, demand: Option<&[u8]>) -> Result<(), String> {
    let line = format!("{}  demand\n", order.demand);
    if bag.read("order.sha256")? != line.as_bytes() {
        return Err("`order.sha256` is not the digest in the order".to_owned());
    }
    match demand {
        Some(demand) if sha256(&[demand]) != order.demand => {
            Err("the order is about another demand".to_owned())
        }
        Some(_) | None => Ok(()),
    }
}

fn scope_approved(bag: &Bag, order: &OrderRecord) -> Result<(), String> {
    let scope = bag.read("data/scope.json")?;
    if sha256(&[&scope]) == order.scope {
        Ok(())
    } else {
        Err("`data/scope.json` is not the scope the order names".to_owned())
    }
}

fn produced(
    logged: &Logged,
    order: &OrderRecord,
    digest: Digest,
    manifest: Digest,
    record: &CustodyRecord,
) -> Result<(), String> {
    let fields = &logged.opening;
    // The package was closed before the log had it, whatever its record says.
    let newest = logged.witnesses.iter().map(|(_, at)| at.0).max().unwrap_or(0);
    let seen = record.closed_at.0 <= newest.saturating_add(FUTURE_SECONDS_MAX);
    let rules = [
        (fields.value(FieldId::ACT) == Some(&[Act::Done.tag()]), "act"),
        (fields.array(FieldId::ORDER) == Some(digest.0), "order"),
        (fields.array(FieldId::SCOPE) == Some(order.scope.0), "scope"),
        (fields.array(FieldId::CASE) == Some(order.case.0), "case"),
        (fields.array(FieldId::SUBJECT) == Some(manifest.0), "package"),
        (fields.number(FieldId::COUNT) == Some(record.produced), "number"),
        (fields.number(FieldId::AT).is_some_and(|at| at >= record.opened_at.0), "time"),
        (seen, "time than the witnesses"),
    ];
    let broken = rules.into_iter().find(|(kept, _)| !kept);
    broken.map_or(Ok(()), |(_, what)| Err(format!("it names another {what}")))
}
