//! Answers as a person reads them.
//!
//! Invariant: prints what the cell answered and computes nothing.

use super::protocol::{Answer, Custody, LogAnswer};

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
        Answer::Created { account, recovery_code, app_password, slot } => vec![
            format!("account        {account}"),
            format!("recovery code  {recovery_code}"),
            "               write it down now: it is kept nowhere, and without a password or"
                .into(),
            "               this code the letters cannot be opened by anyone".into(),
            format!("app password   {app_password}"),
            format!("               for a mail program: reading and sending. Slot {slot}"),
        ],
        Answer::Accounts { accounts } => accounts
            .iter()
            .map(|line| {
                format!(
                    "{}  {:<8} {:>2} addresses {:>6} unfolded {:>8} records {:>12} octets",
                    line.account,
                    line.custody,
                    line.addresses,
                    line.arrived_unfolded,
                    line.records,
                    line.octets
                )
            })
            .collect(),
        Answer::Map { custody, lines } => {
            let head = format!("custody {custody}");
            let rows = lines.iter().map(|line| {
                format!(
                    "{:<22} {:<12} {:<46} {:<28} {:>7} {:>12}",
                    line.kind, line.category, line.opens_for, line.kept, line.records, line.octets
                )
            });
            std::iter::once(head).chain(rows).collect()
        }
        Answer::AppPassword { slot, app_password } => {
            vec![format!("app password  {app_password}"), format!("slot          {slot}")]
        }
        Answer::Cell { identity } => identity.lines(),
        Answer::Log(log) => log_lines(log),
        Answer::Queue { waiting, delivering } => {
            vec![format!("waiting     {waiting}"), format!("delivering  {delivering}")]
        }
        Answer::Account { account } => vec![account.clone()],
        Answer::Trust { policy } => vec![policy.clone()],
        Answer::Made { public } => vec![public.clone()],
        Answer::Desk { said } => vec![crate::staff::show::text(said)],
        Answer::Refused { what, cure } => return Err(format!("{what}\n  cure: {cure}")),
    };
    Ok(lines.join("\n"))
}

fn log_lines(log: &LogAnswer) -> Vec<String> {
    vec![
        format!("origin       {}", log.origin),
        format!("size         {}", log.size),
        format!("root         {}", log.root),
        format!(
            "cosigned by  {}",
            if log.cosigned_by.is_empty() {
                "nobody yet".into()
            } else {
                log.cosigned_by.join(", ")
            }
        ),
    ]
}
