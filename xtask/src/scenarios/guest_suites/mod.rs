//! The bare test guest's suites: the same guest on our hypervisor and on Debian's Xen, each test's value held against
//! the table in `docs/guest-tests.md`.

mod reasons;
mod table;

use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use super::checks::{DOMAIN_CHANGE, console_log, ensure_guests, info_number, step, wait_for_memory};
use crate::machine::dom0::Dom0;
use crate::report;
use table::{Column, Table};

/// For a suite to run.
const LIMIT: Duration = Duration::from_secs(60);
/// Set when the table is to be written anew.
const BLESS: &str = "XENOXIDE_BLESS";
/// Wrong values that are shown.
const SHOWN: usize = 30;

/// On our hypervisor.
pub fn ours(dom0: &mut Dom0) -> Result<()> {
    suites(dom0, Column::Ours)
}

/// On Debian's Xen.
pub fn xen(dom0: &mut Dom0) -> Result<()> {
    suites(dom0, Column::Xen)
}

/// What a test gave: suite, name and value.
type Value = (String, String, String);

fn suites(dom0: &mut Dom0, column: Column) -> Result<()> {
    // The first domain leaves folders and memory behind that later ones use again.
    dom0.run_for("xl create -p /etc/xen/guest.cfg && xl destroy guest", DOMAIN_CHANGE)?;
    let free = info_number(dom0, "free_memory")?;
    let values = step("The test guest runs its suites", || {
        let values = run(dom0)?;
        report::note(format!("{} values", values.len()));
        Ok(values)
    })?;
    step("All of its memory is back", || {
        ensure_guests(dom0, &[])?;
        wait_for_memory(dom0, free)
    })?;
    step("The values are those of docs/guest-tests.md", || {
        let file = table_file();
        let text = fs::read_to_string(&file).unwrap_or_default();
        let table = Table::parse(&text).with_context(|| file.display().to_string())?;
        if env::var_os(BLESS).is_some() {
            let table = table.with(column, &values);
            let unexplained = table.unexplained().count();
            report::note(format!("{unexplained} differences without a reason"));
            return fs::write(&file, table.render()).with_context(|| file.display().to_string());
        }
        let wrong = table.differences(column, &values);
        let some = wrong[..wrong.len().min(SHOWN)].join("\n");
        ensure!(
            wrong.is_empty(),
            "{} values are not those of the table, by which `{BLESS}=1 ./x test --only ...` writes them:\n{some}",
            wrong.len()
        );
        Ok(())
    })
}

/// Runs the guest beside its peer until it says that it is done.
fn run(dom0: &mut Dom0) -> Result<Vec<Value>> {
    dom0.run("rm -f /var/log/xen/console/guest-*.log")?;
    dom0.run_for("xl create /etc/xen/guest.cfg 'name=\"peer\"' 'extra=\"run=peer\"' vcpus=1", DOMAIN_CHANGE)?;
    dom0.run_for("xl create /etc/xen/guest.cfg 'extra=\"suites=all\"'", DOMAIN_CHANGE)?;
    let log = console_log("guest");
    let waited = dom0.wait_until(&format!("grep -q ^guest: {log}"), LIMIT);
    let output = dom0.run(&format!("cat {log}"))?;
    let output = output.replace('\r', "");
    if waited.is_err() || !output.contains("\nguest: done\n") {
        let lines: Vec<_> = output.lines().collect();
        let end = lines[lines.len().saturating_sub(8)..].join("\n");
        let peer = dom0.run(&format!("tail -n 3 {}", console_log("peer")))?;
        bail!("the test guest did not get through; its console ends with:\n{end}\nits peer's with:\n{peer}");
    }
    dom0.run_for("xl destroy peer", DOMAIN_CHANGE)?;
    dom0.wait_until("! xl domid guest", DOMAIN_CHANGE)?;
    values(&output)
}

/// The values in what the guest printed.
fn values(output: &str) -> Result<Vec<Value>> {
    let values = output
        .lines()
        .filter_map(|line| line.strip_prefix("value "))
        .map(|line| {
            let (key, value) = line.split_once(" = ").with_context(|| format!("no value in \"{line}\""))?;
            let (suite, name) = key.split_once(' ').with_context(|| format!("no name in \"{line}\""))?;
            Ok((suite.to_owned(), name.to_owned(), value.to_owned()))
        })
        .collect::<Result<Vec<Value>>>()?;
    let mut names = BTreeSet::new();
    for (suite, name, _) in &values {
        ensure!(names.insert((suite, name)), "the test guest has two tests \"{suite} {name}\"");
    }
    Ok(values)
}

fn table_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guest-tests.md")
}

#[cfg(test)]
mod tests {
    use super::table::Table;
    use super::{reasons, table_file, values};
    use std::fs;

    #[test]
    fn values_are_read_and_other_lines_are_not() {
        let read = values("suite a\nvalue a b-1 = -22 [0, 1]\nguest: done\n").expect("well formed");
        assert_eq!(read, [("a".to_owned(), "b-1".to_owned(), "-22 [0, 1]".to_owned())]);
        assert!(values("value a b\n").is_err());
        assert!(values("value a b = 1\nvalue a b = 2\n").is_err());
    }

    #[test]
    fn every_difference_of_the_table_has_a_reason_and_every_reason_a_difference() {
        let text = fs::read_to_string(table_file()).expect("the table");
        let table = Table::parse(&text).expect("a table");
        assert_eq!(table.render(), text, "the table is not as it would be written");
        let unexplained: Vec<_> = table.unexplained().collect();
        assert!(unexplained.is_empty(), "no reason for {unexplained:?}");
        for reason in reasons::REASONS {
            assert!(table.differing().any(|row| reason.is_for(row)), "no difference for {reason:?}");
        }
    }
}
