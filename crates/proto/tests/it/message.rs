//! The view of well-made messages, and of the damage that readers of mail put up with.

use bailiwick_proto::message::{
    Defect, EnvelopeAddress, MessageView, Part, base_subject, decode_base64, decode_header_text,
    decode_quoted_printable, field_value, header_length, parse, parse_date, select_fields, to_utf8,
};

fn view(text: &str) -> MessageView {
    parse(text.replace('\n', "\r\n").as_bytes()).0
}

/// The parts as `type/subtype@depth…`, in the order of their section numbers.
fn outline(view: &MessageView) -> String {
    fn add(view: &MessageView, part: &Part, out: &mut String) {
        out.push_str(&format!("{}/{}", part.media_type, part.subtype));
        if let Some(inner) = view.embedded_root(part) {
            out.push('{');
            add(view, inner, out);
            out.push('}');
        }
        if !part.children.is_empty() {
            out.push('(');
            for (at, &child) in part.children.iter().enumerate() {
                if at > 0 {
                    out.push(' ');
                }
                add(view, view.part(child).unwrap(), out);
            }
            out.push(')');
        }
    }
    let mut out = String::new();
    add(view, view.root().unwrap(), &mut out);
    out
}

fn show(address: &EnvelopeAddress) -> String {
    let text = |octets: &Option<Vec<u8>>| {
        octets.as_ref().map_or("-".to_owned(), |o| String::from_utf8_lossy(o).into_owned())
    };
    format!(
        "{}|{}|{}|{}",
        text(&address.name),
        text(&address.route),
        text(&address.mailbox),
        text(&address.host)
    )
}

fn addresses(value: &str) -> Vec<String> {
    parse(format!("To: {value}\r\n\r\n").as_bytes()).0.envelope.to.iter().map(show).collect()
}

const LETTER: &str = "\
Received: from a by b
Date: Fri, 21 Nov 1997 09:55:06 -0600
From: The Clerk <clerk@ie.example>
To: alice@ie.example, \"Counsel, The\" <counsel@us.example>
Subject: Re: [list] =?utf-8?q?Caf=C3=A9?= meeting (fwd)
Message-ID: <1@ie.example>
In-Reply-To: <0@ie.example>
References: <z@ie.example>
 <0@ie.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=outer

preamble
--outer
Content-Type: multipart/alternative; boundary=\"in ner\"

--in ner
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Caf=E9, a very long=
 line

--in ner
Content-Type: text/html

<b>x</b>
--in ner--
--outer
Content-Type: message/rfc822
Content-Disposition: attachment

From: a@example.org
Subject: inner
Content-Type: multipart/mixed; boundary=deep

--deep

one
--deep
Content-Type: image/png; name*0*=UTF-8''%e2%82; name*1*=%ac%20; name*2=\"rates.png\"
Content-Disposition: attachment; filename=\"=?utf-8?q?=E2=82=AC?=.png\"
Content-ID: <i@x>
Content-Language: en, de
Content-Transfer-Encoding: BASE64

aGVsbG8=
--deep--
--outer--
epilogue
";

#[test]
fn a_letter_is_seen_whole() {
    let text = LETTER.replace('\n', "\r\n");
    let (view, defects) = parse(text.as_bytes());
    assert!(defects.is_empty(), "{defects:?}");
    assert_eq!(
        outline(&view),
        "multipart/mixed(multipart/alternative(text/plain text/html) \
         message/rfc822{multipart/mixed(text/plain image/png)})"
    );
    assert_eq!(view.subject, "Re: [list] Caf\u{e9} meeting (fwd)");
    assert_eq!(view.base_subject, "Caf\u{e9} meeting");
    assert!(view.is_reply_or_forward);
    assert_eq!(view.message_id.as_deref(), Some("1@ie.example"));
    assert_eq!(view.in_reply_to, ["0@ie.example"]);
    assert_eq!(view.references, ["z@ie.example", "0@ie.example"]);
    let sent = view.sent.unwrap();
    assert_eq!((sent.unix_seconds, sent.offset_minutes), (880_127_706, -360));
    assert_eq!(view.preview, "Caf\u{e9}, a very long line");
    assert_eq!(view.envelope.sender_or_from(), view.envelope.from);
    assert_eq!(show(&view.envelope.to[1]), "Counsel, The|-|counsel|us.example");

    let plain = view.section(&[1, 1]).unwrap();
    assert_eq!(plain.body.of(text.as_bytes()), b"Caf=E9, a very long=\r\n line\r\n");
    assert_eq!(plain.lines, 2);
    assert_eq!(plain.decoded_text(text.as_bytes()), "Caf\u{e9}, a very long line\r\n");
    let html = view.section(&[1, 2]).unwrap();
    assert_eq!((html.body.of(text.as_bytes()), html.lines), (&b"<b>x</b>"[..], 1));
    assert_eq!(html.header.of(text.as_bytes()), b"Content-Type: text/html\r\n\r\n");

    let attached = view.section(&[2]).unwrap();
    assert!(attached.is_attachment());
    let inner = attached.embedded.as_ref().unwrap();
    assert_eq!(inner.envelope.subject.as_deref(), Some(&b"inner"[..]));
    let root = view.embedded_root(attached).unwrap();
    assert!(root.header.of(text.as_bytes()).starts_with(b"From: a@example.org"));
    assert!(root.body.of(text.as_bytes()).starts_with(b"--deep\r\n"));
    assert!(attached.body.of(text.as_bytes()).ends_with(b"--deep--"));
    assert_eq!(attached.lines, 16);
    let image = view.section(&[2, 2]).unwrap();
    assert_eq!(image.filename().unwrap(), "\u{20ac}.png");
    assert_eq!(image.param("name").unwrap(), "\u{20ac} rates.png");
    assert_eq!(image.params[0].name, "name*");
    assert_eq!(image.params[0].value, b"UTF-8''%e2%82%ac%20rates.png");
    assert_eq!(
        (image.encoding.as_str(), image.language.as_slice()),
        ("base64", &["en".to_owned(), "de".to_owned()][..])
    );
    assert_eq!(image.id.as_deref(), Some(&b"<i@x>"[..]));
    assert_eq!(image.decoded(text.as_bytes()), b"hello");
}

#[test]
fn section_numbers_follow_rfc_9051() {
    let mixed = view(LETTER);
    for none in [&[0][..], &[3], &[1, 3], &[1, 1, 1, 1], &[2, 3], &[2, 2, 2], &[1, 1, 2]] {
        assert!(mixed.section(none).is_none(), "{none:?}");
    }
    assert!(mixed.section(&[]).unwrap().is_multipart());
    // A message that is no multipart is its own part 1, also within another.
    let single = view("Subject: x\n\nbody\n");
    assert_eq!(single.section(&[1]).unwrap(), single.root().unwrap());
    assert!(single.section(&[1, 1]).is_none() && single.section(&[2]).is_none());
    let forwarded = view("Content-Type: message/rfc822\n\nSubject: in\n\nbody\n");
    assert_eq!(forwarded.section(&[1]).unwrap(), forwarded.root().unwrap());
    assert_eq!(forwarded.section(&[1, 1]).unwrap(), forwarded.part(1).unwrap());
}

#[test]
fn the_view_survives_its_encoding() {
    let view = view(LETTER);
    let stored = minicbor::to_vec(&view).unwrap();
    let again: MessageView = minicbor::decode(&stored).unwrap();
    assert!(again == view);
}

#[test]
fn addresses_of_every_kind_are_shown() {
    for (value, shown) in [
        ("a@example.org", vec!["-|-|a|example.org"]),
        ("<a@example.org>", vec!["-|-|a|example.org"]),
        ("A B <a@example.org>", vec!["A B|-|a|example.org"]),
        ("\"A, \\\"B\\\"\" <a@example.org>", vec!["A, \"B\"|-|a|example.org"]),
        ("a@example.org (A B)", vec!["A B|-|a|example.org"]),
        ("(c) a (d) @ (e) example.org (f (g))", vec!["f (g)|-|a|example.org"]),
        ("\"a b\"@example.org", vec!["-|-|a b|example.org"]),
        ("\"a@b\"@example.org", vec!["-|-|a@b|example.org"]),
        ("<@h1,@h2:a@example.org>", vec!["-|@h1,@h2|a|example.org"]),
        ("a@[192.0.2.1]", vec!["-|-|a|[192.0.2.1]"]),
        (
            "=?utf-8?q?A?= =?utf-8?q?B?= <a@example.org>",
            vec!["=?utf-8?q?A?= =?utf-8?q?B?=|-|a|example.org"],
        ),
        ("a@example.org <a@example.org>", vec!["a@example.org|-|a|example.org"]),
        ("undisclosed-recipients:;", vec!["-|-|undisclosed-recipients|-", "-|-|-|-"]),
        (
            "G: a@example.org, B <b@example.org>; c@example.org",
            vec![
                "-|-|G|-",
                "-|-|a|example.org",
                "B|-|b|example.org",
                "-|-|-|-",
                "-|-|c|example.org",
            ],
        ),
        ("G: a@example.org", vec!["-|-|G|-", "-|-|a|example.org", "-|-|-|-"]),
        ("root", vec!["-|-|root|"]),
        ("A <root>", vec!["A|-|root|"]),
        (",, ,a@example.org,,", vec!["-|-|a|example.org"]),
        ("a@example.org; b@example.org", vec!["-|-|a|example.org", "-|-|b|example.org"]),
        ("A <a@example.org", vec!["A|-|a|example.org"]),
        ("<>", vec!["-|-||"]),
        ("\"open <a@example.org>", vec!["-|-|open <a@example.org>|"]),
        ("J. Doe <a@example.org>", vec!["J. Doe|-|a|example.org"]),
        ("", vec![]),
        (" (only a comment)", vec![]),
    ] {
        assert_eq!(addresses(value), shown, "{value}");
    }
}

#[test]
fn two_froms_are_both_shown() {
    let view = view("From: a@example.org\nFrom: b@example.org\nSubject: one\nSubject: two\n\n");
    assert_eq!(view.envelope.from.len(), 2);
    assert_eq!(view.subject, "one");
}

#[test]
fn dates_of_every_kind_are_read() {
    for (text, unix_seconds, offset_minutes) in [
        ("Thu, 1 Jan 1970 00:00:00 +0000", 0, 0),
        ("Wed, 31 Dec 1969 23:59:59 +0000", -1, 0),
        ("1 Jan 1970 00:00 GMT", 0, 0),
        ("Thu, 01 Jan 70 02:00:00 +0200", 0, 120),
        ("21 Nov 97 09:55:06 GMT", 880_106_106, 0),
        ("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", 0, 1),
        ("29 Feb 2024 12:00:00 -0330", 1_709_220_600, -210),
        ("29 Feb 2000 00:00:00 +0000 (UTC)", 951_782_400, 0),
        ("1 January 2001 00:00:00 EST", 978_325_200, -300),
        ("31 Dec 2016 23:59:60 Z", 1_483_228_800, 0),
        ("Mon,1 Jan 2001 00:00:00", 978_307_200, 0),
    ] {
        if offset_minutes == 1 {
            // White space within the time is not read (RFC 5322 §4.3 allows it; nobody writes it).
            assert_eq!(parse_date(text.as_bytes()), None);
            continue;
        }
        let date = parse_date(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(
            (date.unix_seconds, date.offset_minutes),
            (unix_seconds, offset_minutes),
            "{text}"
        );
    }
    for bad in [
        "",
        "x",
        "Mon",
        "32 Jan 2001 00:00:00 +0000",
        "29 Feb 2023 00:00:00 +0000",
        "0 Jan 2001 00:00:00 +0000",
        "1 Foo 2001 00:00:00 +0000",
        "1 Jan 0000 00:00:00 +0000",
        "1 Jan 2001 24:00:00 +0000",
        "1 Jan 2001 00:60:00 +0000",
        "1 Jan 2001 00:00:00 +000",
        "1 Jan 2001 00:00:00 +00600",
        "1 Jan 2001 00:00:00 +0099",
        "1 Jan 20011 00:00:00 +0000",
        "-1 Jan 2001 00:00:00 +0000",
        "1 Jan 2001",
    ] {
        assert_eq!(parse_date(bad.as_bytes()), None, "{bad}");
    }
}

#[test]
fn base_subjects_follow_rfc_5256() {
    for (subject, base, marked) in [
        ("plain", "plain", false),
        ("Re: x", "x", true),
        ("RE:re: Fwd: FW: x", "x", true),
        ("Re[2]: x", "x", true),
        ("[list] x", "x", false),
        ("[list] Re: [list] x", "x", true),
        ("[a][b] x", "x", false),
        ("[only]", "[only]", false),
        ("[a] [b]", "[b]", false),
        ("x (fwd)", "x", true),
        ("x (FWD) (fwd) ", "x", true),
        ("[Fwd: x]", "x", true),
        ("[fwd: [fwd: Re: x]]", "x", true),
        ("[fwd: x", "[fwd: x", false),
        ("  a \t b  ", "a b", false),
        ("Re:", "", true),
        ("Reply: x", "Reply: x", false),
        ("Fwd x", "Fwd x", false),
        ("", "", false),
        ("\u{130}: x", "\u{130}: x", false),
    ] {
        let found = base_subject(subject);
        assert_eq!((found.text.as_str(), found.is_reply_or_forward), (base, marked), "{subject:?}");
    }
}

#[test]
fn encoded_words_follow_rfc_2047() {
    for (raw, text) in [
        ("=?ISO-8859-1?Q?a?=", "a"),
        ("=?ISO-8859-1?Q?a?= b", "a b"),
        ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
        ("=?ISO-8859-1?Q?a?=\r\n   =?ISO-8859-1?Q?b?=", "ab"),
        ("=?ISO-8859-1?Q?a_b?=", "a b"),
        ("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
        ("=?utf-8?B?4oI=?= =?utf-8?B?rA==?=", "\u{20ac}"),
        ("=?utf-8*en?q?=E2=82=AC?=", "\u{20ac}"),
        ("=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "\u{65e5}\u{672c}"),
        ("=?utf-8?q?a b?=", "a b"),
        ("a=?utf-8?q?b?=c", "abc"),
        ("=?x?", "=?x?"),
        ("=?=?utf-8?q?x?=", "=?x"),
        ("=?utf-8?z?x?=", "=?utf-8?z?x?="),
        ("=??q?x?=", "=??q?x?="),
        ("=?no-such-charset?q?=41?=", "A"),
        ("=?utf-8?q?a=0D=0Ab=00?=", "a  b "),
        ("caf\u{e9}", "caf\u{e9}"),
        ("a\r\n b", "a b"),
    ] {
        assert_eq!(decode_header_text(raw.as_bytes()), text, "{raw}");
    }
    assert_eq!(decode_header_text(b"caf\xe9"), "caf\u{e9}");
}

#[test]
fn charsets_of_the_world_are_read() {
    for (label, octets, text) in [
        ("utf-8", &b"\xe2\x82\xac"[..], "\u{20ac}"),
        ("us-ascii", b"\xe2\x82\xac", "\u{20ac}"),
        ("us-ascii", b"\xe9", "\u{e9}"),
        ("iso-8859-1", b"\xe9", "\u{e9}"),
        ("ISO-8859-15", b"\xa4", "\u{20ac}"),
        ("iso-8859-2", b"\xb3", "\u{142}"),
        ("iso-8859-6", b"\xe5\xd1", "\u{645}\u{631}"),
        ("iso-8859-8-i", b"\xf9", "\u{5e9}"),
        ("windows-1251", b"\xcf\xf0", "\u{41f}\u{440}"),
        ("koi8-r", b"\xf0\xd2", "\u{41f}\u{440}"),
        ("koi8-u", b"\xa6", "\u{456}"),
        ("iso-2022-jp", b"\x1b$BF|K\\\x1b(B", "\u{65e5}\u{672c}"),
        ("shift_jis", b"\x93\xfa\x96{", "\u{65e5}\u{672c}"),
        ("euc-jp", b"\xc6\xfc\xcb\xdc", "\u{65e5}\u{672c}"),
        ("gb18030", b"\xd6\xd0\x81\x30\x81\x30", "\u{4e2d}\u{80}"),
        ("gb2312", b"\xd6\xd0", "\u{4e2d}"),
        ("big5", b"\xa4\xa4", "\u{4e2d}"),
        ("euc-kr", b"\xc7\xd1", "\u{d55c}"),
        ("ks_c_5601-1987", b"\xc7\xd1", "\u{d55c}"),
        ("windows-874", b"\xa1", "\u{e01}"),
        ("utf-16", b"\xfe\xff\x00A", "A"),
        ("utf-16be", b"\x20\xac", "\u{20ac}"),
        ("utf-16le", b"\xac\x20", "\u{20ac}"),
        ("utf-7", b"+IKw-", "\u{20ac}"),
        ("\"windows-1252\"", b"\x80", "\u{20ac}"),
        ("iso-2022-kr", b"plain", "plain"),
        ("x-nonsense", b"plain", "plain"),
        ("", b"\xef\xbb\xbfx", "x"),
    ] {
        assert_eq!(to_utf8(Some(label), octets), text, "{label}");
    }
    assert_eq!(to_utf8(Some("utf-8"), b"a\xffb"), "a\u{fffd}b");
}

#[test]
fn damaged_encodings_give_what_can_be_read() {
    for (encoded, decoded) in [
        (&b"aGVsbG8="[..], &b"hello"[..]),
        (b"aGVs\r\nbG8=\r\n", b"hello"),
        (b"aGVsbG8", b"hello"),
        (b"aGVs*bG8=!", b"hello"),
        (b"aGVs=bG8=", b"hello"),
        (b"YQ==Yg==", b"a"),
        (b"YWI=\r\nignored", b"ab"),
        (b"a", b""),
        (b"====", b""),
        (b"", b""),
    ] {
        assert_eq!(decode_base64(encoded), decoded, "{}", encoded.escape_ascii());
    }
    for (encoded, decoded) in [
        (&b"a=3Db"[..], &b"a=b"[..]),
        (b"a=3db", b"a=b"),
        (b"a=\r\nb", b"ab"),
        (b"a= \t\r\nb", b"ab"),
        (b"a \t\r\nb", b"a\r\nb"),
        (b"a=\nb\n", b"ab\n"),
        (b"a=zzb", b"a=zzb"),
        (b"a=4", b"a=4"),
        (b"a=", b"a"),
        (b"=", b""),
        (b"a_b", b"a_b"),
    ] {
        assert_eq!(decode_quoted_printable(encoded), decoded, "{}", encoded.escape_ascii());
    }
}

#[test]
fn header_fields_are_chosen_as_imap_asks() {
    let header =
        b"From: a\r\nX-Long: 1\r\n 2\r\nsubject : s\r\nnot a field\r\nFROM: b\r\n\r\nbody: x\r\n";
    assert_eq!(header_length(header), header.len() - 9);
    assert_eq!(
        select_fields(header, &["from", "SUBJECT"], false),
        b"From: a\r\nsubject : s\r\nFROM: b\r\n\r\n"
    );
    assert_eq!(
        select_fields(header, &["from", "Subject"], true),
        b"X-Long: 1\r\n 2\r\nnot a field\r\n\r\n"
    );
    assert_eq!(select_fields(header, &["absent"], false), b"\r\n");
    assert_eq!(field_value(header, b"x-long").unwrap(), b"1 2");
    assert!(field_value(header, b"body").is_none());
    assert_eq!(select_fields(b"From: cut", &["from"], false), b"From: cut\r\n\r\n");
}

#[test]
fn previews_show_what_the_writer_wrote() {
    let cases = [
        ("\n> quoted\n\nmine \t text\n", "mine text"),
        ("\n> only quoted\n", "> only quoted"),
        (
            "Content-Type: text/html\n\n<style>p{}</style><p>Hello&amp;<b>you</b></p><script>x</script>",
            "Hello& you",
        ),
        (
            "Content-Type: text/plain; charset=koi8-r\nContent-Transfer-Encoding: base64\n\n8NI=\n",
            "\u{41f}\u{440}",
        ),
        ("Content-Type: image/png\n\nx", ""),
        ("Content-Type: text/plain\nContent-Disposition: attachment\n\nx", ""),
        ("Content-Type: message/rfc822\n\n\nx", ""),
        ("\n\u{200b}\u{feff}a\u{ad}b\u{7}c\n", "ab c"),
    ];
    for (text, preview) in cases {
        let found = view(text).preview;
        assert_eq!(found.replace("& you", "&you"), preview.replace("& you", "&you"), "{text:?}");
    }
    assert_eq!(view(&format!("\n{}", "\u{e9} ".repeat(500))).preview.chars().count(), 199);
    assert_eq!(view(&format!("\n{}", "\u{e9}".repeat(500))).preview.chars().count(), 200);
}

#[test]
fn defects_are_named() {
    for (text, defect) in [
        ("From: a@b\nDate: x\n\n", Defect::BadDate),
        ("Subject: x\n\n", Defect::NoFrom),
        ("From: a@b", Defect::UnendedHeader),
        ("From a@b Mon\nX: y\n\n", Defect::MalformedHeaderLine),
        ("Content-Type: text\n\n", Defect::BadContentType),
        ("Content-Type: multipart/mixed\n\n", Defect::NoBoundary),
        ("Content-Type: multipart/mixed; boundary=\"\"\n\n", Defect::NoBoundary),
        ("Content-Type: multipart/mixed; boundary=x\n\ntext\n", Defect::BoundaryNotFound),
        ("Content-Type: multipart/mixed; boundary=x\n\n--x\n\ntext\n", Defect::UnendedMultipart),
        ("X: \0\n\n", Defect::Nul),
    ] {
        let (_, defects) = parse(text.replace('\n', "\r\n").as_bytes());
        assert!(defects.contains(&defect), "{text:?}: {defects:?}");
    }
    for bare in [&b"X: y\n\r\n"[..], b"X: y\r\r\n\r\n", b"X: y\r\n\r\nz\r", b"\r\n\n"] {
        assert!(parse(bare).1.contains(&Defect::BareLineEnd), "{}", bare.escape_ascii());
    }
    assert!(parse(b"X: \xff\r\n\r\n").1.contains(&Defect::HeaderNotUtf8));
}
