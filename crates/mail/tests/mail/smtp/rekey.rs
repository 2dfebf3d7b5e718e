//! Letters that arrive while an account is re-keyed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bailiwick_mail::inbound::Letter;
use bailiwick_mail::mailbox::Name;
use custody::user::Target;
use vocab::{Custody, Timestamp};
use zeroize::Zeroizing;

use super::world::{Cell, NOW, Plan, chance};

const USER: &str = "alice@ie.example";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_acknowledged_letter_is_lost_to_a_rekey() {
    let cell = Cell::new(Plan::new("ie", &[USER])).await;
    let (account, secret) = (cell.account(USER), cell.secret(USER).to_owned());
    let (stop, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let senders: Vec<_> = (0..4)
        .map(|_| {
            let deliverer = cell.context.deliverer.clone();
            let (stop, taken) = (stop.clone(), taken.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let letter = Letter {
                        octets: b"Subject: x\r\n\r\ntext\r\n".as_slice().into(),
                        mail_from: "sender@example.org".to_owned(),
                        received: Timestamp(NOW),
                        verdicts: String::new(),
                        junk: false,
                    };
                    let to = vec![USER.to_owned()];
                    let done = deliverer.deliver(account, Arc::new(letter), to).await;
                    taken.fetch_add(usize::from(done.is_ok()), Ordering::Relaxed);
                }
            })
        })
        .collect();
    let door = &cell.context.door;
    let sudo = async || door.sudo(account, Zeroizing::new(secret.clone())).await.unwrap().unwrap();
    let entropy = chance(77);
    let mut finished = 0;
    for _ in 0..8 {
        let mut unlocked = sudo().await;
        let cell_id = unlocked.locked().manifest().cell;
        let target = Target { cell: cell_id, custody: Custody::Sealed, escrow: None };
        let changes = unlocked.begin_rekey(&target, Timestamp(NOW), &entropy).unwrap();
        door.rekey(unlocked, changes).await.unwrap();
        finished += usize::from(door.finish_rekey(sudo().await).await.unwrap());
    }
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await.unwrap();
    }
    assert!(finished > 0);
    let opened = cell.open(USER).await;
    assert!(!opened.is_altered());
    let messages = opened.state().unwrap().named(&Name::inbox()).unwrap().messages.len();
    assert_eq!(messages, taken.load(Ordering::Relaxed));
    assert!(opened.check().await.unwrap().findings.is_empty());
}
