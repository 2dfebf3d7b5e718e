//! A production as a court gets it: whatever the archive holds, there is a report or a reason.
#![no_main]

use custody::TrustPolicy;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static TRUST: LazyLock<TrustPolicy> = LazyLock::new(|| {
    let text = include_str!("../../specs/vectors/release-evidence/trust.json");
    TrustPolicy::from_json(text).unwrap()
});

fuzz_target!(|data: &[u8]| {
    if let Ok(report) = verify::report_on_archive(data.to_vec(), &TRUST) {
        assert!(report.ends_with("Every check passed.\n") || report.contains("FAIL"));
        // A file's name or text neither ends a line nor moves the cursor.
        assert!(report.chars().all(|char| char == '\n' || !char.is_control()));
    }
});
