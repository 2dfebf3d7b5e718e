//! Names of mailboxes, the patterns they are listed by, and the heads of arrived letters.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mail::letter::Head;
use mail::mailbox::{Name, Pattern};

fuzz_target!(|data: &[u8]| {
    if let Ok(head) = Head::decode(data) {
        assert!(Head::decode(&head.encode()).is_ok_and(|again| again == head));
    }
    let Ok(text) = core::str::from_utf8(data) else { return };
    let (name, pattern) = text.split_once('\n').unwrap_or((text, "*"));
    let (reference, pattern) = pattern.split_once('\n').unwrap_or(("", pattern));
    let matched = Pattern::new(reference, pattern).matches(name);
    if reference.is_empty() && pattern == "*" {
        assert!(matched);
    }
    if let Ok(name) = Name::parse(name) {
        assert!(Name::parse(name.as_str()).is_ok_and(|again| again == name));
        assert!(name.parents().all(|parent| name.is_below(&parent)));
    }
});
