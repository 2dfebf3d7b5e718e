//! age files: a changed file gives nothing, or what was sealed.
#![no_main]

use std::sync::LazyLock;

use bailiwick_fuzz::{Repeating, candidate};
use libfuzzer_sys::fuzz_target;
use seal::age::{Identity, open, seal};

const PLAIN: &[u8] = b"a production";

static VALID: LazyLock<(Identity, Vec<u8>)> = LazyLock::new(|| {
    let entropy = Repeating::default();
    let identity = Identity::generate(&entropy).unwrap();
    let file = seal(&[identity.recipient()], PLAIN, &entropy).unwrap();
    (identity, file)
});

fuzz_target!(|data: &[u8]| {
    let (identity, valid) = &*VALID;
    let file = candidate(valid, data);
    if let Ok(plain) = open(&file, core::slice::from_ref(identity)) {
        assert_eq!(plain, PLAIN);
    } else {
        assert!(file != *valid);
    }
    let _ = core::str::from_utf8(data).map(Identity::parse);
});
