//! What a domain's memory costs: the same domain is created and destroyed in two sizes, in MiB.

use std::thread::sleep;

use anyhow::Result;

use crate::rows::{SETTLE, counted, run};

/// How often each is done; the best counts.
const TIMES: u32 = 4;

/// All rows. The first time of each is for the kernel's caches too.
pub fn rows(small: u32, large: u32) -> Result<()> {
    for _ in 0..TIMES {
        counted::<10>("create-small", || create(small))?;
        counted::<11>("destroy-small", destroy)?;
        counted::<12>("create-large", || create(large))?;
        counted::<13>("destroy-large", destroy)?;
        sleep(SETTLE);
    }
    Ok(())
}

fn create(memory: u32) -> Result<()> {
    run(&format!("xl create -p /etc/xen/small.cfg memory={memory}"))
}

fn destroy() -> Result<()> {
    run("xl destroy small")
}
