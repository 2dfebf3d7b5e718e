//! Making accounts and addresses.
//!
//! Invariant: an account's secrets are in the answer to the one who made it and nowhere else.

use custody::user::{self, Attempt, CreateAccount, Locked, Record};
use mail::routes::{Destination, RouteError};
use seal::slot::Scope;
use store::{Batch, CommitError};
use vocab::{AccountId, Custody, RecordKind, Row};

use super::Cell;
use crate::admin::protocol::{AccountLine, Answer, MapLine};
use crate::admin::server::Refusal;
use crate::clock;

impl From<RouteError> for Refusal {
    fn from(error: RouteError) -> Self {
        let cure = match error {
            RouteError::Taken => "choose another address",
            RouteError::Unknown => "list the accounts with `bailiwick admin account list`",
            RouteError::NotOurs => "use one of the cell's domains, or add it to [cell] domains",
            RouteError::TooMany => "remove an alias first",
            RouteError::Full => "free disk space",
            RouteError::Failed | RouteError::Tampered => "see the server's log",
        };
        Self::new(error.to_string(), cure)
    }
}

/// A full disk is the administrator's to mend; what else fails a commit is not.
pub(super) fn not_stored(what: &str, error: &CommitError) -> Refusal {
    match error {
        CommitError::Full => RouteError::Full.into(),
        CommitError::TooLarge
        | CommitError::Exists
        | CommitError::Conflict
        | CommitError::Stopped => Refusal::failed(what, error),
    }
}

impl Cell {
    /// Makes an account with a recovery code and a first app password.
    pub(crate) async fn create_account(
        &self,
        address: &str,
        custody: Custody,
        password: Option<&str>,
    ) -> Result<Answer, Refusal> {
        let address = Self::address(address)?;
        match self.routes.resolve(&address) {
            Destination::Unknown => {}
            Destination::Local(_) => return Err(RouteError::Taken.into()),
            Destination::OtherCell(_) | Destination::Foreign => {
                return Err(RouteError::NotOurs.into());
            }
        }
        let account = self.fresh_account();
        let made = self.seal_account(account, custody, password)?;
        let batch = made.records.into_iter().fold(Batch::new(account), |batch, record| {
            batch.put(record.kind, record.row, record.bytes)
        });
        let stored = self.store.append().commit(batch).await;
        stored.map_err(|error| not_stored("the account was not stored", &error))?;
        self.routes.add(&address, account, false).await?;
        self.log_staff_act(account, "account made").await?;
        Ok(Answer::Created {
            account: account.to_string(),
            recovery_code: made.recovery_code,
            app_password: made.app_password,
            slot: made.slot,
        })
    }

    fn fresh_account(&self) -> AccountId {
        let mut id = [0; 16];
        self.entropy.fill(&mut id);
        AccountId(id)
    }

    fn seal_account(
        &self,
        account: AccountId,
        custody: Custody,
        password: Option<&str>,
    ) -> Result<Made, Refusal> {
        let cell = self.keys.cell();
        let escrow = self.config.custody.escrow(cell, custody);
        if custody != Custody::Sealed && escrow.is_none() {
            return Err(Refusal::new(
                "the cell does not offer this custody",
                "name holders and guards in [custody] of the configuration, and restart",
            ));
        }
        let failed = |error: &dyn std::fmt::Display| {
            Refusal::failed("the account's keys could not be made", error)
        };
        let (now, entropy, pepper) = (clock::now(), self.entropy.as_ref(), self.keys.pepper());
        let pepper = Some(&pepper);
        let with = CreateAccount {
            account,
            cell,
            custody,
            escrow: escrow.as_ref(),
            password,
            pepper,
            now,
        };
        let created = user::create(&with, entropy).map_err(|error| failed(&error))?;
        let records = created.records.iter().map(|record| (record.kind, &record.bytes));
        let locked = Locked::from_records(account, records).map_err(|error| failed(&error))?;
        let mut unlocked = locked
            .unlock(&Attempt {
                secret: &created.recovery_code,
                scope: Scope::SUDO,
                passwords: false,
                pepper,
                now,
                remembered: 0,
            })
            .map_err(|error| failed(&error))?;
        let scope = Scope::IMAP.and(Scope::SUBMIT);
        let app =
            unlocked.add_app_password(scope, None, now, entropy).map_err(|error| failed(&error))?;
        let mut records = created.records;
        records.retain(|record| !app.changes.put.iter().any(|new| same_place(record, new)));
        records.extend(app.changes.put);
        Ok(Made {
            records,
            recovery_code: created.recovery_code.to_string(),
            app_password: app.secret.to_string(),
            slot: app.slot.to_string(),
        })
    }

    /// Leads a further address to an account.
    pub(crate) async fn add_alias(&self, alias: &str, address: &str) -> Result<Answer, Refusal> {
        let account = self.account_of(address)?;
        self.routes.add(&Self::address(alias)?, account, true).await?;
        self.log_staff_act(account, "address added").await?;
        Ok(Answer::Done)
    }

    /// Takes an address away; the last one of an account stays.
    pub(crate) async fn remove_alias(&self, alias: &str) -> Result<Answer, Refusal> {
        let account = self.account_of(alias)?;
        if self.routes.of(account).len() == 1 {
            return Err(Refusal::new("it is the account's only address", "add another one first"));
        }
        self.routes.remove(&Self::address(alias)?).await?;
        self.log_staff_act(account, "address removed").await?;
        Ok(Answer::Done)
    }

    /// The identifier of the account an address leads to.
    pub(crate) fn find_account(&self, address: &str) -> Result<Answer, Refusal> {
        Ok(Answer::Account { account: self.account_of(address)?.to_string() })
    }

    /// Every account, without its addresses.
    pub(crate) fn list_accounts(&self) -> Result<Answer, Refusal> {
        let mut ids: Vec<AccountId> =
            self.routes.all().iter().map(mail::routes::Route::account).collect();
        ids.sort_unstable();
        ids.dedup();
        let accounts = ids.into_iter().map(|account| self.account_line(account));
        Ok(Answer::Accounts { accounts: accounts.collect::<Result<_, _>>()? })
    }

    fn account_line(&self, account: AccountId) -> Result<AccountLine, Refusal> {
        let failed = |error: store::ReadError| {
            Refusal::failed("the account's records could not be read", &error)
        };
        let read = self.store.read();
        let usage = read.usage(account).map_err(failed)?;
        let unfolded = read.scan(account, RecordKind::LetterHead, Row(0));
        let unfolded = unfolded.collect::<Result<Vec<_>, _>>().map_err(failed)?.len();
        Ok(AccountLine {
            account: account.to_string(),
            custody: self.locked(account)?.manifest().custody.into(),
            addresses: count(self.routes.of(account).len()),
            arrived_unfolded: count(unfolded),
            records: usage.records,
            octets: usage.bytes,
        })
    }

    /// What is kept of an account: the record map, with numbers.
    pub(crate) fn map_account(&self, address: &str) -> Result<Answer, Refusal> {
        let account = self.account_of(address)?;
        let custody = self.locked(account)?.manifest().custody;
        let routes = self.routes.of(account);
        let mut lines = Vec::new();
        for kind in RecordKind::ALL {
            let (records, octets) = match kind.holding().keeper {
                vocab::Keeper::Owner | vocab::Keeper::Clear => self.tally(account, *kind)?,
                vocab::Keeper::Cell if *kind == RecordKind::Route => {
                    (count(routes.len()), routes.iter().map(|r| count(r.address.len())).sum())
                }
                vocab::Keeper::Cell => continue,
            };
            lines.push(map_line(*kind, custody, records, octets));
        }
        Ok(Answer::Map { custody: custody.into(), lines })
    }

    fn tally(&self, account: AccountId, kind: RecordKind) -> Result<(u64, u64), Refusal> {
        let mut tally = (0, 0);
        for found in self.store.read().scan(account, kind, Row(0)) {
            let (_, value) =
                found.map_err(|error| Refusal::failed("the records could not be read", &error))?;
            tally = (tally.0 + 1, tally.1 + count(value.len()));
        }
        Ok(tally)
    }

    /// The account's public records.
    pub(super) fn locked(&self, account: AccountId) -> Result<Locked, Refusal> {
        let read = self.store.read();
        let mut records = Vec::new();
        for kind in [RecordKind::Manifest, RecordKind::Slot, RecordKind::EpochBox] {
            for found in read.scan(account, kind, Row(0)) {
                let (_, bytes) = found
                    .map_err(|error| Refusal::failed("the account could not be read", &error))?;
                records.push((kind, bytes));
            }
        }
        Locked::from_records(account, records)
            .map_err(|error| Refusal::failed("the account's records are damaged", &error))
    }
}

struct Made {
    records: Vec<Record>,
    recovery_code: String,
    app_password: String,
    slot: String,
}

fn same_place(a: &Record, b: &Record) -> bool {
    (a.kind, a.row) == (b.kind, b.row)
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn map_line(kind: RecordKind, custody: Custody, records: u64, octets: u64) -> MapLine {
    use vocab::{DataCategory, Keeper, Retention};
    let holding = kind.holding();
    let category = match holding.category {
        None => "none",
        Some(DataCategory::Subscriber) => "subscriber",
        Some(DataCategory::Identifying) => "identifying",
        Some(DataCategory::Traffic) => "traffic",
        Some(DataCategory::Content) => "content",
    };
    let opens_for = match (holding.keeper, custody) {
        (Keeper::Owner, Custody::Sealed) => "its owner",
        (Keeper::Owner, Custody::Trustee) => "its owner; trustees, for one demand",
        (Keeper::Owner, Custody::Managed) => "its owner; the vault, for one demand",
        (Keeper::Cell, _) => "the running cell",
        (Keeper::Clear, _) => "anyone with the disk: names nobody",
    };
    let kept = match holding.retention {
        Retention::Owner => "until its owner deletes it",
        Retention::Account => "as long as the account",
        Retention::Delivery => "until delivered or returned",
        Retention::Case => "as the law of the case says",
        Retention::Cell => "as long as the cell",
    };
    MapLine {
        kind: holding.name.to_owned(),
        category: category.to_owned(),
        opens_for: opens_for.to_owned(),
        kept: kept.to_owned(),
        records,
        octets,
    }
}
