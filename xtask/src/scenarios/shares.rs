//! Who gets how much of a CPU: by weight, and up to a cap.

use anyhow::{Context, Result, ensure};
use std::thread::sleep;
use std::time::Duration;

use super::checks::{DOMAIN_CHANGE, step, wait_for_boot};
use super::footprint;
use crate::machine::dom0::Dom0;
use crate::report;

/// DomUs and their weights.
const WEIGHTS: [(&str, u32); 3] = [("light", 128), ("usual", 256), ("heavy", 512)];
/// In percent of one CPU.
const CAP: u32 = 40;
/// How far a share may be off, of itself.
const TOLERANCE: f64 = 0.05;
/// The tools show CPU time in tenths of a second, which are 1 % of the lightest one's share of this.
const INTERVAL: Duration = Duration::from_secs(90);
/// For DomUs that have just become busy to use up what they had saved.
const SETTLING: Duration = Duration::from_secs(5);

/// Busy DomUs on one CPU; Dom0 has the other.
pub fn follow_weights_and_caps(dom0: &mut Dom0) -> Result<()> {
    // The first domain leaves folders in xenstore behind.
    step("A DomU to warm up", || {
        dom0.run_for("xl create -p /etc/xen/small.cfg && xl destroy small", DOMAIN_CHANGE)
    })?;
    footprint::remember(dom0)?;
    step("Three DomUs share one CPU, Dom0 has the other", || {
        dom0.run("xl vcpu-pin Domain-0 all 0")?;
        for (name, _) in WEIGHTS {
            let config = format!("name=\"{name}\"");
            dom0.run_for(&format!("xl create /etc/xen/small.cfg '{config}'"), DOMAIN_CHANGE)?;
            dom0.run(&format!("xl vcpu-pin {name} all 1"))?;
        }
        for (name, _) in WEIGHTS {
            wait_for_boot(dom0, name, 1)?;
        }
        for (name, _) in WEIGHTS {
            dom0.guest(name, "{ (while :; do :; done) & }")?;
        }
        Ok(())
    })?;
    step("Each gets by its weight", || {
        for (name, weight) in WEIGHTS {
            dom0.run(&format!("xl sched-credit2 -d {name} -w {weight}"))?;
        }
        let total: u32 = WEIGHTS.iter().map(|(_, weight)| weight).sum();
        let expected = WEIGHTS.map(|(name, weight)| (name, f64::from(weight) / f64::from(total)));
        ensure_shares(dom0, &expected)
    })?;
    step("Equal weights get equal shares", || {
        for (name, _) in WEIGHTS {
            dom0.run(&format!("xl sched-credit2 -d {name} -w 256"))?;
        }
        ensure_shares(dom0, &WEIGHTS.map(|(name, _)| (name, 1.0 / 3.0)))
    })?;
    step("One that is capped gets no more, and the others the rest", || {
        for name in ["light", "usual"] {
            dom0.run(&format!("xl sched-credit2 -d {name} -w 128"))?;
        }
        dom0.run(&format!("xl sched-credit2 -d heavy -w 1024 -c {CAP}"))?;
        let cap = f64::from(CAP) / 100.0;
        let rest = (1.0 - cap) / 2.0;
        ensure_shares(dom0, &[("light", rest), ("usual", rest), ("heavy", cap)])
    })?;
    step("Nothing is left behind", || {
        for (name, _) in WEIGHTS {
            dom0.run_for(&format!("xl destroy {name}"), DOMAIN_CHANGE)?;
        }
        dom0.run("xl vcpu-pin Domain-0 all all")?;
        footprint::wait_until_as_before(dom0)
    })
}

/// Measures what part of a CPU's time each DomU gets.
fn ensure_shares(dom0: &mut Dom0, expected: &[(&str, f64)]) -> Result<()> {
    sleep(SETTLING);
    let before = times(dom0)?;
    sleep(INTERVAL);
    let after = times(dom0)?;
    let passed = after.now - before.now;
    let mut off = Vec::new();
    for (name, expected) in expected {
        let got = (after.of(name)? - before.of(name)?) / passed;
        report::note(format!("{name}: {:.1} % of the CPU, {:.1} % wanted", 100.0 * got, 100.0 * expected));
        if (got / expected - 1.0).abs() > TOLERANCE {
            off.push(*name);
        }
    }
    ensure!(off.is_empty(), "more than {} % off: {}", 100.0 * TOLERANCE, off.join(", "));
    Ok(())
}

/// Seconds since Dom0's boot, and of CPU time of all domains.
struct Times {
    now: f64,
    domains: Vec<(String, f64)>,
}

impl Times {
    fn of(&self, name: &str) -> Result<f64> {
        let found = self.domains.iter().find(|(domain, _)| domain == name);
        found.map(|(_, seconds)| *seconds).with_context(|| format!("{name} is not there"))
    }
}

fn times(dom0: &mut Dom0) -> Result<Times> {
    let text = dom0.run("cut -d' ' -f1 /proc/uptime; xl list")?;
    read_times(&text).with_context(|| format!("cannot read the times in:\n{text}"))
}

fn read_times(text: &str) -> Option<Times> {
    let (now, list) = text.split_once('\n')?;
    let row = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        Some((words.first()?.to_string(), words.last()?.parse().ok()?))
    };
    let domains = list.lines().skip(1).map(row).collect::<Option<Vec<_>>>()?;
    Some(Times { now: now.trim().parse().ok()?, domains })
}

#[cfg(test)]
mod tests {
    use super::read_times;

    #[test]
    fn times_are_read_from_the_last_column() {
        let text = "12.50\nName    ID   Mem VCPUs\tState\tTime(s)\nDomain-0  0  1024  2  r-----  31.5\n";
        let times = read_times(text).expect("well formed");
        assert_eq!((times.now, times.of("Domain-0").expect("a domain")), (12.5, 31.5));
        assert!(times.of("other").is_err());
    }
}
