//! A file tree to be packed: built in memory, file contents read only when packing.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What stands at one path of a [`Tree`].
#[derive(Debug, PartialEq)]
pub enum Node {
    /// A folder, mode 0755.
    Folder,
    /// A symbolic link and its target.
    Link(String),
    /// A file copied from this machine.
    Copy {
        /// Where its bytes come from.
        source: PathBuf,
        /// Whether it can be executed.
        executable: bool,
    },
    /// A file with the given bytes, mode 0644.
    Bytes(Vec<u8>),
}

/// Paths (relative, `/`-separated) and what stands there. Parent folders come by themselves.
#[derive(Default)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// All paths in order; a folder comes before what it holds.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// Adds an empty folder.
    pub fn folder(&mut self, path: &str) {
        self.insert(path, Node::Folder);
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) {
        self.insert(path, Node::Link(target.to_owned()));
    }

    /// Adds a file with the given bytes.
    pub fn bytes(&mut self, path: &str, bytes: Vec<u8>) {
        self.insert(path, Node::Bytes(bytes));
    }

    /// Adds a copy of a file; symbolic links are followed.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn copy(&mut self, path: &str, source: &Path) -> Result<()> {
        let source =
            source.canonicalize().with_context(|| format!("{path} is missing: {}", source.display()))?;
        let executable = fs::metadata(&source)?.permissions().mode() & 0o111 != 0;
        self.insert(path, Node::Copy { source, executable });
        Ok(())
    }

    /// Adds a copy of all that a folder holds, links as links.
    ///
    /// # Errors
    /// When the folder cannot be read or holds something other than files, folders and links.
    pub fn copy_all(&mut self, path: &str, source: &Path) -> Result<()> {
        let entries = fs::read_dir(source).with_context(|| format!("cannot read {}", source.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let name =
                name.to_str().with_context(|| format!("name that is not UTF-8 in {}", source.display()))?;
            let inner = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.folder(&inner);
                self.copy_all(&inner, &entry.path())?;
            } else if kind.is_symlink() {
                let target = fs::read_link(entry.path())?;
                self.link(&inner, &target.to_string_lossy());
            } else if kind.is_file() {
                self.copy(&inner, &entry.path())?;
            } else {
                bail!("{} is neither file nor folder nor link", entry.path().display());
            }
        }
        Ok(())
    }

    /// A text that changes when the packed result would: every path with its kind, size and time of change.
    pub fn fingerprint(&self) -> Result<String> {
        let mut text = String::new();
        for (path, node) in self.nodes() {
            let line = match node {
                Node::Folder => format!("{path} folder\n"),
                Node::Link(target) => format!("{path} -> {target}\n"),
                Node::Bytes(bytes) => format!("{path} = {}\n", String::from_utf8_lossy(bytes)),
                Node::Copy { source, executable } => {
                    let meta = fs::metadata(source)?;
                    format!(
                        "{path} {} {executable} {} {}.{}\n",
                        source.display(),
                        meta.size(),
                        meta.mtime(),
                        meta.mtime_nsec()
                    )
                }
            };
            text.push_str(&line);
        }
        Ok(text)
    }

    fn insert(&mut self, path: &str, node: Node) {
        let mut parent = path;
        while let Some((folder, _)) = parent.rsplit_once('/') {
            self.nodes.entry(folder.to_owned()).or_insert(Node::Folder);
            parent = folder;
        }
        self.nodes.insert(path.to_owned(), node);
    }
}

#[cfg(test)]
mod tests {
    use super::{Node, Tree};

    #[test]
    fn parents_come_before_their_content() {
        let mut tree = Tree::new();
        tree.bytes("a/b/c", vec![1]);
        let paths: Vec<_> = tree.nodes().map(|(path, _)| path).collect();
        assert_eq!(paths, ["a", "a/b", "a/b/c"]);
    }

    #[test]
    fn existing_link_is_not_replaced_by_a_parent_folder() {
        let mut tree = Tree::new();
        tree.link("lib", "usr/lib");
        tree.bytes("lib/x", vec![]);
        assert_eq!(tree.nodes().next(), Some(("lib", &Node::Link("usr/lib".to_owned()))));
    }

    #[test]
    fn missing_source_is_named() {
        let error = Tree::new().copy("bin/x", "/nonexistent/x".as_ref()).expect_err("no such file");
        assert!(error.to_string().contains("/nonexistent/x"));
    }
}
