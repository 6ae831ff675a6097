//! Packs a [`Tree`] into a gzip-compressed cpio archive.

use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;
use std::process::{Command, Stdio};

use super::cpio::CpioWriter;
use super::tree::{Node, Tree};

/// Writes `tree` to `file`, unless `file` already holds just that, by the record of its content in `stamp`. Tells
/// whether it was written.
///
/// Level 6 of gzip: higher ones save under 1 % here and cost the reader the same.
pub fn pack(tree: &Tree, file: &Path, stamp: &Path) -> Result<bool> {
    let fingerprint = tree.fingerprint()?;
    if file.exists() && fs::read_to_string(stamp).is_ok_and(|old| old == fingerprint) {
        return Ok(false);
    }
    let partial = file.with_extension("partial");
    let mut gzip = Command::new("gzip")
        .args(["-n", "-6", "-c"])
        .stdin(Stdio::piped())
        .stdout(File::create(&partial).with_context(|| format!("cannot write {}", partial.display()))?)
        .spawn()
        .context("cannot start gzip")?;
    let input = gzip.stdin.take().context("gzip takes no input")?;
    write(tree, BufWriter::new(input))?;
    let status = gzip.wait()?;
    if !status.success() {
        bail!("gzip ended with {status}");
    }
    fs::rename(&partial, file).with_context(|| format!("cannot write {}", file.display()))?;
    fs::write(stamp, fingerprint)?;
    Ok(true)
}

fn write(tree: &Tree, out: impl std::io::Write) -> Result<()> {
    let mut archive = CpioWriter::new(out);
    for (path, node) in tree.nodes() {
        match node {
            Node::Folder => archive.folder(path)?,
            Node::Link(target) => archive.link(path, target)?,
            Node::Bytes(bytes) => archive.file(path, false, bytes)?,
            Node::Copy { source, executable } => {
                let bytes = fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
                archive.file(path, *executable, &bytes)?;
            }
        }
    }
    archive.finish()?;
    Ok(())
}
