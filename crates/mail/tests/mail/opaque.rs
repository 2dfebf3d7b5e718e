//! The door for programs that keep their secret to themselves: OPAQUE, passkeys, devices.

use std::sync::atomic::Ordering;

use bailiwick_mail::account::LoginError;
use custody::user::GRANT_SECONDS_MAX;
use custody::user::client::{Leave, grant};
use seal::opaque::LoggingIn;
use seal::slot::{Scope, Unlocker};
use vocab::{SlotId, Timestamp};

use crate::program::{
    DEVICE, OPAQUE, PASSWORD, READ, device, enrol_device, enrol_opaque, enter_device, enter_opaque,
    offered, sudo,
};
use crate::world::{NOW, USER, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_password_the_server_never_sees_opens_the_mail() {
    let world = World::new();
    enrol_opaque(&world).await;
    world.deliver(b"Subject: first\r\n\r\ntext").await;
    let entered = enter_opaque(&world, false).await.unwrap();
    assert_eq!(entered.account.state().unwrap().mailboxes[&1].messages.len(), 1);
    assert!(entered.token.is_none() && !entered.pass.is_over());
    // Another owner's login finds the same open account, and what arrives is folded for both.
    let other = world.open().await;
    assert!(std::sync::Arc::ptr_eq(&entered.account, &other));
    world.deliver(b"Subject: second\r\n\r\ntext").await;
    drop(world.open().await);
    let other = Unlocker::Device(&device()).kind();
    assert_eq!(other, seal::slot::SlotKind::Device);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_there_is_answered_like_who_is_and_nobody_gets_further() {
    let world = World::new();
    let entropy = world.entropy.as_ref();
    let (_, request) = LoggingIn::start(PASSWORD, entropy).unwrap();
    let ask = |user| world.door.opaque_start(user, None, request);
    // Before there is such a password, with one, and for nobody.
    let before = ask(USER).await.unwrap().1;
    enrol_opaque(&world).await;
    let (with, again) = (ask(USER).await.unwrap().1, ask(USER).await.unwrap().1);
    let (nobody, still) =
        (ask("mallory@ie.example").await.unwrap().1, ask("mallory@ie.example").await.unwrap().1);
    assert!(before[..32] == with[..32] && with[..32] == again[..32]);
    assert!(nobody[..32] == still[..32] && nobody[..32] != with[..32]);
    assert!(with[32..] != again[32..] && nobody[32..] != still[32..]);
    // Nor does another spelling tell, under which an account would be found as well.
    let spelt = ask("Mallory@IE.example").await.unwrap().1;
    assert!(spelt[..32] == nobody[..32]);
    for (user, password) in [("mallory@ie.example", PASSWORD), (USER, "another long password")] {
        assert_eq!(offered(&world, user, password).await.err(), Some(LoginError::Wrong));
    }
    assert!(offered(&world, USER, PASSWORD).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_ends_for_everybody_who_guesses_at_one_account_and_not_for_who_knows() {
    let world = World::new();
    enrol_opaque(&world).await;
    enrol_device(&world).await;
    // Right ones are not counted.
    for _ in 0..3 {
        assert!(offered(&world, USER, PASSWORD).await.is_ok());
    }
    let mut wrong = 0;
    while let Err(LoginError::Wrong) = offered(&world, USER, "another long password").await {
        wrong += 1;
    }
    assert_eq!(wrong, 20);
    assert_eq!(offered(&world, USER, PASSWORD).await.err(), Some(LoginError::Busy));
    // Other unlockers serve, and so does this one when the window has passed.
    assert!(enter_device(&world, 60, false).await.is_ok());
    world.clock.0.store(NOW + 600, Ordering::Relaxed);
    assert!(offered(&world, USER, PASSWORD).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_serves_once_ends_with_its_time_and_is_one_of_a_bounded_number() {
    let world = World::new();
    enrol_opaque(&world).await;
    let entropy = world.entropy.as_ref();
    let start = async |from| {
        let (client, request) = LoggingIn::start(PASSWORD, entropy).unwrap();
        let (session, response) = world.door.opaque_start(USER, from, request).await?;
        Ok::<_, LoginError>((session, client.finish(&response, entropy).unwrap().proof))
    };
    let (session, proof) = start(None).await.unwrap();
    assert_eq!(world.door.knocked(session, &[0; 32]).await.err(), Some(LoginError::Wrong));
    // The wrong step has used it up.
    assert_eq!(world.door.opaque_finish(session, &proof).await.err(), Some(LoginError::Wrong));
    let (session, proof) = start(None).await.unwrap();
    assert!(world.door.opaque_finish(session, &proof).await.is_ok());
    assert_eq!(world.door.opaque_finish(session, &proof).await.err(), Some(LoginError::Wrong));
    let (session, proof) = start(None).await.unwrap();
    world.clock.0.store(NOW + 121, Ordering::Relaxed);
    assert_eq!(world.door.opaque_finish(session, &proof).await.err(), Some(LoginError::Wrong));
    // A network that begins and never ends does not take every place.
    let from = Some("192.0.2.1".parse().unwrap());
    let slot = SlotId([0; 16]);
    for _ in 0..32 {
        assert!(world.door.knock("nobody@ie.example", slot, from).await.is_ok());
    }
    let refused = world.door.knock("nobody@ie.example", slot, from).await.err();
    assert_eq!(refused, Some(LoginError::Busy));
    assert!(world.door.knock(USER, slot, Some("192.0.2.2".parse().unwrap())).await.is_ok());
    world.clock.0.store(NOW + 300, Ordering::Relaxed);
    assert!(world.door.knock("nobody@ie.example", slot, from).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_opens_the_mail_and_a_stranger_s_question_looks_the_same() {
    let world = World::new();
    enrol_device(&world).await;
    world.deliver(b"Subject: first\r\n\r\ntext").await;
    let entered = enter_device(&world, GRANT_SECONDS_MAX, false).await.unwrap();
    assert_eq!(entered.account.state().unwrap().mailboxes[&1].messages.len(), 1);
    let knocks = [(USER, DEVICE), (USER, SlotId([9; 16])), ("mallory@ie.example", DEVICE)];
    for (user, slot) in knocks {
        let (one, two) = (
            world.door.knock(user, slot, None).await.unwrap(),
            world.door.knock(user, slot, None).await.unwrap(),
        );
        assert!(one.sealed.len() == two.sealed.len() && one.sealed != two.sealed);
        assert!(one.salt == two.salt && one.salt != [0; 32]);
        let refused = world.door.knocked(one.session, &[0; 32]).await.err();
        assert_eq!(refused, Some(LoginError::Wrong));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_lets_in_only_where_it_was_asked_for() {
    let world = World::new();
    enrol_opaque(&world).await;
    let entropy = world.entropy.as_ref();
    let leave =
        |scope| Leave { scope, expires: Timestamp(NOW + 60), now: Timestamp(NOW), remembered: 0 };
    let (offer, export, record) = offered(&world, USER, PASSWORD).await.unwrap();
    let (other, _, _) = offered(&world, USER, PASSWORD).await.unwrap();
    let with = Unlocker::Opaque { export: &export, record: &record };
    let (sealed, _) = grant(&offer, &with, &leave(Scope::JMAP), entropy).unwrap();
    let enter = |session, sealed, scope| world.door.enter(session, sealed, scope, false);
    let wrong = enter(other.session, sealed.clone(), Scope::JMAP).await.err();
    assert_eq!(wrong, Some(LoginError::Wrong));
    let wrong = enter(offer.session, sealed.clone(), Scope::IMAP).await.err();
    assert_eq!(wrong, Some(LoginError::Scope));
    // Used up.
    let wrong = enter(offer.session, sealed, Scope::JMAP).await.err();
    assert_eq!(wrong, Some(LoginError::Wrong));
    // Revoked between the offer and the grant.
    let (offer, export, record) = offered(&world, USER, PASSWORD).await.unwrap();
    let with = Unlocker::Opaque { export: &export, record: &record };
    let (sealed, _) = grant(&offer, &with, &leave(READ), entropy).unwrap();
    let mut owner = sudo(&world).await;
    let routine = custody::user::Renewal::Routine;
    let changes = owner.revoke(OPAQUE, routine, Timestamp(NOW), entropy).unwrap();
    world.door.change(owner, changes).await.unwrap();
    assert_eq!(enter(offer.session, sealed, READ).await.err(), Some(LoginError::Wrong));
    assert_eq!(offered(&world, USER, PASSWORD).await.err(), Some(LoginError::Wrong));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_networks_that_begin_and_never_end_keep_nobody_out() {
    let world = World::new();
    enrol_opaque(&world).await;
    let flood = async |from: u32| {
        for network in from..from + 32 {
            let from = Some(core::net::IpAddr::from((0xc612_0000 + network).to_be_bytes()));
            for _ in 0..32 {
                let knock = world.door.knock("nobody@ie.example", SlotId([0; 16]), from).await;
                assert!(knock.is_ok());
            }
        }
    };
    flood(0).await;
    let (offer, export, record) = offered(&world, USER, PASSWORD).await.unwrap();
    // Nor is somebody pushed out who has shown the secret.
    world.clock.0.store(NOW + 1, Ordering::Relaxed);
    flood(32).await;
    let entropy = world.entropy.as_ref();
    let with = Unlocker::Opaque { export: &export, record: &record };
    let (expires, now) = (Timestamp(NOW + 60), Timestamp(NOW));
    let leave = Leave { scope: READ, expires, now, remembered: 0 };
    let (sealed, _) = grant(&offer, &with, &leave, entropy).unwrap();
    assert!(world.door.enter(offer.session, sealed, READ, false).await.is_ok());
}
