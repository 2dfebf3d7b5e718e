//! The search index: it never changes an answer, says nothing on disk, and comes back when
//! somebody takes it away or alters it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use bailiwick_mail::mailbox::{FlagChange, FlagSet, Flags, Name};
use store::Batch;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use vocab::{RecordKind, Row};

use crate::world::{USER, World};

const INDEX: RecordKind = RecordKind::SearchIndex;
const SEGMENT: RecordKind = RecordKind::SearchSegment;

/// Letters of many scripts, and what they came in.
fn letters() -> Vec<Vec<u8>> {
    let plain = |subject: &str, from: &str, text: &str| {
        let head = format!(
            "Received: from mx.example by cell.example id Zq81\r\nFrom: {from}\r\n\
             To: Alice <alice@ie.example>\r\nCc: clerk@court.example\r\nSubject: {subject}\r\n\
             X-Case: 2026/117-b\r\nDKIM-Signature: v=1; b=Signed0Abc\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\r\n"
        );
        [head.as_bytes(), text.as_bytes()].concat()
    };
    vec![
        plain("zanzibar inquiry", "Bob <bob@example.org>", "The quick brown fox.\r\nIt jumps."),
        plain("Ночной поезд", "counsel@example.net", "Привет, мир! Адвокатская тайна."),
        plain("سلام", "clerk@court.example", "هذا نص عربي، للبحث فقط."),
        plain("日本語の件名", "carol@example.org", "東京都庁は新宿区にあります。第3四半期。"),
        plain("Caf\u{e9} privil\u{e9}gi\u{e9}", "dora@example.org", "na\u{ef}ve r\u{e9}sum\u{e9}, stra\u{df}e"),
        plain("long", "bob@example.org", &format!("begin{}end tail", "0a1b2c3d".repeat(40))),
        plain("한국어", "erin@example.org", "안녕하세요 세계. ภาษาไทยไม่มีช่องว่าง"),
        b"From: Web <web@example.org>\r\nSubject: =?utf-8?b?0J/RgNC40LLQtdGC?= html\r\n\
          Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
          Content-Type: text/html; charset=koi8-r\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
          <html><style>hidden {color: red}</style><p class=3D\"markup\">visible &amp; =F0=D2=C9=D7=C5=D4</p></html>\r\n\
          --b\r\nContent-Type: text/csv; name=table.csv\r\n\
          Content-Disposition: attachment; filename=\"ledger-2026.csv\"\r\n\r\nname,amount\r\nquux,12\r\n--b--\r\n"
            .to_vec(),
    ]
}

/// Search keys of every kind, and how many of [`letters`] each finds.
const QUERIES: [(&str, usize); 44] = [
    ("TEXT fox", 1),
    ("BODY \"brown fox\"", 1),
    ("BODY \"brown  fox\"", 0),
    ("BODY \"n fo\"", 1),
    ("BODY \"fox. \"", 0),
    ("BODY \"fox.\"", 1),
    ("BODY ui", 1),
    ("SUBJECT zanz", 1),
    ("BODY zanzibar", 0),
    ("TEXT anziba", 1),
    ("FROM bob", 2),
    ("FROM \"bob@example.org\"", 2),
    ("FROM \"Bob <\"", 1),
    ("TO alice@ie", 7),
    ("CC court.example", 7),
    ("BCC alice", 0),
    ("TEXT court.example", 7),
    ("NOT FROM example.org", 2),
    ("OR FROM carol SUBJECT inquiry", 2),
    ("OR BODY fox (FROM dora NOT BODY resume)", 2),
    ("BODY привет", 2),
    ("SUBJECT ПРИВЕТ", 1),
    ("BODY вокат", 1),
    ("SUBJECT \"очной п\"", 1),
    ("BODY عربي", 1),
    ("BODY \"نص عربي\"", 1),
    ("BODY 東京", 1),
    ("BODY 京", 1),
    ("BODY 東京都庁", 1),
    ("BODY 東京区", 0),
    ("BODY 第3四", 1),
    ("SUBJECT 本語", 1),
    ("BODY résumé", 1),
    ("BODY STRASSE", 0),
    ("BODY straße", 1),
    ("BODY 세계", 1),
    ("BODY ไทย", 1),
    ("BODY 1b2c3d0a1b2c3d0a", 1),
    ("BODY 0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3dend", 1),
    ("BODY markup", 0),
    ("TEXT ledger-2026", 1),
    ("BODY quux", 1),
    ("HEADER X-Case 117", 7),
    ("HEADER Received Zq81", 7),
];

/// Asks each key of a new session; gives the sequence numbers of each.
async fn answers(world: &World, keys: &[&str]) -> Vec<String> {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let context = world.context();
    tokio::spawn(async move { bailiwick_mail::imap::serve(server, None, &context).await });
    let mut said = String::new();
    let mut ask = async |line: String, tag: &str| {
        client.write_all(line.as_bytes()).await.unwrap();
        let (mut octets, end) = (Vec::new(), format!("\r\n{tag} "));
        loop {
            let text = String::from_utf8_lossy(&octets);
            if text.find(&end).is_some_and(|at| text.as_bytes()[at + 2..].ends_with(b"\r\n")) {
                return text.into_owned();
            }
            octets.push(client.read_u8().await.unwrap());
        }
    };
    said.push_str(&ask(format!("a LOGIN {USER} \"{}\"\r\n", world.secret), "a").await);
    said.push_str(&ask("b SELECT INBOX\r\n".to_owned(), "b").await);
    assert!(said.contains("b OK"), "{said}");
    let mut found = Vec::new();
    for (at, key) in keys.iter().enumerate() {
        let tag = format!("t{at}");
        // UTF-8 goes in literals only.
        let mut line = format!("{tag} SEARCH CHARSET UTF-8 ");
        for word in words(key) {
            if word.is_ascii() {
                line.push_str(&word);
            } else {
                let bare = word.trim_matches('"');
                line.push_str(&format!("{{{}+}}\r\n{bare}", bare.len()));
            }
            line.push(' ');
        }
        let text = ask(format!("{}\r\n", line.trim_end()), &tag).await;
        assert!(text.contains("* SEARCH"), "{key}: {text}");
        let numbers = text.split("* SEARCH").nth(1).unwrap();
        found.push(numbers.split("\r\n").next().unwrap().trim().to_owned());
    }
    found
}

/// Words of a key; what is in quotes is one.
fn words(key: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in key.chars() {
        quoted ^= c == '"';
        match c {
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words
}

async fn filled() -> World {
    let world = World::new();
    for letter in letters() {
        world.deliver(&letter).await;
    }
    world
}

async fn check(world: &World) {
    let keys: Vec<&str> = QUERIES.iter().map(|(key, _)| *key).collect();
    for ((key, count), found) in QUERIES.iter().zip(answers(world, &keys).await) {
        assert_eq!(found.split_whitespace().count(), *count, "{key}: {found}");
    }
}

fn rows(world: &World, kind: RecordKind) -> Vec<(Row, Vec<u8>)> {
    let found = world.store.read().scan(world.account, kind, Row(0));
    found.map(|found| found.unwrap()).map(|(row, value)| (row, value.to_vec())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_the_same_with_and_without_an_index() {
    let world = filled().await;
    check(&world).await;
    let account = world.open().await;
    account.index_now().await.unwrap();
    assert_eq!((rows(&world, SEGMENT).len(), rows(&world, INDEX).len()), (1, 1));
    assert_eq!(account.index_now().await.unwrap(), 0);
    check(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_outlives_a_restart_and_covers_what_comes_later() {
    let world = filled().await;
    let account = world.open().await;
    account.index_now().await.unwrap();
    drop(account);
    let world = world.restarted().await;
    let account = world.open().await;
    assert!(!account.is_altered());
    assert_eq!(account.index_now().await.unwrap(), 0);
    let before = rows(&world, SEGMENT).len();
    let message = b"Subject: appended\r\n\r\nOf the owner's own: wombat.".to_vec();
    account.append(Name::inbox(), message, FlagSet::default(), None).await.unwrap();
    // Not indexed yet, and found; indexed, and found; moved, and found without being read again.
    assert_eq!(answers(&world, &["BODY wombat"]).await, ["9"]);
    account.index_now().await.unwrap();
    assert_eq!(rows(&world, SEGMENT).len(), before + 1);
    assert_eq!(answers(&world, &["BODY wombat", "BODY fox"]).await, ["9", "1"]);
    let inbox = account.state().unwrap().named(&Name::inbox()).unwrap().row;
    account.copy(inbox, vec![9], Name::inbox(), true).await.unwrap();
    assert_eq!(account.index_now().await.unwrap(), 0);
    assert_eq!(answers(&world, &["BODY wombat"]).await, ["9"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_account_indexes_by_itself_and_lets_go_when_it_closes() {
    let world = filled().await;
    let mut commits = world.store.read().watch(world.account).unwrap();
    let account = world.open().await;
    assert!(rows(&world, SEGMENT).is_empty());
    while rows(&world, SEGMENT).is_empty() {
        commits.changed().await.unwrap();
    }
    assert_eq!(account.index_now().await.unwrap(), 0);
    drop(account);
    // The store cannot be opened again while somebody has the account.
    check(&world.restarted().await).await;
}

/// Letters that take a while to be indexed.
async fn long_letters() -> World {
    let world = World::new();
    for letter in 0..24 {
        let mut text = String::from("Subject: long\r\n\r\n");
        for word in 0..5000 {
            text.push_str(&format!("word{letter}x{word}\r\n"));
        }
        world.deliver(text.as_bytes()).await;
    }
    world
}

/// How long an account stays open after its last session left it amid its indexing.
async fn left_after(world: &World, amid: Duration) -> Duration {
    let account = world.open().await;
    let work = tokio::spawn(async move { account.index_now().await });
    // Well into its letters; what is under way on another thread is not ended with the session.
    tokio::time::sleep(amid).await;
    let left = Instant::now();
    work.abort();
    assert!(work.await.is_err_and(|error| error.is_cancelled()));
    while world.door.registry().count() > 0 {
        tokio::task::yield_now().await;
    }
    left.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_whose_sessions_left_is_not_kept_open_to_be_indexed() {
    let world = long_letters().await;
    let account = world.open().await;
    let began = Instant::now();
    assert_eq!(account.index_now().await.unwrap(), 24);
    let whole = began.elapsed();
    drop(account);
    // It would be nearly the whole, and is one letter of 24. A busy machine may hold one try up.
    let mut world = long_letters().await;
    let mut took = left_after(&world, whole / 8).await;
    for _ in 0..2 {
        if took > whole / 2 {
            world = long_letters().await;
            took = left_after(&world, whole / 8).await;
        }
    }
    assert!(took < whole / 2, "{took:?} of {whole:?}");
    // What was left half done hinders nothing.
    assert_eq!(answers(&world, &["BODY word23x4999"]).await, ["24"]);
    assert_eq!(world.open().await.index_now().await.unwrap(), 24);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_small_segments_become_one() {
    let world = World::new();
    let account = world.open().await;
    for number in 0..20 {
        let message = format!("Subject: s\r\n\r\nword{number}word and all").into_bytes();
        account.append(Name::inbox(), message, FlagSet::default(), None).await.unwrap();
        account.index_now().await.unwrap();
    }
    assert!(rows(&world, SEGMENT).len() < 10, "{}", rows(&world, SEGMENT).len());
    let keys = ["BODY word0word", "BODY word7word", "BODY word19", "NOT BODY all"];
    assert_eq!(answers(&world, &keys).await, ["1", "8", "20", ""]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_expunged_leaves_the_index() {
    let world = filled().await;
    let account = world.open().await;
    account.index_now().await.unwrap();
    let before = rows(&world, SEGMENT);
    let inbox = account.state().unwrap().named(&Name::inbox()).unwrap().row;
    let deleted = || FlagSet { flags: Flags::DELETED, ..FlagSet::default() };
    let add = FlagChange::Add;
    account.store_flags(inbox, vec![1], add, deleted(), None).await.unwrap();
    account.expunge(inbox, None).await.unwrap();
    assert_eq!(answers(&world, &["BODY fox"]).await, [""]);
    drop(account);
    let world = world.restarted().await;
    let account = world.open().await;
    account.index_now().await.unwrap();
    made_anew(&world, &before);
    assert_eq!(answers(&world, &["BODY fox", "BODY quux"]).await, ["", "7"]);
    let rest: Vec<u32> = (2..=8).collect();
    account.store_flags(inbox, rest, add, deleted(), None).await.unwrap();
    account.expunge(inbox, None).await.unwrap();
    account.index_now().await.unwrap();
    assert!(rows(&world, SEGMENT).is_empty() && rows(&world, INDEX).is_empty());
}

/// Every octet of every file below a directory.
fn files(directory: &Path, found: &mut Vec<u8>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.extend(std::fs::read(path).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_term_is_on_disk() {
    let world = filled().await;
    world.open().await.index_now().await.unwrap();
    assert!(!rows(&world, SEGMENT).is_empty());
    let mut octets = Vec::new();
    files(world.directory(), &mut octets);
    let words = ["zanzibar", "brown", "адвокатская", "東京", "عربي", "ledger", "court.example"];
    for word in words {
        assert_eq!(memchr::memmem::find(&octets, word.as_bytes()), None, "{word}");
    }
}

/// The accounts index themselves too, so how many letters one call indexes is not asked.
fn made_anew(world: &World, before: &[(Row, Vec<u8>)]) {
    let now = rows(world, SEGMENT);
    assert!(!now.is_empty());
    assert!(now.iter().all(|(row, _)| before.iter().all(|(old, _)| old != row)));
}

/// What somebody with the disk does to the index: nothing is found wrongly, and it comes back.
async fn attacked(attack: impl Fn(&World) -> Batch) {
    let world = filled().await;
    let account = world.open().await;
    account.index_now().await.unwrap();
    let before = rows(&world, SEGMENT);
    world.store.append().commit(attack(&world)).await.unwrap();
    // A session that has the index open, and one that opens it after.
    check(&world).await;
    drop(account);
    let world = world.restarted().await;
    check(&world).await;
    let account = world.open().await;
    account.index_now().await.unwrap();
    drop(account);
    let world = world.restarted().await;
    assert_eq!(world.open().await.index_now().await.unwrap(), 0);
    made_anew(&world, &before);
    assert_eq!(rows(&world, SEGMENT).len(), 1);
    check(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_altered_segment_is_made_anew() {
    attacked(|world| {
        let (row, mut value) = rows(world, SEGMENT).remove(0);
        for octet in value.iter_mut().skip(56) {
            *octet ^= 1;
        }
        Batch::new(world.account).put(SEGMENT, row, value)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_cut_short_is_made_anew() {
    attacked(|world| {
        let (row, value) = rows(world, SEGMENT).remove(0);
        Batch::new(world.account).put(SEGMENT, row, value[..value.len() - 16].to_vec())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_taken_away_is_made_anew() {
    attacked(|world| Batch::new(world.account).delete(SEGMENT, rows(world, SEGMENT)[0].0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_row_taken_away_is_made_anew() {
    attacked(|world| Batch::new(world.account).delete(INDEX, rows(world, INDEX)[0].0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exchanged_segments_are_made_anew() {
    let world = filled().await;
    let account = world.open().await;
    account.index_now().await.unwrap();
    let message = b"Subject: appended\r\n\r\nwombat".to_vec();
    account.append(Name::inbox(), message, FlagSet::default(), None).await.unwrap();
    account.index_now().await.unwrap();
    let before = rows(&world, SEGMENT);
    let [one, other] = <[_; 2]>::try_from(before.clone()).unwrap();
    let batch = Batch::new(world.account).put(SEGMENT, one.0, other.1);
    world.store.append().commit(batch.put(SEGMENT, other.0, one.1)).await.unwrap();
    drop(account);
    let world = world.restarted().await;
    assert_eq!(answers(&world, &["BODY wombat", "BODY fox"]).await, ["9", "1"]);
    world.open().await.index_now().await.unwrap();
    made_anew(&world, &before);
    assert_eq!(answers(&world, &["BODY wombat", "BODY fox"]).await, ["9", "1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_index_put_back_hides_nothing() {
    let world = World::new();
    world.deliver(&letters()[0]).await;
    let account = world.open().await;
    account.index_now().await.unwrap();
    let (index, segment) = (rows(&world, INDEX).remove(0), rows(&world, SEGMENT).remove(0));
    world.deliver(&letters()[1]).await;
    account.index_now().await.unwrap();
    drop(account);
    let mut batch = Batch::new(world.account).put(INDEX, index.0, index.1);
    batch = batch.put(SEGMENT, segment.0, segment.1);
    world.store.append().commit(batch).await.unwrap();
    let world = world.restarted().await;
    assert_eq!(answers(&world, &["BODY привет", "BODY fox"]).await, ["2", "1"]);
    world.open().await.index_now().await.unwrap();
    assert_eq!(rows(&world, SEGMENT).len(), 2);
    assert_eq!(answers(&world, &["BODY привет", "BODY fox"]).await, ["2", "1"]);
}
