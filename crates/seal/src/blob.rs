//! Large sealed octets that can be written in a stream and read at any place.
//!
//! C2SP chunked-encryption@v1, instance Cobblestone-256: HKDF-Expand-SHA512, AES-256-GCM,
//! chunks of 16 KiB of which the last is always shorter.
//!
//! Invariant: no octet of plaintext is returned before the commitment and its chunk's tag
//! were checked; a range that reaches the end proves where the end is.
//! Refs: specs/bw1.md §9; C2SP chunked-encryption.md at 5ba5ee8 (2026-07-22).

use core::ops::Range;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac::HMAC_SHA512;
use vocab::{AccountId, BlobId, LetterId};

use crate::derive::labelled;
use crate::entropy::{Entropy, draw};
use crate::error::{OpenError, SealError};
use crate::mac::expand;
use crate::secret::{Secret, same};

/// Octets of `salt ‖ commitment` before the first chunk.
pub const PREFIX_BYTES: usize = 56;
/// Plaintext octets of every chunk but the last.
pub const CHUNK_BYTES: usize = 16_384;
const TAG_BYTES: usize = 16;
const SEALED_CHUNK: u64 = 16_400;
/// 2³⁸ chunks (chunked-encryption.md, "Message chunking").
const CHUNKS_MAX: u64 = 1 << 38;

/// A blob's own key: 32 random octets, kept in a sealed row or a letter's capsule.
pub struct BlobKey(Secret<32>);

impl BlobKey {
    /// A new key.
    #[must_use]
    pub fn random(entropy: &dyn Entropy) -> Self {
        Self(Secret::random(entropy))
    }

    /// The key whose octets are `secret`.
    #[must_use]
    pub fn from_secret(secret: Secret<32>) -> Self {
        Self(secret)
    }

    /// The key's octets, to be put into a sealed row.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

/// The context of a letter's body (specs/bw1.md §9.2).
#[must_use]
pub fn body_context(account: AccountId, letter: LetterId) -> Vec<u8> {
    labelled("body", &[&account.0, &letter.0])
}

/// The context of any other blob; `use_` says what it is, in ASCII (specs/bw1.md §9.2).
#[must_use]
pub fn blob_context(use_: &str, account: AccountId, blob: BlobId) -> Vec<u8> {
    labelled(use_, &[&account.0, &blob.0])
}

/// The sealed length of `plain` octets; `None` above the format's limit.
#[must_use]
pub fn sealed_len(plain: u64) -> Option<u64> {
    let chunks = plain / 16_384;
    (chunks < CHUNKS_MAX).then(|| 56 + chunks * SEALED_CHUNK + plain % 16_384 + 16)
}

/// The plaintext length behind `sealed` octets; `None` if no blob has that length.
#[must_use]
pub fn plain_len(sealed: u64) -> Option<u64> {
    let chunks = sealed.checked_sub(56)?;
    let (full, last) = (chunks / SEALED_CHUNK, (chunks % SEALED_CHUNK).checked_sub(16)?);
    (full < CHUNKS_MAX).then_some(full * 16_384 + last)
}

struct Chunks {
    cipher: LessSafeKey,
    base_nonce: [u8; 12],
    commitment: [u8; 32],
}

impl Chunks {
    fn new(key: &BlobKey, salt: &[u8; 24], context: &[u8]) -> Option<Self> {
        let info = [b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0", salt.as_slice(), context];
        let derived: Secret<76> =
            Secret::filled(|out| expand(HMAC_SHA512, key.expose(), &info, out));
        let (cipher, rest) = derived.expose().split_first_chunk::<32>()?;
        let (base_nonce, commitment) = rest.split_first_chunk::<12>()?;
        Some(Self {
            cipher: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, cipher).ok()?),
            base_nonce: *base_nonce,
            commitment: *commitment.first_chunk()?,
        })
    }

    fn nonce(&self, chunk: u64) -> Nonce {
        let mut nonce = self.base_nonce;
        let counter = chunk.to_be_bytes();
        nonce.iter_mut().rev().zip(counter.iter().rev()).for_each(|(to, from)| *to ^= from);
        Nonce::assume_unique_for_key(nonce)
    }

    fn seal(&self, chunk: u64, plain: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        if chunk >= CHUNKS_MAX {
            return Err(SealError::TooLong);
        }
        let start = out.len();
        out.extend_from_slice(plain);
        let place = out.get_mut(start..).ok_or(SealError::Cipher)?;
        let tag = self
            .cipher
            .seal_in_place_separate_tag(self.nonce(chunk), Aad::empty(), place)
            .map_err(|_| SealError::Cipher)?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    fn open(&self, chunk: u64, sealed: &[u8], out: &mut Vec<u8>) -> Result<(), OpenError> {
        let text = sealed.len().checked_sub(TAG_BYTES).ok_or(OpenError::Malformed)?;
        let (sealed, tag) = sealed.split_at(text);
        let start = out.len();
        out.resize(start + text, 0);
        let place = out.get_mut(start..).ok_or(OpenError::Malformed)?;
        self.cipher
            .open_separate_gather(self.nonce(chunk), Aad::empty(), sealed, tag, place)
            .map_err(|_| OpenError::Tampered)
    }
}

/// Writes one blob. Holds at most one chunk of plaintext.
pub struct BlobSealer {
    chunks: Chunks,
    next: u64,
    rest: Vec<u8>,
}

impl BlobSealer {
    /// Begins a blob. The prefix is the first 56 octets of the result and belongs before
    /// whatever `push` and `finish` write.
    ///
    /// # Errors
    /// Only if the cipher refuses its key, which it does not.
    pub fn begin(
        key: &BlobKey,
        context: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<(Self, [u8; PREFIX_BYTES]), SealError> {
        let salt: [u8; 24] = draw(entropy);
        let chunks = Chunks::new(key, &salt, context).ok_or(SealError::Cipher)?;
        let mut prefix = [0; PREFIX_BYTES];
        let source = salt.iter().chain(&chunks.commitment);
        prefix.iter_mut().zip(source).for_each(|(to, from)| *to = *from);
        Ok((Self { chunks, next: 0, rest: Vec::with_capacity(CHUNK_BYTES) }, prefix))
    }

    /// Adds plaintext, and appends to `out` the chunks that are now complete.
    ///
    /// # Errors
    /// [`SealError::TooLong`] beyond 4 PiB.
    pub fn push(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        let room = CHUNK_BYTES - self.rest.len();
        let Some((head, plain)) = plain.split_at_checked(room) else {
            self.rest.extend_from_slice(plain);
            return Ok(());
        };
        if self.rest.is_empty() {
            self.chunk(head, out)?;
        } else {
            self.rest.extend_from_slice(head);
            let full = core::mem::take(&mut self.rest);
            self.chunk(&full, out)?;
            self.rest = full;
            self.rest.clear();
        }
        let (whole, rest) = plain.as_chunks::<CHUNK_BYTES>();
        whole.iter().try_for_each(|chunk| self.chunk(chunk, out))?;
        self.rest.extend_from_slice(rest);
        Ok(())
    }

    /// The plaintext octets pushed so far.
    #[must_use]
    pub fn plain_len(&self) -> u64 {
        self.next * 16_384 + self.rest.len() as u64
    }

    /// Appends the last chunk, which may be empty. Without it the blob does not open.
    ///
    /// # Errors
    /// [`SealError::TooLong`] beyond 4 PiB.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), SealError> {
        let rest = core::mem::take(&mut self.rest);
        self.chunk(&rest, out)
    }

    fn chunk(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        self.chunks.seal(self.next, plain, out)?;
        self.next += 1;
        Ok(())
    }
}

/// Which sealed octets to read for a range of plaintext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The chunk `sealed` begins with.
    pub first_chunk: u64,
    /// The octets to read, counted from the start of the blob (its prefix included).
    pub sealed: Range<u64>,
    /// Whether the last chunk of the blob is among them.
    pub ends: bool,
    skip: usize,
    take: usize,
}

/// The sealed octets behind the plaintext range `plain` of a blob of `sealed_len` octets.
/// `None` if the range does not lie inside the blob, or no blob has that length.
#[must_use]
pub fn span(plain: Range<u64>, sealed_len: u64) -> Option<Span> {
    let end = plain_len(sealed_len)?;
    if plain.start > plain.end || plain.end > end {
        return None;
    }
    let (first, final_) = (plain.start / 16_384, end / 16_384);
    // chunked-encryption.md: who reads up to the end must check the final chunk.
    let last = if plain.end == end {
        final_
    } else {
        plain.end.saturating_sub(1).max(plain.start) / 16_384
    };
    Some(Span {
        first_chunk: first,
        sealed: 56 + first * SEALED_CHUNK..sealed_len.min(56 + (last + 1) * SEALED_CHUNK),
        ends: last == final_,
        skip: usize::try_from(plain.start % 16_384).ok()?,
        take: usize::try_from(plain.end - plain.start).ok()?,
    })
}

/// Reads one blob, at any place.
pub struct BlobOpener {
    chunks: Chunks,
}

impl BlobOpener {
    /// Checks the commitment in `prefix`, the first 56 octets of the blob.
    ///
    /// # Errors
    /// [`OpenError::Tampered`] if the key, the context or the prefix is another blob's.
    pub fn new(
        key: &BlobKey,
        context: &[u8],
        prefix: &[u8; PREFIX_BYTES],
    ) -> Result<Self, OpenError> {
        let (salt, commitment) = prefix.split_first_chunk().ok_or(OpenError::Malformed)?;
        let chunks = Chunks::new(key, salt, context).ok_or(OpenError::Tampered)?;
        if !same(&chunks.commitment, commitment) {
            return Err(OpenError::Tampered);
        }
        Ok(Self { chunks })
    }

    /// Opens `sealed`, the octets `span.sealed` of the blob, and gives exactly the plaintext
    /// range the span was made for.
    ///
    /// # Errors
    /// [`OpenError::Malformed`] if `sealed` is not as long as the span; [`OpenError::Tampered`]
    /// if a chunk does not authenticate.
    pub fn open(&self, span: &Span, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        if span.sealed.end.checked_sub(span.sealed.start) != u64::try_from(sealed.len()).ok() {
            return Err(OpenError::Malformed);
        }
        let mut plain = Vec::with_capacity(sealed.len());
        let (whole, rest) = sealed.as_chunks::<{ CHUNK_BYTES + TAG_BYTES }>();
        let mut chunk = span.first_chunk;
        for sealed in whole {
            self.chunks.open(chunk, sealed, &mut plain)?;
            chunk += 1;
        }
        // The last chunk is always shorter than the others, and only the last.
        if span.ends {
            self.chunks.open(chunk, rest, &mut plain)?;
        } else if !rest.is_empty() {
            return Err(OpenError::Malformed);
        }
        if span.skip + span.take > plain.len() {
            return Err(OpenError::Malformed);
        }
        plain.truncate(span.skip + span.take);
        if span.skip > 0 {
            plain.drain(..span.skip);
        }
        Ok(plain)
    }
}

/// A whole blob at once.
///
/// # Errors
/// As [`BlobSealer`].
pub fn seal(
    key: &BlobKey,
    context: &[u8],
    plain: &[u8],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, SealError> {
    let (mut sealer, prefix) = BlobSealer::begin(key, context, entropy)?;
    let length = plain.len() + plain.len() / CHUNK_BYTES * TAG_BYTES + TAG_BYTES + PREFIX_BYTES;
    let mut out = Vec::with_capacity(length);
    out.extend_from_slice(&prefix);
    sealer.push(plain, &mut out)?;
    sealer.finish(&mut out)?;
    Ok(out)
}

/// Undoes [`seal`].
///
/// # Errors
/// As [`BlobOpener`].
pub fn open(key: &BlobKey, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
    let (prefix, chunks) = sealed.split_first_chunk().ok_or(OpenError::Malformed)?;
    let length = sealed.len() as u64;
    let all = plain_len(length).and_then(|plain| span(0..plain, length));
    BlobOpener::new(key, context, prefix)?.open(&all.ok_or(OpenError::Malformed)?, chunks)
}
