use bailiwick_custody::{RecipientKey, VerifiedRelease};

fn twice(release: VerifiedRelease, one: RecipientKey, two: RecipientKey) {
    let now = vocab::Timestamp(0);
    let _ = release.open(one, &[], &[], now);
    let _ = release.open(two, &[], &[], now);
}

fn main() {}
