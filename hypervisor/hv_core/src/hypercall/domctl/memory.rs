//! A domain's memory.

use super::Done;
use crate::domain::Domain;
use crate::hypercall::{Call, bitmap};
use crate::memory::{Kind, P2m};
use hal::{Gfn, MachineOps as _, PAGE_SHIFT, PAGE_SIZE};
use xen_abi::Errno;
use xen_abi::domctl::{Cacheflush, Domctl, MaxMem, NodeAffinity, PagingMempool};

/// Pages that one call handles before it lets interrupts in.
const BUDGET: u64 = 512;
/// Guest frames that one call passes.
const SKIP_BUDGET: u64 = 16 * BUDGET;
/// log2 of the pages in a KiB-counted page.
const KB_PER_PAGE_SHIFT: u32 = PAGE_SHIFT - 10;

/// XEN_DOMCTL_max_mem.
pub(super) fn max_mem(domain: &Domain, op: &Domctl) -> Result<Done, Errno> {
    let request: MaxMem = op.read_payload();
    let pages = u32::try_from(request.max_memkb >> KB_PER_PAGE_SHIFT).unwrap_or(u32::MAX);
    domain.set_max_pages(pages);
    Ok(Done::Plain)
}

/// XEN_DOMCTL_cacheflush: what was written to the pages is seen by a guest without caches.
pub(super) fn cacheflush(
    call: &Call<'_>,
    domain: &Domain,
    op: &Domctl,
    progress: u64,
) -> Result<Done, Errno> {
    let request: Cacheflush = op.read_payload();
    let end = request.start_pfn.checked_add(request.nr_pfns).ok_or(Errno::EINVAL)?;
    if Gfn(end) > P2m::limit() || progress > request.nr_pfns {
        return Err(Errno::EINVAL);
    }
    let (mut cleaned, mut passed) = (0, 0);
    for i in progress..request.nr_pfns {
        if cleaned == BUDGET || passed == SKIP_BUDGET {
            return Ok(Done::Again(i));
        }
        passed += 1;
        if let Some(entry) = domain.lookup(call.hv, Gfn(request.start_pfn + i))
            && entry.kind == Kind::Ram
        {
            call.hv.machine.clean_frames(entry.mfn, 1);
            cleaned += 1;
        }
    }
    Ok(Done::Plain)
}

/// XEN_DOMCTL_get_paging_mempool_size.
pub(super) fn get_pool(domain: &Domain, op: &mut Domctl) -> Result<Done, Errno> {
    let size = domain.memory.lock().pool.total() << PAGE_SHIFT;
    op.write_payload(&PagingMempool { size });
    Ok(Done::CopyBack)
}

/// XEN_DOMCTL_set_paging_mempool_size.
pub(super) fn set_pool(call: &Call<'_>, domain: &Domain, op: &Domctl) -> Result<Done, Errno> {
    let request: PagingMempool = op.read_payload();
    if !request.size.is_multiple_of(PAGE_SIZE as u64) {
        return Err(Errno::EINVAL);
    }
    let wanted = request.size >> PAGE_SHIFT;
    let mut memory = domain.memory.lock();
    if domain.is_dying() {
        return Err(Errno::EINVAL);
    }
    for _ in 0..BUDGET {
        let total = memory.pool.total();
        let moved = match total.cmp(&wanted) {
            core::cmp::Ordering::Equal => return Ok(Done::Plain),
            core::cmp::Ordering::Less => memory.pool.grow(call.hv),
            core::cmp::Ordering::Greater => memory.pool.shrink(call.hv),
        };
        if !moved {
            // Too little memory to grow, or the pages to give back are in use.
            return Err(if total < wanted { Errno::ENOMEM } else { Errno::EBUSY });
        }
    }
    Ok(Done::Again(0))
}

/// XEN_DOMCTL_setnodeaffinity: there is one node, so any choice that is readable means it.
pub(super) fn set_node_affinity(call: &Call<'_>, op: &Domctl) -> Result<Done, Errno> {
    let request: NodeAffinity = op.read_payload();
    bitmap::read_cpus(call, &request.nodemap)?;
    Ok(Done::Plain)
}

/// XEN_DOMCTL_getnodeaffinity: node 0.
pub(super) fn get_node_affinity(call: &Call<'_>, op: &Domctl) -> Result<Done, Errno> {
    let request: NodeAffinity = op.read_payload();
    bitmap::write_words(call, &request.nodemap, &[1])?;
    Ok(Done::Plain)
}
