//! Rows that go through Linux's Xen devices, its clock, or an emulated register
//! (`linux/include/uapi/xen/{evtchn,gntalloc,gntdev}.h`).

use core::arch::asm;
use xen_abi::grant_table::{
    GNTCOPY_dest_gref, GNTCOPY_source_gref, GNTST_okay, GNTTABOP_copy, GnttabCopy, GnttabCopyPtr,
};
use xen_abi::xen::__HYPERVISOR_grant_table_op;

use crate::hypercall::{Buffer, Privcmd};
use crate::linux::{self, Errno, File, PAGE, Result};
use crate::measure::{Report, Row};
use crate::rows;

const DOM0: u16 = 0;
/// Pages that are mapped at once.
const SEVERAL: usize = 16;
/// Reported when the hypervisor refuses a grant operation in its status field (`EIO`).
const REFUSED: Errno = Errno(5);

const IOCTL_EVTCHN_BIND_INTERDOMAIN: u64 = 0x8_4501;
const IOCTL_EVTCHN_BIND_UNBOUND_PORT: u64 = 0x4_4502;
const IOCTL_EVTCHN_NOTIFY: u64 = 0x4_4504;
const IOCTL_GNTDEV_MAP_GRANT_REF: u64 = 0x18_4700;
const IOCTL_GNTDEV_UNMAP_GRANT_REF: u64 = 0x10_4701;
const IOCTL_GNTALLOC_ALLOC_GREF: u64 = 0x18_4705;
const GNTALLOC_FLAG_WRITABLE: u16 = 1;

#[repr(C)]
struct BindInterdomain {
    remote_domain: u32,
    remote_port: u32,
}

#[repr(C)]
struct AllocGref {
    domid: u16,
    flags: u16,
    count: u32,
    index: u64,
    grefs: [u32; SEVERAL],
}

#[repr(C)]
struct MapGrantRef {
    count: u32,
    _pad: u32,
    index: u64,
    /// Domain and reference of each.
    refs: [[u32; 2]; SEVERAL],
}

#[repr(C)]
struct UnmapGrantRef {
    index: u64,
    count: u32,
    _pad: u32,
}

/// A port bound to another of the same device: notify one, read the other's number, unmask it.
pub fn notify(report: Report) -> Result<()> {
    let device = File::open(c"/dev/xen/evtchn")?;
    let own = u32::from(DOM0);
    let target = device.control(IOCTL_EVTCHN_BIND_UNBOUND_PORT, &mut [own])? as u32;
    let mut bind = BindInterdomain { remote_domain: own, remote_port: target };
    let sender = device.control(IOCTL_EVTCHN_BIND_INTERDOMAIN, &mut bind)? as u32;
    let exchange = || {
        device.control(IOCTL_EVTCHN_NOTIFY, &mut [sender])?;
        let port = device.read_u32()?;
        device.write(&port.to_ne_bytes()).map(|_| port)
    };
    // A newly bound port is pending once. That event must be gone, or each unmasking finds another one waiting.
    if device.read_u32()? != sender {
        return Err(REFUSED);
    }
    device.write(&sender.to_ne_bytes())?;
    Row { name: "notify", calls: 64, parts: 1, baselines: 0 }.measure::<9>(report, || exchange().map(drop));
    Ok(())
}

/// Pages granted by Dom0 to itself: mapped and unmapped, and copied from.
pub fn grants(report: Report, privcmd: Privcmd) -> Result<()> {
    let allocator = File::open(c"/dev/xen/gntalloc")?;
    let mut alloc = AllocGref {
        domid: DOM0,
        flags: GNTALLOC_FLAG_WRITABLE,
        count: SEVERAL as u32,
        index: 0,
        grefs: [0; SEVERAL],
    };
    allocator.control(IOCTL_GNTALLOC_ALLOC_GREF, &mut alloc)?;
    copy(report, privcmd, alloc.grefs)?;

    let device = File::open(c"/dev/xen/gntdev")?;
    let mut map =
        MapGrantRef { count: 1, _pad: 0, index: 0, refs: alloc.grefs.map(|gref| [u32::from(DOM0), gref]) };
    Row { name: "map+unmap", calls: 16, parts: 1, baselines: 0 }
        .measure::<11>(report, || map_and_unmap(device, &mut map));
    map.count = SEVERAL as u32;
    Row { name: "map+unmap-16", calls: 4, parts: SEVERAL as u32, baselines: 0 }
        .measure::<12>(report, || map_and_unmap(device, &mut map));
    Ok(())
}

fn map_and_unmap(device: File, map: &mut MapGrantRef) -> Result<()> {
    device.control(IOCTL_GNTDEV_MAP_GRANT_REF, map)?;
    let at = device.map(u64::from(map.count), map.index, true)?;
    linux::unmap(at, u64::from(map.count))?;
    let mut unmap = UnmapGrantRef { index: map.index, count: map.count, _pad: 0 };
    device.control(IOCTL_GNTDEV_UNMAP_GRANT_REF, &mut unmap).map(drop)
}

fn copy(report: Report, privcmd: Privcmd, grefs: [u32; SEVERAL]) -> Result<()> {
    let [source, dest, ..] =
        grefs.map(|gref| GnttabCopyPtr { u: u64::from(gref), domid: DOM0, offset: 0, _gap0: 0 });
    let mut copy = Buffer(GnttabCopy {
        source,
        dest,
        len: PAGE as u16,
        flags: GNTCOPY_source_gref | GNTCOPY_dest_gref,
        status: 0,
        _gap0: 0,
    });
    let at = (&raw mut copy.0).expose_provenance();
    rows::hypercall("copy").measure::<10>(report, || {
        // Command, array and its length: the one hypercall here with three arguments.
        privcmd.call3(__HYPERVISOR_grant_table_op, u64::from(GNTTABOP_copy), at as u64, 1)?;
        // SAFETY: `copy` lives on, and the hypervisor has written its answer.
        let status = unsafe { (&raw const copy.0.status).read_volatile() };
        if status == GNTST_okay { Ok(()) } else { Err(REFUSED) }
    });
    Ok(())
}

/// Reads of GICD_TYPER, which is emulated, through `/dev/mem`.
pub fn trap(report: Report) -> Result<()> {
    const DISTRIBUTOR: u64 = 0x800_0000;
    const TYPER: usize = 4;
    let at = File::open(c"/dev/mem")?.map(1, DISTRIBUTOR, false)? as usize;
    let register = core::ptr::with_exposed_provenance::<u32>(at + TYPER);
    Row { name: "trap", calls: 64, parts: 1, baselines: 0 }.measure::<14>(report, || {
        // SAFETY: the page was just mapped, and the register can be read at any time.
        unsafe { register.read_volatile() };
        Ok(())
    });
    Ok(())
}

/// Spins through several ticks of the kernel's.
pub fn tick(report: Report) {
    const TICKS: u32 = 16;
    const TICKS_PER_SECOND: u64 = 250;
    let ticks = u64::from(TICKS);
    Row { name: "tick", calls: 1, parts: TICKS, baselines: 0 }.measure::<15>(report, || {
        let frequency: u64;
        // SAFETY: reads a register that Linux lets programs read.
        unsafe { asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(nomem, nostack)) };
        let start = counter();
        while counter() - start < frequency * ticks / TICKS_PER_SECOND {}
        Ok(())
    });
}

fn counter() -> u64 {
    let value: u64;
    // SAFETY: reads a register that Linux lets programs read.
    unsafe { asm!("mrs {}, cntvct_el0", out(reg) value, options(nomem, nostack)) };
    value
}
