//! Runs Dom0's tools between markers, which a QEMU plugin counts instructions by (`tests/insn_count`).
//!
//! Each row is reported as `guests/bench` does: `bench: row NUMBER NAME OPERATIONS 1 0`; its batches lie between the
//! markers `2 * NUMBER` and `2 * NUMBER + 1`. The tools are those in `PATH`, the same commands whoever made them.
//! Domains are created paused, so that no instruction of theirs is counted.

mod marker;

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use xenstore_client::{Client, Error, Operations};

/// After a command its daemons may have work left, which belongs to it.
const SETTLE: Duration = Duration::from_secs(1);
/// Batches of the rows that are short.
const BATCHES: u32 = 16;
/// Operations in one of their batches.
const OPERATIONS: u32 = 50;
/// Nodes that a transaction writes.
const WRITES: u32 = 10;
/// Where nodes for the measurement are.
const FOLDER: &str = "/tool/bench";

fn main() -> Result<()> {
    let most: u32 = match std::env::args().nth(1) {
        Some(count) => count.parse().context("the argument is the number of paused domains")?,
        None => bail!("say how many paused domains to create"),
    };
    // What is read for the first time is in the kernel's cache after that.
    run("xl create -p /etc/xen/demo.cfg")?;
    run("xl destroy demo")?;
    sleep(SETTLE);

    counted::<2>("create", || run("xl create -p /etc/xen/demo.cfg"))?;
    counted::<3>("list", || run("xl list"))?;
    counted::<4>("destroy", || run("xl destroy demo"))?;

    counted::<5>("create-first", || run(&create_small(1)))?;
    for number in 2..most {
        run(&create_small(number))?;
    }
    counted::<6>("create-last", || run(&create_small(most)))?;
    for number in 1..=most {
        run(&format!("xl destroy small{number}"))?;
    }

    let mut store = Client::open()?;
    let node = format!("{FOLDER}/0");
    store.write(&node, "value")?;
    batches::<7>("xs-read", || store.read(&node).map(drop))?;
    batches::<8>("xs-transaction", || {
        store.transaction(|transaction| {
            (0..WRITES).try_for_each(|number| transaction.write(&format!("{FOLDER}/{number}"), "value"))
        })
    })?;
    Ok(store.rm(FOLDER)?)
}

fn create_small(number: u32) -> String {
    format!("xl create -p /etc/xen/small.cfg 'name=\"small{number}\"' memory=64")
}

/// Runs a command of the tools, which must succeed.
fn run(command: &str) -> Result<()> {
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

/// A row of one operation, with what it leaves to be done.
fn counted<const ROW: u16>(name: &str, operation: impl FnOnce() -> Result<()>) -> Result<()> {
    marker::start::<ROW>();
    operation()?;
    sleep(SETTLE);
    marker::end::<ROW>();
    report::<ROW>(name, 1);
    Ok(())
}

/// A row of many operations, in batches of which the best counts.
fn batches<const ROW: u16>(name: &str, mut operation: impl FnMut() -> Result<(), Error>) -> Result<()> {
    for _ in 0..BATCHES {
        marker::start::<ROW>();
        for _ in 0..OPERATIONS {
            operation()?;
        }
        marker::end::<ROW>();
    }
    report::<ROW>(name, OPERATIONS);
    Ok(())
}

fn report<const ROW: u16>(name: &str, operations: u32) {
    println!("bench: row {ROW} {name} {operations} 1 0");
}
