//! Messages for a vCPU, and the vCPU that collects them, in every order that the memory model allows (loom).

#[path = "bank.rs"]
#[allow(dead_code, clippy::duplicate_mod, reason = "the file over other atomics")]
mod bank;

#[path = "again.rs"]
#[allow(dead_code, clippy::duplicate_mod, reason = "the file over other atomics")]
mod again;

use super::{bits, block, cpu_interface};
use bank::{Bank, SGIS};
use loom::sync::Arc;
use loom::thread;

mod sync {
    pub(super) use loom::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
}

/// A private interrupt, and a block of shared ones.
const PRIVATE: u32 = 27;
const BLOCK: usize = 3;

/// What the vCPU has found: private interrupts, and blocks of shared ones.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
struct Found {
    edges: u32,
    blocks: u32,
}

/// The vCPU looks as it does before it enters its guest.
fn look(bank: &Bank, found: &mut Found) {
    if !bank.has_work() {
        return;
    }
    let mut inner = bank.lock();
    bank.take_work(&mut inner, 0);
    found.edges = inner.block.latch;
    found.blocks |= bank.take_spi_hint();
}

/// Lets two others leave messages while the vCPU looks; what it has found when all is quiet.
fn found(bank: &Arc<Bank>, posts: [fn(&Bank) -> bool; 2]) -> (Found, [bool; 2]) {
    let others = posts.map(|post| {
        let bank = Arc::clone(bank);
        thread::spawn(move || post(&bank))
    });
    let mut found = Found::default();
    look(bank, &mut found);
    let posted = others.map(|other| other.join().unwrap());
    look(bank, &mut found);
    assert!(!bank.has_work());
    (found, posted)
}

fn bank() -> Arc<Bank> {
    Arc::new(Bank::new(block::Block::new(SGIS, u32::MAX, 0)))
}

#[test]
fn messages_of_two_kinds_are_both_found() {
    loom::model(|| {
        let post_spi = |bank: &Bank| {
            bank.post_spi(BLOCK);
            true
        };
        let (found, posted) = found(&bank(), [|bank| bank.post(bits::bit(PRIVATE)), post_spi]);
        assert_eq!(found, Found { edges: bits::bit(PRIVATE), blocks: 1 << BLOCK });
        assert_eq!(posted, [true, true]);
    });
}

#[test]
fn one_of_two_that_leave_the_same_message_sees_to_it() {
    loom::model(|| {
        let post = |bank: &Bank| bank.post(bits::bit(PRIVATE));
        let (found, posted) = found(&bank(), [post, post]);
        assert_eq!(found.edges, bits::bit(PRIVATE));
        assert!(posted.contains(&true));
    });
}

#[test]
fn both_senders_of_an_interrupt_are_known_when_it_is_found() {
    loom::model(|| {
        let bank = bank();
        let (found, _) = found(&bank, [|bank| bank.post_from(2, 1), |bank| bank.post_from(2, 2)]);
        assert_eq!((found.edges, bank.senders(2)), (1 << 2, 3));
    });
}

#[test]
fn an_edge_is_claimed_or_found_by_whoever_reads_the_pending_state() {
    const EDGE: u32 = bits::bit(PRIVATE);
    loom::model(|| {
        let bank = bank();
        bank.again.remember(EDGE, 3, 7);
        let reader = {
            let bank = Arc::clone(&bank);
            thread::spawn(move || {
                let mut inner = bank.lock();
                bank.collect(&mut inner, 0);
                inner.block.latch
            })
        };
        let poster = {
            let bank = Arc::clone(&bank);
            thread::spawn(move || bank.post(EDGE))
        };
        let claimed =
            bank.again.lr(EDGE, 3) == Some(7) && bank.single_edge() == Some(EDGE) && bank.claim(EDGE);
        assert!(poster.join().unwrap());
        let latched = reader.join().unwrap() & EDGE != 0;
        let posted = bank.posted() & EDGE != 0;
        assert_eq!(u32::from(claimed) + u32::from(latched) + u32::from(posted), 1);
        assert_eq!(bank.again.lr(EDGE, 3), None, "the reader had the lock");
    });
}
