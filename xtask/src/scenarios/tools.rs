//! Our tools in the place of Debian's.

use anyhow::{Result, ensure};

use super::checks::step;
use super::demo;
use crate::machine::dom0::Dom0;

const DAEMONS: [&str; 2] = ["xenstored", "xenconsoled"];
/// Where the Dom0 image has our programs.
const OURS: &str = "/usr/lib/xenoxide/bin/";

/// The demonstration, once it is certain whose tools run.
pub fn demonstration(dom0: &mut Dom0) -> Result<()> {
    step("The daemons are ours", || {
        for daemon in DAEMONS {
            let program = dom0.run(&format!("readlink /proc/$(cat /run/{daemon}.pid)/exe"))?;
            ensure!(program.starts_with(OURS), "{daemon} is {}", program.trim());
        }
        Ok(())
    })?;
    demo::whole(dom0)
}
