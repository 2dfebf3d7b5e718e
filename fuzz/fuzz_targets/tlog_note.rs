//! C2SP signed notes: what is read prints as it came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tlog::SignedNote;

fuzz_target!(|data: &[u8]| {
    if let Ok(note) = SignedNote::parse(data) {
        assert_eq!(SignedNote::parse(note.encode().as_bytes()), Ok(note));
    }
});
