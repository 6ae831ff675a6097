//! Hypercalls: some of random words, most by a grammar that knows which structures the operations take.

#![allow(non_upper_case_globals, reason = "constants keep their header spelling, in patterns too")]

use guest_kit::{console, hypercall};
use xen_abi::xen::*;

use super::arena::Arena;
use super::random::Random;

/// Operations that cannot end the guest or stop its vCPU.
const NUMBERS: [u32; 16] = [
    __HYPERVISOR_memory_op,
    __HYPERVISOR_memory_op,
    __HYPERVISOR_memory_op,
    __HYPERVISOR_event_channel_op,
    __HYPERVISOR_event_channel_op,
    __HYPERVISOR_event_channel_op,
    __HYPERVISOR_grant_table_op,
    __HYPERVISOR_grant_table_op,
    __HYPERVISOR_grant_table_op,
    __HYPERVISOR_hvm_op,
    __HYPERVISOR_xen_version,
    __HYPERVISOR_multicall,
    __HYPERVISOR_physdev_op,
    __HYPERVISOR_domctl,
    __HYPERVISOR_sysctl,
    __HYPERVISOR_dm_op,
];

/// Makes one.
pub fn make(random: &mut Random, arena: Arena) {
    match random.below(10) {
        0 => wild(random, arena),
        1 => sched(random, arena),
        2 => vcpu(random, arena),
        _ => formed(random, arena),
    }
}

/// Whether a call may end the guest, stop its vCPU, or silence its console.
fn harmful(number: u64, first: u64) -> bool {
    match number as u32 {
        // Block, shutdown and polls without an end; the rest of these is in `sched`.
        __HYPERVISOR_sched_op | __HYPERVISOR_sched_op_compat => true,
        // VCPUOP_down, and VCPUOP_up for a vCPU that runs anew from nowhere.
        __HYPERVISOR_vcpu_op => true,
        // EVTCHNOP_close and EVTCHNOP_reset may close the console's port.
        __HYPERVISOR_event_channel_op => matches!(first as u32, 3 | 10 | 14),
        __HYPERVISOR_multicall => true,
        _ => false,
    }
}

/// Words of any kind.
fn wild(random: &mut Random, arena: Arena) {
    let number = if random.below(4) == 0 { random.odd() } else { random.below(64) };
    let mut arguments =
        [(); 5].map(|()| if random.below(2) == 0 { random.odd() } else { arena.pointer(random) });
    if number == u64::from(__HYPERVISOR_grant_table_op) {
        arguments[2] = elements(random);
    }
    if !harmful(number, arguments[0]) {
        hypercall::call(number as u32, arguments);
    }
}

/// How many elements a list has. One that goes on through all memory takes the guest seconds, so that is rare.
fn elements(random: &mut Random) -> u64 {
    match random.below(4096) {
        0 => random.odd(),
        1..512 => random.odd() & 0x3ff,
        _ => 1 + random.below(4),
    }
}

/// A command with a structure of fields that could be right.
fn formed(random: &mut Random, arena: Arena) {
    let number = random.one_of(&NUMBERS);
    let at = arena.pointer(random);
    let command = match number {
        __HYPERVISOR_multicall => return multicall(random, arena),
        __HYPERVISOR_memory_op => {
            random.one_of(&[0u64, 1, 1, 3, 4, 6, 6, 6, 7, 7, 7, 9, 11, 14, 15, 15, 16, 23, 24, 28])
        }
        __HYPERVISOR_event_channel_op => {
            random.one_of(&[0u64, 0, 1, 2, 3, 4, 4, 4, 5, 6, 6, 6, 7, 8, 9, 11, 12, 13])
        }
        __HYPERVISOR_grant_table_op => {
            random.one_of(&[0u64, 0, 0, 1, 1, 2, 4, 5, 5, 5, 6, 7, 8, 9, 10, 11, 12])
        }
        __HYPERVISOR_hvm_op => random.one_of(&[0u64, 1, 1, 5, 9, 10, 15, 24]),
        _ => random.below(40),
    };
    if (number, command) == (__HYPERVISOR_event_channel_op, 3) {
        return close(port(random));
    }
    fill(random, arena, number, command, at);
    let count = elements(random);
    match number {
        __HYPERVISOR_domctl | __HYPERVISOR_sysctl => hypercall::call(number, [at, 0, 0, 0, 0]),
        // A call that goes on where it stopped has its place in the command.
        __HYPERVISOR_memory_op if random.below(16) == 0 => {
            hypercall::call(number, [command | random.below(1 << 12) << 6, at, 0, 0, 0])
        }
        _ => hypercall::call(number, [command, at, count, random.odd(), 0]),
    };
}

/// Closes a port, but the console's: out of the other vCPU's reach, which could make it that one.
fn close(port: u64) {
    if port as u32 != console::ring().1 {
        hypercall::with(__HYPERVISOR_event_channel_op, 3, &mut [port as u32]);
    }
}

/// A port that may be there, or not.
fn port(random: &mut Random) -> u64 {
    if random.below(4) == 0 { random.odd() } else { 3 + random.below(61) }
}

/// Writes the fields of an operation's structure: domains, frames, references, ports and pointers where those belong.
fn fill(random: &mut Random, arena: Arena, number: u32, command: u64, at: u64) {
    let domain = random.one_of(&[
        DOMID_SELF,
        DOMID_SELF,
        DOMID_SELF,
        0,
        1,
        2,
        3,
        500,
        DOMID_IO,
        DOMID_XEN,
        DOMID_INVALID,
    ]);
    let domain = u64::from(domain);
    let port = port(random);
    let reference = if random.below(4) == 0 { random.odd() } else { 8 + random.below(64) };
    match (number, command) {
        (__HYPERVISOR_memory_op, 0 | 1 | 6) => {
            let list = arena.pointer(random);
            for index in 0..8 {
                let frame = arena.frame(random);
                arena.write(list + 8 * index, 8, frame);
            }
            arena.write(at, 8, list);
            let count = if random.below(4) == 0 { random.odd() } else { random.below(9) };
            arena.write(at + 8, 8, count);
            let order = random.one_of(&[0, 0, 0, 0, 1, 3, 9, 18, 63, 64]);
            arena.write(at + 16, 4, order);
            arena.write(at + 20, 4, 0);
            arena.write(at + 24, 2, domain);
        }
        (__HYPERVISOR_memory_op, 7) => {
            arena.write(at, 2, domain);
            arena.write(at + 2, 2, random.below(9));
            arena.write(at + 4, 4, random.below(7));
            let index = if random.below(2) == 0 { random.below(70) } else { arena.frame(random) };
            arena.write(at + 8, 8, index);
            let frame = arena.frame(random);
            arena.write(at + 16, 8, frame);
        }
        (__HYPERVISOR_memory_op, 15) => {
            arena.write(at, 8, domain);
            let frame = arena.frame(random);
            arena.write(at + 8, 8, frame);
        }
        (__HYPERVISOR_memory_op, 23) => {
            arena.write(at, 2, domain);
            arena.write(at + 2, 2, random.below(6));
            arena.write(at + 4, 2, random.below(64));
            for field in 1..4 {
                let pointer = arena.pointer(random);
                arena.write(at + 8 * field, 8, pointer);
            }
        }
        (__HYPERVISOR_event_channel_op, 0) => {
            arena.write(at, 4, domain);
            arena.write(at + 4, 4, port);
        }
        (__HYPERVISOR_event_channel_op, 6) => arena.write(at, 4, domain | u64::from(DOMID_SELF) << 16),
        (__HYPERVISOR_event_channel_op, 11 | 12) => {
            let frame = arena.frame(random);
            arena.write(at, 8, frame);
            arena.write(at + 8, 8, (random.below(8) * 64) | (random.below(3) << 32));
        }
        (__HYPERVISOR_event_channel_op, _) => {
            arena.write(at, 4, port);
            arena.write(at + 4, 4, random.below(20));
        }
        (__HYPERVISOR_grant_table_op, 0) => {
            let frame = arena.frame(random);
            arena.write(at, 8, frame << 12);
            arena.write(at + 8, 8, random.below(8) | reference << 32);
            arena.write(at + 16, 2, domain);
        }
        (__HYPERVISOR_grant_table_op, 1) => {
            let frame = arena.frame(random);
            arena.write(at, 8, frame << 12);
            arena.write(at + 8, 8, 0);
            arena.write(at + 16, 4, random.below(32));
        }
        (__HYPERVISOR_grant_table_op, 5) => {
            for side in [at, at + 16] {
                let place = if random.below(2) == 0 { reference } else { arena.frame(random) };
                arena.write(side, 8, place);
                arena.write(side + 8, 2, domain);
                arena.write(side + 10, 2, random.below(4096));
            }
            arena.write(at + 32, 2, random.below(4200));
            arena.write(at + 34, 2, random.below(4));
        }
        (__HYPERVISOR_hvm_op, 0 | 1) => {
            arena.write(at, 4, domain);
            // Not the console's and xenstore's own places.
            arena.write(at + 4, 4, if command == 0 { 20 + random.below(24) } else { random.below(44) });
            let value = random.odd();
            arena.write(at + 8, 8, value);
        }
        (__HYPERVISOR_domctl | __HYPERVISOR_sysctl, _) => {
            arena.write(at, 4, command);
            arena.write(at + 4, 4, 0x15);
            arena.write(at + 8, 2, domain);
        }
        _ => {
            for index in 0..6 {
                let value = random.odd();
                arena.write(at + 8 * index, 8, value);
            }
        }
    }
}

/// A list of calls, mostly of those that are short.
fn multicall(random: &mut Random, arena: Arena) {
    let at = arena.pointer(random);
    let count = random.below(12);
    for index in 0..count {
        let entry = at + 64 * index;
        let number = random.one_of(&[
            __HYPERVISOR_memory_op,
            __HYPERVISOR_xen_version,
            __HYPERVISOR_grant_table_op,
            63,
        ]);
        arena.write(entry, 8, u64::from(number));
        arena.write(entry + 16, 8, random.below(16));
        let pointer = arena.pointer(random);
        arena.write(entry + 24, 8, pointer);
        arena.write(entry + 32, 8, random.below(5));
    }
    let count = if random.below(16) == 0 { random.odd() } else { count };
    // The other vCPU may make an entry one that stops this one; that is the end of its calls, not of the test.
    if count < 64 {
        hypercall::call(__HYPERVISOR_multicall, [at, count, 0, 0, 0]);
    }
}

/// Operations of the scheduler that come back: yield, a poll with an end, watchdogs that are far away, and what is
/// refused.
fn sched(random: &mut Random, arena: Arena) {
    let at = arena.pointer(random);
    match random.below(5) {
        0 => hypercall::yield_now(),
        1 => {
            let ports = arena.pointer(random);
            arena.write(at, 8, ports);
            arena.write(at + 8, 8, random.below(140));
            arena.write(at + 16, 8, 1);
            // A time-out that the other vCPU overwrites may be far, so nothing that it can reach.
            let mut poll = [ports, random.below(140), 1];
            hypercall::with(__HYPERVISOR_sched_op, 3, &mut poll)
        }
        2 => {
            let mut watchdog = [random.below(4) | 100_000 << 32];
            hypercall::with(__HYPERVISOR_sched_op, 6, &mut watchdog)
        }
        3 => hypercall::call(__HYPERVISOR_sched_op, [4, at, 0, 0, 0]),
        _ => hypercall::call(__HYPERVISOR_sched_op, [7 + random.below(100), at, 0, 0, 0]),
    };
}

/// Operations on vCPUs, but those that take one down or up.
fn vcpu(random: &mut Random, arena: Arena) {
    let command = random.one_of(&[0u64, 3, 4, 5, 5, 6, 7, 8, 8, 9, 10, 11, 12, 13, 14, 99]);
    let vcpu = if random.below(4) == 0 { random.odd() } else { random.below(3) };
    let at = arena.pointer(random);
    let value = if random.below(2) == 0 { arena.pointer(random) } else { random.odd() };
    arena.write(at, 8, value);
    hypercall::call(__HYPERVISOR_vcpu_op, [command, vcpu, at, 0, 0]);
}
