//! `bailiwick init`: what it writes, and what it will not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::cell::{Cell, bailiwick, stderr};

const FILES: [&str; 5] = ["bailiwick.toml", "cell.keys", "dkim-rsa.pem", "tls.crt", "tls.key"];

fn init(folder: &str, more: &[&str]) -> std::process::Output {
    let words = ["init", "--cell", "ie", "--domain", "ie.example", "--dir", folder];
    bailiwick(&[&words[..], more].concat())
}

#[test]
fn what_init_writes_check_accepts() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("new/cell");
    let made = init(at.to_str().unwrap(), &[]);
    assert!(made.status.success(), "{}", stderr(&made));
    let config = at.join("bailiwick.toml");
    let checked = bailiwick(&["check", "--config", config.to_str().unwrap()]);
    assert!(checked.status.success(), "{}", stderr(&checked));
    let said = String::from_utf8(checked.stdout).unwrap();
    for word in ["mx.ie.example", "ie.example/log+", "ie.example/witness+", "v=DKIM1", "v=spf1"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn init_says_where_the_cell_will_listen() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    let made = init(at, &["--listen", "192.0.2.1", "--port-offset", "10000"]);
    let said = String::from_utf8(made.stdout).unwrap();
    for (protocol, port) in
        [("mx", 10025), ("submission", 10465), ("imap", 10993), ("relay", 10026), ("http", 10080)]
    {
        let at = format!("192.0.2.1:{port}");
        let later = if protocol == "relay" { "once `peer_ca` is set" } else { "" };
        let is_it = |line: &str| {
            let wanted = [protocol, &at].into_iter().chain(later.split_whitespace());
            line.split_whitespace().eq(wanted)
        };
        assert!(said.lines().any(is_it), "{protocol}: {said}");
    }
}

#[test]
fn a_cell_that_serves_says_where() {
    let cell = Cell::serving("ie");
    for protocol in ["mx", "submission", "imap", "relay", "http"] {
        let at = cell.at(protocol);
        cell.wait_for(&format!("\"listening\",\"protocol\":\"{protocol}\",\"at\":\"{at}\""));
    }
}

#[test]
fn what_init_writes_belongs_to_its_user_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("cell");
    assert!(init(at.to_str().unwrap(), &[]).status.success());
    let mut found: Vec<String> = fs::read_dir(&at)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort_unstable();
    assert_eq!(found, FILES);
    for file in FILES {
        let mode = fs::metadata(at.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert_eq!(fs::metadata(&at).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn init_says_no_key_on_the_screen() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    let made = init(at, &[]);
    let keys = fs::read_to_string(folder.path().join("cell.keys")).unwrap();
    let secret = keys.lines().find_map(|line| line.strip_prefix("secret ")).unwrap();
    let said = String::from_utf8(made.stdout.clone()).unwrap() + &stderr(&made);
    assert!(!said.contains(secret));
}

#[test]
fn init_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    assert!(init(at, &[]).status.success());
    let before = FILES.map(|file| fs::read(folder.path().join(file)).unwrap());
    let again = init(at, &[]);
    assert!(!again.status.success());
    assert!(stderr(&again).contains("a cell is made once. Choose another --dir"), "{again:?}");
    // Nor keys whose configuration was lost: they are the only copy.
    fs::remove_file(folder.path().join("bailiwick.toml")).unwrap();
    let again = init(at, &[]);
    assert!(!again.status.success());
    assert!(stderr(&again).contains("cell.keys"), "{again:?}");
    for (file, before) in FILES.iter().zip(&before).skip(1) {
        assert_eq!(&fs::read(folder.path().join(file)).unwrap(), before, "{file}");
    }
}

#[test]
fn arguments_that_make_no_cell_leave_nothing_behind() {
    let mistakes: [(&[&str], &str); 5] = [
        (&["--cell", "Ireland!", "--domain", "ie.example"], "is not a cell name"),
        (&["--cell", "ie", "--domain", "no domain"], "is not a domain"),
        (&["--cell", "ie", "--domain", "ie.example", "--hostname", "-"], "is not a domain"),
        (
            &["--cell", "ie", "--domain", "ie.example", "--port-offset", "65000"],
            "--port-offset is too large",
        ),
        (&["--cell", "ie"], "--domain"),
    ];
    for (words, what) in mistakes {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("cell");
        let words = [&["init", "--dir", at.to_str().unwrap()], words].concat();
        let made = bailiwick(&words);
        assert!(!made.status.success(), "{words:?}");
        assert!(stderr(&made).contains(what), "{words:?}: {}", stderr(&made));
        assert!(!at.exists(), "{words:?}");
    }
}

#[test]
fn quotes_in_an_argument_stay_inside_their_string() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    let entity = "O\"Neill \\ Söhne\n[limits]";
    let made = init(at, &["--entity", entity]);
    assert!(made.status.success(), "{}", stderr(&made));
    let text = fs::read_to_string(folder.path().join("bailiwick.toml")).unwrap();
    let written: toml::Table = text.parse().unwrap();
    assert_eq!(written["cell"]["entity"].as_str(), Some(entity));
}
