//! Law packs: pack.toml and a policy file, separated by a NUL.
#![no_main]

use law::{Pack, Packs};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let (manifest, policy) = text.split_once('\0').unwrap_or((text, ""));
    if let Ok(pack) = Pack::load(&[("pack.toml", manifest), ("rules.cedar", policy)]) {
        let _ = pack.canonical();
        let _ = Packs::new(vec![pack]);
    }
});
