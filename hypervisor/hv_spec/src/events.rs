//! Event channels (`event_channel.h`): ports, and the operations on them.

use crate::calls::Ran;
use crate::fifo::{Fifo, Queue};
use crate::{Answer, Call, Model, Outcome, PAGE, PageId};
use std::collections::BTreeMap;
use xen_abi::event_channel::*;
use xen_abi::sched::{
    SCHEDOP_block, SCHEDOP_poll, SCHEDOP_remote_shutdown, SCHEDOP_shutdown, SCHEDOP_shutdown_code,
    SCHEDOP_yield,
};
use xen_abi::sched::{SchedPoll, SchedRemoteShutdown, SchedShutdown};
use xen_abi::vcpu::{VCPUOP_register_vcpu_info, VcpuRegisterVcpuInfo};
use xen_abi::xen::{DOMID_SELF, NR_VIRQS, virq_is_per_vcpu};
use xen_abi::{Arch, Arm64, Errno, Plain};

/// Ports by which a table grows.
const STEP: u32 = 64;
/// Ports that SCHEDOP_poll waits for at most.
const MAX_POLL: u32 = 128;
/// A vCPU's vcpu_info.
pub(crate) type Info = <Arm64 as Arch>::VcpuInfo;

/// What a port is bound to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Free,
    /// Port 0.
    Reserved,
    Unbound {
        remote: u16,
    },
    Interdomain {
        remote: u16,
        port: u32,
    },
    Virq(u32),
    Ipi,
}

impl State {
    pub(crate) fn is_open(self) -> bool {
        !matches!(self, Self::Free | Self::Reserved)
    }
}

/// A port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port {
    pub(crate) state: State,
    pub(crate) vcpu: u32,
    pub(crate) priority: u32,
    /// It was raised when there was no place to say so.
    pub(crate) held: bool,
    /// The queue that it was put on last, which outlives the binding.
    pub(crate) last: Queue,
}

impl Port {
    fn free() -> Self {
        let priority = EVTCHN_FIFO_PRIORITY_DEFAULT;
        Self { state: State::Free, vcpu: 0, priority, held: false, last: Queue { vcpu: 0, priority } }
    }

    /// Bound anew, or to nothing.
    fn rebind(&mut self, state: State, vcpu: u32) {
        *self = Self { state, vcpu, last: self.last, ..Self::free() };
    }
}

/// Where a vCPU had its vcpu_info moved to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VcpuInfo {
    pub(crate) page: PageId,
    pub(crate) offset: usize,
}

/// A domain's event channels.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) ports: Vec<Port>,
    pub(crate) fifo: Option<Fifo>,
    max_port: u32,
    /// The port of a virtual interrupt of a vCPU; of a global one, of vCPU 0.
    pub(crate) virqs: BTreeMap<(u32, u32), u32>,
}

impl Events {
    pub(crate) fn new(max_port: u32) -> Self {
        let mut ports = vec![Port::free(); STEP as usize];
        ports[0].state = State::Reserved;
        Self { ports, max_port, ..Self::default() }
    }

    pub(crate) fn port(&self, port: u32) -> Option<&Port> {
        self.ports.get(port as usize)
    }

    /// A port that the guest has bound.
    pub(crate) fn open(&mut self, port: u32) -> Option<&mut Port> {
        self.ports.get_mut(port as usize).filter(|port| port.state.is_open())
    }

    fn limit(&self) -> u32 {
        let most = if self.fifo.is_some() { EVTCHN_FIFO_NR_CHANNELS } else { EVTCHN_2L_NR_CHANNELS };
        most.min(self.max_port.saturating_add(1))
    }
}

fn is_global(virq: u32) -> bool {
    virq_is_per_vcpu(virq) != Some(true)
}

impl Model {
    fn has_vcpu(&self, id: u16, vcpu: u32) -> Result<(), Errno> {
        if (vcpu as usize) < self.dom(id).vcpus.len() { Ok(()) } else { Err(Errno::ENOENT) }
    }

    /// The lowest port that can be bound; one that the guest still has on a queue cannot.
    fn free_port(&mut self, id: u16) -> Result<u32, Errno> {
        if self.dom(id).dying {
            return Err(Errno::EINVAL);
        }
        let limit = self.dom(id).events.limit();
        let is_free = |port: u32| {
            let known = self.dom(id).events.port(port);
            known.is_none_or(|known| known.state == State::Free) && !self.is_linked(id, port)
        };
        let port = (1..limit).find(|port| is_free(*port)).ok_or(Errno::ENOSPC)?;
        let ports = &mut self.dom_mut(id).events.ports;
        while ports.len() as u32 <= port {
            ports.extend([Port::free(); STEP as usize]);
        }
        Ok(port)
    }

    fn bind(&mut self, id: u16, port: u32, state: State, vcpu: u32) {
        self.dom_mut(id).events.ports[port as usize].rebind(state, vcpu);
    }

    fn close(&mut self, id: u16, port: u32) -> Result<(), Errno> {
        let old = *self.dom_mut(id).events.open(port).ok_or(Errno::EINVAL)?;
        match old.state {
            State::Interdomain { remote, port: remote_port } => {
                let peer = self.dom_mut(remote).events.open(remote_port).expect("a peer is open");
                peer.state = State::Unbound { remote: id };
            }
            State::Virq(virq) => {
                let vcpu = if is_global(virq) { 0 } else { old.vcpu };
                self.dom_mut(id).events.virqs.remove(&(virq, vcpu));
            }
            _ => {}
        }
        self.withdraw(id, port);
        self.bind(id, port, State::Free, 0);
        Ok(())
    }

    /// Closes all ports.
    pub(crate) fn close_all(&mut self, id: u16) {
        for port in (1..self.dom(id).events.ports.len() as u32).rev() {
            // Most are closed.
            let _ = self.close(id, port);
        }
        if self.dom(id).dying {
            self.dom_mut(id).events.ports.clear();
        }
    }

    fn bind_interdomain(&mut self, id: u16, remote: u16, remote_port: u32) -> Result<u32, Errno> {
        let port = self.free_port(id)?;
        match self.dom(remote).events.port(remote_port).map(|port| port.state) {
            Some(State::Unbound { remote: waits_for }) if waits_for == id => {}
            _ => return Err(Errno::EINVAL),
        }
        self.bind(id, port, State::Interdomain { remote, port: remote_port }, 0);
        let peer = self.dom_mut(remote).events.open(remote_port).expect("it waits");
        peer.state = State::Interdomain { remote: id, port };
        self.raise(id, port);
        Ok(port)
    }

    fn bind_virq(&mut self, id: u16, virq: u32, vcpu: u32) -> Result<u32, Errno> {
        if virq >= NR_VIRQS || (is_global(virq) && vcpu != 0) {
            return Err(Errno::EINVAL);
        }
        self.has_vcpu(id, vcpu)?;
        if self.dom(id).events.virqs.contains_key(&(virq, vcpu)) {
            return Err(Errno::EEXIST);
        }
        let port = self.free_port(id)?;
        self.bind(id, port, State::Virq(virq), vcpu);
        self.dom_mut(id).events.virqs.insert((virq, vcpu), port);
        Ok(port)
    }

    fn send(&mut self, id: u16, port: u32) -> Result<(), Errno> {
        match self.dom(id).events.port(port).map(|port| port.state) {
            Some(State::Interdomain { remote, port }) => self.raise(remote, port),
            Some(State::Ipi) => self.raise(id, port),
            // The event is lost.
            Some(State::Unbound { .. }) => {}
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    fn status(&self, id: u16, op: &mut EvtchnStatus) -> Result<(), Errno> {
        let port = self.dom(id).events.port(op.port).ok_or(Errno::EINVAL)?;
        op.status = match port.state {
            State::Free | State::Reserved => EVTCHNSTAT_closed,
            State::Unbound { remote } => {
                op.write_payload(&EvtchnStatusUnbound { dom: remote });
                EVTCHNSTAT_unbound
            }
            State::Interdomain { remote, port } => {
                op.write_payload(&EvtchnStatusInterdomain { dom: remote, _gap0: 0, port });
                EVTCHNSTAT_interdomain
            }
            State::Virq(virq) => {
                op.write_payload(&virq);
                EVTCHNSTAT_virq
            }
            State::Ipi => EVTCHNSTAT_ipi,
        };
        op.vcpu = port.vcpu;
        Ok(())
    }

    fn bind_vcpu(&mut self, id: u16, port: u32, vcpu: u32) -> Result<(), Errno> {
        self.has_vcpu(id, vcpu)?;
        let port = self.dom_mut(id).events.open(port).ok_or(Errno::EINVAL)?;
        match port.state {
            State::Ipi => return Err(Errno::EINVAL),
            State::Virq(virq) if !is_global(virq) => return Err(Errno::EINVAL),
            _ => {}
        }
        port.vcpu = vcpu;
        Ok(())
    }

    fn set_priority(&mut self, id: u16, port: u32, priority: u32) -> Result<(), Errno> {
        let events = &mut self.dom_mut(id).events;
        events.port(port).ok_or(Errno::EINVAL)?;
        if events.fifo.is_none() {
            return Err(Errno::ENOSYS);
        }
        let port = events.open(port).ok_or(Errno::EACCES)?;
        if priority > EVTCHN_FIFO_PRIORITY_MIN {
            return Err(Errno::EINVAL);
        }
        port.priority = priority;
        Ok(())
    }

    /// Tells the caller about a port that was just made in `of`; one that it cannot hear of is closed again.
    fn opened<T: Plain>(&mut self, call: &Call, of: u16, port: u32, op: &T) -> Ran {
        if let Err(fault) = self.put(call.caller, call.args[1], op) {
            self.close(of, port).expect("it was just made");
            return Err(fault.into());
        }
        Ok(Outcome::Done(0))
    }

    /// HYPERVISOR_event_channel_op. A reset that goes on later is told to the model when it is done.
    pub(crate) fn event_channel_op(&mut self, call: &Call, outcome: &Outcome) -> Ran {
        let [cmd, arg, ..] = call.args;
        let id = call.caller;
        match cmd as u32 {
            EVTCHNOP_send => {
                let op: EvtchnSend = self.fetch(id, arg)?;
                self.send(id, op.port)?;
            }
            EVTCHNOP_alloc_unbound => {
                let mut op: EvtchnAllocUnbound = self.fetch_answered(id, arg)?;
                let of = self.managed(id, op.dom)?;
                let remote = if op.remote_dom == DOMID_SELF { id } else { op.remote_dom };
                op.port = self.free_port(of)?;
                self.bind(of, op.port, State::Unbound { remote }, 0);
                return self.opened(call, of, op.port, &op);
            }
            EVTCHNOP_bind_interdomain => {
                let mut op: EvtchnBindInterdomain = self.fetch_answered(id, arg)?;
                let remote = self.named(id, op.remote_dom)?;
                op.local_port = self.bind_interdomain(id, remote, op.remote_port)?;
                return self.opened(call, id, op.local_port, &op);
            }
            EVTCHNOP_bind_virq => {
                let mut op: EvtchnBindVirq = self.fetch_answered(id, arg)?;
                op.port = self.bind_virq(id, op.virq, op.vcpu)?;
                return self.opened(call, id, op.port, &op);
            }
            EVTCHNOP_bind_ipi => {
                let mut op: EvtchnBindIpi = self.fetch_answered(id, arg)?;
                self.has_vcpu(id, op.vcpu)?;
                op.port = self.free_port(id)?;
                self.bind(id, op.port, State::Ipi, op.vcpu);
                return self.opened(call, id, op.port, &op);
            }
            EVTCHNOP_bind_pirq => {
                let op: EvtchnBindPirq = self.fetch(id, arg)?;
                // There are none.
                return Err(if op.pirq < 1024 { Errno::ENOMEM } else { Errno::EINVAL });
            }
            EVTCHNOP_close => {
                let op: EvtchnClose = self.fetch(id, arg)?;
                self.close(id, op.port)?;
            }
            EVTCHNOP_status => {
                let mut op: EvtchnStatus = self.fetch_answered(id, arg)?;
                let of = self.managed(id, op.dom)?;
                self.status(of, &mut op)?;
                self.put(id, arg, &op)?;
            }
            EVTCHNOP_bind_vcpu => {
                let op: EvtchnBindVcpu = self.fetch(id, arg)?;
                self.bind_vcpu(id, op.port, op.vcpu)?;
            }
            EVTCHNOP_unmask => {
                let op: EvtchnUnmask = self.fetch(id, arg)?;
                self.dom(id).events.port(op.port).ok_or(Errno::EINVAL)?;
                if self.dom_mut(id).events.open(op.port).is_some() {
                    self.unmask(id, op.port);
                }
            }
            EVTCHNOP_reset | EVTCHNOP_reset_cont => {
                let op: EvtchnReset = self.fetch(id, arg)?;
                let of = self.managed(id, op.dom)?;
                if of != id && self.dom(of).pauses == 0 {
                    return Err(Errno::EINVAL);
                }
                // Nothing is under way that could go on.
                if cmd as u32 == EVTCHNOP_reset_cont {
                    return Err(Errno::EBUSY);
                }
                self.close_all(of);
                self.dom_mut(of).events.fifo = None;
                self.collect();
                return Ok(*outcome).filter_done();
            }
            EVTCHNOP_init_control => {
                let mut op: EvtchnInitControl = self.fetch_answered(id, arg)?;
                self.put(id, arg, &op)?;
                self.init_control(id, op.vcpu, op.control_gfn, op.offset)?;
                op.link_bits = EVTCHN_FIFO_LINK_BITS as u8;
                self.put(id, arg, &op)?;
            }
            EVTCHNOP_expand_array => {
                let op: EvtchnExpandArray = self.fetch(id, arg)?;
                self.expand_array(id, op.array_gfn)?;
            }
            EVTCHNOP_set_priority => {
                let op: EvtchnSetPriority = self.fetch(id, arg)?;
                self.set_priority(id, op.port, op.priority)?;
            }
            _ => return Err(Errno::ENOSYS),
        }
        Ok(Outcome::Done(0))
    }

    /// HYPERVISOR_vcpu_op, but for what deals with time.
    pub(crate) fn vcpu_op(&mut self, call: &Call) -> Answer {
        let [cmd, vcpu, arg, ..] = call.args;
        let (id, vcpu) = (call.caller, vcpu as u32);
        self.has_vcpu(id, vcpu)?;
        if cmd as u32 != VCPUOP_register_vcpu_info {
            return Err(Errno::EINVAL);
        }
        let op: VcpuRegisterVcpuInfo = self.fetch(id, arg)?;
        let offset = op.offset as usize;
        if offset > PAGE - size_of::<Info>() || !offset.is_multiple_of(align_of::<Info>()) {
            return Err(Errno::ENXIO);
        }
        // A vCPU that is up can only do this itself, and none runs here.
        let state = &self.dom(id).vcpus[vcpu as usize];
        if state.info.is_some() || state.up {
            return Err(Errno::EINVAL);
        }
        let page = self.own_page(id, op.mfn).ok_or(Errno::EINVAL)?;
        self.move_info(id, vcpu, VcpuInfo { page, offset });
        Ok(0)
    }

    /// HYPERVISOR_sched_op, but for watchdogs. Whether a vCPU waits is not modelled.
    pub(crate) fn sched_op(&mut self, call: &Call) -> Answer {
        let [cmd, arg, ..] = call.args;
        let id = call.caller;
        match cmd as u32 {
            SCHEDOP_yield | SCHEDOP_block => Ok(0),
            SCHEDOP_shutdown_code => self.fetch::<SchedShutdown>(id, arg).map(|_| 0).map_err(Errno::from),
            SCHEDOP_shutdown => {
                self.fetch::<SchedShutdown>(id, arg)?;
                self.shut_down(id);
                Ok(0)
            }
            SCHEDOP_remote_shutdown => {
                let op: SchedRemoteShutdown = self.fetch(id, arg)?;
                let of = self.named(id, op.domain_id)?;
                if !self.dom(id).privileged {
                    return Err(Errno::EPERM);
                }
                self.shut_down(of);
                Ok(0)
            }
            SCHEDOP_poll => {
                let op: SchedPoll = self.fetch(id, arg)?;
                if op.nr_ports > MAX_POLL {
                    return Err(Errno::EINVAL);
                }
                for n in 0..u64::from(op.nr_ports) {
                    let port: u32 = self.element(id, op.ports.0, n)?;
                    self.dom_mut(id).events.open(port).ok_or(Errno::EINVAL)?;
                    if self.is_pending(id, port) {
                        break;
                    }
                }
                Ok(0)
            }
            _ => Err(Errno::ENOSYS),
        }
    }
}

/// A reset ends, and not with an error.
trait FilterDone {
    fn filter_done(self) -> Ran;
}

impl FilterDone for Ran {
    fn filter_done(self) -> Ran {
        match self {
            Ok(Outcome::Again(args)) => Ok(Outcome::Again(args)),
            _ => Ok(Outcome::Done(0)),
        }
    }
}
