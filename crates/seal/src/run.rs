//! Runs: one capsule for the letters that arrive for an account in quick succession.
//!
//! Each letter has a secret of its own; from it come its keys and the next letter's secret, but
//! not the one before. Opening a month's thousand arrivals then costs a few decapsulations.
//!
//! Invariant: each secret serves one letter, and a sealer that has gone on cannot go back.
//! Refs: specs/bw1.md §7.1.

use std::sync::Arc;

use vocab::{AccountId, Epoch, EpochVersion};

use crate::derive::{PREFIX, derive, labelled};
use crate::entropy::Entropy;
use crate::epoch::{EpochKeys, EpochPublic};
use crate::error::{OpenError, SealError};
use crate::hseal::{self, CAPSULE_BYTES};
use crate::secret::Secret;
use crate::xwing::OpeningKey;

/// Most letters of one run.
pub const STEPS_MAX: u32 = 256;
const EXPORT: &[u8] = b"run";

fn info(account: AccountId, epoch: Epoch, version: EpochVersion) -> Vec<u8> {
    labelled("run", &[&account.0, &epoch.0.to_be_bytes(), &version.0.to_be_bytes()])
}

fn export_context() -> Vec<u8> {
    [PREFIX, EXPORT].concat()
}

/// `s_(n+1)` of `s_n`.
fn next(secret: &Secret<32>) -> Secret<32> {
    derive(secret, "run next", &[])
}

/// A run that letters are being sealed in. Whoever reads it can open what it seals from now on.
pub struct Run {
    account: AccountId,
    epoch: Epoch,
    version: EpochVersion,
    capsule: Arc<[u8; CAPSULE_BYTES]>,
    number: u32,
    secret: Secret<32>,
}

impl Run {
    /// Begins a run to `to`.
    ///
    /// # Errors
    /// [`SealError::Cipher`] if HPKE refuses, which it does not.
    pub fn begin(to: &EpochPublic, entropy: &dyn Entropy) -> Result<Self, SealError> {
        let EpochPublic { account, epoch, version, .. } = *to;
        let (context, capsule) = hseal::sender(&to.key, &info(account, epoch, version), entropy)?;
        let mut exported = Err(SealError::Cipher);
        let secret = Secret::filled(|out| {
            exported = context.export(&export_context(), out).map_err(|_| SealError::Cipher);
        });
        exported?;
        Ok(Self { account, epoch, version, capsule: Arc::new(capsule), number: 0, secret })
    }

    /// The next letter's place; `None` after [`STEPS_MAX`].
    #[must_use]
    pub fn step(&mut self) -> Option<Step> {
        let number = self.number;
        if number >= STEPS_MAX {
            return None;
        }
        self.number += 1;
        let after = next(&self.secret);
        let secret = core::mem::replace(&mut self.secret, after);
        let Self { account, epoch, version, .. } = *self;
        Some(Step { account, epoch, version, capsule: Arc::clone(&self.capsule), number, secret })
    }
}

/// One letter's place in a run.
pub struct Step {
    pub(crate) account: AccountId,
    pub(crate) epoch: Epoch,
    pub(crate) version: EpochVersion,
    pub(crate) capsule: Arc<[u8; CAPSULE_BYTES]>,
    pub(crate) number: u32,
    pub(crate) secret: Secret<32>,
}

/// The secrets of one run, as far as they were asked for.
pub(crate) struct OpenedRun {
    version: EpochVersion,
    capsule: [u8; CAPSULE_BYTES],
    secrets: Vec<Secret<32>>,
}

impl OpenedRun {
    /// Decapsulates.
    pub(crate) fn open(
        keys: &EpochKeys,
        opening: &OpeningKey,
        version: EpochVersion,
        capsule: [u8; CAPSULE_BYTES],
    ) -> Result<Self, OpenError> {
        let info = info(keys.account(), keys.epoch(), version);
        let first = opening.export(&info, &capsule, &export_context())?;
        Ok(Self { version, capsule, secrets: vec![first] })
    }

    /// Whether it is the run of this capsule.
    pub(crate) fn is_of(&self, capsule: &[u8; CAPSULE_BYTES], version: EpochVersion) -> bool {
        self.version == version && self.capsule == *capsule
    }

    /// The secret of a step.
    pub(crate) fn secret(&mut self, step: u32) -> Result<&Secret<32>, OpenError> {
        if step >= STEPS_MAX {
            return Err(OpenError::Malformed);
        }
        let wanted = usize::try_from(step).map_err(|_| OpenError::Malformed)?;
        while self.secrets.len() <= wanted {
            let last = self.secrets.last().ok_or(OpenError::Malformed)?;
            self.secrets.push(next(last));
        }
        self.secrets.get(wanted).ok_or(OpenError::Malformed)
    }
}
