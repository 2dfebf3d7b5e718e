//! Hashes, tiles, growth and crashes. Refs: RFC 6962 §2.1; C2SP tlog-tiles.

use crate::tlog::{
    AuditError, Checkpoint, EMPTY_ROOT, LoadError, Log, OpenError, Resource, SEQUENCE_ENTRIES_MAX,
    SequenceError, SourceError, Tree, audit, leaf_hash, node_hash, split_bundle,
};
use vocab::Digest;

use crate::{Files, ORIGIN, entry, grow, log_of, signer, store};

/// The test tree of certificate-transparency's merkle_tree_test and its roots at sizes 1 to 8.
const CT_LEAVES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];
const CT_ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// RFC 6962 §2.1 word for word, to check the tiled tree against.
pub(crate) fn mth(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => EMPTY_ROOT,
        [leaf] => *leaf,
        _ => {
            let k = leaves.len().next_power_of_two() / 2;
            node_hash(&mth(&leaves[..k]), &mth(&leaves[k..]))
        }
    }
}

pub(crate) fn leaves(size: u64) -> Vec<Digest> {
    (0..size).map(|index| leaf_hash(&entry(index))).collect()
}

#[test]
fn the_ct_test_tree_has_its_known_roots() {
    let mut tree = Tree::new();
    assert_eq!(tree.root(), EMPTY_ROOT);
    for (leaf, root) in CT_LEAVES.iter().zip(CT_ROOTS) {
        tree.sequence(&[leaf]).unwrap();
        assert_eq!(tree.root().to_string(), root);
    }
}

#[test]
fn the_root_is_that_of_rfc_6962_at_every_size() {
    let leaves = leaves(700);
    let mut tree = Tree::new();
    for size in 1..=700_u16 {
        tree.sequence(&[&entry(u64::from(size) - 1)]).unwrap();
        assert_eq!(tree.root(), mth(&leaves[..usize::from(size)]), "{size}");
    }
}

#[test]
fn batches_and_single_entries_make_the_same_tree_and_full_tiles() {
    let (one_batch, batch_files) = log_of(600);
    let (mut singly, mut single_files) = log_of(0);
    for _ in 0..600 {
        grow(&mut singly, &mut single_files, 1);
    }
    assert_eq!(one_batch.checkpoint(), singly.checkpoint());
    for (path, octets) in &batch_files {
        assert_eq!(single_files.get(path), Some(octets), "{path}");
    }
}

#[test]
fn a_tree_of_70000_has_the_tiles_of_the_specification() {
    let (log, files) = log_of(70_000);
    let has = |path: &str| files.contains_key(path);
    for full in 0..273 {
        let resource = Resource::Tile { level: 0, index: full, width: 256 };
        assert_eq!(files[&resource.to_string()].len(), 8192);
        assert!(has(&Resource::Entries { index: full, width: 256 }.to_string()));
    }
    assert!(has("tile/0/273.p/112") && has("tile/entries/273.p/112"));
    assert!(has("tile/1/000") && has("tile/1/001.p/17") && has("tile/2/000.p/1"));
    assert!(!has("tile/0/273") && !has("tile/1/001") && !has("tile/3/000.p/1"));
    assert_eq!(log.checkpoint().root, mth(&leaves(70_000)));
    let mut seen = 0;
    audit(&files, &log.checkpoint(), |index, octets| {
        assert_eq!(octets, entry(index));
        seen += 1;
    })
    .unwrap();
    assert_eq!(seen, 70_000);
}

#[test]
fn a_tree_of_256_has_a_full_tile_and_one_above_it() {
    let (_, files) = log_of(256);
    let paths: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(paths, ["checkpoint", "tile/0/000", "tile/1/000.p/1", "tile/entries/000"]);
}

#[test]
fn writes_come_entries_first_tiles_upwards_checkpoint_last() {
    let (mut log, mut files) = log_of(250);
    let last = grow(&mut log, &mut files, 300);
    let paths: Vec<String> = last.writes.iter().map(|write| write.resource.to_string()).collect();
    assert_eq!(
        paths,
        [
            "tile/entries/000",
            "tile/entries/001",
            "tile/entries/002.p/38",
            "tile/0/000",
            "tile/0/001",
            "tile/0/002.p/38",
            "tile/1/000.p/2",
            "checkpoint"
        ]
    );
    assert_eq!(last.writes[0].resource.partials().as_deref(), Some("tile/entries/000.p"));
    assert_eq!(last.writes[2].resource.partials(), None);
}

#[test]
fn a_crash_after_any_write_leaves_a_log_that_opens_and_grows() {
    for (size, batch) in [(0, 1), (1, 1), (250, 5), (250, 6), (255, 1), (256, 1), (250, 600)] {
        let (mut log, before) = log_of(size);
        let old = log.checkpoint();
        let mut ignored = before.clone();
        let growth = grow(&mut log, &mut ignored, batch);
        for survived in 0..=growth.writes.len() {
            let mut files = before.clone();
            store(&mut files, &growth.writes[..survived]);
            let checkpoint = files["checkpoint"].clone();
            let mut opened = Log::open(signer(), &checkpoint, &files).unwrap();
            let whole = survived == growth.writes.len();
            assert_eq!(opened.checkpoint(), if whole { log.checkpoint() } else { old.clone() });
            // What the crash left is overwritten by what comes, though it be something else.
            let other = opened.sequence(&[b"another".as_slice(); 300]).unwrap();
            store(&mut files, &other.writes);
            audit(&files, &opened.checkpoint(), |_, _| {}).unwrap();
            Log::open(signer(), &files["checkpoint"], &files).unwrap();
        }
    }
}

#[test]
fn a_server_shows_nothing_beyond_the_published_size() {
    let (mut log, mut files) = log_of(250);
    let growth = grow(&mut log, &mut files, 300);
    for write in &growth.writes[..growth.writes.len() - 1] {
        assert!(!write.resource.within(250), "{}", write.resource);
        assert!(write.resource.within(550), "{}", write.resource);
    }
    let (_, files) = log_of(70_000);
    for path in files.keys() {
        assert!(path.parse::<Resource>().unwrap().within(70_000), "{path}");
    }
    for path in ["tile/0/273.p/113", "tile/1/001.p/18", "tile/2/000.p/2", "tile/3/000.p/1"] {
        assert!(!path.parse::<Resource>().unwrap().within(70_000), "{path}");
    }
    assert!(!Resource::Tile { level: 63, index: u64::MAX, width: 256 }.within(u64::MAX));
    assert!(Resource::Checkpoint.within(0));
}

#[test]
fn partial_tiles_may_go_once_the_full_tile_is_published() {
    let (mut log, mut files) = log_of(0);
    for _ in 0..300 {
        let growth = grow(&mut log, &mut files, 1);
        for gone in growth.writes.iter().filter_map(|write| write.resource.partials()) {
            files.retain(|path, _| !path.starts_with(&format!("{gone}/")));
        }
    }
    assert!(!files.keys().any(|path| path.starts_with("tile/0/000.p")));
    let log = Log::open(signer(), &files["checkpoint"], &files).unwrap();
    audit(&files, &log.checkpoint(), |_, _| {}).unwrap();
    let old = Checkpoint::new(ORIGIN, 200, mth(&leaves(200)));
    audit(&files, &old, |_, _| {}).unwrap();
}

#[test]
fn a_stored_log_that_was_tampered_with_does_not_open() {
    let (_, files) = log_of(600);
    let open = |files: &Files| Log::open(signer(), &files["checkpoint"], files).map(|_| ());
    open(&files).unwrap();
    for path in ["tile/0/002.p/88", "tile/1/000.p/2"] {
        let mut forged = files.clone();
        forged.get_mut(path).unwrap()[40] ^= 1;
        assert!(matches!(open(&forged), Err(OpenError::Tree(LoadError::Root))), "{path}");
        forged.remove(path);
        assert!(matches!(
            open(&forged),
            Err(OpenError::Tree(LoadError::Source(SourceError::Missing(_))))
        ));
        forged.insert(path.to_owned(), vec![0; 31]);
        assert!(matches!(
            open(&forged),
            Err(OpenError::Tree(LoadError::Source(SourceError::Length(_))))
        ));
    }
    let mut forged = files.clone();
    forged.get_mut("tile/entries/002.p/88").unwrap()[5] ^= 1;
    assert!(matches!(open(&forged), Err(OpenError::Tree(LoadError::Entries))));
    forged.get_mut("tile/entries/002.p/88").unwrap().push(0);
    assert!(matches!(open(&forged), Err(OpenError::Tree(LoadError::Bundle(_)))));
    let mut forged = files;
    let text = String::from_utf8(forged["checkpoint"].clone()).unwrap().replace("600", "601");
    forged.insert("checkpoint".to_owned(), text.into_bytes());
    assert!(matches!(open(&forged), Err(OpenError::Checkpoint(_))));
}

#[test]
fn an_audit_finds_a_changed_a_dropped_and_a_swapped_leaf() {
    let (log, files) = log_of(600);
    let checkpoint = log.checkpoint();
    let visit = |_: u64, _: &[u8]| {};
    let mut changed = files.clone();
    changed.get_mut("tile/entries/000").unwrap()[3] ^= 1;
    assert!(matches!(audit(&changed, &checkpoint, visit), Err(AuditError::Tile(_))));

    let mut dropped = files.clone();
    let bundle = dropped.get_mut("tile/entries/000").unwrap();
    let first = 2 + usize::from(u16::from_be_bytes([bundle[0], bundle[1]]));
    bundle.drain(..first);
    assert!(matches!(audit(&dropped, &checkpoint, visit), Err(AuditError::Bundle { .. })));

    let mut swapped = files.clone();
    let second = swapped["tile/entries/001"].clone();
    let first = swapped.insert("tile/entries/000".to_owned(), second).unwrap();
    swapped.insert("tile/entries/001".to_owned(), first);
    assert!(matches!(audit(&swapped, &checkpoint, visit), Err(AuditError::Tile(_))));

    // A log rebuilt consistently without a leaf still fails against the signed root.
    let (_, other) = log_of(599);
    assert!(audit(&other, &checkpoint, visit).is_err());
    let mut rebuilt = Tree::new();
    let mut rebuilt_files = Files::new();
    for index in (0..601).filter(|index| *index != 300) {
        store(&mut rebuilt_files, &rebuilt.sequence(&[&entry(index)]).unwrap());
    }
    assert!(matches!(audit(&rebuilt_files, &checkpoint, visit), Err(AuditError::Root(_))));
}

#[test]
fn limits_are_refused_and_change_nothing() {
    let (mut log, _) = log_of(3);
    let before = log.checkpoint();
    let long = vec![0; 65_536];
    assert_eq!(log.sequence(&[b"ok", &long]).err(), Some(SequenceError::EntryTooLong { place: 1 }));
    let many = vec![b"x".as_slice(); SEQUENCE_ENTRIES_MAX + 1];
    assert_eq!(log.sequence(&many).err(), Some(SequenceError::TooMany));
    assert_eq!(log.checkpoint(), before);
    let longest = vec![0; 65_535];
    let growth = log.sequence(&[&longest, b""]).unwrap();
    let bundle = &growth.writes[0].bytes;
    assert_eq!(split_bundle(bundle, 5).unwrap()[3..], [longest.as_slice(), b""]);
    assert!(split_bundle(bundle, 4).is_err());
    assert!(split_bundle(bundle, 6).is_err());
    // Nothing to append: the checkpoint is signed again, nothing else is written.
    assert_eq!(log.sequence(&[]).unwrap().writes.len(), 1);
}

#[test]
fn paths_have_one_spelling() {
    for (path, resource) in [
        ("checkpoint", Resource::Checkpoint),
        ("tile/0/000", Resource::Tile { level: 0, index: 0, width: 256 }),
        ("tile/63/x001/x234/067", Resource::Tile { level: 63, index: 1_234_067, width: 256 }),
        ("tile/0/x001/000.p/1", Resource::Tile { level: 0, index: 1000, width: 1 }),
        ("tile/entries/999.p/255", Resource::Entries { index: 999, width: 255 }),
        (
            "tile/entries/x018/x446/x744/x073/x709/x551/615",
            Resource::Entries { index: u64::MAX, width: 256 },
        ),
    ] {
        assert_eq!(path.parse(), Ok(resource), "{path}");
        assert_eq!(resource.to_string(), path);
    }
    for path in [
        "",
        "/checkpoint",
        "checkpoint/",
        "tile",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/1000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001",
        "tile/64/000",
        "tile/00/000",
        "tile/+1/000",
        "tile/-1/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p/1/",
        "tile/0/../1",
        "tile/data/000",
        "tile/entries/x018/x446/x744/x073/x709/x551/616",
        "tile/0/ｘ001/000",
        "tile/0/X001/000",
        "tile//000",
        "tile/0//000",
        "tile/0/000.p/1.p/1",
    ] {
        assert!(path.parse::<Resource>().is_err(), "{path}");
    }
}
