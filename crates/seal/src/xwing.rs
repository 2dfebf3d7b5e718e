//! The receiving half of HPKE over X-Wing, for one key and many capsules.
//!
//! The `hpke` crate keeps a private key as its seed and expands it again, an ML-KEM key
//! generation, for each capsule. A fold opens thousands of letters under one key: here it is
//! expanded once, and decapsulated, as everything else, by aws-lc. Same octets, other speed;
//! the `hpke` crate seals, opens whatever is opened once, and is this module's test peer.
//!
//! Invariant: opens exactly what the `hpke` crate opens, less capsules with a share of low
//! order. A wrong ML-KEM ciphertext gives a wrong secret, never an error of its own (implicit
//! rejection), so that only the AEAD's tag tells. Secrets are zeroed when dropped.
//! Refs: draft-connolly-cfrg-xwing-kem §5; draft-ietf-hpke-pq-03; RFC 9180 §4, §5; FIPS 203.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::digest::{Context, SHA3_256};
use aws_lc_rs::hmac::HMAC_SHA256;
use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, ML_KEM_768};
use shake::{ExtendableOutput, Shake256, Update, XofReader};
use zeroize::Zeroizing;

use crate::error::OpenError;
use crate::hseal::{CAPSULE_BYTES, low_order};
use crate::mac::{HmacKey, expand};
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

    /// The receiver's HPKE context for `info` and `capsule`.
    ///
    /// # Errors
    /// [`OpenError::Malformed`] unless the capsule has its length, [`OpenError::Tampered`] if
    /// its share is of low order.
    pub(crate) fn receiver(&self, info: &[u8], capsule: &[u8]) -> Result<Receiver, OpenError> {
        let capsule = capsule.try_into().map_err(|_| OpenError::Malformed)?;
        Receiver::schedule(&self.decapsulate(capsule)?, info)
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

/// A receiver's HPKE context, base mode.
pub(crate) struct Receiver {
    key: LessSafeKey,
    base_nonce: Secret<12>,
    exporter: Secret<32>,
    sequence: u64,
}

impl Receiver {
    /// `KeyScheduleR` (RFC 9180 §5.1), with neither `psk` nor `psk_id`.
    fn schedule(shared: &Secret<32>, info: &[u8]) -> Result<Self, OpenError> {
        let nobody = labelled_extract(b"", b"psk_id_hash", b"");
        let info = labelled_extract(b"", b"info_hash", info);
        let context = [BASE.as_slice(), &nobody, &info].concat();
        let secret = Secret::take(&mut labelled_extract(shared.expose(), b"secret", b""));
        let key: Secret<32> = labelled_expand(&secret, b"key", &context);
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.expose());
        Ok(Self {
            key: LessSafeKey::new(key.map_err(|_| OpenError::Tampered)?),
            base_nonce: labelled_expand(&secret, b"base_nonce", &context),
            exporter: labelled_expand(&secret, b"exp", &context),
            sequence: 0,
        })
    }

    /// `ContextR.Open` (RFC 9180 §5.2): the next message of the sender.
    ///
    /// # Errors
    /// [`OpenError::Tampered`] if it does not authenticate; the context stays where it was.
    pub(crate) fn open(&mut self, sealed: &[u8], aad: &[u8]) -> Result<Vec<u8>, OpenError> {
        let next = self.sequence.checked_add(1).ok_or(OpenError::Tampered)?;
        // RFC 9180 §5.2, ComputeNonce: the counter in the last octets.
        let mut nonce = *self.base_nonce.expose();
        let counter = self.sequence.to_be_bytes();
        nonce.iter_mut().rev().zip(counter.iter().rev()).for_each(|(to, from)| *to ^= from);
        let mut plain = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self.key.open_in_place(nonce, Aad::from(aad), &mut plain);
        let length = opened.map_err(|_| OpenError::Tampered)?.len();
        plain.truncate(length);
        self.sequence = next;
        Ok(plain)
    }

    /// `Context.Export` (RFC 9180 §5.3).
    pub(crate) fn export<const N: usize>(&self, context: &[u8]) -> Secret<N> {
        labelled_expand(&self.exporter, b"sec", context)
    }
}

/// RFC 9180 §4.
fn labelled_extract(salt: &[u8], label: &[u8], input: &[u8]) -> [u8; 32] {
    HmacKey::new(salt).mac(&[VERSION, SUITE, label, input])
}

/// RFC 9180 §4.
fn labelled_expand<const N: usize>(key: &Secret<32>, label: &[u8], context: &[u8]) -> Secret<N> {
    const { assert!(N <= 255 * 32, "RFC 5869 §2.3 limits the output to 255 blocks") };
    // The length is a u16; N is below its limit.
    let [.., high, low] = N.to_be_bytes();
    let length = [high, low];
    let info = [length.as_slice(), VERSION, SUITE, label, context];
    Secret::filled(|out| expand(HMAC_SHA256, key.expose(), &info, out))
}

#[cfg(test)]
mod tests;
