//! How long opening takes: the head of a letter, and a seal of the same size through the
//! `hpke` crate. `cargo run -p bailiwick-seal --example opening_time`; a measure, not a test.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use seal::epoch::EpochKeys;
use seal::hseal::{self, SecretKey};
use seal::letter::{Chain, HeadOpener, LetterSealer, Stated, open_head};
use seal::mac::sha256;
use seal::run::Run;
use seal::sign::SigningKey;
use seal::{Entropy, OpenError};
use vocab::{AccountId, Epoch, EpochVersion, LetterId, Timestamp};

extern crate bailiwick_seal as seal;

const OPENINGS: u32 = 2000;

/// Reproducible, and no secret is at stake here.
struct Counter(AtomicU64);

impl Entropy for Counter {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let block = sha256(&[&self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes()]);
            chunk.iter_mut().zip(block.0).for_each(|(to, from)| *to = from);
        }
    }
}

fn print(
    what: &str,
    mut open: impl FnMut() -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    // The first opening expands the key; a fold pays for that once.
    let first = Instant::now();
    open()?;
    let first = first.elapsed();
    let rest = Instant::now();
    for _ in 0..OPENINGS {
        open()?;
    }
    println!("{what}: first {first:.0?}, then {:.1?} each", rest.elapsed() / OPENINGS);
    Ok(())
}

fn done<T>(opened: Result<T, OpenError>) -> Result<(), Box<dyn Error>> {
    Ok(opened.map(|_| ())?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let entropy = Counter(AtomicU64::new(0));
    let account = AccountId([1; 16]);
    let keys = EpochKeys::generate(account, Epoch(323), EpochVersion(1), &entropy)?;
    let cell = SigningKey::generate(&entropy)?;
    let mut body = Vec::new();
    let public = keys.public(Timestamp(0));
    let step = Run::begin(&public, &entropy)?.step().ok_or("a run has a first step")?;
    let sealer = LetterSealer::begin(LetterId([2; 16]), Timestamp(0), step, &entropy, &mut body)?;
    let head = [3; 700];
    let before = Chain::start(account);
    let (record, _) = sealer.close(&head, &mut body)?.ingest(&cell, &before)?;
    let signer = cell.public();

    let key = SecretKey::generate(&entropy)?;
    let sealed = hseal::seal(&key.public(), "time", &[], &head, &entropy)?;
    print("hseal::open", || done(hseal::open(&key, "time", &[], &sealed)))?;
    print("letter::open_head", || done(open_head(&record, &keys)))?;
    let mut opener = HeadOpener::new(&keys);
    print("letter::HeadOpener::open", || done(opener.open(&record)))?;
    print("letter::Stated::verify", || done(Stated::read(&record)?.verify(&signer)))?;
    print("letter::Stated::follows", || done(Stated::read(&record)?.follows(&before)))?;
    Ok(())
}
