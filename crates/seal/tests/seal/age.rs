//! age files: the CCTV vectors, each of which must do what it says, and our own writer.

use seal::SealError;
use seal::age::{self, AgeError, AgeSealer, Identity, Recipient};
use seal::mac::sha256;

use crate::{fixed, pattern, unhex, vectors};

/// What a vector's header says, and the file after it.
fn read(bytes: &[u8]) -> (Vec<(String, String)>, Vec<u8>) {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap();
    let header = std::str::from_utf8(&bytes[..end]).unwrap();
    let fields: Vec<(String, String)> = header
        .lines()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let file = bytes[end + 2..].to_vec();
    let zlib = fields.iter().any(|(key, value)| key == "compressed" && value == "zlib");
    let file =
        if zlib { miniz_oxide::inflate::decompress_to_vec_zlib(&file).unwrap() } else { file };
    (fields, file)
}

#[test]
fn every_cctv_vector_does_what_it_says() {
    let mut count = 0;
    for entry in std::fs::read_dir(vectors("cctv-age")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "README.md" {
            continue;
        }
        let (fields, file) = read(&std::fs::read(&path).unwrap());
        let field = |key: &'static str| {
            fields.iter().filter(move |(known, _)| known == key).map(|(_, value)| value)
        };
        let identities: Vec<Identity> =
            field("identity").map(|text| Identity::parse(text).unwrap()).collect();
        let opened = age::open(&file, &identities);
        match field("expect").next().unwrap().as_str() {
            "success" => {
                let plain = opened.unwrap_or_else(|error| panic!("{name}: {error}"));
                let expected = unhex(field("payload").next().unwrap());
                assert_eq!(sha256(&[&plain]).0.as_slice(), expected, "{name}");
            }
            "no match" => assert_eq!(opened, Err(AgeError::NoMatch), "{name}"),
            "HMAC failure" => assert_eq!(opened, Err(AgeError::Mac), "{name}"),
            "header failure" => assert_eq!(opened, Err(AgeError::Header), "{name}"),
            "payload failure" => assert_eq!(opened, Err(AgeError::Payload), "{name}"),
            // What is no armor at all may also fail as a header.
            "armor failure" => assert!(
                matches!(opened, Err(AgeError::Armor | AgeError::Header)),
                "{name}: {opened:?}"
            ),
            other => panic!("{name}: unknown expectation {other}"),
        }
        count += 1;
    }
    assert_eq!(count, 117);
}

#[test]
fn the_specification_s_keys_are_read_and_written() {
    // C2SP age.md.
    let text = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    let identity = Identity::parse(text).unwrap();
    let recipient = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
    assert_eq!(identity.recipient().to_string(), recipient);
    assert_eq!(identity.to_text().as_str(), text);
    let text = "AGE-SECRET-KEY-PQ-1XX76JRALNLXDMEW0CRK45QMCCH4X06SE84UN3VPM33W6HWDX0H3SK3ZQFR";
    let identity = Identity::parse(text).unwrap();
    assert!(
        identity.recipient().to_string().starts_with("age1pq1x34nzsvr0rxjsgdn8zgyhfe8j7ceq5r9rd")
    );
    assert_eq!(identity.to_text().as_str(), text);
    for bad in ["", "age1", recipient, "age-secret-key-pq-1", "AGE-SECRET-KEY-1QQ"] {
        assert!(Identity::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_written_is_read_at_every_length_around_a_chunk() {
    let entropy = fixed("age");
    let hybrid = Identity::generate(&entropy).unwrap();
    let other = Identity::generate(&entropy).unwrap();
    for length in [0, 1, 65_535, 65_536, 65_537, 131_072, 200_001] {
        let plain = pattern(length, 251);
        let to = [other.recipient(), hybrid.recipient()];
        let file = age::seal(&to, &plain, &entropy).unwrap();
        assert_eq!(age::open(&file, std::slice::from_ref(&hybrid)), Ok(plain.clone()));
        let mut pieces = Vec::new();
        let mut sealer = AgeSealer::begin(&to, &entropy, &mut pieces).unwrap();
        for piece in plain.chunks(7001) {
            sealer.push(piece, &mut pieces).unwrap();
        }
        sealer.finish(&mut pieces).unwrap();
        assert_eq!(pieces.len(), file.len());
        assert_eq!(age::open(&pieces, std::slice::from_ref(&other)), Ok(plain));
        assert_eq!(
            age::open(&file[..file.len() - 1], std::slice::from_ref(&hybrid)),
            Err(AgeError::Payload)
        );
    }
    let stranger = Identity::generate(&entropy).unwrap();
    let file = age::seal(&[hybrid.recipient()], b"text", &entropy).unwrap();
    assert_eq!(age::open(&file, &[stranger]), Err(AgeError::NoMatch));
}

#[test]
fn hybrid_and_other_recipients_are_not_mixed() {
    let entropy = fixed("age mixed");
    let hybrid = Identity::generate(&entropy).unwrap().recipient();
    let plain: Recipient =
        "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj".parse().unwrap();
    let refused = |to: &[Recipient]| age::seal(to, b"", &entropy).err();
    assert_eq!(refused(&[hybrid, plain.clone()]), Some(SealError::Parameter));
    assert_eq!(refused(&[]), Some(SealError::Parameter));
    assert_eq!(refused(&vec![plain.clone(); 65]), Some(SealError::Parameter));
    let file = age::seal(&[plain], b"text", &entropy).unwrap();
    let text = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    assert_eq!(age::open(&file, &[Identity::parse(text).unwrap()]).unwrap(), b"text");
}
