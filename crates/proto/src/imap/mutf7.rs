//! Mailbox names between UTF-8, which is kept, and IMAP4rev1's modified UTF-7.
//!
//! Invariant: what `encode` writes `decode` reads back; a name that is not exactly in the
//! encoded form is refused, so that no two encodings name one mailbox.
//! Refs: RFC 3501 §5.1.3; RFC 2152.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// A name as IMAP4rev1 sends it.
#[must_use]
pub fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut units: Vec<u16> = Vec::new();
    for char in name.chars() {
        if (' '..='~').contains(&char) {
            flush(&mut units, &mut out);
            out.push(char);
            if char == '&' {
                out.push('-');
            }
        } else {
            let mut pair = [0; 2];
            units.extend_from_slice(char.encode_utf16(&mut pair));
        }
    }
    flush(&mut units, &mut out);
    out
}

fn flush(units: &mut Vec<u16>, out: &mut String) {
    if units.is_empty() {
        return;
    }
    out.push('&');
    let (mut bits, mut held) = (0_u32, 0_u32);
    for unit in units.drain(..) {
        bits = bits << 16 | u32::from(unit);
        held += 16;
        while held >= 6 {
            held -= 6;
            push_digit(bits >> held, out);
            bits &= (1 << held) - 1;
        }
    }
    if held > 0 {
        push_digit(bits << (6 - held), out);
    }
    out.push('-');
}

fn push_digit(value: u32, out: &mut String) {
    let digit = usize::try_from(value & 63).ok().and_then(|at| ALPHABET.get(at));
    out.push(char::from(digit.copied().unwrap_or(b'A')));
}

/// A name as IMAP4rev1 sent it; `None` if it is not in the one right encoding.
#[must_use]
pub fn decode(encoded: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'&' => {
                let end = rest.iter().position(|byte| *byte == b'-')?;
                let run = rest.get(..end)?;
                rest = rest.get(end + 1..)?;
                if run.is_empty() {
                    out.push('&');
                } else {
                    run_into(run, &mut out)?;
                }
            }
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => return None,
        }
    }
    (encode(&out).as_bytes() == encoded).then_some(out)
}

fn run_into(run: &[u8], out: &mut String) -> Option<()> {
    let (mut bits, mut held) = (0_u32, 0_u32);
    let mut units = Vec::with_capacity(run.len());
    for byte in run {
        let digit = ALPHABET.iter().position(|known| known == byte)?;
        bits = bits << 6 | u32::try_from(digit).ok()?;
        held += 6;
        if held >= 16 {
            held -= 16;
            units.push(u16::try_from(bits >> held).ok()?);
            bits &= (1 << held) - 1;
        }
    }
    out.push_str(&String::from_utf16(&units).ok()?);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_3501_hold() {
        let name = "~peter/mail/台北/日本語";
        assert_eq!(encode(name), "~peter/mail/&U,BTFw-/&ZeVnLIqe-");
        assert_eq!(decode(b"~peter/mail/&U,BTFw-/&ZeVnLIqe-").as_deref(), Some(name));
        assert_eq!(encode("A&B"), "A&-B");
        assert_eq!(decode(b"A&-B").as_deref(), Some("A&B"));
        assert_eq!(decode(encode("📬 mail").as_bytes()).as_deref(), Some("📬 mail"));
    }

    #[test]
    fn a_second_encoding_of_a_name_is_refused() {
        // "&Jjo!" is the RFC's bad example; "&AGE-" is an encoded "a"; two runs touch.
        for bad in ["&Jjo!", "&AGE-", "&U,BTFw-&ZeVnLIqe-", "&", "&U", "&2AA-", "é"] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
    }
}
