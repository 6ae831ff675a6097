//! Options of verbs that need other processes or the terminal.

use std::path::PathBuf;

use clap::Args;
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
