//! DKIM signatures on what leaves: one with Ed25519, one with RSA, for every own domain.
//!
//! Two, because many verifiers know only RSA and RFC 8463 asks for both until they do.
//!
//! Invariant: only the cell's own domains are signed for, and only after submission has checked
//! that the sender owns the From address. Private keys are not printed.
//! Refs: RFC 6376 §3.5, §5.4, §8.15; RFC 8301; RFC 8463.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter as _;
use mail_auth::dkim::{DkimSigner, Done};
use proto::address::Domain;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use seal::Secret;
use seal::sign::SigningKey;

/// The fields that are signed, whether there or not (RFC 6376 §5.4.1). Those that stand twice
/// are signed once more than they occur, so that none can be added (§8.15).
const SIGNED: [&str; 17] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "From",
    "To",
    "Subject",
    "Date",
];

/// Why there is no signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// Not a PEM file with an RSA private key.
    #[error("not an RSA private key in PEM, PKCS#1 or PKCS#8")]
    Rsa,
    /// RFC 8301 §3.2: at least 1024 bits; 2048 should be used.
    #[error("the RSA key has fewer than 2048 bits")]
    RsaTooShort,
    /// The library refused the seed, which it does not.
    #[error("the Ed25519 key cannot be used")]
    Ed25519,
}

/// A message could not be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message could not be signed")]
pub struct NotSigned;

/// What a signer is made with.
pub struct SignerOptions<'a> {
    /// The domains to sign for: the cell's own.
    pub domains: &'a [Domain],
    /// The seed of the Ed25519 key.
    pub ed25519_seed: Secret<32>,
    /// The selector its public half is published under.
    pub ed25519_selector: &'a str,
    /// The RSA key, 2048 bits or more, in PEM.
    pub rsa_key: &'a str,
    /// The selector its public half is published under.
    pub rsa_selector: &'a str,
}

/// What is to be published in DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxtRecord {
    /// The name, without a final dot.
    pub name: String,
    /// The text; longer than 255 octets it goes into several strings of one record.
    pub text: String,
}

/// Signs for the cell's domains.
pub struct Signer {
    domains: Vec<Keys>,
    records: Vec<TxtRecord>,
}

struct Keys {
    domain: Domain,
    ed25519: DkimSigner<Ed25519Key, Done>,
    rsa: DkimSigner<RsaKey<Sha256>, Done>,
}

impl Signer {
    /// A signer.
    ///
    /// # Errors
    /// [`SignerError`].
    pub fn new(options: SignerOptions<'_>) -> Result<Self, SignerError> {
        let pair = SigningKey::from_seed(options.ed25519_seed).map_err(|_| SignerError::Ed25519)?;
        let public = pair.public().0;
        let mut signer = Self { domains: Vec::new(), records: Vec::new() };
        for domain in options.domains {
            let Some(name) = domain.dns_name() else { continue };
            let ed25519 = Ed25519Key::from_seed_and_public_key(pair.seed().expose(), &public);
            let ed25519 = ed25519.map_err(|_| SignerError::Ed25519)?;
            let rsa = PrivateKeyDer::from_pem_slice(options.rsa_key.as_bytes());
            let rsa = RsaKey::<Sha256>::from_key_der(rsa.map_err(|_| SignerError::Rsa)?);
            let rsa = rsa.map_err(|_| SignerError::Rsa)?;
            let rsa_public = rsa.public_key();
            // A 2048-bit modulus alone takes 256 octets.
            if rsa_public.len() <= 256 {
                return Err(SignerError::RsaTooShort);
            }
            let rsa_public = spki(&rsa_public).ok_or(SignerError::Rsa)?;
            let record = |selector: &str, kind: &str, key: &[u8]| TxtRecord {
                name: format!("{selector}._domainkey.{name}"),
                text: format!("v=DKIM1; k={kind}; p={}", STANDARD.encode(key)),
            };
            signer.records.push(record(options.ed25519_selector, "ed25519", &public));
            signer.records.push(record(options.rsa_selector, "rsa", &rsa_public));
            signer.domains.push(Keys {
                domain: domain.clone(),
                ed25519: DkimSigner::from_key(ed25519)
                    .domain(name)
                    .selector(options.ed25519_selector)
                    .headers(SIGNED),
                rsa: DkimSigner::from_key(rsa)
                    .domain(name)
                    .selector(options.rsa_selector)
                    .headers(SIGNED),
            });
        }
        Ok(signer)
    }

    /// The DKIM-Signature fields for a message from an address of `domain`; empty if that is
    /// not one of ours. Takes CPU time for the whole message.
    ///
    /// # Errors
    /// [`NotSigned`].
    pub fn sign(&self, domain: &Domain, message: &[u8]) -> Result<Vec<u8>, NotSigned> {
        let Some(keys) = self.domains.iter().find(|keys| keys.domain == *domain) else {
            return Ok(Vec::new());
        };
        let rsa = keys.rsa.sign(message).map_err(|_| NotSigned)?;
        let ed25519 = keys.ed25519.sign(message).map_err(|_| NotSigned)?;
        Ok([rsa.to_header(), ed25519.to_header()].concat().into_bytes())
    }

    /// What must be in DNS for the signatures to check.
    #[must_use]
    pub fn records(&self) -> &[TxtRecord] {
        &self.records
    }
}

/// A PKCS#1 public key as the SubjectPublicKeyInfo that is published (RFC 6376 §3.6.1, and
/// erratum 3017 on which of the two).
fn spki(pkcs1: &[u8]) -> Option<Vec<u8>> {
    // SEQUENCE { OID 1.2.840.113549.1.1.1, NULL }
    const ALGORITHM: [u8; 15] =
        [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    let bits = der(0x03, &[&[0][..], pkcs1].concat())?;
    der(0x30, &[&ALGORITHM[..], &bits].concat())
}

fn der(tag: u8, content: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(content.len()).ok()?.to_be_bytes();
    Some([&[tag, 0x82][..], &length, content].concat())
}
