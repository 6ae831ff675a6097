//! Gives the machine's console to the user.

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::read;
use rustix::stdio::stdin;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcsetattr};
use std::io::{BufRead, Write};
use std::time::Duration;

use super::Machine;
use super::console::Echo;

/// Leaves the machine: Ctrl-\.
const LEAVE: u8 = 0x1c;
/// How that key is named to the user.
pub const LEAVE_NAME: &str = "Ctrl-\\";

/// For the shell to work off what was piped in.
const POWER_OFF_TIME: Duration = Duration::from_secs(300);

/// Whether there is a user to talk to.
pub fn is_present() -> bool {
    isatty(stdin()) && isatty(rustix::stdio::stdout())
}

/// Connects the user's terminal with the console until the user leaves or the machine ends.
///
/// # Errors
/// When the terminal cannot be set up.
pub fn connect(machine: &mut Machine) -> Result<()> {
    let raw = RawTerminal::enter()?;
    machine.console.set_echo(Echo::Shown);
    let outcome = forward(machine);
    machine.console.set_echo(Echo::Hidden);
    drop(raw);
    println!();
    outcome
}

/// Sends what stands on standard input, line by line, to a shell on the console; then switches the machine off.
///
/// # Errors
/// When the machine does not switch off in the end.
pub fn feed(machine: &mut Machine) -> Result<()> {
    for line in std::io::stdin().lock().lines() {
        machine.console.send(line?.as_bytes())?;
        machine.console.send(b"\n")?;
    }
    machine.console.send(b"poweroff\n")?;
    machine.wait_for_power_off(POWER_OFF_TIME)
}

fn forward(machine: &mut Machine) -> Result<()> {
    let tick = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    let mut keys = [0; 256];
    while !machine.console.has_ended() {
        let mut ready = [PollFd::from_borrowed_fd(stdin(), PollFlags::IN)];
        if poll(&mut ready, Some(&tick))? == 0 {
            continue;
        }
        let count = read(stdin(), &mut keys)?;
        let keys = &keys[..count];
        if count == 0 || keys.contains(&LEAVE) {
            break;
        }
        if machine.console.send(keys).is_err() {
            break;
        }
    }
    Ok(())
}

/// A terminal that hands every key on as it is; restored when dropped.
struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    fn enter() -> Result<Self> {
        std::io::stdout().flush()?;
        let before = tcgetattr(stdin()).context("cannot read the terminal's settings")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Flush, &raw).context("cannot change the terminal's settings")?;
        Ok(Self { before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // Nothing better can be done than to leave the terminal as it is.
        let _ = tcsetattr(stdin(), OptionalActions::Flush, &self.before);
    }
}
