//! Network interfaces through a netlink socket.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, sendto, socket_with,
};

use crate::netlink::{
    Answer, IFF_UP, IFLA_IFNAME, IFLA_MASTER, IFLA_MTU, NLM_F_ACK, NLM_F_DUMP, RTM_DELLINK, RTM_GETLINK,
    RTM_SETLINK, Request, answers,
};
use crate::{HostError, InterfaceName, Link};

/// Room for what the kernel sends at a time; it never sends more than 32 KiB.
const BUFFER: usize = 64 << 10;
/// The group that hears of every change of a link (`RTMGRP_LINK`).
const LINK_CHANGES: u32 = 1;
/// Interfaces that are listed; a host with more has no room for ports either.
const MAX_LINKS: usize = 1 << 16;

/// The host's network interfaces, of the network namespace in which this was opened.
pub struct Links {
    socket: OwnedFd,
    sequence: Cell<u32>,
}

impl Links {
    /// Opens a netlink socket.
    pub fn open() -> Result<Self, HostError> {
        Ok(Self { socket: open(0).map_err(HostError::Netlink)?, sequence: Cell::new(0) })
    }

    /// The interface of this name, if there is one.
    pub fn find(&self, name: &InterfaceName) -> Result<Option<Link>, HostError> {
        let request = self.request(RTM_GETLINK, 0, 0).attribute(IFLA_IFNAME, &name_bytes(name));
        match self.ask(request)?.into_iter().next() {
            Some(Answer::Link(link)) => Ok(Some(link)),
            Some(Answer::Status(errno)) if errno == Errno::NODEV.raw_os_error() => Ok(None),
            Some(Answer::Status(errno)) => Err(refused("find", name.as_str(), errno)),
            _ => Err(HostError::Answer),
        }
    }

    /// All interfaces.
    pub fn all(&self) -> Result<Vec<Link>, HostError> {
        let mut links = Vec::new();
        let mut answers = self.ask(self.request(RTM_GETLINK, NLM_F_DUMP, 0))?;
        while links.len() < MAX_LINKS {
            for answer in answers {
                match answer {
                    Answer::Link(link) => links.push(link),
                    Answer::End => return Ok(links),
                    Answer::Status(errno) => return Err(refused("list", "*", errno)),
                    Answer::Other => {}
                }
            }
            answers = self.receive()?;
        }
        Err(HostError::Answer)
    }

    /// Waits until an interface of this name is there. Nothing is polled: the kernel says when links change.
    pub fn wait_for(&self, name: &InterfaceName, patience: Duration) -> Result<Link, HostError> {
        // Opened before the first look, so that no change is missed in between.
        let changes = open(LINK_CHANGES).map_err(HostError::Netlink)?;
        let start = Instant::now();
        loop {
            if let Some(link) = self.find(name)? {
                return Ok(link);
            }
            let left = patience.saturating_sub(start.elapsed());
            let timeout =
                Timespec { tv_sec: left.as_secs().min(86_400) as i64, tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&changes, PollFlags::IN)], Some(&timeout)) {
                Ok(0) => {
                    return Err(HostError::NotInTime { name: name.clone(), seconds: patience.as_secs() });
                }
                Ok(_) => drain(&changes)?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(HostError::Netlink(errno)),
            }
        }
    }

    /// Switches an interface on or off.
    pub fn set_up(&self, link: &Link, up: bool) -> Result<(), HostError> {
        let flags = if up { IFF_UP } else { 0 };
        let request = Request::new(RTM_SETLINK, NLM_F_ACK, self.next(), link.index, flags, IFF_UP);
        self.change("switch", link, request)
    }

    /// Sets the largest packet, in bytes.
    pub fn set_mtu(&self, link: &Link, mtu: u32) -> Result<(), HostError> {
        let request = self.request(RTM_SETLINK, NLM_F_ACK, link.index);
        self.change("set the MTU of", link, request.attribute(IFLA_MTU, &mtu.to_ne_bytes()))
    }

    /// Renames an interface, which some kernels allow only while it is off.
    pub fn rename(&self, link: &Link, name: &InterfaceName) -> Result<(), HostError> {
        let request = self.request(RTM_SETLINK, NLM_F_ACK, link.index);
        self.change("rename", link, request.attribute(IFLA_IFNAME, &name_bytes(name)))
    }

    /// Puts an interface into a bridge, or takes it out of the one in which it is.
    pub fn set_bridge(&self, link: &Link, bridge: Option<&Link>) -> Result<(), HostError> {
        let master = bridge.map_or(0, |bridge| bridge.index);
        let request = self.request(RTM_SETLINK, NLM_F_ACK, link.index);
        self.change("change the bridge of", link, request.attribute(IFLA_MASTER, &master.to_ne_bytes()))
    }

    /// Deletes a virtual interface.
    pub fn delete(&self, link: &Link) -> Result<(), HostError> {
        self.change("delete", link, self.request(RTM_DELLINK, NLM_F_ACK, link.index))
    }

    fn next(&self) -> u32 {
        self.sequence.set(self.sequence.get().wrapping_add(1));
        self.sequence.get()
    }

    fn request(&self, kind: u16, flags: u16, index: u32) -> Request {
        Request::new(kind, flags, self.next(), index, 0, 0)
    }

    fn change(&self, what: &'static str, link: &Link, request: Request) -> Result<(), HostError> {
        match self.ask(request)?.into_iter().next() {
            Some(Answer::Status(0)) => Ok(()),
            Some(Answer::Status(errno)) => Err(refused(what, &link.name, errno)),
            _ => Err(HostError::Answer),
        }
    }

    fn ask(&self, request: Request) -> Result<Vec<Answer>, HostError> {
        let kernel = SocketAddrNetlink::new(0, 0);
        sendto(&self.socket, &request.finish(), SendFlags::empty(), &kernel).map_err(HostError::Netlink)?;
        self.receive()
    }

    /// The next answers to the last request. The kernel has sent them before it returned from the request.
    fn receive(&self) -> Result<Vec<Answer>, HostError> {
        let mut buffer = vec![0; BUFFER];
        let (_, len) = recv(&self.socket, &mut buffer, RecvFlags::TRUNC).map_err(HostError::Netlink)?;
        let bytes = buffer.get(..len).ok_or(HostError::Answer)?;
        answers(bytes, self.sequence.get()).ok_or(HostError::Answer)
    }
}

fn open(groups: u32) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // Protocol 0 is NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// Reads all that is there; too much of it is as good a sign of changes.
fn drain(changes: &OwnedFd) -> Result<(), HostError> {
    let mut buffer = [0; 4096];
    loop {
        match recv(changes, &mut buffer, RecvFlags::empty()) {
            Ok(_) | Err(Errno::INTR | Errno::NOBUFS) => {}
            Err(Errno::AGAIN) => return Ok(()),
            Err(errno) => return Err(HostError::Netlink(errno)),
        }
    }
}

/// A name with the zero that ends it.
fn name_bytes(name: &InterfaceName) -> Vec<u8> {
    let mut bytes = name.as_str().as_bytes().to_vec();
    bytes.push(0);
    bytes
}

fn refused(what: &'static str, name: &str, errno: i32) -> HostError {
    HostError::Interface { what, name: name.to_owned(), errno: Errno::from_raw_os_error(errno) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> InterfaceName {
        InterfaceName::new(name).unwrap()
    }

    #[test]
    fn loopback_interface_is_found_by_name_and_in_the_list() {
        let links = Links::open().unwrap();
        let lo = links.find(&name("lo")).unwrap().unwrap();
        assert_eq!((lo.name.as_str(), lo.index, lo.is_bridge()), ("lo", 1, false));
        assert!(links.all().unwrap().contains(&lo));
        assert_eq!(links.wait_for(&name("lo"), Duration::ZERO).unwrap().index, 1);
    }

    #[test]
    fn interface_that_is_not_there_is_none_and_does_not_appear() {
        let links = Links::open().unwrap();
        assert_eq!(links.find(&name("no-such-link")).unwrap(), None);
        let error = links.wait_for(&name("no-such-link"), Duration::from_millis(20)).unwrap_err();
        assert!(matches!(error, HostError::NotInTime { .. }), "{error}");
    }

    #[test]
    fn change_of_an_interface_that_is_not_there_is_refused_by_the_kernel() {
        let links = Links::open().unwrap();
        let gone = Link { index: 0x7fff_fff0, name: "gone".to_owned(), ..Link::default() };
        for error in [links.set_mtu(&gone, 1500), links.set_up(&gone, true), links.delete(&gone)] {
            let Err(HostError::Interface { name, errno, .. }) = error else { panic!("{error:?}") };
            assert_eq!(name, "gone");
            assert!(matches!(errno, Errno::NODEV | Errno::PERM), "{errno}");
        }
    }
}
