//! The workspace's crates, as `cargo metadata` tells them.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A crate of the workspace.
#[derive(Debug, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its `Cargo.toml`.
    pub manifest_path: PathBuf,
    /// What it declares to depend on.
    pub dependencies: Vec<Dependency>,
    /// What it builds.
    pub targets: Vec<Target>,
}

/// A declared dependency.
#[derive(Debug, Deserialize)]
pub struct Dependency {
    /// The name of the crate depended on.
    pub name: String,
    /// `dev`, `build`, or nothing for an ordinary one.
    pub kind: Option<String>,
}

/// A library, program or test of a crate.
#[derive(Debug, Deserialize)]
pub struct Target {
    /// The file that holds its root module.
    pub src_path: PathBuf,
}

impl Package {
    /// The crate's folder.
    pub fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }

    /// The name of the repository's top folder that the crate lies in.
    pub fn top_folder<'a>(&'a self, root: &Path) -> Option<&'a str> {
        self.manifest_path.strip_prefix(root).ok()?.components().next()?.as_os_str().to_str()
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// Reads the output of `cargo metadata --no-deps`.
pub fn parse(text: &str) -> Result<Vec<Package>> {
    let metadata: Metadata =
        serde_json::from_str(text).context("cannot read the output of cargo metadata")?;
    Ok(metadata.packages)
}
