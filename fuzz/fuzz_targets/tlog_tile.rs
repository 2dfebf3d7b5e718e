//! What a log is asked for, and the bundles of entries it answers with.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tlog::{Resource, split_bundle};

fuzz_target!(|data: &[u8]| {
    if let Some((width, bundle)) = data.split_first_chunk() {
        let width = u16::from_be_bytes(*width);
        if let Ok(entries) = split_bundle(bundle, width) {
            assert_eq!(entries.len(), usize::from(width));
            assert!(entries.iter().map(|entry| entry.len() + 2).sum::<usize>() == bundle.len());
        }
    }
    let Ok(text) = core::str::from_utf8(data) else { return };
    if let Ok(resource) = text.parse::<Resource>() {
        assert_eq!(resource.to_string().parse(), Ok(resource));
    }
});
