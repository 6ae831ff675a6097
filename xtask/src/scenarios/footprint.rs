//! What domains may leave behind, before and after: `tests/dom0/usr/bin/footprint`.

use anyhow::{Result, bail};
use std::time::Duration;

use crate::machine::dom0::Dom0;

/// For the last of an ended domain to go.
const TIME: Duration = Duration::from_secs(120);
const BEFORE: &str = "/run/footprint.before";
const AFTER: &str = "/run/footprint.after";

/// Remembers in Dom0 how things are.
pub fn remember(dom0: &mut Dom0) -> Result<()> {
    dom0.run(&format!("footprint >{BEFORE}")).map(drop)
}

/// Waits until everything is as it was remembered.
///
/// # Errors
/// When it is not in time; the message holds every line that is more or less.
pub fn wait_until_as_before(dom0: &mut Dom0) -> Result<()> {
    let same = format!("footprint >{AFTER}; cmp {BEFORE} {AFTER}");
    if dom0.wait_until(&same, TIME).is_err() {
        let difference = dom0.try_run(&format!("diff {BEFORE} {AFTER}"), TIME)?.output;
        bail!("it is not as it was before the domains came:\n{}", difference.trim_end());
    }
    Ok(())
}
