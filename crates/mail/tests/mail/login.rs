//! Logins that find months missing.

use std::sync::atomic::Ordering;

use bailiwick_mail::account::Shown;
use bailiwick_mail::mailbox::{FlagSet, Name};
use seal::epoch::epoch_of;
use vocab::Timestamp;

use crate::world::{NOW, USER, World};

const YEARS: u64 = 2 * 365 * 86_400;

#[tokio::test(flavor = "multi_thread")]
async fn of_logins_at_one_time_one_makes_the_months_and_what_any_of_them_writes_opens_again() {
    let world = World::new();
    world.clock.0.store(NOW + YEARS, Ordering::Relaxed);
    let logins = (0..6).map(|_| {
        let (door, secret) = (world.door.clone(), world.secret.clone());
        tokio::spawn(async move {
            let shown = Shown { user: USER, secret: &secret, is_token: false, from: None };
            door.open(shown).await.unwrap().0
        })
    });
    let mut accounts = Vec::new();
    for login in logins.collect::<Vec<_>>() {
        accounts.push(login.await.unwrap());
    }
    let locked = world.keystores.locked(world.account).unwrap();
    assert_eq!(locked.manifest().version, 2, "made once");
    let last = locked.epochs().last().unwrap().0;
    assert_eq!(last.0, epoch_of(Timestamp(NOW + YEARS)).0 + 12);
    let message = b"Subject: s\r\n\r\nwritten under what key?".to_vec();
    accounts[0].append(Name::inbox(), message.clone(), FlagSet::default(), None).await.unwrap();
    drop((accounts, locked));
    let world = world.restarted().await;
    let account = world.open().await;
    let row = {
        let state = account.state().unwrap();
        state.named(&Name::inbox()).unwrap().messages.first().unwrap().row
    };
    assert_eq!(account.content(row).unwrap().whole().unwrap(), message);
}
