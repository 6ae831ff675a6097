//! Debug keys: typed on the console or sent by `xl debug-keys`, each writes a report.

use crate::Hypervisor;
use crate::domain::Domain;
use alloc::string::String;
use core::fmt::Write;
use hal::{MachineOps as _, PcpuId};

/// What each key reports.
const KEYS: &[(u8, &str)] = &[
    (b'h', "this list"),
    (b'q', "domains and their vCPUs"),
    (b'r', "run queues"),
    (b'e', "event channels"),
    (b'g', "grant tables"),
    (b'm', "memory"),
    (b'a', "timers"),
    (b'R', "restart the machine"),
];

/// A report gathered under a lock, to be written without it: the console is slow.
#[derive(Default)]
struct Text(String);

impl Write for Text {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        self.0.try_reserve(s.len()).map_err(|_| core::fmt::Error)?;
        self.0.push_str(s);
        Ok(())
    }
}

impl Hypervisor {
    /// Writes the report of the key that waits.
    pub(crate) fn run_debug_keys(&self) {
        if let Some(key) = self.console.take_debug_key() {
            self.report_key(key);
        }
    }

    /// Writes the report of a key.
    pub(crate) fn report_key(&self, key: u8) {
        if key == b'R' {
            crate::info!(self, "'R' pressed -> restarting the machine");
            self.machine.reboot();
        }
        self.report(|out| {
            // A write to the console cannot fail.
            let _ = self.write_report(key, out);
        });
    }

    fn write_report(&self, key: u8, out: &mut dyn Write) -> core::fmt::Result {
        match key {
            b'h' => {
                writeln!(out, "(XEN) 'h' pressed -> showing installed handlers")?;
                for (key, what) in KEYS {
                    writeln!(out, "(XEN)  key '{}' (ascii '{key:02x}') => {what}", char::from(*key))?;
                }
                Ok(())
            }
            b'q' => self.each_domain(|d| self.report_domain(d, out)),
            b'r' => {
                let mut text = Text::default();
                self.pools.dump(&mut text, self.machine.now_ns())?;
                out.write_str(&text.0)
            }
            b'e' => self.each_domain(|d| d.events.dump(self, d, out)),
            b'g' => self.each_domain(|d| d.grants.dump(self, d, out)),
            b'm' => {
                let (free, total) = (self.frames.free_frames(), self.frames.total());
                writeln!(out, "(XEN) {free} of {total} frames are free")?;
                self.each_domain(|d| {
                    let (pages, tables) = (d.tot_pages(), d.memory.lock().pool.total());
                    writeln!(out, "(XEN) d{}: {pages} pages of memory, {tables} of tables", d.id)
                })
            }
            b'a' => {
                for cpu in &self.cpus {
                    let next = cpu.timers.lock().next();
                    writeln!(
                        out,
                        "(XEN) CPU{}: next timer {next:?} ns, now {}",
                        cpu.id.0,
                        self.machine.now_ns()
                    )?;
                }
                Ok(())
            }
            _ => writeln!(out, "(XEN) No report for key {key:#04x}; 'h' lists them"),
        }
    }

    fn each_domain(&self, mut f: impl FnMut(&Domain) -> core::fmt::Result) -> core::fmt::Result {
        let mut from = 0;
        while let Some(domain) = self.domains.first_from(from) {
            from = domain.id.raw() + 1;
            f(&domain)?;
        }
        Ok(())
    }

    fn report_domain(&self, domain: &Domain, out: &mut dyn Write) -> core::fmt::Result {
        writeln!(
            out,
            "(XEN) domain {}: {} of {} pages, {} vCPUs{}{}",
            domain.id,
            domain.tot_pages(),
            domain.max_pages(),
            domain.vcpus().count(),
            if domain.is_dying() { ", dying" } else { "" },
            if domain.is_shut_down() { ", shut down" } else { "" },
        )?;
        for vcpu in domain.vcpus() {
            writeln!(
                out,
                "(XEN)   d{}v{}: pCPU {:?}, up {}, blocked {}, paused {}",
                domain.id,
                vcpu.id,
                vcpu.pcpu().map(|PcpuId(n)| n),
                vcpu.is_up(),
                vcpu.is_blocked(),
                vcpu.is_paused(),
            )?;
            domain.guest.dump(vcpu.id, out)?;
        }
        Ok(())
    }
}
