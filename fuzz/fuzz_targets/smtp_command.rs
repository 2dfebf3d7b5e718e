//! SMTP command lines: they do not depend on how the stream is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::sasl::{Credentials, Mechanism};
use proto::smtp::{Command, LineReader};

fuzz_target!(|data: &[u8]| {
    let mut whole = LineReader::new();
    let mut cut = LineReader::new();
    whole.push(data);
    let mut octets = data.iter();
    loop {
        let line = whole.next_line();
        let mut same = cut.next_line();
        while same == Ok(None) {
            let Some(octet) = octets.next() else { break };
            cut.push(&[*octet]);
            same = cut.next_line();
        }
        assert_eq!(line, same);
        let Ok(Some(line)) = line else { break };
        let _ = Command::parse(&line);
        for mechanism in Mechanism::ALL {
            let _ = Credentials::parse_base64(mechanism, &line);
            let _ = Credentials::parse(mechanism, &line);
        }
    }
});
