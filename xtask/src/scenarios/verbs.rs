//! xl's verbs on a running DomU: each does what it says, as seen from both sides.

use anyhow::{Context, Result, bail, ensure};
use std::time::Duration;

use super::checks::{
    DOMAIN_CHANGE, console_log, ensure_guests, info_number, list, listed, step, wait_for_boot,
    wait_for_memory,
};
use super::{demo, hotplug};
use crate::machine::dom0::Dom0;

const GUEST: &str = "demo";
/// For a DomU to follow a request that reaches it through xenstore.
const GUEST_FOLLOWS: Duration = Duration::from_secs(120);

/// All verbs in one boot.
pub fn steps(dom0: &mut Dom0) -> Result<()> {
    let free = step("xl info", || info(dom0))?;
    demo::start_guest(dom0)?;
    step("xl console: what is typed there reaches the DomU's shell", || {
        let seen = dom0.guest(GUEST, "echo $((6 * 7)) from $(hostname)")?;
        ensure!(seen.trim() == "42 from domu", "the shell answered {seen:?}");
        Ok(())
    })?;
    step("xl vcpu-list", || vcpu_list(dom0))?;
    step("xl vcpu-pin", || vcpu_pin(dom0))?;
    step("xl vcpu-set", || vcpu_set(dom0))?;
    step("xl mem-set", || mem_set(dom0))?;
    step("xl sched-credit2", || sched_credit2(dom0))?;
    // In the emulator, Debian's Xen at times does not come back from taking a CPU out of a pool.
    if dom0.run("xl info xen_extra")?.contains("xenoxide") {
        step("xl cpupool-create, -migrate, -destroy", || cpupools(dom0))?;
    }
    step("xl pause, xl unpause", || demo::pause_and_unpause(dom0))?;
    step("xl block-attach, -list, -detach", || hotplug::disk(dom0, GUEST))?;
    step("xl network-attach, -list, -detach", || hotplug::interfaces(dom0, GUEST))?;
    step("xl sysrq", || sysrq(dom0))?;
    step("xl debug-keys and xl dmesg", || debug_keys(dom0))?;
    step("xl create refuses a second DomU of the same name", || {
        let second = dom0.try_run("xl create /etc/xen/demo.cfg", DOMAIN_CHANGE)?;
        ensure!(second.status != 0, "a second one was created");
        ensure_guests(dom0, &[GUEST])
    })?;
    step("xl reboot", || reboot(dom0))?;
    step("xl create -p, xl unpause", || created_paused(dom0))?;
    step("xl shutdown", || {
        dom0.run_for("xl shutdown -w demo", DOMAIN_CHANGE)?;
        dom0.wait_until("! xl domid demo", DOMAIN_CHANGE)
    })?;
    step("xl destroy", || {
        dom0.run_for("xl destroy small", DOMAIN_CHANGE)?;
        ensure_guests(dom0, &[])
    })?;
    step("All memory is back", || wait_for_memory(dom0, free))?;
    step("xl says so when a domain does not exist", || no_such_domain(dom0))
}

fn info(dom0: &mut Dom0) -> Result<u64> {
    let info = dom0.run("xl info")?;
    for wanted in
        ["xen_major              : 4", "xen_minor              : 17", "xen_scheduler          : credit2"]
    {
        ensure!(info.contains(wanted), "no \"{wanted}\" in:\n{info}");
    }
    ensure!(info.contains("xen-3.0-aarch64"), "arm64 guests are not in xen_caps:\n{info}");
    let cpus = info_number(dom0, "nr_cpus")?;
    ensure!(cpus == 2, "{cpus} CPUs are shown, the machine has 2");
    let (total, free) = (info_number(dom0, "total_memory")?, info_number(dom0, "free_memory")?);
    ensure!((2000..=2048).contains(&total), "total memory is {total} MiB");
    ensure!((900..1024).contains(&free), "free memory is {free} MiB");
    Ok(free)
}

/// The rows of `xl vcpu-list` for the guest, as words: name, id, vCPU, pCPU, state, time, affinities.
fn vcpus(dom0: &mut Dom0) -> Result<Vec<Vec<String>>> {
    let text = dom0.run(&format!("xl vcpu-list {GUEST}"))?;
    Ok(text.lines().skip(1).map(|line| line.split_whitespace().map(str::to_owned).collect()).collect())
}

fn vcpu_list(dom0: &mut Dom0) -> Result<()> {
    let rows = vcpus(dom0)?;
    let numbers: Vec<_> = rows.iter().filter_map(|row| row.get(2)).collect();
    ensure!(numbers == ["0", "1"], "the vCPUs shown are {numbers:?}");
    ensure!(rows.iter().all(|row| row.iter().any(|word| word == "all")), "no affinity to all CPUs: {rows:?}");
    Ok(())
}

fn vcpu_pin(dom0: &mut Dom0) -> Result<()> {
    dom0.run(&format!("xl vcpu-pin {GUEST} all 1"))?;
    let pinned = "xl vcpu-list demo | tail -n +2 | awk \"\\$4 != 1 {bad=1} END {exit bad}\"";
    dom0.wait_until(pinned, GUEST_FOLLOWS).context("vCPUs pinned to CPU 1 run elsewhere")?;
    let rows = vcpus(dom0)?;
    ensure!(
        rows.iter().all(|row| row.get(6).is_some_and(|word| word == "1")),
        "hard affinity not shown: {rows:?}"
    );
    dom0.run(&format!("xl vcpu-pin {GUEST} all all"))?;
    vcpu_list(dom0)
}

/// The DomU runs on as many CPUs as it is told to.
pub fn vcpu_set(dom0: &mut Dom0) -> Result<()> {
    // Linux takes a CPU away by itself; one that is given back is switched on by user space, mostly by udev.
    let switch_on = "echo 1 >/sys/devices/system/cpu/cpu1/online;";
    for (count, action, online) in [(1, "", "0"), (2, switch_on, "0-1")] {
        dom0.run(&format!("xl vcpu-set {GUEST} {count}"))?;
        let look = format!("{action} grep -qx {online} /sys/devices/system/cpu/online");
        dom0.wait_until(&format!("guest-run {GUEST} 60 \"{look}\""), GUEST_FOLLOWS)
            .with_context(|| format!("the DomU does not run on {count} CPUs"))?;
    }
    let rows = vcpus(dom0)?;
    ensure!(rows.iter().all(|row| row.get(3).is_some_and(|word| word != "-")), "a vCPU is offline: {rows:?}");
    Ok(())
}

/// The DomU gives memory up and takes it back.
pub fn mem_set(dom0: &mut Dom0) -> Result<()> {
    let free = info_number(dom0, "free_memory")?;
    let total_in_guest = |dom0: &mut Dom0| -> Result<u64> {
        let text = dom0.guest(GUEST, "grep MemTotal /proc/meminfo")?;
        text.split_whitespace().nth(1).and_then(|word| word.parse().ok()).context("no MemTotal")
    };
    let before = total_in_guest(dom0)?;
    dom0.run(&format!("xl mem-set {GUEST} 192"))?;
    dom0.wait_until(
        &format!("[ $(xl list {GUEST} | awk \"NR==2 {{print \\$3}}\") -le 193 ]"),
        GUEST_FOLLOWS,
    )?;
    dom0.wait_until(&format!("[ $(xl info free_memory) -ge {} ]", free + 60), GUEST_FOLLOWS)
        .context("the memory given up is not free")?;
    let after = total_in_guest(dom0)?;
    ensure!(after + 50_000 < before, "the DomU sees {after} KiB after {before} KiB");
    dom0.run(&format!("xl mem-set {GUEST} 256"))?;
    dom0.wait_until(
        &format!("[ $(xl list {GUEST} | awk \"NR==2 {{print \\$3}}\") -ge 255 ]"),
        GUEST_FOLLOWS,
    )?;
    dom0.wait_until(&format!("[ $(xl info free_memory) -le {} ]", free + 1), GUEST_FOLLOWS)
}

fn sched_credit2(dom0: &mut Dom0) -> Result<()> {
    let all = dom0.run("xl sched-credit2")?;
    ensure!(all.contains("Domain-0") && all.contains(GUEST), "not all domains are shown:\n{all}");
    dom0.run(&format!("xl sched-credit2 -d {GUEST} -w 512 -c 150"))?;
    let shown = dom0.run(&format!("xl sched-credit2 -d {GUEST}"))?;
    let row: Vec<_> = shown.lines().last().unwrap_or_default().split_whitespace().collect();
    ensure!(row.get(2..4) == Some(&["512", "150"]), "weight 512 and cap 150 are not shown:\n{shown}");
    dom0.run(&format!("xl sched-credit2 -d {GUEST} -w 256 -c 0"))?;
    let zero = dom0.try_run(&format!("xl sched-credit2 -d {GUEST} -w 0"), Duration::from_secs(20))?;
    ensure!(zero.status != 0, "a weight of 0 was accepted");
    Ok(())
}

/// A pool of its own for the DomU, and back.
fn cpupools(dom0: &mut Dom0) -> Result<()> {
    dom0.run("xl cpupool-cpu-remove Pool-0 1")?;
    dom0.run("xl cpupool-create 'name=\"batch\"' 'cpus=[\"1\"]'")?;
    dom0.run(&format!("xl cpupool-migrate {GUEST} batch"))?;
    let list = dom0.run("xl cpupool-list")?;
    let row = |name: &str| list.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    let words = |name: &str| row(name).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    ensure!(
        words("batch") == ["batch", "1", "credit2", "y", "1"],
        "no pool with a CPU and a domain:\n{list}"
    );
    ensure!(
        words("Pool-0") == ["Pool-0", "1", "credit2", "y", "1"],
        "the first pool is not the rest:\n{list}"
    );
    let elsewhere = "xl vcpu-list demo | tail -n +2 | awk \"\\$4 != 1 {bad=1} END {exit bad}\"";
    dom0.wait_until(elsewhere, GUEST_FOLLOWS).context("the DomU does not run on its pool's CPU")?;
    dom0.guest(GUEST, "true")?;
    let destroyed = dom0.try_run("xl cpupool-destroy batch", DOMAIN_CHANGE)?;
    ensure!(destroyed.status != 0, "a pool with a domain was destroyed");
    dom0.run(&format!("xl cpupool-migrate {GUEST} Pool-0"))?;
    dom0.run("xl cpupool-destroy batch")?;
    dom0.run("xl cpupool-cpu-add Pool-0 1")?;
    let list = dom0.run("xl cpupool-list")?;
    ensure!(list.lines().count() == 2 && list.contains(" 2 "), "it is not as before:\n{list}");
    Ok(())
}

fn sysrq(dom0: &mut Dom0) -> Result<()> {
    let log = console_log(GUEST);
    dom0.run(&format!("xl sysrq {GUEST} h"))?;
    dom0.wait_until(&format!("grep -q \"sysrq: HELP\" {log}"), GUEST_FOLLOWS)
        .context("the DomU did not print the help of sysrq")
}

fn debug_keys(dom0: &mut Dom0) -> Result<()> {
    let boot = dom0.run("xl dmesg")?;
    ensure!(!boot.trim().is_empty(), "the hypervisor's log is empty");
    dom0.run("xl dmesg -c >/dev/null")?;
    dom0.run("xl debug-keys q")?;
    let log = dom0.run("xl dmesg")?;
    let names_domains = log.contains("domain 0") && log.contains("domain 1");
    ensure!(names_domains, "debug key q does not show the domains:\n{log}");
    ensure!(!log.contains("Brought up"), "the log was not cleared");
    Ok(())
}

fn reboot(dom0: &mut Dom0) -> Result<()> {
    let before = listed(dom0, GUEST)?.id;
    dom0.run_for(&format!("xl reboot {GUEST}"), DOMAIN_CHANGE)?;
    wait_for_boot(dom0, GUEST, 2)?;
    let after = listed(dom0, GUEST)?.id;
    if after == before {
        bail!("the DomU still has domid {before}");
    }
    ensure_guests(dom0, &[GUEST])
}

fn created_paused(dom0: &mut Dom0) -> Result<()> {
    dom0.run_for("xl create -p /etc/xen/small.cfg", DOMAIN_CHANGE)?;
    let row = listed(dom0, "small")?;
    ensure!(row.state.contains('p'), "the state is {}, not paused", row.state);
    let started = dom0.run(&format!("cat {} 2>/dev/null || true", console_log("small")))?;
    ensure!(started.is_empty(), "a paused DomU printed: {started}");
    dom0.run("xl unpause small")?;
    wait_for_boot(dom0, "small", 1)?;
    let names: Vec<_> = list(dom0)?.into_iter().map(|row| row.name).collect();
    ensure!(names == ["Domain-0", GUEST, "small"], "`xl list` shows {names:?}");
    Ok(())
}

/// The hypervisor's answer for an unused domid reaches the user.
fn no_such_domain(dom0: &mut Dom0) -> Result<()> {
    let limit = Duration::from_secs(60);
    for command in [
        "destroy 77",
        "shutdown 77",
        "reboot 77",
        "vcpu-pin 77 0 0",
        "mem-set 77 100",
        "domname 77",
        "list 77",
    ] {
        let outcome = dom0.try_run(&format!("xl {command}"), limit)?;
        ensure!(outcome.status != 0, "`xl {command}` succeeded");
    }
    // Debian's xl ends well after its message.
    let pause = dom0.try_run("xl pause 77", limit)?.output;
    let is_said = pause.contains("No such process") || pause.contains("there is no domain 77");
    ensure!(is_said, "`xl pause 77` said:\n{pause}");
    Ok(())
}
