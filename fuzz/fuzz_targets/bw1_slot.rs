//! BW1 slot records and app passwords: what is read prints as it came.
#![no_main]

use std::sync::LazyLock;

use bailiwick_fuzz::{Repeating, candidate};
use libfuzzer_sys::fuzz_target;
use seal::code;
use seal::note::Note;
use seal::root::MasterKey;
use seal::sign::SigningKey;
use seal::slot::{Enrolment, PasswordCost, Scope, SlotRecord, Unlocker};
use vocab::{AccountId, SlotId, Timestamp};

static VALID: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let entropy = Repeating::default();
    let master = MasterKey::generate(AccountId([1; 16]), &entropy);
    let enrolment = Enrolment {
        slot: SlotId([2; 16]),
        scope: Scope::IMAP,
        created: Timestamp(1_794_000_000),
        expires: None,
        note: &Note::default(),
        cost: PasswordCost::FLOOR,
        identity: SigningKey::generate(&entropy).unwrap().public(),
        master: &master,
    };
    let text = code::app_password(&entropy);
    SlotRecord::enrol(&Unlocker::AppPassword(&text), &enrolment, &entropy).unwrap().encode()
});

fuzz_target!(|data: &[u8]| {
    let record = candidate(&VALID, data);
    if let Ok(slot) = SlotRecord::decode(&record) {
        assert_eq!(slot.encode(), record);
    }
    let _ = core::str::from_utf8(data).map(code::kind_of);
});
