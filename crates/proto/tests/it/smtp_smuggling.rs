//! A message ends where CRLF `.` CRLF says, and nowhere else: RFC 5321 §4.1.1.4,
//! CVE-2023-51764 to 51766 and their kin.

use bailiwick_proto::address::Address;
use bailiwick_proto::smtp::{
    Config, DataDecoder, DotStuffer, Event, LineReader, Reply, Role, Session, Tls,
};

/// Line ends and near ends of messages that one server or another has taken for the end.
const NEAR_ENDS: [&[u8]; 28] = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r",
    b"\r.\n",
    b"\r.\r\n",
    b"\n.\r",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r\n.\r\r\n",
    b"\r\n.\n\n",
    b"\r\n.\n\r\n",
    b"\r\n\n.\r\n",
    b"\r\n\r.\r\n",
    b"\r\r\n.\r\r\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n.\r\0\n",
    b"\r\0\n.\r\n",
    b"\0\r\n.\n",
    b"\r\n..\n",
    b"\n\n.\n\n",
    b"\r\r.\r\r",
    b"\x85.\x85\n",
    b"\r\n.\x0b\n",
    b"\n\r.\n\r",
    b"\r\n.\r.\r\n.\n",
    b"\n.\r\n.\n",
    b"\r.\n.\r",
];

struct Seen {
    mails: usize,
    ends: usize,
    replies: String,
    closed: bool,
}

/// Drives a session that says yes to everything, `chunk` octets at a time.
fn drive(input: &[u8], chunk: usize) -> Seen {
    let postmaster = Address::parse("postmaster@ie.example").unwrap();
    let mut session =
        Session::new(Config::new(Role::Mx, "mx.ie.example", postmaster, Tls::Unavailable));
    let mut seen = Seen { mails: 0, ends: 0, replies: String::new(), closed: false };
    let mut chunks = input.chunks(chunk);
    loop {
        match session.next_event() {
            Event::NeedInput => match chunks.next() {
                Some(chunk) => session.feed(chunk),
                None => return seen,
            },
            Event::Reply(octets) => seen.replies.push_str(&String::from_utf8(octets).unwrap()),
            Event::MailFrom { .. } => {
                seen.mails += 1;
                session.answer(&Reply::sender_ok()).unwrap();
            }
            Event::Rcpt(_) => session.answer(&Reply::recipient_ok()).unwrap(),
            Event::DataEnd => {
                seen.ends += 1;
                session.answer(&Reply::message_accepted()).unwrap();
            }
            Event::Data(_) | Event::Abandoned => {}
            Event::Close => {
                seen.closed = true;
                return seen;
            }
            event => panic!("{event:?}"),
        }
    }
}

/// Commands one by one, so that DATA is not answered by what it did not wait for.
fn with_message(message: &[u8], chunk: usize) -> Seen {
    let postmaster = Address::parse("postmaster@ie.example").unwrap();
    let mut session =
        Session::new(Config::new(Role::Mx, "mx.ie.example", postmaster, Tls::Unavailable));
    let mut seen = Seen { mails: 0, ends: 0, replies: String::new(), closed: false };
    let mut script: Vec<Vec<u8>> = vec![
        b"HELO client\r\n".to_vec(),
        b"MAIL FROM:<a@example.org>\r\n".to_vec(),
        b"RCPT TO:<b@ie.example>\r\n".to_vec(),
        b"DATA\r\n".to_vec(),
    ];
    script.extend(message.chunks(chunk).map(<[u8]>::to_vec));
    let mut script = script.into_iter();
    loop {
        match session.next_event() {
            Event::NeedInput => match script.next() {
                Some(octets) => session.feed(&octets),
                None => return seen,
            },
            Event::Reply(octets) => seen.replies.push_str(&String::from_utf8(octets).unwrap()),
            Event::MailFrom { .. } => {
                seen.mails += 1;
                session.answer(&Reply::sender_ok()).unwrap();
            }
            Event::Rcpt(_) => session.answer(&Reply::recipient_ok()).unwrap(),
            Event::DataEnd => {
                seen.ends += 1;
                session.answer(&Reply::message_accepted()).unwrap();
            }
            Event::Data(_) | Event::Abandoned => {}
            Event::Close => {
                seen.closed = true;
                return seen;
            }
            event => panic!("{event:?}"),
        }
    }
}

#[test]
fn no_near_end_lets_a_second_message_in() {
    for near_end in NEAR_ENDS {
        let mut message = b"Subject: outer\r\n\r\nfirst".to_vec();
        message.extend_from_slice(near_end);
        message.extend_from_slice(
            b"MAIL FROM:<admin@ie.example>\r\nRCPT TO:<c@ie.example>\r\nDATA\r\n",
        );
        message.extend_from_slice(b"Subject: smuggled\r\n\r\nsecond\r\n.\r\n");
        message.extend_from_slice(b"MAIL FROM:<after@example.org>\r\n");
        for chunk in [1, 2, 3, 5, 1000] {
            let seen = with_message(&message, chunk);
            let name = near_end.escape_ascii();
            assert_eq!(seen.mails, 1, "{name}: a second MAIL was obeyed");
            if near_end == b"\x85.\x85\n"
                || near_end.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0))
            {
                assert_eq!(seen.ends, 0, "{name}: the message was taken");
                assert!(seen.closed, "{name}: the session goes on");
                assert!(seen.replies.contains("550 5.6.0 "), "{name}: {}", seen.replies);
            }
        }
    }
}

#[test]
fn dots_that_end_nothing_stay_in_the_message() {
    for (wire, message) in [
        (&b"..\r\n.\r\n"[..], &b".\r\n"[..]),
        (b".a\r\n.\r\n", b"a\r\n"),
        (b"a.\r\n.\r\n", b"a.\r\n"),
        (b"a\r\n.b\r\n..c\r\n.\r\n", b"a\r\nb\r\n.c\r\n"),
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b". \r\n.\r\n", b" \r\n"),
    ] {
        let (mut decoder, mut out) = (DataDecoder::new(), Vec::new());
        let piece = decoder.decode(wire, &mut out);
        assert!(piece.ended && decoder.error().is_none(), "{}", wire.escape_ascii());
        assert_eq!(piece.consumed, wire.len());
        assert_eq!(out, message, "{}", wire.escape_ascii());
    }
}

#[test]
fn what_follows_the_end_is_left_for_the_next_command() {
    let (mut decoder, mut out) = (DataDecoder::new(), Vec::new());
    let piece = decoder.decode(b"a\r\n.\r\nQUIT\r\n", &mut out);
    assert_eq!((piece.consumed, piece.ended), (6, true));
    let again = decoder.decode(b"QUIT\r\n", &mut out);
    assert_eq!((again.consumed, again.ended), (0, true));
}

#[test]
fn an_endless_line_is_refused_and_bounded() {
    let mut message = vec![b'x'; 70_000];
    message.extend_from_slice(b"\r\n.\r\n");
    let seen = with_message(&message, 4096);
    assert!(seen.closed && seen.ends == 0);
    assert!(seen.replies.contains("550 5.6.0 "));

    let seen = drive(&vec![b'x'; 20_000], 4096);
    assert!(seen.closed);
    assert!(seen.replies.contains("500 5.5.2 line too long"));
}

#[test]
fn an_endless_message_is_closed() {
    let line = [vec![b'x'; 998], b"\r\n".to_vec()].concat();
    let seen = with_message(&line.repeat(110_000), 1 << 20);
    assert!(seen.closed && seen.ends == 0);
    assert!(seen.replies.ends_with("421 4.7.0 too much without an end, closing\r\n"));
}

#[test]
fn a_message_of_long_lines_that_are_not_endless_is_taken() {
    let mut message = vec![b'x'; 65_000];
    message.extend_from_slice(b"\r\n.\r\n");
    assert_eq!(with_message(&message, 1000).ends, 1);
}

proptest::proptest! {
    /// Whatever is sent, a message that was taken has only whole line ends, and its wire
    /// form holds one end, at its end.
    #[test]
    fn what_is_taken_has_one_end(text in "[a.\r\n\0]{0,40}", chunk in 1_usize..8) {
        let wire = [text.as_bytes(), b"\r\n.\r\n"].concat();
        let (mut decoder, mut out, mut ended) = (DataDecoder::new(), Vec::new(), false);
        let mut used = 0;
        for piece in wire.chunks(chunk) {
            let done = decoder.decode(piece, &mut out);
            used += done.consumed;
            if done.ended {
                ended = true;
                break;
            }
        }
        proptest::prop_assert!(ended);
        let head = [b"\r\n", &wire[..used]].concat();
        let first_end = head.windows(5).position(|window| window == b"\r\n.\r\n").unwrap();
        proptest::prop_assert_eq!(first_end + 5, used + 2);
        if decoder.error().is_none() {
            let bare = String::from_utf8(out.clone()).unwrap().replace("\r\n", "");
            proptest::prop_assert!(!bare.contains(['\r', '\n', '\0']));
            let mut again = Vec::new();
            let mut stuffer = DotStuffer::new();
            stuffer.stuff(&out, &mut again);
            stuffer.finish(&mut again);
            let (mut decoder, mut back) = (DataDecoder::new(), Vec::new());
            proptest::prop_assert!(decoder.decode(&again, &mut back).ended);
            proptest::prop_assert_eq!(back, out);
        }
    }

    #[test]
    fn what_is_sent_has_no_bare_line_end(text in "[a.\r\n]{0,40}", chunk in 1_usize..8) {
        let (mut stuffer, mut wire) = (DotStuffer::new(), Vec::new());
        for piece in text.as_bytes().chunks(chunk) {
            stuffer.stuff(piece, &mut wire);
        }
        stuffer.finish(&mut wire);
        let (mut decoder, mut out) = (DataDecoder::new(), Vec::new());
        let piece = decoder.decode(&wire, &mut out);
        proptest::prop_assert!(piece.ended && piece.consumed == wire.len());
        proptest::prop_assert!(decoder.error().is_none());
    }

    #[test]
    fn any_octets_are_lines_or_not(octets in proptest::collection::vec(0_u8.., 0..200), chunk in 1_usize..9) {
        let mut reader = LineReader::new();
        for piece in octets.chunks(chunk) {
            reader.push(piece);
            while let Ok(Some(line)) = reader.next_line() {
                proptest::prop_assert!(!line.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)));
            }
        }
    }

    #[test]
    fn any_octets_leave_a_session_standing(octets in proptest::collection::vec(0_u8.., 0..300), chunk in 1_usize..40) {
        let _ = drive(&octets, chunk);
        let _ = with_message(&octets, chunk);
    }
}
