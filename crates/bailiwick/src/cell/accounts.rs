//! Making accounts and addresses.
//!
//! An account is made in two requests, since the disk cannot show its secrets and a screen can
//! fail. The first stores its keys and answers with the secrets; the second, when these have been
//! shown, logs the making and gives it its address. Whatever ends before the address is written
//! leaves an account that nothing leads to and whose secrets open nothing; the address is free.
//!
//! Invariant: an account's secrets are in the answer to the one who made it and nowhere else; no
//! address leads to an account whose secrets were never shown.

use custody::user::{self, Attempt, CreateAccount, CreateError, Locked, Record, Terms};
use mail::account::KeystoreError;
use mail::routes::{Destination, RouteError};
use proto::address::Address;
use seal::note::Note;
use seal::slot::Scope;
use vocab::{AccountId, Custody, RecordKind, Row, Timestamp};

use super::{Cell, LONGER, NOT_KNOWN};
use crate::admin::protocol::{AccountLine, Answer, MapLine};
use crate::admin::server::Refusal;
use crate::clock;

impl From<RouteError> for Refusal {
    fn from(error: RouteError) -> Self {
        let cure = match error {
            RouteError::Taken => {
                "choose another address; or if it is the account you have just been making and \
                 you have its secrets, do nothing: it is made"
            }
            RouteError::Unknown => NOT_KNOWN,
            RouteError::NotOurs => "use one of the cell's domains, or add it to [cell] domains",
            RouteError::TooMany => "remove an alias first",
            RouteError::Full => "free disk space",
            RouteError::Failed | RouteError::Tampered => "see the server's log",
        };
        Self::new(error.to_string(), cure)
    }
}

impl Cell {
    /// Makes an account with a recovery code and a first app password. No address leads to it
    /// before [`Cell::address_account`].
    pub(crate) async fn create_account(
        &self,
        address: &str,
        custody: Custody,
        password: Option<&str>,
    ) -> Result<Answer, Refusal> {
        self.free_address(address)?;
        let account = self.fresh_account();
        let made = self.seal_account(account, custody, password)?;
        self.keystores.create(account, made.records).await?;
        Ok(Answer::Created {
            account: account.to_string(),
            has_password: password.is_some(),
            recovery_code: made.recovery_code,
            app_password: made.app_password,
            slot: made.slot,
        })
    }

    /// Gives an account that [`Cell::create_account`] made its first address, after its secrets
    /// were shown. The leaf is first: what is not in the log does not take effect.
    pub(crate) async fn address_account(
        &self,
        account: &str,
        address: &str,
    ) -> Result<Answer, Refusal> {
        self.routes.forget_closed(clock::now()).await?;
        let address = self.free_address(address)?;
        let unknown = || {
            Refusal::new(
                "not an account that waits for its address",
                "make one with `bailiwick admin account create`",
            )
        };
        let account: AccountId = account.parse().map_err(|_| unknown())?;
        match self.keystores.locked(account) {
            Err(KeystoreError::Unpinned) => return Err(unknown()),
            Err(error) => return Err(error.into()),
            // One that another cell has not let go would live twice.
            Ok(locked) if locked.manifest().cell != self.keys.cell() => return Err(unknown()),
            Ok(_) if self.routes.of(account).is_empty() => {}
            Ok(_) => return Err(unknown()),
        }
        self.log_staff_act(account, "account made").await?;
        self.desk.note_account(account, clock::now())?;
        self.routes.add(&address, account, false).await?;
        Ok(Answer::Done)
    }

    pub(super) fn free_address(&self, text: &str) -> Result<Address, Refusal> {
        let address = Self::address(text)?;
        if let Some(until) = self.routes.closed_until(&address).filter(|end| *end > clock::now()) {
            return Err(closed(until));
        }
        match self.routes.resolve(&address) {
            Destination::Unknown | Destination::Moved | Destination::Office(_) => Ok(address),
            Destination::Local(_) => Err(RouteError::Taken.into()),
            Destination::OtherCell(_) | Destination::Foreign => Err(RouteError::NotOurs.into()),
        }
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
        let escrow = self.policies.configured(custody);
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
        let with = CreateAccount { account, cell, custody, escrow, password, pepper, now };
        let created = user::create(&with, entropy).map_err(|error| match error {
            CreateError::Short => Refusal::new(error.to_string(), LONGER),
            CreateError::Password(_) => Refusal::new(error.to_string(), "choose another password"),
            CreateError::Custody | CreateError::Seal(_) => failed(&error),
        })?;
        let records = created.records.iter().map(|record| (record.kind, &record.bytes));
        let locked = Locked::from_records(account, records).map_err(|error| failed(&error))?;
        let mut unlocked = locked
            .unlock(&Attempt {
                secret: &created.recovery_code,
                scope: Scope::SUDO,
                from: None,
                passwords: false,
                pepper,
                now,
                remembered: 0,
            })
            .map_err(|error| failed(&error))?;
        let scope = Scope::IMAP.and(Scope::SUBMIT);
        let terms = Terms { scope, expires: None, note: Note::default() };
        let app = unlocked.add_app_password(&terms, now, entropy);
        let app = app.map_err(|error| failed(&error))?;
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
        self.routes.forget_closed(clock::now()).await?;
        if let Some(until) = self.routes.closed_until(&Self::address(alias)?) {
            return Err(closed(until));
        }
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

    /// Every account, without its addresses; also those that never got one.
    pub(crate) fn list_accounts(&self) -> Result<Answer, Refusal> {
        let mut ids: Vec<AccountId> =
            self.routes.all().iter().map(mail::routes::Route::account).collect();
        for found in self.store.read().accounts() {
            let (account, usage) =
                found.map_err(|error| Refusal::failed("the accounts could not be read", &error))?;
            if account != self.keys.account() && usage.records > 0 {
                ids.push(account);
            }
        }
        // What is left of one that is being deleted has no keystore to be described by.
        let closed = self.routes.closed_accounts();
        ids.retain(|account| !closed.contains(account));
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
        let (custody, holders) = match self.keystores.locked(account) {
            Ok(locked) => {
                let manifest = locked.manifest();
                (Some(manifest.custody.into()), self.standing_of(manifest))
            }
            // Of one that is arriving not all of its keystore is there.
            Err(KeystoreError::Moving) => (None, "moving"),
            Err(error) => return Err(error.into()),
        };
        Ok(AccountLine {
            account: account.to_string(),
            custody,
            holders: holders.to_owned(),
            addresses: count(self.routes.of(account).len()),
            arrived_unfolded: count(unfolded),
            records: usage.records,
            octets: usage.bytes,
        })
    }

    /// What is kept of an account: the record map, with numbers.
    pub(crate) fn map_account(&self, address: &str) -> Result<Answer, Refusal> {
        let account = self.account_of(address)?;
        let custody = self.keystores.locked(account)?.manifest().custody;
        let routes = self.routes.of(account);
        let mut lines = Vec::new();
        for kind in RecordKind::ALL {
            let (records, octets) = match kind.holding().keeper {
                _ if *kind == RecordKind::AccountPin => self.tally(account, *kind)?,
                vocab::Keeper::Owner | vocab::Keeper::Clear => self.tally(account, *kind)?,
                vocab::Keeper::Cell if *kind == RecordKind::Route => {
                    (count(routes.len()), routes.iter().map(|r| count(r.address.len())).sum())
                }
                vocab::Keeper::Cell if *kind == RecordKind::Subscription => {
                    self.desk.noted(account)?
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
}

fn closed(until: Timestamp) -> Refusal {
    let day = i64::try_from(until.0).ok().map(jiff::Timestamp::from_second);
    let day = day.and_then(Result::ok).map_or_else(String::new, |day| day.to_string());
    Refusal::new(
        "the address was that of an account that was deleted",
        format!("choose another address; this one is free from {day}"),
    )
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
        Retention::Window => "until put back, or its days are over",
        Retention::Account => "as long as the account",
        Retention::Address => "as long as the account and 183 days",
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
