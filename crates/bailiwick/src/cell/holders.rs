//! Who holds shares of an account's keys, and whether the configuration still says so.
//!
//! Invariant: holders by their public numbers and the names of their office; no address, no secret.
//! Refs: specs/bw1.md §6.6; specs/cell-rows.md §7.

use seal::escrow::{EscrowPolicy, Party};
use seal::holder::Holder;
use seal::manifest::Manifest;
use vocab::Custody;

use super::Cell;
use crate::admin::protocol::{AccountAnswer, Answer, SideLine};
use crate::admin::server::Refusal;

impl Cell {
    /// One account, and its holders.
    pub(crate) fn show_account(&self, address: &str) -> Result<Answer, Refusal> {
        let account = self.account_of(address)?;
        let locked = self.keystores.locked(account)?;
        let manifest = locked.manifest();
        let policy = manifest.policy.and_then(|digest| self.policies.known(digest));
        Ok(Answer::Shown(AccountAnswer {
            account: account.to_string(),
            custody: manifest.custody.into(),
            version: manifest.version,
            holders: self.standing_of(manifest).to_owned(),
            policy: manifest.policy.map(|digest| digest.to_string()),
            sides: policy.map(|policy| self.sides(policy)).unwrap_or_default(),
        }))
    }

    /// Whether an account is under the configured holders of its custody.
    pub(super) fn standing_of(&self, manifest: &Manifest) -> &'static str {
        let Some(named) = manifest.policy else { return "none" };
        let configured = self.policies.configured(manifest.custody);
        let is_present = configured.is_some_and(|policy| policy.digest() == named);
        if is_present { "present" } else { "earlier" }
    }

    fn sides(&self, policy: &EscrowPolicy) -> Vec<SideLine> {
        // Holders of former days too: the register forgets nobody.
        let known = self.desk.enrolled_holders();
        let first = if policy.custody() == Custody::Managed { "vault" } else { "trustees" };
        let line = |(name, party): (&str, Party)| {
            let (needed, holders) = policy.side(party);
            let name_of = |holder: &Holder| {
                let entry = known.iter().find(|entry| entry.holder == holder.id);
                entry.map(|entry| entry.name.clone())
            };
            let names = holders.iter().map(name_of).collect();
            let holders = holders.iter().map(|holder| holder.id.to_string()).collect();
            SideLine { side: name.to_owned(), needed, holders, names }
        };
        [(first, Party::Trustee), ("guards", Party::Guard)].map(line).into()
    }
}
