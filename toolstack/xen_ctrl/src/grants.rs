//! The grant table of a domain that has not run yet: its first entries, which the tools write for it, and those by which
//! they copy bytes into its memory.

use std::mem::offset_of;
use std::num::NonZeroUsize;
use std::ops::Range;

use xen_abi::arch_arm::GUEST_GNTTAB_BASE;
use xen_abi::grant_table::{GNTTAB_NR_RESERVED_ENTRIES, GTF_permit_access, GrantEntryV1};
use xen_abi::memory::{
    XENMAPSPACE_grant_table, XENMEM_resource_grant_table, XENMEM_resource_grant_table_id_shared,
};
use xen_abi::xen::PAGE_SIZE;
use xen_dev::{Access, AccessError, Domid, Errno, MapError, Resource, SharedMemory, Source};

use crate::{Cpu, CtrlError, XenCtrl};

const CALL: &str = "seeding the grant table";
/// Bytes of a page.
const PAGE: usize = PAGE_SIZE as usize;
/// Grants by which bytes are copied: those of the table's first frame that are not reserved.
const WINDOW: Range<u32> = GNTTAB_NR_RESERVED_ENTRIES..(PAGE / size_of::<GrantEntryV1>()) as u32;
/// Bytes that they cover.
const WINDOW_BYTES: NonZeroUsize = match NonZeroUsize::new((WINDOW.end - WINDOW.start) as usize * PAGE) {
    Some(bytes) => bytes,
    None => panic!("the window has pages"),
};

/// A grant that a domain has from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeededGrant {
    /// Its number: `GNTTAB_RESERVED_CONSOLE` or `GNTTAB_RESERVED_XENSTORE`.
    pub gref: u32,
    /// The domain that may map the frame.
    pub to: Domid,
    /// The guest frame.
    pub gfn: u64,
}

impl XenCtrl {
    /// Writes the first grants of a domain that has not run yet.
    pub fn seed_grants(&self, domid: Domid, grants: &[SeededGrant]) -> Result<(), CtrlError> {
        let entries = grants.iter().map(entry).collect::<Option<Vec<_>>>().ok_or(CtrlError::Argument {
            call: CALL,
            domid: Some(domid),
            what: "a grant is not one of the reserved ones, or its frame is too high",
        })?;
        self.with_table(domid, |table| write(table, &entries).map_err(|_| unwritten(domid)))
    }

    /// Copies bytes into the memory of a domain that has not run yet, from guest frame `gfn` on.
    ///
    /// The domain grants the frames for the time. That costs a third of mapping them as foreign: for each frame that is
    /// mapped, Linux gives up a page of its own, calls the hypervisor twice, and takes the page back.
    pub fn copy_in(&self, domid: Domid, gfn: u64, source: &Source<'_>) -> Result<(), CtrlError> {
        let frames = source.len().div_ceil(PAGE) as u64;
        if gfn.checked_add(frames).is_none_or(|end| end > u64::from(u32::MAX)) {
            let what = "a frame is too high to be granted";
            return Err(CtrlError::Argument { call: CALL, domid: Some(domid), what });
        }
        self.with_table(domid, |table| {
            let copied =
                (gfn..).step_by(WINDOW.len()).zip(source.parts(WINDOW_BYTES)).try_for_each(|(gfn, part)| {
                    let refs: Vec<u32> = WINDOW.take(part.len().div_ceil(PAGE)).collect();
                    let grants = refs.iter().zip(gfn..).map(|(&gref, gfn)| {
                        (
                            offset(gref),
                            GrantEntryV1 {
                                flags: GTF_permit_access,
                                domid: Domid::DOM0.get(),
                                frame: gfn as u32,
                            },
                        )
                    });
                    write(table, &grants.collect::<Vec<_>>()).map_err(|_| unwritten(domid))?;
                    let copied = self.privcmd.copy_to_granted(domid, &refs, &part);
                    copied.map_err(|cause| CtrlError::Copy { domid, cause })
                });
            let empty = GrantEntryV1 { flags: 0, domid: 0, frame: 0 };
            let cleared = write(table, &WINDOW.map(|gref| (offset(gref), empty)).collect::<Vec<_>>());
            copied.and(cleared.map_err(|_| unwritten(domid)))
        })
    }

    /// Works with the first frame of a domain's grant table: mapped as a resource, or, where hypervisor or kernel do not
    /// have that, put at an unused guest frame for a moment.
    fn with_table(
        &self,
        domid: Domid,
        work: impl FnOnce(&SharedMemory) -> Result<(), CtrlError>,
    ) -> Result<(), CtrlError> {
        let table = Resource {
            domid,
            kind: XENMEM_resource_grant_table,
            id: XENMEM_resource_grant_table_id_shared,
            frame: 0,
            count: 1,
        };
        match self.privcmd.map_resource(table) {
            Ok(table) => work(&table),
            Err(MapError::Kernel(Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOTTY)) => {
                let gfn = self.unused_gfn(domid)?;
                self.add_to_physmap(domid, XENMAPSPACE_grant_table, 0, gfn)?;
                let worked = self.map_foreign(domid, &[gfn], Access::Write).and_then(|table| work(&table));
                self.remove_from_physmap(domid, gfn)?;
                worked
            }
            Err(cause) => Err(CtrlError::Map { domid, cause }),
        }
    }

    /// A guest frame at which a new domain has nothing.
    fn unused_gfn(&self, domid: Domid) -> Result<u64, CtrlError> {
        match self.cpu {
            Cpu::Arm64 => Ok(GUEST_GNTTAB_BASE / PAGE_SIZE),
            Cpu::X86 => Ok(self.maximum_gfn(domid)? + 1),
        }
    }
}

/// Offset of a grant's entry in the table, and the entry.
fn entry(grant: &SeededGrant) -> Option<(usize, GrantEntryV1)> {
    let frame = u32::try_from(grant.gfn).ok()?;
    let entry = GrantEntryV1 { flags: GTF_permit_access, domid: grant.to.get(), frame };
    (grant.gref < GNTTAB_NR_RESERVED_ENTRIES).then_some((offset(grant.gref), entry))
}

/// Offset of an entry in the table.
fn offset(gref: u32) -> usize {
    gref as usize * size_of::<GrantEntryV1>()
}

/// A table that is mapped takes what is written to it.
fn unwritten(domid: Domid) -> CtrlError {
    CtrlError::Map { domid, cause: MapError::Kernel(Errno::FAULT) }
}

/// Writes entries, the flags of each last, since they make it valid.
fn write(table: &SharedMemory, entries: &[(usize, GrantEntryV1)]) -> Result<(), AccessError> {
    for (offset, entry) in entries {
        table.store_u32(offset + offset_of!(GrantEntryV1, frame), entry.frame)?;
        table.store_u16(offset + offset_of!(GrantEntryV1, domid), entry.domid)?;
        table.store_u16(offset + offset_of!(GrantEntryV1, flags), entry.flags)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use xen_abi::memory::{AddToPhysmap, RemoveFromPhysmap};
    use xen_dev::Privcmd;

    use super::*;
    use crate::testkit::{GUEST, ctrl};

    const GRANTS: [SeededGrant; 2] = [
        SeededGrant { gref: 0, to: Domid::DOM0, gfn: 0x39000 },
        SeededGrant { gref: 1, to: Domid::DOM0, gfn: 0x39001 },
    ];
    const WRITTEN: [u8; 24] = [1, 0, 0, 0, 0, 0x90, 3, 0, 1, 0, 0, 0, 1, 0x90, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn grants_are_written_to_the_table_as_a_resource() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        ctrl.seed_grants(GUEST, &GRANTS).unwrap();
        assert!(xen.take_calls().is_empty());
        let table = Resource { domid: GUEST, kind: 1, id: 0, frame: 0, count: 1 };
        let mut bytes = [0; 24];
        xen.map_resource(table).unwrap().read(0, &mut bytes).unwrap();
        assert_eq!(bytes, WRITTEN);
        assert_eq!(xen.live_mappings(), 0);
    }

    #[test]
    fn bytes_are_copied_window_by_window_and_no_grant_of_them_stays() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        let frames = WINDOW.len() as u64 + 3;
        xen.add_frames(GUEST, 0x40000, frames);
        ctrl.seed_grants(GUEST, &GRANTS).unwrap();
        let bytes: Vec<u8> = (0..frames as usize * PAGE - 5).map(|at| (at / 61) as u8).collect();
        ctrl.copy_in(GUEST, 0x40000, &Source::Bytes(&bytes)).unwrap();
        let mut copied = vec![1; frames as usize * PAGE];
        xen.guest_memory(GUEST, 0x40000, frames).unwrap().read(0, &mut copied).unwrap();
        assert!(copied[..bytes.len()] == bytes[..] && copied[bytes.len()..] == [0; 5]);
        let table = Resource { domid: GUEST, kind: 1, id: 0, frame: 0, count: 1 };
        let mut entries = [0; PAGE];
        xen.map_resource(table).unwrap().read(0, &mut entries).unwrap();
        assert_eq!(entries[..24], WRITTEN);
        assert!(entries[24..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn copy_to_a_frame_that_is_not_there_fails_and_leaves_no_grant() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        xen.add_frames(GUEST, 0x40000, 1);
        let error = ctrl.copy_in(GUEST, 0x40000, &Source::Bytes(&[1; 2 * PAGE])).unwrap_err();
        assert!(matches!(error, CtrlError::Copy { .. }), "{error}");
        let table = Resource { domid: GUEST, kind: 1, id: 0, frame: 0, count: 1 };
        let mut entries = [1; PAGE];
        xen.map_resource(table).unwrap().read(0, &mut entries).unwrap();
        assert_eq!(entries, [0; PAGE]);
        let error = ctrl.copy_in(GUEST, 1 << 32, &Source::Bytes(&[1])).unwrap_err();
        assert!(matches!(error, CtrlError::Argument { .. }), "{error}");
    }

    #[test]
    fn without_resources_the_table_is_put_at_an_unused_frame_and_taken_away() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        xen.refuse_resources();
        xen.add_frames(GUEST, 0x38000, 1);
        ctrl.seed_grants(GUEST, &GRANTS).unwrap();
        let mut bytes = [0; 24];
        xen.guest_memory(GUEST, 0x38000, 1).unwrap().read(0, &mut bytes).unwrap();
        assert_eq!(bytes, WRITTEN);
        let calls = xen.take_calls();
        let added: AddToPhysmap = calls[0].read(calls[0].args[1]).unwrap();
        let removed: RemoveFromPhysmap = calls[1].read(calls[1].args[1]).unwrap();
        assert_eq!((added.space, added.idx, added.gpfn), (1, 0, 0x38000));
        assert_eq!((calls.len(), calls[1].args[0], removed.gpfn), (2, 15, 0x38000));
    }

    #[test]
    fn unused_frame_is_emptied_when_the_mapping_fails() {
        let (ctrl, xen) = ctrl(Cpu::X86);
        xen.refuse_resources();
        xen.on_hypercall(|call| Ok(if call.args[0] == 14 { 0xfff } else { 0 }));
        let error = ctrl.seed_grants(GUEST, &GRANTS).unwrap_err().to_string();
        assert!(error.starts_with("domain 5: cannot map guest frame 0x1000"), "{error}");
        let cmds: Vec<u64> = xen.take_calls().iter().map(|call| call.args[0]).collect();
        assert_eq!(cmds, [14, 7, 15]);
    }

    #[test]
    fn grant_that_is_not_reserved_is_refused() {
        let (ctrl, _) = ctrl(Cpu::Arm64);
        for wrong in [SeededGrant { gref: 8, ..GRANTS[0] }, SeededGrant { gfn: 1 << 32, ..GRANTS[0] }] {
            assert!(matches!(ctrl.seed_grants(GUEST, &[wrong]), Err(CtrlError::Argument { .. })));
        }
    }
}
