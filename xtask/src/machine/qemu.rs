//! QEMU's command line for the arm64 `virt` machine, and its process.

use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::config::MachineConfig;
use super::require_program;

const QEMU: &str = "qemu-system-aarch64";

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
    pub fn start(config: &MachineConfig, complaints: &Path) -> Result<(Self, ChildStdout, ChildStdin)> {
        require_program(QEMU)?;
        let errors =
            File::create(complaints).with_context(|| format!("cannot write {}", complaints.display()))?;
        let mut child = command(config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .with_context(|| format!("cannot start {QEMU}"))?;
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
            bail!("{QEMU} ended with {status}: {}", self.complaints());
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

fn command(config: &MachineConfig) -> Command {
    // setpriv makes the kernel end QEMU when this program dies, in whatever way.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", QEMU]);
    command.args(["-M", &format!("virt,virtualization=on,gic-version={}", config.gic)]);
    command.args(["-cpu", "cortex-a57", "-smp", &config.cpus.to_string(), "-m", &config.memory.to_string()]);
    command.args([
        "-accel",
        "tcg,thread=multi",
        "-nodefaults",
        "-no-reboot",
        "-display",
        "none",
        "-monitor",
        "none",
    ]);
    command.args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
    command.arg("-kernel").arg(&config.files.hypervisor);
    command.args(["-append", &config.hypervisor_arguments()]);
    command.args([
        "-device",
        &format!(
            "guest-loader,addr={KERNEL_ADDRESS:#x},kernel={},bootargs={}",
            option_value(&config.files.kernel.to_string_lossy()),
            option_value(&config.kernel_arguments())
        ),
    ]);
    command.args([
        "-device",
        &format!(
            "guest-loader,addr={INITRD_ADDRESS:#x},initrd={}",
            option_value(&config.files.initrd.to_string_lossy())
        ),
    ]);
    command
}

/// A value inside one of QEMU's comma-separated options, where a comma is written twice.
fn option_value(text: &str) -> String {
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
