//! The log over crashes: what a power cut leaves between two writes, made by hand, and the start
//! after it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use custody::{Act, CellKeys, FieldId, Leaf};
use mail::runtime::Clock;
use store::{Options, Store};
use tempfile::TempDir;
use tlog::{AddCheckpoint, Cosigner, NoteSigner, Resource, Witness};
use vocab::{CellId, Timestamp};

use super::{Files, Item, Keeper, KeeperOptions, WitnessKeeper, WitnessPeer};
use crate::entropy::OsEntropy;

const ADMINISTRATOR: vocab::PersonId = vocab::PersonId([1; 16]);
const CASE: vocab::CaseId = vocab::CaseId([2; 16]);
const NOW: Timestamp = Timestamp(1_795_219_200);

/// A cell's folder, as far as its log goes.
struct World {
    folder: TempDir,
    keys: CellKeys,
    clock: Arc<SetClock>,
}

/// A clock that stands where it is put.
struct SetClock(AtomicU64);

impl SetClock {
    fn at(now: Timestamp) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(now.0)))
    }

    fn put(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

/// A running keeper and the store it writes to.
struct Running {
    keeper: Keeper,
    store: Store,
}

impl World {
    fn new() -> Self {
        let keys = CellKeys::generate(CellId([7; 16]), &OsEntropy);
        Self { folder: tempfile::tempdir().unwrap(), keys, clock: SetClock::at(NOW) }
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
            clock: self.clock.clone(),
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
            let draft = custody::acts::staff_act(NOW, ADMINISTRATOR, None, "test");
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

/// A witness that answers every `add-checkpoint` with this status and body, and shows this as its
/// last checkpoint.
async fn witness(answers: (&'static str, &'static str), shows: String) -> WitnessPeer {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4];
            stream.read_exact(&mut head).await.unwrap();
            let (status, body) = match &head {
                b"POST" => answers,
                _ => ("200 OK", shows.as_str()),
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
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

/// How a witness says that the log does not continue.
const DOES_NOT_CONTINUE: [(&str, &str); 2] =
    [("409 Conflict", "99999\n"), ("422 Unprocessable Entity", "no\n")];

/// A world of the same keys with another history: what this log would have signed had it forked.
async fn fork_of(world: &World, leaves: usize) -> String {
    let keys = CellKeys::decode(&world.keys.encode()).unwrap();
    let fork = World { keys, ..World::new() };
    let other = fork.open();
    other.append(leaves).await;
    other.keeper.note().await.encode()
}

fn act(draft: custody::Draft) -> Item {
    Item { draft, open_by: None, about: None }
}

fn staff_act() -> Item {
    act(custody::acts::staff_act(NOW, ADMINISTRATOR, None, "test"))
}

#[tokio::test]
async fn a_lying_witness_does_not_stop_the_log() {
    let world = World::new();
    let running = world.open();
    running.append(3).await;
    let ours = running.keeper.note().await.encode();
    running.close();
    let elsewhere = World::new();
    let stranger = elsewhere.open();
    stranger.append(5).await;
    let theirs = stranger.keeper.note().await.encode();
    for (status, body) in DOES_NOT_CONTINUE {
        // Nothing, something else, another log's checkpoint, and one of ours that it does continue.
        for shows in ["", "old 3\n", &theirs, &ours] {
            let lies = witness((status, body), shows.to_owned()).await;
            let again = world.open_with("store", vec![lies]).unwrap();
            assert_eq!(again.keeper.cosign().await, 0);
            assert!(again.keeper.stopped().await.is_none(), "{status}: {shows}");
            again.append(1).await;
            // Its word is shown to the operator, and no more.
            assert_eq!(again.keeper.refusals().await.len(), 1);
            again.close();
        }
    }
    assert!(!world.path("log/forks").exists());
}

#[tokio::test]
async fn a_witness_does_not_send_the_cell_elsewhere() {
    let elsewhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = elsewhere.local_addr().unwrap();
    for status in ["302 Found", "307 Temporary Redirect"] {
        let status: &str = format!("{status}\r\nLocation: http://{at}/").leak();
        let world = World::new();
        let sends = witness((status, ""), String::new()).await;
        let running = world.open_with("store", vec![sends]).unwrap();
        running.append(1).await;
        tokio::select! {
            asked = running.keeper.cosign() => assert_eq!(asked, 0),
            _ = elsewhere.accept() => panic!("it went where the witness sent it"),
        }
    }
}

#[tokio::test]
async fn a_fork_that_our_signature_proves_stops_the_log_until_it_is_named() {
    // As many leaves as ours, fewer, and more.
    for (leaves, status) in [(3, 1), (2, 1), (1, 1), (5, 0), (5, 1)] {
        let world = World::new();
        let running = world.open();
        running.append(3).await;
        running.close();
        let fork = fork_of(&world, leaves).await;
        let honest = async || witness(DOES_NOT_CONTINUE[status], fork.clone()).await;
        let again = world.open_with("store", vec![honest().await]).unwrap();
        let before = again.checkpoint().await;
        assert_eq!(again.keeper.cosign().await, 0);
        let stop = again.keeper.stopped().await.unwrap();
        assert_eq!((stop.theirs, stop.ours, stop.is_mended), (leaves as u64, 3, false));
        let refused = again.keeper.append(vec![staff_act()]).await.unwrap_err();
        assert!(refused.to_string().contains("the log is stopped"), "{refused:#}");
        assert_eq!(again.checkpoint().await, before, "nothing is signed");
        again.close();
        // A restart does not forget it, whatever the witness says now.
        let silent = witness(("500 Internal Server Error", ""), String::new()).await;
        let again = world.open_with("store", vec![silent]).unwrap();
        assert_eq!(again.keeper.stopped().await.unwrap().name, stop.name);
        assert!(again.keeper.append(vec![staff_act()]).await.is_err());
        let wrong = again.keeper.resume(&"0".repeat(64), ADMINISTRATOR).await;
        assert!(matches!(wrong, Err(super::ResumeError::Unknown)));
        again.keeper.resume(&stop.name, ADMINISTRATOR).await.unwrap();
        assert_eq!(again.checkpoint().await.size, 4, "the act is the next leaf");
        assert!(again.keeper.resume(&stop.name, ADMINISTRATOR).await.is_err(), "once");
        again.close();
        // The witness holds to what it saw. That is known, and another fork is not.
        let again = world.open_with("store", vec![honest().await]).unwrap();
        again.keeper.cosign().await;
        assert!(again.keeper.stopped().await.is_none());
        again.append(1).await;
        again.close();
        let other = fork_of(&world, 2).await;
        let other = witness(DOES_NOT_CONTINUE[1], other).await;
        let again = world.open_with("store", vec![other]).unwrap();
        again.keeper.cosign().await;
        assert_ne!(again.keeper.stopped().await.unwrap().name, stop.name);
    }
}

#[tokio::test]
async fn leaves_that_wait_in_the_store_are_not_signed_while_the_log_is_stopped() {
    let world = World::new();
    let running = world.open();
    running.append(2).await;
    world.photograph();
    running.append(3).await;
    running.close();
    world.restore();
    // As a crash left it: two leaves in tiles, three more in the store. And stopped before.
    let fork = fork_of(&world, 9).await;
    fs::create_dir_all(world.path("log/forks")).unwrap();
    let record = serde_json::json!({
        "witness": "us", "found": NOW.0, "size": 2, "root": "00", "note": fork, "resumed": null,
    });
    // Under another name it is not taken for what it says.
    fs::write(world.path("log/forks/x.json"), record.to_string()).unwrap();
    assert!(world.open_on("store").is_err());
    let note = tlog::SignedNote::parse(fork.as_bytes()).unwrap();
    let name = seal::mac::sha256(&[note.text_unverified().as_bytes()]);
    let path = world.path("log/forks");
    fs::rename(path.join("x.json"), path.join(format!("{name}.json"))).unwrap();
    let again = world.open();
    assert_eq!(again.checkpoint().await.size, 2);
    let stop = again.keeper.stopped().await.unwrap();
    again.keeper.resume(&stop.name, ADMINISTRATOR).await.unwrap();
    assert_eq!(again.checkpoint().await.size, 6, "the three, and then the act");
}

#[tokio::test]
async fn a_log_whose_record_of_a_fork_is_damaged_does_not_start() {
    let world = World::new();
    world.open().close();
    fs::create_dir_all(world.path("log/forks")).unwrap();
    for octets in ["", "{}", "{\"note\":\"\"}"] {
        fs::write(world.path("log/forks/x.json"), octets).unwrap();
        let error = world.open_on("store").err().unwrap();
        assert!(format!("{error:#}").contains("is damaged"), "{error:#}");
    }
}

#[tokio::test]
async fn a_restored_log_says_that_it_is_mended_and_still_waits_for_its_operator() {
    let world = World::new();
    let running = world.open();
    running.append(2).await;
    world.photograph();
    running.append(3).await;
    let newest = running.keeper.note().await.encode();
    running.close();
    copy(&world.path("log"), &world.path("backup"));
    copy(&world.path("store"), &world.path("store of the backup"));
    // The older log, with a store as old: as if both came from an old backup.
    let old = World { keys: CellKeys::decode(&world.keys.encode()).unwrap(), ..World::new() };
    let running = old.open();
    running.append(2).await;
    running.close();
    let honest = witness(DOES_NOT_CONTINUE[0], newest).await;
    let again = old.open_with("store", vec![honest]).unwrap();
    again.keeper.cosign().await;
    let stop = again.keeper.stopped().await.unwrap();
    assert!(!stop.is_mended);
    again.close();
    // The newest backup is put back over it; the record of the stop stays.
    copy(&world.path("backup"), &old.path("log"));
    fs::remove_dir_all(old.path("store")).unwrap();
    copy(&world.path("store of the backup"), &old.path("store"));
    let again = old.open();
    let mended = again.keeper.stopped().await.unwrap();
    assert_eq!((mended.name.as_str(), mended.is_mended), (stop.name.as_str(), true));
    again.keeper.resume(&stop.name, ADMINISTRATOR).await.unwrap();
    assert_eq!(again.checkpoint().await.size, 6);
}

#[tokio::test]
async fn a_leaf_that_waited_for_years_does_not_hold_up_its_batch() {
    let world = World::new();
    let running = world.open();
    let now = NOW.0;
    // Acts of long ago and, by a clock that ran ahead, of years to come.
    let ages = [0, now - 800 * 86_400, now - 25 * 86_400, now, now + 800 * 86_400, u64::MAX];
    let item = |at: &u64| {
        let case = vocab::CaseId([2; 16]);
        act(custody::acts::received(Timestamp(*at), case, vocab::Digest([3; 32]), None))
    };
    let indexes = running.keeper.append_batch(ages.iter().map(item).collect(), 8).await.unwrap();
    assert_eq!(indexes.len(), ages.len());
    for index in 0..8 {
        let leaf = Leaf::decode(&running.keeper.receipt(index).await.unwrap().leaf).unwrap();
        assert!(leaf.act.is_none() && leaf.open_by().is_some_and(|day| day.0 > now));
    }
}

#[tokio::test]
async fn of_two_forks_the_log_signs_nothing_until_both_are_named() {
    // Both found at the start; or the other one not before the first is named.
    for (found_later, restarted) in [(false, false), (false, true), (true, false), (true, true)] {
        let world = World::new();
        let running = world.open();
        running.append(3).await;
        running.close();
        let forks = [fork_of(&world, 5).await, fork_of(&world, 9).await];
        let [one, other] = &forks;
        let both = async || {
            let (one, other) = (one.clone(), other.clone());
            vec![
                witness(DOES_NOT_CONTINUE[1], one).await,
                witness(DOES_NOT_CONTINUE[1], other).await,
            ]
        };
        let mut running = world.open_with("store", both().await).unwrap();
        if found_later {
            // The first one stops it before the second is asked.
            running.keeper.cosign().await;
        } else {
            running.keeper.compare().await;
        }
        let before = running.checkpoint().await;
        let first = running.keeper.stopped().await.unwrap();
        assert!(!running.keeper.resume(&first.name, ADMINISTRATOR).await.unwrap());
        assert_eq!(running.checkpoint().await, before, "nothing is signed, the naming neither");
        if restarted {
            running.close();
            running = world.open_with("store", both().await).unwrap();
            running.keeper.compare().await;
        }
        assert!(running.keeper.append(vec![staff_act()]).await.is_err());
        let second = running.keeper.stopped().await.unwrap();
        assert_ne!(second.name, first.name, "what is named is not asked about again");
        assert!(running.keeper.resume(&second.name, ADMINISTRATOR).await.unwrap());
        assert!(running.keeper.stopped().await.is_none());
        let subjects = [3, 4].map(async |index| {
            let receipt = running.keeper.receipt(index).await.unwrap();
            receipt.opening.array(FieldId::SUBJECT).map(vocab::Digest).unwrap().to_string()
        });
        let mut named = Vec::new();
        for subject in subjects {
            named.push(subject.await);
        }
        let mut expected = [first.name, second.name];
        expected.sort_unstable();
        named.sort_unstable();
        assert_eq!(named, expected);
        assert_eq!(running.checkpoint().await.size, 5);
    }
}

const DAY: u64 = 86_400;

/// The leaf at an index.
async fn leaf(running: &Running, index: u64) -> Leaf {
    Leaf::decode(&running.keeper.receipt(index).await.unwrap().leaf).unwrap()
}

/// What the log's leaves of an act name, by leaf.
async fn named(running: &Running, act: Act) -> Vec<(Leaf, Vec<u64>)> {
    let mut out = Vec::new();
    for index in 0..running.checkpoint().await.size {
        let leaf = leaf(running, index).await;
        if leaf.act == Some(act) {
            let indexes = leaf.public.iter().filter(|field| field.id == FieldId::INDEX);
            let number = |octets: &Vec<u8>| u64::from_be_bytes(octets[..].try_into().unwrap());
            let indexes = indexes.map(|field| number(&field.value)).collect();
            out.push((leaf, indexes));
        }
    }
    out
}

#[tokio::test]
async fn a_secret_of_seven_years_is_kept_by_three_renewals_with_all_of_its_day() {
    let world = World::new();
    let mut running = world.open();
    let secret = |_| act(custody::acts::received(NOW, CASE, vocab::Digest([3; 32]), None));
    // More than one leaf can name, and among dummies; and, on another day, dummies alone.
    let secret: BTreeSet<u64> = running
        .keeper
        .append_batch((0..33).map(secret).collect(), 40)
        .await
        .unwrap()
        .into_iter()
        .collect();
    assert_eq!(secret.len(), 33);
    world.clock.put(Timestamp(NOW.0 + DAY));
    running.keeper.append_batch(Vec::new(), 4).await.unwrap();
    let mut day = leaf(&running, 0).await.open_by().unwrap();
    for renewals in 1..=3 {
        // Not before its time, and then once, also over restarts.
        world.clock.put(Timestamp(day.0 - 2 * DAY - 1));
        running.keeper.open_due(&secret).await.unwrap();
        assert_eq!(named(&running, Act::SecrecyRenewed).await.len(), 2 * (renewals - 1));
        let now = Timestamp(day.0 - 2 * DAY);
        world.clock.put(now);
        running.keeper.open_due(&secret).await.unwrap();
        running.close();
        running = world.open();
        running.keeper.open_due(&secret).await.unwrap();
        let kept = named(&running, Act::SecrecyRenewed).await;
        let last = &kept[2 * (renewals - 1)..];
        let all: Vec<u64> = last.iter().flat_map(|(_, indexes)| indexes.clone()).collect();
        assert_eq!(all, (0..40).collect::<Vec<_>>(), "the dummies of the day among them");
        let until = |(leaf, _): &(Leaf, Vec<u64>)| {
            let value = leaf.public(FieldId::VALID_UNTIL).unwrap();
            Timestamp(u64::from_be_bytes(value.try_into().unwrap()))
        };
        let next = until(&last[0]);
        assert_eq!((last.len(), until(&last[1])), (2, next));
        assert_eq!(next.0, now.0 - now.0 % DAY + 720 * DAY);
        assert!(next.0 <= seal::epoch::ends(seal::epoch::epoch_of(now)).0 + 744 * DAY);
        for index in 0..40 {
            assert!(!world.path(&format!("log/openings/{index}.json")).exists());
        }
        day = next;
    }
    assert!(day.0 > NOW.0 + 7 * 365 * DAY);
    // The day without a secret was opened when it came.
    assert!((40..44).all(|index| world.path(&format!("log/openings/{index}.json")).exists()));
    // The order ends: its leaves first, and the dummies with their day.
    running.keeper.open_leaves(secret.iter().copied().collect()).await.unwrap();
    world.clock.put(Timestamp(day.0 - 2 * DAY));
    running.keeper.open_due(&BTreeSet::new()).await.unwrap();
    assert!((0..44).all(|index| world.path(&format!("log/openings/{index}.json")).exists()));
    assert_eq!(named(&running, Act::SecrecyRenewed).await.len(), 6);
}

/// Pins an account of this store as `number` changes on.
async fn pin(world: &World, store: &Store, account: vocab::AccountId, number: u64) {
    let rows = world.keys.rows().unwrap();
    let mut batch = store::Batch::new(account);
    for of in [custody::PinOf::Keystore, custody::PinOf::Anchor] {
        let pin = custody::Pin { number, digest: vocab::Digest([1; 32]) };
        let sealed = pin.seal(of, account, &rows, &OsEntropy).unwrap();
        batch = batch.put(vocab::RecordKind::AccountPin, of.row(account), sealed);
    }
    store.append().commit(batch).await.unwrap();
}

fn numbers(keeper: &Keeper) -> Vec<(u64, u64)> {
    let lines = keeper.day_pins().unwrap();
    lines.iter().map(|line| (line.keystore.number, line.rows.number)).collect()
}

#[tokio::test]
async fn an_account_put_back_over_a_restart_is_known_by_the_days_pins() {
    let world = World::new();
    let Running { keeper, store } = world.open();
    let keeper = Arc::new(keeper);
    let (one, two) = (vocab::AccountId([1; 16]), vocab::AccountId([2; 16]));
    assert_eq!(numbers(&keeper), []);
    keeper.pin_day().await.unwrap();
    assert_eq!(numbers(&keeper), [], "a cell without accounts has a day too");
    pin(&world, &store, one, 5).await;
    pin(&world, &store, two, 7).await;
    keeper.pin_day().await.unwrap();
    assert_eq!(numbers(&keeper), [], "one leaf a day");
    world.clock.put(Timestamp(NOW.0 + 86_400));
    keeper.pin_day().await.unwrap();
    assert_eq!(numbers(&keeper), [(5, 5), (7, 7)]);
    let size = keeper.note().await;
    keeper.pin_day().await.unwrap();
    assert_eq!(keeper.note().await, size);
    // Put back while the cell is stopped: what is remembered is not what is there.
    pin(&world, &store, one, 4).await;
    drop(keeper);
    store.close().unwrap();
    let Running { keeper, store } = world.open();
    let keeper = Arc::new(keeper);
    assert_eq!(numbers(&keeper), [(5, 5), (7, 7)]);
    // And the next day does not forget it.
    pin(&world, &store, two, 9).await;
    world.clock.put(Timestamp(NOW.0 + 2 * 86_400));
    keeper.pin_day().await.unwrap();
    assert_eq!(numbers(&keeper), [(5, 5), (9, 9)]);
}

/// Without its pins an account opens for nobody; but they could come back a day later.
#[tokio::test]
async fn an_account_whose_pins_were_taken_away_is_not_forgotten_and_one_that_is_gone_is() {
    let world = World::new();
    let Running { keeper, store } = world.open();
    let keeper = Arc::new(keeper);
    let accounts: Vec<_> = (1..=3).map(|number| vocab::AccountId([number; 16])).collect();
    for account in &accounts {
        pin(&world, &store, *account, 5).await;
    }
    keeper.pin_day().await.unwrap();
    let [without, altered, gone] = accounts.try_into().unwrap();
    let kind = vocab::RecordKind::AccountPin;
    for account in [without, altered, gone] {
        let mut batch = store::Batch::new(account);
        for of in [custody::PinOf::Keystore, custody::PinOf::Anchor] {
            batch = match account == altered {
                true => batch.put(kind, of.row(account), vec![0; 100]),
                false => batch.delete(kind, of.row(account)),
            };
        }
        if account == without {
            batch = batch.put(vocab::RecordKind::Slot, vocab::Row(1), vec![0]);
        }
        store.append().commit(batch).await.unwrap();
    }
    world.clock.put(Timestamp(NOW.0 + 86_400));
    keeper.pin_day().await.unwrap();
    assert_eq!(numbers(&keeper), [(5, 5), (5, 5)]);
}

#[tokio::test]
async fn pins_of_the_day_that_the_log_does_not_vouch_for_are_refused() {
    let world = World::new();
    let Running { keeper, store } = world.open();
    let keeper = Arc::new(keeper);
    let account = vocab::AccountId([1; 16]);
    let days = |store: &Store| {
        let rows = store.read().scan(world.keys.account(), KIND, vocab::Row(0));
        rows.map(|found| found.unwrap()).collect::<Vec<_>>()
    };
    const KIND: vocab::RecordKind = vocab::RecordKind::AccountPin;
    pin(&world, &store, account, 1).await;
    keeper.pin_day().await.unwrap();
    let old = days(&store);
    pin(&world, &store, account, 2).await;
    world.clock.put(Timestamp(NOW.0 + 86_400));
    keeper.pin_day().await.unwrap();
    let new = days(&store);
    assert_eq!((old.len(), new.len()), (1, 1), "an earlier day goes");
    let write = async |delete: vocab::Row, put: Option<(vocab::Row, bytes::Bytes)>| {
        let batch = store::Batch::new(world.keys.account()).delete(KIND, delete);
        let batch =
            put.into_iter().fold(batch, |batch, (row, octets)| batch.put(KIND, row, octets));
        store.append().commit(batch).await.unwrap();
    };
    // The day before put back in its own row, then all of it taken away.
    write(new[0].0, Some(old[0].clone())).await;
    assert!(keeper.day_pins().is_err());
    write(old[0].0, None).await;
    assert!(keeper.day_pins().is_err());
    write(old[0].0, Some(new[0].clone())).await;
    assert_eq!(numbers(&keeper), [(2, 2)]);
}

/// A crash between the rows and their leaf: the day before is still there, and is what counts.
#[tokio::test]
async fn a_day_whose_leaf_was_not_written_is_written_anew() {
    let world = World::new();
    let Running { keeper, store } = world.open();
    let keeper = Arc::new(keeper);
    let account = vocab::AccountId([1; 16]);
    pin(&world, &store, account, 1).await;
    keeper.pin_day().await.unwrap();
    let kind = vocab::RecordKind::AccountPin;
    let rows = store.read().scan(world.keys.account(), kind, vocab::Row(0));
    let (row, _) = rows.map(|found| found.unwrap()).next().unwrap();
    // Today's rows, of which no leaf speaks.
    let plain = [[0x82, 0x58, 0x20].as_slice(), &[9; 32], &[0x40]].concat();
    let next = vocab::Row(row.0 + (1 << 16));
    let sealed = world.keys.rows().unwrap();
    let sealed = sealed.seal(kind, next, vocab::ModSeq(0), &plain, &OsEntropy).unwrap();
    let batch = store::Batch::new(world.keys.account()).put(kind, next, sealed);
    store.append().commit(batch).await.unwrap();
    assert_eq!(numbers(&keeper), [(1, 1)]);
    pin(&world, &store, account, 2).await;
    world.clock.put(Timestamp(NOW.0 + 86_400));
    keeper.pin_day().await.unwrap();
    assert_eq!(numbers(&keeper), [(2, 2)]);
}
