//! The published packages of specs/production.md.

use crate::unopened::{BOTH, Ciphertext, of_subscriber};
use crate::{Trial, assert_said, run, ustar};
use std::fs;
use std::path::Path;

/// Made one after the other in one world, so that each is in the log after the one before it.
/// Compares with the published files; set `BAILIWICK_BLESS` at compile time to write them anew.
#[test]
fn the_published_packages_are_made_here_and_pass_every_check() {
    let mut trial = Trial::new();
    let opened = trial.production(&|_| {});
    let sealed = Ciphertext::new(&trial).files(&mut trial);
    let told = format!(r#"{{"account":"{}","created":5}}"#, trial.world.account);
    let mut subscriber = of_subscriber(&trial, &told);
    subscriber.scope = BOTH;
    let subscriber = subscriber.files(&mut trial);
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../specs/vectors");
    let trust = vectors.join("release-evidence/trust.json");
    for (name, files) in [("opened", opened), ("sealed", sealed), ("subscriber", subscriber)] {
        let (path, made) = (vectors.join(format!("production/{name}.tar")), ustar(&files));
        if option_env!("BAILIWICK_BLESS").is_some() {
            fs::write(&path, &made).unwrap();
        }
        // Not `assert_eq`, which would print both.
        assert!(fs::read(&path).unwrap() == made, "{name}: not what is made here");
        let (path, trust) = (path.to_str().unwrap(), trust.to_str().unwrap());
        let outcome = run(&["production", path, "--trust", trust]);
        assert_said(&outcome, 0, "Every check passed.");
    }
}
