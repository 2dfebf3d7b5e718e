//! Sealing to a public key: HPKE over X-Wing (ML-KEM-768 with X25519).
//!
//! Invariant: a capsule or a public key whose X25519 share is of low order is refused, since
//! its half of the hybrid would be a constant; the `hpke` crate does not refuse it.
//! Refs: specs/bw1.md §1.4; RFC 9180; draft-ietf-hpke-pq-03; RFC 7748 §6.1.

use hpke::aead::{AeadCtxR, AeadCtxS, ChaCha20Poly1305};
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use zeroize::Zeroizing;

use crate::derive::labelled;
use crate::entropy::{Draw, Entropy};
use crate::error::{OpenError, SealError};
use crate::memory::scrubbed;
use crate::secret::Secret;

/// Octets of a public key.
pub const PUBLIC_BYTES: usize = 1216;
/// Octets of a capsule (`enc`).
pub const CAPSULE_BYTES: usize = 1120;
/// How much longer a seal is than what it holds.
pub const OVERHEAD: usize = CAPSULE_BYTES + 16;

/// Octets of stack that ML-KEM is done in, amply.
pub(crate) const LATTICE_FRAMES: usize = 96 << 10;

pub(crate) type Sender = AeadCtxS<ChaCha20Poly1305, HkdfSha256, XWing>;
pub(crate) type Receiver = AeadCtxR<ChaCha20Poly1305, HkdfSha256, XWing>;

/// A public key to seal to.
#[derive(Clone)]
pub struct PublicKey {
    bytes: Box<[u8; PUBLIC_BYTES]>,
    key: <XWing as Kem>::PublicKey,
}

impl PublicKey {
    /// Reads a public key.
    ///
    /// # Errors
    /// [`OpenError::Malformed`] unless it is a valid ML-KEM-768 key followed by an X25519 key
    /// that is not of low order.
    pub fn decode(bytes: &[u8]) -> Result<Self, OpenError> {
        let bytes: &[u8; PUBLIC_BYTES] = bytes.try_into().map_err(|_| OpenError::Malformed)?;
        if low_order(bytes) {
            return Err(OpenError::Malformed);
        }
        let key = <XWing as Kem>::PublicKey::from_bytes(bytes).map_err(|_| OpenError::Malformed)?;
        Ok(Self { bytes: Box::new(*bytes), key })
    }

    /// The key's octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; PUBLIC_BYTES] {
        &self.bytes
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for PublicKey {}

/// A private key: its seed, which is expanded for each use and not kept so, since the library's
/// form of it lies in ordinary memory; and its public half.
pub struct SecretKey {
    seed: Secret<32>,
    public: PublicKey,
}

impl SecretKey {
    /// The key a seed stands for. Costs an ML-KEM key generation.
    ///
    /// # Errors
    /// Only if the `hpke` crate refuses 32 octets, which it does not.
    pub fn from_seed(seed: Secret<32>) -> Result<Self, OpenError> {
        let key = scrubbed::<LATTICE_FRAMES, _>(|| Ok(XWing::sk_to_pk(&expanded(&seed)?)))?;
        let mut bytes = Box::new([0; PUBLIC_BYTES]);
        key.write_exact(bytes.as_mut_slice());
        Ok(Self { seed, public: PublicKey { bytes, key } })
    }

    /// A new key.
    ///
    /// # Errors
    /// As [`Self::from_seed`].
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, SealError> {
        Self::from_seed(Secret::random(entropy)).map_err(|_| SealError::Cipher)
    }

    /// The seed, for wrapping.
    #[must_use]
    pub fn seed(&self) -> &Secret<32> {
        &self.seed
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.public.clone()
    }
}

fn expanded(seed: &Secret<32>) -> Result<<XWing as Kem>::PrivateKey, OpenError> {
    <XWing as Kem>::PrivateKey::from_bytes(seed.expose()).map_err(|_| OpenError::Malformed)
}

/// Every point of low order on Curve25519 and its twist, as little-endian words without the
/// top bit (RFC 7748 §5 masks it): 0, 1, the two of order eight, p-1, p and p+1.
const LOW_ORDER: [[u64; 4]; 7] = [
    [0, 0, 0, 0],
    [1, 0, 0, 0],
    [0xaeb8_413b_7c7a_ebe0, 0x6ac4_9ff1_fae3_5616, 0xfdb1_329c_eb8d_09da, 0x00b8_495f_1605_6286],
    [0x248c_50a3_bc95_9c5f, 0x5bef_839c_55b1_d0b1, 0x868e_1c58_c45c_4404, 0x5711_9fd0_dd4e_22d8],
    [0xffff_ffff_ffff_ffec, u64::MAX, u64::MAX, u64::MAX >> 1],
    [0xffff_ffff_ffff_ffed, u64::MAX, u64::MAX, u64::MAX >> 1],
    [0xffff_ffff_ffff_ffee, u64::MAX, u64::MAX, u64::MAX >> 1],
];

/// Whether the X25519 share that ends `bytes` is of low order, so that any scalar times it is
/// zero. Anything too short to hold a share counts as one.
pub(crate) fn low_order(bytes: &[u8]) -> bool {
    let Some(share) = bytes.last_chunk::<32>() else { return true };
    let mut words = [0; 4];
    for (word, octets) in words.iter_mut().zip(share.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*octets);
    }
    let [a, b, c, d] = words;
    LOW_ORDER.contains(&[a, b, c, d & (u64::MAX >> 1)])
}

/// A sender's HPKE context for `info`, and the capsule that goes with it.
pub(crate) fn sender(
    to: &PublicKey,
    info: &[u8],
    entropy: &dyn Entropy,
) -> Result<(Sender, [u8; CAPSULE_BYTES]), SealError> {
    let (capsule, context): (_, Sender) =
        hpke::setup_sender_with_rng(&OpModeS::Base, &to.key, info, &mut Draw(entropy))
            .map_err(|_| SealError::Cipher)?;
    let mut bytes = [0; CAPSULE_BYTES];
    capsule.write_exact(&mut bytes);
    Ok((context, bytes))
}

/// The receiver's HPKE context for `info` and `capsule`.
pub(crate) fn receiver(
    key: &SecretKey,
    info: &[u8],
    capsule: &[u8],
) -> Result<Receiver, OpenError> {
    // specs/bw1.md §1.4: before anything is computed with it.
    if low_order(capsule) {
        return Err(OpenError::Tampered);
    }
    let capsule =
        <XWing as Kem>::EncappedKey::from_bytes(capsule).map_err(|_| OpenError::Malformed)?;
    scrubbed::<LATTICE_FRAMES, _>(|| {
        let key = expanded(&key.seed)?;
        hpke::setup_receiver(&OpModeR::Base, &key, &capsule, info).map_err(|_| OpenError::Tampered)
    })
}

/// Single-shot HPKE with `info` as it stands: `enc[1120] ‖ ct`.
pub(crate) fn seal_info(
    to: &PublicKey,
    info: &[u8],
    plain: &[u8],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, SealError> {
    let (mut context, capsule) = sender(to, info, entropy)?;
    let sealed = context.seal(plain, b"").map_err(|_| SealError::Cipher)?;
    Ok([capsule.as_slice(), &sealed].concat())
}

/// Undoes [`seal_info`].
pub(crate) fn open_info(
    key: &SecretKey,
    info: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let (capsule, sealed) = sealed.split_at_checked(CAPSULE_BYTES).ok_or(OpenError::Malformed)?;
    let mut context = receiver(key, info, capsule)?;
    context.open(sealed, b"").map(Zeroizing::new).map_err(|_| OpenError::Tampered)
}

/// `HSeal(to, label, context, plain)`: `enc[1120] ‖ ciphertext`, [`OVERHEAD`] longer than `plain`.
///
/// # Errors
/// [`SealError::Cipher`] if HPKE refuses, which it does not below 64 GiB.
pub fn seal(
    to: &PublicKey,
    label: &str,
    context: &[&[u8]],
    plain: &[u8],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, SealError> {
    seal_info(to, &labelled(label, context), plain, entropy)
}

/// Undoes [`seal`].
///
/// # Errors
/// [`OpenError::Malformed`] if too short; [`OpenError::Tampered`] if it does not authenticate
/// or its capsule is of low order.
pub fn open(
    key: &SecretKey,
    label: &str,
    context: &[&[u8]],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    open_info(key, &labelled(label, context), sealed)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};

    use super::*;

    /// The definition: X25519 of any scalar and the share is all zero.
    fn vanishes(share: &[u8; 32]) -> bool {
        let scalar = PrivateKey::from_private_key(&X25519, &[7; 32]).unwrap();
        agree(&scalar, UnparsedPublicKey::new(&X25519, share), (), |_| Ok(())).is_err()
    }

    #[test]
    fn the_list_of_low_order_points_is_what_the_curve_says() {
        for words in LOW_ORDER {
            for top in [0, 1 << 7] {
                let mut share: [u8; 32] =
                    words.map(u64::to_le_bytes).as_flattened().try_into().unwrap();
                share[31] |= top;
                assert!(low_order(&share) && vanishes(&share), "{share:02x?}");
                for bit in 0..8 {
                    let mut near = share;
                    near[5] ^= 1 << bit;
                    assert!(!low_order(&near) && !vanishes(&near), "{near:02x?}");
                }
            }
        }
    }

    #[test]
    fn a_share_too_short_is_refused() {
        assert!(low_order(&[9; 31]) && !low_order(&[9; 32]));
    }
}
