//! What this process does that nobody else reads its memory, and how its keys are kept.
//!
//! Invariant: shut before anything secret is read; no more is asked of the host than it gives, and
//! what it does not give is said.
//! Refs: docs/adr/0013-memory.md; prctl(2), setrlimit(2).

use std::io;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use seal::memory::{Protection, Standing, standing};
use serde::{Deserialize, Serialize};

/// No core dump, no debugger of the same user, and as much locked memory as the host allows.
///
/// # Errors
/// What the host refuses.
pub(crate) fn shut() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let Rlimit { maximum, .. } = getrlimit(Resource::Memlock);
    setrlimit(Resource::Memlock, Rlimit { current: maximum, maximum })?;
    Ok(())
}

/// How the keys are kept, for the administrator.
#[derive(Serialize, Deserialize)]
pub(crate) struct MemoryAnswer {
    /// `hidden`, `locked`, or `ordinary` where the host gives neither.
    pub(crate) pages: String,
    /// Octets of these pages.
    pub(crate) octets: u64,
    /// Secrets in them now.
    pub(crate) held: u64,
    /// Secrets since the start that found no room there.
    pub(crate) outside: u64,
}

impl MemoryAnswer {
    pub(crate) fn now() -> Self {
        let Standing { protection, octets, held, outside } = standing();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let pages = match protection {
            Some(Protection::Hidden) => "hidden",
            Some(Protection::Locked) => "locked",
            None => "ordinary",
        };
        Self { pages: pages.to_owned(), octets: count(octets), held: count(held), outside }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let Self { pages, octets, held, outside } = self;
        let mut lines = vec![format!("keys        in {pages} memory: {held} in {octets} octets")];
        if *outside > 0 {
            lines.push(format!("            {outside} found no room there: raise LimitMEMLOCK"));
        }
        lines
    }
}

/// Says it in the log.
pub(crate) fn log() {
    let MemoryAnswer { pages, octets, .. } = MemoryAnswer::now();
    if pages == "ordinary" {
        tracing::warn!(
            "keys are in ordinary memory: the host lets none be locked (RLIMIT_MEMLOCK)"
        );
    } else {
        tracing::info!(pages, octets, "where keys are kept");
    }
}
