//! The receiving half of HPKE over X-Wing, for one key and many capsules.
//!
//! The `hpke` crate keeps a private key as its seed and expands it again, an ML-KEM key
//! generation, for each capsule. A fold opens many runs of letters under one key: here it is
//! expanded once, and decapsulated, as everything else, by aws-lc. Same octets, other speed;
//! the `hpke` crate seals, opens whatever is opened once, and is this module's test peer.
//!
//! Invariant: exports exactly what the `hpke` crate exports, less capsules with a share of low
//! order. A wrong ML-KEM ciphertext gives a wrong secret, never an error of its own (implicit
//! rejection), so that only a letter's tag tells. Secrets are zeroed when dropped.
//! Refs: draft-connolly-cfrg-xwing-kem §5; draft-ietf-hpke-pq-03; RFC 9180 §4, §5; FIPS 203.

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::digest::{Context, SHA3_256};
use aws_lc_rs::hmac::HMAC_SHA256;
use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, ML_KEM_768};
use shake::{ExtendableOutput, Shake256, Update, XofReader};
use zeroize::Zeroizing;

use crate::error::OpenError;
use crate::hseal::{CAPSULE_BYTES, LATTICE_FRAMES, low_order};
use crate::mac::{HmacKey, expand};
use crate::memory::scrubbed;
use crate::secret::Secret;

/// Octets of an ML-KEM-768 ciphertext, with which a capsule begins.
const LATTICE_BYTES: usize = 1088;
/// What X-Wing hashes last (draft-connolly-cfrg-xwing-kem §5.3).
const XWING_LABEL: &[u8; 6] = br"\.//^\";
/// "HPKE" ‖ KEM 0x647a ‖ KDF 0x0001 ‖ AEAD 0x0003 (RFC 9180 §5.1).
const SUITE: &[u8; 10] = b"HPKE\x64\x7a\x00\x01\x00\x03";
/// What every labelled input begins with (RFC 9180 §4).
const VERSION: &[u8; 7] = b"HPKE-v1";
/// `mode_base` (RFC 9180 §5.1).
const BASE: [u8; 1] = [0];

/// A private key, expanded.
pub(crate) struct OpeningKey {
    lattice: DecapsulationKey,
    curve: PrivateKey,
    curve_public: [u8; 32],
}

impl OpeningKey {
    /// Expands the 32-octet seed: an ML-KEM key generation and two scalar multiplications.
    ///
    /// # Errors
    /// Only if a library refuses what the other made, which it does not.
    pub(crate) fn expand(seed: &Secret<32>) -> Result<Self, OpenError> {
        scrubbed::<LATTICE_FRAMES, _>(|| Self::expand_here(seed))
    }

    fn expand_here(seed: &Secret<32>) -> Result<Self, OpenError> {
        let refused = |_| OpenError::Malformed;
        // draft-connolly-cfrg-xwing-kem §5.2: SHAKE256(seed, 96) is d ‖ z ‖ sk_X.
        let mut shake = Shake256::default();
        shake.update(seed.expose());
        let mut stream = shake.finalize_xof();
        let (mut lattice, mut curve) = (Zeroizing::new([0; 64]), Zeroizing::new([0; 32]));
        stream.read(lattice.as_mut_slice());
        stream.read(curve.as_mut_slice());
        let lattice = DecapsulationKey::new(&ML_KEM_768, expanded(&lattice).as_slice());
        let curve = PrivateKey::from_private_key(&X25519, curve.as_slice());
        let curve = curve.map_err(refused)?;
        let public = curve.compute_public_key().map_err(|_| OpenError::Malformed)?;
        let curve_public = public.as_ref().try_into().map_err(|_| OpenError::Malformed)?;
        Ok(Self { lattice: lattice.map_err(refused)?, curve, curve_public })
    }

    /// What the receiver's HPKE context for `info` and `capsule` exports for `context`
    /// (RFC 9180 §5.1 `KeyScheduleR` with neither `psk` nor `psk_id`, §5.3).
    ///
    /// # Errors
    /// [`OpenError::Malformed`] unless the capsule has its length, [`OpenError::Tampered`] if
    /// its share is of low order.
    pub(crate) fn export(
        &self,
        info: &[u8],
        capsule: &[u8],
        context: &[u8],
    ) -> Result<Secret<32>, OpenError> {
        let capsule = capsule.try_into().map_err(|_| OpenError::Malformed)?;
        scrubbed::<LATTICE_FRAMES, _>(|| {
            let exporter = exporter(&self.decapsulate(capsule)?, info);
            Ok(labelled_expand(&exporter, b"sec", context))
        })
    }

    /// X-Wing's shared secret (draft-connolly-cfrg-xwing-kem §5.5).
    fn decapsulate(&self, capsule: &[u8; CAPSULE_BYTES]) -> Result<Secret<32>, OpenError> {
        // specs/bw1.md §1.4: before anything is computed with it.
        if low_order(capsule) {
            return Err(OpenError::Tampered);
        }
        let (lattice, share) = capsule.split_at(LATTICE_BYTES);
        let lattice = self.lattice.decapsulate(Ciphertext::from(lattice));
        let lattice = lattice.map_err(|_| OpenError::Tampered)?;
        let peer = UnparsedPublicKey::new(&X25519, share);
        // aws-lc refuses a product of zero too (RFC 7748 §6.1).
        agree(&self.curve, peer, OpenError::Tampered, |curve| {
            let mut hash = Context::new(&SHA3_256);
            for part in [lattice.as_ref(), curve, share, &self.curve_public, XWING_LABEL] {
                hash.update(part);
            }
            let mut shared: [u8; 32] =
                hash.finish().as_ref().try_into().map_err(|_| OpenError::Tampered)?;
            Ok(Secret::take(&mut shared))
        })
    }
}

/// FIPS 203 §6.1: the 2400-octet decapsulation key of d ‖ z, the one form aws-lc-rs reads.
#[expect(deprecated, reason = "seeds are the better form to store; this one is only handed on")]
fn expanded(seed: &[u8; 64]) -> Zeroizing<[u8; 2400]> {
    use ml_kem::ExpandedKeyEncoding as _;
    let key = ml_kem::ml_kem_768::DecapsulationKey::from_seed((*seed).into());
    Zeroizing::new(key.to_expanded_bytes().into())
}

/// RFC 9180 §5.1: the `exporter_secret`.
fn exporter(shared: &Secret<32>, info: &[u8]) -> Secret<32> {
    let nobody = labelled_extract(b"", b"psk_id_hash", b"");
    let info = labelled_extract(b"", b"info_hash", info);
    let context = [BASE.as_slice(), &nobody, &info].concat();
    let secret = Secret::take(&mut labelled_extract(shared.expose(), b"secret", b""));
    labelled_expand(&secret, b"exp", &context)
}

/// RFC 9180 §4.
fn labelled_extract(salt: &[u8], label: &[u8], input: &[u8]) -> [u8; 32] {
    HmacKey::new(salt).mac(&[VERSION, SUITE, label, input])
}

/// RFC 9180 §4, for 32 octets.
fn labelled_expand(key: &Secret<32>, label: &[u8], context: &[u8]) -> Secret<32> {
    let info = [&[0, 32], VERSION.as_slice(), SUITE, label, context];
    Secret::filled(|out| expand(HMAC_SHA256, key.expose(), &info, out))
}

#[cfg(test)]
mod tests;
