//! From the command line to signed commands.
//!
//! Invariant: each word of the command line is one command of the desk; nothing is decided here.
//! Refs: specs/desk-command.md.

use anyhow::{Context, Result, bail, ensure};
use custody::holder::Answer as ShareAnswer;
use custody::{Approval, OrderRecord, hex};
use desk::{Choice, Command, FactsConfirmed, Outcome, Role, Scope, ScopeDiff, Staff, facts_text};
use law::{Facts, ReasonCode};
use seal::mac::sha256;
use vocab::{AccountId, CaseId, Digest, Timestamp};

use super::cli::{Decision, Enrol, Intake, OfficeArg, OutcomeArg, Paper, RoleArg};
use super::{AtDesk, OTHER_VERSION, json, key, station, write_json};
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

/// What the clerk does, and everybody's reading.
pub(super) fn intake(at: &AtDesk<'_>, work: Intake) -> Result<Command> {
    Ok(match work {
        Intake::Receive { demand, paper, address, again } => Command::Receive {
            demand: Box::new(json(&demand)?),
            document: std::fs::read(&paper)
                .with_context(|| format!("cannot read `{}`", paper.display()))?,
            account: address.map(|address| account(at, address)).transpose()?,
            again,
        },
        Intake::Verify { case, checks } => {
            let checks: Checks = json(&checks)?;
            Command::Verify { case, checks: checks.checks, facts: checks.facts }
        }
        Intake::Assess { case, facts } => {
            let facts = facts.map(|facts| json(&facts)).transpose()?;
            Command::Assess { case, facts: facts.unwrap_or_default() }
        }
        Intake::Correct { case, facts, why } => {
            Command::Correct { case, facts: json(&facts)?, why }
        }
        Intake::Preserve { case, days } => Command::Preserve { case, until: days.map(in_days) },
        Intake::Count { case } => Command::Count { case },
        Intake::Letter { case } => Command::Letter { case },
        Intake::Show { case } => Command::Show { case },
        Intake::List { overdue } => Command::List { overdue },
        Intake::Withdraw { case, why } => Command::Withdraw { case, why },
        Intake::EnrolAuthority { name, place, recipient, number_from } => Command::EnrolAuthority {
            name,
            place: place.parse().ok().context("a State is two letters")?,
            recipient,
            number_from,
            called_back: clock::now(),
        },
        Intake::ConfirmAuthority { id } => Command::ConfirmAuthority {
            id: hex::decode_array(&id).context("an authority's identifier is 32 hex digits")?,
        },
        Intake::Register => Command::Register,
    })
}

/// What counsel and approver do.
pub(super) fn decision(at: &AtDesk<'_>, work: Decision) -> Result<Command> {
    Ok(match work {
        Decision::Decide { case, outcome, scope, reason, code } => {
            let scope = scope.map(|scope| json(&scope)).transpose()?;
            let outcome = self::outcome(outcome);
            let unknown = "a code is one of D01 to D24, as packs/README.md has them";
            let coded = |code: &String| ReasonCode::ALL.iter().find(|one| one.code() == code);
            let codes = code.iter().map(|code| coded(code).copied().context(unknown));
            let codes = codes.collect::<Result<_>>()?;
            let choice = Choice { outcome, scope, reason, codes };
            Command::Decide { case, choice: Box::new(choice) }
        }
        Decision::Narrow { case, before, scope } => {
            narrow(at, case, &json(&before)?, json(&scope)?)?
        }
        Decision::Prepare { case, recipient, days } => Command::Prepare {
            case,
            recipient: hex::decode(&recipient).context("a recipient is hexadecimal")?,
            valid_seconds: days.saturating_mul(DAY_SECONDS),
        },
        Decision::Approve { case, digest, office, yes } => approve(at, case, &digest, office, yes)?,
        Decision::Return { case, why } => Command::Return { case, why },
        Decision::Stay { case, why } => Command::Stay { case, why },
        Decision::Lift { case, why } => Command::Lift { case, why },
        Decision::Appeal { case, court } => Command::Appeal { case, court },
        Decision::Close { case } => Command::Close { case },
        Decision::EndPreservation { case } => Command::EndPreservation { case },
        Decision::Secrecy { case, order } => Command::Secrecy { case, order: json(&order)? },
        Decision::Notice { case, notice } => Command::Notice { case, notice: json(&notice)? },
    })
}

/// What comes from files and goes into files.
pub(super) fn paper(at: &AtDesk<'_>, work: Paper) -> Result<desk::Answer> {
    match work {
        Paper::Holders { case, folder } => holders(at, case, &folder),
        Paper::Share { case, answer } => {
            at.ask(&Command::Share { case, answer: json::<ShareAnswer>(&answer)? })
        }
        Paper::HolderRefused { case, holder, why } => {
            at.ask(&Command::HolderRefused { case, holder: holder.parse()?, why })
        }
        Paper::Deliver { case, package, order_key, means } => {
            let octets = std::fs::read(&package)
                .with_context(|| format!("cannot read `{}`", package.display()))?;
            station::deliver(at, &delivered(case, &octets, means), order_key.as_deref())
        }
        Paper::Document { case, row, out } => document(at, case, row, &out),
        Paper::Receipt { case, out } => receipt(at, case, &out),
    }
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
    let socket = &at.config.cell.admin_socket;
    let answer = client::ask(socket, &Request::AccountOf { address })?.or_refusal()?;
    let Answer::Account { account } = answer else { bail!(OTHER_VERSION) };
    Ok(account.parse()?)
}

fn narrow(at: &AtDesk<'_>, case: CaseId, before: &Scope, scope: Scope) -> Result<Command> {
    let diff = ScopeDiff::sign(case, before, &scope, &at.key.signing)?;
    Ok(Command::Narrow { case, scope, diff })
}

/// What the desk prepared, if it is what it was asked to prepare: counsel passes its digest on.
pub(super) fn prepared(at: &AtDesk<'_>, command: &Command, answer: &desk::Answer) -> Result<()> {
    let Command::Prepare { case, recipient, .. } = command else { return Ok(()) };
    let desk::Answer::Prepared { order, digest, scope } = answer else { return Ok(()) };
    let read = read_order(at, *case, order, scope)?;
    let same = OrderRecord::digest(order) == *digest && read.recipient == *recipient;
    ensure!(same, "the desk prepared another order than it says; sign nothing");
    Ok(())
}

/// The order, if it is of this case and cell and has this scope.
fn read_order(at: &AtDesk<'_>, case: CaseId, record: &[u8], scope: &str) -> Result<OrderRecord> {
    let order = OrderRecord::decode(record).context("the desk's order cannot be read")?;
    let read = Scope::from_text(scope)?;
    let ours = order.case == case && order.cell == at.config.cell.cell_id();
    let scoped = sha256(&[scope.as_bytes()]) == order.scope;
    let same = (read.account, read.from, read.until) == (order.account, order.from, order.until)
        && read.kinds() == order.kinds
        && read.opens_account() == order.opens_account();
    let fits = ours && scoped && same;
    ensure!(fits, "the order is not one of this case, cell and scope; sign nothing");
    Ok(order)
}

/// Signs the order with this digest and the facts it rests on, once the officer has seen what
/// they say. The server is asked for both, and not believed: what is shown is what is signed.
fn approve(
    at: &AtDesk<'_>,
    case: CaseId,
    digest: &str,
    office: OfficeArg,
    yes: bool,
) -> Result<Command> {
    let digest = hex::decode_array(digest).map(Digest).context("a digest is 64 hex digits")?;
    let desk::Answer::File { file } = at.ask(&Command::Show { case })? else {
        bail!("the desk did not show the case");
    };
    let record = file.order_record.context("the case has no order; counsel prepares it")?;
    let same = OrderRecord::digest(&record) == digest;
    ensure!(same, "the desk holds another order than this digest; look at the case again");
    let scope = file.scope.context("the case has no scope")?.to_text()?;
    let order = read_order(at, case, &record, &scope)?;
    let facts: Facts =
        serde_json::from_str(&file.facts).context("the desk's facts cannot be read")?;
    let whole = facts_text(&facts)? == file.facts;
    ensure!(whole, "the desk's facts hold more than can be shown; sign nothing");
    eprintln!("{}", super::show::order(&order, &scope));
    eprintln!("{}", super::show::confirmed(&facts)?);
    ensure!(yes || confirmed()?, "not signed");
    let role = match office {
        OfficeArg::Counsel => custody::Role::Counsel,
        OfficeArg::Approver => custody::Role::Approver,
    };
    let approval = Approval::sign(digest, at.key.person, role, clock::now(), &at.key.signing);
    let facts = FactsConfirmed::sign(case, digest, &file.facts, &at.key.signing);
    Ok(Command::Approve { case, approval, facts })
}

fn confirmed() -> Result<bool> {
    eprint!("Are these facts true, and do you sign? Type yes: ");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim() == "yes")
}

/// That a package left.
pub(super) fn delivered(case: CaseId, package: &[u8], means: String) -> Command {
    let bytes = u64::try_from(package.len()).unwrap_or(u64::MAX);
    Command::Deliver { case, package: sha256(&[package]), bytes, means }
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
