//! The part of QEMU's plugin interface that is used (QEMU 7.2, `qemu/qemu-plugin.h`).

use core::ffi::{c_char, c_int, c_uint, c_void};

/// A plugin's number.
pub type PluginId = u64;
/// Called when code has been translated.
pub type TranslationCallback = extern "C" fn(PluginId, *mut TranslatedBlock);
/// Called when an instruction is executed, with the CPU's number.
pub type ExecutionCallback = extern "C" fn(c_uint, *mut c_void);

/// `QEMU_PLUGIN_CB_NO_REGS`: the callback leaves the CPU's registers alone.
pub const NO_REGISTERS: c_int = 0;
/// `QEMU_PLUGIN_INLINE_ADD_U64`.
pub const ADD_U64: c_int = 0;

/// Code that QEMU translated together; opaque.
#[repr(C)]
pub struct TranslatedBlock {
    _opaque: [u8; 0],
}

/// One instruction of it; opaque.
#[repr(C)]
pub struct Instruction {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    /// Asks for a call at each translation.
    pub fn qemu_plugin_register_vcpu_tb_trans_cb(id: PluginId, callback: TranslationCallback);
    /// How many instructions a block has.
    pub fn qemu_plugin_tb_n_insns(block: *const TranslatedBlock) -> usize;
    /// One of them; valid during the translation callback only.
    pub fn qemu_plugin_tb_get_insn(block: *const TranslatedBlock, index: usize) -> *mut Instruction;
    /// Its bytes.
    pub fn qemu_plugin_insn_data(instruction: *const Instruction) -> *const c_void;
    /// How many they are.
    pub fn qemu_plugin_insn_size(instruction: *const Instruction) -> usize;
    /// Its virtual address.
    pub fn qemu_plugin_insn_vaddr(instruction: *const Instruction) -> u64;
    /// Asks for a call whenever it is executed.
    pub fn qemu_plugin_register_vcpu_insn_exec_cb(
        instruction: *mut Instruction,
        callback: ExecutionCallback,
        flags: c_int,
        data: *mut c_void,
    );
    /// Asks for an addition to `*counter` whenever it is executed.
    pub fn qemu_plugin_register_vcpu_insn_exec_inline(
        instruction: *mut Instruction,
        operation: c_int,
        counter: *mut c_void,
        amount: u64,
    );
}

/// The interface version this plugin is made for; QEMU reads it.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = 1;

/// The entry that QEMU calls; other than 0 ends QEMU.
///
/// # Safety
/// `arguments` holds `count` C strings, as QEMU hands them over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: PluginId,
    _info: *const c_void,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    let mut given = Vec::new();
    for index in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: by this function's contract there are `count` strings.
        let argument = unsafe { core::ffi::CStr::from_ptr(*arguments.add(index)) };
        given.push(argument.to_string_lossy().into_owned());
    }
    match crate::plugin::install(id, &given) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("insn_count: {error}");
            1
        }
    }
}
