//! Addresses: RFC 5321 §4.1.2, RFC 6531 §3.3.

use bailiwick_proto::address::{
    Address, AddressError, Domain, LocalPart, MAX_ADDRESS_OCTETS, Path,
};

fn check(text: &str, local: &str, domain: &str) {
    let address = Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(address.local.as_str(), local, "{text}");
    assert_eq!(address.domain.to_ascii(), domain, "{text}");
    let again = Address::parse(&address.to_string()).unwrap();
    assert!(again == address, "{text} does not survive its own display");
}

#[test]
fn every_form_of_the_grammar_parses() {
    check("alice@ie.example", "alice", "ie.example");
    check("alice@IE.Example", "alice", "ie.example");
    check("a.b+c@x-y.example.org", "a.b+c", "x-y.example.org");
    check("!#$%&'*+-/=?^_`{|}~@example.org", "!#$%&'*+-/=?^_`{|}~", "example.org");
    check("\"odd name\"@example.org", "odd name", "example.org");
    check("\"a\\\"b\\\\c\"@example.org", "a\"b\\c", "example.org");
    check("\"..\"@example.org", "..", "example.org");
    check("\"a@b\"@example.org", "a@b", "example.org");
    check("clerk@[192.0.2.1]", "clerk", "[192.0.2.1]");
    check("clerk@[IPv6:2001:DB8::1]", "clerk", "[ipv6:2001:db8::1]");
    check("clerk@[x-tag:some.Content]", "clerk", "[x-tag:some.content]");
    check("\u{6d4b}\u{8bd5}@example.org", "\u{6d4b}\u{8bd5}", "example.org");
    check("clerk@b\u{fc}ro.example", "clerk", "xn--bro-hoa.example");
}

#[test]
fn what_is_no_address_is_refused() {
    for (text, error) in [
        ("", AddressError::NoDomain),
        ("alice", AddressError::NoDomain),
        ("@ie.example", AddressError::LocalPart),
        ("alice@", AddressError::Domain),
        ("a..b@ie.example", AddressError::LocalPart),
        (".a@ie.example", AddressError::LocalPart),
        ("a.@ie.example", AddressError::LocalPart),
        ("a b@ie.example", AddressError::LocalPart),
        ("a\r\nb@ie.example", AddressError::LocalPart),
        ("\"a\nb\"@ie.example", AddressError::LocalPart),
        ("\"a\0b\"@ie.example", AddressError::LocalPart),
        ("\"\"@ie.example", AddressError::LocalPart),
        ("\"open@ie.example", AddressError::LocalPart),
        ("\"a\"b@ie.example", AddressError::NoDomain),
        ("alice@ie.example.", AddressError::Domain),
        ("alice@-ie.example", AddressError::Domain),
        ("alice@ie..example", AddressError::Domain),
        ("alice@ie example", AddressError::Domain),
        ("alice@a@b", AddressError::Domain),
        ("alice@192.0.2.1", AddressError::Domain),
        ("alice@[192.0.2.256]", AddressError::Domain),
        ("alice@[IPv6:2001:db8::g]", AddressError::Domain),
        ("alice@[192.0.2.1", AddressError::Domain),
        ("alice@ie.example\0", AddressError::Domain),
        ("alice@xn--\u{fc}.example", AddressError::Domain),
    ] {
        assert_eq!(Address::parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn lengths_are_limited() {
    let local = "a".repeat(64);
    assert!(Address::parse(&format!("{local}@ie.example")).is_ok());
    assert_eq!(Address::parse(&format!("a{local}@ie.example")), Err(AddressError::TooLong));
    let domain = ["d".repeat(63).as_str(); 4].join(".");
    assert_eq!(domain.len(), 255);
    assert!(Domain::parse(&domain).is_ok());
    assert_eq!(Address::parse(&format!("a@{domain}")), Err(AddressError::TooLong));
    // As typed it fits; in A-labels, which go over the wire, it does not.
    let (local, domain) = ("a".repeat(40), "ȾZZZZZZZZZZZZZZZZZZZ.".repeat(8) + "example");
    let typed = format!("{local}@{domain}");
    assert!(typed.len() <= MAX_ADDRESS_OCTETS && Domain::parse(&domain).is_ok());
    assert_eq!(Address::parse(&typed), Err(AddressError::TooLong));
    // Quoting counts: it is what goes over the wire.
    assert_eq!(LocalPart::new(&"\"".repeat(40)), Err(AddressError::TooLong));
}

#[test]
fn people_find_the_account_whatever_the_spelling() {
    let key = |text: &str| Address::parse(text).unwrap().lookup_key();
    assert_eq!(key("Alice@IE.example"), "alice@ie.example");
    assert_eq!(key("\"Alice\"@ie.example"), "alice@ie.example");
    assert_eq!(key("e\u{301}va@example.org"), key("\u{c9}VA@example.org"));
    assert_eq!(key("clerk@B\u{dc}RO.example"), key("clerk@xn--bro-hoa.example"));
}

#[test]
fn a_detail_is_split_off() {
    let address = Address::parse("alice+court+x@ie.example").unwrap();
    assert_eq!(address.local.subaddress('+'), ("alice", Some("court+x")));
    assert_eq!(address.without_detail('+').unwrap().to_string(), "alice@ie.example");
    assert!(Address::parse("+x@ie.example").unwrap().without_detail('+').is_none());
    assert!(Address::parse("alice@ie.example").unwrap().without_detail('+').is_none());
}

#[test]
fn paths_may_be_empty_and_lose_their_route() {
    assert_eq!(Path::parse("<>"), Ok(Path::Null));
    let path = Path::parse("<@hop.example,@other.example:alice@ie.example>").unwrap();
    assert_eq!(path.to_string(), "<alice@ie.example>");
    assert_eq!(
        Path::parse("<\"a>b\"@ie.example>").unwrap().address().unwrap().local.as_str(),
        "a>b"
    );
    for bad in
        ["", "<", "alice@ie.example", "<alice@ie.example", "<alice@ie.example> ", "<<>>", "<@a:>"]
    {
        assert!(Path::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn debug_hides_who() {
    let text = format!("{:?}", Path::parse("<alice@ie.example>").unwrap());
    assert!(!text.contains("alice"), "{text}");
}

#[test]
fn a_server_without_smtputf8_gets_a_labels() {
    let wire = |text: &str| Address::parse(text).unwrap().to_wire();
    assert_eq!(wire("clerk@b\u{fc}ro.example"), "clerk@xn--bro-hoa.example");
    assert_eq!(wire("\u{e9}@b\u{fc}ro.example"), "\u{e9}@b\u{fc}ro.example");
}

proptest::proptest! {
    #[test]
    fn any_text_is_an_address_or_not(text in "\\PC{0,80}|[a-z\"\\\\@.<>\\[\\]: +]{0,40}") {
        if let Ok(address) = Address::parse(&text) {
            let again = Address::parse(&address.to_string()).unwrap();
            proptest::prop_assert!(again == address);
            proptest::prop_assert!(!address.lookup_key().is_empty());
        }
        let _ = Path::parse(&text);
    }

    #[test]
    fn any_local_part_survives_quoting(content in "\\PC{1,30}") {
        if let Ok(local) = LocalPart::new(&content) {
            let address = Address::parse(&format!("{local}@ie.example")).unwrap();
            proptest::prop_assert_eq!(address.local.as_str(), content);
        }
    }
}
