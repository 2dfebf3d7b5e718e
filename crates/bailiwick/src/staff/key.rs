//! A member of staff's key file.
//!
//! Invariant: the file is made once, readable by its owner alone, and never overwritten.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context, Result};
use custody::hex;
use seal::sign::SigningKey;
use seal::{Entropy as _, Secret};
use vocab::PersonId;
use zeroize::Zeroizing;

use crate::entropy::OsEntropy;

const FIRST_LINE: &str = "bailiwick-staff-key 1";

/// A person and the key they sign with.
pub(super) struct StaffKey {
    pub(super) person: PersonId,
    pub(super) signing: SigningKey,
}

impl StaffKey {
    pub(super) fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map(Zeroizing::new);
        let text = text.with_context(|| format!("cannot read `{}`", path.display()))?;
        Self::parse(&text).with_context(|| {
            format!(
                "`{}` is not a staff key; make one with `bailiwick desk keygen`",
                path.display()
            )
        })
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let first = lines.next()?;
        let person = lines.next()?.strip_prefix("person ")?.parse().ok()?;
        let secret = lines.next()?.strip_prefix("secret ")?;
        let mut seed = Zeroizing::new(hex::decode_array::<32>(secret)?);
        let signing = SigningKey::from_seed(Secret::take(&mut seed)).ok()?;
        (first == FIRST_LINE).then_some(Self { person, signing })
    }
}

/// Makes a key file; returns what the operator enrols: the person's identifier and public key.
pub(super) fn generate(out: &Path) -> Result<String> {
    let mut person = [0; 16];
    OsEntropy.fill(&mut person);
    let signing = SigningKey::generate(&OsEntropy)?;
    let secret = Zeroizing::new(hex::encode(signing.seed().expose()));
    let text = Zeroizing::new(format!(
        "# A member of staff's key. It is yours alone: whoever has it acts as you.\n\
         {FIRST_LINE}\nperson {}\nsecret {}\n",
        PersonId(person),
        secret.as_str()
    ));
    write_new(out, text.as_bytes())?;
    Ok(format!("{} {}", PersonId(person), hex::encode(&signing.public().0)))
}

/// Writes a file that was not there, for its owner alone.
pub(super) fn write_new(path: &Path, octets: &[u8]) -> Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot make `{}`; name a new file", path.display()))?;
    file.write_all(octets)?;
    file.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_read_as_it_was_made_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clerk.key");
        let line = generate(&path).unwrap();
        let key = StaffKey::load(&path).unwrap();
        assert_eq!(line, format!("{} {}", key.person, hex::encode(&key.signing.public().0)));
        assert!(generate(&path).is_err());
    }

    #[test]
    fn what_is_not_a_key_file_is_refused() {
        let hex = "0".repeat(64);
        for text in ["", "bailiwick-staff-key 2\nperson x\nsecret y", &format!("x\nsecret {hex}")] {
            assert!(StaffKey::parse(text).is_none(), "{text}");
        }
    }
}
