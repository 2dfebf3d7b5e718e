//! The payload against the order: every file is one that the order names, and is told truly.
//!
//! Invariant: no file below `data/` goes without a line of the index or of the inventory; whole
//! letters are there only if the account was opened for them, sealed records only if nobody but
//! the owner can open them.
//! Refs: specs/production.md §2, §6.6, §6.7.

use crate::bag::{Bag, FILE_BYTES_MAX};
use crate::clock::utc;
use crate::report::{Report, whole};
use custody::ciphertext::{Reach, SealedRecord};
use custody::production::{CustodyRecord, ProducedRecord, Redaction, redactions};
use custody::statement::{Stated, StatedSealed, undated};
use custody::user::MANIFEST_ROW;
use custody::{Logged, OrderRecord};
use seal::manifest::SignedManifest;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use vocab::{Digest, RecordKind};

const SUBSCRIBER: &str = "data/records/subscriber.json";
const STATEMENT: &str = "data/statement.txt";
const INVENTORY: &str = "data/inventory.json";
/// The members of a record of traffic (specs/production.md §2): no subject, no text.
const TRAFFIC: [&str; 12] = [
    "arrived",
    "bcc",
    "bytes",
    "cc",
    "envelope_from",
    "envelope_to",
    "from",
    "message_id",
    "reply_to",
    "sender",
    "sent",
    "to",
];
/// Octets of an address: RFC 5321 §4.5.3.1.3, without its angle brackets.
const ADDRESS_BYTES_MAX: usize = 254;

/// The checks of the payload. `lengths` are of its files, if the bag is complete.
pub(crate) fn check(
    report: &mut Report,
    bag: &Bag,
    (order, scope): (&OrderRecord, &str),
    (record, place): (&CustodyRecord, &Logged),
    lengths: Option<&BTreeMap<String, u64>>,
) {
    let what = if order.opens_account() {
        let (from, until) = (utc(order.from), utc(order.until));
        format!("Every letter produced arrived from {from} to before {until}, and is in the index")
    } else {
        "Nothing was opened, and every file is in the index or the inventory".to_owned()
    };
    let Some(lengths) = lengths else {
        report.skip(what);
        return;
    };
    let inventory = if order.hands_out_sealed() { bag.json(INVENTORY) } else { Ok(Vec::new()) };
    let listed = inventory.and_then(|inventory| {
        within(bag, order, record, lengths, &inventory)?;
        Ok(inventory)
    });
    let inventory = report.check(what, listed);
    if order.hands_out_sealed() {
        let what = "Ciphertext only; nothing in it opens without the owner: the account's own \
                    manifest names no holder, and each sealed record is of its kinds and period, \
                    as far as that is clear";
        match &inventory {
            Some(inventory) => {
                report.check(what, sealed(bag, order, inventory));
            }
            None => report.skip(what),
        }
    }
    let scope = Named::read(scope);
    let what = "What was cut is what `data/redactions.json` says, in its fixed words";
    report.check(what, cut(bag));
    let what = "The package has the form the scope names, and where there must be one a statement, \
                word for word what follows from order, log and inventory";
    let formed = scope.as_ref().map_err(Clone::clone).and_then(|scope| {
        scope.form(order)?;
        scope.statement(bag, order, record.order, place, inventory.as_deref())
    });
    report.check(what, formed);
    if scope.as_ref().is_ok_and(|scope| scope.fields.is_empty()) && !bag.has(SUBSCRIBER) {
        return;
    }
    let what = "What is told of the subscriber is what the scope names, and no more";
    report.check(what, scope.and_then(|scope| subscriber(bag, order, &scope.fields)));
}

/// The index and the inventory against the files and the order's period.
fn within(
    bag: &Bag,
    order: &OrderRecord,
    record: &CustodyRecord,
    lengths: &BTreeMap<String, u64>,
    inventory: &[SealedRecord],
) -> Result<(), String> {
    let index: Vec<ProducedRecord> = bag.json("data/index.json")?;
    let mut listed = BTreeSet::new();
    for line in &index {
        if line.arrived.is_some_and(|arrived| !order.covers(arrived)) {
            return Err(format!("`{}` arrived outside the order's period", line.file));
        }
        named(line, order)?;
        if line.category == "traffic" {
            traffic(bag, line)?;
        }
    }
    let sealed = inventory.iter().map(|line| (&line.file, line.bytes));
    for (file, bytes) in index.iter().map(|line| (&line.file, line.bytes)).chain(sealed) {
        if lengths.get(file) != Some(&bytes) {
            return Err(format!("`{file}` is missing or has another length"));
        }
        if !listed.insert(file.as_str()) {
            return Err(format!("`{file}` is in the index twice"));
        }
    }
    let mut there = bag.under("data/eml/").chain(bag.under("data/records/"));
    if let Some(extra) = there.find(|name| !listed.contains(name)) {
        return Err(format!("`{extra}` is not in the index"));
    }
    let known = |name: &&str| {
        matches!(*name, "data/index.json" | "data/scope.json" | "data/redactions.json" | STATEMENT)
            || (*name == INVENTORY && order.hands_out_sealed())
    };
    if let Some(extra) = bag.under("data/").find(|name| !known(name) && !listed.contains(name)) {
        return Err(format!("`{extra}` has no place in a production"));
    }
    let count = index.len().saturating_add(inventory.len());
    if u64::try_from(count) == Ok(record.produced) {
        Ok(())
    } else {
        Err("the custody record tells another number".to_owned())
    }
}

/// Whether the order names what this line says was produced: letters and records of them only
/// where it opens the account, whole letters only where it names their texts.
fn named(line: &ProducedRecord, order: &OrderRecord) -> Result<(), String> {
    let is_letter = line.file.starts_with("data/eml/");
    let fits = match line.category.as_str() {
        "content" => is_letter && line.arrived.is_some(),
        "traffic" => !is_letter && line.arrived.is_some() && line.file != SUBSCRIBER,
        "subscriber" => line.file == SUBSCRIBER && line.arrived.is_none(),
        _ => false,
    };
    if !fits {
        return Err(format!("`{}` is not what the index says it is", line.file));
    }
    if is_letter && !order.opens(RecordKind::LetterBody) {
        return Err(format!("`{}` is content, and the order names none", line.file));
    }
    if line.file != SUBSCRIBER && !order.opens_account() {
        return Err(format!("`{}` is readable, and the order opens nothing", line.file));
    }
    Ok(())
}

/// Whether a record of traffic holds its own members, and no more.
fn traffic(bag: &Bag, line: &ProducedRecord) -> Result<(), String> {
    let told: Map<String, Value> = bag.json(&line.file)?;
    if let Some(more) = told.keys().find(|name| !TRAFFIC.contains(&name.as_str())) {
        return Err(format!("`{}` holds `{more}`, which is no traffic", line.file));
    }
    let arrived = told.get("arrived").and_then(Value::as_u64);
    if told.len() != TRAFFIC.len() || arrived != line.arrived.map(|at| at.0) {
        return Err(format!("`{}` is not the record the index says it is", line.file));
    }
    Ok(())
}

/// The account's manifest.
fn manifest(bag: &Bag) -> Result<SignedManifest, String> {
    let file = format!("data/sealed/{}/{}", RecordKind::Manifest.table(), MANIFEST_ROW.0);
    SignedManifest::decode(&bag.read(&file)?).map_err(|why| whole(&why))
}

/// Every sealed record against the account's manifest, the order and the inventory.
fn sealed(bag: &Bag, order: &OrderRecord, inventory: &[SealedRecord]) -> Result<(), String> {
    let reach = Reach::new(order.clone(), manifest(bag)?).map_err(|why| whole(&why))?;
    for line in inventory {
        let octets = bag.octets(&line.file, FILE_BYTES_MAX)?;
        let kind = RecordKind::from_table(line.table);
        let kind = kind.ok_or_else(|| format!("`{}` is of no kind of record", line.file))?;
        let found = reach.line(kind, line.row, &octets);
        let found = found.map_err(|why| format!("`{}`: {}", line.file, whole(&why)))?;
        if found != *line {
            return Err(format!("`{}` is not what the inventory says it is", line.file));
        }
    }
    Ok(())
}

/// What is read of the scope here. The order commits to its text.
#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    categories: Vec<String>,
    #[serde(default)]
    form: Option<String>,
    #[serde(default)]
    fields: BTreeSet<String>,
}

impl Named {
    fn read(scope: &str) -> Result<Self, String> {
        serde_json::from_str(scope).map_err(|why| format!("the scope cannot be read: {why}"))
    }

    /// Letters as sealed as they are exactly where the officers signed that form, and a statement
    /// exactly where specs/production.md §2.3 has one.
    fn form(&self, order: &OrderRecord) -> Result<(), String> {
        if (self.form.as_deref() == Some("sealed")) != order.hands_out_sealed() {
            return Err("the order opens what the scope leaves sealed, or the other way".to_owned());
        }
        Ok(())
    }

    /// The statement against the one that follows from the rest: nothing in it is free but the
    /// number of texts left out.
    fn statement(
        &self,
        bag: &Bag,
        order: &OrderRecord,
        digest: Digest,
        place: &Logged,
        inventory: Option<&[SealedRecord]>,
    ) -> Result<(), String> {
        let there = if bag.has(STATEMENT) { Some(bag.read(STATEMENT)?) } else { None };
        let text = there.as_deref().map(String::from_utf8_lossy);
        let sealed = match (order.hands_out_sealed(), inventory) {
            (false, _) => None,
            (true, None) => return Err("there is no inventory to compare with".to_owned()),
            (true, Some(inventory)) => Some(StatedSealed {
                manifest: manifest(bag)?.manifest().version,
                inventory,
                undated: text.as_deref().and_then(undated).unwrap_or(0),
            }),
        };
        let asks = |word: &str| self.categories.iter().any(|category| category == word);
        let stated = Stated {
            order,
            digest,
            log: &place.origin,
            index: place.index,
            subscriber: asks("subscriber"),
            identifying: asks("identifying"),
            sealed,
        };
        match (stated.text(), text) {
            (Some(_), None) => Err(format!("`{STATEMENT}` is missing")),
            (None, Some(_)) => Err(format!("`{STATEMENT}` has no place in this production")),
            (Some(true_text), Some(text)) if true_text != text => {
                Err(format!("`{STATEMENT}` says something else"))
            }
            (Some(_), Some(_)) | (None, None) => Ok(()),
        }
    }
}

/// What was cut follows from the index.
fn cut(bag: &Bag) -> Result<(), String> {
    let index: Vec<ProducedRecord> = bag.json("data/index.json")?;
    let told: Vec<Redaction> = bag.json("data/redactions.json")?;
    if told == redactions(&index) {
        Ok(())
    } else {
        Err("it says something else than follows from the index".to_owned())
    }
}

fn subscriber(bag: &Bag, order: &OrderRecord, fields: &BTreeSet<String>) -> Result<(), String> {
    let told: Map<String, Value> = bag.json(SUBSCRIBER)?;
    if let Some(more) = told.keys().find(|name| !fields.contains(*name)) {
        return Err(format!("`{more}` is told, and the scope does not name it"));
    }
    if let Some(missing) = fields.iter().find(|name| !told.contains_key(*name)) {
        return Err(format!("the scope names `{missing}`, and it is not told"));
    }
    match told.iter().find(|(name, value)| !fits(name, value, order)) {
        Some((name, _)) => Err(format!("`{name}` is not told as such a thing is")),
        None => Ok(()),
    }
}

/// Whether a value is one of its member (specs/production.md §2.2): not more, under its name.
fn fits(name: &str, value: &Value, order: &OrderRecord) -> bool {
    let address = |one: &Value| {
        let is_address = |text: &str| text.len() <= ADDRESS_BYTES_MAX && text.contains('@');
        one.as_object().is_some_and(|one| one.len() == 2)
            && one.get("address").and_then(Value::as_str).is_some_and(is_address)
            && one.get("alias").is_some_and(Value::is_boolean)
    };
    match name {
        "account" => *value == order.account.to_string(),
        "addresses" => value.as_array().is_some_and(|all| all.iter().all(address)),
        "created" => value.is_u64() || value.is_null(),
        "service" => ["sealed", "trustee", "managed"]
            .iter()
            .any(|custody| *value == json!({ "kind": "electronic mail", "custody": custody })),
        _ => false,
    }
}
