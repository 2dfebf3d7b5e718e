//! Sessions that outlive a restart of the server.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::atomic::Ordering;

use bailiwick_mail::account::{Entered, LoginError, SESSIONS_MAX};
use custody::user::{Renewal, SessionToken, Target, Unlocked};
use vocab::{RecordKind, Row, SlotId, Timestamp};

use crate::program::{
    DEVICE, OPAQUE, READ, enrol_device, enrol_opaque, enter_device, enter_opaque, kept, sudo,
};
use crate::world::{NOW, World};

async fn resume(world: &World, token: &str) -> Result<Entered, LoginError> {
    world.door.resume(token, None, READ).await
}

fn stored(world: &World) -> usize {
    world.store.read().scan(world.account, RecordKind::SessionGrant, Row(0)).count()
}

/// A change of unlockers by the owner.
async fn change(
    world: &World,
    make: impl FnOnce(&mut Unlocked) -> Result<custody::user::Changes, custody::user::ChangeError>,
) {
    let mut owner = sudo(world).await;
    let changes = make(&mut owner).unwrap();
    world.door.change(owner, changes).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_the_account_again_after_a_restart_without_the_secret() {
    let world = World::new();
    enrol_opaque(&world).await;
    world.deliver(b"Subject: first\r\n\r\ntext").await;
    let mut entered = enter_opaque(&world, true).await.unwrap();
    let token = entered.token.take().unwrap().to_string();
    assert_eq!(stored(&world), 1);
    drop(entered);
    let world = world.restarted().await;
    world.deliver(b"Subject: second\r\n\r\ntext").await;
    for _ in 0..2 {
        let entered = resume(&world, &token).await.unwrap();
        assert_eq!(entered.account.state().unwrap().mailboxes[&1].messages.len(), 2);
        assert!(entered.token.is_none() && !entered.pass.is_over());
    }
    // Who is not given a token keeps nothing.
    drop(enter_opaque(&world, false).await.unwrap());
    assert_eq!(stored(&world), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_time() {
    let world = World::new();
    enrol_device(&world).await;
    let mut entered = enter_device(&world, 3600, true).await.unwrap();
    let token = entered.token.take().unwrap().to_string();
    assert_eq!(entered.until, Timestamp(NOW + 3600));
    world.clock.0.store(NOW + 3599, Ordering::Relaxed);
    assert!(resume(&world, &token).await.is_ok());
    assert_eq!(tokio::task::block_in_place(|| world.door.sweep_sessions()).unwrap(), 0);
    world.clock.0.store(NOW + 3600, Ordering::Relaxed);
    assert_eq!(resume(&world, &token).await.err(), Some(LoginError::Expired));
    // What never opens again is gone at once; what nobody shows any more, by the sweep.
    assert_eq!(stored(&world), 0);
    let _other = kept_at(&world).await;
    world.clock.0.store(NOW + 3 * 3600, Ordering::Relaxed);
    assert_eq!(tokio::task::block_in_place(|| world.door.sweep_sessions()).unwrap(), 1);
    assert_eq!(stored(&world), 0);
}

/// A session of one more hour, begun now.
async fn kept_at(world: &World) -> Entered {
    let now = world.clock.0.load(Ordering::Relaxed);
    enter_device(world, now - NOW + 3600, true).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_session_is_over_when_its_grant_is() {
    let world = World::new();
    enrol_device(&world).await;
    let mut entered = enter_device(&world, 1, false).await.unwrap();
    entered.pass.ended().await;
    assert!(entered.pass.is_over());
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_the_unlocker_ends_its_sessions_and_no_others() {
    let world = World::new();
    enrol_device(&world).await;
    enrol_opaque(&world).await;
    let (device, token) = kept(&world).await;
    let mut other = enter_opaque(&world, true).await.unwrap();
    let others = other.token.take().unwrap();
    // That they served is noted as of any unlocker.
    let last = world.keystores.last_uses(&sudo(&world).await).unwrap();
    assert!(last.contains_key(&OPAQUE) && last.contains_key(&DEVICE));
    let entropy = world.entropy.clone();
    let revoke = |owner: &mut Unlocked| {
        owner.revoke(DEVICE, Renewal::Routine, Timestamp(NOW), entropy.as_ref())
    };
    change(&world, revoke).await;
    assert!(device.pass.is_over() && !other.pass.is_over());
    drop((device, other));
    let world = world.restarted().await;
    assert_eq!(resume(&world, &token).await.err(), Some(LoginError::Wrong));
    assert!(resume(&world, &others).await.is_ok());
    assert_eq!(stored(&world), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspicion_ends_every_granted_session() {
    let world = World::new();
    enrol_device(&world).await;
    let (entered, token) = kept(&world).await;
    let entropy = world.entropy.clone();
    let (owner, routine) = (world.open().await, Renewal::Routine);
    // A change that leaves the keys leaves the sessions.
    let password = "another long password";
    let (now, chance) = (Timestamp(NOW), entropy.clone());
    let set =
        |owner: &mut Unlocked| owner.set_password(password, None, routine, now, chance.as_ref());
    change(&world, set).await;
    assert!(!entered.pass.is_over() && resume(&world, &token).await.is_ok());
    let set = |owner: &mut Unlocked| {
        owner.set_password(
            "a third long password",
            None,
            Renewal::Suspect(None),
            now,
            entropy.as_ref(),
        )
    };
    change(&world, set).await;
    assert!(entered.pass.is_over());
    assert_eq!(resume(&world, &token).await.err(), Some(LoginError::Expired));
    assert_eq!(stored(&world), 0);
    // The device asks again, and is let in.
    assert!(enter_device(&world, 60, false).await.is_ok());
    drop(owner);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rekey_ends_every_granted_session() {
    let world = World::new();
    enrol_device(&world).await;
    let (entered, token) = kept(&world).await;
    let (_owner, mut unlocked) = (world.open().await, sudo(&world).await);
    let cell = unlocked.locked().manifest().cell;
    let target = Target { cell, custody: vocab::Custody::Sealed, escrow: None };
    let changes = unlocked.begin_rekey(&target, Timestamp(NOW), world.entropy.as_ref()).unwrap();
    world.door.rekey(unlocked, changes).await.unwrap();
    assert!(entered.pass.is_over());
    assert_eq!(resume(&world, &token).await.err(), Some(LoginError::Expired));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_in_by_a_grant_whose_account_is_leaving() {
    let world = World::new();
    enrol_device(&world).await;
    let (entered, token) = kept(&world).await;
    let key = crate::world::cell_keys().moving().unwrap().public();
    let to = vocab::CellId([9; 16]);
    world.door.leave(sudo(&world).await, to, key, Timestamp(NOW)).await.unwrap();
    assert!(entered.pass.is_over());
    assert_eq!(resume(&world, &token).await.err(), Some(LoginError::Moving));
    // Of an account on its way no row goes.
    world.clock.0.store(NOW + 24 * 3600, Ordering::Relaxed);
    assert_eq!(tokio::task::block_in_place(|| world.door.sweep_sessions()).unwrap(), 0);
    let session = SessionToken::read(&token).unwrap().session;
    assert!(world.door.end_session(world.account, &session).await.is_err());
    assert_eq!(stored(&world), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_owner_sees_a_session_and_ends_it() {
    let world = World::new();
    enrol_device(&world).await;
    let ((one, first), (other, second)) = (kept(&world).await, kept(&world).await);
    let listed = world.door.sessions(world.account).unwrap();
    assert_eq!(listed.iter().map(|kept| kept.slot).collect::<Vec<_>>(), [DEVICE, DEVICE]);
    let session = SessionToken::read(&first).unwrap().session;
    assert!(world.door.end_session(world.account, &session).await.unwrap());
    assert!(one.pass.is_over() && !other.pass.is_over());
    assert_eq!(resume(&world, &first).await.err(), Some(LoginError::Wrong));
    assert!(resume(&world, &second).await.is_ok());
    assert!(!world.door.end_session(world.account, &session).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_keeps_a_bounded_number_and_none_outlives_it() {
    let world = World::new();
    enrol_device(&world).await;
    // The one that ends first makes way.
    let mut entered = enter_device(&world, 3600, true).await.unwrap();
    let first = entered.token.take().unwrap();
    let mut tokens = Vec::new();
    for _ in 0..SESSIONS_MAX {
        tokens.push(kept(&world).await.1);
    }
    assert_eq!(stored(&world), SESSIONS_MAX);
    assert_eq!(resume(&world, &first).await.err(), Some(LoginError::Wrong));
    for token in &tokens {
        assert!(resume(&world, token).await.is_ok());
    }
    drop(entered);
    world.door.delete(world.account).await.unwrap();
    assert_eq!(stored(&world), 0);
    for token in &tokens {
        assert!(resume(&world, token).await.is_err());
    }
    assert_eq!(SlotId([0x11; 16]), DEVICE);
}
