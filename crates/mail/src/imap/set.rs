//! Sequence sets against what the client has been told is there.
//!
//! Invariant: the work is bounded by the set's length and the mailbox's, however a set overlaps
//! itself; a sequence number the client was never given is an error.
//! Refs: RFC 9051 §4.1.1, §9 (`sequence-set`); RFC 5182 §2.1.

use imap_types::sequence::{SeqOrUid, Sequence, SequenceSet};
use proto::imap::SAVED;

use super::selected::Selected;

/// A sequence number that names no message.
pub(super) struct NoSuchNumber;

/// The places in `selected.uids` a set names, ascending and each once.
pub(super) fn places(
    set: &SequenceSet,
    by_uid: bool,
    selected: &Selected,
    saved: &[u32],
) -> Result<Vec<usize>, NoSuchNumber> {
    let uids = &selected.uids;
    let last = if by_uid {
        uids.last().copied().unwrap_or(0)
    } else {
        u32::try_from(uids.len()).unwrap_or(u32::MAX)
    };
    let number = |at: &SeqOrUid| match at {
        SeqOrUid::Value(number) => number.get(),
        SeqOrUid::Asterisk => last,
    };
    let mut ranges = Vec::new();
    for sequence in set.0.as_ref() {
        let (from, to) = match sequence {
            Sequence::Single(SeqOrUid::Value(value)) if value.get() == SAVED => {
                for place in saved.iter().filter_map(|uid| uids.binary_search(uid).ok()) {
                    ranges.push((place, place + 1));
                }
                continue;
            }
            Sequence::Single(at) => (number(at), number(at)),
            Sequence::Range(from, to) => (number(from), number(to)),
        };
        let (from, to) = (from.min(to), from.max(to));
        if by_uid {
            let start = uids.partition_point(|uid| *uid < from);
            let end = uids.partition_point(|uid| *uid <= to);
            ranges.push((start, end));
        } else if uids.is_empty() {
            // `1:*` of an empty mailbox is nobody's mistake; every other number is one.
            if !matches!(sequence, Sequence::Range(_, SeqOrUid::Asterisk)) {
                return Err(NoSuchNumber);
            }
        } else if from == 0 || to > last {
            return Err(NoSuchNumber);
        } else {
            let start = usize::try_from(from).unwrap_or(usize::MAX) - 1;
            ranges.push((start, usize::try_from(to).unwrap_or(usize::MAX)));
        }
    }
    Ok(flatten(ranges))
}

fn flatten(mut ranges: Vec<(usize, usize)>) -> Vec<usize> {
    ranges.sort_unstable();
    let mut places = Vec::new();
    let mut done = 0;
    for (start, end) in ranges {
        places.extend(start.max(done)..end.max(done));
        done = done.max(end);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(set: &str, by_uid: bool, expected: Option<&[usize]>) {
        let selected = Selected::for_test(vec![3, 5, 9]);
        let set = SequenceSet::try_from(set).unwrap();
        let got = places(&set, by_uid, &selected, &[5]).ok();
        assert_eq!(got.as_deref(), expected, "{set:?}");
    }

    #[test]
    fn sets_name_the_messages_rfc_9051_says() {
        check("1", false, Some(&[0]));
        check("*", false, Some(&[2]));
        check("3:1", false, Some(&[0, 1, 2]));
        check("1:2,2:3,1", false, Some(&[0, 1, 2]));
        check("4", false, None);
        check("4:*", false, None);
        check("4:6", true, Some(&[1]));
        // RFC 9051 §6.4.9: a UID range with `*` names at least the last message.
        check("100:*", true, Some(&[2]));
        check("100", true, Some(&[]));
        check("4294967295", true, Some(&[1]));
    }

    #[test]
    fn a_set_that_overlaps_itself_is_still_cheap() {
        let selected = Selected::for_test((1..=50_000).collect());
        let set = SequenceSet::try_from(vec!["1:*"; 10_000].join(",").as_str()).unwrap();
        assert_eq!(places(&set, true, &selected, &[]).map(|all| all.len()).ok(), Some(50_000));
    }
}
