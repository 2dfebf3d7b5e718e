//! The vectors of specs/message-view.md.

use std::path::Path;

use bailiwick_proto::message::{MessageView, parse};

#[test]
fn vectors_of_the_specification_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../specs/vectors/message-view");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "eml") {
            continue;
        }
        let message = std::fs::read(&path).unwrap();
        let expected = std::fs::read_to_string(path.with_extension("cbor.hex")).unwrap_or_default();
        let expected: String = expected.split_whitespace().collect();
        let stored = minicbor::to_vec(parse(&message).0).unwrap();
        let found: String = stored.iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(found, expected, "{}", path.display());
        assert!(minicbor::decode::<MessageView>(&stored).unwrap() == parse(&message).0);
        seen += 1;
    }
    assert!(seen >= 3);
}
