//! The console daemon's program.
#![forbid(unsafe_code)]

use clap::Parser as _;
use xenconsoled::options::Options;
use xenconsoled::start;

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if options.interactive || options.in_background { start::serve(&options) } else { start::in_background() }
}
