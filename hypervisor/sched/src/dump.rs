//! Text for the debug keys.

use core::fmt::{Result, Write};

use crate::pool::{Policy, Pool};
use crate::unit::{CAPPED, RUNNABLE};

impl Pool {
    /// Writes the pool's state: parameters, pCPUs, waiting units in order, domains, units.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn dump(&self, out: &mut dyn Write, now: u64) -> Result {
        let (id, name, cpus) = (self.id, self.kind().name(), self.t.cpus);
        writeln!(out, "Cpupool {id}: scheduler {name}, cpus {cpus}")?;
        let queue = match &self.policy {
            Policy::Credit2(credit2) => {
                let (us, max) = (credit2.ratelimit_us(), credit2.max_weight);
                writeln!(out, "  ratelimit {us} us, max weight {max}")?;
                credit2.queue
            }
            Policy::Null(null) => {
                writeln!(out, "  free cpus {}", null.free)?;
                null.waiting
            }
        };
        for cpu in cpus.iter() {
            let Some(info) = self.cpu_info(cpu, now) else { continue };
            write!(out, "  CPU{cpu}: idle {} us, ", info.idle_ns / 1_000)?;
            match info.running {
                Some((_, key)) => writeln!(out, "runs d{}v{}", key.domid, key.vcpu)?,
                None => writeln!(out, "idle")?,
            }
        }
        write!(out, "  waiting:")?;
        let mut i = queue.head;
        while let Some(unit) = self.t.units.get(i) {
            if let Some((_, key)) = unit.name {
                write!(out, " d{}v{}", key.domid, key.vcpu)?;
            }
            i = unit.next;
        }
        writeln!(out)?;
        for dom in &self.t.doms {
            let Some(domid) = dom.domid else { continue };
            write!(out, "  d{domid}: units {}", dom.units)?;
            if let Policy::Credit2(_) = &self.policy {
                let params = dom.params;
                write!(out, ", weight {}, cap {}", params.weight, params.cap)?;
                if params.cap != 0 {
                    write!(out, ", budget {} us", dom.budget / 1_000)?;
                }
            }
            writeln!(out)?;
        }
        for (_, unit) in self.t.units.iter() {
            let Some((_, key)) = unit.name else { continue };
            let (hard, soft) = (unit.hard_asked, unit.soft_asked);
            write!(out, "  d{}v{}: {:?} cpu {}", key.domid, key.vcpu, unit.place, unit.cpu)?;
            if !unit.has(RUNNABLE) {
                write!(out, " not runnable")?;
            }
            write!(out, ", ran {} us, hard {hard}, soft {soft}", unit.runtime / 1_000)?;
            if let Policy::Credit2(credit2) = &self.policy {
                write!(out, ", credit {}", credit2.credit(unit))?;
            }
            if unit.has(CAPPED) {
                write!(out, ", capped")?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}
