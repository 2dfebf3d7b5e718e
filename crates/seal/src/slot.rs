//! Slots: each way to unlock an account is a public key, and the master key sealed to it.
//!
//! Because an unlocker is a public key, a session that may change unlockers can re-wrap a new
//! master key to all of them without knowing their secrets.
//!
//! Invariant: a password is never hashed below the floor, whatever a record says; a secret
//! that fits a slot pins the identity that signs the manifest, so another identity put in its
//! place is noticed before anything is opened.
//! Refs: specs/bw1.md §4; RFC 9106; RFC 8265 §4.2.

use argon2::{Algorithm, Argon2, AssociatedData, ParamsBuilder, Version};
use unicode_normalization::UnicodeNormalization;
use vocab::{AccountId, Digest, SlotId, Timestamp};
use zeroize::Zeroizing;

use crate::code;
use crate::derive::{derive, extract};
use crate::entropy::{Entropy, draw};
use crate::error::{OpenError, SealError};
use crate::hseal::{self, PUBLIC_BYTES, PublicKey, SecretKey};
use crate::mac::{HmacKey, sha256};
use crate::note::{NOTE_BOX_BYTES, Note};
use crate::root::{MasterKey, RootKey};
use crate::secret::{Secret, same};
use crate::sign::VerifyingKey;
use crate::wire::Reader;

/// Longest password, in octets of UTF-8.
pub const PASSWORD_BYTES_MAX: usize = 1024;
const MASTER_BOX_BYTES: usize = 32 + hseal::OVERHEAD;
const PARAMS_BYTES: usize = 26;
/// Octets of what a server keeps of a password registered with OPAQUE.
pub const OPAQUE_RECORD_BYTES: usize = 192;
/// Octets of the salt a passkey is evaluated with.
pub const PASSKEY_SALT_BYTES: usize = 32;

/// What a slot's secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SlotKind {
    /// A password a person chose.
    Password = 1,
    /// A password that only its owner's program sees (OPAQUE, RFC 9807).
    Opaque = 2,
    /// A generated password for one program.
    AppPassword = 3,
    /// A passkey's PRF output (WebAuthn Level 3 §10.1.4).
    Passkey = 4,
    /// The code that recovers the account.
    Recovery = 5,
    /// A key that one device keeps.
    Device = 6,
    /// A token for a short time (RFC 6750).
    Token = 7,
}

impl SlotKind {
    const ALL: [Self; 7] = [
        Self::Password,
        Self::Opaque,
        Self::AppPassword,
        Self::Passkey,
        Self::Recovery,
        Self::Device,
        Self::Token,
    ];

    /// Octets of parameters in its records.
    const fn params_bytes(self) -> usize {
        match self {
            Self::Password => PARAMS_BYTES,
            Self::Opaque => OPAQUE_RECORD_BYTES,
            Self::Passkey => PASSKEY_SALT_BYTES,
            Self::AppPassword | Self::Recovery | Self::Device | Self::Token => 0,
        }
    }
}

/// What a session opened through a slot may do. A set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scope(pub u8);

impl Scope {
    /// Change unlockers, custody, the account itself.
    pub const SUDO: Self = Self(1);
    /// Read and write mail over IMAP.
    pub const IMAP: Self = Self(2);
    /// Read and write mail over JMAP.
    pub const JMAP: Self = Self(4);
    /// Read and write contacts and calendars.
    pub const DAV: Self = Self(8);
    /// Submit mail.
    pub const SUBMIT: Self = Self(16);
    /// Everything.
    pub const ALL: Self = Self(31);

    /// Whether every bit of `other` is here.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Every bit of either.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What hashing a password costs (Argon2id, RFC 9106).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u8,
}

impl PasswordCost {
    /// The least this format allows, and what new passwords get.
    pub const FLOOR: Self = Self { memory_kib: 65_536, passes: 3, lanes: 1 };

    /// Not below the floor, and not so high that a forged record could exhaust the host.
    const fn allowed(self) -> bool {
        self.memory_kib >= Self::FLOOR.memory_kib
            && self.memory_kib <= 1 << 20
            && self.passes >= Self::FLOOR.passes
            && self.passes <= 16
            && self.lanes >= 1
            && self.lanes <= 16
    }
}

/// A secret, as presented.
#[derive(Clone, Copy)]
pub enum Unlocker<'a> {
    /// A password, and the host's pepper if the cell has one.
    Password {
        /// As typed.
        text: &'a str,
        /// A host secret kept outside backups.
        pepper: Option<&'a Secret<32>>,
    },
    /// An app password, as typed.
    AppPassword(&'a str),
    /// A recovery code, as typed.
    Recovery(&'a str),
    /// A token, as its program shows it.
    Token(&'a str),
    /// What OPAQUE gave the owner's program, and the server's record of that password.
    Opaque {
        /// The exported key.
        export: &'a Secret<64>,
        /// The registration.
        record: &'a [u8; OPAQUE_RECORD_BYTES],
    },
    /// What a passkey's PRF gave, and for which salt.
    Passkey {
        /// Its output.
        output: &'a Secret<32>,
        /// Its input.
        salt: &'a [u8; PASSKEY_SALT_BYTES],
    },
    /// A device's own key.
    Device(&'a Secret<32>),
}

impl Unlocker<'_> {
    /// The kind of slot this opens.
    #[must_use]
    pub const fn kind(&self) -> SlotKind {
        match self {
            Self::Password { .. } => SlotKind::Password,
            Self::AppPassword(_) => SlotKind::AppPassword,
            Self::Recovery(_) => SlotKind::Recovery,
            Self::Token(_) => SlotKind::Token,
            Self::Opaque { .. } => SlotKind::Opaque,
            Self::Passkey { .. } => SlotKind::Passkey,
            Self::Device(_) => SlotKind::Device,
        }
    }

    /// The owner's half of an enrolment, which shows nobody the secret: to be sealed to by
    /// whoever has the master key ([`SlotRecord::enrol_public`]).
    ///
    /// # Errors
    /// As [`SlotRecord::enrol`].
    pub fn public(
        &self,
        account: AccountId,
        slot: SlotId,
        identity: &VerifyingKey,
        cost: PasswordCost,
        entropy: &dyn Entropy,
    ) -> Result<SlotPublic, SlotError> {
        let params = match self {
            Self::Password { pepper, .. } => encode_params(cost, pepper.is_some(), entropy),
            Self::Opaque { record, .. } => record.to_vec(),
            Self::Passkey { salt, .. } => salt.to_vec(),
            Self::AppPassword(_) | Self::Recovery(_) | Self::Token(_) | Self::Device(_) => {
                Vec::new()
            }
        };
        let seeds = seeds(account, slot, self, &params)?;
        let key = SecretKey::from_seed(seeds.key).map_err(|_| SlotError::Box)?.public();
        let pin = pin(&seeds.pin, account, slot, identity);
        Ok(SlotPublic { kind: self.kind(), slot, key, pin, params })
    }

    /// What [`knock`] sealed to this unlocker, which shows that its secret is here.
    ///
    /// # Errors
    /// [`SlotError::Wrong`] if it was sealed to another; and for a password, which first has to
    /// be stretched as its slot says.
    pub fn answer(
        &self,
        account: AccountId,
        slot: SlotId,
        sealed: &[u8],
    ) -> Result<[u8; 32], SlotError> {
        let params: &[u8] = match self {
            Self::Password { .. } => return Err(SlotError::Wrong),
            Self::Opaque { record, .. } => record.as_slice(),
            Self::Passkey { salt, .. } => salt.as_slice(),
            Self::AppPassword(_) | Self::Recovery(_) | Self::Token(_) | Self::Device(_) => &[],
        };
        let seed = seeds(account, slot, self, params)?.key;
        let key = SecretKey::from_seed(seed).map_err(|_| SlotError::Wrong)?;
        let opened = hseal::open(&key, "knock", &[&account.0, &slot.0], sealed);
        let opened = opened.map_err(|_| SlotError::Wrong)?;
        opened.as_slice().try_into().map_err(|_| SlotError::Wrong)
    }
}

/// Seals `question` so that only who has the slot's secret can say what it is
/// ([`Unlocker::answer`]). `to` is [`SlotRecord::key`]; any other key looks the same.
///
/// # Errors
/// As [`hseal::seal`].
pub fn knock(
    to: &PublicKey,
    account: AccountId,
    slot: SlotId,
    question: &[u8; 32],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, SealError> {
    hseal::seal(to, "knock", &[&account.0, &slot.0], question, entropy)
}

/// What is public of an unlocker: whom to seal to, and whom it pins.
pub struct SlotPublic {
    kind: SlotKind,
    slot: SlotId,
    key: PublicKey,
    pin: [u8; 32],
    params: Vec<u8>,
}

impl SlotPublic {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> SlotKind {
        self.kind
    }

    /// Which.
    #[must_use]
    pub fn slot(&self) -> SlotId {
        self.slot
    }
}

/// Why a secret does not fit a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// Not this slot's secret.
    #[error("not this slot's secret")]
    Wrong,
    /// The secret is not well formed: empty, too long, a control character, or a code with a slip.
    #[error("the secret is not well formed")]
    Form,
    /// The record asks for a cost outside the allowed range.
    #[error("the record asks for a cost outside the allowed range")]
    Cost,
    /// There is no memory to hash a password with.
    #[error("no memory to hash a password with")]
    Memory,
    /// The secret fits the slot, but the identity it pinned is another one.
    #[error("the slot pins another identity")]
    Pin,
    /// The slot does not open although the secret fits.
    #[error("the slot does not open although the secret fits")]
    Box,
}

/// What to enrol.
pub struct Enrolment<'a> {
    /// The new slot.
    pub slot: SlotId,
    /// What its sessions may do.
    pub scope: Scope,
    /// Now.
    pub created: Timestamp,
    /// When it stops opening; `None` for never.
    pub expires: Option<Timestamp>,
    /// What its owner says of it.
    pub note: &'a Note,
    /// The cost of a password; ignored for codes.
    pub cost: PasswordCost,
    /// The account's identity, which the slot pins.
    pub identity: VerifyingKey,
    /// The master key the slot opens.
    pub master: &'a MasterKey,
}

/// The stored form of a slot.
#[derive(Clone, PartialEq, Eq)]
pub struct SlotRecord {
    kind: SlotKind,
    scope: Scope,
    slot: SlotId,
    created: Timestamp,
    expires: u64,
    key: PublicKey,
    pin: [u8; 32],
    master_box: [u8; MASTER_BOX_BYTES],
    note_box: [u8; NOTE_BOX_BYTES],
    params: Vec<u8>,
}

/// A slot whose secret was shown.
pub struct SlotKey {
    key: SecretKey,
}

struct Seeds {
    key: Secret<32>,
    pin: HmacKey,
}

impl SlotRecord {
    /// A new slot for `with`.
    ///
    /// # Errors
    /// [`SlotError::Form`] if the secret or the scope is not well formed, [`SlotError::Cost`] below the
    /// floor, [`SlotError::Memory`] if there is none, [`SlotError::Box`] if HPKE refuses.
    pub fn enrol(
        with: &Unlocker<'_>,
        enrolment: &Enrolment<'_>,
        entropy: &dyn Entropy,
    ) -> Result<Self, SlotError> {
        let Enrolment { slot, cost, identity, master, .. } = enrolment;
        let public = with.public(master.account(), *slot, identity, *cost, entropy)?;
        Self::enrol_public(public, enrolment, entropy)
    }

    /// A new slot for an unlocker of which only the public half is here. Its identifier is the
    /// one the public half was made for; cost and identity are in that half already.
    ///
    /// # Errors
    /// [`SlotError::Form`] for a scope that is none, [`SlotError::Box`] if HPKE refuses.
    pub fn enrol_public(
        public: SlotPublic,
        enrolment: &Enrolment<'_>,
        entropy: &dyn Entropy,
    ) -> Result<Self, SlotError> {
        let Enrolment { scope, created, expires, note, master, .. } = enrolment;
        if !Scope::ALL.contains(*scope) {
            return Err(SlotError::Form);
        }
        let SlotPublic { kind, slot, key, pin, params } = public;
        let record = Self {
            kind,
            scope: *scope,
            slot,
            created: *created,
            // 0 would mean never.
            expires: expires.map_or(0, |at| at.0.max(1)),
            key,
            pin,
            master_box: [0; MASTER_BOX_BYTES],
            note_box: [0; NOTE_BOX_BYTES],
            params,
        };
        record.rewrap(note, master, entropy).map_err(|_| SlotError::Box)
    }

    /// The same slot, opening another master key. Needs no secret; the caller answers for
    /// having checked this record against its manifest, and `note` is what it said.
    ///
    /// # Errors
    /// [`SealError::Cipher`] if HPKE refuses.
    pub fn rewrap(
        &self,
        note: &Note,
        master: &MasterKey,
        entropy: &dyn Entropy,
    ) -> Result<Self, SealError> {
        let context = self.box_context(master.account(), master.generation());
        let sealed = hseal::seal(&self.key, "mrk", &[&context], master.secret().expose(), entropy)?;
        let master_box = sealed.try_into().map_err(|_| SealError::Cipher)?;
        let note_box = note.seal(&master.root(), master.account(), self.slot, entropy)?;
        Ok(Self { master_box, note_box, ..self.clone() })
    }

    /// The same slot with another note.
    ///
    /// # Errors
    /// [`SealError::Cipher`] if the cipher refuses.
    pub fn noted(
        &self,
        note: &Note,
        master: &MasterKey,
        entropy: &dyn Entropy,
    ) -> Result<Self, SealError> {
        let note_box = note.seal(&master.root(), master.account(), self.slot, entropy)?;
        Ok(Self { note_box, ..self.clone() })
    }

    /// What its owner says of it. Trust it only once the manifest lists
    /// [`digest`](Self::digest).
    ///
    /// # Errors
    /// [`OpenError`] if it was altered or belongs to another generation.
    pub fn note(&self, account: AccountId, root: &RootKey) -> Result<Note, OpenError> {
        Note::open(root, account, self.slot, &self.note_box)
    }

    /// A cheap first look, to find among many slots the one to try: false if `with` is of
    /// another kind, or a code whose pin differs. Always true for a password of a password
    /// slot, which cannot be told without hashing it.
    #[must_use]
    pub fn may_fit(
        &self,
        account: AccountId,
        with: &Unlocker<'_>,
        identity: &VerifyingKey,
    ) -> bool {
        match (self.kind, with.kind()) {
            (SlotKind::Password, SlotKind::Password) => true,
            (own, other) if own != other => false,
            _ => seeds(account, self.slot, with, &self.params)
                .is_ok_and(|seeds| same(&pin(&seeds.pin, account, self.slot, identity), &self.pin)),
        }
    }

    /// Whether `with` is this slot's secret, and `identity` the one it pinned. Costs one
    /// ML-KEM key generation, and for a password one Argon2id before it.
    ///
    /// # Errors
    /// [`SlotError::Wrong`] if it is another secret, [`SlotError::Pin`] if the secret fits but
    /// the identity is another, and as [`Self::enrol`].
    pub fn fits(
        &self,
        account: AccountId,
        with: &Unlocker<'_>,
        identity: &VerifyingKey,
    ) -> Result<SlotKey, SlotError> {
        if with.kind() != self.kind {
            return Err(SlotError::Wrong);
        }
        let seeds = seeds(account, self.slot, with, &self.params)?;
        let pinned = same(&pin(&seeds.pin, account, self.slot, identity), &self.pin);
        let key = SecretKey::from_seed(seeds.key).map_err(|_| SlotError::Wrong)?;
        match (key.public() == self.key, pinned) {
            (true, true) => Ok(SlotKey { key }),
            (true, false) => Err(SlotError::Pin),
            (false, true) => Err(SlotError::Box),
            (false, false) => Err(SlotError::Wrong),
        }
    }

    /// Opens the master key with a key that [`fits`](Self::fits).
    ///
    /// # Errors
    /// [`SlotError::Box`] if the record was altered or belongs to another generation.
    pub fn open(
        &self,
        account: AccountId,
        generation: u32,
        key: &SlotKey,
    ) -> Result<MasterKey, SlotError> {
        let context = self.box_context(account, generation);
        let octets = hseal::open(&key.key, "mrk", &[&context], &self.master_box)
            .map_err(|_| SlotError::Box)?;
        MasterKey::from_octets(account, generation, &octets).map_err(|_| SlotError::Box)
    }
}

impl SlotRecord {
    /// Which slot.
    #[must_use]
    pub fn slot(&self) -> SlotId {
        self.slot
    }

    /// What its secret is.
    #[must_use]
    pub fn kind(&self) -> SlotKind {
        self.kind
    }

    /// What is sealed to it.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// What the server keeps of the password, if this is one of OPAQUE.
    #[must_use]
    pub fn opaque_record(&self) -> Option<&[u8; OPAQUE_RECORD_BYTES]> {
        if self.kind == SlotKind::Opaque { self.params.as_slice().try_into().ok() } else { None }
    }

    /// What its passkey is evaluated with, if it is one.
    #[must_use]
    pub fn passkey_salt(&self) -> Option<&[u8; PASSKEY_SALT_BYTES]> {
        if self.kind == SlotKind::Passkey { self.params.as_slice().try_into().ok() } else { None }
    }

    /// What its sessions may do. Trust it only once the manifest lists [`digest`](Self::digest).
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// When it was made.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// When it stops opening; `None` for never.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        (self.expires != 0).then_some(Timestamp(self.expires))
    }

    /// What a manifest says of this record.
    #[must_use]
    pub fn digest(&self) -> Digest {
        sha256(&[&self.encode()])
    }

    /// The octets before the key: everything about the slot but its keys.
    fn head(&self) -> [u8; 36] {
        let mut out = [0; 36];
        let source = 1u16.to_be_bytes().into_iter().chain([self.kind as u8, self.scope.0]);
        let source = source.chain(self.slot.0).chain(self.created.0.to_be_bytes());
        let source = source.chain(self.expires.to_be_bytes());
        out.iter_mut().zip(source).for_each(|(to, from)| *to = from);
        out
    }

    /// What the box is bound to: account ‖ slot ‖ generation ‖ H(head ‖ params).
    fn box_context(&self, account: AccountId, generation: u32) -> Vec<u8> {
        let bound = sha256(&[&self.head(), &self.params]);
        [account.0.as_slice(), &self.slot.0, &generation.to_be_bytes(), &bound.0].concat()
    }

    /// The stored octets (specs/bw1.md §4.1).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let params = u16::try_from(self.params.len()).unwrap_or_default().to_be_bytes();
        let key = self.key.as_bytes().as_slice();
        let Self { pin, master_box, note_box, .. } = self;
        [&self.head(), key, pin, master_box, note_box, &params, &self.params].concat()
    }

    /// Reads [`encode`](Self::encode)'s octets.
    ///
    /// # Errors
    /// [`OpenError::Malformed`] unless exactly one record of version 1 and a known kind.
    pub fn decode(bytes: &[u8]) -> Result<Self, OpenError> {
        let mut reader = Reader::new(bytes);
        reader.mark(&1u16.to_be_bytes())?;
        let number = reader.u8()?;
        let kind = SlotKind::ALL.into_iter().find(|kind| *kind as u8 == number);
        let kind = kind.ok_or(OpenError::Malformed)?;
        let scope = Scope(reader.u8()?);
        let slot = SlotId(reader.array()?);
        let created = Timestamp(reader.u64()?);
        let expires = reader.u64()?;
        let key = PublicKey::decode(reader.bytes(PUBLIC_BYTES)?)?;
        let pin = reader.array()?;
        let (master_box, note_box) = (reader.array()?, reader.array()?);
        let length = usize::from(reader.u16()?);
        let params = reader.bytes(length)?.to_vec();
        reader.end()?;
        if params.len() != kind.params_bytes() || !Scope::ALL.contains(scope) {
            return Err(OpenError::Malformed);
        }
        Ok(Self { kind, scope, slot, created, expires, key, pin, master_box, note_box, params })
    }
}

fn pin(key: &HmacKey, account: AccountId, slot: SlotId, identity: &VerifyingKey) -> [u8; 32] {
    key.mac(&[b"bailiwick.v1 pin\0", &account.0, &slot.0, &identity.0])
}

/// memory_kib u32 ‖ passes u32 ‖ lanes u8 ‖ `salt[16]` ‖ peppered u8.
fn encode_params(cost: PasswordCost, peppered: bool, entropy: &dyn Entropy) -> Vec<u8> {
    let salt: [u8; 16] = draw(entropy);
    let numbers = [cost.memory_kib.to_be_bytes(), cost.passes.to_be_bytes()];
    [numbers.as_flattened(), &[cost.lanes], &salt, &[u8::from(peppered)]].concat()
}

fn seeds(
    account: AccountId,
    slot: SlotId,
    with: &Unlocker<'_>,
    params: &[u8],
) -> Result<Seeds, SlotError> {
    let place: [&[u8]; 2] = [&account.0, &slot.0];
    let code = |kind, text, label| -> Result<Secret<32>, SlotError> {
        let symbols = code::parse(kind, text).ok_or(SlotError::Form)?;
        Ok(derive(&extract(&[&symbols]), label, &place))
    };
    let seed = match with {
        Unlocker::Password { text, pepper } => stretch(account, slot, text, *pepper, params)?,
        Unlocker::AppPassword(text) => code(SlotKind::AppPassword, text, "app password")?,
        Unlocker::Recovery(text) => code(SlotKind::Recovery, text, "recovery")?,
        Unlocker::Token(text) => code(SlotKind::Token, text, "token")?,
        // What belongs to another record or salt is another secret.
        Unlocker::Opaque { record, .. } if record.as_slice() != params => {
            return Err(SlotError::Wrong);
        }
        Unlocker::Passkey { salt, .. } if salt.as_slice() != params => {
            return Err(SlotError::Wrong);
        }
        Unlocker::Opaque { export, .. } => derive(&extract(&[export.expose()]), "opaque", &place),
        Unlocker::Passkey { output, .. } => derive(&extract(&[output.expose()]), "prf", &place),
        Unlocker::Device(key) => derive(key, "device", &place),
    };
    let (key, pin) = derive::<64>(&seed, "slot", &place).halves();
    Ok(Seeds { key, pin: HmacKey::new(pin.expose()) })
}

/// Argon2id over the prepared password (specs/bw1.md §4.2).
fn stretch(
    account: AccountId,
    slot: SlotId,
    text: &str,
    pepper: Option<&Secret<32>>,
    params: &[u8],
) -> Result<Secret<32>, SlotError> {
    let mut reader = Reader::new(params);
    let mut read = || -> Result<(PasswordCost, [u8; 16], u8), OpenError> {
        let cost =
            PasswordCost { memory_kib: reader.u32()?, passes: reader.u32()?, lanes: reader.u8()? };
        Ok((cost, reader.array()?, reader.u8()?))
    };
    let (cost, salt, peppered) = read().map_err(|_| SlotError::Cost)?;
    if !cost.allowed() {
        return Err(SlotError::Cost);
    }
    let pepper = match (peppered, pepper) {
        (0, _) => None,
        (1, Some(pepper)) => Some(pepper),
        _ => return Err(SlotError::Wrong),
    };
    let prepared = prepare(text)?;
    let bound = sha256(&[b"bailiwick.v1 pw\0", &account.0, &slot.0]);
    let argon = argon(cost, &bound, pepper).map_err(|_| SlotError::Cost)?;
    let mut out = Err(SlotError::Memory);
    let seed = Secret::filled(|seed| {
        out = match argon.hash_password_into(prepared.as_bytes(), &salt, seed) {
            Ok(()) => Ok(()),
            Err(_) => Err(SlotError::Memory),
        };
    });
    out.map(|()| seed)
}

fn argon<'a>(
    cost: PasswordCost,
    bound: &Digest,
    pepper: Option<&'a Secret<32>>,
) -> argon2::Result<Argon2<'a>> {
    let params = ParamsBuilder::new()
        .m_cost(cost.memory_kib)
        .t_cost(cost.passes)
        .p_cost(u32::from(cost.lanes))
        .data(AssociatedData::new(&bound.0)?)
        .output_len(32)
        .build()?;
    match pepper {
        Some(pepper) => {
            Argon2::new_with_secret(pepper.expose(), Algorithm::Argon2id, Version::V0x13, params)
        }
        None => Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params)),
    }
}

/// RFC 8265 §4.2 (OpaqueString): other spaces become U+0020, then NFC; no control character,
/// not empty. Whether a code point is assigned is not checked, so that a new emoji does.
pub(crate) fn prepare(text: &str) -> Result<Zeroizing<String>, SlotError> {
    if text.is_empty() || text.len() > PASSWORD_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(SlotError::Form);
    }
    let spaces = |char: char| match char {
        // General category Zs.
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            ' '
        }
        other => other,
    };
    // NFC grows UTF-8 at most threefold (UAX #15), so that no copy is left by growing.
    let mut prepared = Zeroizing::new(String::with_capacity(text.len() * 3));
    prepared.extend(text.chars().map(spaces).nfc());
    Ok(prepared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_prepared_as_rfc_8265_asks() {
        let same = |a: &str, b: &str| assert_eq!(prepare(a).unwrap(), prepare(b).unwrap());
        // RFC 8265 §4.3, table 4.
        same("correct horse battery staple", "correct\u{a0}horse\u{2003}battery\u{3000}staple");
        same("A\u{30a}ngstro\u{308}m", "\u{c5}ngstr\u{f6}m");
        same("foo\u{1680}bar", "foo bar");
        assert_ne!(prepare("Correct Horse").unwrap(), prepare("correct horse").unwrap());
        assert_eq!(prepare("").err(), Some(SlotError::Form));
        assert_eq!(prepare("my cat is a \tby").err(), Some(SlotError::Form));
        assert_eq!(prepare(&"a".repeat(1025)).err(), Some(SlotError::Form));
        assert!(prepare(&"\u{1d160}".repeat(256)).is_ok());
    }
}
