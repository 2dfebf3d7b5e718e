//! age v1 files, for what leaves the cell: sealed to an authority's own key.
//!
//! Two recipient types: X25519 (`age1…`) and the hybrid of ML-KEM-768 with X25519
//! (`age1pq…`). Passphrases, plugins and SSH keys are not read or written.
//!
//! Invariant: the header's MAC is checked before any payload is opened, no chunk is given out
//! unauthenticated, and a low-order share opens nothing.
//! Refs: C2SP age.md at 5ba5ee8 (2026-07-22); C2SP CCTV age.

use core::fmt;
use core::str::FromStr;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, UnparsedPublicKey, X25519};
use aws_lc_rs::hmac::HMAC_SHA256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

use crate::armor;
use crate::bech32;
use crate::entropy::{Entropy, draw};
use crate::error::SealError;
use crate::hseal::{self, PublicKey, SecretKey};
use crate::mac::{HmacKey, expand};
use crate::secret::{Secret, same};

/// Most recipients of a file, and most stanzas that are read.
pub const STANZAS_MAX: usize = 64;
/// Most octets of a header that are read.
pub const HEADER_BYTES_MAX: usize = 1 << 20;
const CHUNK: usize = 65_536;
const TAG: usize = 16;
const INTRO: &[u8] = b"age-encryption.org/v1\n";
const X25519_NAME: &str = "X25519";
const HYBRID_NAME: &str = "mlkem768x25519";
const HYBRID_INFO: &[u8] = b"age-encryption.org/mlkem768x25519";

/// A text that is no key of the two types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an age key of a known type")]
pub struct ParseKeyError;

/// Why an age file does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AgeError {
    /// The armor around the file is not as it must be.
    #[error("the armor is not well formed")]
    Armor,
    /// The header is not well formed, or a stanza of a known type is not.
    #[error("the header is not well formed")]
    Header,
    /// No identity given opens it.
    #[error("no identity given opens the file")]
    NoMatch,
    /// The header was altered.
    #[error("the header was altered")]
    Mac,
    /// The payload was altered or cut.
    #[error("the payload was altered or cut")]
    Payload,
}

/// Who can open a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient(RecipientKey);

#[derive(Clone, PartialEq, Eq)]
enum RecipientKey {
    X25519([u8; 32]),
    Hybrid(Box<PublicKey>),
}

/// What opens a file.
pub struct Identity(IdentityKey);

enum IdentityKey {
    X25519 { secret: Secret<32>, public: [u8; 32] },
    Hybrid(Box<SecretKey>),
}

impl Recipient {
    /// Whether a quantum computer does not help to open what is sealed to it.
    #[must_use]
    pub fn is_hybrid(&self) -> bool {
        matches!(self.0, RecipientKey::Hybrid(_))
    }

    /// The stanza that wraps `file_key` for this recipient.
    fn stanza(
        &self,
        file_key: &Secret<16>,
        entropy: &dyn Entropy,
        out: &mut String,
    ) -> Result<(), SealError> {
        let (name, argument, body) = match &self.0 {
            RecipientKey::X25519(public) => {
                let (share, key) = x25519_sender(public, entropy)?;
                (X25519_NAME, share.to_vec(), chacha_seal(&key, file_key.expose())?)
            }
            RecipientKey::Hybrid(public) => {
                let sealed = hseal::seal_info(public, HYBRID_INFO, file_key.expose(), entropy)?;
                let (capsule, body) =
                    sealed.split_at_checked(hseal::CAPSULE_BYTES).ok_or(SealError::Cipher)?;
                (HYBRID_NAME, capsule.to_vec(), body.to_vec())
            }
        };
        // Both bodies are 32 octets, so that one short line holds them.
        let (argument, body) = (STANDARD_NO_PAD.encode(argument), STANDARD_NO_PAD.encode(body));
        out.push_str(&format!("-> {name} {argument}\n{body}\n"));
        Ok(())
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&match &self.0 {
            RecipientKey::X25519(public) => bech32::encode("age", public),
            RecipientKey::Hybrid(public) => bech32::encode("age1pq", public.as_bytes()),
        })
    }
}

impl FromStr for Recipient {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        if let Some(bytes) = bech32::decode("age1pq", text) {
            let key = PublicKey::decode(&bytes).map_err(|_| ParseKeyError)?;
            return Ok(Self(RecipientKey::Hybrid(Box::new(key))));
        }
        let bytes = bech32::decode("age", text).ok_or(ParseKeyError)?;
        let public: [u8; 32] = bytes.as_slice().try_into().map_err(|_| ParseKeyError)?;
        if hseal::low_order(&public) {
            return Err(ParseKeyError);
        }
        Ok(Self(RecipientKey::X25519(public)))
    }
}

impl Identity {
    /// A new hybrid identity.
    ///
    /// # Errors
    /// Only if the `hpke` crate refuses, which it does not.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, SealError> {
        SecretKey::generate(entropy).map(|key| Self(IdentityKey::Hybrid(Box::new(key))))
    }

    /// Reads `AGE-SECRET-KEY-1…` or `AGE-SECRET-KEY-PQ-1…`.
    ///
    /// # Errors
    /// [`ParseKeyError`] if it is neither.
    pub fn parse(text: &str) -> Result<Self, ParseKeyError> {
        let seed = |bytes: Zeroizing<Vec<u8>>| -> Result<Secret<32>, ParseKeyError> {
            let bytes: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| ParseKeyError)?;
            Ok(Secret::copied(bytes))
        };
        let text = text.trim();
        if let Some(bytes) = bech32::decode("age-secret-key-pq-", text) {
            let key = SecretKey::from_seed(seed(bytes)?).map_err(|_| ParseKeyError)?;
            return Ok(Self(IdentityKey::Hybrid(Box::new(key))));
        }
        let secret = seed(bech32::decode("age-secret-key-", text).ok_or(ParseKeyError)?)?;
        let public = x25519_public(secret.expose()).ok_or(ParseKeyError)?;
        Ok(Self(IdentityKey::X25519 { secret, public }))
    }

    /// The identity as text, for its owner's key file and nowhere else.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let text = match &self.0 {
            IdentityKey::X25519 { secret, .. } => {
                bech32::encode("age-secret-key-", secret.expose())
            }
            IdentityKey::Hybrid(key) => bech32::encode("age-secret-key-pq-", key.seed().expose()),
        };
        Zeroizing::new(text.to_ascii_uppercase())
    }

    /// Its public half.
    #[must_use]
    pub fn recipient(&self) -> Recipient {
        Recipient(match &self.0 {
            IdentityKey::X25519 { public, .. } => RecipientKey::X25519(*public),
            IdentityKey::Hybrid(key) => RecipientKey::Hybrid(Box::new(key.public())),
        })
    }

    /// The file key, if `stanza` is this identity's. `None` if it is another's; an error if it
    /// is of this type and not as it must be.
    fn unwrap(&self, stanza: &Stanza<'_>) -> Result<Option<Secret<16>>, AgeError> {
        let (name, length) = match &self.0 {
            IdentityKey::X25519 { .. } => (X25519_NAME, 32),
            IdentityKey::Hybrid(_) => (HYBRID_NAME, hseal::CAPSULE_BYTES),
        };
        let (first, rest) = stanza.arguments.split_first().ok_or(AgeError::Header)?;
        if *first != name {
            return Ok(None);
        }
        // age.md: exactly two arguments, canonical base64 of this length, a body of 32 octets.
        let [argument] = rest else { return Err(AgeError::Header) };
        let share = STANDARD_NO_PAD.decode(argument).map_err(|_| AgeError::Header)?;
        if share.len() != length || stanza.body.len() != 32 || hseal::low_order(&share) {
            return Err(AgeError::Header);
        }
        let opened = match &self.0 {
            IdentityKey::X25519 { secret, public } => {
                let key = x25519_receiver(secret, public, &share).ok_or(AgeError::Header)?;
                chacha_open(&key, &stanza.body)
            }
            IdentityKey::Hybrid(key) => {
                hseal::open_info(key, HYBRID_INFO, &[share, stanza.body.clone()].concat()).ok()
            }
        };
        let file_key =
            opened.and_then(|octets| octets.as_slice().try_into().map(Secret::copied).ok());
        Ok(file_key)
    }
}

fn hkdf(input: &[u8], salt: &[u8], info: &[u8]) -> Secret<32> {
    let key = Zeroizing::new(HmacKey::new(salt).mac(&[input]));
    Secret::filled(|out| expand(HMAC_SHA256, key.as_slice(), &[info], out))
}

fn x25519_public(secret: &[u8; 32]) -> Option<[u8; 32]> {
    let key = agreement::PrivateKey::from_private_key(&X25519, secret).ok()?;
    key.compute_public_key().ok()?.as_ref().try_into().ok()
}

/// The wrap key both sides of an X25519 stanza arrive at.
fn x25519_key(
    secret: &[u8; 32],
    peer: &[u8],
    share: &[u8],
    recipient: &[u8],
) -> Option<Secret<32>> {
    let key = agreement::PrivateKey::from_private_key(&X25519, secret).ok()?;
    let salt = [share, recipient].concat();
    // `agree` fails on an all-zero shared secret (RFC 7748 §6.1).
    agreement::agree(&key, UnparsedPublicKey::new(&X25519, peer), (), |shared| {
        Ok(hkdf(shared, &salt, b"age-encryption.org/v1/X25519"))
    })
    .ok()
}

fn x25519_sender(
    public: &[u8; 32],
    entropy: &dyn Entropy,
) -> Result<([u8; 32], Secret<32>), SealError> {
    let secret = Secret::<32>::random(entropy);
    let share = x25519_public(secret.expose()).ok_or(SealError::Cipher)?;
    let key = x25519_key(secret.expose(), public, &share, public).ok_or(SealError::Parameter)?;
    Ok((share, key))
}

fn x25519_receiver(secret: &Secret<32>, public: &[u8; 32], share: &[u8]) -> Option<Secret<32>> {
    x25519_key(secret.expose(), share, share, public)
}

fn chacha(key: &Secret<32>) -> Option<LessSafeKey> {
    UnboundKey::new(&CHACHA20_POLY1305, key.expose()).ok().map(LessSafeKey::new)
}

fn chacha_seal(key: &Secret<32>, plain: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut out = plain.to_vec();
    chacha(key)
        .ok_or(SealError::Cipher)?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key([0; 12]), Aad::empty(), &mut out)
        .map_err(|_| SealError::Cipher)?;
    Ok(out)
}

fn chacha_open(key: &Secret<32>, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut out = Zeroizing::new(sealed.to_vec());
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    let length = chacha(key)?.open_in_place(nonce, Aad::empty(), &mut out).ok()?.len();
    out.truncate(length);
    Some(out)
}

fn header_mac(file_key: &Secret<16>, header: &[u8]) -> [u8; 32] {
    HmacKey::new(hkdf(file_key.expose(), b"", b"header").expose()).mac(&[header])
}

fn chunk_nonce(counter: u64, last: bool) -> Nonce {
    let mut nonce = [0; 12];
    let source = [0; 3].into_iter().chain(counter.to_be_bytes()).chain([u8::from(last)]);
    nonce.iter_mut().zip(source).for_each(|(to, from)| *to = from);
    Nonce::assume_unique_for_key(nonce)
}

/// Writes one age file, in a stream. Holds at most one chunk of plaintext.
pub struct AgeSealer {
    key: LessSafeKey,
    counter: u64,
    rest: Zeroizing<Vec<u8>>,
}

impl AgeSealer {
    /// Begins a file to `recipients`; appends its header to `out`.
    ///
    /// # Errors
    /// [`SealError::Parameter`] if there is no recipient, too many, or hybrid and other ones
    /// together: the file would be only as strong as the weakest (age.md).
    pub fn begin(
        recipients: &[Recipient],
        entropy: &dyn Entropy,
        out: &mut Vec<u8>,
    ) -> Result<Self, SealError> {
        let hybrid = recipients.iter().filter(|recipient| recipient.is_hybrid()).count();
        let mixed = hybrid != 0 && hybrid != recipients.len();
        if recipients.is_empty() || recipients.len() > STANZAS_MAX || mixed {
            return Err(SealError::Parameter);
        }
        let file_key = Secret::<16>::random(entropy);
        let mut header = String::from_utf8_lossy(INTRO).into_owned();
        for recipient in recipients {
            recipient.stanza(&file_key, entropy, &mut header)?;
        }
        header.push_str("---");
        let mac = STANDARD_NO_PAD.encode(header_mac(&file_key, header.as_bytes()));
        let nonce: [u8; 16] = draw(entropy);
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(format!(" {mac}\n").as_bytes());
        out.extend_from_slice(&nonce);
        let key = chacha(&hkdf(file_key.expose(), &nonce, b"payload")).ok_or(SealError::Cipher)?;
        let rest = Zeroizing::new(Vec::with_capacity(2 * CHUNK));
        Ok(Self { key, counter: 0, rest })
    }

    /// Adds plaintext; appends to `out` the chunks that are surely not the last.
    ///
    /// # Errors
    /// [`SealError::Cipher`] if the cipher refuses, which it does not.
    pub fn push(&mut self, mut plain: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        while !plain.is_empty() {
            // A full chunk waits until more comes: the last chunk may be full, but not empty.
            if self.rest.len() == CHUNK {
                self.chunk(false, out)?;
            }
            let room = (CHUNK - self.rest.len()).min(plain.len());
            let (head, tail) = plain.split_at(room);
            self.rest.extend_from_slice(head);
            plain = tail;
        }
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), SealError> {
        self.chunk(true, out)
    }

    fn chunk(&mut self, last: bool, out: &mut Vec<u8>) -> Result<(), SealError> {
        let start = out.len();
        out.extend_from_slice(&self.rest);
        let place = out.get_mut(start..).ok_or(SealError::Cipher)?;
        let nonce = chunk_nonce(self.counter, last);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::empty(), place)
            .map_err(|_| SealError::Cipher)?;
        out.extend_from_slice(tag.as_ref());
        self.rest.clear();
        self.counter = self.counter.checked_add(1).ok_or(SealError::TooLong)?;
        Ok(())
    }
}

/// A whole file at once.
///
/// # Errors
/// As [`AgeSealer`].
pub fn seal(
    recipients: &[Recipient],
    plain: &[u8],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, SealError> {
    let mut out = Vec::with_capacity(plain.len() + plain.len() / CHUNK * TAG + 4096);
    let mut sealer = AgeSealer::begin(recipients, entropy, &mut out)?;
    sealer.push(plain, &mut out)?;
    sealer.finish(&mut out)?;
    Ok(out)
}

struct Stanza<'a> {
    arguments: Vec<&'a str>,
    body: Vec<u8>,
}

struct Header<'a> {
    stanzas: Vec<Stanza<'a>>,
    /// Everything up to and including `---`.
    signed: &'a [u8],
    mac: [u8; 32],
    payload: &'a [u8],
}

/// One line without its line feed, and what follows.
fn line(rest: &[u8]) -> Result<(&str, &[u8]), AgeError> {
    let end = rest.iter().take(HEADER_BYTES_MAX).position(|octet| *octet == b'\n');
    let (line, rest) = end.and_then(|end| rest.split_at_checked(end)).ok_or(AgeError::Header)?;
    let rest = rest.get(1..).ok_or(AgeError::Header)?;
    core::str::from_utf8(line).map(|line| (line, rest)).map_err(|_| AgeError::Header)
}

fn parse_stanza<'a>(
    first: &'a str,
    mut rest: &'a [u8],
) -> Result<(Stanza<'a>, &'a [u8]), AgeError> {
    let arguments: Vec<&str> = first.split(' ').collect();
    let visible = |argument: &&str| {
        !argument.is_empty() && argument.bytes().all(|octet| octet.is_ascii_graphic())
    };
    if !arguments.iter().all(visible) {
        return Err(AgeError::Header);
    }
    let mut body = Vec::new();
    loop {
        let (text, after) = line(rest)?;
        rest = after;
        if text.len() > 64 || body.len() > HEADER_BYTES_MAX {
            return Err(AgeError::Header);
        }
        body.extend(STANDARD_NO_PAD.decode(text).map_err(|_| AgeError::Header)?);
        if text.len() < 64 {
            return Ok((Stanza { arguments, body }, rest));
        }
    }
}

fn parse_header(file: &[u8]) -> Result<Header<'_>, AgeError> {
    let mut rest = file.strip_prefix(INTRO).ok_or(AgeError::Header)?;
    let mut stanzas = Vec::new();
    loop {
        let before = rest;
        let (text, after) = line(rest)?;
        rest = after;
        if file.len() - rest.len() > HEADER_BYTES_MAX {
            return Err(AgeError::Header);
        }
        if let Some(first) = text.strip_prefix("-> ") {
            let (stanza, after) = parse_stanza(first, rest)?;
            stanzas.push(stanza);
            rest = after;
        } else {
            let mac = text.strip_prefix("--- ").ok_or(AgeError::Header)?;
            let mac = STANDARD_NO_PAD.decode(mac).map_err(|_| AgeError::Header)?;
            let mac = mac.try_into().map_err(|_| AgeError::Header)?;
            let signed = file.get(..file.len() - before.len() + 3).ok_or(AgeError::Header)?;
            if stanzas.is_empty() || stanzas.len() > STANZAS_MAX {
                return Err(AgeError::Header);
            }
            return Ok(Header { stanzas, signed, mac, payload: rest });
        }
    }
}

/// Opens a file, armored or not, with whichever identity fits.
///
/// # Errors
/// As [`AgeError`] says; nothing of the payload is given out then.
pub fn open(file: &[u8], identities: &[Identity]) -> Result<Vec<u8>, AgeError> {
    if let Some(plain) = armor::decode(file)? {
        return open_binary(&plain, identities);
    }
    open_binary(file, identities)
}

fn open_binary(file: &[u8], identities: &[Identity]) -> Result<Vec<u8>, AgeError> {
    let header = parse_header(file)?;
    // age.md: a scrypt stanza must stand alone, and this reader opens none.
    let scrypt = header.stanzas.iter().any(|stanza| stanza.arguments.first() == Some(&"scrypt"));
    if scrypt && header.stanzas.len() > 1 {
        return Err(AgeError::Header);
    }
    let mut found = None;
    for identity in identities {
        for stanza in &header.stanzas {
            if found.is_none() {
                found = identity.unwrap(stanza)?;
            } else {
                break;
            }
        }
    }
    let file_key = found.ok_or(AgeError::NoMatch)?;
    if !same(&header_mac(&file_key, header.signed), &header.mac) {
        return Err(AgeError::Mac);
    }
    // CCTV counts the nonce to the header.
    let (nonce, payload) = header.payload.split_first_chunk().ok_or(AgeError::Header)?;
    open_payload(&file_key, nonce, payload)
}

fn open_payload(
    file_key: &Secret<16>,
    nonce: &[u8; 16],
    sealed: &[u8],
) -> Result<Vec<u8>, AgeError> {
    let key = chacha(&hkdf(file_key.expose(), nonce, b"payload")).ok_or(AgeError::Payload)?;
    let mut out = Zeroizing::new(Vec::with_capacity(sealed.len()));
    let chunks = sealed.chunks(CHUNK + TAG);
    let count = chunks.len();
    if count == 0 {
        return Err(AgeError::Payload);
    }
    for (counter, chunk) in (0u64..).zip(chunks) {
        let last = u64::try_from(count).ok() == Some(counter + 1);
        let text = chunk.len().checked_sub(TAG).ok_or(AgeError::Payload)?;
        // age.md: the last chunk is empty only if the whole payload is.
        if text == 0 && counter > 0 {
            return Err(AgeError::Payload);
        }
        let (chunk, tag) = chunk.split_at(text);
        let start = out.len();
        out.resize(start + text, 0);
        let place = out.get_mut(start..).ok_or(AgeError::Payload)?;
        key.open_separate_gather(chunk_nonce(counter, last), Aad::empty(), chunk, tag, place)
            .map_err(|_| AgeError::Payload)?;
    }
    Ok(core::mem::take(&mut *out))
}
