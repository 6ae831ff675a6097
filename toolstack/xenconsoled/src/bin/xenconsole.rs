//! Attaches the terminal to a domain's console.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use xen_dev::Domid;
use xenconsoled::STATE_DIR;
use xenconsoled::session::{Session, Type};

/// Attaches the terminal to a domain's console: first comes what was kept of its output. Ctrl-] leaves.
#[derive(Debug, Parser)]
#[command(name = "xenconsole", version)]
struct Options {
    /// Which of the consoles of that type
    #[arg(short, long, value_name = "N", default_value_t = 0)]
    num: u32,
    /// The type of console [default: serial if there is one, else pv]
    #[arg(short, long)]
    r#type: Option<Type>,
    /// Type what comes from standard input even if that is no terminal
    #[arg(short, long)]
    interactive: bool,
    /// Show only what comes, not what was kept
    #[arg(long)]
    live: bool,
    /// Write a zero byte to this open file when attached
    #[arg(long, value_name = "FD")]
    start_notify_fd: Option<u32>,
    /// Where xenconsoled keeps its state
    #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
    state_dir: PathBuf,
    /// The domain's number
    domid: u16,
}

fn main() -> ExitCode {
    daemon::exit("xenconsole", run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let domid = options.domid;
    let session = Session {
        domid: Domid::new(domid).with_context(|| format!("{domid} is not the number of a domain"))?,
        console: options.r#type,
        number: options.num,
        interactive: options.interactive,
        live: options.live,
        state_dir: &options.state_dir,
    };
    session.run(|| {
        if let Some(fd) = options.start_notify_fd {
            // Whoever started this may have stopped listening.
            let _ = File::options()
                .write(true)
                .open(format!("/proc/self/fd/{fd}"))
                .and_then(|mut file| file.write_all(&[0]));
        }
        Ok(())
    })
}
