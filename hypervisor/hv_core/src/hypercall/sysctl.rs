//! HYPERVISOR_sysctl (sysctl.h): what the control domain asks of the machine as a whole. Interfaces
//! 0x15 and 0x16, of Xen 4.17 to 4.22.

mod cpupool;

use super::{Call, DONE, Flow, Outcome, domctl};
use core::ops::RangeInclusive;
use hal::{MachineOps as _, Mfn, PAGE_SHIFT};
use xen_abi::sysctl::*;
use xen_abi::{Errno, GuestHandle};
use zerocopy::FromZeros as _;

/// Domains that one call lists before it lets interrupts in.
const LIST_BATCH: u32 = 16;
/// Frames that one call tells about before it lets interrupts in.
const FRAME_BATCH: u64 = 256;
/// The state of what is no frame.
const PG_OFFLINE_INVALID: u32 = 1;
/// Debug keys that one call takes.
const MAX_KEYS: u32 = 32;
/// The relative distance of a node to itself (ACPI SLIT).
const LOCAL_DISTANCE: u32 = 10;

/// The interfaces that are served: 4.17's to 4.20's, and 4.21's and 4.22's, in which nothing differs that
/// exists on arm64.
const VERSIONS: RangeInclusive<u32> = XEN_SYSCTL_INTERFACE_VERSION..=0x16;

/// sysctl(op).
pub fn sysctl(call: &Call<'_>) -> Outcome {
    let [at, progress, ..] = call.args;
    let mut op: Sysctl = call.guest().read(at)?;
    if !VERSIONS.contains(&op.interface_version) {
        return Err(Errno::EACCES);
    }
    if !call.domain.privileged {
        return Err(Errno::EPERM);
    }
    match op.cmd {
        XEN_SYSCTL_readconsole => read_console(call, &mut op)?,
        XEN_SYSCTL_tbuf_op => trace_buffers(&mut op)?,
        XEN_SYSCTL_page_offline_op => {
            // The states are the whole answer.
            return match page_offline(call, &op, progress)? {
                Some(next) => Ok(Flow::Again([at, next, 0, 0, 0])),
                None => DONE,
            };
        }
        XEN_SYSCTL_physinfo => physinfo(call, &mut op),
        XEN_SYSCTL_sched_id => {
            op.write_payload(&SchedId { sched_id: call.hv.options.scheduler.abi_id() });
        }
        XEN_SYSCTL_getdomaininfolist => {
            if let Some(next) = list_domains(call, &mut op, progress)? {
                return Ok(Flow::Again([at, next, 0, 0, 0]));
            }
        }
        XEN_SYSCTL_debug_keys => debug_keys(call, &op)?,
        XEN_SYSCTL_getcpuinfo => cpu_info(call, &mut op)?,
        XEN_SYSCTL_availheap => avail_heap(call, &mut op),
        XEN_SYSCTL_cputopoinfo => cpu_topology(call, &mut op)?,
        XEN_SYSCTL_numainfo => numa_info(call, &mut op)?,
        XEN_SYSCTL_cpupool_op => {
            if !cpupool::op(call, &mut op)? {
                return Ok(Flow::Again([at, progress, 0, 0, 0]));
            }
        }
        XEN_SYSCTL_scheduler_op => cpupool::scheduler_op(call, &mut op)?,
        _ => return Err(Errno::ENOSYS),
    }
    call.guest().write(at, &op)?;
    DONE
}

fn read_console(call: &Call<'_>, op: &mut Sysctl) -> Result<(), Errno> {
    let mut request: Readconsole = op.read_payload();
    let guest = call.guest();
    let buffer = request.buffer.0;
    let read = call.hv.console.read(request.incremental != 0, request.index, request.count, |at, piece| {
        buffer.checked_add(u64::from(at)).is_some_and(|va| guest.write_bytes(va, piece).is_ok())
    });
    let (count, index) = read.ok_or(Errno::EFAULT)?;
    if request.clear != 0 {
        call.hv.console.clear(index);
    }
    request.count = count;
    request.index = index;
    op.write_payload(&request);
    Ok(())
}

fn physinfo(call: &Call<'_>, op: &mut Sysctl) {
    let hv = call.hv;
    let cpus = hv.machine.nr_cpus();
    let mut info = Physinfo::new_zeroed();
    info.threads_per_core = 1;
    info.cores_per_socket = 1;
    info.nr_cpus = cpus;
    info.max_cpu_id = cpus.saturating_sub(1);
    info.nr_nodes = 1;
    info.cpu_khz = hv.platform.cpu_khz(hv);
    info.capabilities = hv.platform.capabilities() | XEN_SYSCTL_PHYSCAP_gnttab_v1;
    info.total_pages = hv.frames.total();
    info.free_pages = hv.frames.free_frames();
    info.outstanding_pages = hv.frames.claimed_frames();
    info.max_mfn = hv.frames.end().0.wrapping_sub(1);
    op.write_payload(&info);
}

/// Lists domains from `first_domain` on. The progress is the number listed so far in the low half,
/// and the next number to look at in the high half.
fn list_domains(call: &Call<'_>, op: &mut Sysctl, progress: u64) -> Result<Option<u64>, Errno> {
    let mut request: GetDomainInfoList = op.read_payload();
    let (mut listed, mut next) = (progress as u32, (progress >> 32) as u16);
    if progress == 0 {
        next = request.first_domain;
    }
    let guest = call.guest();
    let stop = listed.saturating_add(LIST_BATCH);
    while listed < request.max_domains {
        let Some(domain) = call.hv.domains.first_from(next) else { break };
        if listed == stop {
            return Ok(Some(u64::from(next) << 32 | u64::from(listed)));
        }
        let info = domctl::domain_info(call.hv, &domain);
        guest.write_element(request.buffer.0, u64::from(listed), &info)?;
        listed += 1;
        next = domain.id.raw() + 1;
    }
    request.num_domains = listed;
    op.write_payload(&request);
    Ok(None)
}

fn debug_keys(call: &Call<'_>, op: &Sysctl) -> Result<(), Errno> {
    let request: DebugKeys = op.read_payload();
    for i in 0..u64::from(request.nr_keys.min(MAX_KEYS)) {
        let key: u8 = call.guest().read_element(request.keys.0, i)?;
        call.hv.report_key(key);
    }
    Ok(())
}

/// There are no trace buffers: whoever asks is told of none, and what needs one is refused.
fn trace_buffers(op: &mut Sysctl) -> Result<(), Errno> {
    let mut request: TbufOp = op.read_payload();
    match request.cmd {
        XEN_SYSCTL_TBUFOP_get_info => {
            (request.evt_mask, request.buffer_mfn, request.size) = (0, 0, 0);
            op.write_payload(&request);
            Ok(())
        }
        XEN_SYSCTL_TBUFOP_set_cpu_mask | XEN_SYSCTL_TBUFOP_set_evt_mask | XEN_SYSCTL_TBUFOP_set_size => {
            Err(Errno::EOPNOTSUPP)
        }
        XEN_SYSCTL_TBUFOP_disable => Ok(()),
        // Also what switches them on, as Xen answers without buffers.
        _ => Err(Errno::EINVAL),
    }
}

/// Tells of frames whether they are out of use, which none is. The progress is the number told so far.
fn page_offline(call: &Call<'_>, op: &Sysctl, progress: u64) -> Result<Option<u64>, Errno> {
    let request: PageOfflineOp = op.read_payload();
    let count = u64::from(request.end).checked_sub(request.start.into()).ok_or(Errno::EINVAL)? + 1;
    match request.cmd {
        sysctl_query_page_offline => {}
        sysctl_page_offline | sysctl_page_online => return Err(Errno::EOPNOTSUPP),
        _ => return Err(Errno::EINVAL),
    }
    let frames = &call.hv.frames;
    for i in progress..count {
        if i - progress == FRAME_BATCH {
            return Ok(Some(i));
        }
        let mfn = Mfn(u64::from(request.start) + i);
        let is_ram = mfn >= frames.start() && mfn < frames.end();
        let state = if is_ram { 0 } else { PG_OFFLINE_INVALID };
        call.guest().write_element(request.status.0, i, &state)?;
        if !is_ram {
            return Err(Errno::EINVAL);
        }
    }
    Ok(None)
}

/// How many of `room` array elements to fill when `there` exist.
fn fit(room: u32, there: u32) -> u32 {
    room.min(there)
}

fn cpu_info(call: &Call<'_>, op: &mut Sysctl) -> Result<(), Errno> {
    let mut request: GetCpuInfo = op.read_payload();
    let now = call.hv.machine.now_ns();
    let count = fit(request.max_cpus, call.hv.machine.nr_cpus());
    for (i, cpu) in call.hv.cpus.iter().take(count as usize).enumerate() {
        let info = CpuInfo { idletime: cpu.idle_time(now) };
        call.guest().write_element(request.info.0, i as u64, &info)?;
    }
    request.nr_cpus = count;
    op.write_payload(&request);
    Ok(())
}

fn avail_heap(call: &Call<'_>, op: &mut Sysctl) {
    let mut request: Availheap = op.read_payload();
    request.avail_bytes = call.hv.frames.free_frames() << PAGE_SHIFT;
    op.write_payload(&request);
}

fn cpu_topology(call: &Call<'_>, op: &mut Sysctl) -> Result<(), Errno> {
    let mut request: CpuTopoInfo = op.read_payload();
    let mut count = call.hv.machine.nr_cpus();
    if !request.cputopo.is_null() {
        count = fit(request.num_cpus, count);
        for i in 0..count {
            let (core, socket) = call.hv.platform.topology(i as usize);
            let cpu = CpuTopo { core, socket, node: 0 };
            call.guest().write_element(request.cputopo.0, u64::from(i), &cpu)?;
        }
    }
    request.num_cpus = count;
    op.write_payload(&request);
    Ok(())
}

/// One node with all memory.
fn numa_info(call: &Call<'_>, op: &mut Sysctl) -> Result<(), Errno> {
    let mut request: NumaInfo = op.read_payload();
    let wants = |handle: GuestHandle| !handle.is_null() && request.num_nodes > 0;
    let only_counts = request.meminfo.is_null() && request.distance.is_null();
    if wants(request.meminfo) {
        let info = MemInfo {
            memsize: call.hv.frames.total() << PAGE_SHIFT,
            memfree: call.hv.frames.free_frames() << PAGE_SHIFT,
        };
        call.guest().write(request.meminfo.0, &info)?;
    }
    if wants(request.distance) {
        call.guest().write(request.distance.0, &LOCAL_DISTANCE)?;
    }
    request.num_nodes = if only_counts { 1 } else { fit(request.num_nodes, 1) };
    op.write_payload(&request);
    Ok(())
}
