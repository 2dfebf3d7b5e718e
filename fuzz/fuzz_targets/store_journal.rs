//! The store's files: segments, directories of records, checkpoints, entries of the index. The
//! first octet says which; a segment comes as it is, or with its checksums made right, since no
//! mutation finds a checksum.
#![no_main]

use libfuzzer_sys::fuzz_target;
use store::check::{self, Rest};

const HEADER: usize = 64;
const RECORD: usize = 40;

fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else { return };
    match first % 4 {
        0 => {
            let _ = (check::format(data), check::index_row(data), check::checkpoint(data));
            let _ = check::point(data);
            let mut data = data.to_vec();
            data.extend(crc32c::crc32c(&data).to_be_bytes());
            let _ = (check::checkpoint(&data), check::point(&data));
        }
        1 => {
            let Some((kind, data)) = data.split_first() else { return };
            if let Some(printed) = check::directory(kind % 6, data) {
                assert_eq!(printed, data, "what is read prints as it came");
            }
        }
        2 => {
            segment(data);
        }
        _ => assert!(segment(&mended(data)).is_some(), "mended, it is a segment"),
    }
});

fn segment(octets: &[u8]) -> Option<()> {
    let checked = check::segment(octets)?;
    let end = usize::try_from(checked.end).unwrap();
    assert!((HEADER..=octets.len()).contains(&end) && end % 8 == 0, "{checked:?}");
    assert!(checked.records <= ((end - HEADER) / RECORD) as u64, "{checked:?}");
    if checked.rest == Rest::Zeros {
        // What lies behind is nothing: so is more of it.
        assert_eq!(check::segment(&[octets, &[0; 8]].concat()), Some(checked));
    }
    Some(())
}

/// A segment of these octets whose header, record headers, directories and values check, as far
/// as they have the shape of one (specs/store-journal.md §2 to §4).
fn mended(data: &[u8]) -> Vec<u8> {
    let mut out = data.to_vec();
    out.resize(out.len().max(HEADER).next_multiple_of(8), 0);
    let len = out.len() as u64;
    out[..8].copy_from_slice(b"BWSEGMT\n");
    out[8..12].copy_from_slice(&1_u32.to_be_bytes());
    out[20..28].copy_from_slice(&len.to_be_bytes());
    let crc = crc32c::crc32c(&out[..60]);
    out[60..64].copy_from_slice(&crc.to_be_bytes());
    let id = out[12..20].to_vec();
    let mut seq = u64::from_be_bytes(out[28..36].try_into().unwrap());
    let mut at = HEADER;
    while at + RECORD <= out.len() && out[at..at + RECORD].iter().any(|octet| *octet != 0) {
        at += record(&mut out[at..], &id, at as u64, seq);
        seq = seq.saturating_add(1);
    }
    out
}

/// Makes the record at the beginning of these octets check; returns its length.
fn record(out: &mut [u8], id: &[u8], at: u64, seq: u64) -> usize {
    let room = out.len() - RECORD;
    out[5..8].fill(0);
    out[8..16].copy_from_slice(&seq.to_be_bytes());
    out[36..40].fill(0);
    let directory = number(&out[24..28]).min(room);
    let mut values = number(&out[32..36]).min(room - directory);
    if out[4] == 1 {
        values = commit(&mut out[RECORD..], directory);
    }
    out[24..28].copy_from_slice(&(directory as u32).to_be_bytes());
    out[32..36].copy_from_slice(&(values as u32).to_be_bytes());
    let crc = crc32c::crc32c(&out[RECORD..RECORD + directory]);
    out[28..32].copy_from_slice(&crc.to_be_bytes());
    let crc = crc32c::crc32c(&[id, &at.to_be_bytes(), &out[4..RECORD]].concat());
    out[..4].copy_from_slice(&crc.to_be_bytes());
    (RECORD + directory + values).next_multiple_of(8)
}

/// Makes the values of a commit check; returns their length.
fn commit(out: &mut [u8], directory: usize) -> usize {
    let (mut line, mut value) = (16 + 24, directory);
    while line + 27 <= directory {
        let puts = out[line] == 1;
        line += 27;
        if puts && line + 8 <= directory {
            let len = number(&out[line..line + 4]).min(out.len() - value);
            let crc = crc32c::crc32c(&out[value..value + len]);
            out[line..line + 4].copy_from_slice(&(len as u32).to_be_bytes());
            out[line + 4..line + 8].copy_from_slice(&crc.to_be_bytes());
            (line, value) = (line + 8, value + len);
        }
    }
    value - directory
}

fn number(octets: &[u8]) -> usize {
    u32::from_be_bytes(octets.try_into().unwrap()) as usize
}
