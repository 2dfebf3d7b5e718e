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
use crate::clock;
use crate::config::Config;

/// One thing that stands: what sort it is, its name, and its digest.
struct Standing {
    act: Act,
    name: String,
    digest: Digest,
    count: u64,
}

impl Keeper {
    /// Logs every standing thing that is not as the log has it.
    pub(crate) async fn log_standing(&self, config: &Config) -> Result<()> {
        let known = self.standing()?;
        let now = clock::now();
        let mut items = Vec::new();
        for Standing { act, name, digest, count } in standing(config)? {
            if known.get(&(act, name.clone().into_bytes())) == Some(&digest.0.to_vec()) {
                continue;
            }
            let draft = match act {
                Act::PackChanged => custody::acts::pack_changed(now, &name, digest),
                Act::Software => custody::acts::program(now, &name, digest),
                _ => custody::acts::holders_changed(now, digest, count)
                    .clear(FieldId::NAME, name.as_bytes()),
            };
            items.push(Item { draft, open_by: None, about: None });
        }
        self.append(items).await?;
        Ok(())
    }

    /// The last digest of each thing that the log names.
    fn standing(&self) -> Result<BTreeMap<(Act, Vec<u8>), Vec<u8>>> {
        let mut known = BTreeMap::new();
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
        all.push(Standing { act: Act::PackChanged, name, digest, count: 0 });
    }
    let program = sha256(&[&std::fs::read(std::env::current_exe()?)?]);
    let name = "bailiwick".to_owned();
    all.push(Standing { act: Act::Software, name, digest: program, count: 0 });
    for (custody, name) in [(Custody::Trustee, "trustee"), (Custody::Managed, "managed")] {
        let Some(policy) = config.custody.escrow(config.cell.cell_id(), custody) else { continue };
        let sides = [seal::escrow::Party::Trustee, seal::escrow::Party::Guard];
        let holders: usize = sides.map(|side| policy.side(side).1.len()).iter().sum();
        all.push(Standing {
            act: Act::HoldersChanged,
            name: name.to_owned(),
            digest: policy.digest(),
            count: u64::try_from(holders).unwrap_or(u64::MAX),
        });
    }
    Ok(all)
}
