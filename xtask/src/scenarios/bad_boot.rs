//! What cannot be booted: the hypervisor says what is wrong, and the machine goes off.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::checks::step;
use crate::build::{self, BootFiles};
use crate::cli::{Arch, Hypervisor, Kernel};
use crate::machine::console::Echo;
use crate::machine::{Machine, qemu};
use crate::report;
use crate::workspace::Workspace;

const TIME: Duration = Duration::from_secs(120);
const MIB: u64 = 1 << 20;
/// QEMU's arm64 machine has its RAM from here.
const RAM: u64 = 0x4000_0000;
/// Clear of the hypervisor and of QEMU's device tree.
const KERNEL: u64 = RAM + 256 * MIB;
const INITRD: u64 = KERNEL + 64 * MIB;

/// A boot that must be refused.
struct Boot<'a> {
    title: &'static str,
    machine: &'static str,
    /// In MiB.
    memory: u32,
    arguments: &'static str,
    kernel: Option<(&'a Path, u64)>,
    initrd: Option<(&'a Path, u64)>,
    /// What the refusal has to name.
    says: &'static [&'static str],
}

/// All of them.
pub fn boots(workspace: &Workspace) -> Result<()> {
    let files = build::boot_files(workspace, Arch::Arm64, Hypervisor::Ours, Kernel::V6_1)?;
    let truncated = cut_short(&files.kernel, workspace)?;
    let (kernel, initrd) = (files.kernel.as_path(), files.initrd.as_path());
    let good = Boot {
        title: "",
        machine: "virt,virtualization=on,gic-version=3",
        memory: 2048,
        arguments: "dom0_mem=1024M console=dtuart",
        kernel: Some((kernel, KERNEL)),
        initrd: Some((initrd, INITRD)),
        says: &[],
    };
    let boots = [
        Boot {
            title: "Without virtualization",
            machine: "virt,gic-version=3",
            says: &["not entered at EL2", "virtualization=on"],
            ..good
        },
        Boot { title: "Without a kernel", kernel: None, initrd: None, says: &["kernel"], ..good },
        Boot {
            title: "With something else as kernel",
            kernel: Some((initrd, KERNEL)),
            initrd: None,
            says: &["kernel"],
            ..good
        },
        Boot {
            title: "With a kernel cut short",
            kernel: Some((&truncated, KERNEL)),
            says: &["kernel"],
            ..good
        },
        Boot {
            title: "With an initrd that overlaps the hypervisor",
            initrd: Some((initrd, RAM + 2 * MIB + 4096)),
            says: &["overlap"],
            ..good
        },
        Boot {
            title: "With more memory for Dom0 than there is",
            arguments: "dom0_mem=4096M console=dtuart",
            says: &["4096 MiB", "dom0_mem"],
            ..good
        },
        Boot {
            title: "With too little memory for a Dom0",
            arguments: "dom0_mem=16M console=dtuart",
            says: &["16 MiB", "dom0_mem"],
            ..good
        },
    ];
    for boot in &boots {
        step(boot.title, || refused(workspace, &files, boot))?;
    }
    Ok(())
}

fn refused(workspace: &Workspace, files: &BootFiles, boot: &Boot<'_>) -> Result<()> {
    let mut machine = Machine::start_command(workspace, "ours-bad-boot", command(files, boot), Echo::Hidden)?;
    if let Err(error) = machine.wait_for_power_off(TIME) {
        return Err(machine.explain(error));
    }
    let output = machine.output();
    report::quote("arm64", output.trim());
    ensure!(!output.contains("Panic"), "the hypervisor panicked");
    ensure!(!output.contains("Linux version"), "a Dom0 was started");
    for wanted in boot.says {
        ensure!(output.contains(wanted), "the hypervisor does not mention \"{wanted}\"");
    }
    Ok(())
}

fn command(files: &BootFiles, boot: &Boot<'_>) -> Command {
    let mut command = qemu::program(Arch::Arm64);
    command.args(["-M", boot.machine, "-cpu", "cortex-a57", "-accel", "tcg,thread=single", "-smp", "2"]);
    command.args(["-m", &boot.memory.to_string(), "-nodefaults", "-no-reboot", "-display", "none"]);
    command.args([
        "-monitor",
        "none",
        "-chardev",
        "stdio,id=console,signal=off",
        "-serial",
        "chardev:console",
    ]);
    command.arg("-kernel").arg(&files.hypervisor).args(["-append", boot.arguments]);
    // A kernel with arguments of its own leaves those of -append to the hypervisor.
    for (kind, module, more) in
        [("kernel", boot.kernel, ",bootargs=console=hvc0"), ("initrd", boot.initrd, "")]
    {
        if let Some((file, address)) = module {
            let file = qemu::option_value(&file.to_string_lossy());
            command.args(["-device", &format!("guest-loader,addr={address:#x},{kind}={file}{more}")]);
        }
    }
    command
}

/// A file with the first bytes of a kernel: its header promises more.
fn cut_short(kernel: &Path, workspace: &Workspace) -> Result<PathBuf> {
    let bytes = fs::read(kernel).with_context(|| format!("cannot read {}", kernel.display()))?;
    let file = workspace.logs()?.join("truncated.kernel");
    fs::write(&file, &bytes[..bytes.len().min(5000)])?;
    Ok(file)
}
