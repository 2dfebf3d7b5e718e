//! bailiwick-verify, the program. All of it is in the library beside it, where fuzzing reaches it.
//!
//! Invariant: nothing is here but the call.
//! Refs: specs/{production,release-evidence,log-entry}.md.

use std::process::ExitCode;

fn main() -> ExitCode {
    bailiwick_verify::run()
}
