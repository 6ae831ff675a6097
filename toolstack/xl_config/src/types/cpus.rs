//! Which host CPUs a vCPU may run on.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{BadValue, stored_as_text};

/// Highest CPU or node number that makes sense (Xen's largest NR_CPUS).
const HIGHEST: u32 = 4095;
/// Most parts of a list.
const MAX_PARTS: usize = 1024;

/// A set of host CPUs like `0-3,^1`, `all,^7` or `nodes:0,^node:1` (xl.cfg(5), cpus).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuList(Vec<Part>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    All,
    Range { exclude: bool, nodes: bool, first: u32, last: u32 },
}

/// CPUs of a domain's vCPUs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Affinity {
    /// The same for all.
    Every(CpuList),
    /// One list for each vCPU, from 0 on; vCPUs without one are free.
    PerVcpu(Vec<CpuList>),
}

impl CpuList {
    /// Which CPUs are meant on a host whose CPU number i is in NUMA node `node_of[i]`.
    ///
    /// Fails when a CPU or node is named that the host lacks, or no CPU is left.
    pub fn resolve(&self, node_of: &[u32]) -> Result<Vec<bool>, BadValue> {
        let mut cpus = vec![false; node_of.len()];
        for part in &self.0 {
            let Part::Range { exclude, nodes, first, last } = *part else {
                cpus.fill(true);
                continue;
            };
            let lacks = |what, number: u32| {
                let cpus = node_of.len();
                Err(BadValue::new(format!("the host has no {what} {number}; it has {cpus} CPUs")))
            };
            if nodes {
                if let Some(node) = (first..=last).find(|node| !node_of.contains(node)) {
                    return lacks("NUMA node", node);
                }
            } else if last as usize >= node_of.len() {
                return lacks("CPU", last);
            }
            for (cpu, (set, node)) in cpus.iter_mut().zip(node_of).enumerate() {
                let number = if nodes { *node as usize } else { cpu };
                if (first as usize..=last as usize).contains(&number) {
                    *set = !exclude;
                }
            }
        }
        if cpus.contains(&true) { Ok(cpus) } else { Err(BadValue::new(format!("`{self}` leaves no CPU"))) }
    }
}

impl FromStr for CpuList {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let parts: Vec<Part> = parts.take(MAX_PARTS + 1).map(part).collect::<Result<_, _>>()?;
        match parts.len() {
            0 => Err(BadValue::new("the list of CPUs is empty")),
            1..=MAX_PARTS => Ok(Self(parts)),
            _ => Err(BadValue::new(format!("the list of CPUs has more than {MAX_PARTS} parts"))),
        }
    }
}

fn part(text: &str) -> Result<Part, BadValue> {
    let bad = || BadValue::new(format!("`{}` is not a CPU, a range like 0-3, or `all`", text.escape_debug()));
    let (exclude, rest) = match text.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (nodes, rest) = match rest.strip_prefix("nodes:").or_else(|| rest.strip_prefix("node:")) {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    if rest == "all" {
        return if exclude { Err(BadValue::new("`^all` leaves no CPU")) } else { Ok(Part::All) };
    }
    let number = |text: &str| -> Result<u32, BadValue> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number: u32 = if digits { text.parse().map_err(|_| bad())? } else { return Err(bad()) };
        if number > HIGHEST {
            return Err(BadValue::new(format!(
                "{number} is above {HIGHEST}, the highest CPU that Xen knows"
            )));
        }
        Ok(number)
    };
    let (first, last) = match rest.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(rest)?, number(rest)?),
    };
    if first > last {
        return Err(BadValue::new(format!("`{text}` ends before it begins")));
    }
    Ok(Part::Range { exclude, nodes, first, last })
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, part) in self.0.iter().enumerate() {
            if nth > 0 {
                f.write_str(",")?;
            }
            let Part::Range { exclude, nodes, first, last } = *part else {
                f.write_str("all")?;
                continue;
            };
            f.write_str(if exclude { "^" } else { "" })?;
            f.write_str(if nodes { "nodes:" } else { "" })?;
            if first == last { write!(f, "{first}")? } else { write!(f, "{first}-{last}")? }
        }
        Ok(())
    }
}

stored_as_text!(CpuList);
