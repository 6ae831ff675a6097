//! That `docs/lock-order.md` names every lock of the hypervisor, each with the rank that it has in its type.
//!
//! The order itself is kept by the crate `lock` while tests run.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;

use super::own_packages;
use super::rust_source::{self, Line};
use super::source_files::source_files;
use crate::workspace::Workspace;

const PAGE: &str = "docs/lock-order.md";
/// Where locks may be declared.
const FOLDERS: [&str; 2] = ["hypervisor", "support"];
/// The crate of the locks themselves.
const LOCKS: &str = "lock";

/// The rank of each lock, by the name of the structure and the field.
type Ranks = BTreeMap<String, u8>;

/// Compares the page with the source.
///
/// # Errors
/// When a lock is missing in one of them, or has another rank there.
pub fn check(workspace: &Workspace) -> Result<()> {
    let page =
        fs::read_to_string(workspace.root.join(PAGE)).with_context(|| format!("cannot read {PAGE}"))?;
    let documented = documented(&page)?;
    let mut declared = Ranks::new();
    for package in own_packages(workspace)? {
        let folder = package.top_folder(&workspace.root).unwrap_or_default();
        let uses_locks = package.dependencies.iter().any(|dependency| dependency.name == LOCKS);
        if !uses_locks || !FOLDERS.contains(&folder) {
            continue;
        }
        for file in source_files(&package.folder().join("src"))? {
            let mut lines = rust_source::lines(&fs::read_to_string(&file)?);
            rust_source::without_tests(&mut lines);
            for lock in declarations(&lines).with_context(|| workspace.show(&file))? {
                if declared.insert(lock.name.clone(), lock.rank).is_some() {
                    bail!("two locks are called {}: the page could mean either", lock.name);
                }
            }
        }
    }
    let faults = differences(&documented, &declared);
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}

fn differences(documented: &Ranks, declared: &Ranks) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, rank) in declared {
        match documented.get(name) {
            None => faults.push(format!("{name} (rank {rank}) is not in {PAGE}")),
            Some(other) if other != rank => {
                faults.push(format!("{name} has rank {rank}, but {other} in {PAGE}"));
            }
            Some(_) => {}
        }
    }
    let gone = documented.keys().filter(|name| !declared.contains_key(*name));
    faults.extend(gone.map(|name| format!("{PAGE} has {name}, which is no lock")));
    faults
}

/// Reads the page's table: a rank in the first column, the names of locks in backticks in the second.
fn documented(page: &str) -> Result<Ranks> {
    let mut ranks = Ranks::new();
    let mut last = None;
    for row in page.lines().filter_map(|line| line.strip_prefix('|')) {
        let mut cells = row.split('|').map(str::trim);
        let Some(rank) = cells.next().and_then(|cell| cell.parse::<u8>().ok()) else { continue };
        if last.is_some_and(|last| rank <= last) {
            bail!("{PAGE}: line {rank} stands after a higher one");
        }
        last = Some(rank);
        for name in cells.next().unwrap_or_default().split('`').skip(1).step_by(2) {
            if ranks.insert(name.to_owned(), rank).is_some() {
                bail!("{PAGE} names {name} twice");
            }
        }
    }
    if ranks.is_empty() {
        bail!("{PAGE} has no table of locks");
    }
    Ok(ranks)
}

#[derive(Debug, PartialEq)]
struct Lock {
    name: String,
    rank: u8,
}

/// The locks that fields, tuple structures, type aliases and statics declare.
fn declarations(lines: &[Line]) -> Result<Vec<Lock>> {
    let mut locks = Vec::new();
    // The structure whose fields these are.
    let mut inside: Option<String> = None;
    for line in lines {
        let code = line.code.trim();
        let item = code.strip_prefix("pub ").unwrap_or(without_scope(code));
        let name = match &inside {
            Some(_) if code.starts_with('}') => {
                inside = None;
                continue;
            }
            Some(owner) => {
                let field =
                    item.split_once(':').map_or("a field of several lines", |(field, _)| field.trim());
                Some(format!("{owner}::{field}"))
            }
            None => {
                let (kind, rest) = item.split_once(' ').unwrap_or((item, ""));
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                match kind {
                    "struct" if !code.ends_with([';', '}']) => {
                        inside = Some(name);
                        continue;
                    }
                    "struct" | "type" | "static" => Some(name),
                    _ => None,
                }
            }
        };
        if let Some(name) = name
            && let Some(argument) = lock_arguments(item)
        {
            let rank = argument.rsplit_once(',').and_then(|(_, rank)| rank.trim().parse().ok());
            let rank = rank.with_context(|| format!("{name}: its rank must be a number in its type"))?;
            locks.push(Lock { name, rank });
        }
    }
    Ok(locks)
}

/// What follows `pub(super)` and the like.
fn without_scope(code: &str) -> &str {
    match code.strip_prefix("pub(").and_then(|rest| rest.split_once(')')) {
        Some((_, rest)) => rest.trim_start(),
        None => code,
    }
}

/// What stands between the angle brackets of a lock's type.
fn lock_arguments(code: &str) -> Option<&str> {
    let starts = ["Mutex<", "RwLock<"].into_iter().filter_map(|kind| Some(code.find(kind)? + kind.len()));
    let from = &code[starts.min()?..];
    let mut depth = 1i32;
    let end = from.find(|c| {
        depth += i32::from(c == '<') - i32::from(c == '>');
        depth == 0
    })?;
    Some(&from[..end])
}

#[cfg(test)]
mod tests {
    use super::{Lock, Ranks, declarations, differences, documented};
    use crate::check::rust_source::lines;

    fn ranks(of: &[(&str, u8)]) -> Ranks {
        of.iter().map(|(name, rank)| ((*name).to_owned(), *rank)).collect()
    }

    #[test]
    fn each_way_to_declare_a_lock_is_found() {
        let text = "pub struct A {\n    /// Mutex<X, 1>\n    pub(crate) one: Mutex<BTreeMap<u8, u8>, 3>,\n    \
                    many: Box<[Mutex<X, 4>]>,\n}\nstruct B(RwLock<(), 5>);\npub type C = Mutex<u8, 6>;\n\
                    static D: Mutex<u8, 7> = Mutex::new(0);\nfn f(a: &Mutex<u8, 8>) {}\n";
        let found = declarations(&lines(text)).unwrap();
        let expected = [("A::one", 3), ("A::many", 4), ("B", 5), ("C", 6), ("D", 7)];
        assert_eq!(found, expected.map(|(name, rank)| Lock { name: name.to_owned(), rank }));
    }

    #[test]
    fn lock_without_a_plain_rank_is_refused() {
        assert!(declarations(&lines("struct A {\n    one: Mutex<u8, RANK>,\n}\n")).is_err());
        assert!(declarations(&lines("struct A(Mutex<u8>);\n")).is_err());
    }

    #[test]
    fn table_names_several_locks_of_a_rank() {
        let page = "| | lock | guards |\n| --- | --- | --- |\n| 1 | `A::one` | x `y` |\n| 2 | `B`, `C::two` of | z |\n";
        assert_eq!(documented(page).unwrap(), ranks(&[("A::one", 1), ("B", 2), ("C::two", 2)]));
    }

    #[test]
    fn table_out_of_order_or_without_locks_is_refused() {
        assert!(documented("| 2 | `A` | x |\n| 1 | `B` | y |\n").is_err());
        assert!(documented("| 1 | `A` | x |\n| 2 | `A` | y |\n").is_err());
        assert!(documented("no table\n").is_err());
    }

    #[test]
    fn each_difference_is_told() {
        let page = ranks(&[("same", 1), ("other", 2), ("gone", 3)]);
        let source = ranks(&[("same", 1), ("other", 4), ("new", 5)]);
        assert_eq!(differences(&page, &source).len(), 3);
        assert!(differences(&page, &page).is_empty());
    }
}
