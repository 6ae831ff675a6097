//! Builds the control domain: memory with the frames of the same numbers, the kernel and RAM disk
//! that the boot loader left, a device tree made from the host's, and the host's devices.

use crate::guest::{ArmGuest, enter_at};
use crate::platform::{ArmPlatform, Dom0Gic, GuestGic};
use alloc::sync::Arc;
use alloc::vec::Vec;
use arm_fdt::cmdline::Options;
use arm_fdt::dom0_tree::{self, Dom0Desc, Dom0Devices, Dom0Tree, REDISTRIBUTOR_SIZE, RegionWish};
use arm_fdt::fdt::Tree;
use arm_fdt::host::uart::Uart;
use arm_fdt::host::{GicVersion, HostInfo, Module};
use arm_fdt::kernel::{self, Gunzip, Image, KernelError, Payload, Progress};
use arm_fdt::{Fault, Range};
use arm_vm::vgic::RedistRegion;
use core::fmt;
use hal::{Domid, FrameMem as _, Gaddr, MachineOps as _, Maddr, Mfn, PAGE_SIZE, Stage2Format as _};
use hv_core::domain::DomainConfig;
use hv_core::memory::{Kind, Use};
use hv_core::{Domain, Hypervisor, Vcpu};
use machine::Stage2;
use sched::{CpuId, CpuMask};
use xen_abi::Errno;

const MIB: u64 = 1 << 20;
/// Dom0's memory comes in multiples of this, and at multiples of it: a stage-2 block.
const GRANULE: u64 = 2 * MIB;
/// Where dom0's first bank would begin at best: at a multiple of this.
const BEST_ALIGN: u64 = 512 * MIB;
/// A kernel with its RAM disk does not do with less.
const MIN_MEMORY: u64 = 64 * MIB;
/// Banks of dom0's memory.
const MAX_BANKS: usize = 8;
/// Unused regions that dom0 is told of, for foreign mappings.
const MAX_EXTENDED: usize = 8;
/// The version in the /hypervisor node.
const VERSION: &str = "4.17";
/// An unpacked kernel is at most this large.
const MAX_KERNEL: u64 = 512 * MIB;

/// What dom0 is built from.
pub struct Dom0Input<'a> {
    /// The host's device tree.
    pub tree: &'a Tree<'a>,
    /// What it says.
    pub host: &'a HostInfo<'a>,
    /// The hypervisor's command line.
    pub options: &'a Options<'a>,
    /// The hypervisor's UART.
    pub uart: Option<&'a Uart<'a>>,
}

/// Why dom0 could not be built.
pub enum Dom0Error<'a> {
    /// Something about the boot data; the tree explains it.
    Boot(&'a Tree<'a>, Fault),
    /// Something about the kernel.
    Kernel(KernelError),
    /// Too little memory: asked for, and the most that could be had, in bytes.
    Memory {
        /// What `dom0_mem` asks for.
        wanted: u64,
        /// What is free.
        free: u64,
    },
    /// The core refused, while doing this.
    Core(&'static str, Errno),
}

impl fmt::Display for Dom0Error<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boot(tree, fault) => write!(f, "{}", tree.explain(fault)),
            Self::Kernel(e) => write!(f, "Dom0's kernel: {e}"),
            Self::Memory { wanted, .. } if *wanted < MIN_MEMORY => write!(
                f,
                "Dom0 cannot do with {} MiB of memory: give it {} MiB or more with dom0_mem=",
                wanted / MIB,
                MIN_MEMORY / MIB
            ),
            Self::Memory { wanted, free } => write!(
                f,
                "Dom0 wants {} MiB of memory, {} MiB are free: give the machine more, or ask for less with dom0_mem=",
                wanted / MIB,
                free / MIB
            ),
            Self::Core(what, e) => write!(f, "Dom0: cannot {what}: {}", e.name()),
        }
    }
}

/// What the kernel is, and how large it is when it is unpacked.
struct Kernel<'a> {
    module: &'a Module<'a>,
    payload: Payload,
    image: Image,
}

/// Builds dom0 and makes it ready to run; it is still paused.
pub fn build<'a>(hv: &Hypervisor, input: &Dom0Input<'a>) -> Result<Arc<Domain>, Dom0Error<'a>> {
    let boot = |fault| Dom0Error::Boot(input.tree, fault);
    let host = input.host;
    let kernel = inspect_kernel(hv, host)?;
    let initrd = host.ramdisk();
    let banks = choose_memory(hv, input.options)?;
    let first = *banks.first().ok_or(Dom0Error::Memory { wanted: MIN_MEMORY, free: 0 })?;
    let initrd_size = initrd.map_or(0, |m| m.range.size());
    let layout = kernel::place(first, &kernel.image, initrd_size).map_err(Dom0Error::Kernel)?;

    let vcpus = vcpu_count(hv, input);
    let grants = input.options.gnttab_max_frames;
    let wish = RegionWish {
        ipa_bits: Stage2::GUEST_ADDR_BITS,
        grant_bytes: u64::from(grants) * PAGE_SIZE as u64,
        max_extended: if input.options.ext_regions { MAX_EXTENDED } else { 0 },
    };
    let regions = dom0_tree::free_regions(input.tree, host, &wish).map_err(boot)?;
    let event_ppi = dom0_tree::free_ppi(input.tree, host)
        .ok_or_else(|| boot(Fault::general(arm_fdt::Problem::NoPpi("dom0's events"))))?;
    let dom0_tree = dom0_tree::build(
        input.tree,
        host,
        &Dom0Desc {
            memory: &banks,
            initrd: initrd.map(|_| layout.initrd),
            bootargs: host.command_lines.dom0,
            vcpus,
            event_ppi,
            grant_table: regions.grant_table,
            extended: &regions.extended,
            uart: input.uart.map(|u| (u.node, u.interrupt)),
            its: false,
            ipa_bits: Stage2::GUEST_ADDR_BITS,
            version: VERSION,
        },
        &mut |fault| hv_core::warning!(hv, "{}", input.tree.explain(fault)),
    )
    .map_err(boot)?;

    let platform = ArmPlatform::of(hv).ok_or(Dom0Error::Core("find the platform", Errno::ENODEV))?;
    platform.set_dom0(Dom0Gic {
        gic: guest_gic(host, &dom0_tree, vcpus),
        upcall_ppi: event_ppi,
        timers: (host.timer.virtual_.intid, host.timer.physical.intid),
    });
    let domain = create(hv, vcpus, input.options)?;
    map_memory(hv, &domain, &banks)?;
    give_devices(hv, &domain, platform, &dom0_tree)?;

    load_kernel(hv, &kernel, layout.kernel)?;
    write_bytes(hv, Maddr(layout.dtb.start()), &dom0_tree.dtb);
    if let Some(initrd) = initrd {
        copy_range(hv, Maddr(layout.initrd.start()), Maddr(initrd.range.start()), initrd.range.size());
        clean(hv, layout.initrd);
    }
    clean(hv, layout.dtb);
    hv_core::info!(
        hv,
        "Dom0: {} vCPUs, kernel at {:#x}, device tree at {:#x}, RAM disk at {:#x} ({} KiB)",
        vcpus,
        layout.kernel.start(),
        layout.dtb.start(),
        layout.initrd.start(),
        initrd_size >> 10
    );
    for id in 0..vcpus as usize {
        let vcpu = domain.add_vcpu(hv, id).map_err(|e| Dom0Error::Core("create a vCPU", e))?;
        if input.options.dom0_vcpus_pin {
            pin(hv, vcpu);
        }
    }
    start(hv, &domain, layout.kernel.start(), layout.dtb.start())?;
    Ok(domain)
}

/// How many vCPUs dom0 gets.
fn vcpu_count(hv: &Hypervisor, input: &Dom0Input<'_>) -> u32 {
    let wanted = input.options.dom0_max_vcpus.resolve(hv.machine.nr_cpus());
    match input.host.gic.version {
        GicVersion::V2 { .. } => wanted.min(arm_vm::vgic::MAX_VCPUS_V2 as u32),
        GicVersion::V3 { .. } => wanted.min(arm_vm::vcpu_set::MAX_VCPUS as u32),
    }
}

/// Finds out what the kernel module is.
fn inspect_kernel<'a>(hv: &Hypervisor, host: &'a HostInfo<'a>) -> Result<Kernel<'a>, Dom0Error<'a>> {
    let module = host.kernel().ok_or(Dom0Error::Kernel(KernelError::Unknown))?;
    let len = module.range.size();
    let mut head = [0; kernel::HEAD_BYTES];
    let head = head.get_mut(..(len as usize).min(kernel::HEAD_BYTES)).unwrap_or_default();
    read_bytes(hv, Maddr(module.range.start()), head);
    let payload = Payload::detect(head, len).map_err(Dom0Error::Kernel)?;
    let image = match payload {
        Payload::Image(image) => image,
        Payload::Gzip | Payload::Zboot(_) => peek_packed(hv, module, &payload)?,
    };
    Ok(Kernel { module, payload, image })
}

/// The bytes of the module that hold the packed kernel.
fn packed_range(module: &Module<'_>, payload: &Payload) -> Option<Range> {
    match payload {
        Payload::Zboot(zboot) => Range::new(module.range.start().checked_add(zboot.offset)?, zboot.len),
        _ => Some(module.range),
    }
}

/// Unpacks the first bytes of a packed kernel, for its header, and all of it, for its length.
fn peek_packed<'a>(hv: &Hypervisor, module: &Module<'_>, payload: &Payload) -> Result<Image, Dom0Error<'a>> {
    let mut head = Vec::new();
    head.try_reserve_exact(kernel::HEAD_BYTES).map_err(|_| Dom0Error::Kernel(KernelError::OutOfMemory))?;
    let mut enough = false;
    let range = packed_range(module, payload).ok_or(Dom0Error::Kernel(KernelError::BadData))?;
    let mut last = [0; 4];
    read_bytes(hv, Maddr(range.end().saturating_sub(4)), &mut last);
    let size = u64::from(kernel::unpacked_size(last));
    let unpacked = unpack(hv, range, &mut |piece| {
        let room = kernel::HEAD_BYTES - head.len();
        head.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
        enough = head.len() == kernel::HEAD_BYTES;
        !enough
    });
    match unpacked {
        Err(KernelError::Refused) if enough => {}
        Err(e) => return Err(Dom0Error::Kernel(e)),
        Ok(()) => {}
    }
    match Payload::detect(&head, size).map_err(Dom0Error::Kernel)? {
        Payload::Image(image) => Ok(image),
        _ => Err(Dom0Error::Kernel(KernelError::Unsupported("a packed kernel in a packed kernel"))),
    }
}

/// Unpacks a gzip stream in memory, a page of input at a time.
fn unpack(hv: &Hypervisor, range: Range, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), KernelError> {
    let mut gunzip = Gunzip::new(MAX_KERNEL)?;
    let mut at = range.start();
    let mut page = [0; 1024];
    while at < range.end() {
        let len = (range.end() - at).min(page.len() as u64) as usize;
        let piece = page.get_mut(..len).unwrap_or_default();
        read_bytes(hv, Maddr(at), piece);
        if gunzip.feed(piece, sink)? == Progress::Done {
            return Ok(());
        }
        at += len as u64;
    }
    Err(KernelError::BadData)
}

/// Takes memory for dom0: in one bank if possible, where the alignment is best.
fn choose_memory<'a>(hv: &Hypervisor, options: &Options<'_>) -> Result<Vec<Range>, Dom0Error<'a>> {
    let wanted = options.dom0_mem.resolve() / GRANULE * GRANULE;
    let free = hv.frames.free_frames() * PAGE_SIZE as u64;
    let short = || Dom0Error::Memory { wanted, free };
    if wanted < MIN_MEMORY || wanted > free {
        return Err(short());
    }
    let mut banks = Vec::new();
    banks.try_reserve_exact(MAX_BANKS).map_err(|_| Dom0Error::Core("list its memory", Errno::ENOMEM))?;
    let (mut left, mut size) = (wanted, wanted);
    while left > 0 && banks.len() < MAX_BANKS && size >= GRANULE {
        size = size.min(left);
        match take_bank(hv, size) {
            Some(bank) => {
                banks.push(bank);
                left -= size;
            }
            None => size = size / 2 / GRANULE * GRANULE,
        }
    }
    if left > 0 {
        return Err(short());
    }
    banks.sort_unstable_by_key(Range::start);
    Ok(banks)
}

/// Takes `size` bytes in one piece, at the largest alignment that there is.
fn take_bank(hv: &Hypervisor, size: u64) -> Option<Range> {
    let frames = size / PAGE_SIZE as u64;
    let end = hv.frames.end().addr().0;
    let mut align = BEST_ALIGN;
    while align >= GRANULE {
        let mut at = hv.frames.start().addr().0.next_multiple_of(align);
        while at.checked_add(size)? <= end {
            if hv.frames.alloc_range(Maddr(at).frame(), frames, Domid::DOM0, Use::Memory) {
                return Range::new(at, size);
            }
            at += align;
        }
        align /= 2;
    }
    None
}

fn guest_gic(host: &HostInfo<'_>, tree: &Dom0Tree, vcpus: u32) -> GuestGic {
    let mut redistributors = Vec::new();
    let mut cpu_interface = 0;
    match &host.gic.version {
        GicVersion::V2 { gicc, .. } => cpu_interface = gicc.start(),
        GicVersion::V3 { redistributors: regions, .. } => {
            let mut left = vcpus as usize;
            for region in regions.iter().take(tree.redistributor_regions) {
                let here = ((region.size() / REDISTRIBUTOR_SIZE) as usize).min(left);
                redistributors.push(RedistRegion { base: region.start(), nr_vcpus: here });
                left -= here;
            }
        }
    }
    GuestGic { distributor: host.gic.distributor.start(), redistributors, cpu_interface }
}

fn create<'a>(hv: &Hypervisor, vcpus: u32, options: &Options<'_>) -> Result<Arc<Domain>, Dom0Error<'a>> {
    let config = DomainConfig {
        id: Domid::DOM0,
        handle: [0; 16],
        privileged: true,
        max_vcpus: vcpus as usize,
        max_port: u32::MAX,
        max_grant_frames: options.gnttab_max_frames,
        max_maptrack_frames: options.gnttab_max_maptrack_frames,
        flags: 0,
        ssidref: 0,
        direct_mapped: true,
        cpupool: 0,
    };
    hv.create_domain(&config, &[]).map_err(|e| Dom0Error::Core("create the domain", e))
}

fn map_memory<'a>(hv: &Hypervisor, domain: &Domain, banks: &[Range]) -> Result<(), Dom0Error<'a>> {
    let mut pages = 0;
    for bank in banks {
        let frames = bank.size() / PAGE_SIZE as u64;
        map_range(hv, domain, *bank, Kind::Ram)?;
        pages += frames as u32;
        hv_core::info!(hv, "Dom0: memory {:#x}-{:#x} ({} MiB)", bank.start(), bank.end(), bank.size() / MIB);
    }
    if !domain.memory.lock().pool.fill(hv) {
        return Err(Dom0Error::Core("fill its table pool", Errno::ENOMEM));
    }
    domain.set_max_pages(pages);
    if domain.charge(pages) { Ok(()) } else { Err(Dom0Error::Core("count its memory", Errno::ENOMEM)) }
}

fn map_range<'a>(hv: &Hypervisor, domain: &Domain, range: Range, kind: Kind) -> Result<(), Dom0Error<'a>> {
    let mut memory = domain.memory.lock();
    let memory = &mut *memory;
    let (gfn, mfn) = (Gaddr(range.start()).frame(), Maddr(range.start()).frame());
    let frames = range.size() / PAGE_SIZE as u64;
    memory
        .p2m
        .insert_range(hv, &mut memory.pool, gfn, mfn, frames, kind)
        .map_err(|e| Dom0Error::Core("map memory or devices", e.into()))
}

/// Notes what dom0 may give to others: its own devices, and those that the tree sets apart for guests.
fn permit(domain: &Domain, devices: &Dom0Devices) -> Result<(), Errno> {
    let mut access = domain.access.lock();
    for range in devices.mmio.as_slice().iter().chain(devices.apart_mmio.as_slice()) {
        let Some(last) = range.end().checked_sub(1).filter(|_| !range.is_empty()) else { continue };
        access.iomem.insert(Maddr(range.start()).frame().0, Maddr(last).frame().0)?;
    }
    for spi in devices.spis.iter().chain(&devices.apart_spis) {
        access.irqs.insert(spi.intid.into(), spi.intid.into())?;
    }
    Ok(())
}

/// Maps the devices' registers and hands their interrupts over.
fn give_devices<'a>(
    hv: &Hypervisor,
    domain: &Domain,
    platform: &ArmPlatform,
    tree: &Dom0Tree,
) -> Result<(), Dom0Error<'a>> {
    for range in tree.devices.mmio.as_slice() {
        map_range(hv, domain, *range, Kind::Mmio)?;
    }
    for range in tree.devices.reserved.as_slice() {
        map_range(hv, domain, *range, Kind::Reserved)?;
    }
    permit(domain, &tree.devices).map_err(|e| Dom0Error::Core("note its rights", e))?;
    let guest = ArmGuest::of(domain).ok_or(Dom0Error::Core("find its interrupts", Errno::ENODEV))?;
    for spi in &tree.devices.spis {
        if platform.give(spi.intid, domain.id) {
            match guest.vgic.assign_hw(spi.intid, spi.intid as u16) {
                Ok(effects) => guest.apply(hv, domain, effects, None),
                Err(_) => hv_core::warning!(hv, "Dom0: interrupt {} is beyond its controller", spi.intid),
            }
        }
    }
    Ok(())
}

/// Puts the kernel where it belongs.
fn load_kernel<'a>(hv: &Hypervisor, kernel: &Kernel<'_>, to: Range) -> Result<(), Dom0Error<'a>> {
    match kernel.payload {
        Payload::Image(_) => {
            let from = kernel.module.range;
            copy_range(hv, Maddr(to.start()), Maddr(from.start()), from.size().min(to.size()));
        }
        Payload::Gzip | Payload::Zboot(_) => {
            let packed = packed_range(kernel.module, &kernel.payload)
                .ok_or(Dom0Error::Kernel(KernelError::BadData))?;
            let mut at = to.start();
            unpack(hv, packed, &mut |piece| {
                let fits = at + piece.len() as u64 <= to.end();
                if fits {
                    write_bytes(hv, Maddr(at), piece);
                    at += piece.len() as u64;
                }
                fits
            })
            .map_err(Dom0Error::Kernel)?;
        }
    }
    clean(hv, to);
    Ok(())
}

/// Keeps a vCPU on the pCPU of its own number, if there is one.
fn pin(hv: &Hypervisor, vcpu: &Vcpu) {
    let Some(cpu) = CpuId::new(vcpu.id) else { return };
    // Refused for a pCPU that does not exist: the vCPU may then run anywhere.
    let _ = hv.pools.with_vcpu(hv, vcpu, |pool, unit, now| {
        ((), pool.set_affinity(unit, cpu.into(), CpuMask::ALL, now).unwrap_or(CpuMask::EMPTY))
    });
}

/// Brings the first vCPU up.
fn start<'a>(hv: &Hypervisor, domain: &Arc<Domain>, entry: u64, dtb: u64) -> Result<(), Dom0Error<'a>> {
    let (Some(guest), Some(vcpu)) = (ArmGuest::of(domain), domain.vcpu(0)) else {
        return Err(Dom0Error::Core("find its first vCPU", Errno::ENODEV));
    };
    {
        let mut context = vcpu.context.lock();
        guest.start_vcpu(hv, domain, 0, |offset| enter_at(0, entry, dtb, offset, &mut context));
    }
    hv.bring_up(vcpu);
    Ok(())
}

/// Gives back the memory of the boot modules; what they held has been copied.
pub fn release_modules(hv: &Hypervisor, host: &HostInfo<'_>) {
    for module in &host.modules {
        if let Some(range) = module.range.align_in(PAGE_SIZE as u64) {
            hv.frames.release_range(Maddr(range.start()).frame(), range.size() / PAGE_SIZE as u64);
        }
    }
}

/// Runs `f` on the pieces of `len` bytes from `at` that lie in one frame: the frame, the offset in
/// it, and the piece's place among the bytes.
fn pieces(at: Maddr, len: u64, mut f: impl FnMut(Mfn, usize, u64, usize)) {
    let mut done = 0;
    while done < len {
        let here = at.plus(done);
        let offset = here.page_offset();
        let piece = (len - done).min((PAGE_SIZE - offset) as u64);
        f(here.frame(), offset, done, piece as usize);
        done += piece;
    }
}

fn read_bytes(hv: &Hypervisor, at: Maddr, buf: &mut [u8]) {
    pieces(at, buf.len() as u64, |mfn, offset, done, len| {
        let part = buf.get_mut(done as usize..done as usize + len);
        if let (Some(frame), Some(part)) = (hv.machine.frame(mfn), part) {
            frame.read(offset, part);
        }
    });
}

fn write_bytes(hv: &Hypervisor, at: Maddr, bytes: &[u8]) {
    pieces(at, bytes.len() as u64, |mfn, offset, done, len| {
        let part = bytes.get(done as usize..done as usize + len);
        if let (Some(frame), Some(part)) = (hv.machine.frame(mfn), part) {
            frame.write(offset, part);
        }
    });
}

fn copy_range(hv: &Hypervisor, to: Maddr, from: Maddr, len: u64) {
    pieces(to, len, |mfn, offset, done, len| {
        pieces(from.plus(done), len as u64, |source, source_offset, further, part| {
            if let (Some(frame), Some(source)) = (hv.machine.frame(mfn), hv.machine.frame(source)) {
                frame.copy_from(offset + further as usize, &source, source_offset, part);
            }
        });
    });
}

/// Makes a range visible to a guest whose caches are off.
fn clean(hv: &Hypervisor, range: Range) {
    if let Some(range) = range.align_out(PAGE_SIZE as u64) {
        hv.machine.clean_frames(Maddr(range.start()).frame(), range.size() / PAGE_SIZE as u64);
    }
}
