//! Slots, epochs and manifests: any set of them that is not the pinned one opens nothing and
//! receives nothing; the same set in another order is the same set.

use bailiwick_mail::account::LoginError;
use custody::user::{Attempt, Terms};
use seal::note::Note;
use seal::slot::Scope;
use vocab::{RecordKind, Row, Timestamp};

use super::{Record, copied, overwrite, rotated};
use crate::world::{NOW, World};

const KINDS: [RecordKind; 3] = [RecordKind::Slot, RecordKind::EpochBox, RecordKind::Manifest];

/// A cell whose account has a recovery code and two app passwords.
async fn three_slots() -> World {
    let world = World::new();
    for _ in 0..2 {
        let locked = world.keystores.locked(world.account).unwrap();
        let attempt = Attempt {
            secret: &world.secret,
            scope: Scope::SUDO,
            from: None,
            passwords: false,
            pepper: None,
            now: Timestamp(NOW),
            remembered: 0,
        };
        let mut unlocked = locked.unlock(&attempt).unwrap();
        let terms = Terms { scope: Scope::IMAP, expires: None, note: Note::default() };
        let new = unlocked.add_app_password(&terms, Timestamp(NOW), world.entropy.as_ref());
        world.keystores.commit(world.account, new.unwrap().changes).await.unwrap();
    }
    world
}

/// Whether an account with these records is refused, and is itself again without them.
async fn is_refused(world: &World, kind: RecordKind, with: &[Record]) -> bool {
    let honest = copied(world, &[kind]);
    overwrite(world, &[kind], with).await;
    let refused = world.keystores.locked(world.account).is_err_and(|error| error.is_tampering());
    assert_eq!(world.try_open().await.err() == Some(LoginError::Tampered), refused);
    overwrite(world, &[kind], &honest).await;
    assert!(world.try_open().await.is_ok());
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keystore_cut_lengthened_thinned_or_added_to_opens_nothing() {
    let world = three_slots().await;
    for kind in KINDS {
        let honest = copied(&world, &[kind]);
        let mut cut = honest.clone();
        cut[0].2 = cut[0].2.slice(..cut[0].2.len() - 1);
        assert!(is_refused(&world, kind, &cut).await, "{kind:?} cut");
        assert!(is_refused(&world, kind, &honest[1..]).await, "{kind:?} taken away");
        let mut more = honest.clone();
        let mut longer = more[0].2.to_vec();
        longer.push(0);
        more.push((kind, Row(u64::MAX), longer.into()));
        assert!(is_refused(&world, kind, &more).await, "{kind:?} put in");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_and_epochs_in_other_rows_are_the_same_keystore() {
    let world = three_slots().await;
    for kind in [RecordKind::Slot, RecordKind::EpochBox] {
        let honest = copied(&world, &[kind]);
        assert!(honest.len() > 2);
        assert!(!is_refused(&world, kind, &rotated(&honest)).await, "{kind:?}");
        let mut twice = honest.clone();
        twice[0].2 = honest[1].2.clone();
        assert!(is_refused(&world, kind, &twice).await, "{kind:?} one for another");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_or_a_manifest_put_back_open_nothing() {
    let world = World::new();
    let old: Vec<_> = KINDS.iter().map(|kind| (*kind, copied(&world, &[*kind]))).collect();
    drop(world);
    // The same chance, so the same account: its keystore has gone on.
    let world = three_slots().await;
    for (kind, old) in old {
        let is_old = copied(&world, &[kind]) != old;
        assert_eq!(is_refused(&world, kind, &old).await, is_old, "{kind:?}");
    }
}
