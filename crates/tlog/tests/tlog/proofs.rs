//! Inclusion and consistency. Refs: RFC 6962 §2.1.1 to §2.1.3; RFC 9162 §2.1.3, §2.1.4.

use std::sync::LazyLock;

use proptest::prelude::*;

use crate::tlog::{
    BuildError, EMPTY_ROOT, ProofError, consistency_proof, inclusion_proof, verify_consistency,
    verify_inclusion,
};
use vocab::Digest;

use crate::trees::{leaves, mth};
use crate::{Files, log_of};

const SIZE: u64 = 700;
static LOG: LazyLock<(Vec<Digest>, Files)> = LazyLock::new(|| (leaves(SIZE), files()));

/// One file set that holds every size's tiles.
fn files() -> Files {
    let (mut log, mut files) = log_of(0);
    for _ in 0..SIZE {
        crate::grow(&mut log, &mut files, 1);
    }
    files
}

fn root(size: u64) -> Digest {
    mth(&LOG.0[..usize::try_from(size).unwrap()])
}

fn leaf(index: u64) -> Digest {
    LOG.0[usize::try_from(index).unwrap()]
}

#[test]
fn every_leaf_of_small_trees_is_proven_at_its_place_only() {
    for size in 1..=66 {
        let root = root(size);
        for index in 0..size {
            let proof = inclusion_proof(&LOG.1, size, index).unwrap();
            verify_inclusion(&leaf(index), index, size, &proof, &root).unwrap();
            for other in (0..size).filter(|other| *other != index) {
                assert!(verify_inclusion(&leaf(index), other, size, &proof, &root).is_err());
                assert!(verify_inclusion(&leaf(other), index, size, &proof, &root).is_err());
            }
        }
    }
}

#[test]
fn every_pair_of_small_trees_is_consistent() {
    for new in 0..=66 {
        for old in 0..=new {
            let proof = consistency_proof(&LOG.1, old, new).unwrap();
            verify_consistency(old, &root(old), new, &root(new), &proof).unwrap();
            for other in (1..new).filter(|other| *other != old) {
                let wrong = verify_consistency(other, &root(old), new, &root(new), &proof);
                assert!(wrong.is_err(), "{other} for {old} of {new}");
            }
        }
    }
}

#[test]
fn the_paths_of_rfc_6962_are_built() {
    // RFC 6962 §2.1.3, the seven-leaf example: PATH(0), PATH(3), PATH(4), PATH(6).
    let d: Vec<Digest> = (0..7).map(leaf).collect();
    let (b, c, j) = (d[1], d[2], d[6]);
    let (g, h, i) = (mth(&d[0..2]), mth(&d[2..4]), mth(&d[4..6]));
    let (k, l) = (mth(&d[0..4]), mth(&d[4..7]));
    for (index, path) in
        [(0, vec![b, h, l]), (3, vec![c, g, l]), (4, vec![d[5], j, k]), (6, vec![i, k])]
    {
        assert_eq!(inclusion_proof(&LOG.1, 7, index).unwrap(), path);
    }
    // PROOF(3), PROOF(4), PROOF(6).
    for (old, proof) in [(3, vec![c, d[3], g, l]), (4, vec![l]), (6, vec![i, j, k])] {
        assert_eq!(consistency_proof(&LOG.1, old, 7).unwrap(), proof);
    }
}

#[test]
fn places_outside_the_tree_have_no_proof() {
    assert!(matches!(inclusion_proof(&LOG.1, 5, 5), Err(BuildError::Range)));
    assert!(matches!(inclusion_proof(&LOG.1, 0, 0), Err(BuildError::Range)));
    assert!(matches!(inclusion_proof(&LOG.1, u64::MAX, 0), Err(BuildError::Range)));
    assert!(matches!(consistency_proof(&LOG.1, 6, 5), Err(BuildError::Range)));
    assert!(matches!(inclusion_proof(&LOG.1, 5000, 0), Err(BuildError::Source(_))));
    let zero = Digest([0; 32]);
    assert_eq!(verify_inclusion(&zero, 0, 0, &[], &zero), Err(ProofError::Range));
    assert_eq!(verify_inclusion(&zero, 0, u64::MAX, &[], &zero), Err(ProofError::Range));
    assert_eq!(verify_consistency(2, &zero, 1, &zero, &[]), Err(ProofError::Range));
    assert_eq!(verify_consistency(1, &zero, u64::MAX, &zero, &[]), Err(ProofError::Range));
    assert_eq!(verify_consistency(1, &zero, 2, &zero, &[]), Err(ProofError::Length));
    assert_eq!(verify_consistency(3, &zero, 4, &zero, &[]), Err(ProofError::Length));
}

#[test]
fn the_empty_tree_is_the_beginning_of_every_tree_without_proof() {
    verify_consistency(0, &EMPTY_ROOT, 5, &root(5), &[]).unwrap();
    verify_consistency(0, &EMPTY_ROOT, 0, &EMPTY_ROOT, &[]).unwrap();
    let wrong = verify_consistency(0, &root(1), 5, &root(5), &[]);
    assert_eq!(wrong, Err(ProofError::Root));
    let wrong = verify_consistency(0, &root(1), 0, &root(1), &[]);
    assert_eq!(wrong, Err(ProofError::Root));
    let wrong = verify_consistency(0, &EMPTY_ROOT, 5, &root(5), &[root(1)]);
    assert_eq!(wrong, Err(ProofError::Length));
    let wrong = verify_consistency(5, &root(5), 5, &root(5), &[root(1)]);
    assert_eq!(wrong, Err(ProofError::Length));
    assert_eq!(verify_consistency(5, &root(5), 5, &root(4), &[]), Err(ProofError::Root));
}

#[test]
fn the_largest_sizes_overflow_nothing() {
    let zero = Digest([0; 32]);
    let largest = i64::MAX.unsigned_abs();
    for count in 0..70 {
        let proof = vec![zero; count];
        assert!(verify_inclusion(&zero, largest - 1, largest, &proof, &zero).is_err());
        assert!(verify_inclusion(&zero, 0, largest, &proof, &zero).is_err());
        assert!(verify_consistency(1, &zero, largest, &zero, &proof).is_err());
        assert!(verify_consistency(largest - 1, &zero, largest, &zero, &proof).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn inclusion_holds_and_no_change_to_it_does(
        size in 1..=SIZE, at in any::<prop::sample::Index>(), bit in 0_usize..256,
    ) {
        let index = u64::try_from(at.index(usize::try_from(size).unwrap())).unwrap();
        let proof = inclusion_proof(&LOG.1, size, index).unwrap();
        let (leaf, root) = (leaf(index), root(size));
        prop_assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Ok(()));
        for place in 0..proof.len() {
            let mut forged = proof.clone();
            forged[place].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(
                verify_inclusion(&leaf, index, size, &forged, &root), Err(ProofError::Root));
            let mut short = proof.clone();
            short.remove(place);
            prop_assert!(verify_inclusion(&leaf, index, size, &short, &root).is_err());
        }
        let long = [proof.as_slice(), &[root]].concat();
        prop_assert_eq!(
            verify_inclusion(&leaf, index, size, &long, &root), Err(ProofError::Length));
    }

    #[test]
    fn consistency_holds_and_no_change_to_it_does(
        new in 2..=SIZE, at in any::<prop::sample::Index>(), bit in 0_usize..256,
    ) {
        let old = 1 + u64::try_from(at.index(usize::try_from(new - 1).unwrap())).unwrap();
        let proof = consistency_proof(&LOG.1, old, new).unwrap();
        let (old_root, new_root) = (root(old), root(new));
        prop_assert_eq!(verify_consistency(old, &old_root, new, &new_root, &proof), Ok(()));
        prop_assert!(verify_consistency(old, &new_root, new, &new_root, &proof).is_err());
        prop_assert!(verify_consistency(old, &old_root, new, &old_root, &proof).is_err());
        for place in 0..proof.len() {
            let mut forged = proof.clone();
            forged[place].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(
                verify_consistency(old, &old_root, new, &new_root, &forged), Err(ProofError::Root));
            let mut short = proof.clone();
            short.remove(place);
            prop_assert!(verify_consistency(old, &old_root, new, &new_root, &short).is_err());
        }
        let long = [proof.as_slice(), &[new_root]].concat();
        prop_assert_eq!(
            verify_consistency(old, &old_root, new, &new_root, &long), Err(ProofError::Length));
    }
}
