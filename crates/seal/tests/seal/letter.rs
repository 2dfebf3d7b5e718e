//! Letters: sealed without a private key, opened with the month's, chained and signed.

use seal::OpenError;
use seal::blob::{self, BlobOpener};
use seal::epoch::{self, EpochKeys};
use seal::letter::{
    Chain, HEADER_BYTES, HeadOpener, INGEST_BYTES, LetterSealer, Stated, open_head, padme,
};
use seal::run::{Run, STEPS_MAX, Step};
use seal::sign::SigningKey;
use vocab::{AccountId, Epoch, EpochVersion, LetterId, Timestamp};

use crate::{fixed, flips, part, pattern, verify_ingest};

const NOW: Timestamp = Timestamp(1_795_000_000);

fn account() -> AccountId {
    AccountId([0xaa; 16])
}

fn month(label: &'static str) -> EpochKeys {
    EpochKeys::generate(account(), epoch::epoch_of(NOW), EpochVersion(1), &fixed(label)).unwrap()
}

struct Arrived {
    head: Vec<u8>,
    body: Vec<u8>,
    chain: Chain,
}

fn run(keys: &EpochKeys) -> Run {
    Run::begin(&keys.public(Timestamp(0)), &fixed("run")).unwrap()
}

fn arrive(keys: &EpochKeys, cell: &SigningKey, before: &Chain, id: u8, text: &[u8]) -> Arrived {
    place(run(keys).step().unwrap(), cell, before, id, text)
}

fn place(step: Step, cell: &SigningKey, before: &Chain, id: u8, text: &[u8]) -> Arrived {
    let entropy = fixed("letter");
    let mut body = Vec::new();
    let mut sealer =
        LetterSealer::begin(LetterId([id; 16]), NOW, step, &entropy, &mut body).unwrap();
    for piece in text.chunks(5000) {
        sealer.push(piece, &mut body).unwrap();
    }
    assert_eq!(sealer.plain_len(), text.len() as u64);
    let closed = sealer.close(b"the head", &mut body).unwrap();
    let (head, chain) = closed.ingest(cell, before).unwrap();
    Arrived { head, body, chain }
}

fn cell() -> SigningKey {
    SigningKey::generate(&fixed("cell")).unwrap()
}

#[test]
fn a_letter_is_opened_head_first_and_its_body_at_any_place() {
    let (keys, cell) = (month("month"), cell());
    let text = pattern(100_000, 97);
    let start = Chain::start(account());
    let letter = arrive(&keys, &cell, &start, 1, &text);
    assert_eq!(verify_ingest(&letter.head, &cell.public(), &start), Ok(letter.chain));
    let opened = open_head(&letter.head, &keys).unwrap();
    assert_eq!(opened.head, b"the head");
    assert_eq!((opened.header.account, opened.header.letter), (account(), LetterId([1; 16])));
    assert_eq!((opened.header.epoch, opened.header.arrived), (Epoch(323), NOW));
    let prefix = letter.body.first_chunk().unwrap();
    opened.ingest.body.check(prefix, letter.body.len() as u64).unwrap();
    let context = blob::body_context(account(), LetterId([1; 16]));
    let plain = blob::open(&opened.body_key, &context, &letter.body).unwrap();
    assert_eq!(plain.len() as u64, padme(100_000));
    assert_eq!(plain[..100_000], text);
    assert!(plain[100_000..].iter().all(|octet| *octet == 0));
    let opener = BlobOpener::new(&opened.body_key, &context, prefix).unwrap();
    let span = blob::span(70_000..70_010, letter.body.len() as u64).unwrap();
    assert_eq!((span.sealed.end - span.sealed.start, span.ends), (16_400, false));
    let part = part(&letter.body, &span);
    assert_eq!(opener.open(&span, part).unwrap(), text[70_000..70_010]);
}

#[test]
fn a_head_opens_only_with_the_month_it_was_sealed_to() {
    let (keys, cell) = (month("month"), cell());
    let letter = arrive(&keys, &cell, &Chain::start(account()), 1, b"text");
    assert!(matches!(open_head(&letter.head, &month("another")), Err(OpenError::Tampered)));
    let later =
        EpochKeys::generate(account(), Epoch(324), EpochVersion(1), &fixed("month")).unwrap();
    assert!(matches!(open_head(&letter.head, &later), Err(OpenError::Mismatch)));
    let other =
        EpochKeys::generate(AccountId([1; 16]), Epoch(323), EpochVersion(1), &fixed("month"));
    assert!(matches!(open_head(&letter.head, &other.unwrap()), Err(OpenError::Mismatch)));
    // Re-keyed while nothing more arrives, the arrival key stays; else it does not.
    let entropy = fixed("re-key");
    assert!(open_head(&letter.head, &keys.rekeyed(false, &entropy).unwrap()).is_ok());
    assert!(open_head(&letter.head, &keys.rekeyed(true, &entropy).unwrap()).is_err());
}

#[test]
fn an_altered_head_is_noticed_by_its_key_and_by_its_signature() {
    let (keys, cell) = (month("month"), cell());
    let start = Chain::start(account());
    let letter = arrive(&keys, &cell, &start, 1, b"text");
    let sealed = letter.head.len() - INGEST_BYTES;
    let places =
        [12, 28, 44, 51, 52, 59, HEADER_BYTES, 1147, 1148, 1178, 1180, 1183, 1184, sealed - 1];
    for altered in flips(&letter.head, &places) {
        assert!(open_head(&altered, &keys).is_err());
        assert_eq!(verify_ingest(&altered, &cell.public(), &start), Err(OpenError::Tampered));
    }
    for altered in
        flips(&letter.head, &[sealed, sealed + 8, sealed + 40, sealed + 79, letter.head.len() - 1])
    {
        assert_eq!(verify_ingest(&altered, &cell.public(), &start), Err(OpenError::Tampered));
    }
    for length in [0, 7, 59, 1179, 1183, 1184, INGEST_BYTES, letter.head.len() - 1] {
        assert!(open_head(&letter.head[..length], &keys).is_err());
        assert!(verify_ingest(&letter.head[..length], &cell.public(), &start).is_err());
    }
    let stranger = SigningKey::generate(&fixed("stranger")).unwrap();
    assert_eq!(verify_ingest(&letter.head, &stranger.public(), &start), Err(OpenError::Tampered));
}

#[test]
fn letters_put_in_taken_out_or_exchanged_break_the_chain() {
    let (keys, cell) = (month("month"), cell());
    let start = Chain::start(account());
    let first = arrive(&keys, &cell, &start, 1, b"one");
    let second = arrive(&keys, &cell, &first.chain, 2, b"two");
    let public = cell.public();
    assert_eq!(verify_ingest(&second.head, &public, &first.chain), Ok(second.chain));
    assert_eq!(second.chain.sequence, 2);
    // The first was taken out; the second is shown twice; the order is turned.
    assert_eq!(verify_ingest(&second.head, &public, &start), Err(OpenError::Mismatch));
    assert_eq!(verify_ingest(&second.head, &public, &second.chain), Err(OpenError::Mismatch));
    assert_eq!(verify_ingest(&first.head, &public, &first.chain), Err(OpenError::Mismatch));
    // A body exchanged for another of the same account.
    let opened = open_head(&first.head, &keys).unwrap();
    let other = second.body.first_chunk().unwrap();
    let length = second.body.len() as u64;
    assert_eq!(opened.ingest.body.check(other, length), Err(OpenError::Tampered));
    let own = first.body.first_chunk().unwrap();
    assert_eq!(opened.ingest.body.check(own, length + 1), Err(OpenError::Tampered));
    assert_eq!(Chain::decode(&second.chain.encode()).unwrap(), second.chain);
    assert_ne!(start, Chain::start(AccountId([1; 16])));
}

#[test]
fn padding_grows_little_and_leaves_few_lengths() {
    // PETS 2019, table 1 and its bound.
    assert_eq!((padme(0), padme(1), padme(9), padme(1000), padme(1025)), (0, 1, 10, 1024, 1088));
    let mut lengths = std::collections::BTreeSet::new();
    for length in 1u64..200_000 {
        let padded = padme(length);
        assert!(padded >= length && (padded - length) * 100 <= length * 12, "{length} {padded}");
        assert_eq!(padme(padded), padded);
        lengths.insert(padded);
    }
    assert!(lengths.len() < 256, "{}", lengths.len());
    assert_eq!(padme(u64::MAX - 1).leading_zeros(), 0);
}

#[test]
fn what_arrives_goes_to_the_month_that_has_begun() {
    let keys = |epoch, version| {
        let entropy = fixed("arrival");
        EpochKeys::generate(account(), Epoch(epoch), EpochVersion(version), &entropy).unwrap()
    };
    let public = |epoch, version| keys(epoch, version).public(epoch::begins(Epoch(epoch)));
    let epochs = [public(0, 1), public(323, 1), public(324, 1), public(323, 2)];
    let chosen = |at| {
        epoch::arrival_epoch(&epochs, Timestamp(at))
            .map(|public| (public.epoch.0, public.version.0))
    };
    assert_eq!(chosen(0), Some((323, 2)));
    assert_eq!(chosen(NOW.0), Some((323, 2)));
    assert_eq!(chosen(epoch::begins(Epoch(324)).0), Some((324, 1)));
    assert_eq!(chosen(u64::MAX), Some((324, 1)), "the last month has no end");
    assert!(epoch::arrival_epoch(&epochs[..1], NOW).is_none());
}

#[test]
fn a_runs_letters_open_in_any_order_and_alone() {
    let (keys, cell) = (month("month"), cell());
    let start = Chain::start(account());
    let mut run = run(&keys);
    let letters: Vec<_> =
        (0..10).map(|id| place(run.step().unwrap(), &cell, &start, id, &pattern(9, id))).collect();
    let mut opener = HeadOpener::new(&keys);
    for at in [3, 0, 9, 9, 1, 8] {
        let letter = &letters[at];
        let id = LetterId([u8::try_from(at).unwrap(); 16]);
        for opened in [opener.open(&letter.head), open_head(&letter.head, &keys)] {
            let opened = opened.unwrap();
            assert_eq!(
                (opened.header.letter, opened.head.as_slice()),
                (id, b"the head".as_slice())
            );
            let context = blob::body_context(account(), id);
            let plain = blob::open(&opened.body_key, &context, &letter.body).unwrap();
            assert!(plain.starts_with(&pattern(9, u8::try_from(at).unwrap())));
            // No other letter of the run opens with its key.
            let other = &letters[(at + 1) % 10].body;
            assert!(blob::open(&opened.body_key, &context, other).is_err());
        }
    }
    // A letter that does not open does not keep its run's others from opening.
    let mut altered = letters[4].head.clone();
    altered[HEADER_BYTES + 1] ^= 1;
    assert!(opener.open(&altered).is_err());
    assert!(opener.open(&letters[5].head).is_ok());
}

#[test]
fn a_run_ends_and_no_step_beyond_its_end_is_read() {
    let (keys, cell) = (month("month"), cell());
    let mut run = run(&keys);
    let steps: Vec<_> = core::iter::from_fn(|| run.step()).collect();
    assert_eq!(steps.len(), STEPS_MAX as usize);
    assert!(run.step().is_none());
    let last = steps.into_iter().last().unwrap();
    let letter = place(last, &cell, &Chain::start(account()), 1, b"text");
    assert!(open_head(&letter.head, &keys).is_ok());
    let number = HEADER_BYTES + 1120..HEADER_BYTES + 1124;
    assert_eq!(letter.head[number.clone()], (STEPS_MAX - 1).to_be_bytes());
    for step in [STEPS_MAX, u32::MAX] {
        let mut beyond = letter.head.clone();
        beyond[number.clone()].copy_from_slice(&step.to_be_bytes());
        assert!(matches!(open_head(&beyond, &keys), Err(OpenError::Malformed)));
    }
}

#[test]
fn the_last_links_signature_stands_for_all_before_it_and_for_their_bodies() {
    let (keys, cell) = (month("month"), cell());
    let start = Chain::start(account());
    let first = arrive(&keys, &cell, &start, 1, b"one");
    let second = arrive(&keys, &cell, &first.chain, 2, b"two");
    let last = Stated::read(&second.head).unwrap();
    last.verify(&cell.public()).unwrap();
    assert_eq!(
        last.follows(&Stated::read(&first.head).unwrap().follows(&start).unwrap()),
        Ok(second.chain)
    );
    // Whatever is altered in the first but its signature: it, or the last, does not follow.
    let signature = first.head.len() - 64;
    for altered in flips(&first.head, &(0..signature).collect::<Vec<_>>()) {
        let followed = Stated::read(&altered).and_then(|stated| stated.follows(&start));
        assert!(followed.and_then(|chain| last.follows(&chain)).is_err());
    }
    for altered in flips(&first.head, &(signature..first.head.len()).collect::<Vec<_>>()) {
        assert!(Stated::read(&altered).unwrap().verify(&cell.public()).is_err());
    }
}
