//! Mistakes in the configuration: each is named with its line and a cure. The table is a
//! snapshot, so that a person reads what an administrator will read.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::cell::{Cell, bailiwick, stderr};
use crate::tls::Authority;

pub(crate) fn holder(id: u8, key: &str) -> String {
    format!(
        "  {{ id = \"{}\", name = \"holder\", key = \"{key}\" }},\n",
        format!("{id:02x}").repeat(16)
    )
}

pub(crate) fn group(name: &str, threshold: u8, holders: &[String]) -> String {
    let holders = holders.concat();
    format!("\n[custody.{name}]\nthreshold = {threshold}\nholders = [\n{holders}]\n")
}

/// Chance that always falls the same way: these keys open nothing.
struct Constant(u8);

impl seal::Entropy for Constant {
    fn fill(&self, out: &mut [u8]) {
        out.fill(self.0);
    }
}

/// A holder's public key.
pub(crate) fn public_key(byte: u8) -> String {
    seal::holder::HolderKey::generate(&Constant(byte)).unwrap().public().to_string()
}

type Mistake = (&'static str, Box<dyn Fn(&Cell)>);

fn replaced(what: &'static str, old: &'static str, new: &'static str) -> Mistake {
    (what, Box::new(move |cell| cell.edit(old, new)))
}

fn appended(what: &'static str, lines: String) -> Mistake {
    (what, Box::new(move |cell| cell.append(&lines)))
}

fn mistakes() -> Vec<Mistake> {
    let [one, two, guard] = [1, 2, 3].map(public_key);
    let trustee = holder(1, &one);
    let peer = "\n[[peer]]\nname = \"us\"\ndomains = [\"us.example\"]\nrelay = \"127.0.0.1:1\"\n\
                relay_name = \"mx.us.example\"\nlog_url = \"http://127.0.0.1:2\"\n";
    vec![
        replaced("unknown key", "[limits]", "[limits]\nmessage_octet_max = 1"),
        replaced("unknown section", "[limits]", "[limit]"),
        replaced("not TOML", "[limits]", "[limits"),
        replaced("section twice", "[limits]", "[dns]\n[limits]"),
        replaced("missing key", "admin_socket = \"admin.sock\"", ""),
        replaced("bad cell name", "name = \"ie\"", "name = \"Ireland\""),
        replaced("bad jurisdiction", "jurisdiction = \"ie\"", "jurisdiction = \"Ireland\""),
        replaced("bad domain", "domains = [\"ie.example\"]", "domains = [\"ie.example\", \"a b\"]"),
        replaced(
            "batches under secrecy that are months apart",
            "sealed_interval_seconds = 21600",
            "sealed_interval_seconds = 2592000",
        ),
        replaced("batches of none", "sealed_batch = 4", "sealed_batch = 0"),
        replaced("no domains", "domains = [\"ie.example\"]", "domains = []"),
        replaced(
            "postmaster elsewhere",
            "postmaster = \"postmaster@ie.example\"",
            "postmaster = \"alice@us.example\"",
        ),
        replaced(
            "postmaster without a domain",
            "postmaster = \"postmaster@ie.example\"",
            "postmaster = \"alice\"",
        ),
        replaced("bad host name", "hostname = \"mx.ie.example\"", "hostname = \"mx..example\""),
        replaced("bad name server", "servers = [\"", "servers = [\"ns.example\", \""),
        replaced("bad listener", "[mx]\nlisten = \"", "[mx]\nlisten = \"nowhere:"),
        replaced("number for a path", "data = \"data\"", "data = 7"),
        replaced("negative size", "message_octets_max = 52428800", "message_octets_max = -1"),
        appended("holders without guards", group("trustees", 1, std::slice::from_ref(&trustee))),
        appended("threshold too high", group("guards", 2, std::slice::from_ref(&trustee))),
        appended("threshold of none", group("guards", 0, std::slice::from_ref(&trustee))),
        appended("bad holder key", group("guards", 1, &[holder(1, "age1zzz")])),
        appended(
            "bad holder identifier",
            group("guards", 1, &[holder(1, &one).replace("0101", "xyz")]),
        ),
        appended(
            "holder twice",
            group("trustees", 2, &[trustee.clone(), holder(1, &two)])
                + &group("guards", 1, &[holder(9, &guard)]),
        ),
        appended(
            "key twice",
            group("trustees", 2, &[trustee.clone(), holder(2, &one)])
                + &group("guards", 1, &[holder(9, &guard)]),
        ),
        appended(
            "guard is a trustee",
            group("trustees", 1, std::slice::from_ref(&trustee)) + &group("guards", 1, &[trustee]),
        ),
        appended(
            "bad peer key",
            format!("{peer}log_key = \"us.example/log+00\"\nwitness_key = \"\"\n"),
        ),
    ]
}

/// Lines that are each well written, and make no sense.
fn senseless() -> Vec<Mistake> {
    let listening = |what, mx: fn(SocketAddr) -> SocketAddr| -> Mistake {
        let make = move |cell: &Cell| {
            let [mx_line, imap_line] = ["mx", "imap"].map(|name| format!("\"{}\"", cell.at(name)));
            let mx = mx(cell.at("mx"));
            cell.edit(&imap_line, &mx_line);
            cell.edit(&mx_line, &format!("\"{mx}\""));
        };
        (what, Box::new(make))
    };
    let message = "message_octets_max = 52428800";
    let arrival = "arrival_octets_max = 536870912";
    vec![
        listening("two listeners at one address", |mx| mx),
        listening("a listener at every address", |mx| (Ipv4Addr::UNSPECIFIED, mx.port()).into()),
        replaced("no connections", "# connections_max = 1000", "connections_max = 0"),
        replaced(
            "no connections of one source",
            "# connections_per_source_max = 200",
            "connections_per_source_max = 0",
        ),
        replaced("no further attempt", "[1, 5, 15, 60, 120, 240]", "[]"),
        replaced("returned at once", "expire_hours = 120", "expire_hours = 0"),
        replaced("one selector", "rsa_selector = \"bw-rsa\"", "rsa_selector = \"BW-ed\""),
        replaced("letters above the memory", message, "message_octets_max = 536870913"),
        replaced("letters that fit only once", message, "message_octets_max = 268435457"),
        (
            "no memory for the usual letter",
            Box::new(move |cell| {
                cell.edit(message, "");
                cell.edit(arrival, "arrival_octets_max = 1");
            }),
        ),
        replaced("more witnesses than peers", "witnesses_min = 1", "witnesses_min = 2"),
        replaced("no witness", "witnesses_min = 1", "witnesses_min = 0"),
        ("a peer with an own domain", Box::new(|cell| cell.meet(cell))),
    ]
}

/// What the program says of the cell, without the folder it happens to be in.
fn said(cell: &Cell, command: &str) -> String {
    let output = bailiwick(&[command, "--config", &cell.config()]);
    assert!(!output.status.success(), "{command} went through");
    let folder = cell.path("");
    stderr(&output).replace(folder.to_str().unwrap(), "")
}

/// The message with the named line's text in the place of its number, which every new comment in
/// the file would change.
fn with_line(said: &str, text: &str) -> String {
    let (before, rest) = said.split_once("bailiwick.toml:").expect("no line is named");
    let (number, what) = rest.split_once(": ").unwrap();
    let number: usize = number.parse().unwrap();
    let line = text.lines().nth(number - 1).expect("there is no such line");
    // Ports and addresses are another test's next time.
    let line: String = line.split("127.").next().unwrap().chars().take(60).collect();
    format!("{before}bailiwick.toml:LINE: {what}  line: {line}\n")
}

#[test]
fn every_mistake_is_named_with_its_line_and_a_cure() {
    let cell = Cell::new("ie", &Authority::new());
    let right = cell.text();
    let mut table = String::new();
    for (what, make) in mistakes().into_iter().chain(senseless()) {
        make(&cell);
        let said = said(&cell, "check");
        assert!(said.contains("\n  cure: "), "{what}: no cure: {said}");
        writeln!(table, "# {what}\n{}", with_line(&said, &cell.text())).unwrap();
        std::fs::write(cell.config(), &right).unwrap();
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_limit_that_is_just_met_can_be_served_from() {
    let authority = Authority::new();
    let (cell, other) = (Cell::new("ie", &authority), Cell::new("us", &authority));
    cell.edit("message_octets_max = 52428800", "message_octets_max = 268435456");
    cell.edit("# connections_max = 1000", "connections_max = 1");
    cell.edit("expire_hours = 120", "expire_hours = 1");
    cell.edit("[1, 5, 15, 60, 120, 240]", "[1]");
    cell.edit("rsa_selector = \"bw-rsa\"", "rsa_selector = \"bw-ed2\"");
    // One port, at two addresses.
    let imap = SocketAddr::new(cell.at("imap").ip(), cell.at("mx").port());
    cell.edit(&format!("\"{}\"", cell.at("mx")), &format!("\"{}\"", other.at("mx")));
    cell.edit(&format!("\"{}\"", cell.at("imap")), &format!("\"{imap}\""));
    cell.identity();
    cell.meet(&other);
    cell.identity();
}

#[test]
fn every_missing_or_wrong_file_is_named() {
    let authority = Authority::new();
    let (cell, other) = (Cell::new("ie", &authority), Cell::new("us", &authority));
    let right = cell.text();
    let mut table = String::new();
    let files: [(&str, &str, &str); 7] = [
        ("missing keys", "keys = \"cell.keys\"", "keys = \"lost.keys\""),
        ("another cell's keys", "keys = \"cell.keys\"", "keys = \"OTHER\""),
        ("not a key file", "keys = \"cell.keys\"", "keys = \"tls.crt\""),
        ("missing certificate", "certificate = \"tls.crt\"", "certificate = \"lost.crt\""),
        ("missing certificate key", "key = \"tls.key\"", "key = \"lost.key\""),
        ("missing authority", "peer_ca = \"ca.crt\"", "peer_ca = \"lost.crt\""),
        ("missing DKIM key", "rsa_key = \"dkim-rsa.pem\"", "rsa_key = \"lost.pem\""),
    ];
    let keys = other.path("cell.keys");
    for (what, old, new) in files {
        cell.edit(old, &new.replace("OTHER", keys.to_str().unwrap()));
        let said = said(&cell, "check").replace(keys.to_str().unwrap(), "OTHER");
        std::fs::write(cell.config(), &right).unwrap();
        writeln!(table, "# {what}\n{said}").unwrap();
    }
    let missing = bailiwick(&["check", "--config", "nowhere/bailiwick.toml"]);
    writeln!(table, "# missing configuration\n{}", stderr(&missing)).unwrap();
    let id = other.identity()["id"].as_str().unwrap().to_owned();
    insta::assert_snapshot!(table.replace(&id, "ID"));
}

#[test]
fn a_port_in_use_is_named() {
    let cell = Cell::new("ie", &Authority::new());
    for protocol in ["mx", "submission", "imap", "relay", "http"] {
        let taken = TcpListener::bind(cell.at(protocol)).unwrap();
        let said = cell.refuses_to_start();
        let at = taken.local_addr().unwrap();
        let expected =
            format!("cannot listen for {protocol} at {at}; change `listen` in [{protocol}]");
        assert!(said.contains(&expected), "{said}");
    }
}

#[test]
fn a_configuration_of_any_size_is_judged() {
    let cell = Cell::new("ie", &Authority::new());
    let right = cell.text();
    cell.append(&"[".repeat(100_000));
    assert!(said(&cell, "check").contains("cure: "));
    std::fs::write(cell.config(), right.as_bytes().repeat(50)).unwrap();
    assert!(said(&cell, "check").contains("cure: "));
    std::fs::write(cell.config(), b"\xff\xfe[cell]").unwrap();
    assert!(said(&cell, "check").contains("--config"));
    std::fs::write(cell.config(), right).unwrap();
}
