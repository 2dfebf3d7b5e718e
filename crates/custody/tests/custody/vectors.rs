//! The published vectors of specs/log-entry.md and specs/release-evidence.md.

use crate::world::{Chance, NOW, World};
use custody::{Leaf, LeafOpening, Place, RecipientKey, ReleaseEvidence, TrustPolicy, acts};
use vocab::{AccountId, CaseId, Digest, Timestamp};

/// Compares with the published file; set `BLESS` at compile time to write it anew.
fn published(name: &str, text: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../specs/vectors/").to_owned() + name;
    if option_env!("BAILIWICK_BLESS").is_some() {
        std::fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "{name}");
}

#[test]
fn leaves_are_the_published_ones() {
    let place = Place { month: 202_611, seq: 1 };
    let draft = || acts::received(NOW, CaseId([3; 16]), Digest([4; 32]), Some(AccountId([5; 16])));
    for (name, open_by) in
        [("received", None), ("received-sealed", Some(Timestamp(NOW.0 + 86_400)))]
    {
        let written = draft().write(place, open_by, &Chance::new(1)).unwrap();
        let leaf = custody::hex::encode(&written.leaf.encode().unwrap());
        let vector = serde_json::json!({
            "leaf": leaf,
            "leaf_hash": tlog::leaf_hash(&written.leaf.encode().unwrap()).to_string(),
            "opening": written.opening,
            "opening_digest": written.opening.digest().to_string(),
        });
        let text = serde_json::to_string_pretty(&vector).unwrap() + "\n";
        published(&format!("log-entry/{name}.json"), &text);
        let leaf = Leaf::decode(&custody::hex::decode(&leaf).unwrap()).unwrap();
        let opening: LeafOpening = serde_json::from_value(vector["opening"].clone()).unwrap();
        assert_eq!(opening.check(&leaf), Ok(()));
    }
}

#[test]
fn release_evidence_is_the_published_one() {
    let mut world = World::new();
    let recipient = RecipientKey::generate(&world.chance).unwrap();
    let evidence = world.evidence(&recipient);
    let text = serde_json::to_string_pretty(&evidence).unwrap() + "\n";
    published("release-evidence/evidence.json", &text);
    published("release-evidence/trust.json", &(world.trust.to_json().unwrap() + "\n"));
    let trust = TrustPolicy::from_json(&world.trust.to_json().unwrap()).unwrap();
    let evidence: ReleaseEvidence = serde_json::from_str(&text).unwrap();
    assert!(evidence.verify(&trust, NOW).is_ok());
}
