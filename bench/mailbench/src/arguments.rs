//! The command line, and the file of users it names.
//!
//! Invariant: parses and nothing else; a word that is not understood is an error.

use std::collections::HashMap;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

/// `--name value` pairs; a name followed by another name, or by nothing, is a switch.
pub(crate) struct Arguments(HashMap<String, String>);

/// Someone who can log in.
#[derive(Clone)]
pub(crate) struct Owner {
    pub(crate) address: String,
    pub(crate) password: String,
}

impl Arguments {
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Self> {
        let mut pairs = HashMap::new();
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            let Some(name) = word.strip_prefix("--") else { bail!("what is `{word}`?") };
            let value = words.next_if(|next| !next.starts_with("--")).unwrap_or_default();
            pairs.insert(name.to_owned(), value);
        }
        Ok(Self(pairs))
    }

    pub(crate) fn switch(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.0.get(name).map_or(default, String::as_str)
    }

    pub(crate) fn need(&self, name: &str) -> Result<&str> {
        self.0.get(name).map(String::as_str).with_context(|| format!("--{name} is needed"))
    }

    pub(crate) fn number<T: FromStr>(&self, name: &str, default: T) -> Result<T> {
        let Some(text) = self.0.get(name) else { return Ok(default) };
        text.parse().ok().with_context(|| format!("--{name} takes a number, not `{text}`"))
    }

    /// The processes that are the server.
    pub(crate) fn pids(&self) -> Result<Vec<u32>> {
        let parse = |pid: &str| pid.parse().with_context(|| format!("`{pid}` is no process"));
        self.need("pids")?.split(',').map(parse).collect()
    }

    /// Every user of the file; at least one.
    pub(crate) fn users(&self) -> Result<Vec<Owner>> {
        let path = self.need("users")?;
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        let user = |line: &str| {
            let (address, password) = line.split_once(':')?;
            Some(Owner { address: address.to_owned(), password: password.to_owned() })
        };
        let users: Vec<Owner> = text.lines().filter_map(user).collect();
        if users.is_empty() {
            bail!("no users in {path}");
        }
        Ok(users)
    }

    /// The one that `--user` names.
    pub(crate) fn user(&self) -> Result<Owner> {
        let address = self.need("user")?;
        let mut users = self.users()?.into_iter();
        users.find(|user| user.address == address).with_context(|| format!("no user {address}"))
    }
}
