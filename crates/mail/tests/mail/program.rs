//! An owner's program as it meets the door: secrets of its own, and the client half of custody.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use bailiwick_mail::account::{Entered, LoginError};
use custody::user::client::{Leave, Offer, grant};
use custody::user::{GRANT_SECONDS_MAX, Renewal, Terms, Unlocked};
use seal::note::Note;
use seal::opaque::{LoggingIn, Registering};
use seal::slot::{OPAQUE_RECORD_BYTES, PasswordCost, Scope, Unlocker};
use seal::{Entropy, Secret};
use vocab::{SlotId, Timestamp};
use zeroize::Zeroizing;

use crate::world::{NOW, USER, World};

pub(crate) const PASSWORD: &str = "a long enough password";
pub(crate) const DEVICE: SlotId = SlotId([0x11; 16]);
pub(crate) const OPAQUE: SlotId = SlotId([0x22; 16]);
pub(crate) const READ: Scope = Scope::IMAP.and(Scope::JMAP);

pub(crate) fn device() -> Secret<32> {
    Secret::copied(&[0x33; 32])
}

pub(crate) async fn sudo(world: &World) -> Unlocked {
    let secret = Zeroizing::new(world.secret.clone());
    world.door.sudo(world.account, secret).await.unwrap().unwrap()
}

/// An unlocker whose secret stays here.
async fn enrol(world: &World, with: &Unlocker<'_>, slot: SlotId) {
    let mut owner = sudo(world).await;
    let (entropy, now) = (world.entropy.as_ref(), Timestamp(NOW));
    let identity = owner.locked().manifest().identity;
    let cost = PasswordCost::FLOOR;
    let public = with.public(world.account, slot, &identity, cost, entropy).unwrap();
    let changes = if matches!(with, Unlocker::Opaque { .. }) {
        owner.set_opaque(public, Renewal::Routine, now, entropy)
    } else {
        let terms = Terms { scope: Scope::ALL, expires: None, note: Note::default() };
        owner.add_public(public, &terms, now, entropy)
    };
    world.door.change(owner, changes.unwrap()).await.unwrap();
}

pub(crate) async fn enrol_device(world: &World) {
    enrol(world, &Unlocker::Device(&device()), DEVICE).await;
}

pub(crate) async fn enrol_opaque(world: &World) {
    let entropy = world.entropy.as_ref();
    let (registering, request) = Registering::start(PASSWORD, entropy).unwrap();
    let response = world.door.register_opaque(world.account, &request).unwrap();
    let made = registering.finish(&response, entropy).unwrap();
    let with = Unlocker::Opaque { export: &made.export, record: &made.record };
    enrol(world, &with, OPAQUE).await;
}

/// A login with OPAQUE, up to what is offered; and the export key, with the server's record.
pub(crate) async fn offered(
    world: &World,
    user: &str,
    password: &str,
) -> Result<(Offer, Secret<64>, [u8; OPAQUE_RECORD_BYTES]), LoginError> {
    let entropy = world.entropy.as_ref();
    let (client, request) = LoggingIn::start(password, entropy).unwrap();
    let (session, response) = world.door.opaque_start(user, None, request).await?;
    let end = client.finish(&response, entropy).map_err(|_| LoginError::Wrong)?;
    let offer = world.door.opaque_finish(session, &end.proof).await?;
    let locked = custody::user::Locked::from_records(
        offer.account,
        offer.records.iter().map(|(kind, octets)| (*kind, octets)),
    );
    let locked = locked.unwrap();
    let slot = locked.slots().iter().find(|slot| slot.slot() == offer.slot).unwrap();
    let record = *slot.opaque_record().unwrap();
    Ok((offer, end.export, record))
}

fn leave(scope: Scope, seconds: u64) -> Leave {
    let now = Timestamp(NOW);
    Leave { scope, expires: Timestamp(NOW + seconds), now, remembered: 0 }
}

/// A device's login, whole.
pub(crate) async fn enter_device(
    world: &World,
    seconds: u64,
    keep: bool,
) -> Result<Entered, LoginError> {
    let (key, entropy) = (device(), world.entropy.as_ref());
    let with = Unlocker::Device(&key);
    let knock = world.door.knock(USER, DEVICE, None).await?;
    let answer = with.answer(world.account, DEVICE, &knock.sealed);
    let answer = answer.map_err(|_| LoginError::Wrong)?;
    let offer = world.door.knocked(knock.session, &answer).await?;
    let (sealed, _) = grant(&offer, &with, &leave(READ, seconds), entropy).unwrap();
    world.door.enter(offer.session, sealed, Scope::IMAP, keep).await
}

/// A device's session that is kept, and its token.
pub(crate) async fn kept(world: &World) -> (Entered, String) {
    let mut entered = enter_device(world, GRANT_SECONDS_MAX, true).await.unwrap();
    let token = entered.token.take().unwrap().to_string();
    (entered, token)
}

/// A login with OPAQUE, whole.
pub(crate) async fn enter_opaque(world: &World, keep: bool) -> Result<Entered, LoginError> {
    let (offer, export, record) = offered(world, USER, PASSWORD).await?;
    let with = Unlocker::Opaque { export: &export, record: &record };
    let entropy: &dyn Entropy = world.entropy.as_ref();
    let (sealed, _) = grant(&offer, &with, &leave(READ, GRANT_SECONDS_MAX), entropy).unwrap();
    world.door.enter(offer.session, sealed, Scope::JMAP, keep).await
}
