//! Leaves, orders, evidence and key files: what is read prints as it came.
#![no_main]

use custody::cell::CellKeys;
use custody::{GuardEvidence, Leaf, OrderRecord, ReleaseEvidence, TrustPolicy};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(leaf) = Leaf::decode(data) {
        assert_eq!(leaf.encode().unwrap().as_slice(), data);
    }
    if let Ok(order) = OrderRecord::decode(data) {
        assert_eq!(order.encode().unwrap(), data);
    }
    let _ = serde_json::from_slice::<ReleaseEvidence>(data);
    let _ = serde_json::from_slice::<GuardEvidence>(data);
    let Ok(text) = core::str::from_utf8(data) else { return };
    let _ = TrustPolicy::from_json(text);
    let _ = CellKeys::decode(text);
});
