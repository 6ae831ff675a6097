//! QEMU's command line for the arm64 `virt` machine, and its process.

use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::config::{Emulation, MachineConfig};
use crate::build::BootFiles;
use crate::cli::Arch;

/// QEMU for a CPU.
fn emulator(arch: Arch) -> &'static str {
    match arch {
        Arch::Arm64 => "qemu-system-aarch64",
        Arch::Amd64 => "qemu-system-x86_64",
    }
}

/// Where the boot modules go. RAM starts at 0x4000_0000; QEMU puts the hypervisor 2 MiB above that and its device
/// tree 128 MiB above, so these are clear of both, and the kernel's module ends below the initrd's.
const KERNEL_ADDRESS: u64 = 0x5000_0000;
const INITRD_ADDRESS: u64 = 0x5400_0000;

/// A QEMU process; killed when dropped.
pub struct Qemu {
    child: Child,
    complaints: PathBuf,
}

impl Qemu {
    /// Starts QEMU with the serial line on pipes; its error output goes to a file.
    ///
    /// # Errors
    /// When it is not installed or cannot be started.
    pub fn start(mut command: Command, complaints: &Path) -> Result<(Self, ChildStdout, ChildStdin)> {
        let errors =
            File::create(complaints).with_context(|| format!("cannot write {}", complaints.display()))?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .context("cannot start setpriv")?;
        let output = child.stdout.take().context("QEMU has no output")?;
        let input = child.stdin.take().context("QEMU has no input")?;
        Ok((Self { child, complaints: complaints.to_owned() }, output, input))
    }

    /// Waits for the process, which has closed its output already.
    ///
    /// # Errors
    /// When it ended with a failure.
    pub fn wait(&mut self) -> Result<()> {
        let status = self.child.wait()?;
        if !status.success() {
            bail!("QEMU ended with {status}: {}", self.complaints());
        }
        Ok(())
    }

    /// What QEMU wrote to its error output.
    pub fn complaints(&self) -> String {
        fs::read_to_string(&self.complaints).unwrap_or_default().trim().to_owned()
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // Fails when the process has ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// QEMU without a machine yet.
pub fn program(arch: Arch) -> Command {
    // setpriv makes the kernel end QEMU when this program dies, in whatever way.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", emulator(arch)]);
    command
}

/// QEMU with the machine of a configuration.
pub fn command(config: &MachineConfig) -> Command {
    let mut command = program(Arch::Arm64);
    command.args(["-M", &format!("virt,virtualization=on,gic-version={}", config.gic)]);
    command.args(["-cpu", "cortex-a57", "-smp", &config.cpus.to_string(), "-m", &config.memory.to_string()]);
    command.args(["-accel", accelerator(config.emulation)]);
    add_console_and_boot(
        &mut command,
        &config.files,
        &config.hypervisor_arguments(),
        &config.kernel_arguments(),
    );
    command
}

/// Adds a serial line on standard input and output, no other device, and what is booted with which command lines.
pub fn add_console_and_boot(
    command: &mut Command,
    files: &BootFiles,
    hypervisor_arguments: &str,
    kernel_arguments: &str,
) {
    command.args(["-nodefaults", "-no-reboot", "-display", "none", "-monitor", "none"]);
    command.args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
    command.arg("-kernel").arg(&files.hypervisor);
    command.args(["-append", hypervisor_arguments]);
    command.args([
        "-device",
        &format!(
            "guest-loader,addr={KERNEL_ADDRESS:#x},kernel={},bootargs={}",
            option_value(&files.kernel.to_string_lossy()),
            option_value(kernel_arguments)
        ),
    ]);
    command.args([
        "-device",
        &format!(
            "guest-loader,addr={INITRD_ADDRESS:#x},initrd={}",
            option_value(&files.initrd.to_string_lossy())
        ),
    ]);
}

fn accelerator(emulation: Emulation) -> &'static str {
    match emulation {
        Emulation::InTurn => "tcg,thread=single",
        Emulation::Parallel => "tcg,thread=multi",
    }
}

/// A value inside one of QEMU's comma-separated options, where a comma is written twice.
pub fn option_value(text: &str) -> String {
    text.replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::option_value;

    #[test]
    fn commas_in_values_are_doubled() {
        assert_eq!(option_value("a,b c"), "a,,b c");
    }
}
