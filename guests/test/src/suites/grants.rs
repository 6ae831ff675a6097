//! Grants of the peer's, mapped and copied, and what is refused.

use core::sync::atomic::Ordering;
use guest_kit::gic::mmio;
use guest_kit::grant::{self, map, operate, unmap};
use guest_kit::memory::{self, Page};
use guest_kit::{Boot, event, hypercall, time, trap};
use xen_abi::GuestHandle;
use xen_abi::grant_table::*;
use xen_abi::xen::{__HYPERVISOR_grant_table_op, DOMID_INVALID, DOMID_SELF};

use super::SURELY;
use super::peer::{PATTERN, command, own_number, reference, word};
use crate::report::Report;
use crate::show;

/// Frames without RAM, for mappings.
const AT: u64 = 0x38a0_0000 >> 12;

pub fn run(report: Report, _boot: &Boot) {
    let peer = own_number() - 1;
    commands(report);
    table(report);
    let commands = AT;
    let mapped = map(peer, reference::COMMANDS, commands << 12, false);
    show!(report, "map", "{}", mapped.status);
    if mapped.status != 0 {
        return;
    }
    let page = Page::at(commands);
    mapping(report, peer, page);
    bad_maps(report, peer);
    copies(report, peer, page);
    revocation(report, peer, page);
    events(report, peer, page);
    show!(report, "unmap", "{}", unmap(mapped.handle, commands << 12));
    let gone = trap::attempt(|| {
        mmio::read64(commands << 12);
    });
    show!(report, "unmapped-read", "{}", gone.is_some());
    show!(report, "unmap-again", "{}", unmap(mapped.handle, commands << 12));
}

/// Asks the peer for something.
fn ask(page: &Page, command: u64, argument: u64) -> Option<u64> {
    page.word(word::ANSWER).store(argument, Ordering::SeqCst);
    page.word(word::COMMAND).store(command, Ordering::SeqCst);
    let done = time::spin_until(SURELY, || {
        hypercall::yield_now();
        page.word(word::COMMAND).load(Ordering::SeqCst) == 0
    });
    done.then(|| page.word(word::ANSWER).load(Ordering::SeqCst))
}

fn commands(report: Report) {
    for command in 0..16 {
        let nothing = hypercall::call(__HYPERVISOR_grant_table_op, [command, 0xbad_0000_0000, 0, 0, 0]);
        let nowhere = hypercall::call(__HYPERVISOR_grant_table_op, [command, 0xbad_0000_0000, 1, 0, 0]);
        let many = hypercall::call(__HYPERVISOR_grant_table_op, [command, 0xbad_0000_0000, u64::MAX, 0, 0]);
        show!(report, format_args!("command-{command}"), "{nothing} {nowhere} {many}");
    }
}

fn table(report: Report) {
    for dom in [DOMID_SELF, 0, 500, DOMID_INVALID] {
        let mut size =
            [GnttabQuerySize { dom, _gap0: 0, nr_frames: 77, max_nr_frames: 77, status: 77, _gap1: 0 }];
        let result = operate(GNTTABOP_query_size, &mut size);
        show!(
            report,
            format_args!("query-size-{dom}"),
            "{result} {} {} {}",
            size[0].status,
            size[0].nr_frames,
            size[0].max_nr_frames
        );
        let mut version = [GnttabGetVersion { dom, pad: 0, version: 77 }];
        let result = operate(GNTTABOP_get_version, &mut version);
        show!(report, format_args!("get-version-{dom}"), "{result} {}", version[0].version);
    }
    for version in [1, 3, 0] {
        let mut set = [GnttabSetVersion { version }];
        let result = operate(GNTTABOP_set_version, &mut set);
        show!(report, format_args!("set-version-{version}"), "{result} {}", set[0].version);
    }
    let mut set = [GnttabSetVersion { version: 2 }];
    let result = operate(GNTTABOP_set_version, &mut set);
    show!(report, "set-version-2", "{} {}", result, set[0].version);
    let mut back = [GnttabSetVersion { version: 1 }];
    operate(GNTTABOP_set_version, &mut back);
    for nr_frames in [0, 1, 2, 64, 65, u32::MAX] {
        let mut frames = [0u64; 64];
        let mut setup = [GnttabSetupTable {
            dom: DOMID_SELF,
            _gap0: 0,
            nr_frames,
            status: 77,
            _gap1: [0; 3],
            frame_list: GuestHandle(hypercall::address(&mut frames)),
        }];
        let result = operate(GNTTABOP_setup_table, &mut setup);
        let known = frames.iter().filter(|frame| **frame != 0).count();
        show!(report, format_args!("setup-table-{nr_frames}"), "{result} {} {}", setup[0].status, known > 0);
    }
    show!(report, "map-table", "{}", grant::map_table(0, 1));
    for (ref_a, ref_b) in [(8, 9), (8, 8), (8, 1 << 20), (u32::MAX, 8)] {
        let mut swap = [GnttabSwapGrantRef { ref_a, ref_b, status: 77, _gap0: 0 }];
        let result = operate(GNTTABOP_swap_grant_ref, &mut swap);
        show!(report, format_args!("swap-{ref_a}-{ref_b}"), "{result} {}", swap[0].status);
    }
}

fn mapping(report: Report, peer: u16, page: &Page) {
    page.word(word::TEXT).store(7, Ordering::SeqCst);
    let flags = |reference: u32| ask(page, command::FLAGS, u64::from(reference)).map(|flags| flags & 0xff);
    show!(report, "mapped-flags", "{:?}", flags(reference::COMMANDS));
    let at = (AT + 1) << 12;
    let read_only = map(peer, reference::READ_ONLY, at, true);
    show!(report, "map-read-only", "{} {:#x}", read_only.status, mmio::read64(at));
    // No write to it here: Xen 4.17 lets the guest repeat that for ever instead of an abort.
    show!(report, "peer-looks", "{:?}", ask(page, command::LOOK, 0) == Some(PATTERN));
    show!(report, "read-only-flags", "{:?}", flags(reference::READ_ONLY));
    let again = map(peer, reference::READ_ONLY, (AT + 2) << 12, true);
    show!(report, "map-twice", "{} {}", again.status, again.handle != read_only.handle);
    show!(report, "unmap-one", "{} {:?}", unmap(again.handle, (AT + 2) << 12), flags(reference::READ_ONLY));
    show!(report, "unmap-last", "{} {:?}", unmap(read_only.handle, at), flags(reference::READ_ONLY));
    let elsewhere = map(peer, reference::READ_ONLY, at, true);
    show!(report, "unmap-other-address", "{}", unmap(elsewhere.handle, (AT + 7) << 12));
    unmap(elsewhere.handle, at);
    for handle in [read_only.handle, 5000, u32::MAX] {
        let known = if handle == read_only.handle { "old" } else { "unknown" };
        show!(report, format_args!("unmap-{known}-{}", handle == u32::MAX), "{}", unmap(handle, at));
    }
    // Over a mapping.
    let first = map(peer, reference::READ_ONLY, at, true);
    let over = map(peer, reference::REVOKED, at, true);
    show!(report, "map-over-a-mapping", "{} {} {:#x}", first.status, over.status, mmio::read64(at));
    show!(report, "unmap-over-a-mapping", "{} {}", unmap(over.handle, at), unmap(first.handle, at));
    show!(report, "flags-after-both", "{:?} {:?}", flags(reference::READ_ONLY), flags(reference::REVOKED));
}

fn bad_maps(report: Report, peer: u16) {
    let at = (AT + 3) << 12;
    for (name, dom, reference, host_addr, read_only) in [
        ("read-only-writable", peer, reference::READ_ONLY, at, false),
        ("for-others", peer, reference::OTHERS, at, true),
        ("invalid", peer, reference::INVALID, at, true),
        ("no-frame", peer, reference::NO_FRAME, at, false),
        ("table-frame", peer, reference::TABLE, at, false),
        ("hole", peer, reference::HOLE, at, false),
        ("reserved", peer, 7, at, false),
        ("beyond-the-table", peer, 512 * 64, at, false),
        ("far-beyond", peer, u32::MAX, at, false),
        ("unaligned", peer, reference::COMMANDS, at + 8, false),
        ("far-address", peer, reference::COMMANDS, 1 << 45, false),
        ("farthest-address", peer, reference::COMMANDS, !0xfff, false),
        ("no-domain", 500, reference::COMMANDS, at, false),
        ("dom0", 0, reference::COMMANDS, at, false),
        ("invalid-domain", DOMID_INVALID, reference::COMMANDS, at, false),
    ] {
        let mapped = map(dom, reference, host_addr, read_only);
        show!(report, format_args!("map-{name}"), "{}", mapped.status);
        if mapped.status == 0 {
            show!(report, format_args!("unmap-{name}"), "{}", unmap(mapped.handle, host_addr));
        }
    }
    for (name, flags) in [
        ("none", 0),
        ("device", GNTMAP_device_map),
        ("device-and-host", GNTMAP_device_map | GNTMAP_host_map),
        ("application", GNTMAP_host_map | GNTMAP_application_map),
        ("entry", GNTMAP_host_map | GNTMAP_contains_pte),
        ("unknown", GNTMAP_host_map | 1 << 10),
    ] {
        let mut map = [GnttabMapGrantRef {
            host_addr: at,
            flags,
            ref_: reference::COMMANDS,
            dom: peer,
            status: 77,
            handle: 0,
            dev_bus_addr: 0,
        }];
        let result = operate(GNTTABOP_map_grant_ref, &mut map);
        show!(report, format_args!("map-flags-{name}"), "{result} {}", map[0].status);
        if map[0].status == 0 {
            unmap(map[0].handle, at);
        }
    }
    // To itself.
    let own = memory::take_one();
    let number = own_number();
    grant::give(20, number, own.frame(), false);
    grant::give(21, DOMID_SELF, own.frame(), false);
    for (name, dom, reference) in
        [("self", DOMID_SELF, 20), ("own-number", number, 20), ("self-to-self", DOMID_SELF, 21)]
    {
        let mapped = map(dom, reference, at, false);
        show!(report, format_args!("map-{name}"), "{}", mapped.status);
        if mapped.status == 0 {
            unmap(mapped.handle, at);
        }
    }
    let mut replace =
        [GnttabUnmapAndReplace { host_addr: at, new_addr: at, handle: 0, status: 77, _gap0: 0 }];
    let result = operate(GNTTABOP_unmap_and_replace, &mut replace);
    show!(report, "unmap-and-replace", "{result} {}", replace[0].status);
    let mut transfer =
        [GnttabTransfer { mfn: own.frame(), domid: peer, _gap0: 0, ref_: 8, status: 77, _gap1: [0; 3] }];
    let result = operate(GNTTABOP_transfer, &mut transfer);
    show!(report, "transfer", "{result} {}", transfer[0].status);
    for (name, offset, length, op) in [
        ("none", 0, 64, 0),
        ("clean", 0, 64, GNTTAB_CACHE_CLEAN),
        ("too-long", 8, 4096, GNTTAB_CACHE_CLEAN),
        ("bad-operation", 0, 64, 1 << 5),
    ] {
        let mut flush = [GnttabCacheFlush { a: own.frame() << 12, offset, length, op }];
        let result = operate(GNTTABOP_cache_flush, &mut flush);
        show!(report, format_args!("cache-flush-{name}"), "{result}");
    }
}

fn copy(source: GnttabCopyPtr, dest: GnttabCopyPtr, len: u16, flags: u16) -> i16 {
    let mut copy = [GnttabCopy { source, dest, len, flags, status: 77, _gap0: 0 }];
    let result = operate(GNTTABOP_copy, &mut copy);
    if result == 0 { copy[0].status } else { result as i16 * 100 }
}

fn copies(report: Report, peer: u16, commands: &Page) {
    let own = memory::take_one();
    own.fill(0);
    let here = |offset| GnttabCopyPtr { u: own.frame(), domid: DOMID_SELF, offset, _gap0: 0 };
    let there =
        |reference: u32, offset| GnttabCopyPtr { u: u64::from(reference), domid: peer, offset, _gap0: 0 };
    let from = GNTCOPY_source_gref;
    let to = GNTCOPY_dest_gref;
    show!(
        report,
        "copy-from",
        "{} {:#x}",
        copy(there(reference::READ_ONLY, 0), here(0), 4096, from),
        own.word(511).load(Ordering::SeqCst)
    );
    own.word(0).store(0x99, Ordering::SeqCst);
    show!(
        report,
        "copy-to",
        "{} {:#x}",
        copy(here(0), there(reference::COMMANDS, 1024), 8, to),
        commands.word(128).load(Ordering::SeqCst)
    );
    show!(report, "copy-to-read-only", "{}", copy(here(0), there(reference::READ_ONLY, 0), 8, to));
    for (name, source_offset, dest_offset, len) in [
        ("zero", 0, 0, 0),
        ("over-source", 4090, 0, 8),
        ("over-dest", 0, 4090, 8),
        ("edge", 4088, 4088, 8),
        ("far-offset", 0xffff, 0, 1),
        ("long", 0, 0, 4097),
        ("longest", 0, 0, 0xffff),
        ("odd", 3, 5, 7),
    ] {
        let status = copy(there(reference::READ_ONLY, source_offset), here(dest_offset), len, from);
        show!(report, format_args!("copy-{name}"), "{status}");
    }
    for (name, reference) in [
        ("for-others", reference::OTHERS),
        ("invalid", reference::INVALID),
        ("no-frame", reference::NO_FRAME),
        ("table-frame", reference::TABLE),
        ("hole", reference::HOLE),
        ("beyond-the-table", 512 * 64),
        ("far-beyond", u32::MAX),
    ] {
        show!(report, format_args!("copy-{name}"), "{}", copy(there(reference, 0), here(0), 8, from));
    }
    let foreign = GnttabCopyPtr { u: own.frame(), domid: peer, offset: 0, _gap0: 0 };
    show!(report, "copy-frame-of-peer", "{}", copy(foreign, here(0), 8, 0));
    show!(report, "copy-own-to-own", "{}", copy(here(0), here(2048), 64, 0));
    show!(report, "copy-overlapping", "{}", copy(here(0), here(8), 64, 0));
    let hole = GnttabCopyPtr { u: AT + 0x100, domid: DOMID_SELF, offset: 0, _gap0: 0 };
    let far = GnttabCopyPtr { u: 1 << 45, domid: DOMID_SELF, offset: 0, _gap0: 0 };
    let mapped = GnttabCopyPtr { u: AT, domid: DOMID_SELF, offset: 0, _gap0: 0 };
    show!(report, "copy-own-hole", "{} {}", copy(hole, here(0), 8, 0), copy(here(0), hole, 8, 0));
    show!(report, "copy-own-far", "{} {}", copy(far, here(0), 8, 0), copy(here(0), far, 8, 0));
    show!(report, "copy-mapped-grant", "{} {}", copy(mapped, here(0), 8, 0), copy(here(8), mapped, 8, 0));
    show!(report, "copy-flags", "{}", copy(here(0), here(64), 8, 1 << 7));
    for dom in [500, DOMID_INVALID] {
        let pointer = GnttabCopyPtr { u: 8, domid: dom, offset: 0, _gap0: 0 };
        show!(report, format_args!("copy-domain-{dom}"), "{}", copy(pointer, here(0), 8, from));
    }
    // The second fails, the third is done all the same.
    let one = |reference, at| GnttabCopy {
        source: there(reference, 0),
        dest: here(at),
        len: 8,
        flags: from,
        status: 77,
        _gap0: 0,
    };
    let mut several =
        [one(reference::READ_ONLY, 0), one(reference::INVALID, 8), one(reference::READ_ONLY, 16)];
    let result = operate(GNTTABOP_copy, &mut several);
    show!(report, "copy-several", "{result} {:?}", several.map(|copy| copy.status));
}

/// The peer takes a grant back that is mapped: the mapping stays until it is unmapped.
fn revocation(report: Report, peer: u16, page: &Page) {
    let at = (AT + 4) << 12;
    let mapped = map(peer, reference::REVOKED, at, false);
    let flags = ask(page, command::REVOKE, 0);
    show!(report, "revoke-mapped", "{} {flags:?} {:#x}", mapped.status, mmio::read64(at));
    show!(report, "map-revoked", "{}", map(peer, reference::REVOKED, (AT + 5) << 12, false).status);
    show!(report, "unmap-revoked", "{}", unmap(mapped.handle, at));
    let after = ask(page, command::FLAGS, u64::from(reference::REVOKED));
    show!(report, "revoked-flags", "{after:?}");
}

fn events(report: Report, peer: u16, page: &Page) {
    let Some(port) = ask(page, command::PORT, 0) else { return };
    let port = port as u32;
    let bound = event::bind_interdomain(peer, port);
    show!(report, "bind-to-peer", "{}", bound.map_or_else(|error| error, |_| 0));
    let Ok(own) = bound else { return };
    show!(report, "bind-to-peer-again", "{:?}", event::bind_interdomain(peer, port));
    event::clear(own);
    show!(report, "peer-sends", "{:?} {}", ask(page, command::SEND, 0), event::clear(own));
    show!(report, "send-to-peer", "{}", event::send(own));
    let status = event::status(DOMID_SELF, own)
        .map(|status| (status.status, status.u[0] as u16 == peer, status.u[1] == port));
    show!(report, "status", "{status:?}");
    show!(report, "peer-closes", "{:?}", ask(page, command::CLOSE, 0));
    let status = event::status(DOMID_SELF, own).map(|status| (status.status, status.u[0] as u16 == peer));
    show!(report, "status-after", "{status:?} {}", event::send(own));
    event::close(own);
}
