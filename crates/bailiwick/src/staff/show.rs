//! The desk's answers as staff read them.
//!
//! Invariant: prints what the desk answered and computes nothing.

use custody::OrderRecord;
use desk::{Answer, CaseFile, CaseLine, EpochCount, Registrant, utc};
use vocab::{RecordKind, Timestamp};

/// The answer as lines of text, without what could move the cursor: names and texts are others'.
pub(crate) fn text(answer: &Answer) -> String {
    plain(&lines(answer))
}

fn plain(text: &str) -> String {
    let hides = |char: char| {
        (char.is_control() && char != '\n' && char != '\t')
            || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|char| if hides(char) { '\u{fffd}' } else { char }).collect()
}

/// What an officer signs, for a person to read.
pub(crate) fn order(order: &OrderRecord, scope: &str) -> String {
    let months = order.epochs.iter().map(|one| month(one.epoch));
    let kinds = order.kinds.iter().filter_map(|table| RecordKind::from_table(*table));
    let kinds: Vec<&str> = kinds.map(|kind| kind.holding().name).collect();
    let lines = [
        ("case", order.case.to_string()),
        ("account", order.account.to_string()),
        ("authority", order.authority.clone()),
        ("basis", order.basis.clone()),
        ("demand", order.demand.to_string()),
        ("arrived", format!("{} to before {}", utc(order.from), utc(order.until))),
        ("months", months.collect::<Vec<_>>().join(", ")),
        ("kinds", kinds.join("; ")),
        ("in force", format!("{} to before {}", utc(order.not_before), utc(order.valid_until))),
        ("secret to", time(order.secret_until.map(Timestamp))),
        ("station", order.recipient_digest().to_string()),
        ("scope", scope.to_owned()),
    ];
    let lines = lines.iter().map(|(name, value)| format!("{name:<10} {}", plain(value)));
    lines.collect::<Vec<_>>().join("\n")
}

fn month(number: u32) -> String {
    match number.checked_sub(1) {
        None => "standing data".to_owned(),
        Some(months) => format!("{:04}-{:02}", 2000 + months / 12, months % 12 + 1),
    }
}

fn lines(answer: &Answer) -> String {
    match answer {
        Answer::Done { state } => format!("the case is {state}"),
        Answer::Received { receipt } => {
            format!("case    {}\ndemand  {}\nsigned by the desk", receipt.case, receipt.demand)
        }
        Answer::Opinion { text, .. } => text.clone(),
        Answer::Narrowed { changes } => changes.join("\n"),
        Answer::Prepared { digest, scope, .. } => format!("order  {digest}\nscope  {scope}"),
        Answer::Holders { trustees_needed, guards_needed, trustees, guards, .. } => format!(
            "ask {trustees_needed} of {} trustees or vault officers, and {guards_needed} of {} guards",
            trustees.len(),
            guards.len()
        ),
        Answer::Released { answers, .. } => format!("released, with {} answers", answers.len()),
        Answer::Sealed { rows, .. } => format!("{} sealed records", rows.len()),
        Answer::Body { octets, total } => format!("{} of {total} sealed octets", octets.len()),
        Answer::Produced { .. } => "the desk signed the production".to_owned(),
        Answer::Receipt { .. } => "the log's receipt".to_owned(),
        Answer::Letter { text, .. } => text.clone(),
        Answer::Counts { epochs, folded_body_bytes } => counts(epochs, *folded_body_bytes),
        Answer::File { file } => self::file(file),
        Answer::Document { octets } => format!("{} octets", octets.len()),
        Answer::Cases { cases } => cases.iter().map(line).collect::<Vec<_>>().join("\n"),
        Answer::Authority { id, confirmed } => format!(
            "{}  {}",
            custody::hex::encode(id),
            if *confirmed { "enrolled" } else { "waits for a second person" }
        ),
        Answer::Register { rows } => rows.iter().map(registrant).collect::<Vec<_>>().join("\n"),
    }
}

fn counts(epochs: &[EpochCount], folded: u64) -> String {
    let line = |one: &EpochCount| {
        format!(
            "{}  {} letters not folded ({} octets), {} message rows",
            month(one.epoch),
            one.unfolded,
            one.unfolded_bytes,
            one.folded
        )
    };
    let mut lines: Vec<String> = epochs.iter().map(line).collect();
    lines.push(format!("folded letters: {folded} octets; nothing was opened"));
    lines.join("\n")
}

fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), utc)
}

fn line(case: &CaseLine) -> String {
    format!(
        "{}  {:<13} due {:<20} (legal limit {:<20}) {}{}{}",
        case.case,
        case.state.word(),
        time(case.due.policy),
        time(case.due.outer),
        case.reference,
        if case.overdue { "  OVERDUE" } else { "" },
        if case.rehearsal { "  rehearsal" } else { "" },
    )
}

fn file(file: &CaseFile) -> String {
    let mut lines = vec![line(&file.line), format!("demand {}", file.document)];
    lines.extend(file.decision.iter().map(|word| format!("decided: {word}")));
    lines.extend(file.file.iter().map(|entry| {
        let place = entry.log_index.map_or_else(|| "-".to_owned(), |index| index.to_string());
        format!("  {}  log {place:>5}  {}", utc(entry.at), entry.what)
    }));
    lines.join("\n")
}

fn registrant(row: &Registrant) -> String {
    match row {
        Registrant::Staff(staff) => {
            let roles: Vec<&str> = staff.roles.iter().map(|role| role.word()).collect();
            format!("staff      {}  {} ({})", staff.person, staff.name, roles.join(", "))
        }
        Registrant::Holder(holder) => format!("holder     {}  {}", holder.holder, holder.name),
        Registrant::Authority(one) => format!(
            "authority  {}  {}{}",
            custody::hex::encode(&one.id),
            one.name,
            if one.confirmed_by.is_some() { "" } else { " (waits for a second person)" }
        ),
    }
}
