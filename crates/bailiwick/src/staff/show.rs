//! The desk's answers as staff read them.
//!
//! Invariant: prints what the desk answered and computes nothing.

use custody::OrderRecord;
use desk::{Answer, CaseFile, CaseLine, EpochCount, Registrant, utc};
use law::Facts;
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

/// A text of others on one line: it cannot pass for the lines after it.
fn one_line(text: &str) -> String {
    plain(text).replace(['\n', '\t'], "\u{fffd}")
}

/// What an officer signs, for a person to read.
pub(crate) fn order(order: &OrderRecord, scope: &str) -> String {
    let months = order.epochs.iter().map(|one| month(one.epoch)).collect::<Vec<_>>().join(", ");
    let kinds = order.kinds.iter().filter_map(|table| RecordKind::from_table(*table));
    let kinds: Vec<&str> = kinds.map(|kind| kind.holding().name).collect();
    let lines = [
        ("case", order.case.to_string()),
        ("account", order.account.to_string()),
        ("authority", order.authority.clone()),
        ("basis", order.basis.clone()),
        ("demand", order.demand.to_string()),
        ("arrived", format!("{} to before {}", utc(order.from), utc(order.until))),
        (
            "months",
            if order.opens_account() { months } else { "none: nothing is opened".to_owned() },
        ),
        ("kinds", kinds.join("; ")),
        ("in force", format!("{} to before {}", utc(order.not_before), utc(order.valid_until))),
        ("secret to", time(order.secret_until.map(Timestamp))),
        ("station", order.recipient_digest().to_string()),
        ("scope", scope.to_owned()),
    ];
    let lines = lines.iter().map(|(name, value)| format!("{name:<10} {}", one_line(value)));
    lines.collect::<Vec<_>>().join("\n")
}

/// The facts an officer confirms, for a person to read: first those that only staff's word
/// stands for and that the law's clocks hang on, then all.
pub(crate) fn confirmed(facts: &Facts) -> anyhow::Result<String> {
    let word = |name: &str, word: Option<&'static str>| {
        format!("{name:<10} {}", word.unwrap_or("not known"))
    };
    let enforcing = facts.enforcing_authority.known().map(|one| one.word());
    let lines = [
        "You confirm these facts of the case. Staff typed them in; the law's limits hang on them:"
            .to_owned(),
        word("came by", facts.channel.known().map(|channel| channel.word())),
        format!("{:<10} {}", "served", facts.served),
        word("enforcing", enforcing),
        "and all the others:".to_owned(),
        self::facts(&serde_json::to_value(facts)?),
    ];
    Ok(lines.join("\n"))
}

/// Each fact on a line.
fn facts(all: &serde_json::Value) -> String {
    let members = all.as_object().into_iter().flatten();
    let lines = members.map(|(name, value)| plain(&format!("  {name} = {value}")));
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
        Answer::Held { held } => format!("{} sealed texts, unopened", held.bodies.len()),
        Answer::Sealed { rows, .. } => format!("{} sealed records", rows.len()),
        Answer::Body { octets, total } => format!("{} of {total} sealed octets", octets.len()),
        Answer::Produced { .. } => "the desk signed the production".to_owned(),
        Answer::Secret { in_clear } => secret(in_clear),
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
        one_line(&case.reference),
        if case.overdue { "  OVERDUE" } else { "" },
        if case.rehearsal { "  rehearsal" } else { "" },
    )
}

fn file(file: &CaseFile) -> String {
    let mut lines = vec![line(&file.line), format!("demand {}", file.document)];
    lines.extend(file.same_as.map(|case| format!("the same paper as case {case}")));
    lines.extend(serde_json::from_str(&file.facts).iter().map(facts));
    lines.extend(file.decision.iter().map(|word| format!("decided: {word}")));
    lines.extend(file.file.iter().map(|entry| {
        let place = entry.log_index.map_or_else(|| "-".to_owned(), |index| index.to_string());
        let clear = if entry.in_clear && file.secrecy.is_some() { "  IN CLEAR" } else { "" };
        format!("  {}  log {place:>5}  {}{clear}", utc(entry.at), entry.what)
    }));
    lines.join("\n")
}

fn secret(in_clear: &[u64]) -> String {
    let sealed =
        "the order is on record: what the log does not have yet of the case goes there sealed";
    if in_clear.is_empty() {
        return sealed.to_owned();
    }
    let indexes: Vec<String> = in_clear.iter().map(ToString::to_string).collect();
    format!(
        "{sealed}\nALREADY PUBLIC: leaves {} of the log show in clear that and when this case was \
         acted on. They cannot be taken out; tell counsel and the issuer",
        indexes.join(", ")
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_officer_is_shown_every_fact_and_first_those_on_one_clerks_word() {
        let served = "2026-11-20T09:12:00+01:00".parse().unwrap();
        let mut facts = Facts::new("ie".parse().unwrap(), served);
        facts.channel = law::Channel::Decentralised.into();
        facts.items.push(law::Item::new("letters\u{1b}[2J", vocab::DataCategory::Content));
        let text = confirmed(&facts).unwrap();
        let first: Vec<&str> = text.lines().skip(1).take(3).collect();
        let served = "served     2026-11-20T09:12:00+01:00";
        assert_eq!(first, ["came by    decentralised", served, "enforcing  not known"]);
        for name in ["cell", "served", "items", "channel"] {
            assert!(text.contains(&format!("\n  {name} = ")), "{text}");
        }
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_text_in_an_order_does_not_pass_for_other_lines_of_it() {
        let order = OrderRecord {
            version: 1,
            case: vocab::CaseId([0; 16]),
            cell: vocab::CellId([0; 16]),
            account: vocab::AccountId([0; 16]),
            demand: vocab::Digest([0; 32]),
            scope: vocab::Digest([0; 32]),
            authority: "a court".to_owned(),
            basis: "an act\nmonths     none: nothing is opened\u{1b}[1A".to_owned(),
            epochs: vec![],
            kinds: vec![RecordKind::Route.table()],
            from: Timestamp(0),
            until: Timestamp(1),
            not_before: Timestamp(0),
            valid_until: Timestamp(1),
            secret_until: None,
            recipient: vec![],
            register: vocab::Digest([0; 32]),
        };
        let text = self::order(&order, "{}");
        assert_eq!(text.lines().count(), 12, "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("months")).count(), 1, "{text}");
    }

    #[test]
    fn a_late_secrecy_says_which_leaves_are_public() {
        assert!(!secret(&[]).contains("PUBLIC"));
        assert!(secret(&[7, 12]).contains("ALREADY PUBLIC: leaves 7, 12 of the log"));
    }
}
