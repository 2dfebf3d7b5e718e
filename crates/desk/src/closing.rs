//! The end of a release: the desk signs what was produced, and the log is told.
//!
//! Invariant: the desk signs a production only if its custody record is this case's, and the
//! manifest lists that record and the demand as they are.
//! Refs: specs/production.md §3, §4, §6.

use crate::command::{Answer, CLOCK_SECONDS_MAX};
use crate::desk::{Carried, Desk};
use crate::error::DeskError;
use crate::event::What;
use crate::production;
use crate::refusal::{Lack, Mismatch};
use custody::OrderRecord;
use custody::production::{CustodyRecord, ManifestSignature, NotTallied, manifest_digest};
use seal::mac::sha256;
use vocab::CaseId;

/// Octets of a tag manifest.
const TAG_MANIFEST_BYTES_MAX: usize = 16 * 1024;

impl Desk {
    pub(crate) fn produce(
        &self,
        at: &mut Carried<'_>,
        id: CaseId,
        tag_manifest: &[u8],
        record: CustodyRecord,
    ) -> Result<Answer, DeskError> {
        let (order, _) = at.case(id)?.order.as_ref().ok_or(DeskError::Lacks(Lack::Order))?;
        let digest = OrderRecord::digest(order);
        let order = OrderRecord::decode(order)?;
        let rules = [
            (record.version == 1, Mismatch::Version),
            (record.case == id, Mismatch::Case),
            (record.cell == self.options.cell, Mismatch::Cell),
            (record.order == digest, Mismatch::Order),
            (order.not_before <= record.opened_at, Mismatch::Early),
            (record.opened_at <= record.closed_at, Mismatch::ClosedFirst),
            (record.closed_at < order.valid_until, Mismatch::Ended),
            (record.closed_at.0 <= at.now.0.saturating_add(CLOCK_SECONDS_MAX), Mismatch::Ahead),
        ];
        if let Some((_, why)) = rules.into_iter().find(|(kept, _)| !kept) {
            return Err(DeskError::Production(why));
        }
        record.tally_fits(&order).map_err(|why| DeskError::Production(why.into()))?;
        lists(tag_manifest, &record, &order)?;
        let signature = ManifestSignature::sign(tag_manifest, &self.options.signing);
        let manifest = manifest_digest(tag_manifest);
        let what = What::Produced { scope: order.scope, manifest, record };
        let event = at.event(Some(id), what);
        self.commit(&mut at.inner, vec![event], vec![], vec![])?;
        Ok(Answer::Produced { signature })
    }
}

impl From<NotTallied> for Mismatch {
    fn from(why: NotTallied) -> Self {
        match why {
            NotTallied::Holder => Self::Holder,
            NotTallied::Opening => Self::Opening,
            NotTallied::More => Self::More,
        }
    }
}

/// Whether the manifest lists the record and the demand's digest as they are.
fn lists(
    tag_manifest: &[u8],
    record: &CustodyRecord,
    order: &OrderRecord,
) -> Result<(), DeskError> {
    let text = core::str::from_utf8(tag_manifest)
        .ok()
        .filter(|text| text.len() <= TAG_MANIFEST_BYTES_MAX)
        .ok_or(DeskError::Production(Mismatch::Unread))?;
    let record = production::json(record).ok_or(DeskError::Damaged)?;
    for (name, octets) in
        [("custody.json", record), ("order.sha256", production::order_line(order.demand))]
    {
        let line = format!("{}  {name}", sha256(&[&octets]));
        if text.lines().filter(|listed| listed.ends_with(&format!("  {name}"))).ne([line.as_str()])
        {
            return Err(DeskError::Production(Mismatch::Listed));
        }
    }
    Ok(())
}
