//! The ASCII armor of age files: strict PEM.
//!
//! Refs: C2SP age.md, "ASCII armor"; RFC 7468 §3 ("stricttextualmsg").

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::age::AgeError;

const BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const END: &str = "-----END AGE ENCRYPTED FILE-----";

/// The file inside the armor; `None` if there is no armor.
pub(crate) fn decode(file: &[u8]) -> Result<Option<Vec<u8>>, AgeError> {
    // Leading and trailing whitespace is permitted; nothing else outside the armor is.
    let trimmed = file.trim_ascii();
    if !trimmed.starts_with(b"-----BEGIN") {
        return Ok(None);
    }
    let text = core::str::from_utf8(trimmed).map_err(|_| AgeError::Armor)?;
    let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    if lines.next() != Some(BEGIN) {
        return Err(AgeError::Armor);
    }
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut short = false;
    for line in &mut lines {
        if line == END {
            return if lines.next().is_none() { Ok(Some(out)) } else { Err(AgeError::Armor) };
        }
        // 64 columns each, but for the last, which is shorter and not empty.
        if short || line.is_empty() || line.len() > 64 {
            return Err(AgeError::Armor);
        }
        short = line.len() < 64;
        let octets = STANDARD.decode(line).map_err(|_| AgeError::Armor)?;
        short |= octets.len() < 48;
        out.extend_from_slice(&octets);
    }
    Err(AgeError::Armor)
}
