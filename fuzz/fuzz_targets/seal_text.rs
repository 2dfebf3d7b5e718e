//! Keys and codes as people keep and type them, and the anchor of an account's rows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seal::age::Recipient;
use seal::anchor::Anchor;
use seal::code::kind_of;
use seal::holder::{HolderKey, HolderPublic};

fuzz_target!(|data: &[u8]| {
    if let Ok(anchor) = Anchor::decode(data) {
        assert_eq!(anchor.encode(), data);
    }
    let Ok(text) = core::str::from_utf8(data) else { return };
    let _ = kind_of(text);
    let _ = text.parse::<Recipient>();
    if let Ok(public) = text.parse::<HolderPublic>() {
        assert!(public.to_string().parse::<HolderPublic>().is_ok_and(|again| again == public));
    }
    if let Ok(key) = HolderKey::parse(text) {
        assert!(HolderKey::parse(&key.to_text()).is_ok());
    }
});
