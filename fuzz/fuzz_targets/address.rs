//! RFC 5321 paths and addresses: what is parsed prints as what it parses to.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::address::{Address, Domain};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = core::str::from_utf8(data) else { return };
    if let Ok(address) = Address::parse(text) {
        let again = Address::parse(&address.to_wire()).expect("what is printed can be read");
        assert_eq!(again.lookup_key(), address.lookup_key());
    }
    if let Ok(domain) = Domain::parse(text) {
        assert!(Domain::parse(domain.as_str()).is_ok());
    }
});
