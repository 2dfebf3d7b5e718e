//! A hundred power cuts amid deliveries.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::cell::{Account, Cell};

const CUTS: usize = 100;
const SENDERS: usize = 4;

/// Sends letters until the server dies; the word of each letter that was acknowledged goes into
/// `acknowledged`.
fn send(
    mx: SocketAddr,
    to: &str,
    next: &AtomicUsize,
    acknowledged: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let stream = TcpStream::connect(mx)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let mut ask = |command: String| -> io::Result<String> {
        (&stream).write_all(command.as_bytes())?;
        loop {
            let line = lines.next().ok_or(io::ErrorKind::UnexpectedEof)??;
            if line.as_bytes().get(3) == Some(&b' ') {
                return Ok(line);
            }
        }
    };
    ask(String::new())?;
    ask("EHLO mail.example.org\r\n".to_owned())?;
    loop {
        let word = format!("letter-{}-end", next.fetch_add(1, Ordering::Relaxed));
        ask("MAIL FROM:<bob@example.org>\r\n".to_owned())?;
        ask(format!("RCPT TO:<{to}>\r\n"))?;
        ask("DATA\r\n".to_owned())?;
        let text = "in chambers\r\n".repeat(300);
        let reply = ask(format!("From: bob@example.org\r\nSubject: {word}\r\n\r\n{text}.\r\n"))?;
        assert!(reply.starts_with("250"), "{reply}");
        acknowledged.lock().unwrap().push(word);
    }
}

fn subjects(cell: &Cell, account: &Account) -> String {
    let mut imap = cell.inbox(account);
    let all = imap.ok("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
    imap.ok("LOGOUT");
    all
}

#[test]
fn a_hundred_power_cuts_amid_deliveries_lose_no_acknowledged_letter() {
    let mut cell = Cell::serving("ie");
    let accounts = [cell.account("alice"), cell.account("carol")];
    cell.stop();
    let (next, acknowledged) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    for cut in 0..CUTS {
        cell.start();
        let mx = cell.at("mx");
        std::thread::scope(|scope| {
            for sender in 0..SENDERS {
                let to = &accounts[sender % accounts.len()].address;
                let (next, acknowledged) = (&next, &acknowledged);
                // Its connection breaks when the server dies; that is how it ends.
                scope.spawn(move || send(mx, to, next, acknowledged).is_err());
            }
            // Each cut comes at another time of the deliveries.
            std::thread::sleep(Duration::from_millis(20 + (cut as u64 * 7) % 90));
            cell.kill();
        });
    }
    cell.start();
    let stored: String = accounts.iter().map(|account| subjects(&cell, account)).collect();
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() > CUTS, "only {} letters: nothing was tried", acknowledged.len());
    let lost: Vec<_> = acknowledged.iter().filter(|word| !stored.contains(*word)).collect();
    assert_eq!(lost, Vec::<&String>::new(), "lost of {}", acknowledged.len());
    println!("{CUTS} power cuts, {} letters acknowledged, none lost", acknowledged.len());
}
