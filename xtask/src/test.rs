//! `./x test`: host tests, then system tests, then one line with the sum.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use crate::cargo;
use crate::cli::{SoakOptions, TestOptions};
use crate::report;
use crate::scenarios::{self, Asked, Scenario};
use crate::workspace::Workspace;

/// How many tests passed and failed.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
struct Tally {
    passed: u32,
    failed: u32,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    /// Prints the sum, the last line of all.
    fn report(self, started: Instant) -> ExitCode {
        println!();
        println!("took {} s", started.elapsed().as_secs());
        println!("{} passed, {} failed", self.passed, self.failed);
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Runs the tests that `options` choose; the last line it prints is the sum. The exit code tells whether all passed.
///
/// # Errors
/// When no test could be chosen or started.
pub fn test(workspace: &Workspace, options: &TestOptions) -> Result<ExitCode> {
    if options.list {
        for scenario in &scenarios::ALL {
            println!(
                "{:<22} {}{}",
                scenario.name,
                if scenario.smoke { "(smoke) " } else { "" },
                scenario.about
            );
        }
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = choose(options)?;
    let asked = Asked {
        hypervisor: options.hypervisor,
        tools: options.tools,
        kernel: options.kernel,
        parallel: options.parallel,
    };
    let started = Instant::now();
    let mut tally = Tally::default();
    if options.only.is_empty() {
        tally.add(host_tests("Host tests (cargo test)", all_crates(workspace))?);
    }
    for scenario in chosen {
        tally.add(system_test(scenario, scenario.tries(asked), || scenario.run(workspace, asked)));
    }
    Ok(tally.report(started))
}

/// Runs what takes too long for every run of the tests: the kills of the daemons' host tests, then system tests.
///
/// # Errors
/// When no test could be chosen or started.
pub fn soak(workspace: &Workspace, options: &SoakOptions) -> Result<ExitCode> {
    let known = |name: &String| scenarios::SOAK.iter().any(|scenario| scenario.name == *name);
    if let Some(name) = options.only.iter().find(|name| !known(name)) {
        let names: Vec<_> = scenarios::SOAK.iter().map(|scenario| scenario.name).collect();
        bail!("there is no soak \"{name}\"; there are {}", names.join(", "));
    }
    let asked = Asked {
        hypervisor: options.hypervisor,
        tools: options.tools,
        kernel: options.kernel,
        parallel: false,
    };
    let started = Instant::now();
    let mut tally = Tally::default();
    if options.only.is_empty() {
        let mut command = cargo::cargo(workspace);
        command.args(["test", "--package", "xenstored", "--package", "xenconsoled"]);
        command.args(["--", "--ignored", "a_hundred_kills"]);
        tally.add(host_tests("Host tests of the soak", command)?);
    }
    for scenario in &scenarios::SOAK {
        if options.only.is_empty() || options.only.iter().any(|name| name == scenario.name) {
            tally.add(system_test(scenario, scenario.tries(asked), || scenario.run(workspace, asked)));
        }
    }
    Ok(tally.report(started))
}

fn choose(options: &TestOptions) -> Result<Vec<&'static Scenario>> {
    if options.host {
        return Ok(Vec::new());
    }
    for name in &options.only {
        if !scenarios::ALL.iter().any(|scenario| scenario.name == *name) {
            bail!("there is no system test \"{name}\"; `./x test --list` shows them");
        }
    }
    let wanted = |scenario: &&Scenario| {
        scenario.fits(options.hypervisor, options.arch)
            && (options.only.is_empty() || options.only.iter().any(|name| name == scenario.name))
            && (!options.smoke || scenario.smoke)
    };
    let chosen: Vec<_> = scenarios::ALL.iter().filter(wanted).collect();
    if chosen.is_empty() {
        bail!("no system test fits these options on {}", options.hypervisor);
    }
    Ok(chosen)
}

/// `cargo test` over all crates that run on this machine.
fn all_crates(workspace: &Workspace) -> Command {
    let mut command = cargo::cargo(workspace);
    command.args(["test", "--workspace", "--no-fail-fast"]);
    for name in cargo::BARE_METAL_ONLY {
        command.args(["--exclude", name]);
    }
    command
}

/// Runs a `cargo test` and counts.
fn host_tests(name: &str, mut command: Command) -> Result<Tally> {
    let step = report::step(name);
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let mut tally = Tally::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        if let Some(one) = tally_of(&line) {
            tally.add(one);
        }
        // One line per test would bury the rest.
        if !line.ends_with("... ok") && !line.is_empty() {
            println!("    {line}");
        }
    }
    if !child.wait()?.success() && tally.failed == 0 {
        report::note("the host tests could not be built or run");
        tally.failed = 1;
    }
    step.done();
    Ok(tally)
}

/// The counts in a test program's "test result:" line.
fn tally_of(line: &str) -> Option<Tally> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let number = |what: &str| -> Option<u32> {
        counts.split(';').find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok())
    };
    Some(Tally { passed: number("passed")?, failed: number("failed")? })
}

/// Runs a system test up to `tries` times, and counts it once.
fn system_test(scenario: &Scenario, tries: u32, run: impl Fn() -> Result<()>) -> Tally {
    println!();
    println!("==== {}: {}", scenario.name, scenario.about);
    let started = Instant::now();
    let mut outcome = run();
    for _ in 1..tries {
        let Err(error) = &outcome else { break };
        report::failure(error);
        report::note("Debian's own software failed; once more from the start");
        outcome = run();
    }
    let seconds = started.elapsed().as_secs();
    match outcome {
        Ok(()) => {
            println!("==== {} passed in {seconds} s", scenario.name);
            Tally { passed: 1, failed: 0 }
        }
        Err(error) => {
            report::failure(&error);
            println!("==== {} FAILED after {seconds} s", scenario.name);
            Tally { passed: 0, failed: 1 }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Tally, tally_of};

    #[test]
    fn result_line_is_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(tally_of(line), Some(Tally { passed: 12, failed: 3 }));
        assert_eq!(tally_of("running 3 tests"), None);
    }
}
