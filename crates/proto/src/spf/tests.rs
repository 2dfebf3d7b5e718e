//! Records, networks and macros, malformed ones included.

use super::*;

const CLIENT: Client<'_> = Client {
    ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 3)),
    hello: "mx.example.org",
    local_part: "strong-bad",
    domain: "email.example.com",
};

fn expanded(text: &str) -> Option<String> {
    let template = Template::domain(text).unwrap();
    template.expand(&CLIENT, "email.example.com", "mx.example.org")
}

#[test]
fn the_expansions_of_rfc_7208_section_7_4() {
    let six = Client { ip: "2001:db8::cb01".parse().unwrap(), ..CLIENT };
    for (text, wanted) in [
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d1}", "com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l}", "strong-bad"),
        ("%{l-}", "strong.bad"),
        ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
        ("%{p}.a%%b%_c%-d.example.", "mx.example.org.a%b c%20d.example"),
        ("%{S}", "strong-bad%40email.example.com"),
    ] {
        assert_eq!(expanded(text).as_deref(), Some(wanted), "{text}");
    }
    let found = Template::domain("%{ir}.%{v}._spf.%{d2}").unwrap().expand(&six, "example.com", "");
    let wanted =
        "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com";
    assert_eq!(found.as_deref(), Some(wanted));
}

#[test]
fn a_name_too_long_loses_labels_on_the_left_and_one_that_dns_cannot_have_is_none() {
    let long = "abcdefghi.".repeat(30) + "example";
    let found = expanded(&long).unwrap();
    assert!(found.len() <= 253 && found.ends_with(".example") && long.ends_with(&found));
    assert_eq!(expanded("mail.example..com"), None);
    assert_eq!(expanded(&format!("{}.example", "a".repeat(64))), None);
    let beyond = Client { local_part: "jos\u{e9}", ..CLIENT };
    let template = Template::domain("%{l}.example.com").unwrap();
    assert_eq!(template.expand(&beyond, "example.com", ""), None);
}

#[test]
fn one_malformed_term_makes_the_whole_record_malformed() {
    for bad in [
        "-all moo",
        "-all.",
        "-all:foo",
        "-all/8",
        "ptr/0",
        "ptr:",
        "include",
        "include:",
        "include:example.com/24",
        "exists",
        "a:",
        "a/33",
        "a//129",
        "a/24/64",
        "a/024",
        "a/",
        "a:111.222.33.44",
        "a:museum",
        "a:museum.",
        "a:example.-com",
        "a:example.com:8080",
        "a:foo-bar",
        "mx:abc.123",
        "ip4",
        "ip4:1.2.3",
        "ip4:1.2.3.4/33",
        "ip4:1.2.3.4/032",
        "ip4:1.2.3.4/+8",
        "ip4:1.2.3.4//32",
        "ip4:1.2.3.4:8080",
        "ip6::CAFE::BABE",
        "ip6:::1.1.1.1/129",
        "redirect:example.com",
        "redirect=",
        "redirect=-all",
        "redirect=a.example redirect=b.example",
        "exp=",
        "exp=-all",
        "exp=a.example exp=b.example",
        "exp=%{r}.example.com",
        "exists:%{a}.example.com",
        "exists:%{d0}.example.com",
        "exists:%(ir).example.com",
        "exists:foo%.example.com",
        "exists:%{d",
        "1up=foo",
        "=all",
        "moo.cow/far_out=man",
        "foo=%abc",
        "a:ctrl.example.com\rptr",
        "a:nul.example.com\0",
        "ip4:192.0.2.5\n",
        "\u{80}a:example.net",
    ] {
        let text = format!("v=spf1 ip4:192.0.2.1 {bad}");
        assert_eq!(Record::parse(text.as_bytes()), Err(SpfSyntaxError), "{bad:?}");
    }
}

#[test]
fn unusual_and_well_formed_records_are_read() {
    for good in [
        "",
        "  -all  ",
        "a//33",
        "A/24//64",
        "a:foo:bar/baz.example.com",
        "a:foo:bar/baz.example.com/24//64",
        "mx:%{d}/24",
        "a:foo.example.xn--zckzah",
        "ip6:::1.1.1.1/0",
        "ip6:Cafe:Babe:8000::/33",
        "moo.cow-far_out=man:dog/cat",
        "default=+",
        "exists:%{l1r+-}.user.%{d2}",
        "exists:%{H}",
        "redirect=%{d}.d.spf.example.com.",
        "?include:_spf.example.com ~ALL",
    ] {
        assert!(Record::parse(format!("v=spf1 {good}").as_bytes()).is_ok(), "{good:?}");
    }
    let record = Record::parse(b"v=spf1 ~a:foo:bar/baz.example/24//64 redirect=b.example").unwrap();
    let Mechanism::A(Some(target), prefix) = &record.directives[0].mechanism else { panic!() };
    assert_eq!(target.expand(&CLIENT, "", "").as_deref(), Some("foo:bar/baz.example"));
    assert_eq!(*prefix, Prefix { four: 24, six: 64 });
    assert_eq!(record.directives[0].qualifier, Qualifier::SoftFail);
    assert!(record.redirect.is_some());
}

#[test]
fn only_this_version_makes_a_record() {
    for (text, wanted) in
        [("v=spf1", true), ("V=sPf1 -all", true), ("v=spf10", false), ("v=spf1\tall", false)]
    {
        assert_eq!(is_record(text.as_bytes()), wanted, "{text:?}");
    }
    let long = format!("v=spf1 {}", "a ".repeat(RECORD_OCTETS_MAX));
    assert_eq!(Record::parse(long.as_bytes()), Err(SpfSyntaxError));
}

#[test]
fn a_network_holds_its_own_family_alone() {
    let holds = |address: &str, bits, ip: &str| {
        Network { address: address.parse().unwrap(), bits }.contains(ip.parse().unwrap())
    };
    assert!(holds("192.0.2.9", 24, "192.0.2.200") && !holds("192.0.2.9", 32, "192.0.2.8"));
    assert!(holds("192.0.2.9", 0, "198.51.100.1") && !holds("::", 0, "198.51.100.1"));
    assert!(holds("2001:db8::", 33, "2001:db8:0:1::") && holds("::", 0, "2001:db8::1"));
    assert!(!holds("2001:db8:8000::", 33, "2001:db8::1") && !holds("0.0.0.0", 0, "::1"));
}
