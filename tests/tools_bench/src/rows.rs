//! Rows: operations between markers, and the line that says what they are.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// After a command its daemons may have work left, which belongs to it.
pub const SETTLE: Duration = Duration::from_secs(1);
/// Batches of the rows that are short; the best counts.
const BATCHES: u32 = 16;

/// Runs a command of the tools, which must succeed.
pub fn run(command: &str) -> Result<()> {
    let output = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run `{command}`"))?;
    if !output.status.success() {
        bail!("`{command}` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// A batch of one operation, with what it leaves to be done.
pub fn counted<const ROW: u16>(name: &str, operation: impl FnOnce() -> Result<()>) -> Result<()> {
    marker::start::<ROW>();
    operation()?;
    sleep(SETTLE);
    marker::end::<ROW>();
    report::<ROW>(name, 1, 1);
    Ok(())
}

/// A row of many calls, in batches; each call does `parts` operations.
pub fn batches<const ROW: u16>(
    name: &str,
    calls: u32,
    parts: u32,
    mut operation: impl FnMut() -> Result<()>,
) -> Result<()> {
    for _ in 0..BATCHES {
        marker::start::<ROW>();
        for _ in 0..calls {
            operation()?;
        }
        marker::end::<ROW>();
    }
    report::<ROW>(name, calls, parts);
    Ok(())
}

fn report<const ROW: u16>(name: &str, calls: u32, parts: u32) {
    println!("bench: row {ROW} {name} {calls} {parts} 0");
}
