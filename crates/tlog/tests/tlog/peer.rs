//! Against code that is not ours: the Rust port of Go's `sumdb/{tlog,note}` (crates `tlog_tiles`
//! and `signed_note`) reads our notes, checkpoints and tiles, and builds and checks proofs.

use signed_note::{Note, Signature, StandardVerifier, Verifier as _, VerifierList};
use tlog_tiles::{Hash, HashReader, Tile, TileHashReader, TileReader};

use crate::tlog::{
    Checkpoint, EMPTY_ROOT, Resource, SignatureKind, VerifierKey, consistency_proof,
    inclusion_proof, leaf_hash, verify_consistency, verify_inclusion,
};
use vocab::Digest;

use crate::trees::{leaves, mth};
use crate::{Files, NOW, ORIGIN, cosigner, entry, log_of, signer};

struct Peer<'f>(&'f Files);

impl TileReader for Peer<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        // Their paths name the height of the tiles: `tile/8/<L>/…`.
        let ours = |tile: &Tile| tile.path().replacen("tile/8/", "tile/", 1);
        Ok(tiles.iter().map(|tile| self.0[&ours(tile)].clone()).collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

fn theirs(hash: Digest) -> Hash {
    Hash(hash.0)
}

fn ours(proof: &[Hash]) -> Vec<Digest> {
    proof.iter().map(|hash| Digest(hash.0)).collect()
}

#[test]
fn our_signed_checkpoint_verifies_there() {
    let (_, files) = log_of(600);
    let vkey = signer().verifier_key().to_string();
    let known = VerifierList::new(vec![Box::new(StandardVerifier::new(&vkey).unwrap())]);
    let note = Note::from_bytes(&files["checkpoint"]).unwrap();
    let (verified, unknown) = note.verify(&known).unwrap();
    assert_eq!((verified.len(), unknown.len()), (1, 0));
    let checkpoint = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!(checkpoint.size(), 600);
    assert_eq!(checkpoint.hash().0, mth(&leaves(600)).0);
}

#[test]
fn our_cosignature_is_that_of_the_specification_under_their_ed25519() {
    let note = Checkpoint::new(ORIGIN, 0, EMPTY_ROOT).sign(&signer()).unwrap();
    let cosigner = cosigner(1);
    let key = cosigner.verifier_key();
    let line = cosigner.cosign(&note, NOW).unwrap().to_string();
    let line = Signature::from_bytes(line.trim_end().as_bytes()).unwrap();

    let typed = [[4].as_slice(), key.public_key()].concat();
    assert_eq!(line.id(), signed_note::key_id(key.name(), &typed));
    assert_eq!(line.signature()[..8], NOW.0.to_be_bytes());
    let message = format!(
        "cosignature/v1\ntime 1795000000\n{ORIGIN}\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    );
    let plain = VerifierKey::new("k", SignatureKind::Ed25519, *key.public_key()).unwrap();
    let theirs = StandardVerifier::new(&plain.to_string()).unwrap();
    assert!(theirs.verify(message.as_bytes(), &line.signature()[8..]));
}

#[test]
fn our_tiles_are_what_they_expect_to_find() {
    let (_, files) = log_of(70_000);
    for tile in Tile::new_tiles(8, 0, 70_000) {
        let path = tile.path().replacen("tile/8/", "tile/", 1);
        assert!(files.contains_key(&path), "{path}");
        assert_eq!(path.parse::<Resource>().unwrap().to_string(), path);
    }
}

#[test]
fn they_build_from_our_tiles_the_same_proofs() {
    for size in [1, 2, 255, 256, 257, 600, 66_000] {
        let (log, files) = log_of(size);
        let root = theirs(log.checkpoint().root);
        let peer = Peer(&files);
        let reader = TileHashReader::new(size, root, &peer);
        assert_eq!(tlog_tiles::tree_hash(size, &reader).unwrap(), root);
        for index in [0, size / 3, size / 2, size - 1] {
            let built = tlog_tiles::prove_record(size, index, &reader).unwrap();
            assert_eq!(ours(&built), inclusion_proof(&files, size, index).unwrap());
            let leaf = leaf_hash(&entry(index));
            assert_eq!(tlog_tiles::record_hash(&entry(index)).0, leaf.0);
            tlog_tiles::check_record(&built, size, root, index, theirs(leaf)).unwrap();
            verify_inclusion(&leaf, index, size, &ours(&built), &Digest(root.0)).unwrap();

            let old = index + 1;
            let old_root = mth(&leaves(old));
            let built = tlog_tiles::prove_tree(size, old, &reader).unwrap();
            assert_eq!(ours(&built), consistency_proof(&files, old, size).unwrap());
            tlog_tiles::check_tree(&built, size, root, old, theirs(old_root)).unwrap();
            verify_consistency(old, &old_root, size, &Digest(root.0), &ours(&built)).unwrap();
        }
    }
}

#[test]
fn they_find_a_tampered_tile_too() {
    // At 512 only: where the root needs several hashes of one tile, tlog_tiles 0.2.0 counts
    // hashes for tiles and leaves the next tiles unchecked. Ours is in trees.rs, at every size.
    let (log, mut files) = log_of(512);
    files.get_mut("tile/0/001").unwrap()[0] ^= 1;
    let peer = Peer(&files);
    let reader = TileHashReader::new(512, theirs(log.checkpoint().root), &peer);
    let read = reader.read_hashes(&[tlog_tiles::stored_hash_index(0, 256)]);
    assert!(read.is_err());
}
