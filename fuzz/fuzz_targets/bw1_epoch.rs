//! BW1 epoch records: what is read prints as it came, and a changed one does not open.
#![no_main]

use std::sync::LazyLock;

use bailiwick_fuzz::{Repeating, candidate};
use libfuzzer_sys::fuzz_target;
use seal::epoch::{EpochKeys, EpochRecord};
use seal::root::MasterKey;
use vocab::{AccountId, Epoch, EpochVersion, Timestamp};

/// An epoch's keys, always the same.
fn keys(entropy: &Repeating) -> EpochKeys {
    EpochKeys::generate(AccountId([1; 16]), Epoch(323), EpochVersion(1), entropy).unwrap()
}

static VALID: LazyLock<(MasterKey, Vec<u8>)> = LazyLock::new(|| {
    let entropy = Repeating::default();
    let master = MasterKey::generate(AccountId([1; 16]), &entropy);
    let record =
        EpochRecord::seal(&master.root(), &keys(&entropy), Timestamp(0), &entropy).unwrap();
    (master, record.encode())
});

fuzz_target!(|data: &[u8]| {
    let (master, valid) = &*VALID;
    let bytes = candidate(valid, data);
    if let Ok(record) = EpochRecord::decode(&bytes) {
        assert_eq!(record.encode(), bytes);
        let _ = record.open(&master.root());
    } else {
        assert!(bytes != *valid);
    }
});
