//! Unlockers at the door: tokens, networks, revocations while sessions run, last use.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use bailiwick_mail::account::{LoginError, Shown};
use bailiwick_mail::mailbox::Name;
use base64::Engine as _;
use custody::user::{NewUnlocker, Renewal, Terms, UnlockError, Unlocked};
use seal::note::Note;
use seal::slot::Scope;
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use vocab::{RecordKind, Row, SlotId, Timestamp};
use zeroize::Zeroizing;

use crate::world::{NOW, USER, World, until};

const DAY: u64 = 86_400;

fn terms(networks: &[&str]) -> Terms {
    let networks: Vec<_> = networks.iter().map(|text| text.parse().unwrap()).collect();
    let expires = Some(Timestamp(NOW + DAY));
    Terms { scope: Scope::IMAP, expires, note: Note::new("", &networks).unwrap() }
}

async fn sudo(world: &World) -> Unlocked {
    let secret = Zeroizing::new(world.secret.clone());
    world.door.sudo(world.account, secret).await.unwrap().unwrap()
}

/// An app password or a token, stored.
async fn added(world: &World, terms: &Terms, is_token: bool) -> (SlotId, String) {
    let mut unlocked = sudo(world).await;
    let entropy = world.entropy.as_ref();
    let new = if is_token {
        unlocked.add_token(terms, Timestamp(NOW), entropy)
    } else {
        unlocked.add_app_password(terms, Timestamp(NOW), entropy)
    };
    let NewUnlocker { slot, secret, changes } = new.unwrap();
    world.door.change(unlocked, changes).await.unwrap();
    (slot, secret.to_string())
}

async fn revoke(world: &World, slot: SlotId) {
    let mut unlocked = sudo(world).await;
    let renewal = Renewal::Suspect(None);
    let changes = unlocked.revoke(slot, renewal, Timestamp(NOW), world.entropy.as_ref());
    world.door.change(unlocked, changes.unwrap()).await.unwrap();
}

fn connect(world: &World, from: Option<IpAddr>) -> DuplexStream {
    let (client, server) = tokio::io::duplex(1 << 16);
    let context = world.context();
    tokio::spawn(async move { bailiwick_mail::imap::serve(server, from, &context).await });
    client
}

async fn say(client: &mut DuplexStream, line: &str, mark: &str) -> String {
    client.write_all(line.as_bytes()).await.unwrap();
    client.write_all(b"\r\n").await.unwrap();
    until(client, mark).await
}

async fn logged_in(world: &World, secret: &str) -> DuplexStream {
    let mut client = connect(world, None);
    let said = say(&mut client, &format!("a LOGIN {USER} \"{secret}\""), "a ").await;
    assert!(said.contains("a OK"), "{said}");
    client
}

fn base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_the_account_in_both_ways_of_saying_it() {
    let world = World::new();
    let (_, token) = added(&world, &terms(&[]), true).await;
    for (mechanism, message) in [
        ("OAUTHBEARER", format!("n,a={USER},\u{1}host=h\u{1}auth=Bearer {token}\u{1}\u{1}")),
        ("xoauth2", format!("user={USER}\u{1}auth=Bearer {token}\u{1}\u{1}")),
    ] {
        let mut client = connect(&world, None);
        let line = format!("a AUTHENTICATE {mechanism} {}", base64(&message));
        let said = say(&mut client, &line, "a ").await;
        assert!(said.contains("AUTH=PLAIN AUTH=OAUTHBEARER AUTH=XOAUTH2"), "{said}");
        assert!(said.contains("a OK"), "{said}");
        let mut client = connect(&world, None);
        let said = say(&mut client, &format!("b AUTHENTICATE {mechanism}"), "+ ").await;
        assert!(said.ends_with("+ \r\n"), "{said}");
        let said = say(&mut client, &base64(&message), "b ").await;
        assert!(said.contains("b OK"), "{said}");
    }
    world.clock.0.store(NOW + DAY, Ordering::Relaxed);
    let shown = Shown { secret: &token, is_token: true, ..world.shown() };
    assert_eq!(world.door.open(shown).await.err(), Some(LoginError::Expired));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_said_to_be_so_and_nothing_but_a_token_goes_as_one() {
    let world = World::new();
    let (_, app) = added(&world, &terms(&[]), false).await;
    let mut client = connect(&world, None);
    for (tag, secret) in [("a", app.as_str()), ("b", world.secret.as_str())] {
        let message = format!("n,a={USER},\u{1}auth=Bearer {secret}\u{1}\u{1}");
        let line = format!("{tag} AUTHENTICATE OAUTHBEARER {}", base64(&message));
        let said = say(&mut client, &line, "+ ").await;
        assert!(said.contains(&base64(r#"{"status":"invalid_token"}"#)), "{said}");
        let said = say(&mut client, "AQ==", tag).await;
        assert!(said.contains("NO [AUTHENTICATIONFAILED]"), "{said}");
    }
    assert!(logged_in(&world, &app).await.write_all(b"b NOOP\r\n").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn from_outside_its_networks_a_right_secret_is_refused_as_a_wrong_one() {
    let world = World::new();
    let (_, app) = added(&world, &terms(&["192.0.2.0/24"]), false).await;
    let answer = |from: &'static str, secret: String| {
        let mut client = connect(&world, Some(from.parse().unwrap()));
        async move { say(&mut client, &format!("a LOGIN {USER} \"{secret}\""), "a ").await }
    };
    assert!(answer("192.0.2.7", app.clone()).await.contains("a OK"));
    let elsewhere = answer("198.51.100.7", app).await;
    let wrong = answer("198.51.100.7", "wrong".to_owned()).await;
    assert!(wrong.contains("a NO"));
    assert_eq!(elsewhere, wrong);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_ends_the_sessions_of_its_unlocker_and_lets_the_others_go_on() {
    let world = World::new();
    let (stolen, thief) = added(&world, &terms(&[]), false).await;
    let (_, phone) = added(&world, &terms(&[]), false).await;
    let mut idle = logged_in(&world, &thief).await;
    say(&mut idle, "b SELECT INBOX", "b ").await;
    say(&mut idle, "c IDLE", "+ ").await;
    let mut waiting = logged_in(&world, &thief).await;
    let mut owner = logged_in(&world, &phone).await;
    say(&mut owner, "b SELECT INBOX", "b ").await;
    revoke(&world, stolen).await;
    for client in [&mut idle, &mut waiting] {
        let said = until(client, "nothing begins so").await;
        assert!(said.contains("* BYE [EXPIRED]"), "{said}");
    }
    let refused = Shown { secret: &thief, ..world.shown() };
    assert_eq!(world.door.open(refused).await.err(), Some(LoginError::Wrong));
    // What arrives now is under new keys, and the session that goes on has them.
    say(&mut owner, "c IDLE", "+ ").await;
    world.deliver(b"Subject: after\r\n\r\nnew keys").await;
    let said = until(&mut owner, "* ").await;
    assert!(said.contains("1 EXISTS") && !said.contains("ALERT"), "{said}");
    let account = world.open().await;
    assert!(!account.is_altered());
    let row = {
        let state = account.state().unwrap();
        state.named(&Name::inbox()).unwrap().messages.first().unwrap().row
    };
    assert!(account.content(row).unwrap().whole().unwrap().ends_with(b"new keys"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_whose_keys_were_renewed_opens_whole_again_after_a_restart() {
    let world = World::new();
    let (stolen, _) = added(&world, &terms(&[]), false).await;
    world.deliver(b"Subject: before\r\n\r\nold keys").await;
    drop(world.open().await);
    revoke(&world, stolen).await;
    world.deliver(b"Subject: after\r\n\r\nnew keys").await;
    let world = world.restarted().await;
    for _ in 0..2 {
        let account = world.open().await;
        assert!(!account.is_altered());
        let state = account.state().unwrap();
        assert_eq!(state.named(&Name::inbox()).unwrap().messages.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unlocker_taken_away_while_it_is_tried_opens_nothing() {
    let world = World::new();
    let (slot, secret) = added(&world, &terms(&[]), false).await;
    let tries: Vec<_> = (0..16)
        .map(|_| {
            let (door, secret) = (world.door.clone(), secret.clone());
            tokio::spawn(async move {
                let shown = Shown { user: USER, secret: &secret, is_token: false, from: None };
                door.verify(shown, Scope::IMAP).await
            })
        })
        .collect();
    revoke(&world, slot).await;
    for attempt in tries {
        match attempt.await.unwrap() {
            // Let in before, and ended.
            Ok((_, pass)) => assert!(pass.is_over()),
            Err(error) => assert!(matches!(error, LoginError::Wrong), "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_day_of_last_use_is_noted_once_a_day_and_forgotten_with_its_unlocker() {
    let world = World::new();
    let (slot, secret) = added(&world, &terms(&[]), false).await;
    let last = async || world.keystores.last_uses(&sudo(&world).await).unwrap();
    assert!(last().await.is_empty());
    let shown = Shown { secret: &secret, ..world.shown() };
    world.door.verify(shown, Scope::IMAP).await.unwrap();
    let today = Timestamp(NOW / DAY * DAY);
    assert_eq!(last().await.get(&slot), Some(&today));
    let before = world.store.read().change(world.account).unwrap();
    world.door.verify(shown, Scope::IMAP).await.unwrap();
    assert_eq!(world.store.read().change(world.account).unwrap(), before);
    // What somebody else wrote there counts as nothing, and hinders nobody.
    let batch = store::Batch::new(world.account);
    let batch = batch.put(RecordKind::UnlockerUse, Row(0), vec![7; 120]);
    world.store.append().commit(batch).await.unwrap();
    assert!(last().await.is_empty());
    world.door.verify(shown, Scope::IMAP).await.unwrap();
    assert_eq!(last().await.get(&slot), Some(&today));
    // A refused one is no use of it.
    world.clock.0.store(NOW + DAY - 1, Ordering::Relaxed);
    assert!(world.door.verify(shown, Scope::SUBMIT).await.is_err());
    assert_eq!(last().await.get(&slot), Some(&today));
    revoke(&world, slot).await;
    drop(world.open().await);
    assert_eq!(last().await.len(), 1);
    assert!(!last().await.contains_key(&slot));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_needed_where_a_password_is_asked_for() {
    let world = World::new();
    let (_, app) = added(&world, &terms(&[]), false).await;
    let refused = world.door.sudo(world.account, Zeroizing::new(app)).await.unwrap().err();
    assert_eq!(refused, Some(UnlockError::Scope));
    let wrong = Zeroizing::new("a password nobody has".to_owned());
    let refused = world.door.sudo(world.account, wrong).await.unwrap().err();
    assert_eq!(refused, Some(UnlockError::Wrong));
}
