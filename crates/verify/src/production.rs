//! A production, checked: that what left is what was approved, logged and signed.
//!
//! Invariant: every check of specs/production.md §6, in its order; none is left out because an
//! earlier one failed unless it cannot be made.
//! Refs: specs/production.md §6.

use crate::bag::Bag;
use crate::evidence;
use crate::report::{Report, whole};
use custody::leaf::Act;
use custody::production::{CustodyRecord, ManifestSignature, ProducedRecord, manifest_digest};
use custody::{FieldId, LeafReceipt, Logged, OrderRecord, ReleaseEvidence, TrustPolicy};
use seal::mac::sha256;
use std::collections::{BTreeMap, BTreeSet};
use tlog::FUTURE_SECONDS_MAX;
use vocab::{Digest, RecordKind};

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
        let (order, _) = evidence::release(&mut report, &evidence, trust, record.opened_at)?;
        Some((record, evidence, order))
    });
    let Some((record, evidence, order)) = released else {
        report.skip("The custody record, demand, scope, letters and receipt");
        return report;
    };
    let what = "The custody record is about this order, case and cell";
    report.check(what, custody_matches(&record, &evidence, &order, trust));
    let what = match demand {
        Some(_) => "The order names the demand you have given",
        None => "The order names the demand whose SHA-256 is in `order.sha256`",
    };
    report.check(what, demand_named(bag, &order, demand));
    let what = "The scope in the package is the approved one";
    report.check(what, scope_approved(bag, &order));
    let what = format!(
        "Every letter produced arrived from {} to before {}, and is in the index",
        crate::clock::utc(order.from),
        crate::clock::utc(order.until)
    );
    match &lengths {
        Some(lengths) => {
            report.check(what, within(bag, &order, &record, lengths));
        }
        None => report.skip(what),
    }
    let receipt = bag.json::<LeafReceipt>("receipt.json");
    let receipt = report.check("The receipt of the production can be read", receipt);
    if let Some(receipt) = receipt
        && let Some(logged) = evidence::receipt(&mut report, &receipt, trust)
    {
        let what = "The log's entry names this order, scope, package and number of letters";
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
) -> Result<(), &'static str> {
    let rules = [
        (record.version == 1, "it is of another version"),
        (record.case == order.case, "it is about another case"),
        (record.cell == trust.cell, "it is about another cell"),
        (record.order == OrderRecord::digest(&evidence.order), "it is about another order"),
        (record.opened_at <= record.closed_at, "it was closed before it was opened"),
        (record.closed_at < order.valid_until, "it was closed after the order had ended"),
        (!record.holders.is_empty(), "it names no holder"),
        (record.produced <= record.opened, "more was produced than was opened"),
    ];
    rules.into_iter().find(|(kept, _)| !kept).map_or(Ok(()), |(_, why)| Err(why))
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

/// The index against the files and the order's period.
fn within(
    bag: &Bag,
    order: &OrderRecord,
    record: &CustodyRecord,
    lengths: &BTreeMap<String, u64>,
) -> Result<(), String> {
    let index: Vec<ProducedRecord> = bag.json("data/index.json")?;
    let mut indexed = BTreeSet::new();
    for line in &index {
        if lengths.get(&line.file) != Some(&line.bytes) {
            return Err(format!("`{}` is missing or has another length", line.file));
        }
        if !order.covers(line.arrived) {
            return Err(format!("`{}` arrived outside the order's period", line.file));
        }
        named(line, order)?;
        if !indexed.insert(line.file.as_str()) {
            return Err(format!("`{}` is in the index twice", line.file));
        }
    }
    let mut there = bag.under("data/eml/").chain(bag.under("data/records/"));
    if let Some(extra) = there.find(|name| !indexed.contains(name)) {
        return Err(format!("`{extra}` is not in the index"));
    }
    let known = |name: &&str| {
        matches!(*name, "data/index.json" | "data/scope.json" | "data/redactions.json")
    };
    let extra = bag.under("data/").find(|name| !known(name) && !indexed.contains(name));
    if let Some(extra) = extra {
        return Err(format!("`{extra}` has no place in a production"));
    }
    if u64::try_from(index.len()) == Ok(record.produced) {
        Ok(())
    } else {
        Err("the custody record tells another number".to_owned())
    }
}

/// Whether the order names what this line says was produced: whole letters only where it opens
/// the letters' bodies.
fn named(line: &ProducedRecord, order: &OrderRecord) -> Result<(), String> {
    let is_letter = line.file.starts_with("data/eml/");
    let fits = match line.category.as_str() {
        "content" => is_letter,
        "traffic" | "identifying" | "subscriber" => !is_letter,
        _ => false,
    };
    if !fits {
        return Err(format!("`{}` is not what the index says it is", line.file));
    }
    if is_letter && !order.opens(RecordKind::LetterBody) {
        return Err(format!("`{}` is content, and the order names none", line.file));
    }
    Ok(())
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
