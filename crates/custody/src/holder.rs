//! Holders: what a trustee, a vault officer or a guard is asked, and how it answers.
//!
//! Invariant: a share leaves its holder only after the holder's own client checked the
//! release, and only sealed again to the order's one recipient under the leaf's hash. A holder
//! never answers one leaf to two recipients. A guard is shown no account, case or order.
//! Refs: specs/release-evidence.md §6, §7.

use crate::hash;
use crate::leaf::FieldId;
use crate::release::{GuardEvidence, Refused, ReleaseEvidence, VerifiedRelease};
use crate::trust::TrustPolicy;
use seal::Entropy;
use seal::escrow::{Escrow, Party, ShareBox, Target};
use seal::holder::HolderKey;
use seal::hseal::PublicKey;
use serde::{Deserialize, Serialize};
use vocab::{Digest, HolderId, Timestamp};

/// Shares in one request.
pub const SHARES_MAX: usize = 512;
/// Octets of a request or an answer as JSON.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// An encoded [`ShareBox`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BoxOctets(#[serde(with = "crate::octets")] pub Vec<u8>);

/// What a trustee or an officer of the vault is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrusteeRequest {
    /// 1.
    pub version: u8,
    /// Why.
    pub evidence: ReleaseEvidence,
    /// This holder's share of each epoch.
    pub shares: Vec<BoxOctets>,
}

/// What a guard is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardRequest {
    /// 1.
    pub version: u8,
    /// Why, as far as a guard may know.
    pub evidence: GuardEvidence,
    /// This holder's share of each tag.
    pub shares: Vec<BoxOctets>,
}

/// A holder's answer: its shares, each sealed again to the order's recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// 1.
    pub version: u8,
    /// Who answers.
    #[serde(with = "crate::octets")]
    pub holder: HolderId,
    /// The leaf answered to.
    #[serde(with = "crate::octets")]
    pub leaf: Digest,
    /// The shares.
    pub given: Vec<Given>,
}

/// One share given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// SHA-256 of the encoded share box it came in.
    #[serde(with = "crate::octets")]
    pub share_box: Digest,
    /// The share, sealed again.
    #[serde(with = "crate::octets")]
    pub released: Vec<u8>,
}

/// A leaf answered, and to which recipient. A holder writes it down before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Served {
    /// The leaf.
    #[serde(with = "crate::octets")]
    pub leaf: Digest,
    /// SHA-256 of the recipient's public key.
    #[serde(with = "crate::octets")]
    pub recipient: Digest,
}

/// What a holder asked for an answer brings along.
pub struct HolderSide<'a> {
    /// Its key.
    pub key: &'a HolderKey,
    /// Its own trust policy.
    pub trust: &'a TrustPolicy,
    /// What it answered before.
    pub served: &'a [Served],
    /// Its own clock.
    pub now: Timestamp,
}

/// A verified release with this holder's part of it: shown to a person, who then says yes.
pub struct Examined<R> {
    release: R,
    leaf: Digest,
    recipient: PublicKey,
    served: Served,
    boxes: Vec<ShareBox>,
}

/// A trustee's check of a request. Show what it returns to the person before
/// [`Examined::answer`].
///
/// # Errors
/// [`Refused`]: the reason to give.
pub fn examine_trustee(
    request: &TrusteeRequest,
    side: &HolderSide<'_>,
) -> Result<Examined<VerifiedRelease>, Refused> {
    let release = request.evidence.verify(side.trust, side.now)?;
    let order = release.order();
    let named = |share: &ShareBox| match share.target {
        Target::Epoch(account, epoch, version) => {
            account == order.account
                && share.cell == order.cell
                && order.epoch(epoch, version).is_some_and(|line| line.policy == share.policy)
        }
        Target::Tag(_) => false,
    };
    let (leaf, recipient) = (release.logged().leaf_hash, order.recipient.clone());
    let boxes = boxes(request.version, &request.shares, named)?;
    examined(release, leaf, &recipient, boxes, side)
}

/// A guard's check of a request: mechanical, nothing to show.
///
/// # Errors
/// [`Refused`]: the reason to give.
pub fn examine_guard(
    request: &GuardRequest,
    side: &HolderSide<'_>,
) -> Result<Examined<()>, Refused> {
    let notice = request.evidence.verify(&side.trust.log, side.now)?;
    let opening = &notice.logged.opening;
    let named = |share: &ShareBox| match share.target {
        Target::Tag(tag) => {
            share.cell == side.trust.cell
                && opening.values(FieldId::GUARD_TAG).any(|shown| shown == tag)
        }
        Target::Epoch(..) => false,
    };
    let boxes = boxes(request.version, &request.shares, named)?;
    examined((), notice.logged.leaf_hash, &notice.recipient, boxes, side)
}

fn boxes(
    version: u8,
    shares: &[BoxOctets],
    named: impl Fn(&ShareBox) -> bool,
) -> Result<Vec<ShareBox>, Refused> {
    if version != 1 || shares.is_empty() || shares.len() > SHARES_MAX {
        return Err(Refused::Form);
    }
    let mut boxes = Vec::with_capacity(shares.len());
    for share in shares {
        let share = ShareBox::decode(&share.0).map_err(|_| Refused::Share)?;
        if !named(&share) {
            return Err(Refused::OutsideOrder);
        }
        boxes.push(share);
    }
    let holder = boxes.first().map(|share| share.holder);
    if boxes.iter().any(|share| Some(share.holder) != holder) {
        return Err(Refused::Share);
    }
    Ok(boxes)
}

fn examined<R>(
    release: R,
    leaf: Digest,
    recipient: &[u8],
    boxes: Vec<ShareBox>,
    side: &HolderSide<'_>,
) -> Result<Examined<R>, Refused> {
    let served = Served { leaf, recipient: hash(&[recipient]) };
    if side.served.iter().any(|before| before.leaf == leaf && *before != served) {
        return Err(Refused::Replayed);
    }
    let recipient = PublicKey::decode(recipient).map_err(|_| Refused::Recipient)?;
    for share in &boxes {
        share.open(side.key).map_err(|_| Refused::Share)?;
    }
    Ok(Examined { release, leaf, recipient, served, boxes })
}

impl<R> Examined<R> {
    /// What was verified, to be shown.
    pub fn release(&self) -> &R {
        &self.release
    }

    /// To be written down before [`Examined::answer`].
    pub fn served(&self) -> Served {
        self.served
    }

    /// How many shares are asked for.
    pub fn shares(&self) -> usize {
        self.boxes.len()
    }

    /// Gives the shares.
    ///
    /// # Errors
    /// [`Refused::Recipient`] or [`Refused::Share`] when sealing fails.
    pub fn answer(self, key: &HolderKey, entropy: &dyn Entropy) -> Result<Answer, Refused> {
        let holder = self.boxes.first().map(|share| share.holder).ok_or(Refused::Form)?;
        let mut given = Vec::with_capacity(self.boxes.len());
        for share in &self.boxes {
            let released = share
                .release(key, &self.recipient, &self.leaf, entropy)
                .map_err(|_| Refused::Recipient)?;
            given.push(Given { share_box: box_digest(share), released });
        }
        Ok(Answer { version: 1, holder, leaf: self.leaf, given })
    }
}

pub(crate) fn box_digest(share: &ShareBox) -> Digest {
    hash(&[&share.encode()])
}

/// The request for one trustee or officer of the vault, who holds shares of these escrows.
/// `None` if it holds none.
#[must_use]
pub fn ask_trustee(
    evidence: &ReleaseEvidence,
    escrows: &[Escrow],
    holder: HolderId,
) -> Option<TrusteeRequest> {
    let shares = held(escrows, holder, Party::Trustee);
    let evidence = evidence.clone();
    (!shares.is_empty()).then(|| TrusteeRequest { version: 1, evidence, shares: octets(&shares) })
}

/// The request for one guard. `None` if it holds no share of these escrows, or the order in
/// the evidence cannot be read.
#[must_use]
pub fn ask_guard(
    evidence: &ReleaseEvidence,
    escrows: &[Escrow],
    holder: HolderId,
) -> Option<GuardRequest> {
    let shares = held(escrows, holder, Party::Guard);
    let tags: Vec<[u8; 16]> = shares
        .iter()
        .filter_map(|share| match share.target {
            Target::Tag(tag) => Some(tag),
            Target::Epoch(..) => None,
        })
        .collect();
    let evidence = evidence.for_guards(&tags).ok()?;
    (!shares.is_empty()).then(|| GuardRequest { version: 1, evidence, shares: octets(&shares) })
}

fn held(escrows: &[Escrow], holder: HolderId, party: Party) -> Vec<&ShareBox> {
    let all = escrows.iter().flat_map(Escrow::share_boxes);
    all.filter(|share| share.holder == holder && share.target.party() == party).collect()
}

fn octets(shares: &[&ShareBox]) -> Vec<BoxOctets> {
    shares.iter().map(|share| BoxOctets(share.encode())).collect()
}
