//! The grant table of version 1, and operations on others' grants.

use core::sync::atomic::{AtomicU32, Ordering};
use xen_abi::grant_table::{
    GNTMAP_host_map, GNTMAP_readonly, GNTTABOP_map_grant_ref, GNTTABOP_unmap_grant_ref, GTF_permit_access,
    GTF_readonly, GnttabMapGrantRef, GnttabUnmapGrantRef,
};
use xen_abi::memory::{AddToPhysmap, XENMAPSPACE_grant_table, XENMEM_add_to_physmap};
use xen_abi::xen::{__HYPERVISOR_grant_table_op, __HYPERVISOR_memory_op, DOMID_SELF};

use crate::hypercall;
use crate::memory::Page;

/// Where the toolstack leaves room for the table.
pub const FRAME: u64 = 0x3800_0000 >> 12;
/// Entries of a frame.
pub const ENTRIES: u32 = 512;

/// Maps the table's frames, from `first`, where there is room for them; the hypervisor's answer to the last.
pub fn map_table(first: u64, count: u64) -> i64 {
    let mut result = 0;
    for index in first..first + count {
        let mut add = AddToPhysmap {
            domid: DOMID_SELF,
            size: 0,
            space: XENMAPSPACE_grant_table,
            idx: index,
            gpfn: FRAME + index,
        };
        result = hypercall::with(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &mut add);
    }
    result
}

/// Both words of an entry: flags and domain, and frame.
pub fn entry(reference: u32) -> (&'static AtomicU32, &'static AtomicU32) {
    let page = Page::at(FRAME + u64::from(reference / ENTRIES));
    let index = (reference % ENTRIES) as usize * 2;
    (page.half(index), page.half(index + 1))
}

/// Lets a domain have a frame of this one's.
pub fn give(reference: u32, domain: u16, frame: u64, read_only: bool) {
    let (head, place) = entry(reference);
    place.store(frame as u32, Ordering::Relaxed);
    let flags = GTF_permit_access | if read_only { GTF_readonly } else { 0 };
    head.store(u32::from(domain) << 16 | u32::from(flags), Ordering::Release);
}

/// Takes a grant back whoever uses it; the flags that it had.
pub fn revoke(reference: u32) -> u16 {
    entry(reference).0.swap(0, Ordering::AcqRel) as u16
}

/// Makes operations on grants.
pub fn operate<T>(command: u32, operations: &mut [T]) -> i64 {
    let at = hypercall::address(operations);
    hypercall::call(__HYPERVISOR_grant_table_op, [u64::from(command), at, operations.len() as u64, 0, 0])
}

/// Maps a grant of a domain at an address; the operation with its answer.
pub fn map(dom: u16, reference: u32, host_addr: u64, read_only: bool) -> GnttabMapGrantRef {
    let flags = GNTMAP_host_map | if read_only { GNTMAP_readonly } else { 0 };
    let mut map =
        [GnttabMapGrantRef { host_addr, flags, ref_: reference, dom, status: 0, handle: 0, dev_bus_addr: 0 }];
    operate(GNTTABOP_map_grant_ref, &mut map);
    map[0]
}

/// Ends a mapping; the status.
pub fn unmap(handle: u32, host_addr: u64) -> i16 {
    let mut unmap = [GnttabUnmapGrantRef { host_addr, dev_bus_addr: 0, handle, status: 0, _gap0: 0 }];
    operate(GNTTABOP_unmap_grant_ref, &mut unmap);
    unmap[0].status
}
