//! Lines on the administration socket, both ways: what is read is written so that it reads the
//! same again.
#![no_main]

use bailiwick::doors;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(line) = doors::request(data) {
        assert_eq!(doors::request(&line), Some(line));
    }
    if let Some(line) = doors::answer(data) {
        assert_eq!(doors::answer(&line), Some(line));
    }
});
