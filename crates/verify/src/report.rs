//! The report: a numbered list of checks, for a judge to read.
//!
//! Invariant: what was not checked is not said to have passed; one failure fails the whole.

use crate::evidence::plain;
use core::fmt;

/// What came of one check.
enum Outcome {
    Pass,
    Fail(String),
    NotChecked,
    /// A person said no, which is no fault of what was checked.
    Declined,
}

/// The checks so far.
#[derive(Default)]
pub(crate) struct Report {
    lines: Vec<(String, Outcome)>,
}

impl Report {
    /// Something was found true.
    pub(crate) fn pass(&mut self, what: impl Into<String>) {
        self.lines.push((what.into(), Outcome::Pass));
    }

    /// Something was found false, and why.
    pub(crate) fn fail(&mut self, what: impl Into<String>, why: impl fmt::Display) {
        self.lines.push((what.into(), Outcome::Fail(why.to_string())));
    }

    /// Something could not be looked at because of an earlier failure.
    pub(crate) fn skip(&mut self, what: impl Into<String>) {
        self.lines.push((what.into(), Outcome::NotChecked));
    }

    /// A person would not go on.
    pub(crate) fn decline(&mut self, what: impl Into<String>) {
        self.lines.push((what.into(), Outcome::Declined));
    }

    /// One check with its outcome. Gives the value on if it passed.
    pub(crate) fn check<T, E: fmt::Display>(
        &mut self,
        what: impl Into<String>,
        outcome: Result<T, E>,
    ) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.pass(what);
                Some(value)
            }
            Err(why) => {
                self.fail(what, why);
                None
            }
        }
    }

    /// Whether every check was made and passed, and nobody said no.
    pub(crate) fn passed(&self) -> bool {
        self.lines.iter().all(|(_, outcome)| matches!(outcome, Outcome::Pass))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((what, outcome), number) in self.lines.iter().zip(1..) {
            // File names and texts of others are in here.
            let what = plain(what);
            match outcome {
                Outcome::Pass => writeln!(f, "{number:>2}. PASS  {what}")?,
                Outcome::Fail(why) => writeln!(f, "{number:>2}. FAIL  {what}: {}", plain(why))?,
                Outcome::NotChecked => writeln!(f, "{number:>2}. not checked  {what}")?,
                Outcome::Declined => writeln!(f, "{number:>2}. NO    {what}")?,
            }
        }
        if self.lines.iter().any(|(_, outcome)| matches!(outcome, Outcome::Declined)) {
            return writeln!(f, "\nEvery check passed, and you said no. Nothing was given.");
        }
        let failed =
            self.lines.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Fail(_))).count();
        match (self.passed(), failed) {
            (true, _) => writeln!(f, "\nEvery check passed."),
            (false, 1) => writeln!(f, "\n1 check FAILED. Do not rely on this."),
            (false, count) => writeln!(f, "\n{count} checks FAILED. Do not rely on this."),
        }
    }
}

/// An error with all that lies below it, on one line.
pub(crate) fn whole(error: &(dyn core::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        text.push_str(": ");
        text.push_str(&error.to_string());
        below = error.source();
    }
    text
}
