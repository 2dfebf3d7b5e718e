//! Rows: what is altered, exchanged, put in, taken away or put back while the account is closed,
//! or open.

use bailiwick_mail::account::{ChangeError, Finding};
use bailiwick_mail::mailbox::Flags;
use store::Batch;
use vocab::{RecordKind, Row};

use super::{copied, found, inbox, opened, overwrite, rotated, set_flag, three_letters, write};
use crate::transcript;

const MESSAGES: [RecordKind; 1] = [RecordKind::Message];

#[tokio::test(flavor = "multi_thread")]
async fn exchanged_rows_are_not_shown_and_their_owner_is_told() {
    let world = three_letters().await;
    let mut rows = copied(&world, &MESSAGES);
    let (first, second) = (rows[0].2.clone(), rows[1].2.clone());
    (rows[0].2, rows[1].2) = (second, first);
    overwrite(&world, &MESSAGES, &rows).await;
    assert_eq!(inbox(&*opened(&world).await), [3]);
    let (checked, is_told) = found(&world).await;
    assert!(is_told);
    // Their bodies are still there, and whose they are nobody can tell.
    let expected = [Finding::Unreadable(2), Finding::Ownerless(2), Finding::Anchor];
    assert_eq!(checked.findings, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn reordered_rows_are_not_shown_and_their_owner_is_told() {
    let world = three_letters().await;
    overwrite(&world, &MESSAGES, &rotated(&copied(&world, &MESSAGES))).await;
    assert!(inbox(&*opened(&world).await).is_empty());
    let (checked, is_told) = found(&world).await;
    assert!(is_told && checked.findings.contains(&Finding::Unreadable(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_cut_short_or_altered_anywhere_is_told() {
    let world = three_letters().await;
    let honest = copied(&world, &MESSAGES);
    let (kind, row, octets) = &honest[1];
    for length in [0, 1, 15, 27, 28, 44, octets.len() - 64, octets.len() - 1] {
        write(&world, *kind, *row, &octets[..length]).await;
        assert_eq!(inbox(&*opened(&world).await), [1, 3], "cut to {length}");
        assert!(found(&world).await.1, "cut to {length}");
    }
    for at in [0, 4, 8, 16, 28, octets.len() - 1] {
        let mut altered = octets.to_vec();
        altered[at] ^= 1;
        write(&world, *kind, *row, &altered).await;
        assert_eq!(inbox(&*opened(&world).await), [1, 3], "octet {at}");
        assert!(found(&world).await.1, "octet {at}");
    }
    overwrite(&world, &MESSAGES, &honest).await;
    assert!(!found(&world).await.1, "as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_put_in_is_told() {
    let world = three_letters().await;
    let honest = copied(&world, &MESSAGES);
    let (kind, row, octets) = &honest[2];
    // A copy in a row of its own, and what only looks like a row.
    let mut invented = octets.to_vec();
    invented.iter_mut().skip(16).for_each(|octet| *octet = octet.wrapping_mul(5));
    for put_in in [octets.to_vec(), invented, vec![0; 200], Vec::new()] {
        write(&world, *kind, Row(row.0 + 1000), &put_in).await;
        assert_eq!(inbox(&*opened(&world).await), [1, 2, 3]);
        assert!(found(&world).await.1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_any_kind_taken_away_is_told() {
    use RecordKind::{AccountAnchor, AccountState, Mailbox, Message};
    let kinds = [Message, Mailbox, AccountState, AccountAnchor];
    let world = three_letters().await;
    let honest = copied(&world, &kinds);
    for (gone, (kind, row, _)) in honest.iter().enumerate() {
        let mut left = honest.clone();
        left.remove(gone);
        overwrite(&world, &kinds, &left).await;
        // The account makes INBOX anew if that is what is gone.
        assert!(opened(&world).await.is_altered(), "{kind:?} {row:?}");
    }
    overwrite(&world, &kinds, &honest).await;
    assert!(!opened(&world).await.is_altered(), "as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_put_back_to_what_it_was_is_told() {
    let world = three_letters().await;
    let old = copied(&world, &MESSAGES);
    let account = opened(&world).await;
    assert!(set_flag(&account, 2, Flags::SEEN).await);
    drop(account);
    let new = copied(&world, &MESSAGES);
    assert_ne!(old, new);
    overwrite(&world, &MESSAGES, &old).await;
    let (checked, is_told) = found(&world).await;
    assert!(is_told);
    assert_eq!(checked.findings, [Finding::Anchor], "every row opens: only the anchor knows");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anchor_put_back_alone_is_told() {
    let world = three_letters().await;
    let old = copied(&world, &[RecordKind::AccountAnchor]);
    let account = opened(&world).await;
    assert!(set_flag(&account, 2, Flags::SEEN).await);
    drop(account);
    overwrite(&world, &[RecordKind::AccountAnchor], &old).await;
    let (checked, is_told) = found(&world).await;
    assert!(is_told);
    assert_eq!(checked.findings, [Finding::Anchor]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_back_under_an_open_account_is_not_built_on() {
    let world = three_letters().await;
    let old = copied(&world, &MESSAGES);
    let account = opened(&world).await;
    assert!(set_flag(&account, 2, Flags::SEEN).await);
    overwrite(&world, &MESSAGES, &old).await;
    assert!(!set_flag(&account, 2, Flags::ANSWERED).await);
    assert!(account.is_altered());
    // What can be changed is, and the alarm outlives the session.
    assert!(set_flag(&account, 1, Flags::SEEN).await);
    drop(account);
    assert!(found(&world).await.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_taken_away_under_an_open_account_is_told_at_the_next_login() {
    let world = three_letters().await;
    let account = opened(&world).await;
    let rows = copied(&world, &MESSAGES);
    let batch = Batch::new(world.account).delete(RecordKind::Message, rows[0].1);
    world.store.append().commit(batch).await.unwrap();
    assert!(!set_flag(&account, 1, Flags::DELETED).await);
    assert!(set_flag(&account, 3, Flags::SEEN).await);
    drop(account);
    assert!(found(&world).await.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_is_told_until_they_accept_what_is_there() {
    let world = three_letters().await;
    let rows = copied(&world, &MESSAGES);
    overwrite(&world, &MESSAGES, &rows[1..]).await;
    for _ in 0..2 {
        // No change silences it, and no restart.
        let account = opened(&world).await;
        assert!(account.is_altered());
        assert!(set_flag(&account, 3, Flags::SEEN).await);
        world.deliver(b"Subject: more\r\n\r\nx").await;
    }
    let world = world.restarted().await;
    transcript::run_in(
        world,
        "S: * OK …\n\
         C: a LOGIN alice@ie.example $SECRET\n\
         S: * NO [ALERT] somebody else has written …\n\
         S: a OK …\n\
         C: b SELECT INBOX\n\
         S: * NO [ALERT] somebody else has written …\n\
         S: * FLAGS …\n",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_owner_accepts_is_what_later_logins_go_by() {
    let world = three_letters().await;
    let rows = copied(&world, &MESSAGES);
    overwrite(&world, &MESSAGES, &rows[1..]).await;
    let account = opened(&world).await;
    account.accept().await.unwrap();
    assert!(!account.is_altered());
    assert!(set_flag(&account, 2, Flags::SEEN).await);
    drop(account);
    let account = opened(&world).await;
    assert!(!account.is_altered());
    assert_eq!(inbox(&account), [2, 3]);
    drop(account);
    // From then on the row that was gone is one too many.
    write(&world, rows[0].0, rows[0].1, &rows[0].2).await;
    let account = opened(&world).await;
    assert!(account.is_altered());
    assert_eq!(account.expunge(u64::MAX, None).await, Err(ChangeError::NoMailbox));
}
