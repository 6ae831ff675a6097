//! Does things between markers, which a QEMU plugin counts instructions by (`tests/insn_count`): runs Dom0's tools,
//! and uses PV devices in a DomU.
//!
//! Each row is reported as `guests/bench` does: `bench: row NUMBER NAME CALLS PARTS 0`; its batches lie between the
//! markers `2 * NUMBER` and `2 * NUMBER + 1`.

mod disk;
mod domains;
mod network;
mod rows;
mod tools;

use anyhow::{Context, Result, bail};

const USAGE: &str = "tools COUNT | domains MIB MIB | disk DEVICE | echo ADDRESS | network ADDRESS";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["tools", most] => tools::rows(number(most)?),
        ["domains", small, large] => domains::rows(number(small)?, number(large)?),
        ["disk", device] => disk::rows(device.as_ref()),
        ["echo", address] => network::echo(address),
        ["network", address] => network::rows(address),
        _ => bail!("say what to do: {USAGE}"),
    }
}

fn number(word: &str) -> Result<u32> {
    word.parse().with_context(|| format!("\"{word}\" is not a number"))
}
