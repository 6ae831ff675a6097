//! The command line of the daemon.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use daemon::{Role, Service};

/// Which consoles something is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Which {
    /// No console.
    None,
    /// Those of domains.
    Guest,
    /// The hypervisor's.
    Hv,
    /// All of them.
    All,
}

impl Which {
    /// Whether domains' consoles are among them.
    pub fn guest(self) -> bool {
        matches!(self, Self::Guest | Self::All)
    }

    /// Whether the hypervisor's console is among them.
    pub fn hv(self) -> bool {
        matches!(self, Self::Hv | Self::All)
    }
}

/// What happens to output that the terminal's reader does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Overflow {
    /// The oldest is dropped.
    Discard,
    /// The guest waits.
    Keep,
}

/// Serves the consoles of domains.
///
/// `xenconsole` and `xl console` attach to them. Output is kept for each domain and shown to those who attach later,
/// and survives a restart of this daemon. SIGHUP makes it open its logs again.
#[derive(Clone, Debug, Parser)]
#[command(name = "xenconsoled", version, disable_version_flag = true)]
pub struct Options {
    /// Print the version
    #[arg(short = 'V', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
    /// Say what goes on
    #[arg(short, long)]
    pub verbose: bool,
    /// Stay in the foreground
    #[arg(short, long)]
    pub interactive: bool,
    /// Which consoles to write logs of
    #[arg(short, long, value_name = "WHICH", default_value = "none")]
    pub log: Which,
    /// Where logs are written, and in the background what the daemon itself has to say
    #[arg(short = 'r', long, value_name = "DIR", default_value = "/var/log/xen/console", value_parser = absolute)]
    pub log_dir: PathBuf,
    /// Bytes that a log may have before it is moved to FILE.1; 0 for no limit
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20)]
    pub log_size: u64,
    /// Logs that are kept of those that were full
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub log_keep: u32,
    /// File for the process number; it is locked while the daemon runs
    #[arg(short, long, value_name = "PATH", default_value = "/run/xen/xenconsoled.pid", value_parser = absolute)]
    pub pid_file: PathBuf,
    /// Which logs have the time, in UTC, before each line
    #[arg(short, long, value_name = "WHICH", default_value = "none")]
    pub timestamp: Which,
    /// What happens to output that the reader of a console's terminal does not read
    #[arg(short, long, value_name = "WHAT", default_value = "discard")]
    pub overflow_data: Overflow,
    /// Write a dot for each escape character in logs
    #[arg(long)]
    pub replace_escape: bool,
    /// Bytes of output to keep of each console; the toolstack may ask for less
    #[arg(
        long, value_name = "BYTES", default_value_t = 128 << 10,
        value_parser = clap::value_parser!(u32).range(4 << 10..=64 << 20)
    )]
    pub history: u32,
    /// Where the socket for viewers is, and what is to survive a restart of the daemon
    #[arg(long, value_name = "DIR", default_value = crate::STATE_DIR, value_parser = absolute)]
    pub state_dir: PathBuf,
    #[command(flatten)]
    role: Role,
}

impl Options {
    /// How the daemon is to be started.
    pub fn service(&self) -> Service<'_> {
        let Self { ref pid_file, interactive, role, .. } = *self;
        Service { name: "xenconsoled", pid_file, foreground: interactive, role }
    }
}

/// The daemon leaves the folder that a relative path starts in.
fn absolute(text: &str) -> std::io::Result<PathBuf> {
    std::path::absolute(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_xens_daemon_mean_the_same() {
        let line = "xenconsoled -v -i --log=all --log-dir=/l --pid-file=/p -t guest -o keep --replace-escape";
        let options = Options::try_parse_from(line.split(' ')).unwrap();
        assert!(options.verbose && options.interactive && options.replace_escape);
        assert!(options.log.guest() && options.log.hv());
        assert!(options.timestamp.guest() && !options.timestamp.hv());
        assert_eq!((options.overflow_data, options.pid_file), (Overflow::Keep, "/p".into()));
        let options = Options::try_parse_from(["xenconsoled"]).unwrap();
        assert!(!options.log.guest() && !options.log.hv() && !options.interactive);
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for line in ["--log=some", "--history=1", "--history=100000000", "--log-size=-1", "extra"] {
            assert!(Options::try_parse_from(["xenconsoled", line]).is_err(), "{line}");
        }
    }
}
