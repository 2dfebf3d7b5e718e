//! The framer and the grammar against hostile clients; the writer against a reader that is
//! not ours.

use imap_codec::ResponseCodec;
use imap_codec::decode::Decoder as _;
use imap_types::command::CommandBody;
use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { line: 200, literal: 50, append: 100, literals: 3 };

/// Everything the framer makes of `wire`, cut at the given places.
fn events(wire: &[u8], cuts: &[usize]) -> Vec<String> {
    let mut framer = Framer::new(LIMITS);
    let mut seen = Vec::new();
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (wire.len() + 1)).collect();
    places.extend([0, wire.len()]);
    places.sort_unstable();
    for pair in places.windows(2) {
        framer.push(&wire[pair[0]..pair[1]]);
        loop {
            match framer.next_event() {
                Ok(Some(Event::Continue)) => seen.push("+".to_owned()),
                Ok(Some(Event::Refused(refused))) => seen.push(format!("refused {}", refused.tag)),
                Ok(Some(Event::Frame(mut frame))) => {
                    let tag = frame.tag();
                    let kind = match frame.request().map(|request| request.body) {
                        Ok(Body::Plain(command)) => command.name().to_owned(),
                        Ok(Body::List(_)) => "LIST".to_owned(),
                        Ok(Body::Search(..)) => "SEARCH RETURN".to_owned(),
                        Err(Malformed) => "malformed".to_owned(),
                    };
                    seen.push(format!("{tag} {kind}"));
                }
                Ok(None) => break,
                Err(fatal) => {
                    seen.push(fatal.to_string());
                    return seen;
                }
            }
        }
    }
    seen
}

fn check(wire: &[u8], expected: &[&str]) {
    assert_eq!(events(wire, &[]), expected, "{}", String::from_utf8_lossy(wire));
    let every: Vec<usize> = (0..=wire.len()).collect();
    assert_eq!(events(wire, &every), expected, "octet by octet");
}

fn request(wire: &[u8]) -> Frame {
    let mut framer = Framer::new(Limits::after_login(1000));
    framer.push(wire);
    loop {
        match framer.next_event().unwrap() {
            Some(Event::Frame(frame)) => return frame,
            Some(Event::Continue) => {}
            Some(Event::Refused(_)) | None => panic!("no frame"),
        }
    }
}

#[test]
fn commands_and_literals_are_cut_apart() {
    check(b"a NOOP\r\nb CAPABILITY\r\n", &["a NOOP", "b CAPABILITY"]);
    check(b"a LOGIN {1}\r\nx {1+}\r\ny\r\n", &["+", "a LOGIN"]);
    check(b"a APPEND x {5}\r\na\r\nb \r\nb NOOP\r\n", &["+", "a APPEND", "b NOOP"]);
    check(b"a APPEND {1+}\r\nx {90+}\r\n", &[]);
    check(b"a LOGIN \"{5}\" \"x{1}\"\r\n", &["a LOGIN"]);
}

#[test]
fn what_is_in_a_literal_is_no_command() {
    check(b"a APPEND x {19+}\r\nb DELETE precious\r\n\r\nc NOOP\r\n", &["a APPEND", "c NOOP"]);
}

#[test]
fn too_much_is_refused_before_it_is_held() {
    check(b"a LOGIN {51}\r\nb NOOP\r\n", &["refused a", "b NOOP"]);
    check(b"a APPEND x {101}\r\nb NOOP\r\n", &["refused a", "b NOOP"]);
    // The mailbox name of an APPEND is no message.
    check(b"a APPEND {60}\r\nb NOOP\r\n", &["refused a", "b NOOP"]);
    check(b"a LOGIN {51+}\r\n", &["a literal is too large"]);
    check(b"a X {1+}\r\nx {1+}\r\nx {1+}\r\nx {1}\r\nb NOOP\r\n", &["refused a", "b NOOP"]);
    check(&[b'a'; 201], &["a command line is too long"]);
    check(b"a LOGIN {99999999999}\r\n", &["a malformed"]);
    check(b"a LOGIN {-1}\r\n", &["a malformed"]);
}

#[test]
fn a_bare_line_feed_ends_no_command() {
    check(b"a NOOP\nb NOOP\r\n", &["refused a", "b NOOP"]);
    check(b"a LOGIN \"x\ry\" z\r\n", &["a malformed"]);
}

#[test]
fn a_tag_is_only_repeated_if_it_is_one() {
    check(b"* NOOP\r\n", &["* malformed"]);
    check(b"{5} NOOP\r\n", &["* malformed"]);
    check(b"\xff NOOP\r\n", &["* malformed"]);
    check(b"\r\n", &["* malformed"]);
    check(b" NOOP\r\n", &["* malformed"]);
}

#[test]
fn quoted_utf8_is_read() {
    let mut frame = request("a SELECT \"Gr\u{fc}\u{df}e \\\"x\\\"\"\r\n".as_bytes());
    let Ok(Request { body: Body::Plain(CommandBody::Select { mailbox, .. }), .. }) =
        frame.request()
    else {
        panic!()
    };
    let imap_types::mailbox::Mailbox::Other(other) = mailbox else { panic!() };
    assert_eq!(other.as_ref(), "Gr\u{fc}\u{df}e \"x\"".as_bytes());
    assert!(request(b"a SELECT \"\xff\xfe\"\r\n").request().is_err());
    assert!(request("a SELECT Gr\u{fc}\u{df}e\r\n".as_bytes()).request().is_err());
}

#[test]
fn the_saved_result_is_found_only_where_it_is_one() {
    let saved = |wire: &[u8]| {
        let mut frame = request(wire);
        drop(frame.request());
        String::from_utf8_lossy(&frame.wire).contains("4294967295")
    };
    for yes in [
        &b"a FETCH $ FLAGS\r\n"[..],
        b"a UID STORE $ +FLAGS x\r\n",
        b"a SEARCH $\r\n",
        b"a UID SEARCH RETURN (SAVE) OR $ NOT ($ SEEN)\r\n",
        b"a SEARCH HEADER x \"y\" $\r\n",
    ] {
        assert!(saved(yes), "{}", String::from_utf8_lossy(yes));
    }
    for no in [
        &b"a SEARCH SUBJECT $\r\n"[..],
        b"a SEARCH HEADER $ $\r\n",
        b"a SEARCH SUBJECT \"$\"\r\n",
        b"a FETCH 1 BODY[HEADER.FIELDS ($)]\r\n",
        b"a STORE 1 FLAGS ($)\r\n",
    ] {
        assert!(!saved(no), "{}", String::from_utf8_lossy(no));
    }
}

#[test]
fn a_line_full_of_saved_results_costs_no_more_than_its_length() {
    // Read once for each `$`, 64 KiB of them held a processor for minutes.
    let count = 32_000;
    let wire = [b"a SEARCH".as_slice(), &b" $".repeat(count), b" SUBJECT {1+}\r\n$\r\n"].concat();
    let mut frame = request(&wire);
    let Ok(Request { body: Body::Plain(CommandBody::Search { criteria, .. }), .. }) =
        frame.request()
    else {
        panic!()
    };
    assert_eq!(criteria.as_ref().len(), count + 1);
}

#[test]
fn list_takes_its_options_and_nothing_else() {
    let list = |wire: &[u8]| match request(wire).request() {
        Ok(Request { body: Body::List(list), .. }) => Some(list),
        Ok(_) | Err(Malformed) => None,
    };
    let read =
        list(b"a list (subscribed) \"\" (\"a b\" c%) return (children status (messages))\r\n");
    let read = read.unwrap();
    assert!(read.select.subscribed && read.returned.children && read.extended);
    assert_eq!(read.patterns, [b"a b".to_vec(), b"c%".to_vec()]);
    assert_eq!(read.returned.status, Some(vec!["MESSAGES".to_owned()]));
    assert!(!list(b"a LIST \"\" *\r\n").unwrap().extended);
    assert_eq!(list(b"a LIST {0+}\r\n {1+}\r\n*\r\n").unwrap().patterns, [b"*".to_vec()]);
    for bad in [
        &b"a LIST (X) \"\" *\r\n"[..],
        b"a LIST \"\" * RETURN (X)\r\n",
        b"a LIST \"\"\r\n",
        b"a LIST \"\" * x\r\n",
        b"a LIST \"\" ()\r\n",
    ] {
        assert!(list(bad).is_none(), "{}", String::from_utf8_lossy(bad));
    }
}

/// Whether what we write of a message is one FETCH response to another's reader.
fn reads_back(message: &[u8]) -> bool {
    let (view, _) = crate::message::parse(message);
    let mut out = b"* 1 FETCH (ENVELOPE ".to_vec();
    structure::envelope(&mut out, &view.envelope);
    write::text(&mut out, " BODY ");
    structure::body(&mut out, &view, false);
    write::text(&mut out, " BODYSTRUCTURE ");
    structure::body(&mut out, &view, true);
    write::text(&mut out, ")\r\n");
    matches!(ResponseCodec::default().decode(&out), Ok((b"", _)))
}

#[test]
fn a_structure_is_what_another_reader_reads() {
    for message in [
        &b""[..],
        b"\0\0",
        b"Subject: \"\\ {5}\r\n\r\n",
        b"Subject: caf\xc3\xa9\r\nFrom: \xff <\xfe@example.org>\r\n\r\nx",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n",
        b"Content-Type: multipart/mixed\r\n\r\nno boundary",
        b"Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nx",
        b"Content-Type: text/plain; format=flowed; name*=utf-8''%e2%82%ac\r\n\r\nx",
        b"Content-Disposition: attachment; filename=\"a\\\"b\"\r\nContent-Language: en, de\r\n\r\n",
        b"From: group: a@example.org, b@example.org;, \"x\" <c@example.org>\r\n\r\n",
    ] {
        assert!(reads_back(message), "{}", String::from_utf8_lossy(message));
    }
}

proptest! {
    #[test]
    fn any_octets_are_framed_the_same_however_they_come(
        wire in proptest::collection::vec(
            prop_oneof![
                Just(b"\r\n".to_vec()), Just(b"{3}".to_vec()), Just(b"{9+}\r\n".to_vec()),
                Just(b"a SEARCH ".to_vec()), Just(b"b UID SEARCH RETURN (".to_vec()),
                Just(b"c LIST ".to_vec()), Just(b"d FETCH 1:* (BODY[".to_vec()),
                Just(b"e APPEND x ".to_vec()), Just(b"\"".to_vec()), Just(b"$".to_vec()),
                Just(b" ".to_vec()), Just(b"(".to_vec()), Just(b") ".to_vec()),
                Just(b"OR ".to_vec()), Just(b"31-Feb-2026".to_vec()), Just(b"\\Seen".to_vec()),
                proptest::collection::vec(any::<u8>(), 0..6),
            ],
            0..12,
        ),
        cuts in proptest::collection::vec(any::<usize>(), 0..5),
    ) {
        let wire = wire.concat();
        prop_assert_eq!(events(&wire, &cuts), events(&wire, &[]));
    }

    #[test]
    fn any_name_survives_modified_utf7(name in "\\PC{0,20}") {
        let encoded = mutf7::encode(&name);
        prop_assert!(encoded.is_ascii());
        prop_assert_eq!(mutf7::decode(encoded.as_bytes()), Some(name));
    }

    #[test]
    fn any_octets_decode_as_at_most_one_name(octets in proptest::collection::vec(any::<u8>(), 0..20)) {
        if let Some(name) = mutf7::decode(&octets) {
            prop_assert_eq!(mutf7::encode(&name).into_bytes(), octets);
        }
    }

    #[test]
    fn any_headers_make_a_readable_structure(
        names in proptest::collection::vec(
            prop_oneof![
                Just("From"), Just("To"), Just("Subject"), Just("Date"), Just("Content-Type"),
                Just("Content-Disposition"), Just("Content-Language"), Just("Message-ID"),
            ],
            0..6,
        ),
        values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 6),
    ) {
        let mut message = Vec::new();
        for (name, value) in names.iter().zip(&values) {
            message.extend_from_slice(name.as_bytes());
            message.extend_from_slice(b": ");
            message.extend_from_slice(value);
            message.extend_from_slice(b"\r\n");
        }
        message.extend_from_slice(b"\r\nbody");
        prop_assert!(reads_back(&message));
    }
}
