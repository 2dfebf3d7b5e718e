//! The log over crashes: what a power cut leaves between two writes, made by hand, and the start
//! after it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use custody::{CellKeys, Leaf};
use store::{Options, Store};
use tempfile::TempDir;
use tlog::{AddCheckpoint, Cosigner, NoteSigner, Resource, Witness};
use vocab::{CellId, Timestamp};

use super::{Files, Item, Keeper, KeeperOptions, WitnessKeeper, WitnessPeer};
use crate::entropy::OsEntropy;

const NOW: Timestamp = Timestamp(1_795_219_200);

/// A cell's folder, as far as its log goes.
struct World {
    folder: TempDir,
    keys: CellKeys,
}

/// A running keeper and the store it writes to.
struct Running {
    keeper: Keeper,
    store: Store,
}

impl World {
    fn new() -> Self {
        let keys = CellKeys::generate(CellId([7; 16]), &OsEntropy);
        Self { folder: tempfile::tempdir().unwrap(), keys }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn signer(&self) -> NoteSigner {
        NoteSigner::from_seed("ie.example/log", self.keys.log_seed().expose()).unwrap()
    }

    fn open_on(&self, store: &str) -> anyhow::Result<Running> {
        self.open_with(store, Vec::new())
    }

    fn open_with(&self, store: &str, witnesses: Vec<WitnessPeer>) -> anyhow::Result<Running> {
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let options = Options { segment_bytes: 1 << 20, reserve_bytes: 0, ..Options::default() };
        let store = Store::open(&self.path(store), options).unwrap();
        let options = KeeperOptions {
            files: Files::at(self.path("log")),
            account: self.keys.account(),
            rows: self.keys.rows().unwrap(),
            append: store.append(),
            read: store.read(),
            entropy: Arc::new(OsEntropy),
            witnesses,
        };
        Ok(Running { keeper: Keeper::open(self.signer(), options)?, store })
    }

    fn open(&self) -> Running {
        self.open_on("store").unwrap()
    }

    /// The log's files as they are now, to be put back by [`World::restore`].
    fn photograph(&self) {
        copy(&self.path("log"), &self.path("photograph"));
    }

    /// As if nothing had been written to the log's files since the photograph.
    fn restore(&self) {
        fs::remove_dir_all(self.path("log")).unwrap();
        copy(&self.path("photograph"), &self.path("log"));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = (entry.as_ref().unwrap().path(), entry.unwrap().file_name());
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

impl Running {
    async fn append(&self, count: usize) -> Vec<u64> {
        let item = |_| {
            let draft = custody::acts::staff_act(NOW, vocab::PersonId([1; 16]), None, "test");
            Item { draft, open_by: None, about: None }
        };
        self.keeper.append((0..count).map(item).collect()).await.unwrap()
    }

    async fn checkpoint(&self) -> tlog::Checkpoint {
        let note = self.keeper.note().await;
        tlog::Checkpoint::open(&note, &self.keeper.key().await).unwrap()
    }

    fn close(self) {
        drop(self.keeper);
        self.store.close().unwrap();
    }
}

/// Crashes after leaves were stored and before anything of them was in the log's files; then
/// gives back what the next start makes of it, and the checkpoint the crash took.
async fn crash_between(world: &World, before: usize, lost: usize) -> (Running, tlog::Checkpoint) {
    let running = world.open();
    running.append(before).await;
    world.photograph();
    running.append(lost).await;
    let published = running.checkpoint().await;
    running.close();
    world.restore();
    (world.open(), published)
}

#[tokio::test]
async fn leaves_that_have_no_tile_are_sequenced_at_the_next_start() {
    for (before, lost) in [(0, 1), (1, 1), (2, 3), (255, 1), (256, 1), (250, 300)] {
        let world = World::new();
        let (again, published) = crash_between(&world, before, lost).await;
        assert_eq!(again.checkpoint().await, published, "{before} and {lost}");
        let on_disk = Files::at(world.path("log")).published();
        assert_eq!(on_disk, published.size, "{before} and {lost}");
        // The log goes on, and every leaf has a receipt.
        let next = again.append(1).await;
        assert_eq!(next, [published.size]);
        for index in 0..=published.size {
            again.keeper.receipt(index).await.unwrap();
        }
    }
}

#[tokio::test]
async fn tiles_without_their_checkpoint_are_written_again() {
    for (before, more) in [(1, 1), (255, 1), (256, 1), (250, 300)] {
        let world = World::new();
        let running = world.open();
        running.append(before).await;
        let old = fs::read(world.path("log/checkpoint")).unwrap();
        running.append(more).await;
        let published = running.checkpoint().await;
        running.close();
        fs::write(world.path("log/checkpoint"), old).unwrap();
        let again = world.open();
        assert_eq!(again.checkpoint().await, published, "{before} and {more}");
        for index in 0..published.size {
            again.keeper.receipt(index).await.unwrap();
        }
    }
}

#[tokio::test]
async fn numbers_go_on_after_a_crash_without_gap_or_repetition() {
    let world = World::new();
    let (again, _) = crash_between(&world, 2, 3).await;
    again.append(2).await;
    let mut last = None;
    for index in 0..7 {
        let place = Leaf::decode(&again.keeper.receipt(index).await.unwrap().leaf).unwrap().place;
        // Unless the month turned while the test ran.
        if let Some((month, seq)) = last
            && month == place.month
        {
            assert_eq!(place.seq, seq + 1);
        }
        last = Some((place.month, place.seq));
    }
}

#[tokio::test]
async fn a_log_ahead_of_its_store_does_not_start() {
    let world = World::new();
    let running = world.open();
    running.append(2).await;
    running.close();
    // Signing on from an older store would be a fork.
    let error = world.open_on("restored from an old backup").err().unwrap();
    assert!(error.to_string().contains("the store lacks the log's last leaf"), "{error:#}");
}

#[tokio::test]
async fn a_log_whose_tiles_were_altered_does_not_start() {
    let world = World::new();
    let running = world.open();
    running.append(3).await;
    running.close();
    let tile = world.path("log").join(Resource::Tile { level: 0, index: 0, width: 3 }.to_string());
    let mut octets = fs::read(&tile).unwrap();
    octets[40] ^= 1;
    fs::write(&tile, octets).unwrap();
    let error = world.open_on("store").err().unwrap();
    assert!(error.to_string().contains("the log's files are damaged"), "{error:#}");
}

#[tokio::test]
async fn another_cells_key_does_not_take_up_a_log() {
    let world = World::new();
    world.open().close();
    let stranger = World { keys: World::new().keys, ..world };
    assert!(stranger.open_on("other store").is_err());
}

#[tokio::test]
async fn a_witness_remembers_over_a_restart() {
    let world = World::new();
    let running = world.open();
    running.append(2).await;
    let note = running.keeper.note().await;
    let request = AddCheckpoint { old_size: 0, proof: Vec::new(), note }.encode();
    let open = || {
        let cosigner = Cosigner::from_seed("us.example/witness", &[9; 32]).unwrap();
        let witness = Witness::new(cosigner, [world.signer().verifier_key().clone()]);
        WitnessKeeper::open(witness, world.path("witness")).unwrap()
    };
    let witness = open();
    let first = witness.add_checkpoint(request.as_bytes(), NOW).unwrap();
    assert_eq!(first.status, 200, "{}", first.body);
    drop(witness);
    // It was at 0 once; whoever says that it still is, is told where it is.
    let again = open().add_checkpoint(request.as_bytes(), NOW).unwrap();
    assert_eq!((again.status, again.body.as_str()), (409, "2\n"));
    let damaged = fs::read_dir(world.path("witness")).unwrap().next().unwrap().unwrap().path();
    fs::write(&damaged, "nothing\n").unwrap();
    let cosigner = Cosigner::from_seed("us.example/witness", &[9; 32]).unwrap();
    let witness = Witness::new(cosigner, [world.signer().verifier_key().clone()]);
    assert!(WitnessKeeper::open(witness, world.path("witness")).is_err(), "it would forget");
}

/// A witness that answers every `add-checkpoint` with a conflict at a size nobody signed, and shows
/// this as its last checkpoint.
async fn liar(shows: String) -> WitnessPeer {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4];
            stream.read_exact(&mut head).await.unwrap();
            let (status, kind, body) = match &head {
                b"POST" => ("409 Conflict", "text/x.tlog.size", "99999\n"),
                _ => ("200 OK", "text/plain", shows.as_str()),
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
            // The rest of the request, so that the answer is not lost to a reset.
            let rest = &mut Vec::new();
            let waiting = std::time::Duration::from_millis(200);
            drop(tokio::time::timeout(waiting, stream.read_to_end(rest)).await);
        }
    });
    let key = Cosigner::from_seed("us.example/witness", &[9; 32]).unwrap();
    WitnessPeer { name: "us".into(), url, key: key.verifier_key().clone() }
}

#[tokio::test]
async fn a_witness_that_names_a_size_does_not_stop_the_cell_but_our_own_signature_would() {
    let world = World::new();
    let running = world.open();
    running.append(3).await;
    let larger = running.keeper.note().await.encode();
    running.close();
    let stranger = World::new();
    let other = stranger.open();
    other.append(5).await;
    let theirs = other.keeper.note().await.encode();
    for (shows, size, beyond) in [(&larger, 2, true), (&larger, 3, false), (&theirs, 2, false)] {
        let again = world.open_with("store", vec![liar(shows.clone()).await]).unwrap();
        let witness = &again.keeper.options.witnesses[0];
        let proven = again.keeper.signed_beyond(witness, size).await.unwrap();
        assert_eq!(proven, beyond, "{size}");
        again.close();
    }
    // It would have aborted this process.
    let again = world.open_with("store", vec![liar(theirs).await]).unwrap();
    assert_eq!(again.keeper.cosign().await, 0);
}
