//! Whatever octets a reader is given, it answers; it does not stop, and opens nothing.

use proptest::prelude::*;
use seal::age::{self, Identity};
use seal::anchor::Anchor;
use seal::blob::{self, BlobKey};
use seal::code;
use seal::epoch::{EpochKeys, EpochRecord};
use seal::escrow::{Escrow, ShareBox};
use seal::grant::Grant;
use seal::holder::{HolderKey, HolderPublic};
use seal::letter::{Chain, open_head};
use seal::manifest::SignedManifest;
use seal::sign::VerifyingKey;
use seal::slot::SlotRecord;
use seal::{Secret, cwrap};
use vocab::{AccountId, CellId, Epoch, EpochVersion};

use crate::{fixed, unhex, vectors, verify_ingest};

/// Every record of the published vectors, as something to start from.
fn records() -> Vec<Vec<u8>> {
    let mut out = vec![Vec::new()];
    for (file, fields) in [
        ("account", ["epoch_record", "manifest", "grant", "kept_grant"].as_slice()),
        ("mail", &["head_record", "body_record", "row_value", "anchor", "chain"]),
        ("escrow", &["escrow"]),
    ] {
        let text = std::fs::read_to_string(vectors(&format!("bw1/{file}.json"))).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        out.extend(fields.iter().map(|field| unhex(value[*field].as_str().unwrap())));
        let lists = ["slots", "share_boxes"].into_iter().filter_map(|list| value[list].as_array());
        out.extend(lists.flatten().map(|record| unhex(record.as_str().unwrap())));
    }
    out.push(std::fs::read(vectors("cctv-age/hybrid")).unwrap());
    out.push(std::fs::read(vectors("cctv-age/armor_x25519")).unwrap());
    out
}

fn read_as_everything(octets: &[u8]) {
    let entropy = fixed("hostile");
    let keys =
        EpochKeys::generate(AccountId([1; 16]), Epoch(1), EpochVersion(1), &entropy).unwrap();
    let key = Secret::copied(&[1; 32]);
    let _ = EpochRecord::decode(octets);
    let _ = SlotRecord::decode(octets).map(|slot| assert_eq!(slot.encode(), octets));
    let _ = Escrow::decode(octets).map(|escrow| assert_eq!(escrow.encode(), octets));
    let _ = ShareBox::decode(octets).map(|share| assert_eq!(share.encode(), octets));
    let _ = Chain::decode(octets).map(|chain| assert_eq!(chain.encode(), octets));
    let _ = Anchor::decode(octets).map(|anchor| assert_eq!(anchor.encode(), octets));
    let _ = SignedManifest::decode(octets);
    let _ = Grant::decode(octets).map(|grant| assert_eq!(*grant.encode().unwrap(), octets));
    let place = (CellId([1; 16]), AccountId([1; 16]));
    assert!(Grant::unwrap(&key, place, b"", octets).is_err());
    assert!(open_head(octets, &keys).is_err());
    assert!(
        verify_ingest(octets, &VerifyingKey([1; 32]), &Chain::start(AccountId([1; 16]))).is_err()
    );
    assert!(cwrap::unwrap(&key, "test", &[], octets).is_err());
    assert!(blob::open(&BlobKey::from_secret(key), b"", octets).is_err());
    let identity = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    assert!(age::open(octets, &[Identity::parse(identity).unwrap()]).is_err());
    let text = String::from_utf8_lossy(octets);
    let _ = code::kind_of(&text);
    let _ = text.parse::<HolderPublic>();
    assert!(HolderKey::parse(&text).is_err() && Identity::parse(&text).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_octets_stop_a_reader(
        record in 0..records().len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        whole: bool,
        tail in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut octets = records().swap_remove(record);
        if !octets.is_empty() {
            for (place, octet) in changes {
                let place = place.index(octets.len());
                octets[place] = octet;
            }
            if !whole {
                octets.truncate(cut.index(octets.len()));
            }
        }
        octets.extend(tail);
        read_as_everything(&octets);
    }
}
