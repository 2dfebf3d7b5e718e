//! What the kernel says of the pages, and what the arena does when there are none.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};

use super::*;
use crate::Secret;

/// The lines of `smaps` for the mapping an address lies in.
fn mapping(address: usize) -> (String, String) {
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut head = String::new();
    for line in smaps.lines() {
        if let Some(range) = range(line) {
            head = if range.contains(&address) { line.to_owned() } else { String::new() };
        }
        if let (false, Some(flags)) = (head.is_empty(), line.strip_prefix("VmFlags:")) {
            return (head, flags.to_owned());
        }
    }
    panic!("no mapping there");
}

fn range(line: &str) -> Option<core::ops::Range<usize>> {
    let (from, to) = line.split_once(' ')?.0.split_once('-')?;
    Some(usize::from_str_radix(from, 16).ok()?..usize::from_str_radix(to, 16).ok()?)
}

fn is_readable_by_proc(address: usize) -> bool {
    let mut memory = fs::File::open("/proc/self/mem").unwrap();
    memory.seek(SeekFrom::Start(address as u64)).unwrap();
    memory.read_exact(&mut [0; 32]).is_ok()
}

fn at(octets: &[u8]) -> usize {
    octets.as_ptr() as usize
}

/// Locked, in no dump and in no child; and a page nobody may touch before and after.
fn is_kept_well(region: &[u8]) {
    let (_, flags) = mapping(at(region));
    for flag in ["lo", "dd", "dc"] {
        assert!(flags.split(' ').any(|has| has == flag), "{flag}: {flags}");
    }
    for outside in [at(region) - 1, at(region) + region.len()] {
        let (head, _) = mapping(outside);
        assert!(head.contains(" ---"), "{head}");
    }
}

#[test]
fn a_hidden_region_is_read_by_nobody_else() {
    // Where the kernel has none, the other test is all there is.
    let Some(region) = pages::map(REGION, Protection::Hidden) else { return };
    region.fill(7);
    is_kept_well(region);
    assert!(mapping(at(region)).0.contains("secretmem"));
    assert!(!is_readable_by_proc(at(region)));
    assert!(region.iter().all(|octet| *octet == 7));
}

#[test]
fn a_locked_region_is_out_of_dumps_and_children() {
    // A host that lets nothing be locked gives none.
    let Some(region) = pages::map(REGION, Protection::Locked) else { return };
    region.fill(7);
    is_kept_well(region);
    // The check above can fail: this kind is seen by whoever may read the process.
    assert!(is_readable_by_proc(at(region)));
}

#[test]
fn what_is_no_whole_page_is_not_mapped() {
    for octets in [0, 1, 4095, usize::MAX, usize::MAX - 4095] {
        assert!(pages::map(octets, Protection::Hidden).is_none());
        assert!(pages::map(octets, Protection::Locked).is_none());
    }
}

#[test]
fn cells_do_not_overlap_and_come_back_zeroed() {
    let mut arena = Arena::new(REGION);
    let mut taken = Vec::new();
    while let Some(cell) = arena.take(32) {
        assert!(cell.iter().all(|octet| *octet == 0) && at(cell).is_multiple_of(32));
        cell.fill(1);
        taken.push(cell);
    }
    assert_eq!((taken.len(), arena.held), (REGION / 32, REGION / 32));
    let mut places: Vec<usize> = taken.iter().map(|cell| at(cell)).collect();
    places.sort_unstable();
    assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= 32));
    for cell in taken {
        arena.put(cell);
    }
    assert_eq!((arena.held, arena.free[0].len()), (0, REGION / 32));
    assert!(arena.free[0].iter().all(|cell| cell.iter().all(|octet| *octet == 0)));
}

#[test]
fn an_arena_without_room_says_so_and_goes_on() {
    let mut arena = Arena::new(REGION);
    assert!(arena.take(CELL_OCTETS_MAX).is_some());
    // No second region, so no smaller cell.
    assert!(!arena.reserve(1) && arena.take(32).is_none());
    assert_eq!((arena.standing().octets, arena.standing().outside), (REGION, 1));
    // One that may have none at all has none to run out of.
    let mut none = Arena::new(0);
    assert!(none.reserve(1000) && none.take(32).is_none());
    assert_eq!(none.standing().protection, None);
}

#[test]
fn reserving_maps_what_is_asked_for_and_no_more() {
    let mut arena = Arena::new(OCTETS_MAX);
    assert!(arena.reserve(REGION / 64 + 1));
    // One of keys, two of pairs, one of what is longer.
    assert_eq!(arena.octets, 4 * REGION);
    assert!(arena.reserve(REGION / 32));
    assert_eq!(arena.octets, 4 * REGION);
}

#[test]
fn a_secret_of_any_length_is_in_protected_pages_and_zeroed_after() {
    fn check<const N: usize>() {
        let secret: Secret<N> = Secret::filled(|out| out.fill(9));
        assert_eq!(secret.expose(), &[9; N]);
        assert!(matches!(secret.0, Cell::Kept(_)));
        let (_, flags) = mapping(at(secret.expose()));
        assert!(flags.contains("lo") && flags.contains("dd"), "{flags}");
        let place = at(secret.expose());
        drop(secret);
        let arena = arena();
        let mut free = arena.free.iter().flatten().filter(|cell| at(cell) == place);
        assert!(free.all(|cell| cell.iter().all(|octet| *octet == 0)));
    }
    check::<1>();
    check::<16>();
    check::<32>();
    check::<33>();
    check::<76>();
    check::<128>();
}

#[test]
fn a_secret_outside_serves_as_well() {
    let mut cell: Cell<32> = Cell::Outside(Box::new(Zeroizing::new([0; 32])));
    cell.octets_mut().fill(3);
    assert_eq!(cell.octets(), &[3; 32]);
}

#[test]
fn threads_share_the_arena() {
    std::thread::scope(|scope| {
        for number in 0..4_u8 {
            scope.spawn(move || {
                for _ in 0..200 {
                    let all: Vec<Secret<32>> =
                        (0..64).map(|_| Secret::filled(|out| out.fill(number))).collect();
                    assert!(all.iter().all(|secret| secret.expose() == &[number; 32]));
                }
            });
        }
    });
}

#[test]
fn what_ran_in_scrubbed_stack_left_nothing_there() {
    #[inline(never)]
    fn leave() -> usize {
        let mut key = [0xa5_u8; 256];
        core::hint::black_box(&mut key);
        at(&key)
    }
    fn is_there(place: usize) -> bool {
        let mut memory = fs::File::open("/proc/self/mem").unwrap();
        memory.seek(SeekFrom::Start(place as u64)).unwrap();
        // Read to the heap: a buffer on the stack could lie on what it is to look at.
        let mut found = vec![0; 256];
        memory.read_exact(&mut found).unwrap();
        found.iter().all(|octet| *octet == 0xa5)
    }
    let place = scrubbed::<4096, _>(leave);
    assert!(!is_there(place));
}
