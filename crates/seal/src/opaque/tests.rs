//! RFC 9807's own vectors through the suite's parts, and the exchange as this crate runs it.

use std::sync::Mutex;

use opaque_ke::Identifiers;
use opaque_ke::ksf::Identity;
use serde_json::Value;

use super::*;

/// The suite of the vectors: ours, without stretching.
struct Unstretched;

impl CipherSuite for Unstretched {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, sha2::Sha512>;
    type Ksf = Identity;
}

/// Chance that was written down.
struct Script(Mutex<Vec<u8>>);

impl Script {
    fn of(parts: &[&[u8]]) -> Self {
        Self(Mutex::new(parts.concat()))
    }
}

impl Entropy for Script {
    fn fill(&self, out: &mut [u8]) {
        let mut left = self.0.lock().unwrap();
        let rest = left.split_off(out.len());
        out.copy_from_slice(&left);
        *left = rest;
    }
}

struct Counted(Mutex<u64>);

impl Entropy for Counted {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let mut count = self.0.lock().unwrap();
            *count += 1;
            let block = crate::mac::sha256(&[b"opaque test", &count.to_be_bytes()]).0;
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

fn counted() -> Counted {
    Counted(Mutex::new(0))
}

fn octets(value: &Value) -> Vec<u8> {
    let pairs = value.as_str().unwrap().as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn vectors() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../specs/vectors/opaque/ristretto255.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A scalar as the library draws it: reduced from twice its length.
fn scalar(octets: &[u8]) -> Vec<u8> {
    [octets, &[0; 32]].concat()
}

fn setup(inputs: &Value) -> ServerSetup<Unstretched> {
    let (_, nobody) = key_pair(&Secret::copied(&[7; 32])).unwrap();
    let parts = [octets(&inputs["oprf_seed"]), octets(&inputs["server_private_key"])];
    ServerSetup::deserialize(&[parts.concat().as_slice(), &nobody].concat()).unwrap()
}

#[test]
fn the_vectors_of_rfc_9807_come_out() {
    let real: Vec<_> = vectors().into_iter().filter(|vector| vector["fake"] == false).collect();
    assert_eq!(real.len(), 2);
    for vector in real {
        let (inputs, outputs) = (&vector["inputs"], &vector["outputs"]);
        let input = |name: &str| octets(&inputs[name]);
        let context = octets(&vector["context"]);
        let name = |name: &str| inputs.get(name).map(octets);
        let (client, server) = (name("client_identity"), name("server_identity"));
        let identifiers = Identifiers { client: client.as_deref(), server: server.as_deref() };
        let (setup, password) = (setup(inputs), input("password"));

        let chance = Script::of(&[&scalar(&input("blind_registration"))]);
        let start = ClientRegistration::start(&mut Draw(&chance), &password).unwrap();
        assert_eq!(start.message.serialize().as_slice(), octets(&outputs["registration_request"]));
        let identifier = input("credential_identifier");
        let answer = ServerRegistration::start(&setup, start.message, &identifier).unwrap();
        let said = octets(&outputs["registration_response"]);
        assert_eq!(answer.message.serialize().as_slice(), said);
        let chance = Script::of(&[&input("envelope_nonce")]);
        let parameters = ClientRegistrationFinishParameters::new(identifiers, None);
        let end =
            start.state.finish(&mut Draw(&chance), &password, answer.message, parameters).unwrap();
        assert_eq!(end.message.serialize().as_slice(), octets(&outputs["registration_upload"]));
        assert_eq!(end.export_key.as_slice(), octets(&outputs["export_key"]));
        let record = ServerRegistration::finish(end.message);

        let chance = [scalar(&input("blind_login")), input("client_keyshare_seed")];
        let chance = Script::of(&[&chance.concat(), &input("client_nonce")]);
        let start = ClientLogin::<Unstretched>::start(&mut Draw(&chance), &password).unwrap();
        assert_eq!(start.message.serialize().as_slice(), octets(&outputs["KE1"]));
        // What the library draws first is for an account that is not there.
        let chance = [vec![0; 64], input("masking_nonce"), input("server_keyshare_seed")];
        let chance = Script::of(&[&chance.concat(), &input("server_nonce")]);
        let parameters = || ServerLoginParameters { context: Some(&context), identifiers };
        let record = Some(record);
        let chance = &mut Draw(&chance);
        let answer =
            ServerLogin::start(chance, &setup, record, start.message, &identifier, parameters());
        let answer = answer.unwrap();
        assert_eq!(answer.message.serialize().as_slice(), octets(&outputs["KE2"]));
        let with = ClientLoginFinishParameters::new(Some(&context), identifiers, None);
        let none = &mut Draw(&counted());
        let end = start.state.finish(none, &password, answer.message, with).unwrap();
        assert_eq!(end.message.serialize().as_slice(), octets(&outputs["KE3"]));
        assert_eq!(end.export_key.as_slice(), octets(&outputs["export_key"]));
        let server = answer.state.finish(end.message, parameters()).unwrap();
        assert_eq!(server.session_key.as_slice(), octets(&outputs["session_key"]));
    }
}

const ACCOUNT: AccountId = AccountId([1; 16]);
const PASSWORD: &str = "correct horse battery staple";

fn server() -> Server {
    Server::new(CellId([9; 16]), &Secret::copied(&[3; 32])).unwrap()
}

fn registered(server: &Server, entropy: &dyn Entropy) -> Registered {
    let (registering, request) = Registering::start(PASSWORD, entropy).unwrap();
    registering.finish(&server.register(ACCOUNT, &request).unwrap(), entropy).unwrap()
}

#[test]
fn who_knows_the_password_gets_the_same_key_each_time_and_the_server_never_has_it() {
    let (server, entropy) = (server(), counted());
    let made = registered(&server, &entropy);
    for typed in [PASSWORD, "correct\u{a0}horse battery\u{2003}staple"] {
        let (client, request) = LoggingIn::start(typed, &entropy).unwrap();
        let (expected, response) =
            server.answer(ACCOUNT, Some(&made.record), &request, &entropy).unwrap();
        let end = client.finish(&response, &entropy).unwrap();
        assert!(end.export.ct_eq(&made.export));
        assert!(expected.check(&end.proof).unwrap().ct_eq(&end.session));
        // Neither the record nor anything said holds the key or the password.
        for said in [&made.record[..], &request, &response, &end.proof] {
            let shows = |secret: &[u8]| said.windows(secret.len()).any(|part| part == secret);
            assert!(!shows(&made.export.expose()[..16]) && !shows(PASSWORD.as_bytes()));
        }
    }
}

#[test]
fn another_password_account_or_server_and_an_altered_message_give_nothing() {
    let (server, entropy) = (server(), counted());
    let made = registered(&server, &entropy);
    let other = Server::new(CellId([9; 16]), &Secret::copied(&[4; 32])).unwrap();
    let tries = [
        (&server, ACCOUNT, "another horse battery staple"),
        (&server, AccountId([2; 16]), PASSWORD),
        (&other, ACCOUNT, PASSWORD),
    ];
    for (at, account, password) in tries {
        let (client, request) = LoggingIn::start(password, &entropy).unwrap();
        let (_, response) = at.answer(account, Some(&made.record), &request, &entropy).unwrap();
        assert_eq!(client.finish(&response, &entropy).err(), Some(OpaqueError::Wrong));
    }
    let (client, request) = LoggingIn::start(PASSWORD, &entropy).unwrap();
    let (expected, response) =
        server.answer(ACCOUNT, Some(&made.record), &request, &entropy).unwrap();
    let mut proof = client.finish(&response, &entropy).unwrap().proof;
    proof[3] ^= 1;
    assert_eq!(expected.check(&proof).err(), Some(OpaqueError::Wrong));
    assert!(server.register(ACCOUNT, &[0xff; 32]).is_err());
    assert!(server.answer(ACCOUNT, None, &[0xff; 96], &entropy).is_err());
    assert_eq!(LoggingIn::start("", &entropy).err(), Some(OpaqueError::Form));
}

#[test]
fn an_account_that_is_not_there_is_answered_like_one_that_is() {
    let (server, entropy) = (server(), counted());
    let made = registered(&server, &entropy);
    let (client, request) = LoggingIn::start(PASSWORD, &entropy).unwrap();
    let answer = |record| server.answer(ACCOUNT, record, &request, &entropy).unwrap().1;
    let (real, fake, again) = (answer(Some(&made.record)), answer(None), answer(None));
    // The password's evaluation is the account's own, there or not (RFC 9807 §10.9)…
    assert!(real[..32] == fake[..32] && fake[..32] == again[..32]);
    // … and nothing else comes twice.
    assert!(fake[32..64] != again[32..64] && fake[64..192] != again[64..192]);
    assert_eq!(client.finish(&fake, &entropy).err(), Some(OpaqueError::Wrong));
}
