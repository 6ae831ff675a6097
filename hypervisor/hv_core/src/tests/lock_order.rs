//! That a lock taken against the order ends a test: so all other tests prove the order of what they run.

use crate::testkit::World;

#[test]
#[should_panic = "a lock of rank 10 is taken while one of rank 11 is held"]
fn memory_inside_ports_is_caught() {
    let world = World::new();
    let domain = world.domain(5, 1);
    domain.events.with_shared_info(world.hv, |_| drop(domain.memory.lock()));
}

#[test]
#[should_panic = "a lock of rank 10 is taken while one of rank 10 is held"]
fn memory_of_two_domains_at_once_is_caught() {
    let world = World::new();
    let (one, other) = (world.domain(5, 1), world.domain(6, 1));
    let _one = one.memory.lock();
    drop(other.memory.lock());
}
