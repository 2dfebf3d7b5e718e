//! Answers as a person reads them.
//!
//! Invariant: prints what the cell answered and computes nothing.

use super::protocol::{
    AccountAnswer, Answer, CheckAnswer, Custody, LogAnswer, MapLine, ParcelAnswer, QueueAnswer,
    QuotaAnswer, RekeyAnswer, StoppedLog, UnlockerLine,
};

impl std::fmt::Display for Custody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Sealed => "sealed",
            Self::Trustee => "trustee",
            Self::Managed => "managed",
        })
    }
}

/// The answer as lines of text; a refusal is for standard error.
pub(crate) fn text(answer: &Answer) -> Result<String, String> {
    let lines = match answer {
        Answer::Done => vec!["done".to_owned()],
        Answer::Created { account, has_password, recovery_code, app_password, slot } => {
            created_lines(account, *has_password, recovery_code, app_password, slot)
        }
        Answer::Shown(account) => account_lines(account),
        Answer::Checked(check) => check_lines(check),
        Answer::Rekeyed(done) => rekey_lines(done),
        Answer::Expunged(expunged) => expunged.lines(),
        Answer::Retention(retention) => retention.lines(),
        Answer::Accounts { accounts } => accounts
            .iter()
            .map(|line| {
                format!(
                    "{}  {:<8} holders {:<8} {:>2} addresses {:>6} unfolded {:>8} records {:>12} octets",
                    line.account,
                    line.custody.map_or_else(|| "-".to_owned(), |custody| custody.to_string()),
                    line.holders,
                    line.addresses,
                    line.arrived_unfolded,
                    line.records,
                    line.octets
                )
            })
            .collect(),
        Answer::Map { custody, lines } => map_lines(*custody, lines),
        Answer::AppPassword { slot, app_password } => {
            vec![format!("app password  {app_password}"), format!("slot          {slot}")]
        }
        Answer::Token { slot, token } => {
            vec![format!("token  {token}"), format!("slot   {slot}")]
        }
        Answer::Recovery { slot, recovery_code } => vec![
            format!("recovery code  {recovery_code}"),
            "               write it down now: it is kept nowhere. The old one opens too, until".into(),
            "               you have typed the new one:".into(),
            format!("               bailiwick admin account recovery ADDRESS --confirm {slot}"),
        ],
        Answer::Deleted { closed_until } => vec![
            "deleted  no secret of its owner opens it any more".into(),
            format!("         its addresses are nobody else's until {}", day(*closed_until)),
        ],
        Answer::Parcel(ParcelAnswer { paper: Some(paper), .. }) => vec![paper.clone()],
        Answer::Parcel(parcel) => vec![
            format!("parcel   {}", parcel.parcel),
            format!("account  {}", parcel.account),
            format!("         {} records, {} octets, sealed as they are", parcel.records, parcel.octets),
            "         it takes no mail and lets nobody in until it has arrived, or stays".into(),
        ],
        Answer::Paper { text } => vec![text.clone()],
        Answer::Unlockers { unlockers } => unlockers.iter().flat_map(unlocker_lines).collect(),
        Answer::Cell { identity, memory } => [identity.lines(), memory.lines()].concat(),
        Answer::Log(log) => log_lines(log),
        Answer::Queue(queue) => queue_lines(queue),
        Answer::Store(store) => store.lines(),
        Answer::Backup(backup) => backup.lines(),
        Answer::Quota(quota) => quota_lines(quota),
        Answer::Account { account } => vec![account.clone()],
        Answer::Trust { policy } => vec![policy.clone()],
        Answer::Made { public } => vec![public.clone()],
        Answer::Desk { said } => vec![crate::staff::show::text(said)],
        Answer::Refused { what, cure } => return Err(format!("{what}\n  cure: {cure}")),
    };
    Ok(lines.join("\n"))
}

fn map_lines(custody: Custody, lines: &[MapLine]) -> Vec<String> {
    let rows = lines.iter().map(|line| {
        format!(
            "{:<22} {:<12} {:<46} {:<28} {:>7} records {:>12} octets",
            line.kind, line.category, line.opens_for, line.kept, line.records, line.octets
        )
    });
    std::iter::once(format!("custody {custody}")).chain(rows).collect()
}

fn quota_lines(quota: &QuotaAnswer) -> Vec<String> {
    let limit = |limit: Option<u64>| limit.map_or("no limit".into(), |limit| format!("of {limit}"));
    let whose = if quota.is_usual { "as usual in the cell" } else { "its own" };
    vec![
        format!("octets    {:>14} {}", quota.used_octets, limit(quota.octets)),
        format!("messages  {:>14} {}", quota.used_messages, limit(quota.messages)),
        format!("quota     {whose}"),
    ]
}

fn created_lines(
    account: &str,
    has_password: bool,
    recovery_code: &str,
    app_password: &str,
    slot: &str,
) -> Vec<String> {
    let mut lines = vec![
        format!("account        {account}"),
        format!("recovery code  {recovery_code}"),
        "               write it down now: it is kept nowhere, and without a password or".into(),
        "               this code its owner can never open the letters again".into(),
        format!("app password   {app_password}"),
        format!("               for a mail program: reading and sending. Slot {slot}"),
    ];
    if has_password {
        lines.extend([
            "password       as given. IMAP and submission refuse it: mail programs take app".into(),
            "               passwords, such as the one above. With the password, or with the"
                .into(),
            "               recovery code, on standard input, one for each further program:".into(),
            "               bailiwick admin unlocker add ADDRESS".into(),
        ]);
    }
    lines
}

fn day(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().map(jiff::Timestamp::from_second);
    let at = at.and_then(Result::ok).map(|at| at.to_zoned(jiff::tz::TimeZone::UTC).date());
    at.map_or("-".into(), |day| day.to_string())
}

fn unlocker_lines(unlocker: &UnlockerLine) -> Vec<String> {
    let UnlockerLine { slot, kind, name, scope, from, created, expires, last_used, sessions } =
        unlocker;
    let last = last_used.map_or("never used".into(), |at| format!("last used {}", day(at)));
    let end = expires.map_or("no end".into(), |at| format!("ends {}", day(at)));
    let scope = scope.join(",");
    let made = day(*created);
    let mut lines = vec![format!("{slot}  {kind:<13} {last:<20} made {made}, {end}; for {scope}")];
    if !name.is_empty() {
        lines.push(format!("    named {name}"));
    }
    if !from.is_empty() {
        lines.push(format!("    only from {}", from.join(", ")));
    }
    let session = |(session, until): &(String, u64)| {
        format!("    session {session}, kept until {} at the latest", day(*until))
    };
    lines.extend(sessions.iter().map(session));
    lines
}

fn account_lines(account: &AccountAnswer) -> Vec<String> {
    let mut lines = vec![
        format!("account   {}", account.account),
        format!("custody   {}", account.custody),
        format!("keystore  version {}", account.version),
        format!("holders   {}", account.holders),
    ];
    if account.holders == "earlier" {
        lines.push("          its owner's next login goes over to the configured ones".into());
    }
    lines.extend(account.policy.iter().map(|policy| format!("policy    {policy}")));
    for side in &account.sides {
        lines.push(format!("{:<9} {} of {}", side.side, side.needed, side.holders.len()));
        lines.extend(side.holders.iter().zip(&side.names).map(|(holder, name)| {
            let name = name.as_deref().unwrap_or("(no name is known)");
            format!("          {holder}  {name}")
        }));
    }
    lines
}

fn rekey_lines(done: &RekeyAnswer) -> Vec<String> {
    let RekeyAnswer { before, custody, is_finished } = done;
    let mut lines = vec![format!("re-keyed  custody {custody}; it was {before}")];
    lines.push(if *is_finished {
        "old keys  gone: a copy of the keystore from before, with its secrets, opens nothing here"
            .into()
    } else {
        "old keys  a letter waits under them; they go after the next logins".into()
    });
    lines
}

fn check_lines(check: &CheckAnswer) -> Vec<String> {
    let mut lines =
        vec![format!("mailboxes  {}", check.mailboxes), format!("messages   {}", check.messages)];
    if check.waiting > 0 {
        lines.push(format!("arrived    {} since", check.waiting));
    }
    if check.findings.is_empty() {
        lines.push("whole      every row opens, and they are those the account wrote last".into());
    }
    for finding in &check.findings {
        lines.push(format!("WRONG      {}", finding.what));
        lines.push(format!("  cure: {}", finding.cure));
    }
    if check.is_accepted {
        lines.push("accepted   the account goes on with the rows that are there".into());
    }
    lines
}

fn queue_lines(queue: &QueueAnswer) -> Vec<String> {
    let seconds = |time: Option<u64>| time.map_or("-".into(), |seconds| format!("{seconds} s"));
    vec![
        format!("waiting     {}", queue.waiting),
        format!("delivering  {}", queue.delivering),
        format!("deferred    {}", queue.deferred),
        format!("oldest      {}", seconds(queue.oldest_seconds)),
        format!("next try    {}", seconds(queue.next_seconds)),
    ]
}

fn log_lines(log: &LogAnswer) -> Vec<String> {
    let nobody = log.cosigned_by.is_empty();
    let cosigned = if nobody { "nobody yet".into() } else { log.cosigned_by.join(", ") };
    let mut lines = vec![
        format!("origin       {}", log.origin),
        format!("size         {}", log.size),
        format!("root         {}", log.root),
        format!("cosigned by  {cosigned}"),
    ];
    lines.extend(log.refusals.iter().map(|(name, why)| format!("not by       {name}: {why}")));
    if log.waiting > log.batch {
        lines.push(format!("waiting      {} under secrecy, {} a batch", log.waiting, log.batch));
        lines.push("  cure: raise `sealed_batch` in [log], and restart".into());
    }
    if log.set_aside > 0 {
        lines.push(format!("set aside    {} events that no leaf can hold", log.set_aside));
        lines.push("  cure: none here; report it with the server's log".into());
    }
    if let Some(stopped) = &log.stopped {
        lines.extend(stopped_lines(stopped));
    }
    lines
}

fn stopped_lines(stopped: &StoppedLog) -> [String; 3] {
    let found = i64::try_from(stopped.found).ok().map(jiff::Timestamp::from_second);
    let found = found.and_then(Result::ok).map_or("-".into(), |at| at.to_string());
    let StoppedLog { fork, witness, theirs, ours, cure, .. } = stopped;
    [
        format!("STOPPED      since {found}: nothing is logged, and nothing is released"),
        format!(
            "  {witness} holds a checkpoint of {theirs} leaves, signed by this log, that its \
             {ours} leaves do not continue: {fork}"
        ),
        format!("  cure: {cure}"),
    ]
}
