//! What debug key 'e' prints of a domain.

use super::DomainEvents;
use super::table::State;
use crate::Hypervisor;
use crate::domain::Domain;
use core::fmt::{self, Write};

/// A port's state, copied out so that no lock is held while it is printed.
struct Seen {
    state: &'static str,
    vcpu: u16,
    hypervisor: bool,
    bits: Option<(bool, bool)>,
    detail: [u32; 2],
}

impl DomainEvents {
    /// Writes the open ports, one a line.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn dump(&self, hv: &Hypervisor, domain: &Domain, out: &mut dyn Write) -> fmt::Result {
        let interface = if self.is_fifo() { "FIFO" } else { "2-level" };
        writeln!(out, "Event channels of d{} ({interface}):", domain.id)?;
        for vcpu in domain.vcpus().filter(|vcpu| Self::is_polling(vcpu)) {
            writeln!(out, "  v{} polls", vcpu.id)?;
        }
        let len = self.ports.lock().len();
        for port in 1..len {
            let Some(seen) = self.look(hv, port) else { continue };
            write!(out, "  {port:4} v{} {}", seen.vcpu, seen.state)?;
            match seen.state {
                UNBOUND => write!(out, " d{}", seen.detail[0])?,
                INTERDOMAIN => write!(out, " d{} port {}", seen.detail[0], seen.detail[1])?,
                VIRQ => write!(out, " {}", seen.detail[0])?,
                _ => {}
            }
            if seen.hypervisor {
                write!(out, " hypervisor")?;
            }
            if let Some((pending, masked)) = seen.bits {
                write!(
                    out,
                    "{}{}",
                    if pending { " pending" } else { "" },
                    if masked { " masked" } else { "" }
                )?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn look(&self, hv: &Hypervisor, port: u32) -> Option<Seen> {
        let ports = self.ports.lock();
        let line = self.lines.get(port)?;
        let (state, detail) = match ports.get(port)? {
            State::Free | State::Reserved => return None,
            State::Unbound { remote } => (UNBOUND, [u32::from(*remote), 0]),
            State::Interdomain { remote, port } => (INTERDOMAIN, [u32::from(remote.id.raw()), *port]),
            State::Virq(virq) => (VIRQ, [u32::from(*virq), 0]),
            State::Ipi => ("ipi", [0; 2]),
        };
        let hypervisor = line.is_hypervisors();
        let bits = (!hypervisor).then(|| self.bits(hv, port));
        Some(Seen { state, vcpu: line.vcpu(), hypervisor, bits, detail })
    }
}

const UNBOUND: &str = "unbound";
const INTERDOMAIN: &str = "interdomain";
const VIRQ: &str = "virq";
