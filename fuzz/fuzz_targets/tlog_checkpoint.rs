//! C2SP checkpoints, verifier keys and policies.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tlog::{Checkpoint, Policy, VerifierKey};

fuzz_target!(|data: &[u8]| {
    let _ = Policy::parse(data);
    let Ok(text) = core::str::from_utf8(data) else { return };
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(Checkpoint::parse(&checkpoint.to_string()), Ok(checkpoint));
    }
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text);
    }
});
