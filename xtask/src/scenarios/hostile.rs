//! A DomU that attacks the hypervisor: nothing of it is felt by others, and nothing of it is left.

use anyhow::{Context, Result, bail, ensure};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::checks::{DOMAIN_CHANGE, console_log, ensure_guests, info_number, listed, step, wait_for_memory};
use crate::machine::dom0::Dom0;
use crate::report;

/// For so many calls.
const PER_THOUSAND: Duration = Duration::from_millis(500);
const LEAST: Duration = Duration::from_secs(60);
/// The seed of the short attack.
const SEED: u64 = 17;
/// How often an attack is begun whose guest ends itself: its second vCPU may turn an entry of the first one's multicall
/// into a shutdown, which is the guest's right and as rare as that.
const BEGINNINGS: u32 = 3;

/// One attack with 100,000 calls, the same ones each time.
pub fn short(dom0: &mut Dom0) -> Result<()> {
    attacks(dom0, 100_000, &[SEED])
}

/// Twelve of 300,000 with new seeds.
pub fn long(dom0: &mut Dom0) -> Result<()> {
    let start = SystemTime::now().duration_since(UNIX_EPOCH).map_or(SEED, |now| now.as_secs());
    attacks(dom0, 300_000, &(start..start + 12).collect::<Vec<_>>())
}

fn attacks(dom0: &mut Dom0, calls: u32, seeds: &[u64]) -> Result<()> {
    // The first domain leaves folders and memory behind that later ones use again.
    dom0.run_for("xl create -p /etc/xen/guest.cfg && xl destroy guest", DOMAIN_CHANGE)?;
    let free = info_number(dom0, "free_memory")?;
    let neighbour = "xl create /etc/xen/guest.cfg 'name=\"neighbour\"' 'extra=\"run=neighbour\"' vcpus=1";
    dom0.run_for(neighbour, DOMAIN_CHANGE)?;
    let beside = info_number(dom0, "free_memory")?;
    for seed in seeds {
        step(&format!("A guest with seed {seed} makes {calls} hostile calls on each hand"), || {
            for _ in 1..BEGINNINGS {
                if attack(dom0, calls, *seed)? == Attack::Made {
                    return Ok(());
                }
                dom0.run_for("xl destroy hostile", DOMAIN_CHANGE)?;
                wait_for_memory(dom0, beside)?;
            }
            ensure!(attack(dom0, calls, *seed)? == Attack::Made, "the guest ended itself {BEGINNINGS} times");
            Ok(())
        })?;
        step("It is destroyed while it goes on; its neighbour lives, and its memory is back", || {
            dom0.run_for("xl destroy hostile", DOMAIN_CHANGE)?;
            ensure_guests(dom0, &["neighbour"])?;
            wait_for_memory(dom0, beside)?;
            let before = lines_of_neighbour(dom0)?;
            let more = format!("[ $(grep -c ^neighbour {}) -gt {before} ]", console_log("neighbour"));
            dom0.wait_until(&more, LEAST).context("the neighbour is silent")
        })?;
    }
    step("All memory is back", || {
        dom0.run_for("xl destroy neighbour", DOMAIN_CHANGE)?;
        wait_for_memory(dom0, free)
    })
}

/// How an attack came to its end.
#[derive(PartialEq)]
enum Attack {
    /// All calls were made, and the guest goes on.
    Made,
    /// The guest ended itself before, and is still there as it was then.
    EndedItself,
}

fn attack(dom0: &mut Dom0, calls: u32, seed: u64) -> Result<Attack> {
    let log = console_log("hostile");
    dom0.run(&format!("rm -f {log}"))?;
    let create = format!("xl create /etc/xen/hostile.cfg 'extra=\"hostile={seed} calls={calls}\"'");
    dom0.run_for(&create, DOMAIN_CHANGE)?;
    let limit = LEAST + PER_THOUSAND * (calls / 1000);
    let ended = "xl list | grep -q \"^hostile .* ...s.. \"";
    let waited = dom0.wait_until(&format!("grep -q \"^hostile: done\" {log} || {ended}"), limit);
    let end = dom0.run(&format!("tail -n 2 {log}"))?;
    if let Err(error) = waited {
        let list = dom0.run("xl list -v")?;
        bail!("the hostile guest did not get through; its console ends with:\n{end}\n{list}{error:#}");
    }
    if listed(dom0, "hostile")?.state.contains('s') {
        let last = end.trim_end();
        report::note(format!(
            "after \"{last}\" the guest ended itself:\n{}",
            dom0.run("xl list -v hostile")?
        ));
        return Ok(Attack::EndedItself);
    }
    report::note(format!("{} lines of the neighbour", lines_of_neighbour(dom0)?));
    Ok(Attack::Made)
}

fn lines_of_neighbour(dom0: &mut Dom0) -> Result<u64> {
    let count = dom0.run(&format!("grep -c ^neighbour {}", console_log("neighbour")))?;
    count.trim().parse().context("no count of the neighbour's lines")
}
