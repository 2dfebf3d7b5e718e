//! The TOML of a cell, and a member of staff's key file: a mistake is told with a line of the
//! text and a cure.
#![no_main]

use bailiwick::doors;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = core::str::from_utf8(data) else { return };
    if let Err(mistake) = doors::configuration(text) {
        assert!((1..=text.lines().count() + 1).contains(&mistake.line), "{mistake:?}");
        assert!(!mistake.what.is_empty() && !mistake.cure.is_empty(), "{mistake:?}");
    }
    let _ = doors::staff_key(text);
});
