//! The tables that `./x bench` prints.

use anyhow::{Context, Result};

use super::counts::{Cost, Counts, EVENTS};
use super::domains::Costs;
use super::tools::Totals;

/// A row: its number and name in the benchmark program, what it is, and what Xen 4.17 once gave.
struct Line {
    number: u16,
    name: &'static str,
    about: &'static str,
    reference: f64,
}

/// The rows in the order of the table. The last column is what was measured on Debian's Xen 4.17 when the goals were
/// set; a different count now means that the kernel, QEMU or the measurement changed.
const LINES: [Line; 18] = [
    line(2, "null", "xen_version(version), net", 416.0),
    line(3, "multicall", "xen_version in a multicall of 32, per entry", 833.0),
    line(5, "send", "send to a pending, masked port, net", 949.0),
    line(9, "notify", "send to a loop-back port, read, unmask", 1824.0),
    line(6, "status", "EVTCHNOP_status, net", 1117.0),
    line(7, "poll", "SCHEDOP_poll on a ready port, net", 1283.0),
    line(8, "alloc+close", "alloc_unbound and close, net", 2378.0),
    line(11, "map+unmap", "granted page mapped and unmapped", 9799.0),
    line(12, "map+unmap-16", "16 at once, per page", 7493.0),
    line(10, "copy", "GNTTABOP_copy of 4 KiB, net", 4090.0),
    line(13, "give+take", "page given back and taken, net", 4414.0),
    line(4, "yield", "SCHEDOP_yield with one vCPU, net", 2110.0),
    line(14, "trap", "read of GICD_TYPER", 611.0),
    line(15, "tick", "tick of the kernel's clock", 2177.0),
    line(16, "ipi-self", "SGI to the own vCPU, taken and ended", 1093.0),
    line(17, "wait", "WFI until the timer ends it", 57_226.0),
    line(18, "switch", "yield, from one vCPU to another", 3817.0),
    line(19, "ipi-wake", "SGI that ends another vCPU's WFI, and own WFI", 5426.0),
];

/// When the goals were set, for boot, Dom0's boot in the hypervisor (with the full Dom0 image) and kept KiB.
const REFERENCE_BOOT: f64 = 303e6;
const REFERENCE_DOM0_BOOT: f64 = 3.2e6;
const REFERENCE_KEPT: f64 = 32_528.0;

const EVENT_NAMES: [&str; EVENTS] = ["exits", "tlbi all", "tlbi addr", "barriers", "msr", "atomics"];

const fn line(number: u16, name: &'static str, about: &'static str, reference: f64) -> Line {
    Line { number, name, about, reference }
}

/// The number of a row by its name.
///
/// # Errors
/// When there is none; the message lists all.
pub fn row_number(name: &str) -> Result<u16> {
    LINES.iter().find(|line| line.name == name).map(|line| line.number).with_context(|| {
        let names: Vec<_> = LINES.iter().map(|line| line.name).collect();
        format!("no row \"{name}\"; there are {}", names.join(", "))
    })
}

/// The name of a row by its number, empty when there is none.
pub fn row_name(number: u16) -> &'static str {
    LINES.iter().find(|line| line.number == number).map_or("", |line| line.name)
}

/// Prints what was measured; a hypervisor may be left out.
pub fn print(ours: Option<&Counts>, xen: Option<&Counts>) {
    println!();
    println!("Instructions executed in the hypervisor, best of 16 batches");
    heading();
    for line in &LINES {
        let number = |counts: Option<&Counts>| Some(counts?.rows.get(line.name)?.instructions);
        row(line.name, number(ours), number(xen), Some(line.reference), line.about);
    }
    let value = |counts: Option<&Counts>, of: fn(&Counts) -> u64| counts.map(|counts| of(counts) as f64);
    for (name, of, reference, about) in [
        (
            "boot",
            (|counts| counts.boot) as fn(&Counts) -> u64,
            Some(REFERENCE_BOOT),
            "entry to Dom0's kernel",
        ),
        (
            "dom0-boot",
            |counts| counts.dom0_boot,
            Some(REFERENCE_DOM0_BOOT),
            "from there to user space (theirs: full image)",
        ),
        ("kept", |counts| counts.kept, Some(REFERENCE_KEPT), "KiB of 2 GiB neither free nor Dom0's"),
        ("image", |counts| counts.image_size, None, "bytes of the hypervisor's image"),
    ] {
        row(name, value(ours, of), value(xen, of), reference, about);
    }

    println!();
    println!("Events in the hypervisor per operation, ours / Xen's; ! where ours are more");
    print!("    {:<13}", "");
    for name in EVENT_NAMES {
        print!(" {name:>17}");
    }
    println!();
    for line in &LINES {
        let events = |counts: Option<&Counts>| counts?.rows.get(line.name).map(|row| row.events);
        let (ours, xen) = (events(ours), events(xen));
        print!("    {:<13}", line.name);
        for index in 0..EVENTS {
            let one = |events: Option<[f64; EVENTS]>| events.map(|events| events[index]);
            print!(" {:>17}", pair(one(ours), one(xen)));
        }
        println!();
    }
}

/// The tools' rows: name and what it is.
const TOOLS_LINES: [(&str, &str); 7] = [
    ("create", "xl create -p of the demo DomU"),
    ("create-first", "xl create -p of a DomU without devices"),
    ("create-last", "the same, for the last of many"),
    ("list", "xl list"),
    ("destroy", "xl destroy of the demo DomU"),
    ("xs-read", "a node read over xenstored's socket"),
    ("xs-transaction", "a transaction of ten writes"),
];

/// Prints what the tools cost; a set of tools may be left out.
pub fn print_tools(ours: Option<&Totals>, debian: Option<&Totals>) {
    println!();
    println!("Instructions of hypervisor, kernel and user space; ours on ours, Debian's tools on Xen 4.17");
    heading();
    for (name, about) in TOOLS_LINES {
        let number = |totals: Option<&Totals>| totals?.get(name).copied();
        row(name, number(ours), number(debian), None, about);
    }
}

/// The rows of DomUs: name and what it is.
const DOMAINS_LINES: [(&str, &str); 8] = [
    ("disk-read", "4 KiB read from a PV disk, to its arrival"),
    ("disk-write", "4 KiB written to a PV disk, to its arrival"),
    ("net-packet", "a small UDP packet, each waiting for the one before"),
    ("net-kib", "a KiB more in such a packet"),
    ("stream-packet", "a small UDP packet of 32 in a row"),
    ("stream-kib", "a KiB more in such a packet"),
    ("create-mib", "a MiB of a domain's memory, xl create -p"),
    ("destroy-mib", "the same, xl destroy"),
];

/// Prints what DomUs cost; a stack may be left out.
pub fn print_domains(ours: Option<&Costs>, debian: Option<&Costs>) {
    for (title, of) in [
        (
            "Instructions in the hypervisor for DomUs; ours on ours, Debian's tools on Xen 4.17",
            (|cost| cost.hypervisor) as fn(&Cost) -> f64,
        ),
        ("The same, of hypervisor, all kernels and user space", |cost| cost.total),
    ] {
        println!();
        println!("{title}");
        heading();
        for (name, about) in DOMAINS_LINES {
            let number = |costs: Option<&Costs>| costs?.get(name).map(of);
            row(name, number(ours), number(debian), None, about);
        }
    }
}

fn heading() {
    println!("    {:<13} {:>13} {:>13} {:>6} {:>13}", "", "ours", "Xen 4.17", "ratio", "Xen, before");
}

fn row(name: &str, ours: Option<f64>, xen: Option<f64>, reference: Option<f64>, about: &str) {
    let ratio = match (ours, xen) {
        (Some(ours), Some(xen)) if xen > 0.0 => format!("{:.2}", ours / xen),
        _ => "-".to_owned(),
    };
    println!(
        "    {name:<13} {:>13} {:>13} {ratio:>6} {:>13}  {about}",
        whole(ours),
        whole(xen),
        whole(reference)
    );
}

/// A count in whole numbers, its thousands apart.
fn whole(value: Option<f64>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn pair(ours: Option<f64>, xen: Option<f64>) -> String {
    let one = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
    let mark = if matches!((ours, xen), (Some(ours), Some(xen)) if ours > xen) { " !" } else { "" };
    format!("{} / {}{mark}", one(ours), one(xen))
}

#[cfg(test)]
mod tests {
    use super::{pair, row_number, whole};

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(whole(Some(303_425_318.0)), "303,425,318");
        assert_eq!(whole(Some(157.4)), "157");
        assert_eq!(whole(Some(-456.0)), "-456");
        assert_eq!(whole(None), "-");
    }

    #[test]
    fn more_events_than_xen_are_marked() {
        assert_eq!(pair(Some(2.0), Some(1.0)), "2.0 / 1.0 !");
        assert_eq!(pair(Some(1.0), Some(1.0)), "1.0 / 1.0");
        assert_eq!(pair(Some(1.0), None), "1.0 / -");
    }

    #[test]
    fn unknown_row_is_refused_with_the_list() {
        assert_eq!(row_number("null").expect("a row"), 2);
        assert!(row_number("nil").expect_err("no row").to_string().contains("null, multicall"));
    }
}
