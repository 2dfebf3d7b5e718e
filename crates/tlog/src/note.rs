//! Signed notes: a text, a blank line, and signature lines by named keys.
//!
//! Invariant: [`SignedNote::verify`] accepts nothing unless at least one known key signed it,
//! and refuses the whole note when any line of a known key fails. Lines by unknown keys are
//! carried along and mean nothing.
//! Refs: C2SP signed-note; RFC 8032 §5.1.

use core::fmt;
use core::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use vocab::Timestamp;

use crate::{checkpoint, cosignature, text};

/// The largest note read or made, in octets: room for 32 lines of post-quantum size.
pub const NOTE_BYTES_MAX: usize = 256 * 1024;
/// The most signature lines one note may carry (C2SP signed-note asks for at least 16).
pub const SIGNATURES_MAX: usize = 32;
/// The longest key name, in octets (tlog-cosignature: `cosigner_name<1..2^8-1>`).
pub const KEY_NAME_BYTES_MAX: usize = 255;

/// Why a key or its text was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The name is empty, too long, or holds a space, a plus or a control character.
    #[error("a key name is 1 to 255 octets without spaces, plus signs or control characters")]
    Name,
    /// The text is not `name+hex+base64`.
    #[error("a verifier key is written as name+hex+base64")]
    Shape,
    /// The signature type is not one that this program speaks.
    #[error("signature type {0:#04x} is not supported")]
    Kind(u8),
    /// The public key has the wrong length.
    #[error("an Ed25519 public key has 32 octets")]
    Length,
    /// The key id is not the hash of the name, the type and the key.
    #[error("the key id does not belong to this name and key")]
    Id,
    /// The cryptographic library refused the seed.
    #[error("the signing key was refused")]
    Seed,
}

/// The signing failed inside the cryptographic library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("signing failed")]
pub struct SignError;

/// Why octets are not a signed note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// More than [`NOTE_BYTES_MAX`] octets.
    #[error("the note is larger than {NOTE_BYTES_MAX} octets")]
    TooLarge,
    /// More than [`SIGNATURES_MAX`] signature lines.
    #[error("the note has more than {SIGNATURES_MAX} signatures")]
    TooManySignatures,
    /// Not UTF-8, or a control character other than newline.
    #[error("the note holds octets that are not text")]
    NotText,
    /// No final newline, no blank line, or no signature.
    #[error("the note is not a text, a blank line and signature lines")]
    Shape,
    /// A line after the blank line is not `— name base64`.
    #[error("a signature line is malformed")]
    SignatureLine,
}

/// Why a note is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// A line bears the name and id of a known key and does not verify.
    #[error("the signature of `{name}` is false")]
    Invalid {
        /// The key's name.
        name: String,
    },
    /// No line is by a known key.
    #[error("no known key signed the note")]
    NoKnownKey,
}

/// What a signature line is (C2SP signed-note "Signature types").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignatureKind {
    /// 0x01: Ed25519 over the text.
    Ed25519,
    /// 0x04: a timestamped Ed25519 cosignature over a checkpoint.
    Cosignature,
}

impl SignatureKind {
    fn octet(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::Cosignature => 0x04,
        }
    }
}

/// A public key under a name, for one kind of signature; as text, a *vkey*.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerifierKey {
    name: String,
    kind: SignatureKind,
    public_key: [u8; 32],
    id: [u8; 4],
}

impl VerifierKey {
    /// Names a public key.
    ///
    /// # Errors
    /// [`KeyError::Name`].
    pub fn new(name: &str, kind: SignatureKind, public_key: [u8; 32]) -> Result<Self, KeyError> {
        if name.len() > KEY_NAME_BYTES_MAX || !is_key_name(name) {
            return Err(KeyError::Name);
        }
        // C2SP signed-note: key ID = SHA-256(name || 0x0A || type || public key)[:4]
        let mut preimage = Vec::with_capacity(name.len() + 34);
        preimage.extend_from_slice(name.as_bytes());
        preimage.extend_from_slice(&[b'\n', kind.octet()]);
        preimage.extend_from_slice(&public_key);
        let hash = digest(&SHA256, &preimage);
        let id = hash.as_ref().first_chunk().copied().unwrap_or_default();
        Ok(Self { name: name.to_owned(), kind, public_key, id })
    }

    /// The name on its signature lines.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kind of signature it verifies.
    #[must_use]
    pub fn kind(&self) -> SignatureKind {
        self.kind
    }

    /// The Ed25519 public key, RFC 8032 §5.1.2 encoding.
    #[must_use]
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }

    /// The key id on its signature lines.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    /// Whether a signature line claims to be by this key: name and id both match.
    #[must_use]
    pub fn claims(&self, line: &NoteSignature) -> bool {
        line.name == self.name && line.key_id == self.id
    }

    /// Checks one signature over a text. `None`: false. The inner value is a cosignature's time.
    fn check(&self, note_text: &str, signature: &[u8]) -> Option<Option<Timestamp>> {
        let key = UnparsedPublicKey::new(&ED25519, &self.public_key);
        match self.kind {
            SignatureKind::Ed25519 => {
                key.verify(note_text.as_bytes(), signature).ok().map(|()| None)
            }
            SignatureKind::Cosignature => {
                let (time, signature) = cosignature::split(signature)?;
                // tlog-cosignature: a cosignature is a signature applied to a checkpoint.
                checkpoint::Checkpoint::parse(note_text).ok()?;
                let message = cosignature::message(note_text, time);
                key.verify(message.as_bytes(), signature).ok().map(|()| Some(time))
            }
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+", self.name)?;
        self.id.iter().try_for_each(|octet| write!(f, "{octet:02x}"))?;
        let mut key = vec![self.kind.octet()];
        key.extend_from_slice(&self.public_key);
        write!(f, "+{}", text::encode(&key))
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    /// Reads a vkey: `name+hex(id)+base64(type || key)`. The id must be the recommended hash.
    fn from_str(vkey: &str) -> Result<Self, KeyError> {
        let mut parts = vkey.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Shape);
        };
        let key = text::decode(key).ok_or(KeyError::Shape)?;
        let (kind, key) = match key.split_first() {
            Some((0x01, key)) => (SignatureKind::Ed25519, key),
            Some((0x04, key)) => (SignatureKind::Cosignature, key),
            Some((other, _)) => return Err(KeyError::Kind(*other)),
            None => return Err(KeyError::Shape),
        };
        let read = Self::new(name, kind, key.try_into().map_err(|_| KeyError::Length)?)?;
        let hex: String = read.id.iter().map(|octet| format!("{octet:02x}")).collect();
        if id == hex { Ok(read) } else { Err(KeyError::Id) }
    }
}

/// C2SP signed-note: non-empty, no Unicode spaces, no plus; and it must fit in a note.
fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c == '+' || c < ' ')
}

/// One signature line. It proves nothing until [`SignedNote::verify`] says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    key_id: [u8; 4],
    signature: Vec<u8>,
}

impl NoteSignature {
    pub(crate) fn new(key: &VerifierKey, signature: Vec<u8>) -> Self {
        Self { name: key.name.clone(), key_id: key.id, signature }
    }

    /// The name of the key that is said to have signed.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of the key that is said to have signed.
    #[must_use]
    pub fn key_id(&self) -> [u8; 4] {
        self.key_id
    }

    /// Reads one line, without its newline.
    fn parse(line: &str) -> Result<Self, NoteError> {
        let (name, blob) = line
            .strip_prefix("— ")
            .and_then(|line| line.split_once(' '))
            .ok_or(NoteError::SignatureLine)?;
        let blob = text::decode(blob).ok_or(NoteError::SignatureLine)?;
        let Some((key_id, signature)) = blob.split_first_chunk::<4>() else {
            return Err(NoteError::SignatureLine);
        };
        if !is_key_name(name) || signature.is_empty() {
            return Err(NoteError::SignatureLine);
        }
        Ok(Self { name: name.to_owned(), key_id: *key_id, signature: signature.to_vec() })
    }

    /// Reads lines that each end in a newline; at least one, at most [`SIGNATURES_MAX`].
    pub(crate) fn parse_lines(lines: &str) -> Result<Vec<Self>, NoteError> {
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Shape)?;
        if lines.split('\n').count() > SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures);
        }
        lines.split('\n').map(Self::parse).collect()
    }
}

impl fmt::Display for NoteSignature {
    /// The line, with its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [self.key_id.as_slice(), &self.signature].concat();
        writeln!(f, "— {} {}", self.name, text::encode(&blob))
    }
}

/// A note with its signature lines, well formed but not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl SignedNote {
    /// Puts a first signature under a text, which must end in a newline.
    ///
    /// # Errors
    /// [`NoteError`] when the result would not be a note.
    pub fn new(note_text: &str, signature: NoteSignature) -> Result<Self, NoteError> {
        check_text(note_text)?;
        if !note_text.ends_with('\n') {
            return Err(NoteError::Shape);
        }
        let note = Self { text: note_text.to_owned(), signatures: vec![signature] };
        note.check_size()?;
        Ok(note)
    }

    /// Reads a note. Every note read is written back octet for octet by [`Self::encode`].
    ///
    /// # Errors
    /// [`NoteError`]: what the octets lack.
    pub fn parse(octets: &[u8]) -> Result<Self, NoteError> {
        if octets.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLarge);
        }
        let whole = core::str::from_utf8(octets).map_err(|_| NoteError::NotText)?;
        check_text(whole)?;
        // C2SP signed-note: the text is separated from the signatures by the last empty line.
        let blank = whole.rfind("\n\n").ok_or(NoteError::Shape)?;
        let (note_text, rest) = whole.split_at_checked(blank + 1).ok_or(NoteError::Shape)?;
        let lines = rest.strip_prefix('\n').ok_or(NoteError::Shape)?;
        let signatures = NoteSignature::parse_lines(lines)?;
        Ok(Self { text: note_text.to_owned(), signatures })
    }

    /// The note as text: what [`Self::parse`] reads.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = format!("{}\n", self.text);
        for signature in &self.signatures {
            out.push_str(&signature.to_string());
        }
        out
    }

    /// The text before any signature is checked: fit to choose keys by, not to be believed.
    #[must_use]
    pub fn text_unverified(&self) -> &str {
        &self.text
    }

    /// The signature lines, in order, whoever made them.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Adds a signature line; a line of the same name and key id is replaced.
    ///
    /// # Errors
    /// [`NoteError::TooManySignatures`] or [`NoteError::TooLarge`]; the note is then unchanged.
    pub fn add(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        let mut next = self.clone();
        next.signatures
            .retain(|line| line.name != signature.name || line.key_id != signature.key_id);
        next.signatures.push(signature);
        next.check_size()?;
        *self = next;
        Ok(())
    }

    /// The same note with only the lines that claim to be by one of these keys; `None` if none.
    pub(crate) fn only_by(&self, keys: &[VerifierKey]) -> Option<Self> {
        let by_known = |line: &&NoteSignature| keys.iter().any(|key| key.claims(line));
        let signatures: Vec<_> = self.signatures.iter().filter(by_known).cloned().collect();
        (!signatures.is_empty()).then(|| Self { text: self.text.clone(), signatures })
    }

    /// Checks every line by one of `keys`. One known key's line counts once; of several
    /// cosignatures by one key the newest counts.
    ///
    /// # Errors
    /// [`VerifyError`]: a known key's line is false, or no line is by a known key.
    pub fn verify<'n, 'k>(
        &'n self,
        keys: impl IntoIterator<Item = &'k VerifierKey>,
    ) -> Result<VerifiedNote<'n, 'k>, VerifyError> {
        let mut signed_by = Vec::new();
        for key in keys {
            let mut newest: Option<Option<Timestamp>> = None;
            for line in self.signatures.iter().filter(|line| key.claims(line)) {
                let time = key
                    .check(&self.text, &line.signature)
                    .ok_or_else(|| VerifyError::Invalid { name: key.name.clone() })?;
                newest = newest.max(Some(time));
            }
            if let Some(time) = newest {
                signed_by.push(Signed { key, time });
            }
        }
        if signed_by.is_empty() {
            return Err(VerifyError::NoKnownKey);
        }
        Ok(VerifiedNote { text: &self.text, signed_by })
    }

    fn check_size(&self) -> Result<(), NoteError> {
        if self.signatures.len() > SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures);
        }
        if self.encode().len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLarge);
        }
        Ok(())
    }
}

/// A note that at least one known key signed; only [`SignedNote::verify`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedNote<'n, 'k> {
    text: &'n str,
    signed_by: Vec<Signed<'k>>,
}

impl<'n, 'k> VerifiedNote<'n, 'k> {
    /// The text that was signed, with its final newline.
    #[must_use]
    pub fn text(&self) -> &'n str {
        self.text
    }

    /// Which of the known keys signed; never empty, each key once.
    #[must_use]
    pub fn signed_by(&self) -> &[Signed<'k>] {
        &self.signed_by
    }
}

/// One known key's verified signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed<'k> {
    /// The key.
    pub key: &'k VerifierKey,
    /// When, if the signature is a cosignature.
    pub time: Option<Timestamp>,
}

fn check_text(whole: &str) -> Result<(), NoteError> {
    // C2SP signed-note: no ASCII control characters (those below U+0020) other than newline.
    if whole.bytes().any(|octet| octet < b' ' && octet != b'\n') {
        return Err(NoteError::NotText);
    }
    Ok(())
}

/// A private Ed25519 key that signs notes (type 0x01) under a name.
///
/// It has no `Debug`, `Clone` or serialised form; the library wipes the key when it is dropped.
pub struct NoteSigner {
    key: VerifierKey,
    pair: Ed25519KeyPair,
}

impl NoteSigner {
    /// Makes the signer of a 32-octet seed (RFC 8032 §5.1.5). The caller wipes its copy.
    ///
    /// # Errors
    /// [`KeyError::Name`] or [`KeyError::Seed`].
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let (key, pair) = pair(name, SignatureKind::Ed25519, seed)?;
        Ok(Self { key, pair })
    }

    /// The public half.
    #[must_use]
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.key
    }

    /// Signs a text, which must end in a newline to be put into a note.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign(&self, note_text: &str) -> Result<NoteSignature, SignError> {
        let signature = self.pair.try_sign(note_text.as_bytes()).map_err(|_| SignError)?;
        Ok(NoteSignature::new(&self.key, signature.as_ref().to_vec()))
    }
}

pub(crate) fn pair(
    name: &str,
    kind: SignatureKind,
    seed: &[u8; 32],
) -> Result<(VerifierKey, Ed25519KeyPair), KeyError> {
    use aws_lc_rs::signature::KeyPair as _;
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Seed)?;
    let public_key = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Length)?;
    Ok((VerifierKey::new(name, kind, public_key)?, pair))
}
