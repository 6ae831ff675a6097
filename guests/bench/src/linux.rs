//! The few Linux system calls that the program makes (arm64 numbers, `asm-generic/unistd.h`).

use core::arch::{asm, global_asm};
use core::ffi::CStr;

// The kernel enters with the stack pointer set and aligned; the frame pointer ends back-traces.
global_asm!(
    ".section .text.start, \"ax\"",
    ".globl _start",
    "_start:",
    "mov x29, #0",
    "mov x30, #0",
    "bl {main}",
    "brk #1",
    main = sym crate::main_program,
);

const IOCTL: u64 = 29;
const MOUNT: u64 = 40;
const OPEN: u64 = 56;
const READ: u64 = 63;
const WRITE: u64 = 64;
const READ_AT: u64 = 67;
const REBOOT: u64 = 142;
const UNMAP: u64 = 215;
const MAP: u64 = 222;
const LOAD_MODULE: u64 = 273;

const AT_FDCWD: i64 = -100;
const O_RDWR: u64 = 2;
const O_RDONLY: u64 = 0;
const MAP_SHARED: u64 = 1;
const MAP_PRIVATE_ANONYMOUS: u64 = 0x22;
const PROT_READ: u64 = 1;
const PROT_READ_WRITE: u64 = 3;

/// Bytes of a page.
pub const PAGE: u64 = 4096;

/// A Linux error number, positive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub u64);

/// What a system call gives.
pub type Result<T> = core::result::Result<T, Errno>;

/// An open file.
#[derive(Clone, Copy)]
pub struct File(u64);

fn call(number: u64, arguments: [u64; 6]) -> Result<u64> {
    let [a, b, c, d, e, f] = arguments;
    let result: i64;
    // SAFETY: the kernel keeps all registers but x0. The memory that a call writes is named by its caller, and
    // without `nomem` the compiler takes all memory as changed.
    unsafe {
        asm!(
            "svc #0",
            in("x8") number,
            inlateout("x0") a => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack),
        );
    }
    if result < 0 { Err(Errno(result.unsigned_abs())) } else { Ok(result as u64) }
}

/// Mounts a file system of the kernel's.
pub fn mount(kind: &CStr, path: &CStr) -> Result<u64> {
    call(MOUNT, [address(kind), address(path), address(kind), 0, 0, 0])
}

/// Loads a kernel module from a file.
pub fn load_module(path: &CStr) -> Result<u64> {
    let file = call(OPEN, [AT_FDCWD as u64, address(path), O_RDONLY, 0, 0, 0])?;
    call(LOAD_MODULE, [file, address(c""), 0, 0, 0, 0])
}

/// Switches the machine off.
pub fn power_off() -> Result<u64> {
    const MAGIC: u64 = 0xfee1_dead;
    const MAGIC2: u64 = 672_274_793;
    const POWER_OFF: u64 = 0x4321_fedc;
    call(REBOOT, [MAGIC, MAGIC2, POWER_OFF, 0, 0, 0])
}

/// A page of memory of this program's own, touched.
pub fn new_page() -> Result<*mut u8> {
    let at = call(MAP, [0, PAGE, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, u64::MAX, 0])?;
    let page = core::ptr::with_exposed_provenance_mut::<u8>(at as usize);
    // SAFETY: the kernel just mapped this page for writing.
    unsafe { page.write_volatile(1) };
    Ok(page)
}

/// The guest frame number behind a page of this program (Linux's Documentation/admin-guide/mm/pagemap.rst).
pub fn frame_of(page: *mut u8) -> Result<u64> {
    const FRAME_BITS: u64 = (1 << 55) - 1;
    let map = File::open(c"/proc/self/pagemap")?;
    let mut entry = 0u64;
    let at = page.expose_provenance() as u64 / PAGE * 8;
    call(READ_AT, [map.0, (&raw mut entry).expose_provenance() as u64, 8, at, 0, 0])?;
    Ok(entry & FRAME_BITS)
}

impl File {
    /// Opens a file for reading and writing, or for reading when it cannot be written.
    pub fn open(path: &CStr) -> Result<Self> {
        let open = |flags| call(OPEN, [AT_FDCWD as u64, address(path), flags, 0, 0, 0]);
        open(O_RDWR).or_else(|_| open(O_RDONLY)).map(Self)
    }

    /// A device's own operation on `argument`.
    #[inline]
    pub fn control<T>(self, request: u64, argument: &mut T) -> Result<u64> {
        call(IOCTL, [self.0, request, (&raw mut *argument).expose_provenance() as u64, 0, 0, 0])
    }

    /// Writes a text.
    pub fn write(self, bytes: &[u8]) -> Result<u64> {
        call(WRITE, [self.0, bytes.as_ptr().expose_provenance() as u64, bytes.len() as u64, 0, 0, 0])
    }

    /// Reads a 32-bit number.
    pub fn read_u32(self) -> Result<u32> {
        let mut value = 0u32;
        call(READ, [self.0, (&raw mut value).expose_provenance() as u64, 4, 0, 0, 0])?;
        Ok(value)
    }

    /// Maps `pages` pages of the file, shared, from `offset` (bytes); for reading only unless `writable`.
    pub fn map(self, pages: u64, offset: u64, writable: bool) -> Result<u64> {
        let rights = if writable { PROT_READ_WRITE } else { PROT_READ };
        call(MAP, [0, pages * PAGE, rights, MAP_SHARED, self.0, offset])
    }
}

/// Ends a mapping made with [`File::map`].
pub fn unmap(at: u64, pages: u64) -> Result<u64> {
    call(UNMAP, [at, pages * PAGE, 0, 0, 0, 0])
}

fn address(text: &CStr) -> u64 {
    text.as_ptr().expose_provenance() as u64
}
