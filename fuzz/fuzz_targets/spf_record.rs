//! RFC 7208 records: what is read becomes names that DNS can have, or none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::spf::{Client, Mechanism, Record, Template};

fuzz_target!(|data: &[u8]| {
    let Ok(record) = Record::parse(data) else { return };
    let client = Client {
        ip: core::net::Ipv6Addr::LOCALHOST.into(),
        hello: "..mx%.example",
        local_part: "jos\u{e9}-a+b",
        domain: "example.org",
    };
    let ascii = Client { local_part: "a-b+c=d", ..client };
    let expand = |template: &Template| {
        for client in [&client, &ascii] {
            let Some(name) = template.expand(client, "a.example", "unknown") else { continue };
            assert!(name.len() <= 253 && name.is_ascii());
            assert!(name.split('.').all(|label| (1..=63).contains(&label.len())));
        }
    };
    record.redirect.iter().for_each(expand);
    for directive in &record.directives {
        match &directive.mechanism {
            Mechanism::Include(template) | Mechanism::Exists(template) => expand(template),
            Mechanism::A(template, prefix) | Mechanism::Mx(template, prefix) => {
                assert!(prefix.four <= 32 && prefix.six <= 128);
                template.iter().for_each(expand);
            }
            Mechanism::Ptr(template) => template.iter().for_each(expand),
            Mechanism::Ip(network) => assert!(network.contains(network.address)),
            Mechanism::All => {}
        }
    }
});
