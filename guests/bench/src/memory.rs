//! Rows about memory: giving a page back and taking one, and how much the hypervisor keeps.

use xen_abi::GuestHandle;
use xen_abi::memory::{
    MemoryReservation, XENMEM_current_reservation, XENMEM_decrease_reservation, XENMEM_populate_physmap,
};
use xen_abi::sysctl::host::Physinfo;
use xen_abi::sysctl::{Sysctl, XEN_SYSCTL_INTERFACE_VERSION, XEN_SYSCTL_physinfo};
use xen_abi::xen::{__HYPERVISOR_memory_op, __HYPERVISOR_sysctl, DOMID_SELF};

use crate::hypercall::{Buffer, Privcmd};
use crate::linux::{self, Errno, Result};
use crate::measure::{Report, Row};
use crate::rows;

/// What is reported when fewer pages were changed than asked for (`ENOMEM`).
const NOT_ALL: Errno = Errno(12);

/// One page of this program leaves the domain and comes back.
pub fn give_and_take(report: Report, privcmd: Privcmd) -> Result<()> {
    let frame = linux::frame_of(linux::new_page()?)?;
    let frames = Buffer([frame]);
    let mut reservation = Buffer(MemoryReservation {
        extent_start: GuestHandle(frames.0.as_ptr().expose_provenance() as u64),
        nr_extents: 1,
        extent_order: 0,
        mem_flags: 0,
        domid: DOMID_SELF,
        _gap0: [0; 3],
    });
    Row { baselines: 2, ..rows::hypercall("give+take") }.measure::<13>(report, || {
        for command in [XENMEM_decrease_reservation, XENMEM_populate_physmap] {
            if privcmd.call_with(__HYPERVISOR_memory_op, command, &mut reservation)? != 1 {
                return Err(NOT_ALL);
            }
        }
        Ok(())
    });
    Ok(())
}

/// Reports free pages and Dom0's.
pub fn kept(report: Report, privcmd: Privcmd) -> Result<()> {
    let mut sysctl =
        Sysctl { cmd: XEN_SYSCTL_physinfo, interface_version: XEN_SYSCTL_INTERFACE_VERSION, u: [0; 16] };
    let at = (&raw mut sysctl).expose_provenance() as u64;
    privcmd.call(__HYPERVISOR_sysctl, at, 0)?;
    let physinfo: Physinfo = sysctl.read_payload();
    let mut domain = Buffer(DOMID_SELF);
    let own = privcmd.call_with(__HYPERVISOR_memory_op, XENMEM_current_reservation, &mut domain)?;
    report.line(format_args!("pages {} {} {own}", physinfo.total_pages, physinfo.free_pages));
    Ok(())
}
