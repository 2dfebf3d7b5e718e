//! What a client may take of the server: time before it has logged in, and memory after.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fmt::Write as _;
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, DuplexStream};

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
