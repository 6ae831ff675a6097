//! A hypercall as data: its number, its arguments, and the buffers that the arguments point to.

use rustix::io::Errno;

/// Bytes that the buffers of one hypercall may have together.
pub const MAX_HYPERCALL_BYTES: usize = 16 << 20;

/// Arguments of a hypercall.
const ARGUMENTS: usize = 5;

/// A hypercall to be made. Addresses never come from the caller: an argument, or a field in a buffer, names another
/// buffer, and the device puts in where that buffer is.
#[derive(Debug)]
pub struct Hypercall<'a> {
    number: u32,
    args: [Argument; ARGUMENTS],
    buffers: Vec<Buffer<'a>>,
    links: Vec<Link>,
}

/// One of a hypercall's buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferId(usize);

#[derive(Clone, Copy, Debug)]
enum Argument {
    Value(u64),
    AddressOf(BufferId),
}

#[derive(Debug)]
enum Buffer<'a> {
    Input(&'a [u8]),
    Changed(&'a mut [u8]),
}

#[derive(Clone, Copy, Debug)]
struct Link {
    field_of: BufferId,
    offset: usize,
    target: BufferId,
}

impl Buffer<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Input(bytes) => bytes,
            Self::Changed(bytes) => bytes,
        }
    }
}

impl<'a> Hypercall<'a> {
    /// A call of this number (`__HYPERVISOR_*`), all arguments 0.
    pub fn new(number: u32) -> Self {
        Self { number, args: [Argument::Value(0); ARGUMENTS], buffers: Vec::new(), links: Vec::new() }
    }

    /// Adds a buffer that the hypervisor only reads.
    pub fn input(&mut self, bytes: &'a [u8]) -> BufferId {
        self.add(Buffer::Input(bytes))
    }

    /// Adds a buffer that the hypervisor reads and writes; afterwards `bytes` has what it left there.
    pub fn buffer(&mut self, bytes: &'a mut [u8]) -> BufferId {
        self.add(Buffer::Changed(bytes))
    }

    fn add(&mut self, buffer: Buffer<'a>) -> BufferId {
        self.buffers.push(buffer);
        BufferId(self.buffers.len() - 1)
    }

    /// Makes argument `index`, from 0 to 4, a number.
    pub fn value(&mut self, index: usize, value: u64) {
        self.set(index, Argument::Value(value));
    }

    /// Makes argument `index`, from 0 to 4, the address of a buffer.
    pub fn address_of(&mut self, index: usize, buffer: BufferId) {
        self.set(index, Argument::AddressOf(buffer));
    }

    fn set(&mut self, index: usize, argument: Argument) {
        if let Some(slot) = self.args.get_mut(index) {
            *slot = argument;
        }
    }

    /// Makes the eight bytes at `offset` in one buffer the address of another.
    pub fn link(&mut self, field_of: BufferId, offset: usize, target: BufferId) {
        self.links.push(Link { field_of, offset, target });
    }

    /// The number.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Offset of each buffer in one block of memory, and the size of that block. Buffers start at multiples of 8.
    pub(crate) fn layout(&self) -> Result<(Vec<usize>, usize), Errno> {
        let mut size = 0usize;
        let mut offsets = Vec::with_capacity(self.buffers.len());
        for buffer in &self.buffers {
            offsets.push(size);
            size =
                size.saturating_add(buffer.bytes().len()).checked_next_multiple_of(8).ok_or(Errno::TOOBIG)?;
        }
        if size > MAX_HYPERCALL_BYTES { Err(Errno::TOOBIG) } else { Ok((offsets, size)) }
    }

    /// The buffers' contents in order.
    pub(crate) fn contents(&self) -> impl Iterator<Item = &[u8]> {
        self.buffers.iter().map(Buffer::bytes)
    }

    /// The addresses to put into buffers, as buffer, offset in it, and address, for buffers at these addresses. A link
    /// to no buffer or past a buffer's end is `EINVAL`.
    pub(crate) fn links(&self, addresses: &[u64]) -> Result<Vec<(usize, usize, u64)>, Errno> {
        let link = |link: &Link| {
            let holder = self.buffers.get(link.field_of.0)?;
            let end = link.offset.checked_add(8)?;
            let address = *addresses.get(link.target.0)?;
            (end <= holder.bytes().len()).then_some((link.field_of.0, link.offset, address))
        };
        self.links.iter().map(|it| link(it).ok_or(Errno::INVAL)).collect()
    }

    /// The arguments, for buffers at these addresses. The address of no buffer is `EINVAL`.
    pub(crate) fn arguments(&self, addresses: &[u64]) -> Result<[u64; ARGUMENTS], Errno> {
        let mut values = [0; ARGUMENTS];
        for (value, argument) in values.iter_mut().zip(self.args) {
            *value = match argument {
                Argument::Value(value) => value,
                Argument::AddressOf(buffer) => *addresses.get(buffer.0).ok_or(Errno::INVAL)?,
            };
        }
        Ok(values)
    }

    /// Gives the buffers that the hypervisor may have written their new contents: `copy` gets each one's index.
    pub(crate) fn take_back<E>(
        &mut self,
        mut copy: impl FnMut(usize, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for (index, buffer) in self.buffers.iter_mut().enumerate() {
            if let Buffer::Changed(bytes) = buffer {
                copy(index, bytes)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_laid_out_one_after_the_other_on_word_boundaries() {
        let mut call = Hypercall::new(36);
        call.input(&[1; 3]);
        call.input(&[]);
        call.input(&[2; 8]);
        assert_eq!(call.layout(), Ok((vec![0, 8, 8], 16)));
    }

    #[test]
    fn buffers_larger_than_the_limit_are_refused() {
        let bytes = vec![0; MAX_HYPERCALL_BYTES];
        let mut call = Hypercall::new(36);
        call.input(&bytes);
        assert!(call.layout().is_ok());
        call.input(&[1]);
        assert_eq!(call.layout(), Err(Errno::TOOBIG));
    }

    #[test]
    fn address_of_a_buffer_that_is_not_there_is_invalid() {
        let mut other = Hypercall::new(1);
        let first = other.input(&[0; 16]);
        let second = other.input(&[0; 4]);
        let mut call = Hypercall::new(1);
        call.address_of(0, first);
        assert_eq!(call.arguments(&[]), Err(Errno::INVAL));
        let only = call.input(&[0; 16]);
        assert_eq!(call.arguments(&[7]), Ok([7, 0, 0, 0, 0]));
        call.link(only, 8, only);
        assert_eq!(call.links(&[7]), Ok(vec![(0, 8, 7)]));
        call.link(only, 9, only);
        assert_eq!(call.links(&[7]), Err(Errno::INVAL), "past the end of the buffer");
        let mut call = Hypercall::new(1);
        let only = call.input(&[0; 16]);
        call.link(only, 0, second);
        assert_eq!(call.links(&[7]), Err(Errno::INVAL), "a buffer of another call");
    }
}
