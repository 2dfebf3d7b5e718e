//! mailbench: one phase of load on one mail server, measured, as one line of JSON.
//!
//! Invariant: speaks to loopback only (it checks no certificate); the same seed sends the same
//! letters to every server; a phase whose letters are not all where they belong fails.
//! Refs: docs/bench.md.

mod arguments;
mod imap;
mod letters;
mod meter;
mod net;
mod phases;
mod smtp;

use std::process::ExitCode;

use arguments::Arguments;

const USAGE: &str = "usage: mailbench PHASE --name value …
  deliver  --protocol smtp|lmtp --to HOST:PORT --imap HOST:PORT --users FILE --pids P,…
           [--sessions 1] [--messages 100] [--octets 10240] [--seed 1] [--user U]
           [--queued] [--unopened]
  fill     --imap HOST:PORT --users FILE --user U --pids P,… --messages N [--octets 4096]
           [--sessions 1]
  list     --imap HOST:PORT --users FILE --user U --pids P,… [--items (FLAGS ENVELOPE)]
  bodies   --imap HOST:PORT --users FILE --user U --pids P,… --messages N [--first 1] [--single]
  logins   --imap HOST:PORT --users FILE --pids P,… [--sessions 8] [--messages 400]
  search   --imap HOST:PORT --users FILE --user U --pids P,… [--settle SECONDS] [--few]
  parts    --imap HOST:PORT --users FILE --user U --pids P,… [--messages 500] [--part 2]
           [--octets 5242880]
  changes  --imap HOST:PORT --users FILE --user U --pids P,… --messages N
  hold     --imap HOST:PORT --users FILE --pids P,… [--user U] [--sessions 1000]
           [--seconds 10]
FILE has a line `address:password` per user. IMAP is TLS from the first octet.
P are the processes whose time, with that of all their descendants, is the server's.";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let phase = words.next().unwrap_or_default();
    let outcome = Arguments::parse(words).and_then(|arguments| match phase.as_str() {
        "deliver" => phases::deliver::run(&arguments),
        "fill" => phases::fill::run(&arguments),
        "hold" => phases::hold::run(&arguments),
        "list" => phases::list::run(&arguments),
        "bodies" => phases::bodies::run(&arguments),
        "changes" => phases::changes::run(&arguments),
        "logins" => phases::logins::run(&arguments),
        "parts" => phases::parts::run(&arguments),
        "search" => phases::search::run(&arguments),
        _ => anyhow::bail!("{USAGE}"),
    });
    match outcome {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("mailbench {phase}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
