//! The commands.

use crate::escape::{escape, unescape};
use crate::ls::{self, Style};
use crate::options::Command;
use anyhow::{Context as _, Result, bail, ensure};
use std::io::{Write, stdout};
use xenstore_client::{Client, Error, Operations};
use xenstore_wire::Permission;

/// Columns when the output is no terminal.
const DEFAULT_WIDTH: usize = 80;

/// Carries out a command. `false`: what was asked is not so.
///
/// # Errors
/// One line that says what failed.
pub fn run(command: &Command) -> Result<bool> {
    let mut store = Client::open()?;
    let store = &mut store;
    match command {
        Command::Ls { flat, permissions, path, .. } => show(store, path, *flat, *permissions)?,
        Command::Read { prefix, raw, path, .. } => read(store, path, *prefix, *raw)?,
        Command::Write { raw, pairs, .. } => write(store, pairs, *raw)?,
        Command::Rm { tidy, path, .. } => {
            store.transaction(|store| path.iter().try_for_each(|path| rm(store, path, *tidy)))?
        }
        Command::List { prefix, path, .. } => list(store, path, *prefix)?,
        Command::Exists { path, .. } => return exists(store, path),
        Command::Chmod { upto, recurse, path, permissions, .. } => {
            chmod(store, path, permissions, *upto, *recurse)?;
        }
        Command::Watch { number, path, .. } => watch(store, path, *number)?,
    }
    Ok(true)
}

fn show(store: &mut Client, paths: &[String], flat: bool, permissions: bool) -> Result<()> {
    let columns = rustix::termios::tcgetwinsize(stdout()).map(|size| usize::from(size.ws_col));
    let width = columns.ok().filter(|&columns| columns > 2).map_or(DEFAULT_WIDTH, |columns| columns - 2);
    let width = if flat { usize::MAX / 2 } else { width };
    let mut out = std::io::BufWriter::new(stdout().lock());
    let root = ["/".to_owned()];
    for path in if paths.is_empty() { &root } else { paths } {
        ls::show(store, path, Style { width, flat, permissions }, &mut out)?;
    }
    Ok(out.flush()?)
}

fn read(store: &mut Client, paths: &[String], prefix: bool, raw: bool) -> Result<()> {
    let text = store.transaction(|store| {
        let mut text = Vec::new();
        for path in paths {
            let value = store.read(path)?;
            if prefix {
                text.extend_from_slice(format!("{path}: ").as_bytes());
            }
            if raw {
                text.extend_from_slice(&value);
            } else {
                text.extend_from_slice(escape(&value).as_bytes());
                text.push(b'\n');
            }
        }
        Ok(text)
    })?;
    Ok(stdout().write_all(&text)?)
}

fn write(store: &mut Client, pairs: &[String], raw: bool) -> Result<()> {
    ensure!(pairs.len().is_multiple_of(2), "a value is missing for {}", pairs[pairs.len() - 1]);
    Ok(store.transaction(|store| {
        pairs.chunks_exact(2).try_for_each(|pair| {
            let value = pair[1].as_bytes();
            store.write(&pair[0], if raw { value.to_vec() } else { unescape(value) })
        })
    })?)
}

/// Removes a node; if asked, also the nodes above that then have neither value nor children.
fn rm(store: &mut impl Operations, path: &str, tidy: bool) -> Result<(), Error> {
    let mut path = path;
    loop {
        store.rm(path)?;
        match path.rsplit_once('/') {
            Some((parent, _)) if tidy && !parent.is_empty() => path = parent,
            _ => return Ok(()),
        }
        let is_empty = store.read(path).is_ok_and(|value| value.is_empty());
        if !is_empty || !store.directory(path).is_ok_and(|names| names.is_empty()) {
            return Ok(());
        }
    }
}

fn list(store: &mut Client, paths: &[String], prefix: bool) -> Result<()> {
    let text = store.transaction(|store| {
        let mut text = String::new();
        for path in paths {
            for name in store.directory(path)? {
                if prefix {
                    text.push_str(path);
                    text.push('/');
                }
                text.push_str(&name);
                text.push('\n');
            }
        }
        Ok(text)
    })?;
    Ok(stdout().write_all(text.as_bytes())?)
}

fn exists(store: &mut Client, paths: &[String]) -> Result<bool> {
    for path in paths {
        match store.read(path) {
            Ok(_) => {}
            Err(Error::Refused { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

fn chmod(store: &mut Client, path: &str, permissions: &[String], upto: bool, recurse: bool) -> Result<()> {
    let list: Vec<Permission> =
        permissions.iter().map(|text| Permission::parse(text.as_bytes())).collect::<Result<_, _>>()?;
    if upto && !path.starts_with('/') {
        bail!("--upto needs a path that begins with /, not {path}");
    }
    let outcome = store.transaction(|store| {
        set_permissions(store, path, &list, recurse)?;
        let mut above = path;
        while let Some((parent, _)) = above.rsplit_once('/').filter(|(parent, _)| upto && !parent.is_empty())
        {
            store.set_permissions(parent, &list)?;
            above = parent;
        }
        Ok(())
    });
    outcome.with_context(|| format!("cannot set permissions of {path}"))
}

/// Sets permissions of a node, and if asked, of all below it.
fn set_permissions(
    store: &mut impl Operations,
    path: &str,
    list: &[Permission],
    recurse: bool,
) -> Result<(), Error> {
    let mut left = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        store.set_permissions(&path, list)?;
        if recurse {
            let base = path.strip_suffix('/').unwrap_or(&path);
            left.extend(store.directory(&path)?.iter().map(|name| format!("{base}/{name}")));
        }
    }
    Ok(())
}

fn watch(store: &mut Client, paths: &[String], number: Option<u64>) -> Result<()> {
    for path in paths {
        store.watch(path, path)?;
    }
    let mut seen = 0;
    while number.is_none_or(|number| seen < number) {
        if let Some(event) = store.wait_event(None)? {
            let mut out = stdout().lock();
            writeln!(out, "{}", event.path)?;
            out.flush()?;
            seen += 1;
        }
    }
    Ok(())
}
