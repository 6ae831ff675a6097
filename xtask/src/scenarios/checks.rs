//! What several scenarios need: named steps, and readings of xl's output.

use anyhow::{Context, Result, bail, ensure};
use std::time::Duration;

use crate::machine::dom0::Dom0;
use crate::report;

/// For a DomU to boot to its shell.
pub const GUEST_BOOT: Duration = Duration::from_secs(300);
/// For the tools to build or to end a domain.
pub const DOMAIN_CHANGE: Duration = Duration::from_secs(300);
/// For the last memory of an ended domain to come back.
const MEMORY_RETURN: Duration = Duration::from_secs(120);

/// The line that the DomU's start-up prints when it is through.
pub const GUEST_UP: &str = "domu: up";

/// Runs one step; its name is shown, and heads the error when it fails.
pub fn step<T>(name: &str, action: impl FnOnce() -> Result<T>) -> Result<T> {
    let step = report::step(name);
    let value = action().with_context(|| format!("step \"{name}\" failed"))?;
    step.done();
    Ok(value)
}

/// Waits until a DomU's console log has `count` boots in it that reached the shell.
pub fn wait_for_boot(dom0: &mut Dom0, guest: &str, count: u32) -> Result<()> {
    let log = console_log(guest);
    let waited = dom0.wait_until(&format!("[ $(grep -c \"^{GUEST_UP}\" {log}) -ge {count} ]"), GUEST_BOOT);
    if let Err(error) = waited {
        let end = dom0.run(&format!("tail -n 15 {log}")).unwrap_or_default();
        bail!("{guest} did not come up; its console ends with:\n{end}\n{error:#}");
    }
    dom0.run(&format!("! grep \"domu: FAILED\" {log}")).context("something failed inside the DomU")?;
    Ok(())
}

/// Where Dom0 keeps what a DomU printed.
pub fn console_log(guest: &str) -> String {
    format!("/var/log/xen/console/guest-{guest}.log")
}

/// A number from `xl info`.
pub fn info_number(dom0: &mut Dom0, field: &str) -> Result<u64> {
    let info = dom0.run("xl info")?;
    number_after(&info, field).with_context(|| format!("`xl info` has no number for {field}:\n{info}"))
}

/// Waits until free memory is back to `before` MiB.
///
/// # Errors
/// When it is not within two minutes, or when more is free than before.
pub fn wait_for_memory(dom0: &mut Dom0, before: u64) -> Result<()> {
    let reached = format!("[ \"$(xl info free_memory)\" = {before} ]");
    if dom0.wait_until(&reached, MEMORY_RETURN).is_err() {
        bail!("{} MiB are free, {before} MiB were before", info_number(dom0, "free_memory")?);
    }
    Ok(())
}

/// One row of `xl list`.
#[derive(Debug, PartialEq)]
pub struct ListRow {
    /// The domain's name.
    pub name: String,
    /// Its domid.
    pub id: u32,
    /// Its memory in MiB.
    pub memory: u64,
    /// How many vCPUs it has.
    pub vcpus: u32,
    /// Its state letters, e.g. `r-----`.
    pub state: String,
}

/// What `xl list` says of all domains.
pub fn list(dom0: &mut Dom0) -> Result<Vec<ListRow>> {
    let text = dom0.run("xl list")?;
    text.lines()
        .skip(1)
        .map(|line| list_row(line).with_context(|| format!("cannot read `xl list`:\n{text}")))
        .collect()
}

/// What `xl list` says of one domain.
///
/// # Errors
/// When there is no such domain.
pub fn listed(dom0: &mut Dom0, name: &str) -> Result<ListRow> {
    let rows = list(dom0)?;
    rows.into_iter().find(|row| row.name == name).with_context(|| format!("`xl list` does not show {name}"))
}

/// Checks that exactly these domains are listed besides Dom0.
pub fn ensure_guests(dom0: &mut Dom0, names: &[&str]) -> Result<()> {
    let rows = list(dom0)?;
    let guests: Vec<_> = rows.iter().filter(|row| row.id != 0).map(|row| row.name.as_str()).collect();
    ensure!(guests == names, "`xl list` shows the guests {guests:?}, not {names:?}");
    Ok(())
}

fn list_row(line: &str) -> Option<ListRow> {
    let mut words = line.split_whitespace();
    Some(ListRow {
        name: words.next()?.to_owned(),
        id: words.next()?.parse().ok()?,
        memory: words.next()?.parse().ok()?,
        vcpus: words.next()?.parse().ok()?,
        state: words.next()?.to_owned(),
    })
}

/// The number in a `name : value` line.
pub fn number_after(text: &str, field: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == field).then(|| value.trim().parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::{ListRow, list_row, number_after};

    #[test]
    fn list_row_is_read_by_columns() {
        let row = list_row("demo                       1   256     2     -b----       3.1");
        let expected = ListRow { name: "demo".into(), id: 1, memory: 256, vcpus: 2, state: "-b----".into() };
        assert_eq!(row, Some(expected));
        assert_eq!(list_row("demo 1 256"), None);
    }

    #[test]
    fn info_number_is_found_by_its_whole_name() {
        let info = "total_memory           : 2048\nfree_memory            : 992\n";
        assert_eq!(number_after(info, "free_memory"), Some(992));
        assert_eq!(number_after(info, "memory"), None);
    }
}
