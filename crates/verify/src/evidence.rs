//! Release evidence and receipts, checked and told in words.
//!
//! Invariant: every sentence that passes was checked by `custody`, against the reader's own
//! trust policy; nothing is told of evidence that failed.
//! Refs: specs/release-evidence.md §5.

use crate::clock::utc;
use crate::report::{Report, whole};
use custody::leaf::Act;
use custody::{FieldId, LeafReceipt, Logged, OrderRecord, ReleaseEvidence, TrustPolicy};
use vocab::{RecordKind, Timestamp};

/// Checks a release as of `at`. Gives the order and the log's place on if it holds.
pub(crate) fn release(
    report: &mut Report,
    evidence: &ReleaseEvidence,
    trust: &TrustPolicy,
    at: Timestamp,
) -> Option<(OrderRecord, Logged)> {
    let outcome = evidence.verify_past(trust, at).map_err(|why| whole(&why));
    let what = format!("The release holds as of {}", utc(at));
    let (order, logged) = report.check(what, outcome)?;
    report.pass(format!(
        "It is entry {} of the log `{}`, and commits to this order, scope, recipient and end",
        logged.index, logged.origin
    ));
    report.pass(witnessed(&logged));
    for approval in &evidence.approvals {
        let office = match approval.role {
            custody::Role::Counsel => "counsel",
            custody::Role::Approver => "the approver",
        };
        report.pass(format!(
            "Approved by {office}, person {}, on {}",
            approval.person,
            utc(approval.at)
        ));
    }
    report.pass(format!(
        "In force from {} to before {}",
        utc(order.not_before),
        utc(order.valid_until)
    ));
    Some((order, logged))
}

pub(crate) fn witnessed(logged: &Logged) -> String {
    let names = logged.witnesses.iter().map(|(name, at)| format!("`{name}` on {}", utc(*at)));
    format!("The log was cosigned by {}", names.collect::<Vec<_>>().join(" and "))
}

/// What an order says, for a person to read. Texts of others are shown without control
/// characters.
pub(crate) fn describe(order: &OrderRecord, scope: &str) -> String {
    let kinds = order.kinds.iter().filter_map(|table| RecordKind::from_table(*table));
    let kinds: Vec<&str> = kinds.map(|kind| kind.holding().name).collect();
    let epochs = order.epochs.iter().map(|epoch| match epoch.epoch {
        0 => "standing data".to_owned(),
        month => format!("{:04}-{:02}", 2000 + (month - 1) / 12, (month - 1) % 12 + 1),
    });
    let epochs: Vec<String> = epochs.collect();
    let unopened = "none: nothing is opened for it".to_owned();
    let secret = order
        .secret_until
        .map_or_else(|| "none".to_owned(), |until| format!("until {}", utc(Timestamp(until))));
    let lines = [
        ("Case", order.case.to_string()),
        ("Cell", order.cell.to_string()),
        ("Account", order.account.to_string()),
        ("Authority", plain(&order.authority)),
        ("Basis", plain(&order.basis)),
        ("Letters arrived", format!("from {} to before {}", utc(order.from), utc(order.until))),
        ("Months opened", if order.opens_account() { epochs.join(", ") } else { unopened }),
        ("Kinds of record", kinds.join("; ")),
        ("In force", format!("{} to before {}", utc(order.not_before), utc(order.valid_until))),
        ("Non-disclosure", secret),
        ("Demand (SHA-256)", order.demand.to_string()),
        ("Scope", plain(scope)),
    ];
    lines.iter().map(|(name, value)| format!("  {name:<18} {value}\n")).collect()
}

/// Text that cannot move the cursor or hide itself.
pub(crate) fn plain(text: &str) -> String {
    let hides = |char: char| {
        char.is_control()
            || matches!(char, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().map(|char| if hides(char) { '\u{fffd}' } else { char }).collect()
}

/// Checks a receipt as a record of the past.
pub(crate) fn receipt(
    report: &mut Report,
    receipt: &LeafReceipt,
    trust: &TrustPolicy,
) -> Option<Logged> {
    let outcome = receipt.verify_past(&trust.log).map_err(|why| whole(&why));
    let logged =
        report.check("The entry is in the log, and says what the receipt shows", outcome)?;
    report.pass(format!("It is entry {} of the log `{}`", logged.index, logged.origin));
    report.pass(witnessed(&logged));
    Some(logged)
}

/// What a receipt shows, for a person to read.
pub(crate) fn shown(logged: &Logged) -> String {
    let act = logged.opening.value(FieldId::ACT).and_then(|value| value.first());
    let act = act.map_or("not shown", |tag| Act::from_tag(*tag).map_or("dummy", Act::name));
    let at = logged.opening.number(FieldId::AT);
    let mut out = format!("  {:<18} {act}\n", "Act");
    if let Some(at) = at {
        out.push_str(&format!("  {:<18} {}\n", "Time", utc(Timestamp(at))));
    }
    let names = [
        (FieldId::CASE, "Case"),
        (FieldId::DEMAND, "Demand (SHA-256)"),
        (FieldId::ORDER, "Order (SHA-256)"),
        (FieldId::SCOPE, "Scope (SHA-256)"),
        (FieldId::ACCOUNT, "Account"),
        (FieldId::SUBJECT, "Subject (SHA-256)"),
    ];
    for (id, name) in names {
        if let Some(value) = logged.opening.value(id) {
            out.push_str(&format!("  {name:<18} {}\n", custody::hex::encode(value)));
        }
    }
    for id in [FieldId::OUTCOME, FieldId::REASON, FieldId::NAME] {
        for value in logged.opening.values(id) {
            let text = plain(&String::from_utf8_lossy(value));
            out.push_str(&format!("  {:<18} {text}\n", "In words"));
        }
    }
    out
}
