//! The cell's pin of a keystore: whoever writes the disk cannot have letters sealed to himself,
//! nor bring an old keystore back.

use bailiwick_mail::account::{KeystoreError, LoginError};
use custody::user::{Attempt, Changes, CreateAccount, Record, Terms, create};
use seal::note::Note;
use seal::slot::Scope;
use store::Batch;
use vocab::{AccountId, CellId, Custody, RecordKind, Row, Timestamp};

use super::world::{Cell, NOW, Plan};

const ALICE: &str = "alice@ie.example";
const BOB: &str = "bob@ie.example";
const LETTER: &str = "From: sender@example.org\r\nSubject: s\r\n\r\nKnown plaintext.\r\n";
const KEYSTORE: [RecordKind; 4] =
    [RecordKind::Manifest, RecordKind::Slot, RecordKind::EpochBox, RecordKind::Escrow];

async fn cell() -> Cell {
    Cell::new(Plan::new("ie", &[ALICE, BOB])).await
}

fn rows(cell: &Cell, account: AccountId, kinds: &[RecordKind]) -> Vec<Record> {
    let read = cell.store.read();
    let of_kind = |kind: &RecordKind| {
        let kind = *kind;
        read.scan(account, kind, Row(0)).map(move |found| {
            let (row, bytes) = found.unwrap();
            Record { kind, row, bytes: bytes.to_vec() }
        })
    };
    kinds.iter().flat_map(of_kind).collect()
}

/// Writes on the disk what its writer pleases, in the place of all that is there of these kinds.
async fn overwrite(cell: &Cell, account: AccountId, kinds: &[RecordKind], with: Vec<Record>) {
    let mut batch = Batch::new(account);
    for old in rows(cell, account, kinds) {
        batch = batch.delete(old.kind, old.row);
    }
    for new in with {
        batch = batch.put(new.kind, new.row, new.bytes);
    }
    cell.store.append().commit(batch).await.unwrap();
}

/// A keystore that is right in itself, of somebody else's identity.
fn strangers(account: AccountId) -> Vec<Record> {
    let with = CreateAccount {
        account,
        cell: CellId([9; 16]),
        custody: Custody::Sealed,
        escrow: None,
        password: None,
        pepper: None,
        now: Timestamp(NOW),
    };
    create(&with, &super::world::chance(77)).unwrap().records
}

async fn is_deferred(cell: &Cell) -> bool {
    let before = cell.rows(RecordKind::LetterHead) + cell.rows(RecordKind::LetterBody);
    let reply = cell.mx().await.send("sender@example.org", &[ALICE], LETTER).await;
    let after = cell.rows(RecordKind::LetterHead) + cell.rows(RecordKind::LetterBody);
    let deferred = reply.starts_with("451");
    assert!(deferred || reply.starts_with("250"), "{reply}");
    assert_eq!(after == before, deferred, "{reply}");
    deferred
}

async fn login(cell: &Cell) -> Result<(), LoginError> {
    cell.context.door.open(cell.shown(ALICE)).await.map(|_| ())
}

/// What comes later of the account: an app password is made and stored.
async fn change(cell: &Cell) {
    let (account, keystores) = (cell.account(ALICE), &cell.keystores);
    let locked = keystores.locked(account).unwrap();
    let attempt = Attempt {
        secret: cell.secret(ALICE),
        scope: Scope::SUDO,
        from: None,
        passwords: false,
        pepper: None,
        now: Timestamp(NOW),
        remembered: 0,
    };
    let mut unlocked = locked.unlock(&attempt).unwrap();
    let terms = Terms { scope: Scope::IMAP, expires: None, note: Note::default() };
    let new = unlocked.add_app_password(&terms, Timestamp(NOW), &super::world::chance(5));
    keystores.commit(account, new.unwrap().changes).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sealed_to_an_identity_that_was_put_in_an_accounts_place() {
    let cell = cell().await;
    let account = cell.account(ALICE);
    assert!(!is_deferred(&cell).await);
    let own = rows(&cell, account, &KEYSTORE);
    overwrite(&cell, account, &KEYSTORE, strangers(account)).await;
    assert!(is_deferred(&cell).await);
    assert_eq!(login(&cell).await, Err(LoginError::Tampered));
    // Not after a restart either, when nothing is remembered.
    let cell = cell.restarted(|_| {}).await;
    assert!(is_deferred(&cell).await);
    assert_eq!(cell.keystores.locked(account).err(), Some(KeystoreError::Exchanged));
    overwrite(&cell, account, &KEYSTORE, own).await;
    assert!(!is_deferred(&cell).await);
    assert_eq!(cell.inbox(ALICE).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_pin_and_no_others_pin_will_do() {
    let cell = cell().await;
    let (account, pin) = (cell.account(ALICE), [RecordKind::AccountPin]);
    let own = rows(&cell, account, &pin);
    overwrite(&cell, account, &pin, Vec::new()).await;
    assert!(is_deferred(&cell).await);
    assert_eq!(login(&cell).await, Err(LoginError::Tampered));
    // Another account's, in its own row and in this account's.
    for row in [own[0].row, rows(&cell, cell.account(BOB), &pin)[0].row] {
        let mut others = rows(&cell, cell.account(BOB), &pin);
        others[0].row = row;
        overwrite(&cell, account, &pin, others).await;
        assert!(is_deferred(&cell).await);
    }
    // Nor does a pin without what it pins.
    let manifest = rows(&cell, account, &[RecordKind::Manifest]);
    overwrite(&cell, account, &pin, own.clone()).await;
    overwrite(&cell, account, &[RecordKind::Manifest], Vec::new()).await;
    assert!(is_deferred(&cell).await);
    overwrite(&cell, account, &[RecordKind::Manifest], manifest).await;
    let mut altered = own.clone();
    *altered[0].bytes.last_mut().unwrap() ^= 1;
    overwrite(&cell, account, &pin, altered).await;
    assert!(is_deferred(&cell).await);
    overwrite(&cell, account, &pin, own).await;
    assert!(!is_deferred(&cell).await);
    assert_eq!(login(&cell).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_keystore_put_back_is_noticed_after_a_restart() {
    let cell = cell().await;
    let account = cell.account(ALICE);
    let old = rows(&cell, account, &KEYSTORE);
    change(&cell).await;
    let cell = cell.restarted(|_| {}).await;
    assert_eq!(login(&cell).await, Ok(()));
    overwrite(&cell, account, &KEYSTORE, old).await;
    let cell = cell.restarted(|_| {}).await;
    assert_eq!(login(&cell).await, Err(LoginError::Tampered));
    assert!(is_deferred(&cell).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_pin_put_back_with_its_keystore_is_noticed_while_the_process_lives() {
    let cell = cell().await;
    let account = cell.account(ALICE);
    let all = [&KEYSTORE[..], &[RecordKind::AccountPin]].concat();
    let old = rows(&cell, account, &all);
    change(&cell).await;
    overwrite(&cell, account, &all, old).await;
    assert_eq!(cell.keystores.locked(account).err(), Some(KeystoreError::Older));
    assert_eq!(login(&cell).await, Err(LoginError::Tampered));
    assert!(is_deferred(&cell).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keystore_changes_only_to_its_successor_and_is_made_once() {
    let cell = cell().await;
    let account = cell.account(ALICE);
    let refused = cell.keystores.create(account, strangers(account)).await;
    assert_eq!(refused, Err(KeystoreError::Changed));
    let put = strangers(account);
    let refused = cell.keystores.commit(account, Changes { put, delete: Vec::new() }).await;
    assert_eq!(refused, Err(KeystoreError::Changed));
    // Nor can a change be made upon a keystore that was exchanged.
    overwrite(&cell, account, &KEYSTORE, strangers(account)).await;
    let put = strangers(account);
    let refused = cell.keystores.commit(account, Changes { put, delete: Vec::new() }).await;
    assert_eq!(refused, Err(KeystoreError::Exchanged));
}
