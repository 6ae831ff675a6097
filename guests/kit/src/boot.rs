//! The entry from `boot.S`, of the first vCPU and of those that are brought up later.

use core::arch::global_asm;
use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::device_tree::Tree;
use crate::gic::Gic;
use crate::{console, cpu, memory, psci, trap};

/// Most vCPUs that have a stack.
pub const MAX_VCPUS: usize = 4;
const STACK_SIZE: usize = 64 << 10;

#[repr(C, align(4096))]
struct Stacks(UnsafeCell<[[u8; STACK_SIZE]; MAX_VCPUS]>);

// SAFETY: only the stack pointers, set in `boot.S`, lead here, each vCPU's to its own part.
unsafe impl Sync for Stacks {}

static STACKS: Stacks = Stacks(UnsafeCell::new([[0; STACK_SIZE]; MAX_VCPUS]));
/// The function that a vCPU brought up by [`start_vcpu`] runs.
static SECONDARY: AtomicUsize = AtomicUsize::new(0);

global_asm!(
    include_str!("boot.S"),
    stacks = sym STACKS,
    stack_size = const STACK_SIZE,
    main = sym first_vcpu,
    secondary = sym later_vcpu,
    trap = sym trap::entered,
);

unsafe extern "C" {
    /// Where a vCPU starts that PSCI brings up.
    safe static secondary_start: u8;
}

unsafe extern "Rust" {
    /// The program, defined by [`crate::entry!`].
    safe fn guest_main(boot: Boot);
}

/// What the loader said.
#[derive(Clone, Copy)]
pub struct Boot {
    /// The command line.
    pub arguments: &'static str,
    /// The interrupt controller.
    pub gic: Gic,
}

impl Boot {
    /// The value of `NAME=VALUE` on the command line.
    pub fn argument(&self, name: &str) -> Option<&'static str> {
        self.arguments
            .split_whitespace()
            .filter_map(|word| word.split_once('='))
            .find_map(|(key, value)| (key == name).then_some(value))
    }
}

extern "C" fn first_vcpu(tree: u64, image: u64) -> ! {
    memory::set_image(image);
    console::open();
    let tree = Tree::at(tree);
    let boot = Boot { arguments: tree.arguments().unwrap_or(""), gic: Gic::find(&tree) };
    guest_main(boot);
    console::flush();
    psci::system_off()
}

extern "C" fn later_vcpu(_number: u64) -> ! {
    let at = SECONDARY.load(Ordering::Acquire);
    // SAFETY: `start_vcpu` stored a function of this type before it asked for this vCPU.
    let run = unsafe { core::mem::transmute::<usize, fn()>(at) };
    run();
    psci::cpu_off();
    loop {
        cpu::wait();
    }
}

/// Brings a vCPU up that runs `run` and then goes off; PSCI's answer.
pub fn start_vcpu(number: usize, run: fn()) -> i64 {
    start_by_affinity(number as u64, number, run)
}

/// The same, by an affinity that may not be that of the vCPU.
pub fn start_by_affinity(affinity: u64, number: usize, run: fn()) -> i64 {
    assert!(number < MAX_VCPUS, "no stack for vCPU {number}");
    SECONDARY.store(run as usize, Ordering::Release);
    let entry = memory::physical((&raw const secondary_start).addr());
    psci::cpu_on(affinity, entry, number as u64)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    console::after_failure();
    crate::println!("guest: PANIC {info}");
    console::flush();
    loop {
        // Something must end the guest even if its program broke that.
        psci::system_off_try();
    }
}
