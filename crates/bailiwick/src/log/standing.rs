//! What stands until the log says otherwise: law packs, programs, escrow policies.
//!
//! Invariant: a cell that runs under other packs, another program or other holders than its log
//! says, says so before it serves.
//! Refs: specs/log-entry.md §8; design §5.

use std::collections::BTreeMap;

use anyhow::Result;
use custody::{Act, FieldId, Leaf};
use seal::mac::sha256;
use vocab::{Custody, Digest, RecordKind, Row};

use super::keeper::{Item, Keeper, kept};
use crate::config::Config;

/// One thing that stands.
struct Standing {
    sort: Sort,
    name: String,
    digest: Digest,
}

enum Sort {
    Pack,
    Program,
    /// An escrow policy, and how many holders it names.
    Holders(u64),
}

impl Sort {
    fn act(&self) -> Act {
        match self {
            Self::Pack => Act::PackChanged,
            Self::Program => Act::Software,
            Self::Holders(_) => Act::HoldersChanged,
        }
    }
}

/// The last digest of each thing that the log names, by act and name.
type Known = BTreeMap<(Act, Vec<u8>), Vec<u8>>;

impl Keeper {
    /// Logs every standing thing that is not as the log has it; a stopped log does so at the
    /// next start after it goes on.
    pub(crate) async fn log_standing(&self, config: &Config) -> Result<()> {
        if self.stopped().await.is_some() {
            return Ok(());
        }
        let known = self.standing()?;
        let now = self.options.clock.now();
        let mut items = Vec::new();
        for Standing { sort, name, digest } in standing(config)? {
            let said = known.get(&(sort.act(), name.clone().into_bytes()));
            if said.is_some_and(|said| *said == digest.0) {
                continue;
            }
            let draft = match sort {
                Sort::Pack => custody::acts::pack_changed(now, &name, digest),
                Sort::Program => custody::acts::program(now, &name, digest),
                Sort::Holders(count) => custody::acts::holders_changed(now, digest, count)
                    .clear(FieldId::NAME, name.as_bytes()),
            };
            items.push(Item { draft, open_by: None, about: None });
        }
        self.append(items).await?;
        Ok(())
    }

    fn standing(&self) -> Result<Known> {
        let mut known = Known::new();
        let rows = self.options.read.scan(self.options.account, RecordKind::LogLeaf, Row(0));
        for found in rows {
            let (row, _) = found?;
            let Some(kept) = kept(&self.options, row)? else { continue };
            let leaf = Leaf::decode(&kept.leaf)?;
            let named = (leaf.act, leaf.public(FieldId::NAME), leaf.public(FieldId::SUBJECT));
            if let (Some(act), Some(name), Some(subject)) = named {
                known.insert((act, name.to_vec()), subject.to_vec());
            }
        }
        Ok(known)
    }
}

fn standing(config: &Config) -> Result<Vec<Standing>> {
    let mut all = Vec::new();
    for pack in law::Packs::builtin()?.iter() {
        let (name, digest) = (pack.id().to_string(), sha256(&[&pack.canonical()]));
        all.push(Standing { sort: Sort::Pack, name, digest });
    }
    let program = sha256(&[&std::fs::read(std::env::current_exe()?)?]);
    let name = "bailiwick".to_owned();
    all.push(Standing { sort: Sort::Program, name, digest: program });
    for (custody, name) in [(Custody::Trustee, "trustee"), (Custody::Managed, "managed")] {
        let Some(policy) = config.custody.escrow(config.cell.cell_id(), custody) else { continue };
        let sides = [seal::escrow::Party::Trustee, seal::escrow::Party::Guard];
        let holders: usize = sides.map(|side| policy.side(side).1.len()).iter().sum();
        let sort = Sort::Holders(u64::try_from(holders).unwrap_or(u64::MAX));
        all.push(Standing { sort, name: name.to_owned(), digest: policy.digest() });
    }
    Ok(all)
}
