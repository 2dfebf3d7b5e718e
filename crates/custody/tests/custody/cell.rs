use crate::world::Chance;
use custody::cell::{CellKeys, KeyFileError};
use std::collections::BTreeSet;
use vocab::{CellId, ModSeq, RecordKind, Row};

fn keys() -> CellKeys {
    CellKeys::generate(CellId([9; 16]), &Chance::new(3))
}

#[test]
fn a_key_file_gives_the_same_keys_back() {
    let keys = keys();
    let again = CellKeys::decode(&keys.encode()).unwrap();
    assert_eq!(again.cell(), keys.cell());
    assert_eq!(again.log_seed().expose(), keys.log_seed().expose());
    assert_eq!(again.desk().unwrap().public(), keys.desk().unwrap().public());
    let address = "alice@ie.example";
    assert_eq!(again.lookup().row(address), keys.lookup().row(address));
    let chance = Chance::new(4);
    let sealed = keys
        .rows()
        .unwrap()
        .seal(RecordKind::Route, Row(1), ModSeq(1), b"a route", &chance)
        .unwrap();
    let (_, plain) = again.rows().unwrap().open(RecordKind::Route, Row(1), &sealed).unwrap();
    assert_eq!(plain, b"a route");
}

#[test]
fn the_cell_seals_no_kind_that_is_its_owners() {
    let (rows, chance) = (keys().rows().unwrap(), Chance::new(4));
    for kind in [RecordKind::Message, RecordKind::LetterHead, RecordKind::Mailbox] {
        assert!(rows.seal(kind, Row(1), ModSeq(1), b"", &chance).is_err());
    }
}

#[test]
fn each_key_is_another_and_each_cell_has_its_own() {
    let seeds = |keys: &CellKeys| {
        [
            *keys.log_seed().expose(),
            *keys.witness_seed().expose(),
            *keys.pepper().expose(),
            *keys.desk().unwrap().seed().expose(),
            *keys.ingest().unwrap().seed().expose(),
        ]
    };
    let mut all: BTreeSet<[u8; 32]> = seeds(&keys()).into();
    let text = keys().encode().replace(&"09".repeat(16), &"0a".repeat(16));
    assert_eq!(CellKeys::decode(&text).err(), Some(KeyFileError::Check));
    all.extend(seeds(&CellKeys::generate(CellId([10; 16]), &Chance::new(3))));
    assert_eq!(all.len(), 10);
}

#[test]
fn a_damaged_key_file_is_refused_with_its_fault() {
    let text = keys().encode();
    let refused = |text: &str| CellKeys::decode(text).err();
    assert_eq!(refused(""), Some(KeyFileError::FirstLine));
    assert_eq!(refused(&text.replace("key 1", "key 2")), Some(KeyFileError::FirstLine));
    assert_eq!(refused(&text.replace("secret", "secrets")), Some(KeyFileError::Lines));
    assert_eq!(refused(&format!("{}more\n", text.as_str())), Some(KeyFileError::Lines));
    assert_eq!(refused(&"#".repeat(5000)), Some(KeyFileError::FirstLine));
    let secret = text.lines().find(|line| line.starts_with("secret")).unwrap();
    let slip = format!(
        "{}{}",
        secret.strip_suffix(|_| true).unwrap(),
        if secret.ends_with('0') { 1 } else { 0 }
    );
    assert_eq!(refused(&text.replace(secret, &slip)), Some(KeyFileError::Check));
}

#[test]
fn a_trust_policy_reads_back_and_a_damaged_one_is_refused() {
    let text = crate::world::World::new().trust.to_json().unwrap();
    let again = custody::TrustPolicy::from_json(&text).unwrap();
    assert_eq!(again.to_json().unwrap(), text);
    let lone = text.replace("\\nquorum both", "\\nquorum both\\nquorum both");
    for damaged in [
        String::new(),
        text.replace("\"version\": 1", "\"version\": 2"),
        text.replace("\"version\"", "\"more\": 1, \"version\""),
        text.replace("counsel", "anyone"),
        text.replace(&"ce".repeat(16), &"CE".repeat(16)),
        lone,
        format!("{text}{}", " ".repeat(300_000)),
    ] {
        assert_ne!(damaged, text);
        assert!(custody::TrustPolicy::from_json(&damaged).is_err());
    }
}
