//! What the plugin and the benchmark program wrote, as numbers per operation.

use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;

use super::boot::MEMORY;

/// Counters in a line of the plugin's; `Counter` in `tests/insn_count` has their order.
const COUNTERS: usize = 9;
/// The first of them: instructions of the hypervisor. Those of Dom0's kernel and user space follow.
const HYPERVISOR: usize = 0;
/// The guard rails are the counters from here on.
const FIRST_EVENT: usize = 3;
/// Guard rails: exits, whole and by-address TLB invalidations, barriers, system-register writes, atomic operations.
pub const EVENTS: usize = COUNTERS - FIRST_EVENT;

const KIB_PER_PAGE: u64 = 4;
const KIB_PER_MIB: u64 = 1024;
const BASELINE: &str = "baseline";

type Snapshot = [u64; COUNTERS];

/// Instructions per operation, each of the batch that had the fewest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Those of the hypervisor.
    pub hypervisor: f64,
    /// Those of hypervisor, kernels and user space together.
    pub total: f64,
}

/// The cost of each row that a program described, by its name.
///
/// # Errors
/// As [`Counts::parse`].
pub fn costs(console: &str, counted: &str) -> Result<BTreeMap<String, Cost>> {
    let counted = Counted::parse(counted)?;
    console
        .lines()
        .filter_map(|line| Some(line.split_once("bench: row ")?.1))
        .map(|fields| {
            let row = Described::parse(&fields.split_whitespace().collect::<Vec<_>>())
                .with_context(|| format!("in \"{fields}\""))?;
            let least = |by: fn(&Snapshot) -> u64| -> Result<f64> {
                Ok(by(&counted.least(&row, by)?) as f64 / (row.calls * row.parts) as f64)
            };
            let cost = Cost { hypervisor: least(|batch| batch[HYPERVISOR])?, total: least(total)? };
            Ok((row.name, cost))
        })
        .collect()
}

/// Instructions, whoever executed them.
fn total(batch: &Snapshot) -> u64 {
    batch[..FIRST_EVENT].iter().sum()
}

/// One row, per operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Instructions of the hypervisor, less what the same system calls cost without hypercalls where that is asked
    /// for.
    pub instructions: f64,
    /// The guard rails' counts, nothing taken off.
    pub events: [f64; EVENTS],
    /// Operations in a batch.
    pub operations: u64,
}

/// All that was measured on one hypervisor.
#[derive(Debug, PartialEq)]
pub struct Counts {
    /// Rows by name.
    pub rows: BTreeMap<String, Row>,
    /// Instructions from the hypervisor's entry to that of Dom0's kernel.
    pub boot: u64,
    /// Instructions of the hypervisor from there to Dom0's first one in user space.
    pub dom0_boot: u64,
    /// Memory that is neither free nor Dom0's, in KiB.
    pub kept: u64,
    /// Size of the hypervisor's image in bytes.
    pub image_size: u64,
    /// What the program could not do.
    pub failures: Vec<String>,
    /// Executions of each of the hypervisor's instructions in one batch of the profiled row.
    pub profile: BTreeMap<u64, u64>,
}

impl Counts {
    /// Reads the console's text and the plugin's output.
    ///
    /// # Errors
    /// When a line has not the form agreed on, or counts are missing.
    pub fn parse(console: &str, counted: &str, image_size: u64) -> Result<Self> {
        let counted = Counted::parse(counted)?;
        let mut failures = Vec::new();
        let mut described = Vec::new();
        let mut kept = None;
        for line in console.lines() {
            let Some((_, line)) = line.split_once("bench: ") else { continue };
            let words: Vec<_> = line.split_whitespace().collect();
            match words.as_slice() {
                ["row", fields @ ..] => {
                    described.push(Described::parse(fields).with_context(|| format!("in \"{line}\""))?);
                }
                ["pages", _, free, own] => {
                    let held = (free.parse::<u64>()? + own.parse::<u64>()?) * KIB_PER_PAGE;
                    kept = (MEMORY * KIB_PER_MIB).checked_sub(held);
                }
                ["failed", ..] => failures.push(words[1..].join(" ")),
                _ => bail!("the benchmark program printed \"{line}\""),
            }
        }
        let baseline = described
            .iter()
            .find(|row| row.name == BASELINE)
            .context("no baseline was measured")
            .and_then(|row| Ok(counted.best(row)?[HYPERVISOR] as f64 / row.calls as f64))?;
        let mut rows = BTreeMap::new();
        for row in &described {
            let best = counted.best(row)?;
            rows.insert(row.name.clone(), row.per_operation(&best, baseline));
        }
        let kernel = counted.kernel.context("Dom0's kernel was not seen")?[HYPERVISOR];
        let user = counted.user.context("Dom0's user space was not seen")?[HYPERVISOR];
        Ok(Self {
            rows,
            boot: kernel,
            dom0_boot: user - kernel,
            kept: kept.context("kept memory was not reported")?,
            image_size,
            failures,
            profile: counted.profile,
        })
    }
}

impl Counts {
    /// Adds the rows of a bare guest, none of which has system calls to take off.
    ///
    /// # Errors
    /// As [`Counts::parse`].
    pub fn add_bare(&mut self, console: &str, counted: &str) -> Result<()> {
        let counted = Counted::parse(counted)?;
        for line in console.lines() {
            let Some((_, line)) = line.split_once("bench: ") else { continue };
            let words: Vec<_> = line.split_whitespace().collect();
            match words.as_slice() {
                ["row", fields @ ..] => {
                    let row = Described::parse(fields).with_context(|| format!("in \"{line}\""))?;
                    self.rows.insert(row.name.clone(), row.per_operation(&counted.best(&row)?, 0.0));
                }
                ["failed", ..] => self.failures.push(words[1..].join(" ")),
                _ => bail!("the bare guest printed \"{line}\""),
            }
        }
        self.profile.extend(counted.profile);
        Ok(())
    }
}

/// A row as the program describes it.
struct Described {
    number: u16,
    name: String,
    calls: u64,
    parts: u64,
    baselines: u64,
}

impl Described {
    fn parse(fields: &[&str]) -> Result<Self> {
        let [number, name, calls, parts, baselines] = fields else { bail!("not five fields") };
        let row = Self {
            number: number.parse()?,
            name: (*name).to_owned(),
            calls: calls.parse()?,
            parts: parts.parse()?,
            baselines: baselines.parse()?,
        };
        ensure!(row.calls > 0 && row.parts > 0, "a row without operations");
        Ok(row)
    }

    fn per_operation(&self, best: &Snapshot, baseline: f64) -> Row {
        let operations = self.calls * self.parts;
        let taken_off =
            if self.name == BASELINE { 0.0 } else { baseline * (self.baselines * self.calls) as f64 };
        let mut events = [0.0; EVENTS];
        for (event, count) in events.iter_mut().zip(&best[FIRST_EVENT..]) {
            *event = *count as f64 / operations as f64;
        }
        let instructions = (best[HYPERVISOR] as f64 - taken_off) / operations as f64;
        Row { instructions, events, operations }
    }
}

/// The plugin's output.
#[derive(Default)]
struct Counted {
    kernel: Option<Snapshot>,
    user: Option<Snapshot>,
    /// What each batch of a row added, by the row's number.
    batches: BTreeMap<u16, Vec<Snapshot>>,
    profile: BTreeMap<u64, u64>,
}

impl Counted {
    fn parse(text: &str) -> Result<Self> {
        let mut counted = Self::default();
        let mut started: BTreeMap<u16, Snapshot> = BTreeMap::new();
        for line in text.lines() {
            counted.line(line, &mut started).with_context(|| format!("in \"{line}\""))?;
        }
        Ok(counted)
    }

    fn line(&mut self, line: &str, started: &mut BTreeMap<u16, Snapshot>) -> Result<()> {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["at", address, count] => {
                let address = address.strip_prefix("0x").context("no address")?;
                self.profile.insert(u64::from_str_radix(address, 16)?, count.parse()?);
            }
            ["kernel", _, counts @ ..] => self.kernel = Some(snapshot(counts)?),
            ["user", _, counts @ ..] => self.user = Some(snapshot(counts)?),
            ["marker", number, counts @ ..] => {
                // Even numbers start a batch of row number / 2, odd ones end it.
                let number: u16 = number.parse()?;
                let mut now = snapshot(counts)?;
                if number.is_multiple_of(2) {
                    started.insert(number / 2, now);
                } else {
                    let start = started.remove(&(number / 2)).context("a batch without a start")?;
                    for (count, before) in now.iter_mut().zip(start) {
                        *count -= before;
                    }
                    self.batches.entry(number / 2).or_default().push(now);
                }
            }
            _ => bail!("unknown line"),
        }
        Ok(())
    }

    /// The batch with the fewest hypervisor instructions.
    fn best(&self, row: &Described) -> Result<Snapshot> {
        self.least(row, |batch| batch[HYPERVISOR])
    }

    fn least(&self, row: &Described, by: fn(&Snapshot) -> u64) -> Result<Snapshot> {
        self.batches
            .get(&row.number)
            .and_then(|batches| batches.iter().copied().min_by_key(by))
            .with_context(|| format!("row {} was not counted", row.name))
    }
}

fn snapshot(words: &[&str]) -> Result<Snapshot> {
    let counts = words.iter().map(|word| word.parse()).collect::<Result<Vec<u64>, _>>()?;
    counts.try_into().ok().with_context(|| format!("not {COUNTERS} counters"))
}

#[cfg(test)]
mod tests {
    use super::{Cost, Counts, costs};

    const CONSOLE: &str = "[ 1.0] noise\nbench: row 1 baseline 2 1 1\nbench: row 2 pair 2 4 3\n\
                           bench: failed trap errno 1\nbench: pages 524288 260000 262144\n";
    const COUNTED: &str = "kernel 0 500 0 0 0 0 0 0 0 0\nuser 0 700 9 0 0 0 0 0 0 0\n\
                           marker 2 1000 0 0 0 0 0 0 0 0\nmarker 3 1020 0 0 0 0 0 0 0 0\n\
                           marker 4 2000 0 0 10 0 0 0 0 0\nmarker 5 2900 0 0 30 0 0 0 0 0\n\
                           marker 4 3000 0 0 30 0 0 0 0 0\nmarker 5 3460 0 0 38 0 0 0 0 8\nat 0x8000 7\n";

    #[test]
    fn best_batch_less_baselines_counts_per_part() {
        let counts = Counts::parse(CONSOLE, COUNTED, 1).expect("well formed");
        // 460 in the second batch, less 3 baselines of 10 in each of 2 calls, over 2 calls of 4 parts.
        assert_eq!(counts.rows["pair"].instructions, 50.0);
        assert_eq!(counts.rows["pair"].events, [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(counts.rows["baseline"].instructions, 10.0);
    }

    #[test]
    fn costs_are_of_the_least_batches() {
        let console = "bench: row 3 create 2 1 0\nnoise\n";
        let counted = "marker 6 100 100 100 7 0 0 0 0 0\nmarker 7 110 120 190 9 0 0 0 0 0\n\
                       marker 6 200 200 200 9 0 0 0 0 0\nmarker 7 250 220 220 9 0 0 0 0 0\n";
        let costs_by_row = costs(console, counted).expect("well formed");
        // In all 120 in the first batch and 90 in the second, over 2 operations; of the hypervisor 10 and 50.
        assert_eq!(costs_by_row["create"], Cost { hypervisor: 5.0, total: 45.0 });
        assert!(costs("bench: row 4 list 1 1 0\n", counted).is_err());
    }

    #[test]
    fn boot_memory_failures_and_profile_are_read() {
        let counts = Counts::parse(CONSOLE, COUNTED, 1).expect("well formed");
        assert_eq!((counts.boot, counts.dom0_boot), (500, 200));
        assert_eq!(counts.kept, (524_288 - 260_000 - 262_144) * 4);
        assert_eq!(counts.failures, ["trap errno 1"]);
        assert_eq!(counts.profile[&0x8000], 7);
    }

    #[test]
    fn rows_of_a_bare_guest_are_added() {
        let mut counts = Counts::parse(CONSOLE, COUNTED, 1).expect("well formed");
        let counted = "marker 32 100 0 0 1 0 0 0 0 0\nmarker 33 164 0 0 5 0 0 0 0 0\nat 0x9000 3\n";
        counts.add_bare("(XEN) bench: row 16 ipi 2 2 0\n", counted).expect("well formed");
        assert_eq!(counts.rows["ipi"].instructions, 16.0);
        assert_eq!(counts.rows["pair"].instructions, 50.0);
        assert_eq!(counts.profile[&0x9000], 3);
        assert!(counts.add_bare("bench: nonsense\n", counted).is_err());
    }

    #[test]
    fn batch_that_ends_without_a_start_is_refused() {
        assert!(Counts::parse(CONSOLE, "marker 3 1 1 1 1 1 1 1 1 1\n", 1).is_err());
    }

    #[test]
    fn row_without_counts_is_refused() {
        let without = COUNTED.replace("marker 4", "marker 6").replace("marker 5", "marker 7");
        assert!(Counts::parse(CONSOLE, &without, 1).is_err());
    }
}
