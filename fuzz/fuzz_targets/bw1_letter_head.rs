//! BW1 letter heads: of a changed record, nothing is believed.
#![no_main]

use std::sync::LazyLock;

use bailiwick_fuzz::{Repeating, candidate};
use libfuzzer_sys::fuzz_target;
use seal::epoch::EpochKeys;
use seal::letter::{Chain, LetterSealer, Stated, open_head};
use seal::run::Run;
use seal::sign::{SigningKey, VerifyingKey};
use vocab::{AccountId, Epoch, EpochVersion, LetterId, Timestamp};

/// An epoch's keys, always the same.
fn keys(entropy: &Repeating) -> EpochKeys {
    EpochKeys::generate(AccountId([1; 16]), Epoch(323), EpochVersion(1), entropy).unwrap()
}

struct Valid {
    keys: EpochKeys,
    cell: VerifyingKey,
    start: Chain,
    record: Vec<u8>,
}

static VALID: LazyLock<Valid> = LazyLock::new(|| {
    let entropy = Repeating::default();
    let keys = keys(&entropy);
    let signer = SigningKey::generate(&entropy).unwrap();
    let start = Chain::start(AccountId([1; 16]));
    let (to, at, mut body) = (keys.public(Timestamp(0)), Timestamp(1_794_000_000), Vec::new());
    let step = Run::begin(&to, &entropy).unwrap().step().unwrap();
    let mut letter = LetterSealer::begin(LetterId([2; 16]), at, step, &entropy, &mut body).unwrap();
    letter.push(b"Subject: x\r\n\r\ny\r\n", &mut body).unwrap();
    let (record, _) = letter.close(b"head", &mut body).unwrap().ingest(&signer, &start).unwrap();
    Valid { keys, cell: signer.public(), start, record }
});

fuzz_target!(|data: &[u8]| {
    let record = candidate(&VALID.record, data);
    let said = Stated::read(&record).is_ok_and(|stated| {
        stated.verify(&VALID.cell).is_ok() && stated.follows(&VALID.start).is_ok()
    });
    assert_eq!(said, record == VALID.record);
    if open_head(&record, &VALID.keys).is_ok() && said {
        assert!(record == VALID.record);
    }
});
