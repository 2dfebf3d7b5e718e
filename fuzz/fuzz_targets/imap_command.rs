//! IMAP commands: framed from a stream, then read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::imap::{Event, Framer, Limits};

fuzz_target!(|data: &[u8]| {
    let mut framer = Framer::new(Limits::after_login(1 << 20));
    framer.push(data);
    while let Ok(Some(event)) = framer.next_event() {
        match event {
            Event::Frame(mut frame) => {
                let _ = (frame.tag(), frame.name());
                let _ = frame.request();
            }
            Event::Continue | Event::Refused(_) => {}
        }
    }
});
