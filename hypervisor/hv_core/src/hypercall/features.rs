//! The table of hypercalls as the page `docs/features.md`.

use super::table::{HYPERCALLS, InXen, Status};
use core::fmt::{Result, Write};

const HEAD: &str = "\
# What is built: hypercalls on arm64

Generated from the table in `hypervisor/hv_core/src/hypercall/table.rs`, which also drives the dispatch; a test
issues every row and compares the answer with what the row says. Change the table, then run
`XENOXIDE_BLESS=1 cargo test -p hv_core features`.

*Ours* is **done** (works as in Xen 4.17), **partial** (works but for what is named), **refused** (answers with
Xen's error on purpose), **missing** (not built yet: ENOSYS) or **absent** (ENOSYS, as Xen answers on arm64).
*Xen 4.17* is the arm64 hypervisor that Debian 12 builds; a row with the name of an option exists only in a Xen
that is built or booted with it. Hypercalls that exist on x86 alone are not listed. What `vcpu_op` does not have
answers EINVAL, as in Xen.
";

/// How many rows there are of each kind.
#[derive(Default)]
struct Counts {
    done: u32,
    partial: u32,
    refused: u32,
    missing: u32,
    options: u32,
    extra: u32,
    absent: u32,
}

impl Counts {
    fn add(&mut self, status: Status, in_xen: InXen) {
        let count = match (status, in_xen) {
            (Status::Absent, _) => &mut self.absent,
            (_, InXen::No) => &mut self.extra,
            (_, InXen::Option(_)) => &mut self.options,
            (Status::Done, InXen::Yes) => &mut self.done,
            (Status::Partial(_), InXen::Yes) => &mut self.partial,
            (Status::Refused(_), InXen::Yes) => &mut self.refused,
            (Status::Missing, InXen::Yes) => &mut self.missing,
        };
        *count = count.saturating_add(1);
    }
}

/// Writes the page.
///
/// # Errors
/// Those of `out`.
pub fn write_features(out: &mut dyn Write) -> Result {
    writeln!(out, "{HEAD}")?;
    summary(out)?;
    writeln!(out, "| hypercall | sub-operation | ours | Xen 4.17 |\n| --- | --- | --- | --- |")?;
    for call in HYPERCALLS {
        if let Some((status, in_xen)) = call.whole {
            row(out, call.number, call.name, None, status, in_xen)?;
        }
        for op in call.ops {
            row(out, call.number, call.name, Some((op.number, op.name)), op.status, op.in_xen)?;
        }
    }
    Ok(())
}

fn summary(out: &mut dyn Write) -> Result {
    let mut counts = Counts::default();
    for call in HYPERCALLS {
        if let Some((status, in_xen)) = call.whole {
            counts.add(status, in_xen);
        }
        for op in call.ops {
            counts.add(op.status, op.in_xen);
        }
    }
    let Counts { done, partial, refused, missing, options, extra, absent } = counts;
    let all = done.saturating_add(partial).saturating_add(refused).saturating_add(missing);
    writeln!(
        out,
        "Of the {all} sub-operations that Xen 4.17 has on arm64, {done} are done, {partial} partial, {refused} refused and\n\
         {missing} missing. {extra} more are done that Xen does not have there; {options} exist only with options; {absent} are absent\n\
         from both.\n"
    )
}

fn row(
    out: &mut dyn Write,
    number: u32,
    name: &str,
    op: Option<(u32, &str)>,
    status: Status,
    in_xen: InXen,
) -> Result {
    write!(out, "| {number} {name} | ")?;
    match op {
        Some((number, name)) => write!(out, "{number} {name}")?,
        None => out.write_str("-")?,
    }
    out.write_str(" | ")?;
    match status {
        Status::Done => out.write_str("done")?,
        Status::Partial(what) => write!(out, "partial: {what}")?,
        Status::Refused(why) => write!(out, "refused: {why}")?,
        Status::Missing => out.write_str("missing")?,
        Status::Absent => out.write_str("absent")?,
    }
    match in_xen {
        InXen::Yes => writeln!(out, " | yes |"),
        InXen::Option(option) => writeln!(out, " | `{option}` |"),
        InXen::No => writeln!(out, " | no |"),
    }
}
