//! That the documents which speak of tests name tests that exist, and that no advisory is left out.

use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::own_packages;
use crate::workspace::Workspace;

const ADVISORIES: &str = "docs/advisories.md";
/// The pages whose tests, fuzz targets and files must exist.
const PAGES: [&str; 3] = [ADVISORIES, "docs/threat-model.md", "SUPPORT.md"];
/// The first advisory of the list.
const FIRST_ADVISORY: u32 = 283;
/// What an advisory can be for us.
const STATES: [&str; 3] = ["test `", "not applicable: ", "open: "];
/// The folders whose files the pages may name.
const FOLDERS: [&str; 8] = ["abi", "docs", "fuzz", "guests", "hypervisor", "support", "toolstack", "xtask"];

/// Checks all pages.
///
/// # Errors
/// All names of what is not there, and all gaps in the list of advisories.
pub fn check(workspace: &Workspace) -> Result<()> {
    let mut tests = BTreeSet::new();
    for package in own_packages(workspace)? {
        for folder in ["src", "tests"] {
            collect_tests(&package.folder().join(folder), &mut tests)?;
        }
    }
    let mut faults = Vec::new();
    for page in PAGES {
        let text =
            fs::read_to_string(workspace.root.join(page)).with_context(|| format!("cannot read {page}"))?;
        let missing = missing(&text, &tests, &|path| workspace.root.join(path).exists());
        faults.extend(missing.into_iter().map(|what| format!("{page}: {what}")));
        if page == ADVISORIES {
            faults.extend(gaps(&text).into_iter().map(|what| format!("{page}: {what}")));
        }
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}

/// Collects the names of the tests in a folder's source files.
fn collect_tests(folder: &Path, names: &mut BTreeSet<String>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    let mut to_visit: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(path) = to_visit.pop() {
        if path.is_dir() {
            for entry in fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))? {
                to_visit.push(entry?.path());
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(test_names(&fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

/// The functions that follow a `#[test]`.
fn test_names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut marked = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") {
            marked = true;
        } else if let (true, Some((name, _))) =
            (marked, line.strip_prefix("fn ").and_then(|rest| rest.split_once('(')))
        {
            names.push(name.to_owned());
            marked = false;
        }
    }
    names
}

/// Tests, fuzz targets and files that a page names and that are not there.
fn missing(page: &str, tests: &BTreeSet<String>, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let text = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut faults = Vec::new();
    for name in listed_after(&text, "test `") {
        if !tests.contains(name) {
            faults.push(format!("there is no test {name}"));
        }
    }
    for name in listed_after(&text, "fuzz `") {
        if !exists(&format!("fuzz/src/{name}.rs")) {
            faults.push(format!("there is no fuzz target {name}"));
        }
    }
    for path in text.split('`').skip(1).step_by(2) {
        let folder = path.split_once('/').map(|(folder, _)| folder);
        if folder.is_some_and(|folder| FOLDERS.contains(&folder)) && !exists(path) {
            faults.push(format!("there is no {path}"));
        }
    }
    faults
}

/// The names in backticks, with commas between them, that follow a word.
fn listed_after<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    let mut names = Vec::new();
    for (at, _) in text.match_indices(start) {
        let mut rest = &text[at + start.len()..];
        while let Some((name, after)) = rest.split_once('`') {
            names.push(name);
            let Some(next) = after.strip_prefix(", `") else { break };
            rest = next;
        }
    }
    names
}

/// What is wrong with the numbers and states of the list of advisories.
fn gaps(page: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut expected = FIRST_ADVISORY;
    for line in page.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let Some(number) = cells.get(1).and_then(|cell| cell.parse::<u32>().ok()) else { continue };
        if number != expected {
            faults.push(format!("{expected} should stand where {number} is"));
        }
        expected = number + 1;
        if !cells.get(4).is_some_and(|state| STATES.iter().any(|start| state.starts_with(start))) {
            faults.push(format!("{number} is neither held by a test, nor open, nor not applicable"));
        }
    }
    if expected == FIRST_ADVISORY {
        faults.push("there is no advisory in it".to_owned());
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::{gaps, missing, test_names};

    #[test]
    fn tests_are_found_behind_other_attributes_and_plain_functions_are_not() {
        let text = "fn plain() {}\n#[test]\n#[should_panic]\nfn one() {}\n    #[test]\n    // Why.\n    fn two(n in 0..3) {}\n";
        assert_eq!(test_names(text), ["one", "two"]);
    }

    #[test]
    fn names_that_are_not_there_are_told() {
        let tests = ["one".to_owned()].into();
        let exists = |path: &str| path == "fuzz/src/wire.rs" || path == "hypervisor/here.rs";
        let page = "a test `one`, `two` and test\n`three`; fuzz `wire`, `gone`; `hypervisor/here.rs`, `docs/away.md`, `a/b`";
        let expected = [
            "there is no test two",
            "there is no test three",
            "there is no fuzz target gone",
            "there is no docs/away.md",
        ];
        assert_eq!(missing(page, &tests, &exists), expected);
    }

    #[test]
    fn gap_in_the_numbers_and_unknown_state_are_told() {
        let row = |number: u32, state: &str| format!("| {number} | about | class | {state} |\n");
        assert!(gaps(&(row(283, "test `one`") + &row(284, "open: why"))).is_empty());
        assert_eq!(gaps(&(row(283, "open: why") + &row(285, "not applicable: x86"))).len(), 1);
        assert_eq!(gaps(&row(283, "perhaps")).len(), 1);
        assert_eq!(gaps("no table\n").len(), 1);
    }
}
