//! Options of verbs that need other processes or the terminal.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use xenconsoled::session::Type;
use xl_config::Uuid;

/// Options of `console`.
#[derive(Args, Debug)]
pub struct Console {
    /// Which of the consoles of that type
    #[arg(short, long, value_name = "N", default_value_t = 0)]
    pub num: u32,
    /// The type of console [default: serial if there is one, else pv]
    #[arg(short, long)]
    pub r#type: Option<Type>,
    /// The domain's name or id
    pub domain: String,
}

/// Options of `supervise`.
#[derive(Args, Debug)]
pub struct Supervise {
    /// Look after the domain with this UUID, in this process
    pub uuid: Option<Uuid>,
    /// Do it in the background, and write what is done to this file
    #[arg(long, value_name = "FILE", requires = "uuid", hide = true)]
    pub log: Option<PathBuf>,
}

/// Options of `completion`.
#[derive(Args, Debug)]
pub struct Completion {
    /// The shell that is to complete command lines
    pub shell: Shell,
}

/// Shells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// Put the output into `/etc/bash_completion.d/xl`, or `eval` it
    Bash,
}

/// Options of `top`.
#[derive(Args, Debug)]
pub struct Top {
    /// Seconds between two looks
    #[arg(short, long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub delay: u64,
    /// Print one table below the other rather than on the screen
    #[arg(short, long)]
    pub batch: bool,
    /// End after so many looks
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub iterations: Option<u32>,
    /// What comes first
    #[arg(short, long, default_value = "cpu")]
    pub sort: Sort,
    /// Print an array as JSON for each look
    #[arg(long)]
    pub json: bool,
}

/// Orders of domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// Those that use most CPU time
    Cpu,
    /// Those that have most memory
    Memory,
    /// The alphabet
    Name,
    /// Rising ids
    Id,
}
