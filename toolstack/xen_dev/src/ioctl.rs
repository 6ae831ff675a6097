//! The ioctls: a number together with the structure that the kernel reads and writes for it.

use std::marker::PhantomData;
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::ioctl::{Direction, IoctlOutput, Opcode, opcode};

/// An ioctl whose structure holds no address: the kernel touches the structure and nothing else.
pub(crate) struct Request<T>(Opcode, PhantomData<fn(T)>);

/// An ioctl whose structure holds addresses that the kernel follows.
pub(crate) struct AddressRequest<T>(Opcode, PhantomData<fn(T)>);

impl<T> Request<T> {
    /// Calls the kernel; returns the result, which is not negative.
    pub(crate) fn call(&self, fd: impl AsFd, data: &mut T) -> Result<i32, Errno> {
        // SAFETY: the only values of this type are the constants of `requests`, each a number with the structure
        // that the kernel's header gives it.
        #[expect(unsafe_code, reason = "a system call; see the comment above")]
        unsafe {
            call(fd, self.0, data)
        }
    }
}

impl<T> AddressRequest<T> {
    /// Calls the kernel; returns the result, which is not negative.
    ///
    /// # Safety
    /// What the kernel reads and writes through the addresses in `data` must be the caller's to have read and
    /// written.
    #[expect(unsafe_code, reason = "the caller must vouch for the addresses")]
    pub(crate) unsafe fn call(&self, fd: impl AsFd, data: &mut T) -> Result<i32, Errno> {
        // SAFETY: as in `Request::call`; the caller vouches for the addresses.
        unsafe { call(fd, self.0, data) }
    }
}

/// # Safety
/// For this number the kernel must read and write a valid `T` behind the pointer, and what it follows from there must
/// be the caller's.
#[expect(unsafe_code, reason = "the caller must match number and structure")]
unsafe fn call<T>(fd: impl AsFd, opcode: Opcode, data: &mut T) -> Result<i32, Errno> {
    // SAFETY: `Call` passes a pointer to a live `T`; the caller vouches for the rest.
    unsafe { rustix::ioctl::ioctl(fd, Call { opcode, data }) }
}

struct Call<'a, T> {
    opcode: Opcode,
    data: &'a mut T,
}

// SAFETY: the pointer is that of a mutably borrowed `T`, the call is declared as changing it, and the output is the
// plain return value.
#[expect(unsafe_code, reason = "rustix's contract for ioctls that it does not know")]
unsafe impl<T> rustix::ioctl::Ioctl for Call<'_, T> {
    type Output = i32;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut rustix::ffi::c_void {
        (&raw mut *self.data).cast()
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut rustix::ffi::c_void) -> Result<i32, Errno> {
        Ok(out)
    }
}

/// The header's `_IOC(_IOC_NONE, group, number, size)`.
const fn none(group: u8, number: u8, size: usize) -> Opcode {
    opcode::from_components(Direction::None, group, number, size)
}

/// All requests of this crate, by header.
pub(crate) mod requests {
    use std::marker::PhantomData;
    use std::mem::size_of;

    use super::{AddressRequest, Request, none};
    use crate::linux::abi::*;
    use crate::loop_device::LoopConfig;

    // xen/privcmd.h
    pub(crate) const PRIVCMD_HYPERCALL: AddressRequest<PrivcmdHypercall> =
        AddressRequest(none(b'P', 0, size_of::<PrivcmdHypercall>()), PhantomData);
    pub(crate) const PRIVCMD_MMAPBATCH_V2: AddressRequest<PrivcmdMmapBatch> =
        AddressRequest(none(b'P', 4, size_of::<PrivcmdMmapBatch>()), PhantomData);
    pub(crate) const PRIVCMD_MMAP_RESOURCE: AddressRequest<PrivcmdMmapResource> =
        AddressRequest(none(b'P', 7, size_of::<PrivcmdMmapResource>()), PhantomData);

    // xen/evtchn.h
    pub(crate) const EVTCHN_BIND_VIRQ: Request<[u32; 1]> = Request(none(b'E', 0, 4), PhantomData);
    pub(crate) const EVTCHN_BIND_INTERDOMAIN: Request<[u32; 2]> = Request(none(b'E', 1, 8), PhantomData);
    pub(crate) const EVTCHN_BIND_UNBOUND_PORT: Request<[u32; 1]> = Request(none(b'E', 2, 4), PhantomData);
    pub(crate) const EVTCHN_UNBIND: Request<[u32; 1]> = Request(none(b'E', 3, 4), PhantomData);
    pub(crate) const EVTCHN_NOTIFY: Request<[u32; 1]> = Request(none(b'E', 4, 4), PhantomData);

    // xen/gntdev.h; the number's size is that of a map of one grant.
    pub(crate) const GNTDEV_MAP_GRANT_REF: Request<GntdevMap> = Request(none(b'G', 0, 24), PhantomData);
    pub(crate) const GNTDEV_UNMAP_GRANT_REF: Request<GntdevUnmap> =
        Request(none(b'G', 1, size_of::<GntdevUnmap>()), PhantomData);
    pub(crate) const GNTDEV_SET_UNMAP_NOTIFY: Request<GntdevUnmapNotify> =
        Request(none(b'G', 7, size_of::<GntdevUnmapNotify>()), PhantomData);
    pub(crate) const GNTDEV_GRANT_COPY: AddressRequest<GntdevCopy> =
        AddressRequest(none(b'G', 8, size_of::<GntdevCopy>()), PhantomData);

    // xen/gntalloc.h; the number's size is that of an allocation of one page.
    pub(crate) const GNTALLOC_ALLOC_GREF: Request<GntallocAlloc> = Request(none(b'G', 5, 24), PhantomData);
    pub(crate) const GNTALLOC_DEALLOC_GREF: Request<GntallocDealloc> =
        Request(none(b'G', 6, size_of::<GntallocDealloc>()), PhantomData);

    // linux/loop.h; without a structure the kernel does not look at the pointer.
    pub(crate) const LOOP_CLR_FD: Request<()> = Request(0x4c01, PhantomData);
    pub(crate) const LOOP_CONFIGURE: Request<LoopConfig> = Request(0x4c0a, PhantomData);
    pub(crate) const LOOP_CTL_GET_FREE: Request<()> = Request(0x4c82, PhantomData);

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn numbers_are_those_of_the_headers() {
            assert_eq!(PRIVCMD_HYPERCALL.0, 0x0030_5000);
            assert_eq!(PRIVCMD_MMAPBATCH_V2.0, 0x0020_5004);
            assert_eq!(PRIVCMD_MMAP_RESOURCE.0, 0x0020_5007);
            assert_eq!(EVTCHN_BIND_INTERDOMAIN.0, 0x0008_4501);
            assert_eq!(EVTCHN_NOTIFY.0, 0x0004_4504);
            assert_eq!(GNTDEV_MAP_GRANT_REF.0, 0x0018_4700);
            assert_eq!(GNTDEV_UNMAP_GRANT_REF.0, 0x0010_4701);
            assert_eq!(GNTDEV_SET_UNMAP_NOTIFY.0, 0x0010_4707);
            assert_eq!(GNTDEV_GRANT_COPY.0, 0x0010_4708);
            assert_eq!(GNTALLOC_ALLOC_GREF.0, 0x0018_4705);
            assert_eq!(GNTALLOC_DEALLOC_GREF.0, 0x0010_4706);
        }
    }
}
