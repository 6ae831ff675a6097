//! The hypervisor's command line: Xen's option names and syntax for Arm.
//!
//! One table (`table.rs`) declares every option; [`parse`] reads a line with it and
//! [`write_manual`] renders its documentation. An unknown option or a bad value is a
//! [`OptionWarning`], never an error: the machine must come up.
mod table;
mod values;

#[cfg(test)]
mod tests;

use core::fmt;

pub use table::{MANUAL, ManualEntry, Options, write_manual};
pub use values::{ConSwitch, Dom0Mem, LogLevel, LogLevels, SError, Scheduler, Timestamps};
pub use values::{VcpuCount, Vwfi};

use table::{PARSERS, Parser, Set, not_built};

/// An option that is not obeyed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OptionWarning<'a> {
    /// The option as it stands in the line, with its value.
    pub option: &'a str,
    /// Why not.
    pub reason: WarningReason,
}

/// Why an option is not obeyed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WarningReason {
    /// No option has this name.
    Unknown,
    /// Xen has it on Arm, this hypervisor has not.
    NotBuilt,
    /// The value is not of the form given here; the option keeps its previous value.
    BadValue(&'static str),
}

impl fmt::Display for OptionWarning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command line: \"{}\": ", self.option)?;
        match self.reason {
            WarningReason::Unknown => f.write_str("no such option; ignored"),
            WarningReason::NotBuilt => f.write_str("option of Xen that is not built; ignored"),
            WarningReason::BadValue(syntax) => {
                write!(f, "bad value, {syntax} is expected; ignored")
            }
        }
    }
}

/// Reads a command line: options separated by spaces, each `name`, `name=value` or `no-name`. Of
/// an option given twice the last one counts.
pub fn parse<'a>(line: &'a str, warn: &mut dyn FnMut(OptionWarning<'a>)) -> Options<'a> {
    let mut options = Options::default();
    for option in line.split_ascii_whitespace() {
        if let Err(reason) = apply(&mut options, option) {
            warn(OptionWarning { option, reason });
        }
    }
    options
}

/// The option of this name. Not inlined: the loop would be unrolled at each use.
#[inline(never)]
fn known(name: &str) -> Option<&'static Parser> {
    PARSERS.iter().find(|parser| parser.name == name)
}

fn apply<'a>(options: &mut Options<'a>, option: &'a str) -> Result<(), WarningReason> {
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    let negated = name.strip_prefix("no-");
    let (parser, positive) = match known(name) {
        Some(parser) => (parser, true),
        None => match negated.and_then(known) {
            Some(parser) => (parser, false),
            None if not_built().any(|n| n == name || Some(n) == negated) => {
                return Err(WarningReason::NotBuilt);
            }
            None => return Err(WarningReason::Unknown),
        },
    };
    let done = match parser.set {
        Set::Flag(flag) => match value {
            None | Some("") => Some(true),
            Some(value) => values::boolean(value),
        }
        .map(|on| *flag(options) = on == positive),
        // As in Xen, `no-name` is `name=no` for options that are no plain flags.
        Set::Value(set) if !positive && value.is_none() => set(options, "no"),
        Set::Value(_) if !positive => None,
        Set::Value(set) => set(options, value.unwrap_or("")),
    };
    done.ok_or(WarningReason::BadValue(parser.syntax))
}
