use bailiwick_custody::Opening;

fn after(mut opening: Opening, record: &[u8]) {
    let _ = opening.finish();
    let _ = opening.letter(record, vocab::Timestamp(0));
}

fn main() {}
