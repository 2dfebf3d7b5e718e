//! Escrow: an epoch's keys for holders who must act together, and only after a receipt.
//!
//! The escrow key comes from two secrets. A is shared among trustees (or the vault's officers),
//! B among receipt guards; neither side alone learns anything, and guards learn no account.
//!
//! Invariant: every share is checked against its commitment and the joint key against its own
//! before anything is opened; a share leaves its holder only re-sealed to one opening, under
//! the digest of the log's leaf.
//! Refs: specs/bw1.md §6; Shamir 1979 over GF(2⁸), polynomial 0x11B.

use vocab::{AccountId, CellId, Custody, Digest, Epoch, EpochVersion, HolderId};
use vsss_rs::Gf256;
use zeroize::Zeroizing;

use crate::cwrap;
use crate::derive::{derive, extract};
use crate::entropy::{Draw, Entropy, draw};
use crate::epoch::{EpochKeys, place};
use crate::error::{OpenError, SealError};
use crate::holder::{Holder, HolderKey};
use crate::hseal::{self, PublicKey, SecretKey};
use crate::mac::sha256;
use crate::secret::Secret;
use crate::wire::Reader;

/// Most holders on either side.
pub const HOLDERS_MAX: usize = 32;
const MARK: &[u8; 8] = b"BWESCRW1";
const BOX_MARK: &[u8; 8] = b"BWSHARE1";
const EPOCH_BOX_BYTES: usize = 64 + cwrap::OVERHEAD;
const SHARE_BYTES: usize = 33;
const SEALED_SHARE_BYTES: usize = SHARE_BYTES + hseal::OVERHEAD;

/// Which side of the escrow a share is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Party {
    /// A trustee, or an officer of the vault.
    Trustee = b'A',
    /// A receipt guard.
    Guard = b'B',
}

/// Who can open an account's epochs together.
#[derive(Clone, PartialEq, Eq)]
pub struct EscrowPolicy {
    cell: CellId,
    custody: Custody,
    trustees: Side,
    guards: Side,
}

#[derive(Clone, PartialEq, Eq)]
struct Side {
    needed: u8,
    holders: Vec<Holder>,
}

/// A policy that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Custody `sealed` has no escrow.
    #[error("custody sealed has no escrow")]
    Sealed,
    /// Fewer than one needed, more needed than named, or more named than the limit.
    #[error("not between one and all of the holders named are needed")]
    Threshold,
    /// A holder, or a key, is named twice.
    #[error("a holder or a key is named twice")]
    Twice,
}

impl EscrowPolicy {
    /// `trustees_needed` of `trustees`, together with `guards_needed` of `guards`. In custody
    /// `managed` the trustees are the vault's officers, of whom there may be one.
    ///
    /// # Errors
    /// As [`PolicyError`] says. Guards are always needed, and nobody holds twice.
    pub fn new(
        cell: CellId,
        custody: Custody,
        (trustees_needed, trustees): (u8, Vec<Holder>),
        (guards_needed, guards): (u8, Vec<Holder>),
    ) -> Result<Self, PolicyError> {
        if custody == Custody::Sealed {
            return Err(PolicyError::Sealed);
        }
        for (needed, holders) in [(trustees_needed, &trustees), (guards_needed, &guards)] {
            if needed == 0 || usize::from(needed) > holders.len() || holders.len() > HOLDERS_MAX {
                return Err(PolicyError::Threshold);
            }
        }
        let everyone: Vec<&Holder> = trustees.iter().chain(&guards).collect();
        let twice = everyone.iter().enumerate().any(|(place, holder)| {
            everyone.iter().skip(place + 1).any(|o| o.id == holder.id || o.key == holder.key)
        });
        if twice {
            return Err(PolicyError::Twice);
        }
        let trustees = Side { needed: trustees_needed, holders: trustees };
        let guards = Side { needed: guards_needed, holders: guards };
        Ok(Self { cell, custody, trustees, guards })
    }

    /// The cell the policy is of.
    #[must_use]
    pub fn cell(&self) -> CellId {
        self.cell
    }

    /// The custody mode it is for.
    #[must_use]
    pub fn custody(&self) -> Custody {
        self.custody
    }

    /// How many of `party` are needed, and who they are.
    #[must_use]
    pub fn side(&self, party: Party) -> (u8, &[Holder]) {
        let side = match party {
            Party::Trustee => &self.trustees,
            Party::Guard => &self.guards,
        };
        (side.needed, &side.holders)
    }

    /// What manifests, escrows and shares are bound to: every name, key and number above.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut out = b"bailiwick.v1 policy\0".to_vec();
        out.extend_from_slice(&self.cell.0);
        out.push(self.custody as u8);
        for side in [&self.trustees, &self.guards] {
            out.push(side.needed);
            out.push(u8::try_from(side.holders.len()).unwrap_or(u8::MAX));
            for holder in &side.holders {
                out.extend_from_slice(&holder.id.0);
                out.extend_from_slice(&sha256(&[holder.key.as_bytes()]).0);
            }
        }
        sha256(&[&out])
    }
}

/// What a share opens, as far as its holder may know: a trustee the account and epoch, a guard
/// only a tag that leads to neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// For trustees.
    Epoch(AccountId, Epoch, EpochVersion),
    /// For guards: 16 random octets, one per escrow.
    Tag([u8; 16]),
}

impl Target {
    fn encode(self) -> Vec<u8> {
        match self {
            Self::Epoch(account, epoch, version) => place(account, epoch, version).to_vec(),
            Self::Tag(tag) => tag.to_vec(),
        }
    }

    /// Which side it is shown to.
    #[must_use]
    pub const fn party(self) -> Party {
        match self {
            Self::Epoch(..) => Party::Trustee,
            Self::Tag(_) => Party::Guard,
        }
    }
}

/// One holder's sealed share, with all that is needed to open it but the holder's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareBox {
    /// What the share helps open.
    pub target: Target,
    /// The cell whose policy it is under.
    pub cell: CellId,
    /// [`EscrowPolicy::digest`].
    pub policy: Digest,
    /// Whose share it is.
    pub holder: HolderId,
    /// Its number, from 1.
    pub index: u8,
    /// How many shares of this side are needed.
    pub needed: u8,
    /// How many there are.
    pub total: u8,
    commitment: [u8; 32],
    sealed: [u8; SEALED_SHARE_BYTES],
}

/// A share, opened.
pub struct Share {
    party: Party,
    octets: Secret<SHARE_BYTES>,
}

fn commitment(octets: &Secret<SHARE_BYTES>) -> [u8; 32] {
    sha256(&[b"bailiwick.v1 share com\0", octets.expose()]).0
}

impl Share {
    /// Which side it is of.
    #[must_use]
    pub fn party(&self) -> Party {
        self.party
    }

    fn index(&self) -> u8 {
        let [index, ..] = *self.octets.expose();
        index
    }

    fn from_octets(party: Party, octets: &[u8]) -> Result<Self, OpenError> {
        let octets: &[u8; SHARE_BYTES] = octets.try_into().map_err(|_| OpenError::Malformed)?;
        Ok(Self { party, octets: Secret::copied(octets) })
    }
}

impl ShareBox {
    /// What the share is sealed under (specs/bw1.md §6.3).
    fn context(&self) -> Vec<u8> {
        let numbers = [self.target.party() as u8, self.index, self.needed, self.total];
        [&self.target.encode()[..], &self.cell.0, &self.policy.0, &self.holder.0, &numbers].concat()
    }

    /// What a released share is sealed under.
    fn release_context(&self, leaf: &Digest) -> Vec<u8> {
        let numbers = [self.target.party() as u8, self.index];
        [&leaf.0[..], &self.target.encode(), &self.policy.0, &numbers].concat()
    }

    /// Opens the share with its holder's key, and checks it.
    ///
    /// # Errors
    /// [`OpenError::Tampered`] under another key, or if the share is not the one committed to.
    pub fn open(&self, key: &HolderKey) -> Result<Share, OpenError> {
        let octets = hseal::open(key.secret(), "share", &[&self.context()], &self.sealed)?;
        self.checked(Share::from_octets(self.target.party(), &octets)?)
    }

    /// Whether `share` is the one this box holds.
    fn checked(&self, share: Share) -> Result<Share, OpenError> {
        let right = share.party == self.target.party()
            && share.index() == self.index
            && crate::secret::same(&commitment(&share.octets), &self.commitment);
        if right { Ok(share) } else { Err(OpenError::Tampered) }
    }

    /// Opens the share and seals it again, to the key `to` of one opening and under the digest
    /// of the log's leaf: the only way a share leaves its holder.
    ///
    /// # Errors
    /// As [`Self::open`]; [`OpenError::Malformed`] if HPKE refuses.
    pub fn release(
        &self,
        key: &HolderKey,
        to: &PublicKey,
        leaf: &Digest,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, OpenError> {
        let share = self.open(key)?;
        let context = self.release_context(leaf);
        hseal::seal(to, "release", &[&context], share.octets.expose(), entropy)
            .map_err(|_| OpenError::Malformed)
    }

    /// Opens what [`release`](Self::release) gave, with the opening's own key.
    ///
    /// # Errors
    /// [`OpenError::Tampered`] if it was released to another key, under another leaf, or is
    /// not the share this box committed to.
    pub fn receive(
        &self,
        released: &[u8],
        key: &SecretKey,
        leaf: &Digest,
    ) -> Result<Share, OpenError> {
        let octets = hseal::open(key, "release", &[&self.release_context(leaf)], released)?;
        self.checked(Share::from_octets(self.target.party(), &octets)?)
    }

    /// Its octets, to be handed to the holder (specs/bw1.md §6.4).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let target = self.target.encode();
        let numbers = [self.target.party() as u8, self.index, self.needed, self.total];
        let parts: [&[u8]; 8] = [
            BOX_MARK,
            &numbers,
            &target,
            &self.cell.0,
            &self.policy.0,
            &self.holder.0,
            &self.commitment,
            &self.sealed,
        ];
        parts.concat()
    }

    /// Reads [`encode`](Self::encode)'s octets.
    ///
    /// # Errors
    /// [`OpenError::Malformed`] unless exactly one box.
    pub fn decode(bytes: &[u8]) -> Result<Self, OpenError> {
        let mut reader = Reader::new(bytes);
        reader.mark(BOX_MARK)?;
        let [party, index, needed, total] = reader.array()?;
        let target = match party {
            b'A' => Target::Epoch(
                AccountId(reader.array()?),
                Epoch(reader.u32()?),
                EpochVersion(reader.u32()?),
            ),
            b'B' => Target::Tag(reader.array()?),
            _ => return Err(OpenError::Malformed),
        };
        let share = Self {
            target,
            cell: CellId(reader.array()?),
            policy: Digest(reader.array()?),
            holder: HolderId(reader.array()?),
            index,
            needed,
            total,
            commitment: reader.array()?,
            sealed: reader.array()?,
        };
        reader.end()?;
        let sane = index >= 1 && index <= total && needed >= 1 && needed <= total;
        if sane { Ok(share) } else { Err(OpenError::Malformed) }
    }
}

/// An epoch's escrow, as stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Escrow {
    account: AccountId,
    epoch: Epoch,
    version: EpochVersion,
    cell: CellId,
    policy: Digest,
    tag: [u8; 16],
    commitment: [u8; 32],
    wrapped: [u8; EPOCH_BOX_BYTES],
    boxes: Vec<ShareBox>,
}

/// Why shares do not open an escrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CombineError {
    /// Fewer trustees than needed.
    #[error("fewer trustees than needed")]
    Trustees,
    /// Fewer guards than needed.
    #[error("fewer guards than needed")]
    Guards,
    /// A share is not of this escrow, or one is there twice.
    #[error("a share is not of this escrow, or there twice")]
    Share,
    /// The shares fit, but their joint key is not the one committed to.
    #[error("the joint key is not the one committed to")]
    Commitment,
    /// The joint key fits, but the epoch's keys do not open with it.
    #[error("the epoch's keys do not open")]
    Box,
}

impl Escrow {
    /// Escrows `keys` under `policy`.
    ///
    /// # Errors
    /// [`SealError::Cipher`] if a primitive refuses, which none does within the limits.
    pub fn seal(
        keys: &EpochKeys,
        policy: &EscrowPolicy,
        entropy: &dyn Entropy,
    ) -> Result<Self, SealError> {
        let (a, b) = (Secret::<32>::random(entropy), Secret::<32>::random(entropy));
        let (cell, digest) = (policy.cell, policy.digest());
        let (account, epoch, version) = (keys.account(), keys.epoch(), keys.version());
        let key = joint(&keys.place(), &digest, a.expose(), b.expose());
        let place = keys.place();
        let octets = keys.octets();
        let wrapped = cwrap::wrap(&key, "escrow", &[&place, &digest.0], octets.expose(), entropy)?;
        let tag = draw(entropy);
        let mut boxes =
            Vec::with_capacity(policy.trustees.holders.len() + policy.guards.holders.len());
        for (secret, side, target) in [
            (&a, &policy.trustees, Target::Epoch(account, epoch, version)),
            (&b, &policy.guards, Target::Tag(tag)),
        ] {
            let shares = split(secret, side, entropy)?;
            let total = u8::try_from(shares.len()).map_err(|_| SealError::Parameter)?;
            for (holder, share) in side.holders.iter().zip(shares) {
                let mut share_box = ShareBox {
                    target,
                    cell,
                    policy: digest,
                    holder: holder.id,
                    index: *share.expose().first().unwrap_or(&0),
                    needed: side.needed,
                    total,
                    commitment: commitment(&share),
                    sealed: [0; SEALED_SHARE_BYTES],
                };
                let context = share_box.context();
                let sealed =
                    hseal::seal(holder.key.key(), "share", &[&context], share.expose(), entropy)?;
                share_box.sealed = sealed.try_into().map_err(|_| SealError::Cipher)?;
                boxes.push(share_box);
            }
        }
        Ok(Self {
            account,
            epoch,
            version,
            cell,
            policy: digest,
            tag,
            commitment: joint_commitment(&key, &place),
            wrapped: wrapped.try_into().map_err(|_| SealError::Cipher)?,
            boxes,
        })
    }

    /// Opens the epoch's keys with enough shares of both sides.
    ///
    /// # Errors
    /// As [`CombineError`] says.
    pub fn open(&self, shares: &[Share]) -> Result<EpochKeys, CombineError> {
        let mut seen = Vec::with_capacity(shares.len());
        for share in shares {
            let name = (share.party, share.index());
            let known = self.boxes.iter().any(|share_box| {
                (share_box.target.party(), share_box.index) == name
                    && crate::secret::same(&commitment(&share.octets), &share_box.commitment)
            });
            if !known || seen.contains(&name) {
                return Err(CombineError::Share);
            }
            seen.push(name);
        }
        let a = self.gather(shares, Party::Trustee).ok_or(CombineError::Trustees)?;
        let b = self.gather(shares, Party::Guard).ok_or(CombineError::Guards)?;
        let place = place(self.account, self.epoch, self.version);
        let key = joint(&place, &self.policy, &a, &b);
        if !crate::secret::same(&joint_commitment(&key, &place), &self.commitment) {
            return Err(CombineError::Commitment);
        }
        cwrap::unwrap(&key, "escrow", &[&place, &self.policy.0], &self.wrapped)
            .and_then(|octets| {
                EpochKeys::from_octets(self.account, self.epoch, self.version, &octets)
            })
            .map_err(|_| CombineError::Box)
    }

    /// The secret of one side, from exactly as many shares as are needed.
    fn gather(&self, shares: &[Share], party: Party) -> Option<Zeroizing<Vec<u8>>> {
        let needed = self.boxes.iter().find(|each| each.target.party() == party)?.needed;
        let of_party = shares.iter().filter(|share| share.party == party);
        let octets: Zeroizing<Vec<Vec<u8>>> = Zeroizing::new(
            of_party
                .take(usize::from(needed))
                .map(|share| share.octets.expose().to_vec())
                .collect(),
        );
        if octets.len() < usize::from(needed) {
            return None;
        }
        // One of n: the polynomial is a constant, and every share is the secret itself.
        if needed == 1 {
            return octets.first()?.split_first().map(|(_, y)| Zeroizing::new(y.to_vec()));
        }
        Gf256::combine_bytes(octets.as_slice()).ok().map(Zeroizing::new)
    }

    /// Whose epoch.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// Which month.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Which re-keying of it.
    #[must_use]
    pub fn version(&self) -> EpochVersion {
        self.version
    }

    /// The cell it was made in.
    #[must_use]
    pub fn cell(&self) -> CellId {
        self.cell
    }

    /// The policy it was made under.
    #[must_use]
    pub fn policy(&self) -> Digest {
        self.policy
    }

    /// All that guards see of what they help open.
    #[must_use]
    pub fn guard_tag(&self) -> [u8; 16] {
        self.tag
    }

    /// The sealed shares, trustees' first.
    #[must_use]
    pub fn share_boxes(&self) -> &[ShareBox] {
        &self.boxes
    }

    /// What a manifest says of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        sha256(&[&self.encode()])
    }

    /// The stored octets (specs/bw1.md §6.2).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MARK.to_vec();
        out.extend_from_slice(&place(self.account, self.epoch, self.version));
        out.extend_from_slice(&self.cell.0);
        out.extend_from_slice(&self.policy.0);
        out.extend_from_slice(&self.tag);
        out.extend_from_slice(&self.commitment);
        out.extend_from_slice(&self.wrapped);
        for party in [Party::Trustee, Party::Guard] {
            let of_party = || self.boxes.iter().filter(|each| each.target.party() == party);
            let (needed, total) =
                of_party().next().map_or((0, 0), |each| (each.needed, each.total));
            out.extend_from_slice(&[needed, total]);
            for share in of_party() {
                out.extend_from_slice(&share.holder.0);
                out.extend_from_slice(&share.commitment);
                out.extend_from_slice(&share.sealed);
            }
        }
        out
    }

    /// Reads [`encode`](Self::encode)'s octets.
    ///
    /// # Errors
    /// [`OpenError::Malformed`] unless exactly one escrow within the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, OpenError> {
        let mut reader = Reader::new(bytes);
        reader.mark(MARK)?;
        let account = AccountId(reader.array()?);
        let (epoch, version) = (Epoch(reader.u32()?), EpochVersion(reader.u32()?));
        let cell = CellId(reader.array()?);
        let policy = Digest(reader.array()?);
        let tag = reader.array()?;
        let commitment = reader.array()?;
        let wrapped = reader.array()?;
        let mut boxes = Vec::new();
        for target in [Target::Epoch(account, epoch, version), Target::Tag(tag)] {
            let (needed, total) = (reader.u8()?, reader.u8()?);
            if needed == 0 || needed > total || usize::from(total) > HOLDERS_MAX {
                return Err(OpenError::Malformed);
            }
            for index in 1..=total {
                let holder = HolderId(reader.array()?);
                let commitment = reader.array()?;
                let sealed = reader.array()?;
                boxes.push(ShareBox {
                    target,
                    cell,
                    policy,
                    holder,
                    index,
                    needed,
                    total,
                    commitment,
                    sealed,
                });
            }
        }
        reader.end()?;
        Ok(Self { account, epoch, version, cell, policy, tag, commitment, wrapped, boxes })
    }
}

/// `XK`, from both sides' secrets.
fn joint(place: &[u8; 24], policy: &Digest, a: &[u8], b: &[u8]) -> Secret<32> {
    derive(&extract(&[a, b]), "xk", &[place, &policy.0])
}

fn joint_commitment(key: &Secret<32>, place: &[u8; 24]) -> [u8; 32] {
    *derive::<32>(key, "xk com", &[place]).expose()
}

/// One share for each holder of `side`: x = 1, 2, …, then y.
fn split(
    secret: &Secret<32>,
    side: &Side,
    entropy: &dyn Entropy,
) -> Result<Vec<Secret<SHARE_BYTES>>, SealError> {
    let total = side.holders.len();
    let shares: Zeroizing<Vec<Vec<u8>>> = Zeroizing::new(if side.needed == 1 {
        let y = secret.expose().as_slice();
        (1..=u8::MAX).take(total).map(|x| [&[x], y].concat()).collect()
    } else {
        Gf256::split_bytes(usize::from(side.needed), total, secret.expose(), Draw(entropy))
            .map_err(|_| SealError::Parameter)?
    });
    let whole = |share: &Vec<u8>| -> Result<Secret<SHARE_BYTES>, SealError> {
        let octets: &[u8; SHARE_BYTES] =
            share.as_slice().try_into().map_err(|_| SealError::Cipher)?;
        Ok(Secret::copied(octets))
    };
    shares.iter().map(whole).collect()
}
