//! BW1 escrows and share boxes: what is read prints as it came.
#![no_main]

use std::sync::LazyLock;

use bailiwick_fuzz::{Repeating, candidate};
use libfuzzer_sys::fuzz_target;
use seal::epoch::EpochKeys;
use seal::escrow::{Escrow, EscrowPolicy, ShareBox};
use seal::holder::{Holder, HolderKey};
use vocab::{AccountId, CellId, Custody, Epoch, EpochVersion, HolderId};

/// An epoch's keys, always the same.
fn keys(entropy: &Repeating) -> EpochKeys {
    EpochKeys::generate(AccountId([1; 16]), Epoch(323), EpochVersion(1), entropy).unwrap()
}

static VALID: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let entropy = Repeating::default();
    let holder = |id| Holder {
        id: HolderId([id; 16]),
        key: HolderKey::generate(&entropy).unwrap().public(),
    };
    let (trustees, guards) = (vec![holder(1), holder(2), holder(3)], vec![holder(4)]);
    let policy =
        EscrowPolicy::new(CellId([9; 16]), Custody::Trustee, (2, trustees), (1, guards)).unwrap();
    Escrow::seal(&keys(&entropy), &policy, &entropy).unwrap().encode()
});

fuzz_target!(|data: &[u8]| {
    let bytes = candidate(&VALID, data);
    match Escrow::decode(&bytes) {
        Ok(escrow) => {
            assert_eq!(escrow.encode(), bytes);
            let shares = escrow.share_boxes();
            assert!(shares.iter().all(|one| ShareBox::decode(&one.encode()).is_ok()));
        }
        Err(_) => assert!(bytes != *VALID),
    }
    if let Ok(share_box) = ShareBox::decode(&bytes) {
        assert_eq!(share_box.encode(), bytes);
    }
});
