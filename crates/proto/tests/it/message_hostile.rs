//! Messages made to break a reader.

use bailiwick_proto::message::{Defect, MAX_DEPTH, MAX_PARTS, MessageView, parse};

/// What must hold of every view of every message.
fn check(message: &[u8]) -> (MessageView, Vec<Defect>) {
    let (view, defects) = parse(message);
    let length = u32::try_from(message.len()).unwrap();
    assert!(!view.parts.is_empty() && view.parts.len() <= MAX_PARTS);
    let mut named = vec![0_u32; view.parts.len()];
    for (position, part) in view.parts.iter().enumerate() {
        assert!(part.header.end() <= part.body.start, "a header runs into its body");
        assert!(part.body.end() <= length, "a body leaves the message");
        assert_eq!(part.header.end(), part.body.start);
        assert!(
            !part.media_type.is_empty() && !part.subtype.is_empty() && !part.encoding.is_empty()
        );
        assert_eq!(part.is_multipart(), !part.children.is_empty());
        let is_message =
            part.media_type == "message" && matches!(part.subtype.as_str(), "rfc822" | "global");
        assert_eq!(is_message, part.embedded.is_some());
        let inner = part.children.iter().copied().chain(part.embedded.as_ref().map(|e| e.root));
        for child in inner {
            assert!(child as usize > position, "a part is inside itself");
            let child_part = view.part(child).unwrap();
            assert!(
                child_part.header.start >= part.body.start
                    && child_part.body.end() <= part.body.end()
            );
            named[child as usize] += 1;
        }
        let _ = (part.decoded(message), part.decoded_text(message), part.filename());
    }
    assert!(
        named.iter().skip(1).all(|&count| count == 1) && named[0] == 0,
        "a part has no place, or two"
    );
    assert!(view.preview.chars().count() <= 200);
    let stored = minicbor::to_vec(&view).unwrap();
    assert!(minicbor::decode::<MessageView>(&stored).unwrap() == view);
    (view, defects)
}

fn types(view: &MessageView) -> Vec<String> {
    view.parts.iter().map(|part| format!("{}/{}", part.media_type, part.subtype)).collect()
}

#[test]
fn the_empty_message_is_a_message() {
    for message in [&b""[..], b"\r\n", b"\n", b"\r", b"\0", b":", b" ", b"--", b"--\r\n", b"x"] {
        let (view, _) = check(message);
        assert_eq!(types(&view), ["text/plain"]);
    }
}

#[test]
fn an_outer_boundary_ends_what_is_inside() {
    let (view, defects) = check(
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
          --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n\
          --c\r\n\r\none\r\n--a\r\n\r\ntwo\r\n--a--\r\n--b\r\nnot a part\r\n",
    );
    assert_eq!(view.root().unwrap().children.len(), 2);
    assert_eq!(defects.iter().filter(|d| **d == Defect::UnendedMultipart).count(), 1);
    assert_eq!(view.parts.len(), 7 - 1);
}

#[test]
fn the_innermost_of_two_equal_boundaries_counts() {
    let (view, _) = check(
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n\
          --a\r\n\r\none\r\n--a--\r\n--a\r\n\r\ntwo\r\n--a--\r\n",
    );
    assert_eq!(view.root().unwrap().children.len(), 2);
}

#[test]
fn a_boundary_must_be_whole() {
    let (view, _) = check(
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a  \t\r\n\r\n--ab\r\n--a-\r\n--a --\r\n -- a\r\n--a--x\r\n--a--\r\n",
    );
    assert_eq!(view.root().unwrap().children.len(), 1);
}

#[test]
fn a_part_may_be_empty() {
    let text = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n--a\r\n\r\n--a\r\n\r\n\r\n--a\r\nX: y\r\n--a--";
    let (view, _) = check(text);
    let lengths: Vec<_> =
        view.parts.iter().skip(1).map(|p| (p.header.length, p.body.length, p.lines)).collect();
    assert_eq!(lengths, [(0, 0, 0), (2, 0, 0), (2, 0, 0), (6, 0, 0)]);
}

#[test]
fn bare_line_feeds_still_show_the_parts() {
    let (view, defects) = check(
        b"Content-Type: multipart/digest; boundary=a\n\n--a\n\nSubject: inner\n\nbody\n--a\nContent-Type: text/plain\n\nx\n--a--\n",
    );
    assert_eq!(types(&view), ["multipart/digest", "message/rfc822", "text/plain", "text/plain"]);
    assert_eq!(defects, [Defect::BareLineEnd, Defect::BadDate, Defect::NoFrom]);
}

#[test]
fn what_cannot_be_parsed_is_plain_text() {
    for content_type in [
        "multipart",
        "/",
        "text/",
        ";",
        "multipart/mixed",
        "multipart/mixed; boundary=",
        "te xt/plain",
        "=?utf-8?q?x?=",
    ] {
        let (view, _) =
            check(format!("Content-Type: {content_type}\r\n\r\n--\r\n\r\nx\r\n").as_bytes());
        assert_eq!(types(&view), ["text/plain"], "{content_type}");
    }
    let (view, _) =
        check(b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\neA==\r\n");
    assert_eq!(types(&view), ["application/octet-stream"]);
}

#[test]
fn multiparts_nest_only_so_deep() {
    let mut message = String::new();
    for depth in 0..500 {
        message.push_str(&format!(
            "Content-Type: multipart/mixed; boundary=b{depth}\r\n\r\n--b{depth}\r\n"
        ));
    }
    let (view, defects) = check(message.as_bytes());
    assert!(defects.contains(&Defect::TooDeep));
    assert_eq!(view.parts.len(), MAX_DEPTH + 1);
    assert_eq!(types(&view).last().unwrap(), "application/octet-stream");
}

#[test]
fn messages_nest_only_so_deep() {
    let message = "Content-Type: message/rfc822\r\n\r\n".repeat(10_000);
    let (view, defects) = check(message.as_bytes());
    assert!(defects.contains(&Defect::TooDeep));
    assert_eq!(view.parts.len(), MAX_DEPTH + 1);
}

#[test]
fn parts_are_counted() {
    let mut message = "Content-Type: multipart/mixed; boundary=a\r\n\r\n".to_owned();
    message.push_str(&"--a\r\n\r\nx\r\n".repeat(100_000));
    let (view, defects) = check(message.as_bytes());
    assert!(defects.contains(&Defect::TooManyParts));
    assert_eq!(view.parts.len(), MAX_PARTS);

    let mut message = "Content-Type: multipart/digest; boundary=a\r\n\r\n".to_owned();
    message.push_str(&"--a\r\n\r\n\r\nx\r\n".repeat(5000));
    assert!(check(message.as_bytes()).1.contains(&Defect::TooManyParts));
}

#[test]
fn headers_are_read_only_so_far() {
    let message = format!("From: a@b\r\n{}Subject: late\r\n\r\nbody", "X: y\r\n".repeat(500_000));
    let (view, defects) = check(message.as_bytes());
    assert!(defects.contains(&Defect::HeaderTooLong));
    assert!(view.envelope.subject.is_none());
    assert_eq!(view.root().unwrap().body.of(message.as_bytes()), b"body");

    let message = format!("To: {}\r\n\r\n", "a@b,".repeat(100_000));
    let (view, defects) = check(message.as_bytes());
    assert!(defects.contains(&Defect::TooManyAddresses));
    assert_eq!(view.envelope.to.len(), 2000);
}

/// Inputs on which careless parsers take quadratic time; here each is megabytes, and the
/// test ends soon even unoptimised.
#[test]
fn time_is_linear() {
    for unit in [
        "=?",
        "=?a?q?",
        "=?a?q?x?= ",
        "[",
        "[a]",
        "re:",
        "(",
        "(\\",
        "\"",
        "\"\\",
        "<",
        "<@",
        "@",
        ":",
        ";",
        ",",
        "a;b=c;",
        "; a*0=b",
        "'",
        "%",
        "a*b*c",
        "--a\r\n",
        "\r\n--",
        "\r\n ",
        "a\r\n",
        "\r",
        "\n",
        "\0",
        "<a> ",
        "> <",
        "[fwd:",
        "(fwd) ",
        "]",
    ] {
        let noise = unit.repeat(200_000 / unit.len());
        for field in [
            "Subject",
            "To",
            "Content-Type",
            "References",
            "Date",
            "Content-Disposition",
            "Content-Language",
        ] {
            check(format!("{field}: {noise}\r\n\r\n").as_bytes());
        }
        check(format!("Content-Type: text/plain; a=\"{noise}\r\n\r\n").as_bytes());
        check(format!("Content-Type: text/html\r\n\r\n{noise}").as_bytes());
        check(format!("Content-Type: multipart/mixed; boundary=a\r\n\r\n{noise}").as_bytes());
    }
}

#[test]
fn tags_of_html_do_not_stop_the_preview() {
    for html in [
        "<",
        "<b",
        "&",
        "&;",
        "&#;",
        "&#x110000;",
        "&#99999999999;",
        "<!--",
        "<style>",
        "\u{e9}&\u{e9};<\u{e9}>",
        "<a \u{1f600}>\u{1f600}&\u{1f600}",
    ] {
        check(format!("Content-Type: text/html; charset=utf-8\r\n\r\n{html}").as_bytes());
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(512))]

    #[test]
    fn any_octets_parse(message in proptest::collection::vec(0_u8.., 0..600)) {
        check(&message);
    }

    #[test]
    fn any_shuffle_of_mime_parses(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..60)) {
        check(pieces.concat().as_bytes());
    }

    #[test]
    fn any_html_has_a_preview(html in "[<>&;#a-z/!\"= \\PC-]{0,200}") {
        check(format!("Content-Type: text/html; charset=utf-8\r\n\r\n{html}").as_bytes());
    }
}

const PIECES: &[&str] = &[
    "\r\n",
    "\r\n",
    "\n",
    "\r",
    "--a",
    "--a\r\n",
    "--b\r\n",
    "--a--\r\n",
    "--b--\r\n",
    "x",
    "\u{e9}",
    "\0",
    "Content-Type: multipart/mixed; boundary=a\r\n",
    "Content-Type: multipart/digest; boundary=b\r\n",
    "Content-Type: multipart/alternative; boundary=\"a\"\r\n",
    "Content-Type: message/rfc822\r\n",
    "Content-Type: text/html; charset=utf-16\r\n",
    "Content-Type: text/plain; charset=iso-2022-jp\r\n",
    "Content-Transfer-Encoding: base64\r\n",
    "Content-Transfer-Encoding: quoted-printable\r\n",
    "Content-Disposition: attachment; filename*0*=utf-8''a; filename*1=b\r\n",
    "Subject: =?utf-8?b?4oI=?=",
    "From: \"a\" <b@c>, d: e@f;",
    "To: (((",
    "Date: Fri, 21 Nov 1997 09:55:06 -0600\r\n",
    " folded",
    "=\r\n",
    "=41",
    "QUJD",
];
