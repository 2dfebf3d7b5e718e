//! C2SP tlog-proof texts and requests to a witness.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tlog::{AddCheckpoint, TlogProof};

fuzz_target!(|data: &[u8]| {
    if let Ok(proof) = TlogProof::parse(data) {
        assert_eq!(TlogProof::parse(proof.encode().as_bytes()), Ok(proof));
    }
    if let Ok(request) = AddCheckpoint::parse(data) {
        assert_eq!(AddCheckpoint::parse(request.encode().as_bytes()), Ok(request));
    }
});
