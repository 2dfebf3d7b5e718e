//! Replies, ours and others'.

use bailiwick_proto::address::Address;
use bailiwick_proto::smtp::{
    Config, EnhancedCode, Event, Reply, ReplyError, ReplyReader, Role, Session, Severity, Tls,
};

fn read(wire: &[u8]) -> Result<Option<Reply>, ReplyError> {
    let mut reader = ReplyReader::new();
    reader.push(wire);
    reader.next_reply()
}

#[test]
fn lines_of_one_reply_are_joined() {
    let reply = read(b"250-2.1.0 one\r\n250-2.1.0 two\r\n250 2.1.0 three\r\n").unwrap().unwrap();
    assert_eq!(reply.enhanced, Some(EnhancedCode(2, 1, 0)));
    assert_eq!(reply.lines, ["one", "two", "three"]);
    assert_eq!(read(b"250-a\r\n250").unwrap(), None);
    assert_eq!(read(b"250\r\n").unwrap().unwrap().lines, [""]);
}

#[test]
fn what_looks_like_an_enhanced_code_may_be_text() {
    for wire in
        ["250 5.1.1 x", "250 2.1 x", "250 2.1.0000 x", "250 2.1.0.0 x", "250 2.x.0 x", "250 3.0.0"]
    {
        let reply = read(format!("{wire}\r\n").as_bytes()).unwrap().unwrap();
        assert_eq!(reply.enhanced, None, "{wire}");
        assert_eq!(reply.lines, [&wire[4..]]);
    }
}

#[test]
fn what_is_no_reply_is_refused() {
    for (wire, error) in [
        (&b"hello\r\n"[..], ReplyError::NoCode),
        (b"99 x\r\n", ReplyError::NoCode),
        (b"250x\r\n", ReplyError::NoCode),
        (b"600 x\r\n", ReplyError::NoCode),
        (b"100 x\r\n", ReplyError::NoCode),
        (b"+50 x\r\n", ReplyError::NoCode),
        (b"\r\n", ReplyError::NoCode),
        (b"250-a\r\n251 b\r\n", ReplyError::MixedCodes),
    ] {
        assert_eq!(read(wire), Err(error), "{}", wire.escape_ascii());
    }
    assert_eq!(read(&vec![b'2'; 5000]), Err(ReplyError::TooLong));
    assert_eq!(read(&b"250-x\r\n".repeat(101)), Err(ReplyError::TooLong));
}

#[test]
fn a_servers_text_cannot_carry_control_characters() {
    let reply = read(b"550 a\x1b[31m\x00b\r\n").unwrap().unwrap();
    assert_eq!(reply.lines, ["a?[31m?b"]);
}

#[test]
fn an_encoded_reply_is_printable_and_short() {
    let reply = Reply {
        code: 250,
        enhanced: None,
        lines: vec!["a\r\n250 b\u{e9}".to_owned(), "x".repeat(2000)],
    };
    let wire = String::from_utf8(reply.encode()).unwrap();
    let lines: Vec<&str> = wire.split_terminator("\r\n").collect();
    assert_eq!(lines[0], "250-a??250 b?");
    assert!(lines.iter().all(|line| line.len() <= 510));
    assert_eq!(lines.len(), 2);
    assert_eq!(Reply { code: 250, enhanced: None, lines: vec![] }.encode(), b"250 \r\n");
}

#[test]
fn the_first_digit_is_the_decision() {
    assert_eq!(Reply::recipient_ok().severity(), Severity::Positive);
    assert_eq!(Reply::send_message().severity(), Severity::Intermediate);
    assert_eq!(Reply::mailbox_full().severity(), Severity::Transient);
    assert_eq!(Reply::no_such_recipient().severity(), Severity::Permanent);
}

#[test]
fn an_answer_needs_a_question() {
    let postmaster = Address::parse("postmaster@ie.example").unwrap();
    let mut session =
        Session::new(Config::new(Role::Mx, "mx.ie.example", postmaster.clone(), Tls::Unavailable));
    assert!(session.answer(&Reply::ok()).is_err());
    session.feed(b"EHLO c\r\nMAIL FROM:<> SMTPUTF8\r\n");
    while !matches!(session.next_event(), Event::MailFrom { .. }) {}
    assert!(matches!(session.next_event(), Event::NeedAnswer));
    session.answer(&Reply::sender_ok()).unwrap();
    assert_eq!((session.protocol(), session.hello()), ("UTF8SMTP", Some("c")));
    assert!(session.answer(&Reply::sender_ok()).is_err());

    let config = Config::new(Role::Mx, "mx.ie.example", postmaster, Tls::Unavailable);
    let mut session = Session::turned_away(config, &Reply::too_busy());
    let Event::Reply(octets) = session.next_event() else { panic!("no reply") };
    assert_eq!(octets, b"421 4.3.2 too busy, closing\r\n");
    assert!(matches!(session.next_event(), Event::Close));
}

#[test]
fn debug_shows_no_address_and_no_password() {
    let postmaster = Address::parse("postmaster@ie.example").unwrap();
    let mut session =
        Session::new(Config::new(Role::Submission, "mx.ie.example", postmaster, Tls::Active));
    session.feed(b"EHLO c\r\nAUTH PLAIN AGFsaWNlQGllLmV4YW1wbGUAc2VjcmV0\r\n");
    let event = loop {
        let event = session.next_event();
        if matches!(event, Event::Authenticate(_)) {
            break event;
        }
    };
    assert_eq!(format!("{event:?}"), "Authenticate");
}

proptest::proptest! {
    #[test]
    fn any_octets_are_replies_or_not(octets in proptest::collection::vec(0_u8.., 0..200)) {
        let mut reader = ReplyReader::new();
        reader.push(&octets);
        while let Ok(Some(reply)) = reader.next_reply() {
            let wire = reply.encode();
            proptest::prop_assert!(wire.ends_with(b"\r\n"));
        }
    }
}
