//! The queue: what is taken is delivered, or its sender is told, whatever happens between.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bailiwick_mail::dns::Dns;
use core::net::Ipv4Addr;
use tokio::io::DuplexStream;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use vocab::RecordKind;

use super::dns::{Data, Zone};
use super::world::{Cell, NOW, Plan};

const ALICE: &str = "alice@ie.example";
const MX: &str = "192.0.2.50:25";
const DAY: u64 = 86_400;

/// Another domain's server, that answers as it is told.
#[derive(Clone)]
struct Other {
    /// The reply to RCPT of an address that begins so; 250 to all others.
    refuses: Arc<Mutex<Vec<(&'static str, &'static str)>>>,
    /// The reply to the end of the message.
    end: Arc<Mutex<&'static str>>,
    offers_tls: bool,
    /// What it was told, in order.
    heard: Arc<Mutex<Vec<String>>>,
}

impl Other {
    fn new() -> Self {
        Self {
            refuses: Arc::default(),
            end: Arc::new(Mutex::new("250 2.0.0 kept")),
            offers_tls: false,
            heard: Arc::default(),
        }
    }

    fn refuse(&self, who: &'static str, reply: &'static str) {
        *self.refuses.lock().unwrap() = vec![(who, reply)];
    }

    fn at(&self, cell: &Cell, address: &str) {
        let other = self.clone();
        cell.plan.net.host(address, move |stream| {
            let other = other.clone();
            tokio::spawn(async move { other.talk(stream).await });
        });
    }

    fn reply(&self, line: &str) -> String {
        let upper = line.to_ascii_uppercase();
        if upper.starts_with("EHLO") {
            let tls = if self.offers_tls { "250-STARTTLS\r\n" } else { "" };
            return format!("250-mx.example.net\r\n{tls}250-PIPELINING\r\n250 8BITMIME");
        }
        if upper.starts_with("RCPT") {
            let refuses = self.refuses.lock().unwrap();
            let found = refuses.iter().find(|(who, _)| line.contains(&format!("<{who}")));
            return found.map_or("250 ok", |(_, reply)| *reply).to_owned();
        }
        match upper.as_str() {
            "DATA" => "354 go on".to_owned(),
            "." => (*self.end.lock().unwrap()).to_owned(),
            "STARTTLS" => "220 go on".to_owned(),
            "QUIT" => "221 bye".to_owned(),
            _ => "250 ok".to_owned(),
        }
    }

    async fn talk(&self, stream: DuplexStream) {
        let mut stream = BufReader::new(stream);
        drop(stream.get_mut().write_all(b"220 mx.example.net\r\n").await);
        let (mut line, mut in_data) = (String::new(), false);
        loop {
            line.clear();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let said = line.trim_end().to_owned();
            self.heard.lock().unwrap().push(said.clone());
            if in_data && said != "." {
                continue;
            }
            in_data = said == "DATA";
            let reply = format!("{}\r\n", self.reply(&said));
            drop(stream.get_mut().write_all(reply.as_bytes()).await);
            if said == "STARTTLS" {
                let mut word = [0; 6];
                if stream.read_exact(&mut word).await.is_err() {
                    return;
                }
                drop(stream.get_mut().write_all(b"OK\n").await);
                self.heard.lock().unwrap().push("TLS runs".to_owned());
            }
        }
    }

    fn heard(&self) -> String {
        self.heard.lock().unwrap().join("\n")
    }
}

fn zone() -> Zone {
    let zone = Zone::default();
    zone.add("example.net", Data::Mx(10, "mx.example.net"));
    zone.add("mx.example.net", Data::A(Ipv4Addr::new(192, 0, 2, 50)));
    zone.add("plain.example", Data::A(Ipv4Addr::new(192, 0, 2, 50)));
    zone.add("null.example", Data::Mx(0, "."));
    zone.add("loop.example", Data::Mx(0, "mx.ie.example"));
    zone.add("dark.example", Data::Servfail);
    zone
}

async fn cell() -> Cell {
    let mut plan = Plan::new("ie", &[ALICE]);
    plan.dns = Some(Dns::new(&[zone().serve().await]).unwrap());
    Cell::new(plan).await
}

async fn submit(cell: &Cell, from: &str, to: &[&str]) {
    let letter = "From: alice@ie.example\r\nSubject: Known subject\r\n\r\nKnown plaintext.";
    let reply = cell.submission(ALICE).await.send(from, to, letter).await;
    assert!(reply.starts_with("250"), "{reply}");
}

fn queued(cell: &Cell) -> (usize, usize) {
    (cell.rows(RecordKind::QueueItem), cell.rows(RecordKind::QueueBody))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_letter_survives_a_restart_and_is_delivered_later() {
    let cell = cell().await;
    let other = Other::new();
    other.refuse("someone", "451 4.2.0 not now");
    other.at(&cell, MX);
    submit(&cell, ALICE, &["someone@example.net"]).await;
    assert_eq!(cell.context.queue.run_once().await, 1);
    let status = cell.context.queue.status();
    assert_eq!((status.items, status.deferred), (1, 1));
    assert_eq!(cell.context.queue.run_once().await, 0, "not due yet");
    let cell = cell.restarted(|_| {}).await;
    let status = cell.context.queue.status();
    assert_eq!((status.items, status.deferred), (1, 1));
    assert!(!cell.disk_says("someone@") && !cell.disk_says("known subject"));
    other.refuses.lock().unwrap().clear();
    cell.later(61);
    assert_eq!(cell.context.queue.run_once().await, 1);
    assert_eq!(queued(&cell), (0, 0));
    let heard = other.heard();
    assert!(heard.contains("MAIL FROM:<alice@ie.example>"), "{heard}");
    assert!(heard.contains("Known plaintext."), "{heard}");
    assert_eq!(cell.inbox(ALICE).await.len(), 0, "nobody is told of a success");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_letter_comes_back_sealed_to_its_sender() {
    let cell = cell().await;
    let other = Other::new();
    other.refuse("nobody", "550 5.1.1 <nobody@example.net> who?");
    other.at(&cell, MX);
    submit(&cell, ALICE, &["nobody@example.net", "someone@example.net"]).await;
    cell.context.queue.run_once().await;
    assert_eq!(queued(&cell), (0, 0));
    assert!(other.heard().contains("Known plaintext."));
    assert_eq!(cell.rows(RecordKind::LetterHead), 1);
    assert!(!cell.disk_says("nobody@"));
    let inbox = cell.inbox(ALICE).await;
    assert_eq!(inbox.len(), 1);
    let notice = &inbox[0];
    for part in [
        "Return-Path: <>\r\n",
        "Auto-Submitted: auto-replied",
        "multipart/report; report-type=delivery-status",
        "Final-Recipient: rfc822; nobody@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n",
        "Remote-MTA: dns; mx.example.net\r\n",
        "Diagnostic-Code: smtp; 550 5.1.1 <nobody@example.net> who?\r\n",
        "Subject: Known subject\r\n",
    ] {
        assert!(notice.contains(part), "{part}: {notice}");
    }
    assert!(!notice.contains("Known plaintext") && !notice.contains("someone@"), "{notice}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nothing_is_sent_twice_since_nothing_is_sent() {
    let cell = cell().await;
    let other = Other::new();
    other.at(&cell, MX);
    submit(&cell, ALICE, &["someone@example.net"]).await;
    let cell = cell.restarted(|plan| plan.reserve_bytes = u64::MAX).await;
    assert_eq!(cell.context.queue.run_once().await, 1);
    assert_eq!((other.heard().as_str(), queued(&cell)), ("", (1, 1)));
    let cell = cell.restarted(|plan| plan.reserve_bytes = 0).await;
    assert_eq!(cell.context.queue.run_once().await, 1);
    assert!(other.heard().contains("Known plaintext."));
    assert_eq!(queued(&cell), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_does_not_wait_for_the_time_of_a_clock_that_was_wrong() {
    let cell = cell().await;
    let other = Other::new();
    other.at(&cell, MX);
    other.refuse("someone", "450 4.2.0 later");
    cell.later(20 * 365 * DAY);
    submit(&cell, ALICE, &["someone@example.net"]).await;
    assert_eq!(cell.context.queue.run_once().await, 1);
    cell.clock.set(NOW);
    let cell = cell.restarted(|_| {}).await;
    other.refuse("nobody", "");
    assert_eq!(cell.context.queue.run_once().await, 0, "not at once, but in its time");
    cell.later(4 * 3600);
    assert_eq!(cell.context.queue.run_once().await, 1);
    assert!(other.heard().contains("Known plaintext."));
    assert_eq!(queued(&cell), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_was_altered_is_left_alone() {
    let cell = cell().await;
    submit(&cell, ALICE, &["someone@example.net"]).await;
    let (read, account) = (cell.store.read(), routes_of(&cell));
    let (row, sealed) =
        read.scan(account, RecordKind::QueueItem, vocab::Row(0)).next().unwrap().unwrap();
    let mut altered = sealed.to_vec();
    *altered.last_mut().unwrap() ^= 1;
    let batch = store::Batch::new(account).put(RecordKind::QueueItem, row, altered);
    cell.store.append().commit(batch).await.unwrap();
    assert_eq!(cell.context.queue.run_once().await, 1);
    assert_eq!(queued(&cell), (1, 1));
    // Nor does it keep the others from being sent after a restart.
    drop(read);
    let cell = cell.restarted(|_| {}).await;
    let other = Other::new();
    other.at(&cell, MX);
    submit(&cell, ALICE, &["other@example.net"]).await;
    cell.context.queue.run_once().await;
    assert!(other.heard().contains("<other@example.net>"));
    assert_eq!(queued(&cell), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_is_never_sent_about_a_notice() {
    let cell = cell().await;
    let other = Other::new();
    other.refuse("nobody", "550 5.1.1 no");
    other.at(&cell, MX);
    submit(&cell, "", &["nobody@example.net"]).await;
    cell.context.queue.run_once().await;
    assert_eq!(queued(&cell), (0, 0));
    assert_eq!(cell.inbox(ALICE).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_stays_undelivered_for_five_days_comes_back() {
    let cell = cell().await;
    // Nobody listens at the exchange.
    submit(&cell, ALICE, &["someone@example.net"]).await;
    let mut attempts = 0;
    for _ in 0..200 {
        attempts += cell.context.queue.run_once().await;
        if queued(&cell) == (0, 0) {
            break;
        }
        cell.later(3600);
    }
    assert!((30..60).contains(&attempts), "{attempts}");
    let notice = cell.inbox(ALICE).await.remove(0);
    assert!(notice.contains("Action: failed\r\nStatus: 4.4.2\r\n"), "{notice}");
}

#[tokio::test(flavor = "multi_thread")]
async fn domains_that_take_no_mail_are_told_apart_from_those_that_do_not_answer() {
    let cell = cell().await;
    let to = ["a@null.example", "b@nowhere.example", "c@loop.example", "d@dark.example"];
    submit(&cell, ALICE, &to).await;
    cell.context.queue.run_once().await;
    assert_eq!(queued(&cell), (1, 1), "one domain may answer later");
    let notice = cell.inbox(ALICE).await.remove(0);
    for part in [
        "a@null.example\r\nAction: failed\r\nStatus: 5.1.10\r\n",
        "b@nowhere.example\r\nAction: failed\r\nStatus: 5.1.2\r\n",
        "c@loop.example\r\nAction: failed\r\nStatus: 5.4.6\r\n",
    ] {
        assert!(notice.contains(part), "{part}: {notice}");
    }
    assert!(!notice.contains("d@dark.example"), "{notice}");
    cell.later(6 * DAY);
    cell.context.queue.run_once().await;
    assert_eq!(queued(&cell), (0, 0));
    assert_eq!(cell.inbox(ALICE).await.len(), 2, "each is told of once");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_used_if_it_works_and_done_without_if_not() {
    for works in [true, false] {
        let cell = cell().await;
        let mut other = Other::new();
        other.offers_tls = true;
        other.at(&cell, MX);
        cell.plan.net.tls_works.store(works, Ordering::Relaxed);
        submit(&cell, ALICE, &["someone@plain.example"]).await;
        cell.context.queue.run_once().await;
        assert_eq!(queued(&cell), (0, 0));
        let heard = other.heard();
        assert_eq!(heard.contains("TLS runs"), works, "{heard}");
        assert!(heard.contains("Known plaintext."), "{heard}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_breaks_off_after_the_message_leaves_it_queued() {
    let cell = cell().await;
    let other = Other::new();
    *other.end.lock().unwrap() = "421 4.3.2 going";
    other.at(&cell, MX);
    submit(&cell, ALICE, &["someone@example.net"]).await;
    cell.context.queue.run_once().await;
    assert_eq!(queued(&cell), (1, 1));
    *other.end.lock().unwrap() = "250 2.0.0 kept";
    cell.context.queue.flush();
    assert_eq!(cell.context.queue.run_once().await, 1);
    assert_eq!(queued(&cell), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_works_by_itself_and_stops_when_told() {
    let cell = cell().await;
    let other = Other::new();
    other.at(&cell, MX);
    let queue = Arc::clone(&cell.context.queue);
    let running = tokio::spawn(queue.run(cell.down.subscribe()));
    let mut changes = cell.store.read().watch(routes_of(&cell)).unwrap();
    submit(&cell, ALICE, &["someone@example.net"]).await;
    while queued(&cell) != (0, 0) {
        tokio::time::timeout(core::time::Duration::from_secs(20), changes.changed())
            .await
            .unwrap()
            .unwrap();
    }
    cell.down.send_replace(true);
    running.await.unwrap();
    assert!(other.heard().contains("Known plaintext."));
}

/// The pseudo-account of the cell: the one that holds routes.
fn routes_of(cell: &Cell) -> vocab::AccountId {
    let read = cell.store.read();
    let holds_routes = |account| read.scan(account, RecordKind::Route, vocab::Row(0)).count() > 0;
    let mut accounts = read.accounts().map(|found| found.unwrap().0);
    accounts.find(|account| holds_routes(*account)).unwrap()
}
