use bailiwick_custody::{RecipientKey, VerifiedRelease};

fn twice(one: VerifiedRelease, two: VerifiedRelease, key: RecipientKey) {
    let now = vocab::Timestamp(0);
    let _ = one.open(key, &[], &[], now);
    let _ = two.open(key, &[], &[], now);
}

fn main() {}
