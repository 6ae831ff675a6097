//! The table of the test guest's values: `docs/guest-tests.md`, which is also where the values are kept.

use anyhow::{Result, ensure};
use std::fmt::Write;

use super::Value;
use super::reasons::REASONS;

const HEAD: &str = "\
# What the test guest sees

One line for each test of the bare guest in `guests/test`, a DomU with two vCPUs: what it saw on our hypervisor and on
Debian's Xen 4.17. Where they differ, the reason is given (`xtask/src/scenarios/guest_suites/reasons.rs`); a
difference without a reason is a failed test. The names are those in the suites' sources; a value is what the
operation answered, mostly an error number or what was read.

`./x test --only guest-suites --only guest-suites-on-xen` compares, and with `XENOXIDE_BLESS=1` writes this page.
";
/// Stands for a value that was not there.
const NONE: &str = "-";

/// A hypervisor's column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Column {
    /// Ours.
    Ours,
    /// Debian's Xen.
    Xen,
}

/// One test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Its suite.
    pub suite: String,
    /// Its name in the suite.
    pub name: String,
    ours: String,
    xen: String,
}

impl Row {
    fn value(&self, column: Column) -> &str {
        match column {
            Column::Ours => &self.ours,
            Column::Xen => &self.xen,
        }
    }

    fn reason(&self) -> Option<&'static str> {
        REASONS.iter().find(|reason| reason.is_for(self)).map(|reason| reason.text)
    }
}

/// All tests, in the order in which they run.
#[derive(Default, Debug)]
pub struct Table(Vec<Row>);

impl Table {
    /// Reads the page; an empty one is an empty table.
    ///
    /// # Errors
    /// When a row has not its columns.
    pub fn parse(text: &str) -> Result<Self> {
        let mut rows = Vec::new();
        let mut suite = "";
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("## ") {
                suite = name;
            }
            let Some(cells) = line.strip_prefix("| `") else { continue };
            let cells: Vec<_> = cells.split(" | ").map(|cell| cell.trim_matches([' ', '|', '`'])).collect();
            ensure!(cells.len() >= 3, "a row without all columns: {line}");
            rows.push(Row {
                suite: suite.to_owned(),
                name: cells[0].to_owned(),
                ours: cells[1].to_owned(),
                // The same is written once.
                xen: if cells[2].is_empty() { cells[1] } else { cells[2] }.to_owned(),
            });
        }
        Ok(Self(rows))
    }

    /// The page.
    pub fn render(&self) -> String {
        let mut text = HEAD.to_owned();
        let differ = self.differing().count();
        // Writing to a string does not fail.
        let _ = writeln!(text, "\n{} tests, {differ} of them with a difference.", self.0.len());
        let mut suite = "";
        for row in &self.0 {
            if row.suite != suite {
                suite = &row.suite;
                let _ = writeln!(text, "\n## {suite}\n\n| test | ours | Xen, where it differs | why |");
                text.push_str("| --- | --- | --- | --- |\n");
            }
            let (xen, reason) = if row.ours == row.xen {
                (String::new(), "")
            } else {
                (format!("`{}`", row.xen), row.reason().unwrap_or_default())
            };
            let _ = writeln!(text, "| `{}` | `{}` | {xen} | {reason} |", row.name, row.ours);
        }
        text
    }

    /// The table with new values in one column, and the tests that were run.
    pub fn with(&self, column: Column, values: &[Value]) -> Self {
        let rows = values.iter().map(|(suite, name, value)| {
            let old = self.find(suite, name);
            let other = |of| old.map_or(NONE, |row| row.value(of)).to_owned();
            let (ours, xen) = match column {
                Column::Ours => (value.clone(), other(Column::Xen)),
                Column::Xen => (other(Column::Ours), value.clone()),
            };
            Row { suite: suite.clone(), name: name.clone(), ours, xen }
        });
        Self(rows.collect())
    }

    /// What is not as the table says, as lines for people.
    pub fn differences(&self, column: Column, values: &[Value]) -> Vec<String> {
        let of_values = values.iter().filter_map(|(suite, name, value)| {
            let expected = self.find(suite, name).map_or(NONE, |row| row.value(column));
            (expected != value).then(|| format!("{suite} {name}: {value}, not {expected}"))
        });
        let missing = self.0.iter().filter(|row| {
            row.value(column) != NONE
                && !values.iter().any(|(suite, name, _)| *suite == row.suite && *name == row.name)
        });
        of_values.chain(missing.map(|row| format!("{} {} was not tested", row.suite, row.name))).collect()
    }

    /// Rows in which the hypervisors differ.
    pub fn differing(&self) -> impl Iterator<Item = &Row> {
        self.0.iter().filter(|row| row.ours != row.xen)
    }

    /// Those without a reason.
    pub fn unexplained(&self) -> impl Iterator<Item = &Row> {
        self.differing().filter(|row| row.reason().is_none())
    }

    fn find(&self, suite: &str, name: &str) -> Option<&Row> {
        self.0.iter().find(|row| row.suite == suite && row.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::{Column, Table};

    fn value(name: &str, value: &str) -> (String, String, String) {
        ("suite".to_owned(), name.to_owned(), value.to_owned())
    }

    #[test]
    fn what_is_rendered_is_parsed_again() {
        let table = Table::default()
            .with(Column::Ours, &[value("a", "-22 [0, 1]"), value("b", "ok")])
            .with(Column::Xen, &[value("a", "-22 [0, 1]"), value("b", "-1")]);
        let again = Table::parse(&table.render()).expect("its own page");
        assert_eq!(again.0, table.0);
        assert_eq!(again.differing().count(), 1);
        assert_eq!(again.unexplained().count(), 1);
    }

    #[test]
    fn test_that_runs_on_the_other_hypervisor_alone_is_not_missing() {
        let table = Table::default().with(Column::Xen, &[value("a", "1")]);
        assert!(table.differences(Column::Ours, &[]).is_empty());
    }

    #[test]
    fn changed_new_and_missing_values_are_named() {
        let table = Table::default().with(Column::Xen, &[value("a", "1"), value("b", "2"), value("c", "3")]);
        let wrong = table.differences(Column::Xen, &[value("a", "1"), value("b", "9"), value("d", "4")]);
        assert_eq!(wrong, ["suite b: 9, not 2", "suite d: 4, not -", "suite c was not tested"]);
    }
}
