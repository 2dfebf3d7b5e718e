//! A whole account re-keyed while it lives: what an old copy opens then, and a crash at each step.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::Arc;
use std::time::Duration;

use bailiwick_mail::account::{Account, RekeyError, Resealing};
use bailiwick_mail::mailbox::{FlagChange, FlagSet, Flags, Name};
use bytes::Bytes;
use custody::user::{AccountKeys, Changes, NewUnlocker, Renewal, Target, Terms, Unlocked};
use seal::note::Note;
use seal::row::{RowKeys, header};
use seal::slot::Scope;
use store::Batch;
use tokio::io::AsyncWriteExt as _;
use vocab::{CellId, Custody, EpochVersion, RecordKind, Row, Timestamp};
use zeroize::Zeroizing;

use crate::world::{NOW, USER, World, until};

const SEALED: Target<'static> =
    Target { cell: CellId([1; 16]), custody: Custody::Sealed, escrow: None };
/// What an account's keys seal.
const SEALED_KINDS: [RecordKind; 7] = [
    RecordKind::Message,
    RecordKind::Mailbox,
    RecordKind::AccountState,
    RecordKind::AccountAnchor,
    RecordKind::SearchIndex,
    RecordKind::ExpungedMessage,
    RecordKind::UnlockerUse,
];

async fn sudo(world: &World) -> Unlocked {
    let secret = Zeroizing::new(world.secret.clone());
    world.door.sudo(world.account, secret).await.unwrap().unwrap()
}

async fn begun(world: &World) -> (Unlocked, Changes) {
    let mut unlocked = sudo(world).await;
    let changes = unlocked.begin_rekey(&SEALED, Timestamp(NOW), world.entropy.as_ref()).unwrap();
    (unlocked, changes)
}

/// The whole of it, as the owner's command does it.
async fn rekey(world: &World) -> bool {
    let (unlocked, changes) = begun(world).await;
    world.door.rekey(unlocked, changes).await.unwrap();
    world.door.finish_rekey(sudo(world).await).await.unwrap()
}

fn rows(world: &World) -> Vec<(RecordKind, Row, Bytes)> {
    let read = world.store.read();
    let of_kind = |kind: RecordKind| {
        read.scan(world.account, kind, Row(0)).map(move |found| {
            let (row, sealed) = found.unwrap();
            (kind, row, sealed)
        })
    };
    SEALED_KINDS.into_iter().flat_map(of_kind).collect()
}

/// How many rows these keys open.
fn opened_by(keys: &AccountKeys, rows: &[(RecordKind, Row, Bytes)]) -> usize {
    let epochs: Vec<RowKeys> = keys
        .epochs()
        .map(|(epoch, version)| RowKeys::of_epoch(keys.epoch(epoch, version).unwrap()).unwrap())
        .collect();
    let opens = |(kind, row, sealed): &&(RecordKind, Row, Bytes)| {
        epochs.iter().any(|epoch| epoch.open(*kind, *row, sealed).is_ok())
    };
    rows.iter().filter(opens).count()
}

/// A mailbox as a client remembers it: name, UIDVALIDITY, HIGHESTMODSEQ, and each message's UID and
/// mod-sequence.
type Remembered = (String, u32, u64, Vec<(u32, u64)>);

fn seen(account: &Account) -> Vec<Remembered> {
    let state = account.state().unwrap();
    let mut all: Vec<_> = state
        .mailboxes
        .values()
        .map(|held| {
            let messages = held.messages.iter().map(|message| (message.uid, message.modseq));
            let name = held.name.to_string();
            (name, held.uid_validity, held.highest_modseq, messages.collect())
        })
        .collect();
    all.sort();
    all
}

fn bodies(account: &Account) -> Vec<Vec<u8>> {
    let rows: Vec<u64> = {
        let state = account.state().unwrap();
        let held = state.named(&Name::inbox()).unwrap();
        held.messages.iter().map(|message| message.row).collect()
    };
    rows.iter().map(|row| account.content(*row).unwrap().whole().unwrap().to_vec()).collect()
}

/// The account loaded anew, whose rows are as it wrote them.
async fn opened(world: &World) -> Arc<Account> {
    let closed = async {
        while world.door.registry().count() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), closed).await.unwrap();
    let account = world.open().await;
    assert!(!account.is_altered());
    account
}

async fn filled(letters: usize) -> World {
    let world = World::new();
    for number in 0..letters {
        world.deliver(format!("Subject: {number}\r\n\r\nText {number}.\r\n").as_bytes()).await;
    }
    let account = world.open().await;
    let row = account.state().unwrap().named(&Name::inbox()).unwrap().row;
    let set = FlagSet { flags: Flags::SEEN, keywords: vec!["$Todo".to_owned()] };
    account.store_flags(row, vec![1, 2], FlagChange::Add, set, None).await.unwrap();
    let message = b"Subject: own\r\n\r\nown text\r\n".to_vec();
    account.append(Name::inbox(), message, FlagSet::default(), None).await.unwrap();
    account.index_now().await.unwrap();
    world
}

fn versions(world: &World) -> Vec<u32> {
    let locked = world.keystores.locked(world.account).unwrap();
    let mut versions: Vec<u32> = locked.epochs().map(|(_, version)| version.0).collect();
    versions.sort_unstable();
    versions.dedup();
    versions
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rekey_an_old_copy_of_the_keystore_and_its_secret_open_none_of_2000_rows() {
    let world = filled(2000).await;
    let thief = sudo(&world).await.into_keys();
    let account = opened(&world).await;
    let (before, texts) = (seen(&account), bodies(&account));
    drop(account);
    assert_eq!(opened_by(&thief, &rows(&world)), rows(&world).len());
    assert!(rekey(&world).await);
    let all = rows(&world);
    assert!(all.len() > 2000);
    assert_eq!(opened_by(&thief, &all), 0);
    assert_eq!(opened_by(&sudo(&world).await.into_keys(), &all), all.len());
    assert_eq!(versions(&world), [2]);
    let world = world.restarted().await;
    let account = opened(&world).await;
    assert_eq!(seen(&account), before);
    assert_eq!(bodies(&account), texts);
    assert!(account.check().await.unwrap().findings.is_empty());
    assert!(!account.is_being_rekeyed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rekey_cut_short_at_any_commit_goes_on_and_loses_nothing() {
    let mut cut_after = 0;
    loop {
        let world = filled(1100).await;
        let account = opened(&world).await;
        let (before, texts) = (seen(&account), bodies(&account));
        drop(account);
        let (unlocked, changes) = begun(&world).await;
        world.keystores.commit(world.account, changes).await.unwrap();
        let mut at = Some(Resealing::default());
        if cut_after > 0 {
            let account = world.door.open_unlocked(unlocked).await.unwrap();
            for _ in 0..cut_after {
                let Some(from) = at else { break };
                at = account.reseal_some(from).await.unwrap();
            }
        }
        let world = world.restarted().await;
        let account = opened(&world).await;
        assert_eq!((seen(&account), bodies(&account)), (before.clone(), texts.clone()));
        assert!(account.is_being_rekeyed());
        account.reseal().await.unwrap();
        drop(account);
        assert!(world.door.finish_rekey(sudo(&world).await).await.unwrap());
        let world = world.restarted().await;
        let account = opened(&world).await;
        assert_eq!((seen(&account), bodies(&account)), (before, texts));
        assert_eq!(versions(&world), [2]);
        if at.is_none() {
            break;
        }
        cut_after += 1;
    }
    assert!(cut_after >= 3, "{cut_after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_finish_by_themselves_what_was_begun() {
    let world = filled(20).await;
    let (_, changes) = begun(&world).await;
    world.keystores.commit(world.account, changes).await.unwrap();
    let world = world.restarted().await;
    let finished = async {
        loop {
            drop(opened(&world).await);
            if versions(&world) == [2] {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), finished).await.unwrap();
    let account = opened(&world).await;
    assert_eq!(bodies(&account).len(), 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_revoked_secret_had_opened_is_sealed_anew_at_the_next_logins() {
    let world = filled(5).await;
    let mut unlocked = sudo(&world).await;
    let terms = Terms { scope: Scope::IMAP, expires: None, note: Note::new("", &[]).unwrap() };
    let new = unlocked.add_app_password(&terms, Timestamp(NOW), world.entropy.as_ref());
    let NewUnlocker { slot, changes, .. } = new.unwrap();
    world.door.change(unlocked, changes).await.unwrap();
    let thief = sudo(&world).await.into_keys();
    let mut unlocked = sudo(&world).await;
    let suspect = Renewal::Suspect(None);
    let changes = unlocked.revoke(slot, suspect, Timestamp(NOW), world.entropy.as_ref()).unwrap();
    world.door.change(unlocked, changes).await.unwrap();
    let finished = async {
        loop {
            drop(opened(&world).await);
            if world.keystores.locked(world.account).unwrap().superseded().is_empty() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), finished).await.unwrap();
    // All of it arrived this month, and that month's keys were renewed.
    assert_eq!(opened_by(&thief, &rows(&world)), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_go_on_and_see_nothing_of_it() {
    let world = filled(30).await;
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let context = world.context();
    tokio::spawn(async move { bailiwick_mail::imap::serve(server, None, &context).await });
    let mut say = async |line: &str, mark: &str| {
        client.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        until(&mut client, mark).await
    };
    say(&format!("a LOGIN {USER} \"{}\"", world.secret), "a ").await;
    let selected = say("b SELECT INBOX (CONDSTORE)", "b ").await;
    let fetched = say("c UID FETCH 1:* (FLAGS MODSEQ BODY.PEEK[])", "c ").await;
    let (unlocked, changes) = begun(&world).await;
    let (rekeyed, fetching) = tokio::join!(
        world.door.rekey(unlocked, changes),
        say("d UID FETCH 1:* (FLAGS MODSEQ BODY.PEEK[])", "d "),
    );
    rekeyed.unwrap();
    assert!(world.door.finish_rekey(sudo(&world).await).await.unwrap());
    let after = say("e UID FETCH 1:* (FLAGS MODSEQ BODY.PEEK[])", "e ").await;
    let without_tag = |text: &str, tag: &str| text.replace(&format!("{tag} OK"), "OK");
    assert_eq!(without_tag(&fetching, "d"), without_tag(&fetched, "c"));
    assert_eq!(without_tag(&after, "e"), without_tag(&fetched, "c"));
    let quiet = say("f NOOP", "f ").await;
    assert!(quiet.starts_with("f OK"), "{quiet}");
    let again = say("g SELECT INBOX (CONDSTORE)", "g ").await;
    let highest = |text: &str| {
        let line = text.lines().find(|line| line.contains("HIGHESTMODSEQ")).unwrap();
        line.to_owned()
    };
    assert_eq!(highest(&again), highest(&selected));
    let marked = say("h UID STORE 3 +FLAGS (\\Flagged)", "h ").await;
    assert!(marked.contains("h OK") && !marked.contains("ALERT"), "{marked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_keys_do_not_go_while_a_letter_waits_under_them() {
    let world = filled(3).await;
    drop(opened(&world).await);
    world.deliver(b"Subject: late\r\n\r\nunder the old key").await;
    let (_, changes) = begun(&world).await;
    world.keystores.commit(world.account, changes).await.unwrap();
    assert!(!world.door.finish_rekey(sudo(&world).await).await.unwrap());
    assert_eq!(versions(&world), [1, 2]);
    assert!(rekey(&world).await);
    let account = opened(&world).await;
    assert!(bodies(&account).iter().any(|body| body.ends_with(b"under the old key")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_not_the_cells_does_not_keep_old_keys() {
    let world = filled(3).await;
    drop(opened(&world).await);
    let stranger = seal::sign::SigningKey::generate(world.entropy.as_ref()).unwrap();
    let (batch, _) = world.sealed_by(&stranger, b"Subject: put in\r\n\r\nby a stranger", false);
    world.store.append().commit(batch).await.unwrap();
    assert!(rekey(&world).await);
    assert_eq!(versions(&world), [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn altered_rows_are_not_sealed_anew_as_if_they_were_the_accounts_own() {
    let world = filled(3).await;
    drop(opened(&world).await);
    let (kind, row, _) = rows(&world).into_iter().find(|row| row.0 == RecordKind::Message).unwrap();
    let batch = Batch::new(world.account).delete(kind, row);
    world.store.append().commit(batch).await.unwrap();
    let (unlocked, changes) = begun(&world).await;
    assert_eq!(world.door.rekey(unlocked, changes).await.err(), Some(RekeyError::Altered));
    assert!(!world.door.finish_rekey(sudo(&world).await).await.unwrap());
    // The owner is told, also after the keys were changed, until they accept what is there.
    let world = world.restarted().await;
    let account = world.open().await;
    assert!(account.is_altered());
    account.accept().await.unwrap();
    account.reseal().await.unwrap();
    drop(account);
    assert!(world.door.finish_rekey(sudo(&world).await).await.unwrap());
    drop(opened(&world).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_put_back_while_it_is_sealed_anew_is_told() {
    let world = filled(3).await;
    let account = opened(&world).await;
    let old = rows(&world).into_iter().find(|row| row.0 == RecordKind::Message).unwrap();
    let row = account.state().unwrap().named(&Name::inbox()).unwrap().row;
    let set = FlagSet { flags: Flags::FLAGGED, keywords: Vec::new() };
    account.store_flags(row, vec![1, 2, 3], FlagChange::Add, set, None).await.unwrap();
    let (unlocked, changes) = begun(&world).await;
    world.keystores.commit(world.account, changes).await.unwrap();
    let batch = Batch::new(world.account).put(old.0, old.1, old.2.to_vec());
    world.store.append().commit(batch).await.unwrap();
    drop(account);
    drop(unlocked);
    let world = world.restarted().await;
    assert!(world.open().await.is_altered());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_under_way_while_keys_change_finds_its_account_whole() {
    let world = filled(200).await;
    for _ in 0..4 {
        drop(opened(&world).await);
        let logins: Vec<_> = (0..6)
            .map(|_| {
                let (door, secret) = (world.door.clone(), world.secret.clone());
                tokio::spawn(async move {
                    let shown = bailiwick_mail::account::Shown {
                        user: USER,
                        secret: &secret,
                        is_token: false,
                        from: None,
                    };
                    let (account, _) = door.open(shown).await.unwrap();
                    assert!(!account.is_altered());
                    bodies(&account).len()
                })
            })
            .collect();
        let (unlocked, changes) = begun(&world).await;
        // A login may have made a change first; then this one is refused whole.
        if world.door.rekey(unlocked, changes).await.is_ok() {
            world.door.finish_rekey(sudo(&world).await).await.unwrap();
        }
        for login in logins {
            assert_eq!(login.await.unwrap(), 201);
        }
    }
    let account = opened(&world).await;
    assert_eq!(bodies(&account).len(), 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn last_uses_are_kept() {
    let world = filled(1).await;
    let before = world.keystores.last_uses(&sudo(&world).await).unwrap();
    assert!(!before.is_empty());
    assert!(rekey(&world).await);
    assert_eq!(world.keystores.last_uses(&sudo(&world).await).unwrap(), before);
    let sealed = rows(&world).into_iter().find(|row| row.0 == RecordKind::UnlockerUse).unwrap();
    assert_eq!(header(&sealed.2).unwrap().version, EpochVersion(2));
}
