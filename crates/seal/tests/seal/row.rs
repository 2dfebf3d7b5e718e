//! Rows open only as what they were sealed as; anchors know every row.

use proptest::prelude::*;
use seal::anchor::{Anchor, AnchorKey};
use seal::epoch::EpochKeys;
use seal::row::{self, HEADER_BYTES, RowKeys};
use seal::{OpenError, SealError, Secret};
use vocab::{AccountId, CellId, Epoch, EpochVersion, Keeper, ModSeq, RecordKind, Row};

use crate::{fixed, flips};

fn keys(account: u8, epoch: u32, version: u32, label: &'static str) -> EpochKeys {
    let account = AccountId([account; 16]);
    EpochKeys::generate(account, Epoch(epoch), EpochVersion(version), &fixed(label)).unwrap()
}

#[test]
fn a_row_opens_only_in_its_place() {
    let entropy = fixed("row");
    let rows = RowKeys::of_epoch(&keys(1, 323, 1, "row keys")).unwrap();
    let kind = RecordKind::Message;
    let sealed = rows.seal(kind, Row(7), ModSeq(9), b"text", &entropy).unwrap();
    assert_eq!(sealed.len(), HEADER_BYTES + 64 + 16);
    assert_eq!(rows.open(kind, Row(7), &sealed).unwrap(), (ModSeq(9), b"text".to_vec()));
    let header = row::header(&sealed).unwrap();
    assert_eq!(
        (header.epoch, header.version, header.modseq),
        (Epoch(323), EpochVersion(1), ModSeq(9))
    );

    assert_eq!(rows.open(kind, Row(8), &sealed), Err(OpenError::Tampered));
    assert_eq!(rows.open(RecordKind::Mailbox, Row(7), &sealed), Err(OpenError::Tampered));
    // The same secrets under another account, epoch or version are other keys.
    for (account, epoch, version) in [(2, 323, 1), (1, 324, 1), (1, 323, 2)] {
        let other = RowKeys::of_epoch(&keys(account, epoch, version, "row keys")).unwrap();
        assert!(other.open(kind, Row(7), &sealed).is_err());
        // … even if the header is rewritten to fit.
        let mut moved = sealed.clone();
        moved[..4].copy_from_slice(&epoch.to_be_bytes());
        moved[4..8].copy_from_slice(&version.to_be_bytes());
        assert_eq!(other.open(kind, Row(7), &moved), Err(OpenError::Tampered));
    }
    for altered in flips(&sealed, &[8, 15, 16, 27, 28, 91, 92, 107]) {
        assert_eq!(rows.open(kind, Row(7), &altered), Err(OpenError::Tampered));
    }
    for altered in flips(&sealed, &[0, 3, 4, 7]) {
        assert_eq!(rows.open(kind, Row(7), &altered), Err(OpenError::Mismatch));
    }
    for length in [0, 15, 27, 43, sealed.len() - 1] {
        assert!(rows.open(kind, Row(7), &sealed[..length]).is_err());
    }
}

#[test]
fn each_keeper_s_keys_seal_its_own_kinds_only() {
    let entropy = fixed("keeper");
    let owner = RowKeys::of_epoch(&keys(1, 0, 1, "owner")).unwrap();
    let cell = RowKeys::of_cell(CellId([3; 16]), &Secret::copied(&[4; 32])).unwrap();
    for kind in RecordKind::ALL {
        for (keys, keeper) in [(&owner, Keeper::Owner), (&cell, Keeper::Cell)] {
            let sealed = keys.seal(*kind, Row(1), ModSeq(1), b"", &entropy);
            if kind.holding().keeper == keeper {
                assert_eq!(keys.open(*kind, Row(1), &sealed.unwrap()).unwrap().1, b"");
            } else {
                assert_eq!(sealed, Err(SealError::WrongKeys));
            }
        }
    }
}

#[test]
fn a_row_hides_its_length_within_64_octets() {
    let entropy = fixed("pad");
    let rows = RowKeys::of_epoch(&keys(1, 1, 1, "pad keys")).unwrap();
    let sealed_len = |plain: &[u8]| {
        rows.seal(RecordKind::Message, Row(1), ModSeq(1), plain, &entropy).unwrap().len()
    };
    assert_eq!(sealed_len(&[0; 63]), sealed_len(b""));
    assert_eq!(sealed_len(&[0; 64]), sealed_len(&[0; 127]));
    assert_ne!(sealed_len(&[0; 63]), sealed_len(&[0; 64]));
}

proptest! {
    #[test]
    fn any_row_is_read_back(plain in prop::collection::vec(any::<u8>(), 0..300), row: u64, modseq: u64) {
        let rows = RowKeys::of_epoch(&keys(1, 1, 1, "any keys")).unwrap();
        let sealed =
            rows.seal(RecordKind::Message, Row(row), ModSeq(modseq), &plain, &fixed("any")).unwrap();
        let opened = rows.open(RecordKind::Message, Row(row), &sealed).unwrap();
        prop_assert_eq!(opened, (ModSeq(modseq), plain));
    }

    #[test]
    fn no_octets_upset_a_reader(value in prop::collection::vec(any::<u8>(), 0..200)) {
        let rows = RowKeys::of_epoch(&keys(1, 1, 1, "any keys")).unwrap();
        prop_assert!(rows.open(RecordKind::Message, Row(1), &value).is_err());
        let mut fitting = value;
        if fitting.len() >= 8 {
            fitting[..8].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
        }
        prop_assert!(rows.open(RecordKind::Message, Row(1), &fitting).is_err());
    }
}

#[test]
fn an_anchor_tells_a_missing_an_older_and_a_returned_row() {
    let entropy = fixed("anchor");
    let epoch = keys(1, 0, 1, "anchor keys");
    let (key, rows) = (AnchorKey::of_epoch(&epoch), RowKeys::of_epoch(&epoch).unwrap());
    let kind = RecordKind::Message;
    let seal = |row, modseq| rows.seal(kind, Row(row), ModSeq(modseq), b"", &entropy).unwrap();
    let values: Vec<Vec<u8>> = (1..=5).map(|row| seal(row, row)).collect();
    let start = || Anchor::start(AccountId([1; 16]), Epoch(0));
    let of = |values: &[(u64, &Vec<u8>)]| {
        let mut anchor = start();
        for (row, value) in values {
            anchor.insert(&key, &rows, kind, Row(*row), value).unwrap();
        }
        anchor
    };
    let all: Vec<(u64, &Vec<u8>)> = (1..).zip(&values).collect();
    let anchor = of(&all);
    assert_eq!((anchor.count(), anchor.modseq()), (5, ModSeq(5)));
    let reversed: Vec<_> = all.iter().rev().copied().collect();
    assert!(anchor.agrees(&of(&reversed)));
    assert!(!anchor.agrees(&of(&all[1..])));
    let other = seal(3, 3);
    let mut exchanged = all.clone();
    exchanged[2].1 = &other;
    assert!(!anchor.agrees(&of(&exchanged)));

    let mut live = anchor.clone();
    live.remove(&key, &rows, kind, Row(3), &values[2]).unwrap();
    let newer = seal(3, 6);
    live.insert(&key, &rows, kind, Row(3), &newer).unwrap();
    live.close();
    assert!(!live.agrees(&anchor), "a rewritten row and the old one are told apart");
    let mut current = all.clone();
    current[2].1 = &newer;
    assert!(live.agrees(&of(&current)));
    assert_eq!(Anchor::decode(&live.encode()).unwrap(), live);
    assert_ne!(live.digest(), anchor.digest());
    assert!(Anchor::decode(&live.encode()[1..]).is_err());
    assert!(start().remove(&key, &rows, kind, Row(1), &values[0]).is_err());
}
