//! The asking side of administration.
//!
//! Invariant: one request, one answer, then the connection ends.

use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result};

use super::protocol::{Answer, LINE_OCTETS_MAX, Request};

/// Asks the running cell.
pub(crate) fn ask(socket: &Path, request: &Request) -> Result<Answer> {
    let mut stream = UnixStream::connect(socket).with_context(|| {
        format!(
            "no cell answers at `{}`; start it with `bailiwick serve`, or name its --config",
            socket.display()
        )
    })?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(LINE_OCTETS_MAX)).read_until(b'\n', &mut answer)?;
    serde_json::from_slice(&answer).context("the cell closed the connection without an answer")
}

/// What follows an answer that was shown: an account whose secrets are on the screen, or in the
/// hands of the program that asked, gets its address.
pub(crate) fn settle(socket: &Path, request: &Request, answer: &Answer) -> Result<()> {
    if let (
        Request::AccountRecovery { address, suspect, .. },
        Answer::Recovery { slot, recovery_code: _ },
    ) = (request, answer)
    {
        return confirm(socket, address, slot, *suspect);
    }
    let (Request::AccountCreate { address, .. }, Answer::Created { account, .. }) =
        (request, answer)
    else {
        return Ok(());
    };
    std::io::stdout().flush()?;
    let (account, address) = (account.clone(), address.clone());
    let settled = ask(socket, &Request::AccountAddress { account, address });
    settled.and_then(Answer::or_refusal).map(|_| ()).context(
        "the account just shown did not get its address; make it again, and if the address is \
         taken then, it has got it",
    )
}

/// Who sits at a terminal types the code that was shown, and the old one goes. Else it goes with a
/// command of its own, which the answer named.
fn confirm(socket: &Path, address: &str, slot: &str, suspect: bool) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        return Ok(());
    }
    std::io::stdout().flush()?;
    eprint!("the new code, to end the old one: ");
    let (address, confirm) = (address.to_owned(), Some(slot.to_owned()));
    let secret = secret_from_stdin().context("the old recovery code opens still")?;
    let ended = ask(socket, &Request::AccountRecovery { address, secret, suspect, confirm });
    ended.and_then(Answer::or_refusal).map(|_| ()).context("the old recovery code opens still")
}

/// A secret, from standard input: its first line, without the line end.
pub(crate) fn secret_from_stdin() -> Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().take(4096).read_line(&mut line)?;
    let secret = line.trim_end_matches(['\r', '\n']);
    anyhow::ensure!(!secret.is_empty(), "no secret on standard input; pipe it in, on one line");
    Ok(secret.to_owned())
}
