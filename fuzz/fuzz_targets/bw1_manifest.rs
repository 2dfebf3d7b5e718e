//! BW1 account manifests: a changed one is not signed.
#![no_main]

use std::sync::LazyLock;

use bailiwick_fuzz::{Repeating, candidate};
use libfuzzer_sys::fuzz_target;
use seal::manifest::{EpochEntry, Manifest, SignedManifest, SlotEntry};
use seal::root::MasterKey;
use seal::sign::SigningKey;
use vocab::{AccountId, CellId, Custody, Digest, Epoch, EpochVersion, SlotId, Timestamp};

static VALID: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let entropy = Repeating::default();
    let account = AccountId([1; 16]);
    let master = MasterKey::generate(account, &entropy);
    let identity = SigningKey::generate(&entropy).unwrap();
    let epoch = |month| EpochEntry {
        epoch: Epoch(month),
        version: EpochVersion(1),
        not_before: Timestamp(0),
        public: Digest([3; 32]),
        wrapped: Digest([4; 32]),
        escrow: None,
    };
    let manifest = Manifest {
        account,
        cell: CellId([2; 16]),
        custody: Custody::Sealed,
        policy: None,
        version: 1,
        generation: 1,
        previous: None,
        master: master.commitment(),
        identity: identity.public(),
        identity_box: master.root().wrap_identity(&identity, &entropy).unwrap(),
        slots: vec![SlotEntry { slot: SlotId([5; 16]), digest: Digest([6; 32]) }],
        epochs: vec![epoch(0), epoch(323)],
        created: Timestamp(1_794_000_000),
    };
    manifest.sign(&identity).unwrap().as_bytes().to_vec()
});

fuzz_target!(|data: &[u8]| {
    let record = candidate(&VALID, data);
    match SignedManifest::decode(&record) {
        Ok(manifest) => assert_eq!(manifest.as_bytes(), record),
        Err(_) => assert!(record != *VALID),
    }
});
