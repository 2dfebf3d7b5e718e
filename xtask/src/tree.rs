//! The tree as the checks see it: texts, paths, workspace members, exceptions.
//!
//! Invariant: checks read this and nothing else, so a test can hand them a tree
//! made of three lines.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::rust::Rust;

/// Directories that hold nothing of ours: what tools made.
const SKIPPED: [&str; 7] = [
    ".git",
    "target",
    "demo-data",
    "fuzz/target",
    "fuzz/corpus",
    "fuzz/artifacts",
    "fuzz/coverage",
];
/// Published data: its paths exist, its text is not ours to tidy.
const DATA: &str = "specs/vectors/";
/// A text longer than this is data.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// One text file.
pub(crate) struct TextFile {
    /// From the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// For `.rs` files, the text taken apart.
    pub(crate) rust: Option<Rust>,
}

/// What a member depends on directly.
pub(crate) struct Dependency {
    /// The package's own name.
    pub(crate) package: String,
    /// For tests only.
    pub(crate) dev: bool,
    /// Part of this workspace.
    pub(crate) house: bool,
}

/// One package of the workspace.
pub(crate) struct Member {
    /// Short name: the package name without `bailiwick-`.
    pub(crate) name: String,
    /// From the root: `crates/seal`.
    pub(crate) directory: String,
    pub(crate) license: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// A rule that does not hold for one file, and why.
pub(crate) struct Exception {
    pub(crate) rule: String,
    pub(crate) path: String,
}

/// Everything the checks may look at.
pub(crate) struct Tree {
    pub(crate) files: Vec<TextFile>,
    /// Every file's path, data and binary files too.
    pub(crate) paths: BTreeSet<String>,
    pub(crate) members: Vec<Member>,
    pub(crate) exceptions: Vec<Exception>,
}

impl Tree {
    /// Reads the tree this program was built from.
    pub(crate) fn read() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent")?;
        let mut tree = Self {
            files: Vec::new(),
            paths: BTreeSet::new(),
            members: members(root)?,
            exceptions: Vec::new(),
        };
        tree.walk(root, "")?;
        if let Some(text) = tree.text("xtask/tidy.toml") {
            tree.exceptions = exceptions(text).context("xtask/tidy.toml")?;
        }
        Ok(tree)
    }

    fn walk(&mut self, root: &Path, directory: &str) -> Result<()> {
        let mut entries: Vec<PathBuf> = fs::read_dir(root.join(directory))
            .with_context(|| format!("`{directory}` could not be listed"))?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        entries.sort();
        for path in entries {
            let name = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
            if SKIPPED.contains(&name.as_str()) || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                self.walk(root, &name)?;
                continue;
            }
            self.paths.insert(name.clone());
            let is_data = name.starts_with(DATA) && !name.ends_with(".md");
            if is_data || name == "Cargo.lock" || fs::metadata(&path)?.len() > TEXT_BYTES_MAX {
                continue;
            }
            if let Ok(text) = fs::read_to_string(&path) {
                self.add(&name, text);
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &str, text: String) {
        let rust = path.ends_with(".rs").then(|| Rust::read(&text));
        self.files.push(TextFile { path: path.to_owned(), text, rust });
    }

    /// The text of the file at this path.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }

    /// The Rust files, taken apart.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&TextFile, &Rust)> {
        self.files.iter().filter_map(|file| file.rust.as_ref().map(|rust| (file, rust)))
    }

    /// Whether a file or a directory of this name exists.
    pub(crate) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.paths.contains(path) || {
            let directory = format!("{path}/");
            self.paths
                .range(directory.clone()..)
                .next()
                .is_some_and(|next| next.starts_with(&directory))
        }
    }

    /// The member a path belongs to, if it is under `crates/`.
    pub(crate) fn member_of(&self, path: &str) -> Option<&Member> {
        self.members.iter().find(|member| {
            path.strip_prefix(&member.directory).is_some_and(|rest| rest.starts_with('/'))
        })
    }
}

#[cfg(test)]
impl Tree {
    /// A tree of these texts and members, for tests.
    pub(crate) fn of(texts: &[(&str, &str)], members: Vec<Member>) -> Self {
        let mut tree =
            Self { files: Vec::new(), paths: BTreeSet::new(), members, exceptions: Vec::new() };
        for (path, text) in texts {
            tree.paths.insert((*path).to_owned());
            tree.add(path, (*text).to_owned());
        }
        tree
    }
}

#[cfg(test)]
impl Member {
    /// A member of this name with these dependencies: `dev:` marks one for tests.
    pub(crate) fn of(name: &str, license: &str, dependencies: &[&str]) -> Self {
        let dependencies = dependencies.iter().map(|text| {
            let package = text.trim_start_matches("dev:");
            Dependency {
                package: package.to_owned(),
                dev: text.starts_with("dev:"),
                house: package.starts_with("bailiwick"),
            }
        });
        Self {
            name: name.to_owned(),
            directory: format!("crates/{name}"),
            license: license.to_owned(),
            dependencies: dependencies.collect(),
        }
    }
}

/// A package's short name.
pub(crate) fn short(package: &str) -> &str {
    package.strip_prefix("bailiwick-").unwrap_or(package)
}

fn members(root: &Path) -> Result<Vec<Member>> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .context("cargo metadata did not start")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let Some(packages) = metadata.get("packages").and_then(Value::as_array) else {
        bail!("cargo metadata names no packages");
    };
    packages.iter().map(|package| member(root, package)).collect()
}

fn member(root: &Path, package: &Value) -> Result<Member> {
    let text = |key: &str| package.get(key).and_then(Value::as_str);
    let name = text("name").context("a package without a name")?;
    let manifest = Path::new(text("manifest_path").context("a package without a manifest")?);
    let directory = manifest.parent().context("a manifest without a directory")?;
    let dependencies = package.get("dependencies").and_then(Value::as_array);
    let dependencies = dependencies.into_iter().flatten().filter_map(|dependency| {
        Some(Dependency {
            package: dependency.get("name")?.as_str()?.to_owned(),
            dev: dependency.get("kind").and_then(Value::as_str) == Some("dev"),
            house: dependency.get("path").is_some_and(Value::is_string),
        })
    });
    Ok(Member {
        name: short(name).to_owned(),
        directory: directory.strip_prefix(root)?.to_string_lossy().into_owned(),
        license: text("license").unwrap_or_default().to_owned(),
        dependencies: dependencies.collect(),
    })
}

/// Reads `[[exception]]` tables: `rule`, `path`, `reason`, all three required.
fn exceptions(text: &str) -> Result<Vec<Exception>> {
    let table: toml::Table = toml::from_str(text)?;
    let rows = table.get("exception").and_then(toml::Value::as_array);
    rows.into_iter()
        .flatten()
        .map(|row| {
            let key = |key: &str| {
                let value = row.get(key).and_then(toml::Value::as_str).filter(|v| !v.is_empty());
                value.map(str::to_owned).with_context(|| format!("an exception lacks its `{key}`"))
            };
            key("reason")?;
            Ok(Exception { rule: key("rule")?, path: key("path")? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_needs_a_reason() {
        assert!(exceptions("[[exception]]\nrule = \"size\"\npath = \"a.rs\"\n").is_err());
        let whole = "[[exception]]\nrule = \"size\"\npath = \"a.rs\"\nreason = \"generated\"\n";
        assert_eq!(exceptions(whole).unwrap().len(), 1);
    }

    #[test]
    fn a_directory_exists_when_a_file_is_in_it() {
        let tree = Tree::of(&[("docs/adr/0001.md", "")], Vec::new());
        assert!(tree.has("docs/adr") && tree.has("docs/") && tree.has("docs/adr/0001.md"));
        assert!(!tree.has("docs/ad") && !tree.has("doc"));
    }
}
