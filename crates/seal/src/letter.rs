//! Letters: sealed as they arrive, to a month's public key, while the account is locked.
//!
//! A letter is two records: the head (header, place in a run, sealed head, ingest) and the body
//! (a blob). Both keys come out of one step of the run, so both are bound to one arrival.
//!
//! Invariant: sealing needs nothing private of the account. What arrived is chained and signed
//! by the cell, so that a letter put in, taken out or exchanged while locked is noticed when
//! it is folded.
//! Refs: specs/bw1.md §7; Padmé: Nikitin et al., PETS 2019.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use vocab::{AccountId, Digest, Epoch, EpochVersion, LetterId, Timestamp};

use crate::blob::{BlobKey, BlobSealer, PREFIX_BYTES, body_context, sealed_len};
use crate::derive::{derive, labelled};
use crate::entropy::Entropy;
use crate::epoch::EpochKeys;
use crate::error::{OpenError, SealError};
use crate::mac::sha256;
use crate::run::{OpenedRun, Step};
use crate::secret::Secret;
use crate::sign::{SigningKey, VerifyingKey};
use crate::wire::{Reader, pad64, unpad};
use crate::xwing::OpeningKey;

/// Octets of a letter's header.
pub const HEADER_BYTES: usize = 60;
/// Octets of the ingest statement that ends a head record.
pub const INGEST_BYTES: usize = 144;
/// Most octets of a head's plaintext.
pub const HEAD_BYTES_MAX: usize = 2 << 20;
const MARK: &[u8; 8] = b"BWLETTER";

/// What is clear about a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LetterHeader {
    /// To whom.
    pub account: AccountId,
    /// Which letter.
    pub letter: LetterId,
    /// The month it was sealed to.
    pub epoch: Epoch,
    /// Which re-keying of it.
    pub version: EpochVersion,
    /// When it arrived.
    pub arrived: Timestamp,
}

impl LetterHeader {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let source = MARK.iter().copied().chain([0, 1, 0, 1]);
        let source = source.chain(self.account.0).chain(self.letter.0);
        let source = source.chain(self.epoch.0.to_be_bytes()).chain(self.version.0.to_be_bytes());
        let mut out = [0; HEADER_BYTES];
        let source = source.chain(self.arrived.0.to_be_bytes());
        out.iter_mut().zip(source).for_each(|(to, from)| *to = from);
        out
    }

    /// Reads the header at the start of a head record.
    ///
    /// # Errors
    /// [`OpenError::Malformed`] unless version 1, suite 1.
    pub fn read(record: &[u8]) -> Result<Self, OpenError> {
        let mut reader = Reader::new(record);
        reader.mark(MARK)?;
        reader.mark(&[0, 1, 0, 1])?;
        Ok(Self {
            account: AccountId(reader.array()?),
            letter: LetterId(reader.array()?),
            epoch: Epoch(reader.u32()?),
            version: EpochVersion(reader.u32()?),
            arrived: Timestamp(reader.u64()?),
        })
    }
}

/// Where an account's chain of arrivals stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// How many letters arrived.
    pub sequence: u64,
    /// The chain over all of them.
    pub digest: Digest,
}

impl Chain {
    /// Before the first letter.
    #[must_use]
    pub fn start(account: AccountId) -> Self {
        Self { sequence: 0, digest: sha256(&[b"bailiwick.v1 chain start\0", &account.0]) }
    }

    fn next(self, account: AccountId, letter: Digest, body: &Arrived) -> Result<Self, OpenError> {
        let sequence = self.sequence.checked_add(1).ok_or(OpenError::Malformed)?;
        let label = b"bailiwick.v1 chain\0";
        let (number, body) = (sequence.to_be_bytes(), body.encode());
        let digest = sha256(&[label, &account.0, &number, &self.digest.0, &letter.0, &body]);
        Ok(Self { sequence, digest })
    }

    /// Its 40 octets.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [self.sequence.to_be_bytes().as_slice(), &self.digest.0].concat()
    }

    /// Reads [`encode`](Self::encode)'s octets.
    ///
    /// # Errors
    /// [`OpenError::Malformed`] unless 40 octets.
    pub fn decode(bytes: &[u8]) -> Result<Self, OpenError> {
        let mut reader = Reader::new(bytes);
        let (sequence, digest) = (reader.u64()?, Digest(reader.array()?));
        reader.end()?;
        Ok(Self { sequence, digest })
    }
}

/// The length `length` is padded to: at most 12 % more, and few enough lengths to hide in.
#[must_use]
pub fn padme(length: u64) -> u64 {
    if length < 2 {
        return length;
    }
    let exponent = length.ilog2();
    // PETS 2019, alg. 1: the last exponent - (⌊log2 exponent⌋ + 1) bits are zero.
    let kept = exponent.checked_ilog2().map_or(0, |log| log + 1);
    let bits = exponent.saturating_sub(kept);
    let mask = (1u64 << bits) - 1;
    length.saturating_add(mask) & !mask
}

/// A letter's own keys: its head's, which seals once, and its body's.
struct LetterKeys {
    head: LessSafeKey,
    nonce: [u8; 12],
    body: BlobKey,
}

impl LetterKeys {
    fn new(secret: &Secret<32>, header: &[u8; HEADER_BYTES], step: u32) -> Result<Self, OpenError> {
        let keys: Secret<76> = derive(secret, "letter", &[header, &step.to_be_bytes()]);
        let (body, rest) = keys.expose().split_first_chunk::<32>().ok_or(OpenError::Malformed)?;
        let (head, nonce) = rest.split_first_chunk::<32>().ok_or(OpenError::Malformed)?;
        let head = UnboundKey::new(&AES_256_GCM, head).map_err(|_| OpenError::Malformed)?;
        let nonce = *nonce.first_chunk().ok_or(OpenError::Malformed)?;
        let body = BlobKey::from_secret(Secret::copied(body));
        Ok(Self { head: LessSafeKey::new(head), nonce, body })
    }

    fn nonce(&self) -> Nonce {
        Nonce::assume_unique_for_key(self.nonce)
    }
}

/// Seals one letter while it arrives.
pub struct LetterSealer {
    header: LetterHeader,
    step: Step,
    keys: LetterKeys,
    blob: BlobSealer,
    prefix: [u8; PREFIX_BYTES],
}

impl LetterSealer {
    /// Begins a letter in its place of a run; appends the body's first octets to `body`.
    ///
    /// # Errors
    /// [`SealError::Cipher`] if a cipher refuses its own key, which it does not.
    pub fn begin(
        letter: LetterId,
        arrived: Timestamp,
        step: Step,
        entropy: &dyn Entropy,
        body: &mut Vec<u8>,
    ) -> Result<Self, SealError> {
        let Step { account, epoch, version, .. } = step;
        let header = LetterHeader { account, letter, epoch, version, arrived };
        let keys = LetterKeys::new(&step.secret, &header.encode(), step.number);
        let keys = keys.map_err(|_| SealError::Cipher)?;
        let context = body_context(account, letter);
        let (blob, prefix) = BlobSealer::begin(&keys.body, &context, entropy)?;
        body.extend_from_slice(&prefix);
        Ok(Self { header, step, keys, blob, prefix })
    }

    /// Adds octets of the message; appends to `body` what is sealed of them.
    ///
    /// # Errors
    /// As [`BlobSealer::push`].
    pub fn push(&mut self, octets: &[u8], body: &mut Vec<u8>) -> Result<(), SealError> {
        self.blob.push(octets, body)
    }

    /// The octets pushed so far: the message's true length, which the head must carry, since
    /// the body is padded.
    #[must_use]
    pub fn plain_len(&self) -> u64 {
        self.blob.plain_len()
    }

    /// Ends the message: pads it, appends the last of `body`, and seals `head`.
    ///
    /// # Errors
    /// [`SealError::TooLong`] if `head` has more than [`HEAD_BYTES_MAX`] octets.
    pub fn close(mut self, head: &[u8], body: &mut Vec<u8>) -> Result<ClosedLetter, SealError> {
        if head.len() > HEAD_BYTES_MAX {
            return Err(SealError::TooLong);
        }
        let padded = padme(self.blob.plain_len());
        let mut missing = padded.saturating_sub(self.blob.plain_len());
        let zeros = [0; 4096];
        while missing > 0 {
            let count = usize::try_from(missing).unwrap_or(zeros.len()).min(zeros.len());
            self.blob.push(zeros.get(..count).unwrap_or(&zeros), body)?;
            missing -= count as u64;
        }
        self.blob.finish(body)?;
        let mut head = head.to_vec();
        pad64(&mut head, 0);
        let (keys, step) = (&self.keys, self.step.number.to_be_bytes());
        let tag = keys.head.seal_in_place_separate_tag(keys.nonce(), Aad::empty(), &mut head);
        let tag = tag.map_err(|_| SealError::Cipher)?;
        let header = self.header.encode();
        let capsule = self.step.capsule.as_slice();
        Ok(ClosedLetter {
            account: self.header.account,
            record: [header.as_slice(), capsule, &step, &head, tag.as_ref()].concat(),
            body: Arrived {
                prefix: sha256(&[&self.prefix]),
                length: sealed_len(padded).ok_or(SealError::TooLong)?,
            },
        })
    }
}

/// A letter sealed, but not yet in its account's chain.
pub struct ClosedLetter {
    account: AccountId,
    record: Vec<u8>,
    body: Arrived,
}

impl ClosedLetter {
    /// Takes the letter into the chain, signed by the cell: the head record to store, and
    /// where the chain stands then. Store both, and the body, in one commit.
    ///
    /// # Errors
    /// [`SealError::TooLong`] after 2⁶⁴-1 letters.
    pub fn ingest(self, key: &SigningKey, before: &Chain) -> Result<(Vec<u8>, Chain), SealError> {
        let letter = sha256(&[&self.record]);
        let chain = before.next(self.account, letter, &self.body);
        let chain = chain.map_err(|_| SealError::TooLong)?;
        let ingest = Ingest { chain, body: self.body };
        let signature = key.sign(&ingest.message(self.account, letter));
        let record = [&self.record, ingest.encode().as_slice(), &signature].concat();
        Ok((record, chain))
    }
}

/// Which body arrived: enough to know it again without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// SHA-256 of its first 56 octets: its salt and its commitment to its key.
    pub prefix: Digest,
    /// Octets of the sealed body.
    pub length: u64,
}

impl Arrived {
    fn encode(&self) -> [u8; 40] {
        let mut out = [0; 40];
        let source = self.prefix.0.into_iter().chain(self.length.to_be_bytes());
        out.iter_mut().zip(source).for_each(|(to, from)| *to = from);
        out
    }

    /// Whether a stored body is the one that arrived, as far as can be told without reading
    /// it: its first 56 octets and its length.
    ///
    /// # Errors
    /// [`OpenError::Tampered`] if not.
    pub fn check(&self, prefix: &[u8; PREFIX_BYTES], length: u64) -> Result<(), OpenError> {
        if sha256(&[prefix]) == self.prefix && length == self.length {
            Ok(())
        } else {
            Err(OpenError::Tampered)
        }
    }
}

/// What the cell said when the letter arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ingest {
    /// Where the chain stood, this letter included.
    pub chain: Chain,
    /// Which body it came with.
    pub body: Arrived,
}

impl Ingest {
    fn encode(&self) -> Vec<u8> {
        [self.chain.encode().as_slice(), &self.body.encode()].concat()
    }

    fn message(&self, account: AccountId, letter: Digest) -> Vec<u8> {
        labelled("ingest", &[&account.0, &letter.0, &self.encode()])
    }

    /// The parts of a head record: what is chained, the statement, its signature.
    fn split(record: &[u8]) -> Result<(&[u8], Self, [u8; 64]), OpenError> {
        let mut reader = Reader::new(record);
        let letter = reader.all_but(INGEST_BYTES)?;
        let chain = Chain { sequence: reader.u64()?, digest: Digest(reader.array()?) };
        let body = Arrived { prefix: Digest(reader.array()?), length: reader.u64()? };
        Ok((letter, Self { chain, body }, reader.array()?))
    }
}

/// What a head record says of its arrival, not yet believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stated {
    account: AccountId,
    letter: Digest,
    ingest: Ingest,
    signature: [u8; 64],
}

impl Stated {
    /// Reads it, and takes the digest that the chain is made of.
    ///
    /// # Errors
    /// [`OpenError::Malformed`].
    pub fn read(record: &[u8]) -> Result<Self, OpenError> {
        let LetterHeader { account, .. } = LetterHeader::read(record)?;
        let (letter, ingest, signature) = Ingest::split(record)?;
        Ok(Self { account, letter: sha256(&[letter]), ingest, signature })
    }

    /// Where the chain stands with it. If that is signed, or a later link that follows from it
    /// is, so is this letter.
    ///
    /// # Errors
    /// [`OpenError::Mismatch`] if it is not the next letter.
    pub fn follows(&self, before: &Chain) -> Result<Chain, OpenError> {
        if before.next(self.account, self.letter, &self.ingest.body)? == self.ingest.chain {
            Ok(self.ingest.chain)
        } else {
            Err(OpenError::Mismatch)
        }
    }

    /// Whether the cell signed it, wherever in the chain it stands.
    ///
    /// # Errors
    /// [`OpenError::Tampered`] if it was altered or not signed by `key`.
    pub fn verify(&self, key: &VerifyingKey) -> Result<(), OpenError> {
        let message = self.ingest.message(self.account, self.letter);
        key.verify(&message, &self.signature).map_err(|_| OpenError::Tampered)
    }
}

/// A head record, opened.
pub struct OpenedHead {
    /// What is clear about it.
    pub header: LetterHeader,
    /// Opens the body, with [`body_context`] as its context.
    pub body_key: BlobKey,
    /// What was sealed as its head.
    pub head: Vec<u8>,
    /// What the cell said; not checked here, see [`Stated`].
    pub ingest: Ingest,
}

/// Opens head records of one month, one after another: a run's letters cost one decapsulation.
pub struct HeadOpener<'a> {
    keys: &'a EpochKeys,
    opening: Option<OpeningKey>,
    run: Option<OpenedRun>,
}

impl<'a> HeadOpener<'a> {
    /// Opens with these keys.
    #[must_use]
    pub fn new(keys: &'a EpochKeys) -> Self {
        Self { keys, opening: None, run: None }
    }

    /// Whether it opens with these very keys.
    #[must_use]
    pub fn opens_with(&self, keys: &EpochKeys) -> bool {
        core::ptr::eq(self.keys, keys)
    }

    /// Opens a head record.
    ///
    /// # Errors
    /// [`OpenError::Mismatch`] if it is to another account or month than the keys are of;
    /// [`OpenError::Tampered`] if it does not authenticate.
    pub fn open(&mut self, record: &[u8]) -> Result<OpenedHead, OpenError> {
        let header = LetterHeader::read(record)?;
        if (header.account, header.epoch) != (self.keys.account(), self.keys.epoch()) {
            return Err(OpenError::Mismatch);
        }
        let (letter, ingest, _) = Ingest::split(record)?;
        let mut reader = Reader::new(letter);
        let clear = reader.array()?;
        let (capsule, step) = (reader.array()?, reader.u32()?);
        let run = match self.run.take().filter(|run| run.is_of(&capsule, header.version)) {
            Some(run) => run,
            None => {
                let opening = match self.opening.take() {
                    Some(opening) => opening,
                    None => self.keys.opening()?,
                };
                let opening = self.opening.insert(opening);
                OpenedRun::open(self.keys, opening, header.version, capsule)?
            }
        };
        let keys = LetterKeys::new(self.run.insert(run).secret(step)?, &clear, step)?;
        let mut head = reader.all_but(0)?.to_vec();
        let opened = keys.head.open_in_place(keys.nonce(), Aad::empty(), &mut head);
        let length = opened.map_err(|_| OpenError::Tampered)?.len();
        head.truncate(length);
        unpad(&mut head)?;
        Ok(OpenedHead { header, body_key: keys.body, head, ingest })
    }
}

/// Opens one head record.
///
/// # Errors
/// As [`HeadOpener::open`].
pub fn open_head(record: &[u8], keys: &EpochKeys) -> Result<OpenedHead, OpenError> {
    HeadOpener::new(keys).open(record)
}
