//! What another server answers to our client.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::smtp::ReplyReader;

fuzz_target!(|data: &[u8]| {
    let mut reader = ReplyReader::new();
    reader.push(data);
    while let Ok(Some(reply)) = reader.next_reply() {
        let _ = (reply.severity(), reply.encode());
    }
});
