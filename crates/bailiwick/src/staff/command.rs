//! From the command line to signed commands.
//!
//! Invariant: each word of the command line is one command of the desk; nothing is decided here.
//! Refs: specs/desk-command.md.

use anyhow::{Context, Result, bail};
use custody::holder::Answer as ShareAnswer;
use custody::{Approval, hex};
use desk::{Choice, Command, Outcome, Role, Scope, ScopeDiff, Staff};
use vocab::{AccountId, CaseId, Digest, Timestamp};

use super::cli::{Enrol, OfficeArg, OutcomeArg, RoleArg, Work};
use super::{AtDesk, json, key, write_json};
use crate::admin::client;
use crate::admin::protocol::{Answer, Request};
use crate::clock;

const DAY_SECONDS: u64 = 86_400;

fn in_days(days: u64) -> Timestamp {
    Timestamp(clock::now().0.saturating_add(days.saturating_mul(DAY_SECONDS)))
}

/// The member of staff that the operator enrols.
pub(super) fn staff(enrol: &Enrol) -> Result<Staff> {
    let role = |role: &RoleArg| match role {
        RoleArg::Clerk => Role::Clerk,
        RoleArg::Counsel => Role::Counsel,
        RoleArg::Approver => Role::Approver,
        RoleArg::Station => Role::Station,
        RoleArg::Auditor => Role::Auditor,
    };
    Ok(Staff {
        person: enrol.person.parse()?,
        name: enrol.name.clone(),
        roles: enrol.role.iter().map(role).collect(),
        key: hex::decode_array(&enrol.public_key).context("a public key is 64 hex digits")?,
        from: clock::now(),
        until: in_days(enrol.days),
    })
}

/// Carries out one command.
pub(super) fn carry_out(at: &AtDesk<'_>, work: Work) -> Result<desk::Answer> {
    match work {
        Work::Holders { case, folder } => return holders(at, case, &folder),
        Work::Document { case, row, out } => return document(at, case, row, &out),
        Work::Receipt { case, out } => return receipt(at, case, &out),
        other => at.ask(&command(at, other)?),
    }
}

fn command(at: &AtDesk<'_>, work: Work) -> Result<Command> {
    Ok(match work {
        Work::Receive { demand, paper, address } => Command::Receive {
            demand: Box::new(json(&demand)?),
            document: std::fs::read(&paper)
                .with_context(|| format!("cannot read `{}`", paper.display()))?,
            account: address.map(|address| account(at, address)).transpose()?,
        },
        Work::Verify { case, checks } => {
            let checks: Checks = json(&checks)?;
            Command::Verify { case, checks: checks.checks, facts: checks.facts }
        }
        Work::Assess { case, facts } => {
            let facts = facts.map(|facts| json(&facts)).transpose()?;
            Command::Assess { case, facts: facts.unwrap_or_default() }
        }
        Work::Decide { case, outcome, scope, reason } => {
            let scope = scope.map(|scope| json(&scope)).transpose()?;
            let outcome = self::outcome(outcome);
            let choice = Choice { outcome, scope, reason, codes: Vec::new() };
            Command::Decide { case, choice: Box::new(choice) }
        }
        Work::Narrow { case, before, scope } => narrow(at, case, &json(&before)?, json(&scope)?)?,
        Work::Prepare { case, recipient, days } => Command::Prepare {
            case,
            recipient: hex::decode(&recipient).context("a recipient is hexadecimal")?,
            valid_seconds: days.saturating_mul(DAY_SECONDS),
        },
        Work::Approve { case, digest, office } => approve(at, case, &digest, office)?,
        Work::Return { case, why } => Command::Return { case, why },
        Work::Share { case, answer } => {
            Command::Share { case, answer: json::<ShareAnswer>(&answer)? }
        }
        Work::HolderRefused { case, holder, why } => {
            Command::HolderRefused { case, holder: holder.parse()?, why }
        }
        Work::EnrolAuthority { name, place, recipient, number_from } => Command::EnrolAuthority {
            name,
            place: place.parse().ok().context("a State is two letters")?,
            recipient,
            number_from,
            called_back: clock::now(),
        },
        Work::ConfirmAuthority { id } => Command::ConfirmAuthority {
            id: hex::decode_array(&id).context("an authority's identifier is 32 hex digits")?,
        },
        course => course_of(course)?,
    })
}

/// The course of a case: what needs no file but an order or a notice.
fn course_of(work: Work) -> Result<Command> {
    Ok(match work {
        Work::Stay { case, why } => Command::Stay { case, why },
        Work::Lift { case, why } => Command::Lift { case, why },
        Work::Appeal { case, court } => Command::Appeal { case, court },
        Work::Withdraw { case, why } => Command::Withdraw { case, why },
        Work::Close { case } => Command::Close { case },
        Work::Preserve { case, days } => Command::Preserve { case, until: in_days(days) },
        Work::EndPreservation { case } => Command::EndPreservation { case },
        Work::Secrecy { case, order } => Command::Secrecy { case, order: json(&order)? },
        Work::Notice { case, notice } => Command::Notice { case, notice: json(&notice)? },
        Work::Letter { case } => Command::Letter { case },
        Work::Count { case } => Command::Count { case },
        Work::Show { case } => Command::Show { case },
        Work::List { overdue } => Command::List { overdue },
        Work::Register => Command::Register,
        _ => bail!("this word of the desk is not wired"),
    })
}

/// What a clerk writes down of the sender.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Checks {
    checks: desk::SenderChecks,
    #[serde(default)]
    facts: serde_json::Map<String, serde_json::Value>,
}

fn outcome(outcome: OutcomeArg) -> Outcome {
    match outcome {
        OutcomeArg::Comply => Outcome::Comply,
        OutcomeArg::Narrow => Outcome::Narrow,
        OutcomeArg::Preserve => Outcome::Preserve,
        OutcomeArg::Refuse => Outcome::Refuse,
        OutcomeArg::Refer => Outcome::Refer,
        OutcomeArg::Object => Outcome::Object,
        OutcomeArg::Clarify => Outcome::Clarify,
    }
}

fn account(at: &AtDesk<'_>, address: String) -> Result<AccountId> {
    match client::ask(&at.config.cell.admin_socket, &Request::AccountOf { address })? {
        Answer::Account { account } => Ok(account.parse()?),
        Answer::Refused { what, cure } => bail!("{what}\n  cure: {cure}"),
        _ => bail!("the cell answered something else; use the same version on both sides"),
    }
}

fn narrow(at: &AtDesk<'_>, case: CaseId, before: &Scope, scope: Scope) -> Result<Command> {
    let diff = ScopeDiff::sign(case, before, &scope, &at.key.signing)?;
    Ok(Command::Narrow { case, scope, diff })
}

fn approve(at: &AtDesk<'_>, case: CaseId, digest: &str, office: OfficeArg) -> Result<Command> {
    let digest = hex::decode_array(digest).map(Digest).context("a digest is 64 hex digits")?;
    let role = match office {
        OfficeArg::Counsel => custody::Role::Counsel,
        OfficeArg::Approver => custody::Role::Approver,
    };
    let approval = Approval::sign(digest, at.key.person, role, clock::now(), &at.key.signing);
    Ok(Command::Approve { case, approval })
}

/// Writes a file for each holder, named by holder, and the evidence.
fn holders(at: &AtDesk<'_>, case: CaseId, folder: &std::path::Path) -> Result<desk::Answer> {
    let answer = at.ask(&Command::Holders { case })?;
    std::fs::create_dir_all(folder)?;
    if let desk::Answer::Holders { evidence, trustees, guards, .. } = &answer {
        write_json(&folder.join("evidence.json"), evidence)?;
        for one in trustees {
            write_json(&folder.join(format!("trustee-{}.json", one.holder)), &one.request)?;
        }
        for one in guards {
            write_json(&folder.join(format!("guard-{}.json", one.holder)), &one.request)?;
        }
    }
    Ok(answer)
}

fn document(
    at: &AtDesk<'_>,
    case: CaseId,
    row: u64,
    out: &std::path::Path,
) -> Result<desk::Answer> {
    let answer = at.ask(&Command::Document { case, row })?;
    if let desk::Answer::Document { octets } = &answer {
        key::write_new(out, octets)?;
    }
    Ok(answer)
}

fn receipt(at: &AtDesk<'_>, case: CaseId, out: &std::path::Path) -> Result<desk::Answer> {
    let answer = at.ask(&Command::DemandReceipt { case })?;
    if let desk::Answer::Receipt { receipt } = &answer {
        write_json(out, receipt)?;
    }
    Ok(answer)
}
