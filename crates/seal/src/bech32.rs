//! Bech32 (BIP 173) without its length limit, as age uses it for keys.
//!
//! Invariant: one text, one key: mixed case, a wrong checksum and non-zero padding are refused.
//! Refs: BIP 173; C2SP age.md, "Native recipient types".

use zeroize::Zeroizing;

const CHARSET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
/// Longest text that is looked at; the longest key in use has under 2000 characters.
const TEXT_BYTES_MAX: usize = 4096;

fn polymod(checksum: u32, value: u8) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let top = checksum >> 25;
    let mut next = ((checksum & 0x1ff_ffff) << 5) ^ u32::from(value);
    for (bit, term) in GENERATOR.iter().enumerate() {
        if top >> bit & 1 == 1 {
            next ^= term;
        }
    }
    next
}

/// The checksum's state after the human-readable part `hrp`, in lower case.
fn begin(hrp: &str) -> u32 {
    let high = hrp.bytes().map(|octet| octet >> 5);
    let low = hrp.bytes().map(|octet| octet & 31);
    high.chain([0]).chain(low).fold(1, polymod)
}

/// `data` as Bech32 under the lower-case `hrp`.
pub(crate) fn encode(hrp: &str, data: &[u8]) -> String {
    let mut values = Zeroizing::new(Vec::with_capacity(data.len() * 8 / 5 + 1));
    let (mut bits, mut count) = (0u32, 0);
    for octet in data {
        bits = (bits << 8 | u32::from(*octet)) & 0xfff;
        count += 8;
        while count >= 5 {
            count -= 5;
            values.push(low5(bits >> count));
        }
    }
    if count > 0 {
        values.push(low5(bits << (5 - count)));
    }
    let checksum = values.iter().copied().chain([0; 6]).fold(begin(hrp), polymod) ^ 1;
    let mut text = String::with_capacity(hrp.len() + 7 + values.len());
    text.push_str(hrp);
    text.push('1');
    let checksum = (0..6).rev().map(|place| low5(checksum >> (5 * place)));
    text.extend(values.iter().copied().chain(checksum).map(character));
    text
}

fn low5(bits: u32) -> u8 {
    let [.., octet] = bits.to_be_bytes();
    octet & 31
}

fn character(value: u8) -> char {
    CHARSET.get(usize::from(value)).map_or('q', |octet| char::from(*octet))
}

/// The data of a Bech32 text whose human-readable part is `hrp`, given in lower case.
pub(crate) fn decode(hrp: &str, text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let lower = text.bytes().any(|octet| octet.is_ascii_lowercase());
    let upper = text.bytes().any(|octet| octet.is_ascii_uppercase());
    if text.len() > TEXT_BYTES_MAX || (lower && upper) {
        return None;
    }
    let text = Zeroizing::new(text.to_ascii_lowercase());
    let (found, data) = text.rsplit_once('1')?;
    if found != hrp {
        return None;
    }
    let mut values = Zeroizing::new(Vec::with_capacity(data.len()));
    for octet in data.bytes() {
        let value = CHARSET.iter().position(|known| *known == octet)?;
        values.push(u8::try_from(value).ok()?);
    }
    if values.iter().copied().fold(begin(hrp), polymod) != 1 {
        return None;
    }
    let length = values.len().checked_sub(6)?;
    values.truncate(length);
    let mut out = Zeroizing::new(Vec::with_capacity(values.len() * 5 / 8));
    let (mut bits, mut count) = (0u32, 0);
    for value in values.iter() {
        bits = (bits << 5 | u32::from(*value)) & 0xfff;
        count += 5;
        if count >= 8 {
            count -= 8;
            let [.., octet] = (bits >> count).to_be_bytes();
            out.push(octet);
        }
    }
    let padding = bits & ((1 << count) - 1);
    (count < 5 && padding == 0).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bip_173_examples_are_read() {
        // BIP 173, "Test vectors": valid strings whose data part is whole octets or empty.
        assert_eq!(decode("a", "A12UEL5L").unwrap().as_slice(), b"");
        assert_eq!(decode("a", "a12uel5l").unwrap().as_slice(), b"");
        let text = "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw";
        let data = decode("abcdef", text).unwrap();
        assert_eq!(data.len(), 20);
        assert_eq!(encode("abcdef", &data), text);
        for bad in
            ["A12uEL5L", "a12uel5m", "pzry9x0s0muk", "1pzry9x0s0muk", "x1b4n0q5v", "li1dgmt3", ""]
        {
            assert!(decode("a", bad).is_none() && decode("", bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn any_octets_are_read_back() {
        for length in 0..200 {
            let data: Vec<u8> = (0..251u8).rev().cycle().step_by(7).take(length).collect();
            let text = encode("age", &data);
            assert_eq!(decode("age", &text).unwrap().as_slice(), data);
            assert_eq!(decode("age", &text.to_uppercase()).unwrap().as_slice(), data);
            assert!(decode("agf", &text).is_none());
        }
    }
}
