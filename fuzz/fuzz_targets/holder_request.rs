//! What a holder is asked, and the evidence in it: refused, or told whole and answered.
#![no_main]

use custody::TrustPolicy;
use custody::holder::{GuardRequest, HolderSide, TrusteeRequest, examine_guard, examine_trustee};
use libfuzzer_sys::fuzz_target;
use seal::Entropy;
use seal::holder::HolderKey;
use seal::mac::sha256;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use vocab::Timestamp;

/// Not chance: the generator of custody's own tests, so that the seeds are for these keys.
struct Counter(AtomicU64);

impl Entropy for Counter {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let counter = self.0.fetch_add(1, Ordering::Relaxed) + 1;
            chunk.copy_from_slice(&sha256(&[&counter.to_be_bytes()]).0[..chunk.len()]);
        }
    }
}

struct Holders {
    trust: TrustPolicy,
    keys: Vec<HolderKey>,
}

static HOLDERS: LazyLock<Holders> = LazyLock::new(|| {
    let text = include_str!("../../specs/vectors/release-evidence/trust.json");
    let chance = Counter(AtomicU64::new(7 << 32));
    let keys = (0..4).map(|_| HolderKey::generate(&chance).unwrap()).collect();
    Holders { trust: TrustPolicy::from_json(text).unwrap(), keys }
});

/// When the seeds hold: 2026-11-21.
const NOW: Timestamp = Timestamp(1_795_219_200);

fuzz_target!(|data: &[u8]| {
    let Holders { trust, keys } = &*HOLDERS;
    let chance = Counter(AtomicU64::new(0));
    let side = |key| HolderSide { key, trust, served: &[], now: NOW };
    if let Ok(request) = serde_json::from_slice::<TrusteeRequest>(data)
        && let Ok(examined) = examine_trustee(&request, &side(&keys[0]))
    {
        assert_eq!(examined.shares(), request.shares.len());
        assert_eq!(examined.answer(&keys[0], &chance).unwrap().given.len(), request.shares.len());
    }
    if let Ok(request) = serde_json::from_slice::<GuardRequest>(data)
        && let Ok(examined) = examine_guard(&request, &side(&keys[3]))
    {
        assert_eq!(examined.answer(&keys[3], &chance).unwrap().given.len(), request.shares.len());
    }
    if let Ok(said) = verify::report_on_evidence(data, trust, NOW) {
        assert!(said.chars().all(|char| char == '\n' || !char.is_control()));
    }
});
