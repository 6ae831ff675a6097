//! The table for people.

use std::fmt::Write as _;

use super::sample::Sample;
use crate::format;
use crate::json::TopDomain;

/// The table with a line about the host before it.
pub(super) fn table(sample: &Sample, rows: &[TopDomain]) -> String {
    let used = sample.total_kib.saturating_sub(sample.free_kib);
    let mut text = format!(
        "{} domains   {} CPUs   memory: {} MiB, {} used, {} free\n",
        sample.domains.len(),
        sample.cpus,
        sample.total_kib / 1024,
        used / 1024,
        sample.free_kib / 1024
    );
    text += "   ID NAME             STATE      CPU(s)   CPU(%)   MEM(M)  MEM(%) VCPUS  NETTX(K)  NETRX(K) VBDRD(K) VBDWR(K)";
    for row in rows {
        let kib = |bytes: Option<u64>| bytes.map_or("-".to_owned(), |bytes| (bytes / 1024).to_string());
        let share = row.memory_kib as f64 * 100.0 / sample.total_kib.max(1) as f64;
        // Nothing depends on a column's being there: writing to a String cannot fail.
        let _ = write!(
            text,
            "\n{:>5} {:<16} {:<8} {:>8} {:>8.1} {:>8} {share:>7.1} {:>5} {:>9} {:>9} {:>8} {:>8}",
            row.domid,
            name(row),
            row.state.last().copied().unwrap_or("-"),
            format::cpu_time(row.cpu_time_ns),
            row.cpu_percent.unwrap_or(0.0),
            row.memory_kib / 1024,
            row.vcpus,
            kib(row.network_sent_bytes),
            kib(row.network_received_bytes),
            kib(row.disk_read_bytes),
            kib(row.disk_written_bytes),
        );
    }
    text
}

/// The name, as much of it as there is room for, and harmless to a terminal.
fn name(row: &TopDomain) -> String {
    let name = row.name.as_deref().unwrap_or("(null)");
    name.chars().map(|letter| if letter.is_control() { '?' } else { letter }).take(16).collect()
}
