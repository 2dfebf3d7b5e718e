//! Escrows in the store: what holders could open must be what the manifest lists.

use custody::user::{CreateAccount, create};
use seal::escrow::EscrowPolicy;
use seal::holder::{Holder, HolderKey};
use store::Batch;
use vocab::{AccountId, CellId, Custody, HolderId, RecordKind, Row, Timestamp};

use crate::world::{NOW, World};

const ACCOUNT: AccountId = AccountId([3; 16]);

async fn with_holders() -> World {
    let world = World::new();
    let holder = |id| {
        let key = HolderKey::generate(world.entropy.as_ref()).unwrap().public();
        Holder { id: HolderId([id; 16]), key }
    };
    let (trustees, guards) = ((1..4).map(holder).collect(), (11..13).map(holder).collect());
    let cell = CellId([1; 16]);
    let policy = EscrowPolicy::new(cell, Custody::Trustee, (2, trustees), (1, guards)).unwrap();
    let with = CreateAccount {
        account: ACCOUNT,
        cell,
        custody: Custody::Trustee,
        escrow: Some(&policy),
        password: None,
        pepper: None,
        now: Timestamp(NOW),
    };
    let records = create(&with, world.entropy.as_ref()).unwrap().records;
    world.keystores.create(ACCOUNT, records).await.unwrap();
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn escrows_exchanged_cut_put_in_or_taken_away_are_found() {
    let world = with_holders().await;
    let locked = world.keystores.locked(ACCOUNT).unwrap();
    let wrong = || world.keystores.wrong_escrows(ACCOUNT, &locked).unwrap();
    let read = world.store.read();
    let rows: Vec<_> =
        read.scan(ACCOUNT, RecordKind::Escrow, Row(0)).map(|found| found.unwrap()).collect();
    assert!(rows.len() > 3 && wrong() == 0);
    let put = async |row: Row, octets: Option<Vec<u8>>| {
        let batch = Batch::new(ACCOUNT);
        let batch = match octets {
            Some(octets) => batch.put(RecordKind::Escrow, row, octets),
            None => batch.delete(RecordKind::Escrow, row),
        };
        world.store.append().commit(batch).await.unwrap();
    };
    put(rows[0].0, Some(rows[1].1.to_vec())).await;
    put(rows[1].0, Some(rows[0].1.to_vec())).await;
    assert_eq!(wrong(), 2, "exchanged");
    put(rows[0].0, Some(rows[0].1.to_vec())).await;
    put(rows[1].0, Some(rows[1].1[..rows[1].1.len() - 1].to_vec())).await;
    assert_eq!(wrong(), 1, "cut");
    put(rows[1].0, None).await;
    assert_eq!(wrong(), 1, "taken away");
    put(rows[1].0, Some(rows[1].1.to_vec())).await;
    put(Row(u64::MAX), Some(rows[1].1.to_vec())).await;
    assert_eq!(wrong(), 1, "put in");
}
