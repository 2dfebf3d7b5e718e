use bailiwick_custody::VerifiedRelease;

fn copy(release: &VerifiedRelease) -> VerifiedRelease {
    release.clone()
}

fn main() {}
