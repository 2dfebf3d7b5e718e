//! The client under replies that no transcript writes down.

use bailiwick_proto::address::{Address, Path};
use bailiwick_proto::smtp::{Client, ClientEvent, Delivery, Job, Reply, TlsNeed};

fn job(recipients: usize) -> Job {
    Job {
        hello: "mx.ie.example".to_owned(),
        from: Path::Null,
        recipients: (0..recipients)
            .map(|n| Address::parse(&format!("r{n}@us.example")).unwrap())
            .collect(),
        octets: 10,
        utf8_headers: false,
        eight_bit: false,
        tls: TlsNeed::Never,
    }
}

#[test]
fn many_recipients_go_in_groups_that_fit_a_window() {
    let mut client = Client::new(job(120));
    client.feed(b"220 x\r\n250-x\r\n250 PIPELINING\r\n250 ok\r\n");
    let mut groups = Vec::new();
    loop {
        match client.next_event() {
            ClientEvent::Send(octets) => {
                let text = String::from_utf8(octets).unwrap();
                let named = text.matches("RCPT").count();
                if named > 0 {
                    groups.push(named);
                    client.feed(&b"250 ok\r\n".repeat(named));
                }
                if text == "DATA\r\n" {
                    client.feed(b"354 go\r\n");
                }
            }
            ClientEvent::NeedBody => {
                let _ = client.body(b"x\r\n");
                let _ = client.body_end();
                client.feed(b"250 ok\r\n");
            }
            ClientEvent::Done(outcome) => {
                assert_eq!(groups, [50, 50, 20]);
                assert!(outcome.deliveries.iter().all(|d| matches!(d, Delivery::Delivered(_))));
                return;
            }
            event => panic!("{event:?}"),
        }
    }
}

#[test]
fn a_failure_defers_only_what_is_not_settled() {
    let mut client = Client::new(job(2));
    client.feed(b"220 x\r\n250-x\r\n250 PIPELINING\r\n250 ok\r\n550 no\r\n");
    while !matches!(client.next_event(), ClientEvent::NeedInput) {}
    client.fail(&Reply::timed_out());
    let ClientEvent::Done(outcome) = client.next_event() else { panic!("not done") };
    assert!(matches!(outcome.deliveries[0], Delivery::Refused(_)));
    assert_eq!(outcome.deliveries[1], Delivery::Deferred(Reply::timed_out()));
}

proptest::proptest! {
    /// Whatever a server says, nothing is delivered before the end of the message is sent.
    #[test]
    fn any_server_leaves_the_client_standing(
        replies in "([2345][0-9][0-9][ -][a-zA-Z .0-9]{0,12}\r\n|[ -~\r\n]{0,9}){0,12}"
    ) {
        let mut client = Client::new(job(3));
        client.feed(replies.as_bytes());
        let mut sent_end = false;
        for _ in 0..100 {
            match client.next_event() {
                ClientEvent::NeedInput => client.fail(&Reply::connection_lost()),
                ClientEvent::NeedBody => {
                    let _ = client.body_end();
                    sent_end = true;
                }
                ClientEvent::StartTls => client.tls_started(),
                ClientEvent::Send(_) => {}
                ClientEvent::Done(outcome) => {
                    proptest::prop_assert_eq!(outcome.deliveries.len(), 3);
                    let delivered = outcome.deliveries.iter().any(|d| matches!(d, Delivery::Delivered(_)));
                    proptest::prop_assert!(sent_end || !delivered);
                    return Ok(());
                }
            }
        }
        proptest::prop_assert!(false, "the client never ends");
    }
}
