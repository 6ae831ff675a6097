//! Runs commands in Dom0 through the agent on its console (`tests/dom0/usr/lib/xenoxide/agent`).

use anyhow::{Context, Result, bail};
use std::time::Duration;

use super::Machine;
use crate::report;

/// From power-on to Dom0's tools; generous, for loaded machines.
const BOOT_TIME: Duration = Duration::from_secs(400);
/// For one request line to be acknowledged.
const ACKNOWLEDGE_TIME: Duration = Duration::from_secs(40);
/// What the harness waits longer than the agent, which ends a command at its time-out.
const MARGIN: Duration = Duration::from_secs(30);
/// For a command of which nothing else is said.
const COMMAND_TIME: Duration = Duration::from_secs(120);
/// Command text per request line: with its frame it stays below the hypervisor's smallest input buffer.
const FRAGMENT: usize = 80;
const ATTEMPTS: u32 = 3;

/// What a command in Dom0 gave.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    /// Its exit status.
    pub status: i32,
    /// Both its output streams.
    pub output: String,
}

/// A Dom0 that runs commands.
pub struct Dom0 {
    machine: Machine,
    last_id: u32,
}

impl Dom0 {
    /// Waits until Dom0 of a machine just started is ready.
    ///
    /// # Errors
    /// When Dom0 does not come up in time or reports a failure.
    pub fn connect(mut machine: Machine) -> Result<Self> {
        match machine.console.wait_for("@@ready\n", BOOT_TIME) {
            Ok(_) => Ok(Self { machine, last_id: 0 }),
            Err(error) => Err(machine.explain(error.context("Dom0 did not come up"))),
        }
    }

    /// The machine beneath.
    pub fn machine(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// Gives the console to an interactive shell and hands the machine back.
    pub fn into_shell(mut self) -> Result<Machine> {
        self.machine.console.send(b"@@shell\n")?;
        Ok(self.machine)
    }

    /// Runs a shell command that must succeed, and hands its output back.
    ///
    /// # Errors
    /// When its status is not zero; the message holds its output.
    pub fn run(&mut self, command: &str) -> Result<String> {
        self.run_for(command, COMMAND_TIME)
    }

    /// [`Dom0::run`] with a time limit of its own.
    pub fn run_for(&mut self, command: &str, limit: Duration) -> Result<String> {
        let outcome = self.try_run(command, limit)?;
        if outcome.status != 0 {
            bail!("`{command}` in Dom0 ended with status {}:\n{}", outcome.status, outcome.output.trim_end());
        }
        Ok(outcome.output)
    }

    /// Runs a shell command; any exit status is fine.
    ///
    /// # Errors
    /// When Dom0 does not answer.
    pub fn try_run(&mut self, command: &str, limit: Duration) -> Result<Outcome> {
        self.last_id += 1;
        let id = self.last_id;
        let describe = || format!("Dom0 does not answer to `{command}`");
        self.transfer(command).with_context(describe)?;
        self.machine.console.send(format!("@@run {id} {}\n", limit.as_secs()).as_bytes())?;
        self.answer(id, limit + MARGIN).with_context(describe)
    }

    /// Repeats a command in Dom0 until it succeeds.
    ///
    /// # Errors
    /// When it still fails after `limit`; the message holds its last output.
    pub fn wait_until(&mut self, command: &str, limit: Duration) -> Result<()> {
        let seconds = limit.as_secs();
        let waiting = format!("wait-for {seconds} sh -c {}", quoted(command));
        if self.try_run(&waiting, limit + MARGIN)?.status != 0 {
            let last = self.try_run(command, COMMAND_TIME)?;
            bail!("`{command}` still fails in Dom0 after {seconds} s:\n{}", last.output.trim_end());
        }
        Ok(())
    }

    /// Runs a command in the shell on a guest's console; it must succeed.
    ///
    /// # Errors
    /// As [`Dom0::run`].
    pub fn guest(&mut self, name: &str, command: &str) -> Result<String> {
        self.guest_for(name, command, COMMAND_TIME)
    }

    /// [`Dom0::guest`] with a time limit of its own.
    pub fn guest_for(&mut self, name: &str, command: &str, limit: Duration) -> Result<String> {
        let outer = format!("guest-run {name} {} {}", limit.as_secs(), quoted(command));
        self.run_for(&outer, limit + MARGIN).with_context(|| format!("in the DomU {name}: `{command}`"))
    }

    /// Switches the machine off from within Dom0.
    ///
    /// # Errors
    /// When the machine is still running two minutes later.
    pub fn power_off(mut self) -> Result<()> {
        self.transfer("poweroff")?;
        self.last_id += 1;
        self.machine.console.send(format!("@@run {} 60\n", self.last_id).as_bytes())?;
        let end = self.machine.wait_for_power_off(Duration::from_secs(120));
        end.map_err(|error| self.machine.explain(error))
    }

    /// Gets a command's text over, fragment by fragment.
    fn transfer(&mut self, command: &str) -> Result<()> {
        if command.contains('\n') || !command.is_ascii() {
            bail!("a command for Dom0 is one line of ASCII");
        }
        let mut attempt = 1;
        loop {
            match self.try_transfer(command) {
                Ok(()) => return Ok(()),
                Err(error) if attempt == ATTEMPTS => return Err(error),
                Err(error) => report::note(format!("sending again: {error:#}")),
            }
            attempt += 1;
        }
    }

    fn try_transfer(&mut self, command: &str) -> Result<()> {
        self.machine.console.skip_to_now();
        self.acknowledged("@@clear", 0)?;
        let mut sent = 0;
        for fragment in command.as_bytes().chunks(FRAGMENT) {
            sent += fragment.len();
            self.acknowledged(&format!("@@add {}", String::from_utf8_lossy(fragment)), sent)?;
        }
        Ok(())
    }

    fn acknowledged(&mut self, line: &str, length: usize) -> Result<()> {
        self.machine.console.send(format!("{line}\n").as_bytes())?;
        self.machine.console.wait_for(&format!("@@ok {length}\n"), ACKNOWLEDGE_TIME)?;
        Ok(())
    }

    /// Reads an answer, and asks for it again when something was mixed into it.
    fn answer(&mut self, id: u32, limit: Duration) -> Result<Outcome> {
        let mut wait = limit;
        let mut attempt = 1;
        loop {
            match self.try_answer(id, wait) {
                Ok(outcome) => return Ok(outcome),
                Err(error) if attempt == ATTEMPTS || self.machine.console.has_ended() => return Err(error),
                Err(error) => report::note(format!("asking again: {error:#}")),
            }
            attempt += 1;
            wait = ACKNOWLEDGE_TIME;
            self.machine.console.send(b"@@again\n")?;
        }
    }

    fn try_answer(&mut self, id: u32, wait: Duration) -> Result<Outcome> {
        self.machine.console.wait_for(&format!("@@begin {id}\n"), wait)?;
        let output = self.machine.console.wait_for(&format!("@@end {id} "), wait)?;
        let verdict = self.machine.console.wait_for("\n", ACKNOWLEDGE_TIME)?;
        checked(&output, &String::from_utf8_lossy(&verdict))
    }
}

/// A word for the shell that stands for itself.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// An outcome, when the agent's size fits the output: whatever is mixed into it makes it longer.
fn checked(output: &[u8], verdict: &str) -> Result<Outcome> {
    let numbers = verdict
        .split_whitespace()
        .map(str::parse::<i64>)
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("garbled verdict \"{verdict}\""))?;
    let [status, size] = numbers[..] else { bail!("garbled verdict \"{verdict}\"") };
    if i64::try_from(output.len()) != Ok(size) {
        bail!("output was garbled on its way");
    }
    Ok(Outcome { status: i32::try_from(status)?, output: String::from_utf8_lossy(output).into_owned() })
}

#[cfg(test)]
mod tests {
    use super::{Outcome, checked, quoted};

    #[test]
    fn quotes_inside_a_quoted_word_survive() {
        assert_eq!(quoted("it's $x"), "'it'\\''s $x'");
    }

    #[test]
    fn intact_output_is_accepted() {
        let outcome = checked(b"123456789", "3 9").expect("intact");
        assert_eq!(outcome, Outcome { status: 3, output: "123456789".to_owned() });
    }

    #[test]
    fn garbled_output_is_refused() {
        assert!(checked(b"12345x6789", "0 9").is_err());
        assert!(checked(b"123456789", "0").is_err());
        assert!(checked(b"123456789", "0 x9").is_err());
    }
}
