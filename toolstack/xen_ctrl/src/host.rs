//! The host: CPUs, memory, topology, the hypervisor's console.

use std::mem::offset_of;

use xen_abi::sysctl::*;
use zerocopy::{FromZeros, IntoBytes};

use crate::{BITMAP_BITS, CtrlError, XenCtrl};

/// NUMA nodes that a host may have.
const MAX_NODES: u32 = 256;
/// Console text that is read at a time.
const CONSOLE_PIECE: usize = 16 << 10;

/// A NUMA node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its number.
    pub id: u32,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of them that are free.
    pub free: u64,
    /// Distance to each node, `None` where the host does not say.
    pub distances: Vec<Option<u32>>,
}

/// Some of the text in the hypervisor's console ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleText {
    /// The text; any bytes can be in it.
    pub bytes: Vec<u8>,
    /// Where the next reading starts.
    pub next: u32,
}

impl XenCtrl {
    /// Describes the host. `capabilities` are [`PhyscapFlags`].
    pub fn physinfo(&self) -> Result<Physinfo, CtrlError> {
        let mut info = Physinfo::new_zeroed();
        self.sysctl("XEN_SYSCTL_physinfo", XEN_SYSCTL_physinfo, &mut info, &mut [])?;
        Ok(info)
    }

    /// Core, socket and node of each CPU, by number; `None` for a CPU that is not online.
    pub fn cpu_topology(&self) -> Result<Vec<Option<CpuTopo>>, CtrlError> {
        let mut cpus = vec![CpuTopo::new_zeroed(); BITMAP_BITS as usize];
        let mut info = CpuTopoInfo::new_zeroed();
        info.num_cpus = BITMAP_BITS;
        let pointed = &mut [(offset_of!(CpuTopoInfo, cputopo), cpus.as_mut_bytes())];
        self.sysctl("XEN_SYSCTL_cputopoinfo", XEN_SYSCTL_cputopoinfo, &mut info, pointed)?;
        cpus.truncate(info.num_cpus as usize);
        Ok(cpus.into_iter().map(|cpu| (cpu.core != XEN_INVALID_CORE_ID).then_some(cpu)).collect())
    }

    /// The NUMA nodes that are there, by rising number.
    pub fn nodes(&self) -> Result<Vec<Node>, CtrlError> {
        const CALL: &str = "XEN_SYSCTL_numainfo";
        let mut count = NumaInfo::new_zeroed();
        self.sysctl(CALL, XEN_SYSCTL_numainfo, &mut count, &mut [])?;
        let nodes = count.num_nodes;
        if nodes > MAX_NODES {
            return Err(CtrlError::Answer { call: CALL, domid: None, what: "more than 256 nodes" });
        }
        let room = nodes as usize;
        let mut memory = vec![MemInfo::new_zeroed(); room];
        let mut distances = vec![0u32; room * room];
        let mut info = NumaInfo::new_zeroed();
        info.num_nodes = nodes;
        let pointed = &mut [
            (offset_of!(NumaInfo, meminfo), memory.as_mut_bytes()),
            (offset_of!(NumaInfo, distance), distances.as_mut_bytes()),
        ];
        self.sysctl(CALL, XEN_SYSCTL_numainfo, &mut info, pointed)?;
        let rows = distances.chunks_exact(room.max(1));
        let nodes = (0u32..).zip(memory.iter().zip(rows));
        let there = nodes.filter(|(_, (memory, _))| memory.memsize != u64::from(XEN_INVALID_MEM_SZ));
        Ok(there
            .map(|(id, (memory, row))| Node {
                id,
                memory: memory.memsize,
                free: memory.memfree,
                distances: row.iter().map(|&it| (it != XEN_INVALID_NODE_DIST).then_some(it)).collect(),
            })
            .collect())
    }

    /// Nanoseconds that each CPU was idle, by number.
    pub fn cpu_idle_times(&self) -> Result<Vec<u64>, CtrlError> {
        let mut cpus = vec![0u64; BITMAP_BITS as usize];
        let mut info = GetCpuInfo::new_zeroed();
        info.max_cpus = BITMAP_BITS;
        let pointed = &mut [(offset_of!(GetCpuInfo, info), cpus.as_mut_bytes())];
        self.sysctl("XEN_SYSCTL_getcpuinfo", XEN_SYSCTL_getcpuinfo, &mut info, pointed)?;
        cpus.truncate(info.nr_cpus as usize);
        Ok(cpus)
    }

    /// Reads the console ring from an index on, up to 16 KiB: empty when there is nothing more. Without an index, from
    /// the oldest text that is kept.
    pub fn read_console(&self, from: Option<u32>) -> Result<ConsoleText, CtrlError> {
        let mut op = Readconsole::new_zeroed();
        op.incremental = 1;
        op.index = from.unwrap_or(0);
        self.console_op(op)
    }

    /// Empties the console ring and returns the newest 16 KiB of it at most.
    pub fn clear_console(&self) -> Result<ConsoleText, CtrlError> {
        let mut op = Readconsole::new_zeroed();
        op.clear = 1;
        self.console_op(op)
    }

    fn console_op(&self, mut op: Readconsole) -> Result<ConsoleText, CtrlError> {
        let mut bytes = vec![0; CONSOLE_PIECE];
        op.count = CONSOLE_PIECE as u32;
        let pointed = &mut [(offset_of!(Readconsole, buffer), bytes.as_mut_slice())];
        self.sysctl("XEN_SYSCTL_readconsole", XEN_SYSCTL_readconsole, &mut op, pointed)?;
        bytes.truncate(op.count as usize);
        Ok(ConsoleText { bytes, next: op.index })
    }

    /// Sends keys to the hypervisor as if they were typed at its console.
    pub fn send_debug_keys(&self, keys: &str) -> Result<(), CtrlError> {
        const CALL: &str = "XEN_SYSCTL_debug_keys";
        let mut op = DebugKeys::new_zeroed();
        op.nr_keys = u32::try_from(keys.len()).map_err(|_| CtrlError::Argument {
            call: CALL,
            domid: None,
            what: "too many keys",
        })?;
        let mut bytes = keys.as_bytes().to_vec();
        self.sysctl(CALL, XEN_SYSCTL_debug_keys, &mut op, &mut [(offset_of!(DebugKeys, keys), &mut bytes)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cpu;
    use crate::testkit::{ctrl, only, sysctl_of};

    #[test]
    fn console_is_read_on_from_an_index() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        xen.on_hypercall(|call| {
            let mut op = sysctl_of(call);
            let mut read: Readconsole = op.read_payload();
            assert_eq!((read.clear, read.incremental, read.index, read.count), (0, 1, 40, 16384));
            call.bytes_at_mut(read.buffer.0)?[..5].copy_from_slice(b"(XEN)");
            (read.index, read.count) = (45, 5);
            op.write_payload(&read);
            call.write(call.args[0], &op)?;
            Ok(0)
        });
        let text = ctrl.read_console(Some(40)).unwrap();
        assert_eq!(text, ConsoleText { bytes: b"(XEN)".to_vec(), next: 45 });
    }

    #[test]
    fn counts_larger_than_the_buffers_are_cut() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        xen.on_hypercall(|call| {
            let mut op = sysctl_of(call);
            match op.cmd {
                XEN_SYSCTL_readconsole => {
                    let mut read: Readconsole = op.read_payload();
                    read.count = u32::MAX;
                    op.write_payload(&read);
                }
                XEN_SYSCTL_cputopoinfo => {
                    let mut topology: CpuTopoInfo = op.read_payload();
                    topology.num_cpus = u32::MAX;
                    op.write_payload(&topology);
                }
                _ => {
                    let mut info: GetCpuInfo = op.read_payload();
                    info.nr_cpus = u32::MAX;
                    op.write_payload(&info);
                }
            }
            call.write(call.args[0], &op)?;
            Ok(0)
        });
        assert_eq!(ctrl.clear_console().unwrap().bytes.len(), 16384);
        assert_eq!(ctrl.cpu_topology().unwrap().len(), 4096);
        assert_eq!(ctrl.cpu_idle_times().unwrap().len(), 4096);
    }

    #[test]
    fn cpu_that_is_not_online_has_no_place() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        xen.on_hypercall(|call| {
            let mut op = sysctl_of(call);
            let mut topology: CpuTopoInfo = op.read_payload();
            call.write(topology.cputopo.0, &[1u32, 2, 3, !0, !0, !0])?;
            topology.num_cpus = 2;
            op.write_payload(&topology);
            call.write(call.args[0], &op)?;
            Ok(0)
        });
        let place = CpuTopo { core: 1, socket: 2, node: 3 };
        assert_eq!(ctrl.cpu_topology().unwrap(), [Some(place), None]);
    }

    #[test]
    fn nodes_are_counted_first_and_absent_ones_left_out() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        xen.on_hypercall(|call| {
            let mut op = sysctl_of(call);
            let mut numa: NumaInfo = op.read_payload();
            if numa.meminfo.is_null() {
                numa.num_nodes = 2;
            } else {
                assert_eq!((numa.num_nodes, call.bytes_at(numa.distance.0)?.len()), (2, 16));
                call.write(numa.meminfo.0, &[u64::from(u32::MAX), 0, 4096, 1024])?;
                call.write(numa.distance.0, &[!0u32, !0, !0, 10])?;
            }
            op.write_payload(&numa);
            call.write(call.args[0], &op)?;
            Ok(0)
        });
        let node = Node { id: 1, memory: 4096, free: 1024, distances: vec![None, Some(10)] };
        assert_eq!(ctrl.nodes().unwrap(), [node]);
    }

    #[test]
    fn host_with_too_many_nodes_or_none_is_no_panic() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        assert!(ctrl.nodes().unwrap().is_empty());
        xen.on_hypercall(|call| {
            let mut op = sysctl_of(call);
            op.u[0] = 257;
            call.write(call.args[0], &op)?;
            Ok(0)
        });
        assert!(matches!(ctrl.nodes(), Err(CtrlError::Answer { what: "more than 256 nodes", .. })));
    }

    #[test]
    fn debug_keys_are_sent_as_they_are() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        ctrl.send_debug_keys("rq").unwrap();
        let call = only(&xen);
        let op: DebugKeys = sysctl_of(&call).read_payload();
        assert_eq!((op.nr_keys, call.bytes_at(op.keys.0).unwrap()), (2, &b"rq"[..]));
    }
}
