//! Slots, manifests, epochs and unlocking, and each way to tamper with them.

use seal::code;
use seal::epoch::{EpochKeys, EpochRecord, RECORD_BYTES, begins};
use seal::manifest::{EpochEntry, Manifest, ManifestError, SignedManifest, SlotEntry};
use seal::note::Note;
use seal::root::MasterKey;
use seal::sign::SigningKey;
use seal::slot::{Enrolment, PasswordCost, Scope, SlotError, SlotKind, SlotRecord, Unlocker};
use seal::unlock::{Check, UnlockError, Unlocked, unlock};
use seal::{OpenError, Secret};
use vocab::{AccountId, CellId, Custody, Digest, Epoch, EpochVersion, SlotId, Timestamp};

use crate::{fixed, flips};

const NOW: Timestamp = Timestamp(1_795_000_000);

fn account() -> AccountId {
    AccountId([0xaa; 16])
}

struct World {
    master: MasterKey,
    identity: SigningKey,
    app: String,
    slot: SlotRecord,
    manifest: SignedManifest,
}

fn enrol(
    world: (&MasterKey, &SigningKey),
    with: &Unlocker<'_>,
    id: u8,
    expires: Option<Timestamp>,
) -> Result<SlotRecord, SlotError> {
    let enrolment = Enrolment {
        slot: SlotId([id; 16]),
        scope: Scope::IMAP.and(Scope::SUBMIT),
        created: NOW,
        expires,
        note: &Note::default(),
        cost: PasswordCost::FLOOR,
        identity: world.1.public(),
        master: world.0,
    };
    SlotRecord::enrol(with, &enrolment, &fixed("enrol"))
}

fn manifest(master: &MasterKey, identity: &SigningKey, slots: &[&SlotRecord]) -> Manifest {
    Manifest {
        account: master.account(),
        cell: CellId([0xce; 16]),
        custody: Custody::Sealed,
        policy: None,
        version: 1,
        generation: master.generation(),
        previous: None,
        master: master.commitment(),
        identity: identity.public(),
        identity_box: master.root().wrap_identity(identity, &fixed("identity box")).unwrap(),
        slots: slots.iter().map(|s| SlotEntry { slot: s.slot(), digest: s.digest() }).collect(),
        epochs: Vec::new(),
        created: NOW,
    }
}

fn world() -> World {
    let entropy = fixed("world");
    let master = MasterKey::generate(account(), &entropy);
    let identity = SigningKey::generate(&entropy).unwrap();
    let app = code::app_password(&entropy).to_string();
    let slot = enrol((&master, &identity), &Unlocker::AppPassword(&app), 1, None).unwrap();
    let manifest = manifest(&master, &identity, &[&slot]).sign(&identity).unwrap();
    World { master, identity, app, slot, manifest }
}

impl World {
    fn try_slot(&self, slot: &SlotRecord) -> Result<Unlocked, UnlockError> {
        unlock(account(), slot, &self.manifest, &Unlocker::AppPassword(&self.app), NOW, 1)
    }

    fn signed(&self, change: impl FnOnce(&mut Manifest)) -> Result<SignedManifest, ManifestError> {
        let mut manifest = manifest(&self.master, &self.identity, &[&self.slot]);
        change(&mut manifest);
        manifest.sign(&self.identity)
    }
}

fn tampered(result: Result<Unlocked, UnlockError>) -> Check {
    match result {
        Err(UnlockError::Tampered(check)) => check,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it opened"),
    }
}

#[test]
fn an_app_password_unlocks_what_it_was_enrolled_for() {
    let world = world();
    let unlocked = world.try_slot(&world.slot).unwrap();
    assert_eq!(unlocked.master.commitment(), world.master.commitment());
    assert_eq!(unlocked.identity.public(), world.identity.public());
    assert_eq!(unlocked.version, 1);
    assert!(unlocked.scope.contains(Scope::IMAP) && !unlocked.scope.contains(Scope::SUDO));
    let keys = EpochKeys::generate(account(), Epoch(323), EpochVersion(1), &fixed("e")).unwrap();
    let record = EpochRecord::seal(&world.master.root(), &keys, NOW, &fixed("b")).unwrap();
    let opened = record.open(&unlocked.root).unwrap();
    assert!(opened.public(NOW) == keys.public(NOW));
}

#[test]
fn a_password_unlocks_at_no_less_than_the_floor_and_only_with_its_pepper() {
    let world = world();
    let keys = (&world.master, &world.identity);
    let (pepper, other_pepper) = (Secret::copied(&[3; 32]), Secret::copied(&[4; 32]));
    let password = |text, pepper| Unlocker::Password { text, pepper };
    let slot =
        enrol(keys, &password("correct horse", Some(&pepper)), 2, Some(Timestamp(NOW.0 + 1)))
            .unwrap();
    assert_eq!((slot.kind(), slot.expires()), (SlotKind::Password, Some(Timestamp(NOW.0 + 1))));
    let signed = world
        .signed(|m| m.slots.push(SlotEntry { slot: slot.slot(), digest: slot.digest() }))
        .unwrap();
    let at = |with: &Unlocker<'_>, now| unlock(account(), &slot, &signed, with, now, 0);
    assert!(at(&password("correct\u{a0}horse", Some(&pepper)), NOW).is_ok());
    let later = Timestamp(NOW.0 + 1);
    assert_eq!(
        at(&password("correct horse", Some(&pepper)), later).err(),
        Some(UnlockError::Expired)
    );
    for wrong in [
        password("Correct horse", Some(&pepper)),
        password("correct horse", Some(&other_pepper)),
        password("correct horse", None),
        password("", Some(&pepper)),
        password(&world.app, Some(&pepper)),
        Unlocker::AppPassword(&world.app),
    ] {
        assert_eq!(at(&wrong, NOW).err(), Some(UnlockError::Wrong));
    }
    // Lower numbers in the record, even in a manifest that lists it, are not obeyed.
    for (place, value) in [(2727, 65_535u32), (2731, 2), (2727, 1 << 21), (2731, 17)] {
        let mut bytes = slot.encode();
        bytes[place..place + 4].copy_from_slice(&value.to_be_bytes());
        let slot = SlotRecord::decode(&bytes).unwrap();
        let signed = world.signed(|m| {
            m.slots = vec![SlotEntry { slot: slot.slot(), digest: slot.digest() }];
        });
        let with = password("correct horse", Some(&pepper));
        let result = unlock(account(), &slot, &signed.unwrap(), &with, NOW, 0);
        assert_eq!(tampered(result), Check::Cost);
    }
    let cheap = PasswordCost { memory_kib: 8192, ..PasswordCost::FLOOR };
    let enrolment = Enrolment {
        slot: SlotId([9; 16]),
        scope: Scope::ALL,
        created: NOW,
        expires: None,
        note: &Note::default(),
        cost: cheap,
        identity: world.identity.public(),
        master: &world.master,
    };
    let refused = SlotRecord::enrol(&password("x", None), &enrolment, &fixed("cheap"));
    assert_eq!(refused.err(), Some(SlotError::Cost));
}

#[test]
fn a_recovery_code_unlocks_and_the_right_slot_is_found_cheaply() {
    let world = world();
    let text = code::recovery_code(&fixed("recovery"));
    let with = Unlocker::Recovery(&text);
    let slot = enrol((&world.master, &world.identity), &with, 3, None).unwrap();
    let identity = world.identity.public();
    assert!(slot.may_fit(account(), &with, &identity));
    assert!(!world.slot.may_fit(account(), &with, &identity));
    assert!(!slot.may_fit(account(), &Unlocker::AppPassword(&world.app), &identity));
    let other = code::app_password(&fixed("other"));
    assert!(!world.slot.may_fit(account(), &Unlocker::AppPassword(&other), &identity));
    assert!(world.slot.may_fit(
        account(),
        &Unlocker::AppPassword(&world.app.to_lowercase()),
        &identity
    ));
    let signed = world
        .signed(|m| m.slots.push(SlotEntry { slot: slot.slot(), digest: slot.digest() }))
        .unwrap();
    assert!(unlock(account(), &slot, &signed, &with, NOW, 0).is_ok());
    let wrong = Unlocker::AppPassword(&other);
    assert_eq!(
        unlock(account(), &world.slot, &signed, &wrong, NOW, 0).err(),
        Some(UnlockError::Wrong)
    );
}

#[test]
fn an_altered_slot_is_unlisted_and_listing_it_does_not_help() {
    let world = world();
    let bytes = world.slot.encode();
    assert!(SlotRecord::decode(&bytes).unwrap() == world.slot);
    // Scope, created, expires, the key's X25519 half, the pin, the box's capsule and text, and the
    // note's salt, commitment and text.
    let places = [3, 20, 35, 1240, 1252, 1283, 1284, 2380, 2404, 2451, 2452, 2480, 2508, 2724];
    for altered in flips(&bytes, &places) {
        let Ok(slot) = SlotRecord::decode(&altered) else { continue };
        assert_eq!(tampered(world.try_slot(&slot)), Check::Unlisted);
        // Whoever can sign, as only the owner can, still cannot make an altered slot open:
        let listing = world.signed(|m| {
            m.slots = vec![SlotEntry { slot: slot.slot(), digest: slot.digest() }];
        });
        let world = World { manifest: listing.unwrap(), ..self::world() };
        let result = world.try_slot(&slot);
        assert!(
            matches!(result, Err(UnlockError::Tampered(_) | UnlockError::Expired)),
            "an altered slot opened"
        );
    }
    for length in [0, 2, 36, 2452, 2724, 2725, 2726] {
        assert!(SlotRecord::decode(&bytes[..length]).is_err());
    }
    assert!(SlotRecord::decode(&[&bytes[..], &[0]].concat()).is_err());
    for (place, octet) in [(2, 0), (2, 8), (3, 32), (2, 1), (2, 2), (2, 4)] {
        let mut unknown = bytes.clone();
        unknown[place] = octet;
        assert!(SlotRecord::decode(&unknown).is_err(), "{place} {octet}");
    }
}

#[test]
fn another_identity_cannot_take_over_a_slot() {
    // The strongest writer: it knows no secret, but can write every record of the store.
    let world = world();
    let entropy = fixed("intruder");
    let master = MasterKey::generate(account(), &entropy);
    let identity = SigningKey::generate(&entropy).unwrap();
    let rewrapped = world.slot.rewrap(&Note::default(), &master, &entropy).unwrap();
    let signed = manifest(&master, &identity, &[&rewrapped]).sign(&identity).unwrap();
    let with = Unlocker::AppPassword(&world.app);
    let result = unlock(account(), &rewrapped, &signed, &with, NOW, 1);
    assert_eq!(tampered(result), Check::Pin);
}

#[test]
fn an_older_manifest_and_another_account_s_are_refused() {
    let world = world();
    let with = Unlocker::AppPassword(&world.app);
    let result = unlock(account(), &world.slot, &world.manifest, &with, NOW, 2);
    assert_eq!(tampered(result), Check::Rollback);
    let result = unlock(AccountId([1; 16]), &world.slot, &world.manifest, &with, NOW, 1);
    assert_eq!(tampered(result), Check::Account);
}

#[test]
fn the_master_key_and_the_identity_must_be_the_ones_committed_to() {
    let world = world();
    let with = Unlocker::AppPassword(&world.app);
    let check =
        |signed: SignedManifest| tampered(unlock(account(), &world.slot, &signed, &with, NOW, 1));
    let other = world.master.next(&fixed("next")).unwrap();
    assert_eq!(check(world.signed(|m| m.master = other.commitment()).unwrap()), Check::Commitment);
    let wrapped = other.root().wrap_identity(&world.identity, &fixed("w")).unwrap();
    assert_eq!(check(world.signed(|m| m.identity_box = wrapped).unwrap()), Check::Identity);
    assert_eq!(check(world.signed(|m| m.generation = 2).unwrap()), Check::Box);
}

#[test]
fn after_a_new_master_key_the_old_slot_opens_nothing() {
    let world = world();
    let entropy = fixed("rotation");
    let next = world.master.next(&entropy).unwrap();
    let kept = world.slot.rewrap(&Note::default(), &next, &entropy).unwrap();
    let signed = manifest(&next, &world.identity, &[&kept]);
    let signed = Manifest { version: 2, previous: Some(world.manifest.digest()), ..signed };
    let signed = signed.sign(&world.identity).unwrap();
    signed.follows(&world.manifest).unwrap();
    let with = Unlocker::AppPassword(&world.app);
    let unlocked = unlock(account(), &kept, &signed, &with, NOW, 1).unwrap();
    assert_eq!(unlocked.master.generation(), 2);
    assert_eq!(tampered(unlock(account(), &world.slot, &signed, &with, NOW, 1)), Check::Unlisted);
    let keys = EpochKeys::generate(account(), Epoch(1), EpochVersion(1), &entropy).unwrap();
    let record = EpochRecord::seal(&next.root(), &keys, NOW, &entropy).unwrap();
    assert_eq!(record.open(&world.master.root()).err(), Some(OpenError::Tampered));
}

#[test]
fn a_manifest_cannot_be_altered_nor_contradict_itself() {
    let world = world();
    let bytes = world.manifest.as_bytes();
    assert_eq!(SignedManifest::decode(bytes).unwrap(), world.manifest);
    for place in 0..bytes.len() {
        let mut altered = bytes.to_vec();
        altered[place] ^= 1;
        assert!(SignedManifest::decode(&altered).is_err(), "{place}");
    }
    for length in 0..bytes.len() {
        assert!(SignedManifest::decode(&bytes[..length]).is_err());
    }
    let entry = |epoch, escrow| EpochEntry {
        epoch: Epoch(epoch),
        version: EpochVersion(1),
        not_before: NOW,
        public: Digest([1; 32]),
        wrapped: Digest([2; 32]),
        escrow,
    };
    let refused = |change: &dyn Fn(&mut Manifest)| world.signed(change).err();
    let inconsistent = Some(ManifestError::Inconsistent);
    assert_eq!(refused(&|m| m.epochs = vec![entry(1, Some(Digest([3; 32])))]), inconsistent);
    assert_eq!(refused(&|m| m.policy = Some(Digest([3; 32]))), inconsistent);
    assert_eq!(refused(&|m| m.custody = Custody::Managed), inconsistent);
    assert_eq!(refused(&|m| m.epochs = vec![entry(1, None), entry(1, None)]), inconsistent);
    assert_eq!(refused(&|m| m.slots.push(m.slots[0])), inconsistent);
    assert_eq!(refused(&|m| m.version = 2), inconsistent);
    assert_eq!(refused(&|m| m.version = 0), inconsistent);
    assert_eq!(refused(&|m| m.slots = vec![m.slots[0]; 257]), inconsistent);
    let stranger = SigningKey::generate(&fixed("stranger")).unwrap();
    assert_eq!(refused(&|m| m.identity = stranger.public()), Some(ManifestError::Signature));
    let signed = world.signed(|m| m.epochs = vec![entry(2, None), entry(1, None)]).unwrap();
    assert_eq!(signed.manifest().epochs[0].epoch, Epoch(1), "epochs are put in order");
    assert!(signed.manifest().epoch(Epoch(2), EpochVersion(1)).is_some());
    assert_eq!(signed.follows(&world.manifest), Err(ManifestError::Chain));
}

#[test]
fn custody_cannot_be_changed_without_the_owner() {
    let world = world();
    let mut bytes = world.manifest.as_bytes().to_vec();
    assert_eq!(bytes[40], Custody::Sealed as u8);
    bytes[40] = Custody::Managed as u8;
    assert_eq!(SignedManifest::decode(&bytes), Err(ManifestError::Signature));
}

#[test]
fn an_epoch_record_opens_only_whole_and_in_its_place() {
    let world = world();
    let entropy = fixed("epoch record");
    let keys = EpochKeys::generate(account(), Epoch(323), EpochVersion(1), &entropy).unwrap();
    let root = world.master.root();
    let record = EpochRecord::seal(&root, &keys, begins(Epoch(323)), &entropy).unwrap();
    let bytes = record.encode();
    assert_eq!(bytes.len(), RECORD_BYTES);
    assert!(EpochRecord::decode(&bytes).unwrap() == record);
    // Account, epoch, version, the key's X25519 half, the row keys' commitment; of the box, salt,
    // commitment, text, tag.
    for altered in flips(&bytes, &[2, 21, 25, 1230, 1250, 1282, 1306, 1338, 1401, 1417]) {
        let Ok(record) = EpochRecord::decode(&altered) else { continue };
        assert!(record.open(&root).is_err());
    }
    for length in [0, 33, 1282, RECORD_BYTES - 1] {
        assert!(EpochRecord::decode(&bytes[..length]).is_err());
    }
    // Another epoch's public key in front of this box.
    let other = EpochKeys::generate(account(), Epoch(323), EpochVersion(1), &entropy).unwrap();
    let other = EpochRecord::seal(&root, &other, begins(Epoch(323)), &entropy).unwrap().encode();
    let mixed = [&other[..1250], &bytes[1250..]].concat();
    assert!(EpochRecord::decode(&mixed).unwrap().open(&root).is_err());
}

#[test]
fn a_program_enrols_its_key_without_showing_it_and_unlocks_alone() {
    let world = world();
    let (account, identity) = (account(), world.identity.public());
    let secrets = (Secret::copied(&[7; 32]), Secret::copied(&[8; 64]));
    let (salt, record) = ([9; 32], [10; 192]);
    let token = code::token(&fixed("token"));
    let unlockers = [
        Unlocker::Device(&secrets.0),
        Unlocker::Passkey { output: &secrets.0, salt: &salt },
        Unlocker::Opaque { export: &secrets.1, record: &record },
        Unlocker::Token(&token),
    ];
    let note = Note::new("laptop", &[]).unwrap();
    for (with, id) in unlockers.iter().zip(1..) {
        let (slot, cost) = (SlotId([id; 16]), PasswordCost::FLOOR);
        // All that leaves the owner's program:
        let public = with.public(account, slot, &identity, cost, &fixed("public")).unwrap();
        let enrolment = Enrolment {
            slot,
            scope: Scope::ALL,
            created: NOW,
            expires: None,
            note: &note,
            cost,
            identity,
            master: &world.master,
        };
        let slot = SlotRecord::enrol_public(public, &enrolment, &fixed("enrol")).unwrap();
        let slot = SlotRecord::decode(&slot.encode()).unwrap();
        assert_eq!(slot.kind(), with.kind());
        let listed = |m: &mut Manifest| {
            m.slots = vec![SlotEntry { slot: slot.slot(), digest: slot.digest() }];
        };
        let signed = world.signed(listed).unwrap();
        let unlocked = unlock(account, &slot, &signed, with, NOW, 1).unwrap();
        assert!(unlocked.note.name() == "laptop");
        for other in unlockers.iter().filter(|other| other.kind() != with.kind()) {
            let result = unlock(account, &slot, &signed, other, NOW, 1);
            assert_eq!(result.err(), Some(UnlockError::Wrong));
        }
        let other = (Secret::copied(&[17; 32]), Secret::copied(&[18; 64]));
        for wrong in [
            Unlocker::Device(&other.0),
            Unlocker::Passkey { output: &other.0, salt: &salt },
            Unlocker::Passkey { output: &secrets.0, salt: &[0; 32] },
            Unlocker::Opaque { export: &other.1, record: &record },
            Unlocker::Opaque { export: &secrets.1, record: &[0; 192] },
            Unlocker::Token(&code::token(&fixed("another token"))),
        ] {
            let result = unlock(account, &slot, &signed, &wrong, NOW, 1);
            assert_eq!(result.err(), Some(UnlockError::Wrong));
        }
    }
}

#[test]
fn a_note_follows_its_slot_and_no_other() {
    let world = world();
    let entropy = fixed("note");
    let root = world.master.root();
    let note = Note::new("phone", &["192.0.2.0/24".parse().unwrap()]).unwrap();
    let noted = world.slot.noted(&note, &world.master, &entropy).unwrap();
    assert!(noted.note(account(), &root).unwrap() == note);
    assert_eq!(noted.encode().len(), world.slot.encode().len());
    // Not in the manifest yet; and put into another slot, it does not open.
    assert_eq!(tampered(world.try_slot(&noted)), Check::Unlisted);
    let other =
        enrol((&world.master, &world.identity), &Unlocker::AppPassword(&world.app), 2, None);
    let mut moved = other.unwrap().encode();
    moved[2452..2725].copy_from_slice(&noted.encode()[2452..2725]);
    let moved = SlotRecord::decode(&moved).unwrap();
    assert!(moved.note(account(), &root).is_err());
    let signed = world.signed(|m| {
        m.slots = vec![SlotEntry { slot: moved.slot(), digest: moved.digest() }];
    });
    let with = Unlocker::AppPassword(&world.app);
    let result = unlock(account(), &moved, &signed.unwrap(), &with, NOW, 1);
    assert_eq!(tampered(result), Check::Note);
    // A new master key takes it along.
    let next = world.master.next(&entropy).unwrap();
    let kept = noted.rewrap(&note, &next, &entropy).unwrap();
    assert!(kept.note(account(), &root).is_err());
    assert!(kept.note(account(), &next.root()).unwrap() == note);
}
