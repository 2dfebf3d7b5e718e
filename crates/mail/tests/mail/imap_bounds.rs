//! What a client may take of the server: time before it has logged in, and memory after.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fmt::Write as _;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use crate::world::{PATIENCE, USER, World, until};

fn connect(world: &World) -> DuplexStream {
    let (client, server) = tokio::io::duplex(1 << 16);
    let context = world.context();
    tokio::spawn(async move { bailiwick_mail::imap::serve(server, None, &context).await });
    client
}

async fn say(client: &mut DuplexStream, line: &str) -> String {
    client.write_all(line.as_bytes()).await.unwrap();
    client.write_all(b"\r\n").await.unwrap();
    until(client, line.split(' ').next().unwrap()).await
}

async fn logged_in(world: &World) -> DuplexStream {
    let mut client = connect(world);
    let answer = say(&mut client, &format!("a LOGIN {USER} {}", world.secret)).await;
    assert!(answer.contains("a OK"));
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_talks_and_never_logs_in_is_sent_away() {
    let mut world = World::new();
    world.limits.login = Duration::from_millis(300);
    let mut client = connect(&world);
    let talking = async {
        // Never silent, never wrong, never logged in.
        while client.write_all(b"a NOOP\r\n").await.is_ok() {
            until(&mut client, "a ").await;
        }
    };
    tokio::time::timeout(PATIENCE, talking).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_fetch_says_a_message_over_a_few_times_at_most() {
    let world = World::new();
    let mut client = logged_in(&world).await;
    let size = 900 * 1024;
    let message = format!("Subject: a\r\n\r\n{}", "x".repeat(size));
    client
        .write_all(format!("b APPEND INBOX {{{}+}}\r\n", message.len()).as_bytes())
        .await
        .unwrap();
    client.write_all(message.as_bytes()).await.unwrap();
    assert!(say(&mut client, "").await.contains("b OK"));
    assert!(say(&mut client, "c SELECT INBOX").await.contains("c OK"));
    let mut items = String::new();
    for from in 0..100 {
        write!(items, "BODY.PEEK[]<{from}.99999999> ").unwrap();
    }
    let answer = say(&mut client, &format!("d FETCH 1 ({items}UID)")).await;
    assert!(answer.len() < 10 * size && answer.contains("d NO [LIMIT]"), "{}", answer.len());
    let answer = say(&mut client, "e FETCH 1 (BODY.PEEK[] BODY.PEEK[TEXT] RFC822.HEADER)").await;
    assert!(answer.len() > 2 * size && answer.contains("e OK"));
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_appends_of_one_account_have_a_bound_together() {
    let mut world = World::new();
    world.limits.append_octets = 100 << 20;
    let (mut first, mut second) = (logged_in(&world).await, logged_in(&world).await);
    let announced = 100 << 20;
    for client in [&mut first, &mut second] {
        let line = format!("b APPEND INBOX {{{announced}}}\r\n");
        client.write_all(line.as_bytes()).await.unwrap();
        assert!(until(client, "+").await.contains('+'));
    }
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..99 {
        first.write_all(&piece).await.unwrap();
    }
    let mut sent = 0;
    while sent < 99 && second.write_all(&piece).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 99, "{sent}");
    assert!(until(&mut second, "* BYE").await.contains("[LIMIT]"));
    // What it held is free again, and nobody else's account was concerned.
    first.write_all(&piece).await.unwrap();
    assert!(say(&mut first, "").await.contains("b OK"));
    drop(logged_in(&world).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn octets_that_end_no_command_do_not_keep_an_account_open() {
    let mut world = World::new();
    world.limits.after_login = Duration::from_millis(300);
    let client = logged_in(&world).await;
    assert_eq!(world.door.registry().count(), 1);
    let (mut reader, mut writer) = tokio::io::split(client);
    // Never silent for as long as it may be, and never done.
    let dribbling = async {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let mut said = String::new();
    let ended = tokio::time::timeout(PATIENCE, reader.read_to_string(&mut said));
    tokio::select! {
        () = dribbling => {}
        ended = ended => drop(ended.unwrap()),
    }
    closes(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_that_arrive_do_not_keep_a_silent_clients_account_open() {
    let mut world = World::new();
    world.limits.after_login = Duration::from_millis(300);
    let mut client = logged_in(&world).await;
    assert!(say(&mut client, "b SELECT INBOX").await.contains("b OK"));
    client.write_all(b"c IDLE\r\n").await.unwrap();
    let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
    let told = async {
        while let Ok(count @ 1..) = client.read(&mut buffer).await {
            said.extend_from_slice(&buffer[..count]);
        }
    };
    let letters = async {
        loop {
            world.deliver(b"Subject: a\r\n\r\nb\r\n").await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        told = tokio::time::timeout(PATIENCE, told) => told.unwrap(),
        () = letters => {}
    }
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("EXISTS") && said.contains("* BYE [UNAVAILABLE]"), "{said}");
    drop(client);
    closes(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_message_may_take_longer_than_silence_as_long_as_it_comes() {
    let mut world = World::new();
    world.limits.after_login = Duration::from_secs(4);
    let mut client = logged_in(&world).await;
    client.write_all(b"b APPEND INBOX {1000000+}\r\n").await.unwrap();
    let began = std::time::Instant::now();
    client.write_all(&vec![b'x'; 100_000]).await.unwrap();
    for _ in 0..9 {
        client.write_all(&vec![b'x'; 100_000]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(began.elapsed() > world.limits.after_login);
    assert!(say(&mut client, "").await.contains("b OK"));
}

/// Waits until no account is open: keys are kept for nobody.
async fn closes(world: &World) {
    let closed = async {
        while world.door.registry().count() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.unwrap();
}
