//! Letters that wait, and bodies: exchanged, reordered, cut, put in, taken away, put back.

use bailiwick_mail::account::Finding;
use store::Batch;
use vocab::{RecordKind, Row};

use super::{copied, found, inbox, opened, overwrite, rotated, three_letters, write};
use crate::world::World;

const HEADS: [RecordKind; 1] = [RecordKind::LetterHead];
const BODIES: [RecordKind; 1] = [RecordKind::LetterBody];
const LETTERS: [RecordKind; 2] = [RecordKind::LetterHead, RecordKind::LetterBody];

/// A cell where five letters wait.
async fn five_waiting() -> World {
    let world = World::new();
    for number in 1..=5 {
        world.deliver(format!("Subject: {number}\r\n\r\nText {number}.\r\n").as_bytes()).await;
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanged_heads_are_told_and_show_no_letter_under_anothers_name() {
    let world = five_waiting().await;
    let mut heads = copied(&world, &HEADS);
    let (second, fourth) = (heads[1].2.clone(), heads[3].2.clone());
    (heads[1].2, heads[3].2) = (fourth, second);
    overwrite(&world, &HEADS, &heads).await;
    let account = opened(&world).await;
    assert_eq!(inbox(&account).len(), 3, "their bodies are each other's");
    assert!(account.is_altered());
}

#[tokio::test(flavor = "multi_thread")]
async fn reordered_letters_are_told_and_none_is_shown_twice() {
    let world = five_waiting().await;
    let heads = rotated(&copied(&world, &HEADS));
    let bodies = rotated(&copied(&world, &BODIES));
    overwrite(&world, &LETTERS, &[heads, bodies].concat()).await;
    let (checked, is_told) = found(&world).await;
    assert!(is_told);
    // 2 3 4 5 1: what comes after its successors was passed over by the chain.
    assert_eq!(checked.messages, 4);
    assert!(checked.findings.contains(&Finding::Unfolded(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_cut_short_are_told_and_not_shown() {
    for kind in LETTERS {
        for cut in [1, 100, usize::MAX] {
            let world = five_waiting().await;
            let (_, row, octets) = copied(&world, &[kind])[2].clone();
            write(&world, kind, row, &octets[..octets.len().saturating_sub(cut)]).await;
            let (checked, is_told) = found(&world).await;
            assert!(is_told, "{kind:?} {cut}");
            assert_eq!(checked.messages, 4, "{kind:?} {cut}");
            assert_eq!(checked.findings, [Finding::Unfolded(1)], "{kind:?} {cut}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_put_in_is_told_and_not_shown() {
    let world = five_waiting().await;
    let stranger = seal::sign::SigningKey::generate(world.entropy.as_ref()).unwrap();
    let (batch, _) = world.sealed_by(&stranger, b"Subject: forged\r\n\r\nx", false);
    world.store.append().commit(batch).await.unwrap();
    let (checked, is_told) = found(&world).await;
    assert!(is_told);
    assert_eq!(checked.messages, 5);
    assert!(checked.findings.contains(&Finding::Unfolded(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_taken_away_is_told() {
    for gone in 0..5 {
        let world = five_waiting().await;
        let (heads, bodies) = (copied(&world, &HEADS), copied(&world, &BODIES));
        let (mut heads, mut bodies) = (heads, bodies);
        heads.remove(gone);
        bodies.remove(gone);
        overwrite(&world, &LETTERS, &[heads, bodies].concat()).await;
        let (checked, is_told) = found(&world).await;
        assert_eq!(checked.messages, 4);
        // In the middle the chain has a gap; at the end nothing follows it.
        let is_last = gone == 4;
        assert!(is_told || (is_last && checked.findings == [Finding::Lost(1)]), "{gone}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_put_back_after_its_folding_is_told_and_not_shown_again() {
    let world = five_waiting().await;
    let old = copied(&world, &HEADS);
    drop(opened(&world).await);
    write(&world, old[1].0, old[1].1, &old[1].2).await;
    let (checked, is_told) = found(&world).await;
    assert!(is_told);
    assert_eq!((checked.messages, checked.findings), (5, vec![Finding::Unfolded(1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_arrivals_put_back_is_found() {
    let world = five_waiting().await;
    let old = copied(&world, &[RecordKind::Arrivals]);
    world.deliver(b"Subject: 6\r\n\r\nx").await;
    drop(opened(&world).await);
    overwrite(&world, &[RecordKind::Arrivals], &old).await;
    assert_eq!(found(&world).await.0.findings, [Finding::Chain]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shown_letters_body_exchanged_cut_or_taken_away_is_found() {
    let world = three_letters().await;
    let honest = copied(&world, &BODIES);
    overwrite(&world, &BODIES, &rotated(&honest)).await;
    assert_eq!(found(&world).await.0.findings, [Finding::Bodies(3)]);
    overwrite(&world, &BODIES, &honest).await;
    let (kind, row, octets) = &honest[0];
    for length in [0, 10, 56, octets.len() - 1] {
        write(&world, *kind, *row, &octets[..length]).await;
        assert_eq!(found(&world).await.0.findings, [Finding::Bodies(1)], "cut to {length}");
    }
    let gone = Batch::new(world.account).delete(*kind, *row);
    world.store.append().commit(gone).await.unwrap();
    assert_eq!(found(&world).await.0.findings, [Finding::Bodies(1)]);
    overwrite(&world, &BODIES, &honest).await;
    write(&world, *kind, Row(999), octets).await;
    assert_eq!(found(&world).await.0.findings, [Finding::Ownerless(1)]);
}
