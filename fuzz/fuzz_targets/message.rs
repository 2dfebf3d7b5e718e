//! RFC 5322 and MIME: no message is too broken to be looked at, and no part lies outside it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::message::{header_length, parse};

fuzz_target!(|data: &[u8]| {
    let (view, _defects) = parse(data);
    assert!(header_length(data) <= data.len());
    for part in &view.parts {
        let _ = (part.decoded(data), part.decoded_text(data), part.filename());
    }
    let mut line = Vec::new();
    proto::imap::structure::envelope(&mut line, &view.envelope);
    proto::imap::structure::body(&mut line, &view, true);
});
