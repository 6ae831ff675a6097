//! `./x fuzz`: builds the fuzz targets around libFuzzer and runs them.

use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::cargo;
use crate::cli::{Arch, FuzzOptions};
use crate::process;
use crate::report;
use crate::workspace::{Workspace, make_dir};

/// Makes the compiler count which edges of the code an input passes, and note what is compared with what: the passes
/// that libFuzzer reads. Its sanitizers are not in Debian's compiler; Rust's own checks take their place.
const INSTRUMENTATION: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// What an input passes here is not what is looked for: the models beside the core. It only makes them slower.
const NOT_INSTRUMENTED: [&str; 3] = ["build-override", "package.hv_spec", "package.arch_fake"];
/// Names the target to the engine.
const TARGET: &str = "XENOXIDE_FUZZ_TARGET";
/// The target that counts the hypercalls that it issues.
const CALLS_TARGET: &str = "hypercalls";
/// Names the file with its count.
const COUNT: &str = "XENOXIDE_FUZZ_COUNT";
/// How many calls are enough, and the file that it then makes.
const ENOUGH: &str = "XENOXIDE_FUZZ_ENOUGH";
const STOP: &str = "XENOXIDE_FUZZ_STOP";
/// Seconds after which one input counts as one that does not end.
const INPUT_SECONDS: u32 = 10;
/// Memory that all inputs together may take.
const MEMORY_MIB: u32 = 2048;
/// Bytes of the longest input that is kept.
const KEPT_BYTES: u64 = 400;
/// Long inputs that a run for a number of calls begins with, and the bytes of each: those of the target's longest input.
const LONG_INPUTS: u32 = 32;
const LONG_BYTES: usize = 4800;
/// Lines of the engine's last words that are shown of a failure.
const SHOWN_LINES: usize = 40;

/// Fuzzes the chosen targets one after the other.
///
/// # Errors
/// When a target does not exist or an input makes one fail; the message says how to replay it.
pub fn fuzz(workspace: &Workspace, options: &FuzzOptions) -> Result<()> {
    let corpus = workspace.root.join("fuzz/corpus");
    let asked = if options.calls.is_some() { vec![CALLS_TARGET.to_owned()] } else { options.target.clone() };
    let targets = choose(&asked, targets(&corpus)?)?;
    let engine = build(workspace)?;
    if let Some(input) = &options.input {
        let [target] = &targets[..] else { bail!("--input is for one --target") };
        return process::run(Command::new(&engine).env(TARGET, target).arg(input))
            .with_context(|| format!("{target} fails with {}", input.display()));
    }
    for target in &targets {
        let run = Run { workspace, engine: &engine, target, kept: corpus.join(target) };
        run.fuzz(options.calls.map_or(Length::Seconds(options.seconds), Length::Calls))?;
        if options.keep {
            run.keep()?;
        }
    }
    Ok(())
}

/// Names of the targets: each has a folder of inputs.
fn targets(corpus: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(corpus).with_context(|| format!("cannot read {}", corpus.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Those that were asked for, or all.
fn choose(asked: &[String], all: Vec<String>) -> Result<Vec<String>> {
    if let Some(strange) = asked.iter().find(|name| !all.contains(name)) {
        bail!("there is no fuzz target \"{strange}\"; there are: {}", all.join(", "));
    }
    Ok(if asked.is_empty() { all } else { asked.to_vec() })
}

fn build(workspace: &Workspace) -> Result<PathBuf> {
    let step = report::step("Building the fuzz targets");
    let triple = cargo::linux_target(Arch::Amd64);
    let mut command = cargo::cargo(workspace);
    command
        .args(["build", "--quiet", "--package", "fuzz", "--features", "engine", "--bin", "fuzz_engine"])
        .args(["--profile", "fuzz", "--target", triple, "-Z", "profile-rustflags"])
        .args(["--config", &format!("profile.fuzz.rustflags={INSTRUMENTATION:?}")]);
    for part in NOT_INSTRUMENTED {
        command.args(["--config", &format!("profile.fuzz.{part}.rustflags=[]")]);
    }
    process::run(&mut command)?;
    step.done();
    Ok(workspace.target.join(triple).join("fuzz/fuzz_engine"))
}

/// When a run ends.
#[derive(Clone, Copy)]
enum Length {
    /// After a time.
    Seconds(u32),
    /// After so many hypercalls.
    Calls(u64),
}

/// One target's run.
struct Run<'a> {
    workspace: &'a Workspace,
    engine: &'a Path,
    target: &'a str,
    /// Its inputs in the repository.
    kept: PathBuf,
}

impl Run<'_> {
    /// Where inputs go that reach new code, until they are kept.
    fn found(&self) -> Result<PathBuf> {
        make_dir(self.workspace.target.join("fuzzing").join(self.target).join("corpus"))
    }

    fn fuzz(&self, length: Length) -> Result<()> {
        let words = match length {
            Length::Seconds(seconds) => format!("{seconds} s"),
            Length::Calls(calls) => format!("{calls} calls"),
        };
        let step = report::step(format!("Fuzzing {} for {words}", self.target));
        let found = self.found()?;
        let failing = found.with_file_name("failing-");
        let (count, stop) = (found.with_file_name("calls"), found.with_file_name("stop"));
        for file in [&count, &stop] {
            if file.exists() {
                fs::remove_file(file)?;
            }
        }
        let mut command = self.engine();
        command.env(COUNT, &count);
        // New inputs go to the first.
        let mut folders = vec![found.clone(), self.kept.clone()];
        match length {
            Length::Seconds(seconds) => {
                command.arg(format!("-max_total_time={seconds}"));
            }
            // Long inputs from the start: what begins and ends each of them is no hypercall.
            Length::Calls(calls) => {
                command.env(ENOUGH, calls.to_string()).env(STOP, &stop);
                command.arg(format!("-stop_file={}", stop.display())).arg("-len_control=0");
                folders.push(self.long_inputs()?);
            }
        }
        let started = Instant::now();
        command
            .arg(format!("-artifact_prefix={}", failing.display()))
            .arg("-print_final_stats=1")
            .args(&folders);
        let (passed, log) = self.logged(command)?;
        if !passed {
            let lines: Vec<_> = log.lines().collect();
            report::quote(self.target, &lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n"));
            let Some(input) = failing_input(&log) else {
                bail!("the fuzz target {} could not run", self.target)
            };
            bail!(
                "{target} fails; replay it with `./x fuzz --target {target} --input {input}`; once that passes, keep \
                 the input as fuzz/corpus/{target}/WHAT-IT-IS",
                target = self.target
            );
        }
        let Outcome { executions, edges, new } =
            outcome(&log).with_context(|| format!("libFuzzer's statistics are missing:\n{log}"))?;
        report::note(format!("{executions} executions, {edges} edges of code reached, {new} new inputs"));
        if count.exists() {
            let calls: u64 =
                fs::read_to_string(&count)?.trim().parse().context("the engine's count of calls")?;
            let seconds = started.elapsed().as_secs().max(1);
            report::note(format!("{calls} hypercalls, {} a second", calls / seconds));
        }
        step.done();
        Ok(())
    }

    /// A folder with a few long inputs of no meaning: libFuzzer by itself is slow to make inputs longer.
    fn long_inputs(&self) -> Result<PathBuf> {
        let folder = make_dir(self.found()?.with_file_name("long"))?;
        let mut state = 1u64;
        for n in 0..LONG_INPUTS {
            let bytes: Vec<u8> = (0..LONG_BYTES).map(|_| (next(&mut state) >> 56) as u8).collect();
            fs::write(folder.join(n.to_string()), bytes)?;
        }
        Ok(folder)
    }

    /// Copies found inputs into the repository that pass edges which none there does; short ones only.
    fn keep(&self) -> Result<()> {
        let found = self.found()?;
        let short = found.with_file_name("short");
        if short.exists() {
            fs::remove_dir_all(&short)?;
        }
        make_dir(short.clone())?;
        for entry in fs::read_dir(&found)? {
            let entry = entry?;
            if entry.metadata()?.len() <= KEPT_BYTES {
                fs::copy(entry.path(), short.join(entry.file_name()))?;
            }
        }
        let before = fs::read_dir(&self.kept)?.count();
        let mut command = self.engine();
        // How often an edge is passed, and what was compared, does not count: the corpus is to stay small.
        command
            .args(["-set_cover_merge=1", "-use_counters=0", "-use_cmp=0"])
            .args([self.kept.as_os_str(), short.as_os_str()]);
        let (passed, log) = self.logged(command)?;
        if !passed {
            bail!("the inputs of {} could not be merged:\n{log}", self.target);
        }
        let after = fs::read_dir(&self.kept)?.count();
        report::note(format!("{} inputs kept in {}", after - before, self.workspace.show(&self.kept)));
        Ok(())
    }

    fn engine(&self) -> Command {
        let mut command = Command::new(self.engine);
        command
            .env(TARGET, self.target)
            .arg(format!("-timeout={INPUT_SECONDS}"))
            .arg(format!("-rss_limit_mb={MEMORY_MIB}"));
        command
    }

    /// Runs the engine. Gives whether it ended well, and what it said.
    fn logged(&self, mut command: Command) -> Result<(bool, String)> {
        let path = self.workspace.logs()?.join(format!("fuzz-{}.log", self.target));
        let log = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let status = command
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()
            .with_context(|| format!("cannot start {}", process::shown(&command)))?;
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok((status.success(), String::from_utf8_lossy(&text).into_owned()))
    }
}

/// The next of a sequence of numbers that look random (xorshift64*).
fn next(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

/// The file with the input that failed.
fn failing_input(log: &str) -> Option<&str> {
    log.lines().find_map(|line| Some(line.split_once("Test unit written to ")?.1.trim()))
}

/// What a run came to.
#[derive(PartialEq, Debug)]
struct Outcome {
    executions: u64,
    edges: u64,
    new: u64,
}

/// Reads libFuzzer's last words.
fn outcome(log: &str) -> Option<Outcome> {
    let statistic = |name: &str| -> Option<u64> {
        log.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    let mut words = log.lines().rfind(|line| line.contains(" cov: "))?.split_whitespace();
    words.find(|word| *word == "cov:")?;
    Some(Outcome {
        executions: statistic("stat::number_of_executed_units:")?,
        edges: words.next()?.parse().ok()?,
        new: statistic("stat::new_units_added:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::{Outcome, choose, failing_input, outcome};

    #[test]
    fn last_words_are_read() {
        let log = "#2\tINITED cov: 12 ft: 13 corp: 1/1b\n#1896\tDONE   cov: 74 ft: 99 corp: 12/420b lim: 9\n\
                   Done 1896 runs in 26 second(s)\nstat::number_of_executed_units: 1896\nstat::new_units_added:          7\n";
        assert_eq!(outcome(log), Some(Outcome { executions: 1896, edges: 74, new: 7 }));
        assert_eq!(outcome("Segmentation fault"), None);
    }

    #[test]
    fn failing_input_is_found() {
        let log =
            "thread panicked\nartifact_prefix='/t/'; Test unit written to /t/failing-crash-12ab\nBase64: a\n";
        assert_eq!(failing_input(log), Some("/t/failing-crash-12ab"));
        assert_eq!(failing_input("thread panicked\n"), None);
    }

    #[test]
    fn all_targets_are_run_unless_some_are_named() {
        let all = || vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(choose(&[], all()).unwrap(), all());
        assert_eq!(choose(&["b".to_owned()], all()).unwrap(), ["b"]);
        assert!(choose(&["c".to_owned()], all()).unwrap_err().to_string().contains("a, b"));
    }
}
