//! What was expunged, and how long messages are kept, from an owner's command line.

use crate::cell::{Cell, letter};

#[test]
fn an_owner_puts_back_what_was_expunged_sets_how_long_it_is_kept_and_purges() {
    let cell = Cell::serving("ie");
    let alice = cell.account("alice");
    let (code, said) = cell.mx().deliver("bob@example.org", &alice.address, &letter("one"));
    assert_eq!(code, 250, "{said}");
    let mut imap = cell.imap();
    imap.login(&alice.address, &alice.app_password);
    imap.ok("SELECT INBOX");
    imap.ok("STORE 1 +FLAGS (\\Deleted)");
    assert!(imap.ok("EXPUNGE").contains("* 1 EXPUNGE"));
    let ask = |words: &[&str]| {
        let (done, answer) = cell.ask_admin(words, &alice.recovery_code);
        assert!(done, "{answer}");
        answer
    };
    let undelete = ["account", "undelete", &alice.address];
    let listed = ask(&[undelete.as_slice(), &["--list"]].concat());
    assert_eq!(listed["lines"][0]["mailbox"], "INBOX", "{listed}");
    assert_eq!(listed["lines"][0]["messages"], 1, "{listed}");
    let (what, _) = cell.admin_refused(&undelete, &alice.app_password);
    assert!(what.contains("unlocker"), "{what}");
    assert_eq!(ask(&[undelete.as_slice(), &["--since", "2999-01-01"]].concat())["undeleted"], 0);
    assert_eq!(ask(&undelete)["undeleted"], 1);
    assert!(imap.ok("NOOP").contains("* 1 EXISTS"));
    imap.ok("STORE 1 +FLAGS (\\Deleted)");
    imap.ok("EXPUNGE");
    assert_eq!(ask(&[undelete.as_slice(), &["--now"]].concat())["purged"], 1);
    assert_eq!(ask(&undelete)["undeleted"], 0);
    let retention = ["account", "retention", &alice.address];
    assert_eq!(ask(&retention)["account"], 0);
    let set = ask(&[retention.as_slice(), &["--mailbox", "Trash", "--days", "30"]].concat());
    assert_eq!(set["mailboxes"][0][0], "Trash", "{set}");
    assert_eq!(set["mailboxes"][0][1], 30, "{set}");
}
