//! Boots the machine that counts.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::counts::Counts;
use crate::build::BootFiles;
use crate::cli::{Arch, Hypervisor};
use crate::machine::console::Echo;
use crate::machine::{Machine, qemu};
use crate::workspace::Workspace;

/// Memory of the machine and of Dom0 in MiB.
pub const MEMORY: u64 = 2048;
const DOM0_MEMORY: u64 = 1024;

const HYPERVISOR_ARGUMENTS: &str = "console=dtuart dtuart=/pl011@9000000";
/// Keeps randomness out of the kernel's path.
pub const STEADY_KERNEL: &str = "nokaslr norandmaps randomize_kstack_offset=off";
/// `iomem=relaxed` lets the program map the interrupt controller that the kernel drives.
const KERNEL_ARGUMENTS: &str = "iomem=relaxed console=hvc0 quiet";

/// From power-on to the last row; on an idle machine it takes under a minute.
const TIME: Duration = Duration::from_secs(600);

/// What is booted, and what counts.
pub struct Files {
    /// QEMU's plugin.
    pub plugin: PathBuf,
    /// The hypervisor's image.
    pub hypervisor: PathBuf,
    /// Dom0's kernel.
    pub kernel: PathBuf,
    /// The file system with the benchmark program.
    pub initrd: PathBuf,
}

/// QEMU's plugin, and what it is told.
pub struct Plugin<'a> {
    /// Its library.
    pub file: &'a Path,
    /// Where it writes its counts.
    pub output: &'a Path,
    /// The row whose instructions are also counted one by one.
    pub profiled: Option<u16>,
}

impl Plugin<'_> {
    fn option(&self) -> String {
        let path = |path: &Path| qemu::option_value(&path.to_string_lossy());
        let profile = self.profiled.map(|row| format!(",profile={}", 2 * row)).unwrap_or_default();
        format!("{},out={}{profile}", path(self.file), path(self.output))
    }
}

/// Runs all rows on a hypervisor; the instructions of the row numbered `profiled` are also counted one by one.
///
/// # Errors
/// When the machine does not get through, or what it printed makes no sense.
pub fn run(
    workspace: &Workspace,
    hypervisor: Hypervisor,
    files: &Files,
    profiled: Option<u16>,
) -> Result<Counts> {
    let name = match hypervisor {
        Hypervisor::Ours => "bench-ours",
        Hypervisor::Debian => "bench-debian",
    };
    let output = workspace.logs()?.join(format!("{name}.counts"));
    let image_size = fs::metadata(&files.hypervisor).context("the hypervisor's image is missing")?.len();

    let command = command(files, &output, profiled);
    let mut machine = Machine::start_command(workspace, name, command, Echo::Hidden)?;
    let text = match machine.console.wait_for("bench: done", TIME) {
        Ok(text) => text,
        Err(error) => return Err(machine.explain(error)),
    };
    drop(machine);
    let counted =
        fs::read_to_string(&output).with_context(|| format!("no counts in {}", output.display()))?;
    Counts::parse(&String::from_utf8_lossy(&text), &counted, image_size)
        .with_context(|| format!("counts in {}", workspace.show(&output)))
}

/// Runs the rows of the bare guest `guest`, as a Dom0 with two vCPUs, and adds them to `counts`.
///
/// # Errors
/// As [`run`].
pub fn add_bare(
    workspace: &Workspace,
    hypervisor: Hypervisor,
    files: &Files,
    guest: &Path,
    profiled: Option<u16>,
    counts: &mut Counts,
) -> Result<()> {
    let name = match hypervisor {
        Hypervisor::Ours => "bench-bare-ours",
        Hypervisor::Debian => "bench-bare-debian",
    };
    let output = workspace.logs()?.join(format!("{name}.counts"));
    let boot = BootFiles {
        hypervisor: files.hypervisor.clone(),
        kernel: guest.to_owned(),
        // It has no use for one; the boot protocol does.
        initrd: files.initrd.clone(),
    };
    let plugin = Plugin { file: &files.plugin, output: &output, profiled };
    let arguments = format!("dom0_mem={DOM0_MEMORY}M dom0_max_vcpus=2 {HYPERVISOR_ARGUMENTS}");
    let command = counting_command(MEMORY, &plugin, &boot, &arguments, "run=bench");
    let mut machine = Machine::start_command(workspace, name, command, Echo::Hidden)?;
    let text = match machine.console.wait_for("bench: done", TIME) {
        Ok(text) => text,
        Err(error) => return Err(machine.explain(error)),
    };
    drop(machine);
    let counted =
        fs::read_to_string(&output).with_context(|| format!("no counts in {}", output.display()))?;
    counts
        .add_bare(&String::from_utf8_lossy(&text), &counted)
        .with_context(|| format!("counts in {}", workspace.show(&output)))
}

fn command(files: &Files, output: &Path, profiled: Option<u16>) -> Command {
    let boot = BootFiles {
        hypervisor: files.hypervisor.clone(),
        kernel: files.kernel.clone(),
        initrd: files.initrd.clone(),
    };
    let plugin = Plugin { file: &files.plugin, output, profiled };
    let hypervisor_arguments = format!("dom0_mem={DOM0_MEMORY}M {HYPERVISOR_ARGUMENTS}");
    let kernel_arguments = format!("{STEADY_KERNEL} {KERNEL_ARGUMENTS}");
    counting_command(MEMORY, &plugin, &boot, &hypervisor_arguments, &kernel_arguments)
}

/// QEMU with one CPU that executes an instruction in each nanosecond, `memory` MiB, and the plugin.
pub fn counting_command(
    memory: u64,
    plugin: &Plugin<'_>,
    boot: &BootFiles,
    hypervisor_arguments: &str,
    kernel_arguments: &str,
) -> Command {
    let mut command = qemu::program(Arch::Arm64);
    command.args(["-M", "virt,virtualization=on,gic-version=3,dtb-randomness=off", "-cpu", "cortex-a57"]);
    command.args(["-smp", "1", "-m", &memory.to_string(), "-accel", "tcg"]);
    command.args(["-icount", "shift=0,sleep=off", "-seed", "1", "-rtc", "clock=vm"]);
    command.args(["-plugin", &plugin.option()]);
    qemu::add_console_and_boot(&mut command, boot, hypervisor_arguments, kernel_arguments);
    command
}
