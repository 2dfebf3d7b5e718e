//! BW1 rows: a changed value does not open.
#![no_main]

use std::sync::LazyLock;

use bailiwick_fuzz::{Repeating, candidate};
use libfuzzer_sys::fuzz_target;
use seal::epoch::EpochKeys;
use seal::row::RowKeys;
use vocab::{AccountId, Epoch, EpochVersion, ModSeq, RecordKind, Row};

/// An epoch's keys, always the same.
fn keys(entropy: &Repeating) -> EpochKeys {
    EpochKeys::generate(AccountId([1; 16]), Epoch(323), EpochVersion(1), entropy).unwrap()
}

static VALID: LazyLock<(RowKeys, Vec<u8>)> = LazyLock::new(|| {
    let entropy = Repeating::default();
    let keys = RowKeys::of_epoch(&keys(&entropy)).unwrap();
    let value = keys.seal(RecordKind::Message, Row(7), ModSeq(9), b"row", &entropy).unwrap();
    (keys, value)
});

fuzz_target!(|data: &[u8]| {
    let (keys, valid) = &*VALID;
    let value = candidate(valid, data);
    let opened = keys.open(RecordKind::Message, Row(7), &value).is_ok();
    assert_eq!(opened, value == *valid);
    assert!(keys.open(RecordKind::Message, Row(8), &value).is_err());
});
