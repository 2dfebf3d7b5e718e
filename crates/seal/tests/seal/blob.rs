//! Blobs: any range, any way of writing, nothing altered.

use proptest::prelude::*;
use seal::blob::{self, BlobKey, BlobOpener, BlobSealer, PREFIX_BYTES};
use seal::{OpenError, Secret};
use vocab::{AccountId, LetterId};

use crate::{fixed, flips, part, pattern};

fn key() -> BlobKey {
    BlobKey::from_secret(Secret::copied(&[5; 32]))
}

fn text(length: usize) -> Vec<u8> {
    pattern(length, 253)
}

fn prefix(sealed: &[u8]) -> &[u8; PREFIX_BYTES] {
    sealed.first_chunk().unwrap()
}

#[test]
fn lengths_map_both_ways_and_only_real_lengths_map_back() {
    for plain in [0, 1, 16_383, 16_384, 16_385, 32_768, 5 << 20, (1 << 38) * 16_384 - 1] {
        let sealed = blob::sealed_len(plain).unwrap();
        assert_eq!(blob::plain_len(sealed), Some(plain));
    }
    assert_eq!(blob::sealed_len((1 << 38) * 16_384), None);
    // chunked-encryption.md: these are truncated or invalid.
    for sealed in [0, 55, 56, 71, 56 + 16_400, 56 + 16_400 + 15, 56 + 2 * 16_400] {
        assert_eq!(blob::plain_len(sealed), None, "{sealed}");
    }
}

#[test]
fn any_range_is_read_without_the_rest() {
    let entropy = fixed("blob");
    for length in [0, 1, 16_383, 16_384, 16_385, 49_152, 50_000] {
        let plain = text(length);
        let sealed = blob::seal(&key(), b"context", &plain, &entropy).unwrap();
        assert_eq!(Some(sealed.len() as u64), blob::sealed_len(length as u64));
        assert_eq!(blob::open(&key(), b"context", &sealed).unwrap(), plain);
        let opener = BlobOpener::new(&key(), b"context", prefix(&sealed)).unwrap();
        for start in [0, 1, 16_383, 16_384, 16_385, 32_768, length] {
            for end in [0, start, start + 1, start + 16_384, length] {
                let span = blob::span(start as u64..end as u64, sealed.len() as u64);
                assert_eq!(
                    span.is_some(),
                    start <= end && end <= length,
                    "{length} {start}..{end}"
                );
                let Some(span) = span else { continue };
                let part = part(&sealed, &span);
                assert_eq!(opener.open(&span, part).unwrap(), plain[start..end]);
                assert_eq!(opener.open(&span, &part[1..]), Err(OpenError::Malformed));
            }
        }
    }
}

#[test]
fn another_key_or_context_is_told_by_the_prefix() {
    let sealed = blob::seal(&key(), b"context", b"text", &fixed("blob prefix")).unwrap();
    let other = BlobKey::from_secret(Secret::copied(&[6; 32]));
    assert!(BlobOpener::new(&other, b"context", prefix(&sealed)).is_err());
    assert!(BlobOpener::new(&key(), b"contexu", prefix(&sealed)).is_err());
    let (account, letter) = (AccountId([1; 16]), LetterId([2; 16]));
    let swapped = blob::body_context(AccountId([2; 16]), LetterId([1; 16]));
    assert_ne!(blob::body_context(account, letter), swapped);
}

#[test]
fn altered_reordered_cut_and_grown_blobs_do_not_open() {
    let plain = text(40_000);
    let sealed = blob::seal(&key(), b"", &plain, &fixed("blob tamper")).unwrap();
    let places = [0, 23, 24, 55, 56, 16_455, 16_456, 32_855, 32_856, sealed.len() - 1];
    for altered in flips(&sealed, &places) {
        assert_eq!(blob::open(&key(), b"", &altered), Err(OpenError::Tampered));
    }
    let (first, second, last) = (&sealed[56..16_456], &sealed[16_456..32_856], &sealed[32_856..]);
    let prefix = &sealed[..56];
    for pieces in [
        [prefix, second, first, last].concat(),
        [prefix, first, first, last].concat(),
        [prefix, first, last].concat(),
        [prefix, first, second].concat(),
        [prefix, first].concat(),
        [prefix, first, second, last, b"0123456789abcdef"].concat(),
        [prefix, first, second, second, last].concat(),
        sealed[..sealed.len() - 1].to_vec(),
        prefix.to_vec(),
        prefix[..55].to_vec(),
    ] {
        assert!(blob::open(&key(), b"", &pieces).is_err(), "{}", pieces.len());
    }
    // A reader told a shorter length finds out when it reads to the end.
    let opener = BlobOpener::new(&key(), b"", prefix.try_into().unwrap()).unwrap();
    let claimed = blob::sealed_len(20_000).unwrap();
    let span = blob::span(19_000..20_000, claimed).unwrap();
    let part = part(&sealed, &span);
    assert_eq!(opener.open(&span, part), Err(OpenError::Tampered));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn however_it_is_pushed_it_is_the_same_plaintext(
        pieces in prop::collection::vec(0usize..40_000, 0..6),
        range in (0usize..100_000, 0usize..100_000),
    ) {
        let entropy = fixed("blob pieces");
        let plain = text(pieces.iter().sum());
        let (mut sealer, prefix) = BlobSealer::begin(&key(), b"", &entropy).unwrap();
        let (mut sealed, mut rest) = (prefix.to_vec(), plain.as_slice());
        for piece in pieces {
            let (head, tail) = rest.split_at(piece);
            sealer.push(head, &mut sealed).unwrap();
            rest = tail;
        }
        prop_assert_eq!(sealer.plain_len(), plain.len() as u64);
        sealer.finish(&mut sealed).unwrap();
        prop_assert_eq!(&blob::open(&key(), b"", &sealed).unwrap(), &plain);
        let (start, end) = (range.0.min(plain.len()), range.1.min(plain.len()));
        if let Some(span) = blob::span(start as u64..end as u64, sealed.len() as u64) {
            let opener = BlobOpener::new(&key(), b"", &prefix).unwrap();
            let part = part(&sealed, &span);
            prop_assert_eq!(&opener.open(&span, part).unwrap(), &plain[start..end]);
        }
    }
}
