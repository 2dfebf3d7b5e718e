//! Kept sessions, before who reads and writes the store and has no token.

use bailiwick_mail::account::LoginError;
use custody::user::{KeptSession, SessionToken, session_row};
use store::Batch;
use vocab::{CellId, RecordKind, Row, Timestamp};

use crate::program::{READ, enrol_device, kept};
use crate::world::{NOW, World};

const KIND: RecordKind = RecordKind::SessionGrant;

async fn refused(world: &World, token: &str) -> Option<LoginError> {
    world.door.resume(token, None, READ).await.err()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_on_the_disk_opens_a_kept_session() {
    let world = World::new();
    enrol_device(&world).await;
    let (entered, token) = kept(&world).await;
    drop(entered);
    let read = SessionToken::read(&token).unwrap();
    let record = world.store.read().get(world.account, KIND, session_row(&read.session));
    let record = record.unwrap().unwrap();
    let place = (CellId(crate::world::cell_keys().account().0), world.account);
    assert!(KeptSession::open(&record, &read.secret, place).is_ok());
    // Whatever 32 octets of the store a thief tries, aligned or not, none is the token's secret.
    let secret = read.secret.expose();
    for kind in RecordKind::ALL {
        for account in [world.account, crate::world::cell_keys().account()] {
            for found in world.store.read().scan(account, *kind, Row(0)) {
                let octets = found.unwrap().1;
                assert!(!octets.windows(32).any(|part| part == secret), "{kind:?}");
            }
        }
    }
    // A thief makes a token of everything but the secret.
    let forged = SessionToken { secret: seal::Secret::copied(&[0; 32]), ..read };
    assert_eq!(refused(&world, &forged.text()).await, Some(LoginError::Wrong));
    // And reads when the session ends to no more than the hour.
    assert!(KeptSession::of(&record).unwrap().until.0.is_multiple_of(3600));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_session_altered_lengthened_or_put_in_anothers_place_opens_nothing() {
    let world = World::new();
    enrol_device(&world).await;
    let ((one, first), (two, second)) = (kept(&world).await, kept(&world).await);
    drop((one, two));
    let row = |token: &str| session_row(&SessionToken::read(token).unwrap().session);
    let stored =
        |token: &str| world.store.read().get(world.account, KIND, row(token)).unwrap().unwrap();
    let (own, other) = (stored(&first), stored(&second));
    let put = async |octets: Vec<u8>| {
        let batch = Batch::new(world.account).put(KIND, row(&first), octets);
        world.store.append().commit(batch).await.unwrap();
        refused(&world, &first).await
    };
    // Its unlocker, its end, its wrap: the later end a thief would like too.
    for place in [3, 20, 36, 41, 50, 80, own.len() - 1] {
        let mut altered = own.to_vec();
        altered[place] ^= 1;
        assert_eq!(put(altered).await, Some(LoginError::Wrong), "{place}");
    }
    assert_eq!(put(other.to_vec()).await, Some(LoginError::Wrong));
    assert_eq!(put(own[..60].to_vec()).await, Some(LoginError::Wrong));
    assert_eq!(put(Vec::new()).await, Some(LoginError::Wrong));
    assert_eq!(put(own.to_vec()).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_put_back_after_its_keys_were_renewed_opens_nothing() {
    let world = World::new();
    enrol_device(&world).await;
    let (entered, token) = kept(&world).await;
    drop(entered);
    let row = session_row(&SessionToken::read(&token).unwrap().session);
    let before = world.store.read().get(world.account, KIND, row).unwrap().unwrap();
    let mut owner = crate::program::sudo(&world).await;
    let (now, entropy) = (Timestamp(NOW), world.entropy.as_ref());
    let suspect = custody::user::Renewal::Suspect(None);
    let changes = owner.set_password("another long password", None, suspect, now, entropy).unwrap();
    world.door.change(owner, changes).await.unwrap();
    assert_eq!(refused(&world, &token).await, Some(LoginError::Expired));
    let batch = Batch::new(world.account).put(KIND, row, before.to_vec());
    world.store.append().commit(batch).await.unwrap();
    let world = world.restarted().await;
    assert_eq!(refused(&world, &token).await, Some(LoginError::Expired));
}
