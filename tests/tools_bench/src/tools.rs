//! Dom0's tools: those in `PATH`, the same commands whoever made them.
//!
//! Domains are created paused, so that no instruction of theirs is counted.

use std::thread::sleep;

use anyhow::Result;
use xenstore_client::{Client, Operations};

use crate::rows::{SETTLE, batches, counted, run};

/// Operations in one batch of the rows that are short.
const OPERATIONS: u32 = 50;
/// Nodes that a transaction writes.
const WRITES: u32 = 10;
/// Where nodes for the measurement are.
const FOLDER: &str = "/tool/bench";

/// All rows; `most` paused domains are created for one of them.
pub fn rows(most: u32) -> Result<()> {
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
    batches::<7>("xs-read", OPERATIONS, 1, || Ok(store.read(&node).map(drop)?))?;
    batches::<8>("xs-transaction", OPERATIONS, 1, || {
        Ok(store.transaction(|transaction| {
            (0..WRITES).try_for_each(|number| transaction.write(&format!("{FOLDER}/{number}"), "value"))
        })?)
    })?;
    Ok(store.rm(FOLDER)?)
}

fn create_small(number: u32) -> String {
    format!("xl create -p /etc/xen/small.cfg 'name=\"small{number}\"' memory=64")
}
