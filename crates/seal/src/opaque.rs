//! OPAQUE: a password that the server never sees, not even while it is registered.
//!
//! [`Server`] is what a cell holds, derived from its one secret; [`Registering`] and [`LoggingIn`]
//! are the owner's half. What comes out for the owner is an export key, the secret of a slot of
//! kind 2; for the server, no more than that whoever asked knows the password.
//!
//! Invariant: an account that is not there is answered like one that is. The stretching is
//! Argon2id at the floor, in the owner's program. No message and no state is printed.
//! Refs: specs/bw1.md §4.5; RFC 9807; RFC 9497; RFC 9106.

use argon2::{Algorithm, Argon2, ParamsBuilder, Version};
use opaque_ke::errors::{InternalError, ProtocolError};
use opaque_ke::generic_array::{ArrayLength, GenericArray};
use opaque_ke::key_exchange::group::Group;
use opaque_ke::ksf::Ksf;
use opaque_ke::rand::{CryptoRng, Error, RngCore};
use opaque_ke::{
    CipherSuite, ClientLogin, ClientLoginFinishParameters, ClientRegistration,
    ClientRegistrationFinishParameters, CredentialFinalization, CredentialRequest,
    CredentialResponse, RegistrationRequest, RegistrationResponse, Ristretto255, ServerLogin,
    ServerLoginParameters, ServerRegistration, ServerSetup, TripleDh,
};
use vocab::{AccountId, CellId};
use zeroize::{Zeroize, Zeroizing};

use crate::derive::derive;
use crate::entropy::{Entropy, draw};
use crate::mac::HmacKey;
use crate::secret::Secret;
use crate::slot::{OPAQUE_RECORD_BYTES, PasswordCost, prepare};

/// Octets of a registration request.
pub const REGISTRATION_REQUEST_BYTES: usize = 32;
/// Octets of its answer.
pub const REGISTRATION_RESPONSE_BYTES: usize = 64;
/// Octets of a login's first message (KE1).
pub const LOGIN_REQUEST_BYTES: usize = 96;
/// Octets of its answer (KE2).
pub const LOGIN_RESPONSE_BYTES: usize = 320;
/// Octets of a login's second message (KE3).
pub const LOGIN_PROOF_BYTES: usize = 64;
/// What both sides must mean (RFC 9807 §6.4 `context`).
const CONTEXT: &[u8] = b"bailiwick.v1 opaque";

/// Why an exchange came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpaqueError {
    /// Not the password of that account, or not the server it was registered with.
    #[error("not the password that was registered here")]
    Wrong,
    /// A message that is none of this protocol.
    #[error("not a message of this protocol")]
    Malformed,
    /// The password cannot be used: empty, too long, or with a control character.
    #[error("the password is not well formed")]
    Form,
    /// There is no memory to stretch the password with.
    #[error("no memory to stretch a password with")]
    Memory,
}

impl<T> From<ProtocolError<T>> for OpaqueError {
    fn from(error: ProtocolError<T>) -> Self {
        match error {
            ProtocolError::LibraryError(InternalError::KsfError) => Self::Memory,
            ProtocolError::InvalidLoginError => Self::Wrong,
            ProtocolError::LibraryError(_)
            | ProtocolError::SerializationError
            | ProtocolError::SizeError { .. }
            | ProtocolError::ReflectedValueError
            | ProtocolError::Custom(_) => Self::Malformed,
        }
    }
}

/// ristretto255-SHA512, 3DH, and Argon2id as specs/bw1.md §4.2 sets its floor.
struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, sha2::Sha512>;
    type Ksf = Stretch;
}

#[derive(Default)]
struct Stretch;

impl Ksf for Stretch {
    fn hash<L: ArrayLength<u8>>(
        &self,
        input: GenericArray<u8, L>,
    ) -> Result<GenericArray<u8, L>, InternalError> {
        let input = Zeroizing::new(input);
        let PasswordCost { memory_kib, passes, lanes } = PasswordCost::FLOOR;
        let params = ParamsBuilder::new()
            .m_cost(memory_kib)
            .t_cost(passes)
            .p_cost(u32::from(lanes))
            .output_len(input.len())
            .build();
        let params = params.map_err(|_| InternalError::KsfError)?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut out = GenericArray::default();
        // RFC 9807 §7: the salt is zero, as what is stretched depends on the server's key.
        let made = argon.hash_password_into(&input, &[0; 16], &mut out);
        made.map_err(|_| InternalError::KsfError)?;
        Ok(out)
    }
}

/// An [`Entropy`] in the shape `opaque-ke` asks for.
struct Draw<'a>(&'a dyn Entropy);

impl RngCore for Draw<'_> {
    fn next_u32(&mut self) -> u32 {
        u32::from_be_bytes(draw(self.0))
    }

    fn next_u64(&mut self) -> u64 {
        u64::from_be_bytes(draw(self.0))
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        self.0.fill(out);
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        self.0.fill(out);
        Ok(())
    }
}

impl CryptoRng for Draw<'_> {}

/// The octets of a message, in a fixed length.
fn fixed<const N: usize>(octets: &[u8]) -> Result<[u8; N], OpaqueError> {
    octets.try_into().map_err(|_| OpaqueError::Malformed)
}

/// An export or session key, moved to where it is wiped.
fn kept(octets: &mut [u8]) -> Result<Secret<64>, OpaqueError> {
    let secret = octets.try_into().map(|octets| Secret::copied(&octets));
    octets.zeroize();
    secret.map_err(|_| OpaqueError::Malformed)
}

/// A cell's half: what evaluates passwords blindly, and the key it is known by.
pub struct Server {
    setup: ServerSetup<Suite>,
    names: HmacKey,
}

impl Server {
    /// The half that belongs to a cell's key for this use. The same key, the same half: who
    /// replaces the key has every password registered anew.
    ///
    /// # Errors
    /// [`OpaqueError::Malformed`] if the library refuses what it derived, which it does not.
    pub fn new(cell: CellId, key: &Secret<32>) -> Result<Self, OpaqueError> {
        let seed: Secret<64> = derive(key, "opaque oprf", &[&cell.0]);
        let own = key_pair(&derive(key, "opaque key", &[&cell.0]))?;
        // Whose key the answers for accounts that are not there would be under.
        let nobody = key_pair(&derive(key, "opaque nobody", &[&cell.0]))?;
        let parts = Zeroizing::new([seed.expose().as_slice(), own.0.expose(), &nobody.1].concat());
        let names: Secret<32> = derive(key, "opaque name", &[&cell.0]);
        let setup = ServerSetup::deserialize(&parts)?;
        Ok(Self { setup, names: HmacKey::new(names.expose()) })
    }

    /// The account to answer for when nobody has this name: always the same for the same name.
    #[must_use]
    pub fn nobody(&self, name: &str) -> AccountId {
        let mac = self.names.mac(&[name.as_bytes()]);
        AccountId(mac.first_chunk().copied().unwrap_or_default())
    }

    /// The answer to a registration's request. Nothing is kept; what the owner's program makes of
    /// it, [`Registered::record`], goes into the slot.
    ///
    /// # Errors
    /// [`OpaqueError::Malformed`].
    pub fn register(
        &self,
        account: AccountId,
        request: &[u8; REGISTRATION_REQUEST_BYTES],
    ) -> Result<[u8; REGISTRATION_RESPONSE_BYTES], OpaqueError> {
        let request = RegistrationRequest::deserialize(request)?;
        let made = ServerRegistration::start(&self.setup, request, &account.0)?;
        fixed(&made.message.serialize())
    }

    /// The answer to a login's first message, and what its second is expected to be. Without a
    /// record, an answer nobody can tell from one with; `account` then has to be the same each time
    /// the same name is asked for (RFC 9807 §10.9). Costs about half a millisecond.
    ///
    /// # Errors
    /// [`OpaqueError::Malformed`].
    pub fn answer(
        &self,
        account: AccountId,
        record: Option<&[u8; OPAQUE_RECORD_BYTES]>,
        request: &[u8; LOGIN_REQUEST_BYTES],
        entropy: &dyn Entropy,
    ) -> Result<(Expected, [u8; LOGIN_RESPONSE_BYTES]), OpaqueError> {
        let request = CredentialRequest::deserialize(request)?;
        let record = record.map(|record| ServerRegistration::deserialize(record)).transpose()?;
        let made = ServerLogin::start(
            &mut Draw(entropy),
            &self.setup,
            record,
            request,
            &account.0,
            server_parameters(),
        )?;
        Ok((Expected(made.state), fixed(&made.message.serialize())?))
    }
}

fn server_parameters() -> ServerLoginParameters<'static, 'static> {
    ServerLoginParameters { context: Some(CONTEXT), ..ServerLoginParameters::default() }
}

/// RFC 9807 §6.4.1 `DeriveDiffieHellmanKeyPair`: the private and the public key.
fn key_pair(seed: &Secret<32>) -> Result<(Secret<32>, [u8; 32]), OpaqueError> {
    let seed = GenericArray::clone_from_slice(seed.expose());
    let own = Ristretto255::derive_scalar(seed).map_err(|_| OpaqueError::Malformed)?;
    let mut private = Ristretto255::serialize_sk(&own);
    let secret = fixed(&private).map(|octets| Secret::take(&mut Zeroizing::new(octets)));
    private.as_mut_slice().zeroize();
    Ok((secret?, fixed(&Ristretto255::serialize_pk(&Ristretto255::public_key(&own)))?))
}

/// What the server remembers between a login's two messages.
pub struct Expected(ServerLogin<Suite>);

impl Expected {
    /// Whether the second message shows that the password is known; and the key both sides then
    /// share.
    ///
    /// # Errors
    /// [`OpaqueError::Wrong`] if it does not, [`OpaqueError::Malformed`].
    pub fn check(self, proof: &[u8; LOGIN_PROOF_BYTES]) -> Result<Secret<64>, OpaqueError> {
        let proof = CredentialFinalization::deserialize(proof)?;
        let mut made = self.0.finish(proof, server_parameters())?;
        kept(&mut made.session_key)
    }
}

/// The owner's half of a registration, between its two messages.
pub struct Registering {
    password: Zeroizing<String>,
    state: ClientRegistration<Suite>,
}

/// What a registration comes to.
pub struct Registered {
    /// For the slot: what the server keeps.
    pub record: [u8; OPAQUE_RECORD_BYTES],
    /// For the owner's program alone: the slot's secret.
    pub export: Secret<64>,
}

impl Registering {
    /// Begins: the message goes to the server. How long a password has to be is the caller's to
    /// say.
    ///
    /// # Errors
    /// [`OpaqueError::Form`].
    pub fn start(
        password: &str,
        entropy: &dyn Entropy,
    ) -> Result<(Self, [u8; REGISTRATION_REQUEST_BYTES]), OpaqueError> {
        let password = prepare(password).map_err(|_| OpaqueError::Form)?;
        let made = ClientRegistration::start(&mut Draw(entropy), password.as_bytes())?;
        let message = fixed(&made.message.serialize())?;
        Ok((Self { password, state: made.state }, message))
    }

    /// Ends it, at the cost of an Argon2id.
    ///
    /// # Errors
    /// [`OpaqueError::Malformed`], [`OpaqueError::Memory`].
    pub fn finish(
        self,
        response: &[u8; REGISTRATION_RESPONSE_BYTES],
        entropy: &dyn Entropy,
    ) -> Result<Registered, OpaqueError> {
        let response = RegistrationResponse::deserialize(response)?;
        let mut made = self.state.finish(
            &mut Draw(entropy),
            self.password.as_bytes(),
            response,
            ClientRegistrationFinishParameters::default(),
        )?;
        let record = fixed(&made.message.serialize())?;
        Ok(Registered { record, export: kept(&mut made.export_key)? })
    }
}

/// The owner's half of a login, between its two messages.
pub struct LoggingIn {
    password: Zeroizing<String>,
    state: ClientLogin<Suite>,
}

/// What a login comes to, for the owner's program.
pub struct LoggedIn {
    /// The second message: goes to the server.
    pub proof: [u8; LOGIN_PROOF_BYTES],
    /// The slot's secret.
    pub export: Secret<64>,
    /// What the server has too, once it has seen the proof.
    pub session: Secret<64>,
}

impl LoggingIn {
    /// Begins: the message goes to the server.
    ///
    /// # Errors
    /// [`OpaqueError::Form`].
    pub fn start(
        password: &str,
        entropy: &dyn Entropy,
    ) -> Result<(Self, [u8; LOGIN_REQUEST_BYTES]), OpaqueError> {
        let password = prepare(password).map_err(|_| OpaqueError::Form)?;
        let made = ClientLogin::start(&mut Draw(entropy), password.as_bytes())?;
        let message = fixed(&made.message.serialize())?;
        Ok((Self { password, state: made.state }, message))
    }

    /// Ends it, at the cost of an Argon2id.
    ///
    /// # Errors
    /// [`OpaqueError::Wrong`] if the password is another, or there is no such account, or another
    /// server answered: which of these nobody can tell. [`OpaqueError::Malformed`],
    /// [`OpaqueError::Memory`].
    pub fn finish(
        self,
        response: &[u8; LOGIN_RESPONSE_BYTES],
        entropy: &dyn Entropy,
    ) -> Result<LoggedIn, OpaqueError> {
        let response = CredentialResponse::deserialize(response)?;
        let parameters = ClientLoginFinishParameters {
            context: Some(CONTEXT),
            ..ClientLoginFinishParameters::default()
        };
        let (password, entropy) = (self.password, &mut Draw(entropy));
        let mut made = self.state.finish(entropy, password.as_bytes(), response, parameters)?;
        let proof = fixed(&made.message.serialize())?;
        let export = kept(&mut made.export_key)?;
        Ok(LoggedIn { proof, export, session: kept(&mut made.session_key)? })
    }
}

#[cfg(test)]
mod tests;
