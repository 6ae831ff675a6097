//! Messages about links in rtnetlink's format (`linux/netlink.h`, `linux/rtnetlink.h`, `linux/if_link.h`): requests to
//! bytes, bytes to answers. No I/O.

use crate::Link;

/// Sets or reads a link.
pub(crate) const RTM_NEWLINK: u16 = 16;
pub(crate) const RTM_DELLINK: u16 = 17;
pub(crate) const RTM_GETLINK: u16 = 18;
pub(crate) const RTM_SETLINK: u16 = 19;

/// The request wants an acknowledgement.
pub(crate) const NLM_F_ACK: u16 = 4;
/// The request wants all links.
pub(crate) const NLM_F_DUMP: u16 = 0x300;
const NLM_F_REQUEST: u16 = 1;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

pub(crate) const IFLA_IFNAME: u16 = 3;
pub(crate) const IFLA_MTU: u16 = 4;
pub(crate) const IFLA_MASTER: u16 = 10;
const IFLA_ADDRESS: u16 = 1;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
/// Bits of an attribute's type that are flags.
const NLA_TYPE_MASK: u16 = 0x3fff;

/// The link is switched on.
pub(crate) const IFF_UP: u32 = 1;

/// Bytes of `nlmsghdr`, of `ifinfomsg`, and of an attribute's header.
const HEADER: usize = 16;
const LINK_HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;

/// A request about one link, or all.
pub(crate) struct Request(Vec<u8>);

impl Request {
    /// A request about the link of this number; 0 when an attribute names it, or for all. Flags in `change` become
    /// those in `flags`.
    pub(crate) fn new(
        kind: u16,
        flags: u16,
        sequence: u32,
        index: u32,
        link_flags: u32,
        change: u32,
    ) -> Self {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend(0u32.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((flags | NLM_F_REQUEST).to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        // The sender: the kernel fills it in. Then family, padding and hardware type: any.
        bytes.extend([0; 8]);
        for word in [index, link_flags, change] {
            bytes.extend(word.to_ne_bytes());
        }
        Self(bytes)
    }

    /// Adds an attribute. Those of this module are a few bytes long.
    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend(((ATTRIBUTE_HEADER + value.len()) as u16).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// The message, with its length.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let len = (self.0.len() as u32).to_ne_bytes();
        self.0[..4].copy_from_slice(&len);
        self.0
    }
}

/// One message of the kernel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A link as it is.
    Link(Link),
    /// The request was done (0) or failed with this errno.
    Status(i32),
    /// No more links follow.
    End,
    /// Something else.
    Other,
}

/// Takes apart what was received: the answers to the request of this number, in order. `None` when the bytes are no
/// messages.
pub(crate) fn answers(mut bytes: &[u8], sequence: u32) -> Option<Vec<Answer>> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let len = u32_at(bytes, 0)? as usize;
        let payload = bytes.get(..len)?.get(HEADER..)?;
        if u32_at(bytes, 8)? == sequence {
            answers.push(match u16_at(bytes, 4)? {
                NLMSG_ERROR => Answer::Status((u32_at(payload, 0)? as i32).checked_neg()?),
                NLMSG_DONE => Answer::End,
                RTM_NEWLINK => Answer::Link(link(payload)?),
                _ => Answer::Other,
            });
        }
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(answers)
}

fn link(payload: &[u8]) -> Option<Link> {
    let mut link = Link { index: u32_at(payload, 4)?, ..Link::default() };
    link.is_up = u32_at(payload, 8)? & IFF_UP != 0;
    attributes(payload.get(LINK_HEADER..)?, |kind, value| {
        match kind {
            IFLA_IFNAME => link.name = text(value)?,
            IFLA_MTU => link.mtu = u32_at(value, 0)?,
            IFLA_MASTER => link.master = Some(u32_at(value, 0)?),
            IFLA_ADDRESS => link.address = value.try_into().ok(),
            IFLA_LINKINFO => attributes(value, |kind, value| {
                if kind == IFLA_INFO_KIND {
                    link.kind = Some(text(value)?);
                }
                Some(())
            })?,
            _ => {}
        }
        Some(())
    })?;
    Some(link)
}

fn attributes(mut bytes: &[u8], mut each: impl FnMut(u16, &[u8]) -> Option<()>) -> Option<()> {
    while bytes.len() >= ATTRIBUTE_HEADER {
        let len = usize::from(u16_at(bytes, 0)?);
        let value = bytes.get(..len)?.get(ATTRIBUTE_HEADER..)?;
        each(u16_at(bytes, 2)? & NLA_TYPE_MASK, value)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(())
}

/// Text that ends at the first zero.
fn text(bytes: &[u8]) -> Option<String> {
    let text = bytes.split(|&byte| byte == 0).next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A link as the kernel would describe it.
    fn described(sequence: u32) -> Vec<u8> {
        Request::new(RTM_NEWLINK, 0, sequence, 7, IFF_UP, 0)
            .attribute(IFLA_IFNAME, b"xenbr0\0")
            .attribute(99, b"unknown")
            .attribute(IFLA_MTU, &1400u32.to_ne_bytes())
            .attribute(IFLA_ADDRESS, &[0, 0x16, 0x3e, 1, 2, 3])
            .attribute(IFLA_MASTER, &3u32.to_ne_bytes())
            .attribute(IFLA_LINKINFO | 0x8000, b"\x0b\0\x01\0bridge\0\0")
            .finish()
    }

    #[test]
    fn request_has_the_bytes_of_the_format() {
        let request =
            Request::new(RTM_SETLINK, NLM_F_ACK, 9, 5, IFF_UP, IFF_UP).attribute(IFLA_IFNAME, b"a\0");
        let mut wanted = vec![40, 0, 0, 0, 19, 0, 5, 0, 9, 0, 0, 0, 0, 0, 0, 0];
        wanted.extend([0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
        wanted.extend([6, 0, 3, 0, b'a', 0, 0, 0]);
        assert_eq!(request.finish(), wanted);
    }

    #[test]
    fn link_is_taken_from_its_attributes() {
        let link = Link {
            index: 7,
            name: "xenbr0".to_owned(),
            mtu: 1400,
            is_up: true,
            kind: Some("bridge".to_owned()),
            master: Some(3),
            address: Some([0, 0x16, 0x3e, 1, 2, 3]),
        };
        assert!(link.is_bridge());
        assert_eq!(answers(&described(2), 2), Some(vec![Answer::Link(link)]));
    }

    #[test]
    fn answers_to_other_requests_are_left_out() {
        let mut bytes = described(1);
        bytes.extend([20, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend((-19i32).to_ne_bytes());
        bytes.extend([16, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(answers(&bytes, 2), Some(vec![Answer::Status(19), Answer::End]));
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_answers_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = answers(&bytes, 0);
        }

        #[test]
        fn damaged_link_is_no_panic(at in 0usize..96, value: u8) {
            let mut bytes = described(2);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
            let _ = answers(&bytes, 2);
        }

        #[test]
        fn message_that_is_cut_off_is_refused(cut in 1usize..96) {
            let bytes = described(2);
            prop_assert_eq!(answers(bytes.get(..cut).unwrap_or(&bytes), 2).is_none(), cut < bytes.len());
        }
    }
}
