//! Signed notes, and what a witness answers about one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tlog::{SignedNote, read_answer};

static NOTE: LazyLock<SignedNote> =
    LazyLock::new(|| SignedNote::parse(include_bytes!("../seeds/tlog_note/0")).unwrap());

fuzz_target!(|data: &[u8]| {
    if let Ok(note) = SignedNote::parse(data) {
        assert_eq!(SignedNote::parse(note.encode().as_bytes()), Ok(note));
    }
    for status in [200, 409, 422] {
        let _ = read_answer(status, data, &NOTE, &[]);
    }
});
