//! Puts counters into translated code and writes them out.

use core::cell::UnsafeCell;
use core::ffi::{c_uint, c_void};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::api::{self, ADD_U64, ExecutionCallback, Instruction, NO_REGISTERS, PluginId, TranslatedBlock};
use crate::classify::{COUNTERS, Counter, kind, marker, owner};

/// The counters, in [`Counter`]'s order. Translated code adds to them.
struct Counters(UnsafeCell<[u64; COUNTERS]>);

// SAFETY: with one CPU, one thread executes translated code, and reads happen in callbacks on that thread.
unsafe impl Sync for Counters {}

static COUNTS: Counters = Counters(UnsafeCell::new([0; COUNTERS]));
static OUTPUT: OnceLock<Mutex<Output>> = OnceLock::new();

struct Output {
    file: File,
    kernel_seen: bool,
    user_seen: bool,
    /// The marker after which instructions are profiled, until that is done.
    profiled: Option<u16>,
    profile: Profile,
}

/// Executions of each hypervisor instruction, by address.
#[derive(Default)]
struct Profile {
    counts: BTreeMap<u64, &'static UnsafeCell<u64>>,
    /// Counts at the start of the profiled span, while it lasts.
    before: Option<BTreeMap<u64, u64>>,
}

// SAFETY: as for `Counters`: one thread executes translated code and calls back.
unsafe impl Send for Profile {}

/// Reads the plugin's arguments and starts counting.
///
/// # Errors
/// When an argument is unknown or missing, or the output file cannot be created.
pub fn install(id: PluginId, arguments: &[String]) -> Result<(), String> {
    let mut path = None;
    let mut profiled = None;
    for argument in arguments {
        match argument.split_once('=') {
            Some(("out", value)) => path = Some(value),
            Some(("profile", value)) => {
                profiled = Some(value.parse().map_err(|_| format!("bad marker number {value}"))?);
            }
            _ => return Err(format!("unknown argument {argument}")),
        }
    }
    let path = path.ok_or("no out=PATH given")?;
    let file = File::create(path).map_err(|error| format!("cannot create {path}: {error}"))?;
    let output = Output { file, kernel_seen: false, user_seen: false, profiled, profile: Profile::default() };
    if OUTPUT.set(Mutex::new(output)).is_err() {
        return Err("loaded twice".to_owned());
    }
    // SAFETY: `id` is the number QEMU gave to this plugin.
    unsafe { api::qemu_plugin_register_vcpu_tb_trans_cb(id, translated) };
    Ok(())
}

/// Runs `work` on the output; QEMU calls back only after [`install`].
fn with_output(work: impl FnOnce(&mut Output)) {
    if let Some(output) = OUTPUT.get() {
        work(&mut output.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

extern "C" fn translated(_id: PluginId, block: *mut TranslatedBlock) {
    // SAFETY: QEMU's own block, valid during this call.
    let count = unsafe { api::qemu_plugin_tb_n_insns(block) };
    for index in 0..count {
        // SAFETY: as above, and `index` is below the number of instructions.
        let instruction = unsafe { api::qemu_plugin_tb_get_insn(block, index) };
        with_output(|output| output.instrument(instruction));
    }
}

impl Output {
    fn instrument(&mut self, instruction: *mut Instruction) {
        // SAFETY: QEMU's own instruction, valid during the translation callback.
        let address = unsafe { api::qemu_plugin_insn_vaddr(instruction) };
        let bits = bits_of(instruction);
        let owner = owner(address);
        count(instruction, owner);
        // A program that is loaded at a fixed low address, as static ones are, cannot be told from a hypervisor.
        if owner != Counter::Kernel
            && let Some(number) = marker(bits)
        {
            call(instruction, marker_runs, number);
        }
        match owner {
            Counter::Kernel if !self.kernel_seen => call(instruction, kernel_runs, 0),
            Counter::User => {
                if !self.user_seen {
                    call(instruction, user_runs, 0);
                }
            }
            Counter::Hypervisor => {
                if let Some(kind) = kind(bits) {
                    count(instruction, kind);
                }
                if self.profiled.is_some() {
                    let counter = self
                        .profile
                        .counts
                        .entry(address)
                        .or_insert_with(|| Box::leak(Box::new(UnsafeCell::new(0))));
                    add_to(instruction, counter.get());
                }
            }
            _ => {}
        }
    }

    fn write(&mut self, what: &str, number: u16) {
        // SAFETY: this runs on the one thread that executes translated code.
        let counts = unsafe { *COUNTS.0.get() };
        let mut line = format!("{what} {number}");
        for count in counts {
            line.push_str(&format!(" {count}"));
        }
        line.push('\n');
        self.put(&line);
    }

    /// Writes at once, so that nothing is lost when QEMU is killed.
    fn put(&mut self, text: &str) {
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            eprintln!("insn_count: cannot write: {error}");
            std::process::exit(1);
        }
    }

    fn advance_profile(&mut self, number: u16) {
        if let Some(before) = self.profile.before.take() {
            self.profiled = None;
            let mut text = String::new();
            for (address, after) in self.profile.now() {
                let executed = after - before.get(&address).copied().unwrap_or(0);
                if executed > 0 {
                    text.push_str(&format!("at {address:#x} {executed}\n"));
                }
            }
            self.put(&text);
        } else if self.profiled == Some(number) {
            self.profile.before = Some(self.profile.now());
        }
    }
}

impl Profile {
    fn now(&self) -> BTreeMap<u64, u64> {
        self.counts
            .iter()
            .map(|(address, count)| {
                // SAFETY: this runs on the one thread that executes translated code.
                (*address, unsafe { *count.get() })
            })
            .collect()
    }
}

extern "C" fn kernel_runs(_cpu: c_uint, _data: *mut c_void) {
    with_output(|output| {
        if !output.kernel_seen {
            output.kernel_seen = true;
            output.write("kernel", 0);
        }
    });
}

extern "C" fn user_runs(_cpu: c_uint, _data: *mut c_void) {
    with_output(|output| {
        if !output.user_seen {
            output.user_seen = true;
            output.write("user", 0);
        }
    });
}

extern "C" fn marker_runs(_cpu: c_uint, data: *mut c_void) {
    // The number was put into the pointer's place by `call`.
    let number = data.addr() as u16;
    with_output(|output| {
        output.write("marker", number);
        output.advance_profile(number);
    });
}

fn bits_of(instruction: *mut Instruction) -> u32 {
    let mut bytes = [0; 4];
    // SAFETY: QEMU's own instruction with its bytes, valid during the translation callback.
    unsafe {
        if api::qemu_plugin_insn_size(instruction) == bytes.len() {
            let data = api::qemu_plugin_insn_data(instruction).cast::<u8>();
            core::ptr::copy_nonoverlapping(data, bytes.as_mut_ptr(), bytes.len());
        }
    }
    u32::from_le_bytes(bytes)
}

fn count(instruction: *mut Instruction, counter: Counter) {
    add_to(instruction, COUNTS.0.get().cast::<u64>().wrapping_add(counter as usize));
}

fn add_to(instruction: *mut Instruction, counter: *mut u64) {
    // SAFETY: the counter lives as long as the process, and translated code is all that writes it.
    unsafe { api::qemu_plugin_register_vcpu_insn_exec_inline(instruction, ADD_U64, counter.cast(), 1) };
}

fn call(instruction: *mut Instruction, callback: ExecutionCallback, number: u16) {
    let data = core::ptr::without_provenance_mut(usize::from(number));
    // SAFETY: QEMU's own instruction; the callback takes the number and touches no guest register.
    unsafe { api::qemu_plugin_register_vcpu_insn_exec_cb(instruction, callback, NO_REGISTERS, data) };
}
