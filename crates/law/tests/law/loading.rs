//! A pack with a flaw does not load, and the message names the file, the rule and the cure.

use bailiwick_law::{LoadError, Mark, Pack, Packs};

const HEAD: &str = r#"
[pack]
id = "ie"
name = "A test"
version = 1
as_of = "2026-01-01"
covers_from = "2013-01-01"
approved_by = "a test"

[[citation]]
id = "c"
text = "A statute"
mark = "V"
from = "2014-01-01"
until = "2018-01-01"

[[citation]]
id = "k"
text = "Something remembered"
mark = "K"
"#;

fn load(toml: &str, rules: &str) -> Result<Packs, LoadError> {
    Packs::new(vec![Pack::load(&[("pack.toml", toml), ("rules.cedar", rules)])?])
}

fn refused(toml: &str, rules: &str, words: &[&str]) {
    let message = load(toml, rules).unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
    assert!(message.len() < 2_000, "{message}");
}

/// A rule on `produce` with these annotations and this condition.
fn rule(annotations: &str, condition: &str) -> String {
    format!(
        "{annotations} permit (principal, action == Action::\"produce\", resource) when {{ {condition} }};"
    )
}

const GOOD: &str = r#"@rule("r") @cite("k") @mark("V")"#;

#[test]
fn the_good_rule_loads_and_is_no_surer_than_its_source() {
    let packs = load(HEAD, &rule(GOOD, "context.signed")).unwrap();
    let pack = packs.find("ie").unwrap();
    assert_eq!(pack.version().version, 1);
    assert_eq!(Mark::V.max(Mark::K), Mark::K);
}

#[test]
fn an_unknown_key_is_refused() {
    let toml = HEAD.replace("version = 1", "version = 1\nmood = \"good\"");
    refused(&toml, "", &["pack.toml", "mood", "line"]);
    let toml = HEAD.replace("mark = \"K\"", "mark = \"K\"\nsource = \"x\"");
    refused(&toml, "", &["pack.toml", "source"]);
    refused(
        HEAD,
        &rule(&format!("{GOOD} @mood(\"x\")"), "context.signed"),
        &["rules.cedar", "`r`", "@mood"],
    );
}

#[test]
fn a_missing_citation_is_refused() {
    refused(
        HEAD,
        &rule(r#"@rule("r") @mark("V")"#, "context.signed"),
        &["rules.cedar", "`r`", "@cite"],
    );
    refused(HEAD, &rule(r#"@rule("r") @cite("x") @mark("V")"#, "context.signed"), &["`r`", "`x`"]);
    refused(
        HEAD,
        &rule(r#"@rule("r") @cite(" ") @mark("V")"#, "context.signed"),
        &["`r`", "@cite"],
    );
    refused(HEAD, &rule(r#"@rule("r") @cite("k")"#, "context.signed"), &["`r`", "@mark"]);
    refused(HEAD, &rule(r#"@cite("k") @mark("V")"#, "context.signed"), &["@rule"]);
    let toml = format!("{HEAD}\n[[route]]\nid = \"d\"\nwords = \"there\"\ncite = \"x\"\n");
    refused(&toml, "", &["pack.toml", "`d`", "`x`"]);
    let toml = HEAD.replace("A statute", " ");
    refused(&toml, "", &["pack.toml", "`c`", "no text"]);
}

#[test]
fn overlapping_versions_of_a_rule_are_refused() {
    let two = |until: &str, from: &str| {
        let first = rule(&format!("{GOOD} @until(\"{until}\")"), "context.signed");
        let second = rule(&format!("{GOOD} @from(\"{from}\")"), "!context.signed");
        format!("{first}\n{second}")
    };
    assert!(load(HEAD, &two("2015-01-01", "2015-01-01")).is_ok());
    refused(HEAD, &two("2015-01-02", "2015-01-01"), &["rules.cedar", "`r`", "overlaps"]);
    let open = rule(GOOD, "context.signed");
    refused(HEAD, &format!("{open}\n{open}"), &["`r`", "overlaps"]);
}

#[test]
fn a_rule_may_not_outlive_its_citation() {
    let on = |dates: &str| {
        rule(&format!("@rule(\"r\") @cite(\"c\") @mark(\"V\") {dates}"), "context.signed")
    };
    assert!(load(HEAD, &on(r#"@from("2014-01-01") @until("2018-01-01")"#)).is_ok());
    for dates in [
        "",
        r#"@from("2014-01-01")"#,
        r#"@until("2018-01-01")"#,
        r#"@from("2013-12-31") @until("2018-01-01")"#,
    ] {
        refused(HEAD, &on(dates), &["`r`", "`c`", "not in force"]);
    }
    refused(HEAD, &on(r#"@from("2018-01-01") @until("2014-01-01")"#), &["@until"]);
    refused(HEAD, &on(r#"@from("yesterday")"#), &["@from", "yesterday"]);
}

#[test]
fn a_rule_may_not_ask_whether_a_fact_is_known() {
    for condition in [
        "context has signed && context.signed",
        "!(context has gag)",
        "context == {signed: true}",
        "[context].contains(context)",
        "principal == Demand::\"demand\" && context.signed",
        "if context.signed then true else false",
        "resource has name",
    ] {
        refused(HEAD, &rule(GOOD, condition), &["rules.cedar", "`r`"]);
    }
}

#[test]
fn a_misspelt_fact_word_or_type_is_refused() {
    for (condition, word) in [
        ("context.sined", "sined"),
        ("context.issuer == Role::\"jugde\"", "jugde"),
        ("context.issuer == \"judge\"", "r"),
        ("context.instrument == Instrument::\"us.nothing\"", "us.nothing"),
        ("context.identifiers == true", "r"),
        ("context.entity == Place::\"zz\"", "zz"),
        ("context.category == Role::\"judge\"", "r"),
    ] {
        refused(HEAD, &rule(GOOD, condition), &["rules.cedar", "`r`", word]);
    }
}

#[test]
fn scope_and_effect_are_strict() {
    let annotated = |policy: &str| format!("{GOOD} {policy}");
    for (policy, word) in [
        (r#"permit (principal, action, resource);"#, "action"),
        (r#"permit (principal, action == Action::"sell", resource);"#, "sell"),
        (
            r#"permit (principal == Demand::"x", action == Action::"produce", resource);"#,
            "principal",
        ),
        (r#"forbid (principal, action == Action::"produce", resource);"#, "@effect"),
        (
            r#"@effect("maybe") forbid (principal, action == Action::"produce", resource);"#,
            "@effect",
        ),
        (
            r#"@effect("refuse") forbid (principal, action == Action::"advise", resource);"#,
            "advice",
        ),
        (
            r#"@effect("refuse") permit (principal, action == Action::"produce", resource);"#,
            "@effect",
        ),
        (r#"@code("D99") permit (principal, action == Action::"advise", resource);"#, "D99"),
        (r#"@clock("x") permit (principal, action == Action::"advise", resource);"#, "`x`"),
        (
            r#"@produce("plaintext") permit (principal, action == Action::"advise", resource);"#,
            "@produce",
        ),
        (r#"@narrow("x") permit (principal, action == Action::"produce", resource);"#, "@narrow"),
        (r#"permit (principal == ?principal, action == Action::"produce", resource);"#, "template"),
    ] {
        refused(HEAD, &annotated(policy), &["rules.cedar", word]);
    }
}

#[test]
fn deep_nesting_is_refused_and_harmless() {
    let deep = |depth: usize| format!("{}context.signed{}", "(".repeat(depth), ")".repeat(depth));
    refused(HEAD, &rule(GOOD, &deep(50_000)), &["rules.cedar", "brackets"]);
    refused(HEAD, &rule(GOOD, &deep(20)), &["rules.cedar", "brackets"]);
    refused(HEAD, &rule(GOOD, &"!".repeat(50_000)), &["rules.cedar", "longer"]);
    // As deep as 4,096 octets allow, each way an expression can grow.
    let many = "context.signed && ".repeat(80) + "context.signed";
    refused(HEAD, &rule(GOOD, &many), &["rules.cedar", "`r`", "too deeply"]);
    for (piece, end) in [("!", "true"), ("-", "1"), ("1+", "1"), ("true&&", "true"), ("1*", "1")] {
        let condition = piece.repeat(3_900 / piece.len()) + end;
        refused(HEAD, &rule(GOOD, &condition), &["rules.cedar"]);
    }
    for piece in [".a", ".a()", "[0]", "==1", " has a", " like \"a\""] {
        let condition = "context".to_owned() + &piece.repeat(3_900 / piece.len());
        refused(HEAD, &rule(GOOD, &condition), &["rules.cedar"]);
    }
    let branches = "if true then ".repeat(280) + "true" + &" else 1".repeat(2);
    refused(HEAD, &rule(GOOD, &branches), &["rules.cedar"]);
    let array = format!("[pack]\nid = {}", "[".repeat(100_000));
    refused(&array, "", &["pack.toml"]);
}

#[test]
fn what_is_not_a_pack_is_refused() {
    refused("", "", &["pack.toml"]);
    refused(HEAD, "permit (", &["rules.cedar"]);
    refused(HEAD, &"(".repeat(5_000), &["rules.cedar"]);
    refused(HEAD, &" ".repeat(300_000), &["rules.cedar", "larger"]);
    refused(&HEAD.replace("\"ie\"", "\"../ie\""), "", &["pack.toml", "letters"]);
    assert!(Pack::load(&[("rules.cedar", "")]).unwrap_err().to_string().contains("pack.toml"));
    assert!(Pack::load(&[("pack.toml", HEAD), ("notes.txt", "")]).is_err());
    assert!(Pack::load(&[("pack.toml", HEAD), ("pack.toml", HEAD)]).is_err());
    let pack = || Pack::load(&[("pack.toml", HEAD)]).unwrap();
    assert!(Packs::new(vec![pack(), pack()]).is_err());
    let shares = HEAD.replace("version = 1", "version = 1\nshares = [\"eu\"]");
    refused(&shares, "", &["`ie`", "`eu`"]);
}

#[test]
fn the_canonical_octets_change_with_any_file() {
    let octets = |rules: &str| {
        Pack::load(&[("pack.toml", HEAD), ("rules.cedar", rules)]).unwrap().canonical()
    };
    assert_eq!(octets(""), octets(""));
    assert_ne!(octets(""), octets(" "));
    let swapped = Pack::load(&[("rules.cedar", ""), ("pack.toml", HEAD)]).unwrap().canonical();
    assert_eq!(octets(""), swapped);
}
