//! Folding: many letters at once, some of them spoiled.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};

use crate::world::World;
use bailiwick_mail::account::Account;
use bailiwick_mail::mailbox::Name;
use seal::Secret;
use seal::sign::SigningKey;
use store::Batch;
use vocab::{RecordKind, Row};

#[tokio::test(flavor = "multi_thread")]
async fn many_letters_are_folded_in_the_order_they_came() {
    let world = World::new();
    let count = 2030;
    for number in 0..count {
        world.deliver(format!("Subject: {number}\r\n\r\nx").as_bytes()).await;
    }
    // In the first batch, at the seam of two threads or batches, and at the very end.
    let spoiled = [3, 1000, 1001, 2000, 2001, count];
    let read = world.store.read();
    for row in spoiled {
        let head = read.get(world.account, RecordKind::LetterHead, Row(row)).unwrap().unwrap();
        let mut altered = head.to_vec();
        altered.iter_mut().skip(1300).take(1).for_each(|octet| *octet ^= 1);
        let batch = Batch::new(world.account).put(RecordKind::LetterHead, Row(row), altered);
        world.store.append().commit(batch).await.unwrap();
    }
    let account = world.open().await;
    let (rows, uids) = arrived(&account);
    assert_eq!(rows, (1..=count).filter(|row| !spoiled.contains(row)).collect::<Vec<_>>());
    assert_eq!(uids, (1..=rows.len() as u64).collect::<Vec<_>>());
    let left = read.scan(world.account, RecordKind::LetterHead, Row(0));
    assert_eq!(left.map(|found| found.unwrap().0.0).collect::<Vec<_>>(), spoiled);
    drop(account);
    // What did not fold does not fold later either, and nothing folds twice.
    let again = world.open().await;
    assert_eq!(again.state().unwrap().named(&Name::inbox()).unwrap().messages.len(), 2024);
}

/// One signature vouches for a batch, so each thing it vouches for is altered once.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_last_signature_vouches_for_cannot_be_altered_before_it() {
    let (signature, length, digest) = (1, 65, 80);
    for (row, from_the_end, folded) in [
        // The last one's own signature: the others have theirs.
        (9, signature, (1..9).collect::<Vec<_>>()),
        // What is said of a body: caught though its own signature is not looked at.
        (4, length, (1..10).filter(|row| *row != 4).collect()),
        (4, digest, (1..10).filter(|row| *row != 4).collect()),
        // A signature that another vouches for is not needed; where none does, it is.
        (4, signature, (1..10).collect()),
    ] {
        let world = World::new();
        for number in 1..10 {
            world.deliver(format!("Subject: {number}\r\n\r\nx").as_bytes()).await;
        }
        let read = world.store.read();
        let head = read.get(world.account, RecordKind::LetterHead, Row(row)).unwrap().unwrap();
        let mut altered = head.to_vec();
        altered.iter_mut().rev().skip(from_the_end - 1).take(1).for_each(|octet| *octet ^= 1);
        let batch = Batch::new(world.account).put(RecordKind::LetterHead, Row(row), altered);
        world.store.append().commit(batch).await.unwrap();
        let (rows, _) = arrived(&*world.open().await);
        assert_eq!(rows, folded, "row {row}, {from_the_end} from its end");
    }
}

/// The disk rots under one head: what came after it is read all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_the_disk_has_lost_holds_nothing_up() {
    let world = World::new();
    for number in 1..5 {
        // Longer than what the store keeps in its index as well.
        let subject = "s".repeat(9000);
        world.deliver(format!("Subject: {number} {subject}\r\n\r\nx").as_bytes()).await;
    }
    let read = world.store.read();
    let head = read.get(world.account, RecordKind::LetterHead, Row(2)).unwrap().unwrap();
    let mut rotten = 0;
    for file in files(world.directory()) {
        let mut octets = std::fs::read(&file).unwrap();
        if let Some(at) = octets.windows(head.len()).position(|window| window == head) {
            octets.iter_mut().skip(at + 100).take(1).for_each(|octet| *octet ^= 1);
            std::fs::write(&file, octets).unwrap();
            rotten += 1;
        }
    }
    assert_eq!(rotten, 1);
    let account = world.open().await;
    assert_eq!(arrived(&account), (vec![1, 3, 4], vec![1, 2, 3]));
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// A letter of somebody who can write the disk but not sign, after the cell's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_cannot_lengthen_the_chain() {
    let world = World::new();
    for number in 1..5 {
        world.deliver(format!("Subject: {number}\r\n\r\nx").as_bytes()).await;
    }
    let stranger = SigningKey::from_seed(Secret::copied(&[7; 32])).unwrap();
    let (forged, _) = world.sealed_by(&stranger, b"Subject: forged\r\n\r\nx", false);
    world.store.append().commit(forged).await.unwrap();
    let (rows, _) = arrived(&*world.open().await);
    assert_eq!(rows, [1, 2, 3, 4]);
}

/// A letter to keys that do not exist waits for them only if the cell signed it.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_month_does_not_hold_up_what_is_behind_it() {
    let world = World::new();
    for number in 1..5 {
        world.deliver(format!("Subject: {number}\r\n\r\nx").as_bytes()).await;
    }
    let read = world.store.read();
    let head = read.get(world.account, RecordKind::LetterHead, Row(2)).unwrap().unwrap();
    let mut forged = head.to_vec();
    // Octets 44 to 47 of a head are its month (specs/bw1.md §7.2).
    forged.iter_mut().skip(44).take(1).for_each(|octet| *octet ^= 1);
    let batch = Batch::new(world.account).put(RecordKind::LetterHead, Row(2), forged);
    world.store.append().commit(batch).await.unwrap();
    let (rows, _) = arrived(&*world.open().await);
    assert_eq!(rows, [1, 3, 4]);
}

/// What became of a letter on the disk of somebody who cannot sign.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Whole,
    /// Its signature is another; it counts only if a later one vouches for it.
    Unsigned,
    Altered,
}

/// Letters altered, taken out, doubled and turned about, whatever the order: none is shown that was
/// altered, none twice or before one that came earlier, and whatever is whole and new is shown.
#[tokio::test(flavor = "multi_thread")]
async fn of_any_mixture_of_heads_only_what_is_whole_and_next_is_folded() {
    for seed in 0..12_u8 {
        let world = World::new();
        for number in 1..=12 {
            world.deliver(format!("Subject: {number}\r\n\r\nx").as_bytes()).await;
        }
        let places = mixture(seed);
        let folded_before = if seed % 3 == 0 { 4 } else { 0 };
        let batch = rearranged(&world, &places, folded_before).await;
        world.store.append().commit(batch).await.unwrap();
        let account = world.open().await;
        let rows: Vec<_> = arrived(&account).0.into_iter().filter(|row| *row >= 100).collect();
        let (mut last, mut shown) = (folded_before, rows.iter().copied().peekable());
        let mut last_fate = Fate::Whole;
        for (row, (letter, fate)) in (100..).zip(&places) {
            let is_shown = shown.next_if_eq(&row).is_some();
            let is_next = *letter > last;
            match fate {
                Fate::Whole => assert_eq!(is_shown, is_next, "seed {seed}, row {row}"),
                Fate::Unsigned => assert!(is_next || !is_shown, "seed {seed}, row {row}"),
                Fate::Altered => assert!(!is_shown, "seed {seed}, row {row}"),
            }
            (last, last_fate) = if is_shown { (*letter, *fate) } else { (last, last_fate) };
        }
        assert!(last_fate == Fate::Whole, "seed {seed}: nothing vouches for the last");
        assert_eq!(shown.next(), None, "seed {seed}");
    }
}

/// Letters 1 to 12, mostly in their order, some of them spoiled, missing or there twice.
fn mixture(seed: u8) -> Vec<(u64, Fate)> {
    let chance = |at: u64, of: u64| {
        let block = seal::mac::sha256(&[b"mixture", &[seed], &at.to_be_bytes()]);
        block.0.first_chunk().map_or(0, |head| u64::from_be_bytes(*head)) % of
    };
    let mut places = Vec::new();
    for letter in 1..=12 {
        let fate = match chance(letter, 8) {
            0 => Fate::Altered,
            1 | 2 => Fate::Unsigned,
            _ => Fate::Whole,
        };
        match chance(letter + 100, 12) {
            0 => {}
            1 => places.extend([(letter, fate), (letter, Fate::Whole)]),
            2 => places
                .insert(usize::try_from(chance(letter + 200, letter)).unwrap(), (letter, fate)),
            _ => places.push((letter, fate)),
        }
    }
    places
}

/// Puts the letters in rows from 100 on; the first few are folded where they were.
async fn rearranged(world: &World, places: &[(u64, Fate)], folded_before: u64) -> Batch {
    let (read, account) = (world.store.read(), world.account);
    let get = |kind, row| read.get(account, kind, Row(row)).unwrap().unwrap();
    let letters: Vec<_> = (1..=12)
        .map(|row| (get(RecordKind::LetterHead, row), get(RecordKind::LetterBody, row)))
        .collect();
    let mut behind = Batch::new(account);
    for row in folded_before + 1..=12 {
        behind = behind.delete(RecordKind::LetterHead, Row(row));
    }
    world.store.append().commit(behind).await.unwrap();
    assert_eq!(arrived(&*world.open().await).0.len() as u64, folded_before);
    let mut batch = Batch::new(account);
    for (row, (letter, fate)) in (100..).zip(places) {
        let (head, body) = letters.get(usize::try_from(letter - 1).unwrap()).unwrap();
        let (mut head, mut body) = (head.to_vec(), body.to_vec());
        let spoil = |octets: &mut Vec<u8>, at: usize| {
            octets.iter_mut().skip(at).take(1).for_each(|octet| *octet ^= 1);
        };
        let length = head.len();
        match (fate, row % 4) {
            (Fate::Whole, _) => {}
            (Fate::Unsigned, _) => spoil(&mut head, length - 1),
            (Fate::Altered, 0) => spoil(&mut body, 0),
            (Fate::Altered, 1) => spoil(&mut head, 44),
            (Fate::Altered, 2) => spoil(&mut head, length - 100),
            (Fate::Altered, _) => spoil(&mut head, 1200),
        }
        batch = batch.put(RecordKind::LetterHead, Row(row), head).put(
            RecordKind::LetterBody,
            Row(row),
            body,
        );
    }
    batch
}

/// The rows and UIDs of what is in INBOX, in order.
fn arrived(account: &Account) -> (Vec<u64>, Vec<u64>) {
    let state = account.state().unwrap();
    let inbox = &state.named(&Name::inbox()).unwrap().messages;
    inbox.iter().map(|message| (message.letter_row, u64::from(message.uid))).unzip()
}
