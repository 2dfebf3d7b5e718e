//! Epochs: one set of arrival and row keys per calendar month, and epoch 0 for standing data.
//!
//! Invariant: arrival needs only what is public here; the private half leaves its box only
//! under the account's root key or through the account's escrow, and is compared with its
//! public half when it does.
//! Refs: specs/bw1.md §3.

use vocab::{AccountId, Digest, Epoch, EpochVersion, Timestamp};

use crate::cwrap;
use crate::derive::derive;
use crate::entropy::Entropy;
use crate::error::{OpenError, SealError};
use crate::hseal::{PUBLIC_BYTES, PublicKey, SecretKey};
use crate::mac::sha256;
use crate::root::RootKey;
use crate::secret::{Secret, same};
use crate::wire::Reader;
use crate::xwing::OpeningKey;

/// The epoch of standing data: mailboxes, settings, counters.
pub const STANDING: Epoch = Epoch(0);
/// Octets of an encoded [`EpochRecord`].
pub const RECORD_BYTES: usize = 34 + PUBLIC_BYTES + COMMITMENT_BYTES + BOX_BYTES;
const COMMITMENT_BYTES: usize = 32;
const BOX_BYTES: usize = 64 + cwrap::OVERHEAD;
const DAY_SECONDS: u64 = 86_400;
/// 2000-01-01 in days since 1970-01-01.
const DAY_2000: u64 = 10_957;
const DAYS_400_YEARS: u64 = 146_097;

/// The month `at` lies in (UTC). Before 2000 it is the first month of 2000.
#[must_use]
pub fn epoch_of(at: Timestamp) -> Epoch {
    let days = (at.0 / DAY_SECONDS).saturating_sub(DAY_2000);
    // Every 400 years have the same length, so whole cycles are counted off first.
    let (cycles, days) = (days / DAYS_400_YEARS, days % DAYS_400_YEARS);
    let mut month = days / 31;
    while month_start(month + 1) <= days {
        month += 1;
    }
    Epoch(u32::try_from(cycles * 4800 + month + 1).unwrap_or(u32::MAX))
}

/// The first second of an epoch. Standing data has none and begins with time.
#[must_use]
pub fn begins(epoch: Epoch) -> Timestamp {
    let Some(months) = u64::from(epoch.0).checked_sub(1) else { return Timestamp(0) };
    let days = months / 4800 * DAYS_400_YEARS + month_start(months % 4800);
    Timestamp((DAY_2000 + days) * DAY_SECONDS)
}

/// The first second after an epoch. Standing data never ends.
#[must_use]
pub fn ends(epoch: Epoch) -> Timestamp {
    match epoch {
        STANDING => Timestamp(u64::MAX),
        Epoch(month) => begins(Epoch(month.saturating_add(1))),
    }
}

/// Days from 2000-01-01 to the first day of the month that many months later, below 400 years.
fn month_start(months: u64) -> u64 {
    let (years, month) = (months / 12, months % 12);
    // 2000 was a leap year: of the first n years, those divisible by 4 but not by 100, or by 400.
    let leaps = years.div_ceil(4) - years.div_ceil(100) + years.div_ceil(400);
    let leap = years % 4 == 0 && (years % 100 != 0 || years % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let into_year: u64 = lengths.iter().zip(0..month).map(|(days, _)| days).sum();
    years * 365 + leaps + into_year
}

/// `E` of specs/bw1.md §1.2: account ‖ epoch ‖ version.
pub(crate) fn place(account: AccountId, epoch: Epoch, version: EpochVersion) -> [u8; 24] {
    let mut out = [0; 24];
    let source = account.0.into_iter().chain(epoch.0.to_be_bytes()).chain(version.0.to_be_bytes());
    out.iter_mut().zip(source).for_each(|(to, from)| *to = from);
    out
}

/// The private keys of one epoch of one account.
pub struct EpochKeys {
    account: AccountId,
    epoch: Epoch,
    version: EpochVersion,
    arrival: SecretKey,
    rows: Secret<32>,
}

impl EpochKeys {
    fn new(
        account: AccountId,
        epoch: Epoch,
        version: EpochVersion,
        arrival: SecretKey,
        rows: Secret<32>,
    ) -> Self {
        Self { account, epoch, version, arrival, rows }
    }

    /// New keys.
    ///
    /// # Errors
    /// Only if the `hpke` crate refuses, which it does not.
    pub fn generate(
        account: AccountId,
        epoch: Epoch,
        version: EpochVersion,
        entropy: &dyn Entropy,
    ) -> Result<Self, SealError> {
        let arrival = SecretKey::generate(entropy)?;
        Ok(Self::new(account, epoch, version, arrival, Secret::random(entropy)))
    }

    /// The keys for the next version of the same epoch: fresh row keys; and a fresh arrival
    /// key if letters still arrive in it, so that who was shown the old one reads none of them.
    /// Keep the old keys until every letter sealed to them is folded.
    ///
    /// # Errors
    /// [`SealError::Parameter`] if there is no next version.
    pub fn rekeyed(&self, still_receiving: bool, entropy: &dyn Entropy) -> Result<Self, SealError> {
        let version = self.version.0.checked_add(1).ok_or(SealError::Parameter)?;
        let seed = if still_receiving {
            Secret::random(entropy)
        } else {
            Secret::copied(self.arrival.seed().expose())
        };
        let arrival = SecretKey::from_seed(seed).map_err(|_| SealError::Cipher)?;
        let Self { account, epoch, .. } = *self;
        let rows = Secret::random(entropy);
        Ok(Self::new(account, epoch, EpochVersion(version), arrival, rows))
    }

    /// Whose keys they are.
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

    /// What arrival needs. `not_before` is when it may first be used.
    #[must_use]
    pub fn public(&self, not_before: Timestamp) -> EpochPublic {
        EpochPublic {
            account: self.account,
            epoch: self.epoch,
            version: self.version,
            not_before,
            key: self.arrival.public(),
        }
    }

    /// `E`.
    pub(crate) fn place(&self) -> [u8; 24] {
        place(self.account, self.epoch, self.version)
    }

    /// What letters are opened with. Costs an ML-KEM key generation, and lies in ordinary memory:
    /// kept for one batch of letters.
    pub(crate) fn opening(&self) -> Result<OpeningKey, OpenError> {
        OpeningKey::expand(self.arrival.seed())
    }

    /// `EK`.
    pub(crate) fn rows(&self) -> &Secret<32> {
        &self.rows
    }

    /// `sk ‖ EK`, for the two places that may hold it.
    pub(crate) fn octets(&self) -> Secret<64> {
        Secret::filled(|out| {
            let source = self.arrival.seed().expose().iter().chain(self.rows.expose());
            out.iter_mut().zip(source).for_each(|(to, from)| *to = *from);
        })
    }

    /// The keys whose [`octets`](Self::octets) are `octets`.
    pub(crate) fn from_octets(
        account: AccountId,
        epoch: Epoch,
        version: EpochVersion,
        octets: &[u8],
    ) -> Result<Self, OpenError> {
        let octets: &[u8; 64] = octets.try_into().map_err(|_| OpenError::Malformed)?;
        let (seed, rows) = Secret::copied(octets).halves();
        Ok(Self::new(account, epoch, version, SecretKey::from_seed(seed)?, rows))
    }
}

/// What is public about an epoch: enough for a letter to arrive.
#[derive(Clone, PartialEq, Eq)]
pub struct EpochPublic {
    /// Whose.
    pub account: AccountId,
    /// Which month.
    pub epoch: Epoch,
    /// Which re-keying of it.
    pub version: EpochVersion,
    /// When it may first be used for arrivals.
    pub not_before: Timestamp,
    /// The key letters are sealed to.
    pub key: PublicKey,
}

/// The epoch to use for what arrives `now`: the latest month that has begun, in its highest
/// version; if none has begun, the first. The last one has no end. Standing data never
/// receives. `None` only if there is no month at all.
#[must_use]
pub fn arrival_epoch(epochs: &[EpochPublic], now: Timestamp) -> Option<&EpochPublic> {
    let months = || epochs.iter().filter(|public| public.epoch != STANDING);
    months()
        .filter(|public| public.not_before <= now)
        .max_by_key(|public| (public.epoch, public.version))
        .or_else(|| {
            months().min_by_key(|public| (public.epoch, core::cmp::Reverse(public.version)))
        })
}

/// `X(EK, "epoch com", E, 32)`.
fn commitment(keys: &EpochKeys) -> [u8; COMMITMENT_BYTES] {
    *derive::<COMMITMENT_BYTES>(keys.rows(), "epoch com", &[&keys.place()]).expose()
}

/// The stored form of an epoch: its public half, and its private half under the root key.
#[derive(Clone, PartialEq, Eq)]
pub struct EpochRecord {
    public: EpochPublic,
    /// Of the row keys: whoever is handed them by another than the box can tell that they are these.
    commitment: [u8; COMMITMENT_BYTES],
    wrapped: [u8; BOX_BYTES],
}

impl EpochRecord {
    /// Seals `keys` under the account's root key.
    ///
    /// # Errors
    /// As [`cwrap::wrap`].
    pub fn seal(
        root: &RootKey,
        keys: &EpochKeys,
        not_before: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Self, SealError> {
        let public = keys.public(not_before);
        let bound = sha256(&[public.key.as_bytes()]);
        let (octets, commitment) = (keys.octets(), commitment(keys));
        let wrapped = cwrap::wrap(
            root.secret(),
            "epoch",
            &[&keys.place(), &bound.0],
            octets.expose(),
            entropy,
        )?;
        let wrapped = wrapped.try_into().map_err(|_| SealError::Cipher)?;
        Ok(Self { public, commitment, wrapped })
    }

    /// Opens the private half, and checks that it belongs to the public one.
    ///
    /// # Errors
    /// [`OpenError::Tampered`] under another root key, or if the two halves do not belong
    /// together.
    pub fn open(&self, root: &RootKey) -> Result<EpochKeys, OpenError> {
        self.keys(&self.unwrap(root)?)
    }

    /// What the box holds, `sk ‖ EK`, to be opened with [`keys`](Self::keys) when it is needed.
    ///
    /// # Errors
    /// [`OpenError::Tampered`] under another root key.
    pub fn unwrap(&self, root: &RootKey) -> Result<Secret<64>, OpenError> {
        let EpochPublic { account, epoch, version, .. } = self.public;
        let bound = sha256(&[self.public.key.as_bytes()]);
        let place = place(account, epoch, version);
        let octets = cwrap::unwrap(root.secret(), "epoch", &[&place, &bound.0], &self.wrapped)?;
        octets.as_slice().try_into().map(Secret::copied).map_err(|_| OpenError::Malformed)
    }

    /// The keys that `sk ‖ EK` are, wherever they come from. Costs an ML-KEM key generation.
    ///
    /// # Errors
    /// [`OpenError::Tampered`] unless both are this epoch's.
    pub fn keys(&self, octets: &Secret<64>) -> Result<EpochKeys, OpenError> {
        let EpochPublic { account, epoch, version, .. } = self.public;
        let keys = EpochKeys::from_octets(account, epoch, version, octets.expose())?;
        let is_its =
            keys.arrival.public() == self.public.key && same(&commitment(&keys), &self.commitment);
        if is_its { Ok(keys) } else { Err(OpenError::Tampered) }
    }

    /// What arrival needs.
    #[must_use]
    pub fn public(&self) -> &EpochPublic {
        &self.public
    }

    /// What a manifest says of the public half.
    #[must_use]
    pub fn public_digest(&self) -> Digest {
        sha256(&[self.public.key.as_bytes()])
    }

    /// What a manifest says of the commitment and the box.
    #[must_use]
    pub fn box_digest(&self) -> Digest {
        sha256(&[&self.commitment, &self.wrapped])
    }

    /// The stored octets, [`RECORD_BYTES`] of them (specs/bw1.md §3.3).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let EpochPublic { account, epoch, version, not_before, key } = &self.public;
        [
            1u16.to_be_bytes().as_slice(),
            &place(*account, *epoch, *version),
            &not_before.0.to_be_bytes(),
            key.as_bytes(),
            &self.commitment,
            &self.wrapped,
        ]
        .concat()
    }

    /// Reads [`encode`](Self::encode)'s octets.
    ///
    /// # Errors
    /// [`OpenError::Malformed`] unless exactly one record of version 1 with a valid key.
    pub fn decode(bytes: &[u8]) -> Result<Self, OpenError> {
        let mut reader = Reader::new(bytes);
        reader.mark(&1u16.to_be_bytes())?;
        let account = AccountId(reader.array()?);
        let epoch = Epoch(reader.u32()?);
        let version = EpochVersion(reader.u32()?);
        let not_before = Timestamp(reader.u64()?);
        let key = PublicKey::decode(reader.bytes(PUBLIC_BYTES)?)?;
        let (commitment, wrapped) = (reader.array()?, reader.array()?);
        reader.end()?;
        let public = EpochPublic { account, epoch, version, not_before, key };
        Ok(Self { public, commitment, wrapped })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_a_calendar_month_in_utc() {
        // `date -u -d @…`
        for (at, epoch) in [
            (0, 1),
            (946_684_799, 1),
            (946_684_800, 1),
            (951_782_399, 2),      // 2000-02-28T23:59:59
            (951_782_400, 2),      // 2000-02-29
            (951_868_800, 3),      // 2000-03-01
            (1_795_737_600, 323),  // 2026-11-27
            (1_798_761_599, 324),  // 2026-12-31T23:59:59
            (1_798_761_600, 325),  // 2027-01-01
            (4_107_542_400, 1203), // 2100-03-01
            (4_107_542_399, 1202), // 2100-02-28T23:59:59
        ] {
            assert_eq!(epoch_of(Timestamp(at)), Epoch(epoch), "{at}");
        }
    }

    #[test]
    fn months_follow_each_other_without_a_gap() {
        for month in 1..10_000 {
            let epoch = Epoch(month);
            let (first, after) = (begins(epoch), ends(epoch));
            assert_eq!(epoch_of(first), epoch);
            assert_eq!(epoch_of(Timestamp(after.0 - 1)), epoch);
            assert_eq!(epoch_of(after), Epoch(month + 1));
        }
        assert_eq!((begins(STANDING), ends(STANDING)), (Timestamp(0), Timestamp(u64::MAX)));
    }
}
