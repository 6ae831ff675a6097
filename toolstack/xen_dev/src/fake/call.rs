//! A hypercall as the fake hypervisor sees it.

use rustix::io::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::Hypercall;

/// A hypercall with copies of its buffers. Buffer `n` is at address `(n + 1) << 32`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FakeCall {
    /// `__HYPERVISOR_*`.
    pub number: u32,
    /// The arguments: numbers, or addresses of buffers.
    pub args: [u64; 5],
    /// The buffers, in the order in which they were added.
    pub buffers: Vec<Vec<u8>>,
}

fn address(index: usize) -> u64 {
    (index as u64 + 1) << 32
}

impl FakeCall {
    pub(super) fn new(call: &Hypercall<'_>) -> Result<Self, Errno> {
        call.layout()?;
        let mut buffers: Vec<Vec<u8>> = call.contents().map(<[u8]>::to_vec).collect();
        let addresses: Vec<u64> = (0..buffers.len()).map(address).collect();
        for (holder, offset, address) in call.links(&addresses)? {
            let field = buffers.get_mut(holder).and_then(|bytes| bytes.get_mut(offset..offset + 8));
            field.ok_or(Errno::INVAL)?.copy_from_slice(&address.to_ne_bytes());
        }
        Ok(Self { number: call.number(), args: call.arguments(&addresses)?, buffers })
    }

    pub(super) fn finish(self, call: &mut Hypercall<'_>) -> Result<(), Errno> {
        call.take_back(|index, bytes| {
            let left = self.buffers.get(index).filter(|left| left.len() == bytes.len());
            bytes.copy_from_slice(left.ok_or(Errno::FAULT)?);
            Ok(())
        })
    }

    /// The buffer at an address.
    pub fn bytes_at(&self, address: u64) -> Result<&[u8], Errno> {
        self.buffers.get(index(address)?).map(Vec::as_slice).ok_or(Errno::FAULT)
    }

    /// The buffer at an address, to be changed.
    pub fn bytes_at_mut(&mut self, address: u64) -> Result<&mut [u8], Errno> {
        self.buffers.get_mut(index(address)?).map(Vec::as_mut_slice).ok_or(Errno::FAULT)
    }

    /// Reads the structure at the start of the buffer at an address.
    pub fn read<T: FromBytes>(&self, address: u64) -> Result<T, Errno> {
        T::read_from_prefix(self.bytes_at(address)?).map(|(value, _)| value).map_err(|_| Errno::FAULT)
    }

    /// Writes a structure to the start of the buffer at an address.
    pub fn write<T: IntoBytes + Immutable + ?Sized>(&mut self, address: u64, value: &T) -> Result<(), Errno> {
        value.write_to_prefix(self.bytes_at_mut(address)?).map_err(|_| Errno::FAULT)
    }
}

/// Which buffer starts at an address.
fn index(address: u64) -> Result<usize, Errno> {
    let index = (address >> 32).checked_sub(1).filter(|_| address.trailing_zeros() >= 32);
    index.and_then(|index| usize::try_from(index).ok()).ok_or(Errno::FAULT)
}
