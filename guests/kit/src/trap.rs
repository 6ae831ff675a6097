//! Exceptions: those that a test expects, and interrupts, which are recorded.

use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::boot::MAX_VCPUS;
use crate::gic::Gic;
use crate::lock::Lock;
use crate::{cpu, event, read_register, time, write_register};

/// Vector numbers of exceptions from EL1 with its own stack pointer.
const SYNCHRONOUS: u64 = 4;
const INTERRUPT: u64 = 5;
/// Interrupts whose order is kept.
const LOG: usize = 64;
const INTIDS: usize = 1024;

const NOT_EXPECTED: u64 = 0;
const EXPECTED: u64 = 1;
/// Bit of a fault that was taken, above all bits of a syndrome that are used.
const TAKEN: u64 = 1 << 63;

/// Per vCPU: whether a fault is expected, and the syndrome once one was taken.
static FAULT: [AtomicU64; MAX_VCPUS] = [const { AtomicU64::new(NOT_EXPECTED) }; MAX_VCPUS];
static FAULT_ADDRESS: [AtomicU64; MAX_VCPUS] = [const { AtomicU64::new(0) }; MAX_VCPUS];
static COUNTS: [AtomicU32; INTIDS] = [const { AtomicU32::new(0) }; INTIDS];
static ORDER: [AtomicU32; LOG] = [const { AtomicU32::new(0) }; LOG];
static LOGGED: AtomicUsize = AtomicUsize::new(0);
static CONTROLLER: Lock<Option<Gic>> = Lock::new(None);

/// The registers of what was interrupted, as `boot.S` stores them.
#[repr(C)]
pub(crate) struct Frame {
    x: [u64; 31],
    pc: u64,
    state: u64,
    _room: u64,
}

/// A fault that was expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// `ESR_EL1`.
    pub syndrome: u64,
    /// `FAR_EL1`.
    pub address: u64,
}

impl Fault {
    /// The exception's class.
    pub fn class(&self) -> u64 {
        self.syndrome >> 26 & 0x3f
    }

    /// A data abort's status code.
    pub fn status(&self) -> u64 {
        self.syndrome & 0x3f
    }
}

/// Runs `work`, in which faulting instructions are skipped; the last fault, if there was one.
pub fn attempt(work: impl FnOnce()) -> Option<Fault> {
    let vcpu = cpu::number();
    FAULT[vcpu].store(EXPECTED, Ordering::SeqCst);
    work();
    let fault = FAULT[vcpu].swap(NOT_EXPECTED, Ordering::SeqCst);
    (fault & TAKEN != 0)
        .then(|| Fault { syndrome: fault & !TAKEN, address: FAULT_ADDRESS[vcpu].load(Ordering::SeqCst) })
}

/// Serves interrupts of this controller from now on.
pub fn serve(gic: Gic) {
    CONTROLLER.with(|controller| *controller = Some(gic));
}

/// The controller whose interrupts are served.
pub fn served() -> Option<Gic> {
    CONTROLLER.with(|controller| *controller)
}

/// How often an interrupt was taken, on any vCPU.
pub fn taken(intid: u32) -> u32 {
    COUNTS[intid as usize].load(Ordering::SeqCst)
}

/// Forgets all interrupts.
pub fn forget() {
    for count in &COUNTS {
        count.store(0, Ordering::SeqCst);
    }
    LOGGED.store(0, Ordering::SeqCst);
}

/// The first interrupts since [`forget`], in their order; the rest is 0.
pub fn order<const N: usize>() -> [u32; N] {
    let mut order = [0; N];
    let logged = LOGGED.load(Ordering::SeqCst);
    for (index, place) in order.iter_mut().enumerate().take(logged.min(LOG)) {
        *place = ORDER[index].load(Ordering::SeqCst);
    }
    order
}

pub(crate) extern "C" fn entered(vector: u64, frame: &mut Frame) {
    match vector {
        SYNCHRONOUS => faulted(frame),
        INTERRUPT => interrupted(),
        _ => panic!("exception {vector} at {:#x}, syndrome {:#x}", frame.pc, read_register!("esr_el1")),
    }
}

fn faulted(frame: &mut Frame) {
    let (syndrome, address) = (read_register!("esr_el1"), read_register!("far_el1"));
    let vcpu = cpu::number();
    if FAULT[vcpu].load(Ordering::SeqCst) == NOT_EXPECTED {
        panic!(
            "fault at {:#x} on vCPU {vcpu}, syndrome {syndrome:#x}, address {address:#x}, x30 {:#x}",
            frame.pc, frame.x[30]
        );
    }
    FAULT_ADDRESS[vcpu].store(address, Ordering::SeqCst);
    FAULT[vcpu].store(syndrome | TAKEN, Ordering::SeqCst);
    // A fetch that faults goes on where it was called from.
    const INSTRUCTION_ABORT: u64 = 0x21;
    frame.pc = if syndrome >> 26 & 0x3f == INSTRUCTION_ABORT { frame.x[30] } else { frame.pc + 4 };
}

fn interrupted() {
    const FIRST_SPECIAL: u32 = 1020;
    let Some(gic) = CONTROLLER.with(|controller| *controller) else {
        panic!("an interrupt that nobody serves");
    };
    let acknowledged = gic.acknowledge();
    let intid = acknowledged & 0x3ff;
    if intid >= FIRST_SPECIAL {
        return;
    }
    // A line that stays high would come again at once.
    match intid {
        time::VIRTUAL_PPI => write_register!("cntv_ctl_el0", time::ENABLE | time::MASK),
        time::PHYSICAL_PPI => write_register!("cntp_ctl_el0", time::ENABLE | time::MASK),
        event::PPI => event::lower(),
        _ => {}
    }
    COUNTS[intid as usize].fetch_add(1, Ordering::SeqCst);
    let at = LOGGED.fetch_add(1, Ordering::SeqCst);
    if let Some(place) = ORDER.get(at) {
        place.store(intid, Ordering::SeqCst);
    }
    gic.end(acknowledged);
}
