//! The owner's half: secrets that no server sees, and grants that open an account for a session.

use crate::user::{Keystore, ROUTINE, SUSPECT, attempt, terms};
use crate::world::NOW;
use custody::user::client::{ClientError, Leave, Offer, grant};
use custody::user::{
    GRANT_SECONDS_MAX, GrantError, KeptSession, SessionToken, UnlockError, Unlocked, session_row,
};
use seal::Secret;
use seal::grant::Grant;
use seal::hseal::SecretKey;
use seal::opaque::{LoggingIn, Registering, Server};
use seal::slot::{PasswordCost, Scope, SlotKind, Unlocker};
use vocab::{AccountId, CellId, SlotId, Timestamp};

const CELL: CellId = CellId([2; 16]);
const SESSION: [u8; 16] = [9; 16];
const PASSWORD: &str = "a long enough password";
const READ: Scope = Scope::IMAP.and(Scope::JMAP);

fn sudo(keystore: &Keystore, secret: &str) -> Unlocked {
    keystore.locked().unlock(&attempt(secret, Scope::SUDO, NOW)).unwrap()
}

/// An account with a device of scope `scope`.
fn with_device(key: &Secret<32>, scope: Scope) -> (Keystore, String, SlotId) {
    let (mut keystore, recovery) = Keystore::new(None);
    let (locked, slot) = (keystore.locked(), SlotId([0x11; 16]));
    let (account, identity) = (locked.manifest().account, locked.manifest().identity);
    let (device, cost) = (Unlocker::Device(key), PasswordCost::FLOOR);
    let public = device.public(account, slot, &identity, cost, &keystore.chance).unwrap();
    let changes = sudo(&keystore, &recovery)
        .add_public(public, &terms(scope, None), NOW, &keystore.chance)
        .unwrap();
    keystore.commit(changes);
    (keystore, recovery, slot)
}

fn offer(keystore: &Keystore, slot: SlotId, key: &SecretKey) -> Offer {
    let locked = keystore.locked();
    Offer {
        cell: CELL,
        account: locked.manifest().account,
        slot,
        session: SESSION,
        to: key.public(),
        records: locked.records(),
    }
}

fn leave(scope: Scope) -> Leave {
    Leave { scope, expires: Timestamp(NOW.0 + GRANT_SECONDS_MAX), now: NOW, remembered: 0 }
}

/// What the server gets of a device's grant.
fn granted(keystore: &Keystore, slot: SlotId, device: &Secret<32>) -> Grant {
    let key = SecretKey::generate(&keystore.chance).unwrap();
    let offer = offer(keystore, slot, &key);
    let given = grant(&offer, &Unlocker::Device(device), &leave(READ), &keystore.chance);
    keystore.locked().open_grant(&key, slot, &SESSION, &given.unwrap().0).unwrap()
}

#[test]
fn a_password_that_no_server_sees_opens_the_account_by_a_grant() {
    let (mut keystore, recovery) = Keystore::new(None);
    let chance = crate::world::Chance::new(7);
    let server = Server::new(CELL, &Secret::copied(&[3; 32])).unwrap();
    let account = keystore.locked().manifest().account;
    let mut slots = Vec::new();
    for (password, number) in [("the first long password", 1), (PASSWORD, 2)] {
        let (registering, request) = Registering::start(password, &chance).unwrap();
        let response = server.register(account, &request).unwrap();
        let made = registering.finish(&response, &chance).unwrap();
        let with = Unlocker::Opaque { export: &made.export, record: &made.record };
        let slot = SlotId([number; 16]);
        let identity = keystore.locked().manifest().identity;
        let public = with.public(account, slot, &identity, PasswordCost::FLOOR, &chance).unwrap();
        let changes = sudo(&keystore, &recovery).set_opaque(public, ROUTINE, NOW, &chance).unwrap();
        keystore.commit(changes);
        slots.push(slot);
    }
    // A new one takes the old one's place.
    let locked = keystore.locked();
    let opaque: Vec<_> =
        locked.slots().iter().filter(|one| one.kind() == SlotKind::Opaque).collect();
    assert_eq!(opaque.iter().map(|one| one.slot()).collect::<Vec<_>>(), slots[1..]);
    let record = opaque[0].opaque_record().unwrap();

    let (client, request) = LoggingIn::start(PASSWORD, &chance).unwrap();
    let (expected, response) = server.answer(account, Some(record), &request, &chance).unwrap();
    let end = client.finish(&response, &chance).unwrap();
    assert!(expected.check(&end.proof).unwrap().ct_eq(&end.session));
    let key = SecretKey::generate(&chance).unwrap();
    let with = Unlocker::Opaque { export: &end.export, record };
    let (sealed, version) =
        grant(&offer(&keystore, slots[1], &key), &with, &leave(READ), &chance).unwrap();
    assert_eq!(version, locked.manifest().version);
    let given = locked.open_grant(&key, slots[1], &SESSION, &sealed).unwrap();
    let keys = locked.granted(&given, Scope::IMAP, NOW).unwrap();
    // Exactly what a login with a secret that the server sees has.
    let login = locked.unlock(&attempt(&recovery, Scope::IMAP, NOW)).unwrap().into_keys();
    assert!(keys.epochs().eq(login.epochs()) && keys.manifest() == login.manifest());
    for (epoch, version) in login.epochs() {
        let (own, other) = (keys.epoch(epoch, version), login.epoch(epoch, version));
        assert!(own.unwrap().public(NOW) == other.unwrap().public(NOW));
    }
}

#[test]
fn a_device_s_key_answers_for_it_and_no_other_does() {
    let key = Secret::copied(&[7; 32]);
    let (keystore, _, slot) = with_device(&key, Scope::ALL);
    let (locked, chance) = (keystore.locked(), &keystore.chance);
    let account = locked.manifest().account;
    let record = locked.slots().iter().find(|one| one.slot() == slot).unwrap();
    let knock = |slot| seal::slot::knock(record.key(), account, slot, &[5; 32], chance).unwrap();
    let device = Unlocker::Device(&key);
    assert_eq!(device.answer(account, slot, &knock(slot)).unwrap(), [5; 32]);
    let other = Secret::copied(&[8; 32]);
    assert!(Unlocker::Device(&other).answer(account, slot, &knock(slot)).is_err());
    assert!(device.answer(account, slot, &knock(SlotId([0; 16]))).is_err());
    assert!(device.answer(AccountId([0; 16]), slot, &knock(slot)).is_err());
    // A passkey's too: what it gives for its salt.
    let salt = [4; 32];
    let passkey = Unlocker::Passkey { output: &key, salt: &salt };
    let identity = locked.manifest().identity;
    let cost = PasswordCost::FLOOR;
    assert!(passkey.public(account, slot, &identity, cost, chance).is_ok());
    assert!(passkey.answer(account, slot, &knock(slot)).is_err());
}

#[test]
fn a_grant_never_changes_unlockers_and_never_outgrows_its_unlocker() {
    let key = Secret::copied(&[7; 32]);
    let (keystore, _, slot) = with_device(&key, READ);
    let (session, chance) = (SecretKey::generate(&keystore.chance).unwrap(), &keystore.chance);
    let offer = offer(&keystore, slot, &session);
    for scope in [Scope::ALL, Scope::SUDO, READ.and(Scope::DAV)] {
        let refused = grant(&offer, &Unlocker::Device(&key), &leave(scope), chance).err();
        assert_eq!(refused, Some(ClientError::Unlock(UnlockError::Scope)));
    }
    // A program of the thief's would ask for more: the server refuses it then.
    let locked = keystore.locked();
    for scope in [READ.and(Scope::DAV), READ.and(Scope::SUDO)] {
        let forged = Grant { scope, ..granted(&keystore, slot, &key) };
        assert_eq!(locked.granted(&forged, Scope::IMAP, NOW).err(), Some(GrantError::Scope));
    }
    let sudo = Grant { scope: Scope::ALL, ..granted(&keystore, slot, &key) };
    assert!(Grant::decode(&sudo.encode().unwrap()).is_err());
    let given = granted(&keystore, slot, &key);
    assert_eq!(locked.granted(&given, Scope::DAV, NOW).err(), Some(GrantError::Scope));
    assert!(locked.granted(&given, Scope::JMAP, NOW).is_ok());
}

#[test]
fn a_grant_ends_with_its_time_its_unlocker_and_the_keys_it_holds() {
    let key = Secret::copied(&[7; 32]);
    let (mut keystore, recovery, slot) = with_device(&key, Scope::ALL);
    let given = granted(&keystore, slot, &key);
    let locked = keystore.locked();
    let at = |seconds| Timestamp(NOW.0 + seconds);
    assert!(locked.granted(&given, READ, at(GRANT_SECONDS_MAX - 1)).is_ok());
    let over = locked.granted(&given, READ, at(GRANT_SECONDS_MAX)).err();
    assert_eq!(over, Some(GrantError::Expired));
    let long = Grant { expires: at(GRANT_SECONDS_MAX + 1), ..granted(&keystore, slot, &key) };
    assert_eq!(locked.granted(&long, READ, NOW).err(), Some(GrantError::Expired));

    // Somebody else is under suspicion: new keys, and the session asks for a new grant.
    let mut owner = sudo(&keystore, &recovery);
    let stolen = owner.add_app_password(&terms(Scope::IMAP, None), NOW, &keystore.chance).unwrap();
    keystore.commit(stolen.changes);
    assert!(keystore.locked().granted(&given, READ, NOW).is_ok());
    let changes = owner.revoke(stolen.slot, SUSPECT, NOW, &keystore.chance).unwrap();
    keystore.commit(changes);
    assert_eq!(keystore.locked().granted(&given, READ, NOW).err(), Some(GrantError::Stale));
    let given = granted(&keystore, slot, &key);
    assert!(keystore.locked().granted(&given, READ, NOW).is_ok());

    let changes = owner.revoke(slot, ROUTINE, NOW, &keystore.chance).unwrap();
    keystore.commit(changes);
    assert_eq!(keystore.locked().granted(&given, READ, NOW).err(), Some(GrantError::Revoked));
}

#[test]
fn a_grant_with_a_key_that_is_not_the_account_s_opens_nothing() {
    let key = Secret::copied(&[7; 32]);
    let (keystore, _, slot) = with_device(&key, Scope::ALL);
    let locked = keystore.locked();
    // The arrival key's seed is in front, the row keys behind it.
    for place in [0, 63] {
        let mut forged = granted(&keystore, slot, &key);
        let mut octets = *forged.epochs[3].keys.expose();
        octets[place] ^= 1;
        forged.epochs[3].keys = Secret::copied(&octets);
        assert_eq!(locked.granted(&forged, READ, NOW).err(), Some(GrantError::Keys));
    }
    let mut short = granted(&keystore, slot, &key);
    short.epochs.pop();
    assert_eq!(locked.granted(&short, READ, NOW).err(), Some(GrantError::Stale));
}

#[test]
fn a_sealed_grant_opens_for_its_session_alone() {
    let key = Secret::copied(&[7; 32]);
    let (keystore, _, slot) = with_device(&key, Scope::ALL);
    let (session, chance) = (SecretKey::generate(&keystore.chance).unwrap(), &keystore.chance);
    let offer = offer(&keystore, slot, &session);
    let (sealed, _) = grant(&offer, &Unlocker::Device(&key), &leave(READ), chance).unwrap();
    let (locked, other) = (keystore.locked(), SecretKey::generate(chance).unwrap());
    let mut altered = sealed.clone();
    altered[1300] ^= 1;
    for (key, slot, session, sealed) in [
        (&other, slot, SESSION, &sealed),
        (&session, SlotId([0; 16]), SESSION, &sealed),
        (&session, slot, [0; 16], &sealed),
        (&session, slot, SESSION, &altered),
    ] {
        let opened = locked.open_grant(key, slot, &session, sealed);
        assert_eq!(opened.err(), Some(GrantError::Closed));
    }
    // What is offered is believed as far as the key pins it.
    let foreign = Offer { cell: CellId([3; 16]), ..offer };
    let refused = grant(&foreign, &Unlocker::Device(&key), &leave(READ), chance).err();
    assert_eq!(refused, Some(ClientError::Offer(None)));
}

#[test]
fn a_kept_session_opens_with_its_token_and_with_nothing_that_is_stored() {
    let key = Secret::copied(&[7; 32]);
    let (keystore, _, slot) = with_device(&key, Scope::ALL);
    let given = granted(&keystore, slot, &key);
    let place = (CELL, given.account);
    let secret = Secret::random(&keystore.chance);
    let kept = KeptSession::keep(&given, &SESSION, &secret, &keystore.chance).unwrap();
    let clear = KeptSession::of(&kept).unwrap();
    assert_eq!((clear.session, clear.slot), (SESSION, slot));
    // To the hour: nobody reads from the disk when the owner came.
    assert!(clear.until >= given.expires && clear.until.0.is_multiple_of(3600));
    let token = SessionToken { account: given.account, session: SESSION, secret };
    let read = SessionToken::read(&token.text()).unwrap();
    assert!(read.secret.ct_eq(&token.secret) && read.session == SESSION);
    assert_eq!(session_row(&SESSION).0, u64::from_be_bytes([9; 8]));
    let opened = KeptSession::open(&kept, &read.secret, place).unwrap();
    assert!(*opened.encode().unwrap() == *given.encode().unwrap());
    for text in ["", "00", &"0".repeat(127), &"g".repeat(128)] {
        assert!(SessionToken::read(text).is_none());
    }
    // Another token, another account, another cell, and every part of the record altered.
    let other = Secret::random(&keystore.chance);
    assert!(KeptSession::open(&kept, &other, place).is_err());
    assert!(KeptSession::open(&kept, &read.secret, (CELL, AccountId([0; 16]))).is_err());
    assert!(KeptSession::open(&kept, &read.secret, (CellId([0; 16]), place.1)).is_err());
    for at in [0, 2, 18, 34, 42, 66, 98, kept.len() - 1] {
        let mut altered = kept.clone();
        altered[at] ^= 1;
        assert!(KeptSession::open(&altered, &read.secret, place).is_err(), "{at}");
    }
    for length in 0..kept.len().min(200) {
        assert!(KeptSession::open(&kept[..length], &read.secret, place).is_err());
    }
    let secrets = given.epochs.iter().map(|one| &one.keys.expose()[..32]);
    for secret in secrets.chain([read.secret.expose().as_slice()]) {
        assert!(!kept.windows(32).any(|part| part == secret));
    }
}
