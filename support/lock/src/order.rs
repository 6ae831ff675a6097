//! The order of locks, kept while a program runs: no lock may be taken while one of the same or a higher rank is held.
//!
//! Where nothing is checked ([`Held`] of release builds and of bare metal), it is an empty type and costs nothing. Where
//! it is checked, each thread stands for a pCPU: it is the thread that would wait for ever.

#[cfg(any(not(debug_assertions), target_os = "none"))]
pub use unchecked::Held;

#[cfg(all(debug_assertions, not(target_os = "none")))]
pub use checked::Held;

/// What a lock may be taken beside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Beside {
    /// Locks of lower ranks only.
    Lower,
    /// Also locks of its own rank.
    Same,
}

#[cfg(any(not(debug_assertions), target_os = "none"))]
mod unchecked {
    use super::Beside;
    use core::marker::PhantomData;

    /// Says that this CPU has a lock of a rank. It stays with the CPU that made it.
    #[derive(Debug)]
    pub struct Held<const RANK: u8>(PhantomData<*const ()>);

    impl<const RANK: u8> Held<RANK> {
        #[inline(always)]
        pub fn claim(_: Beside) -> Self {
            Self(PhantomData)
        }
    }
}

#[cfg(all(debug_assertions, not(target_os = "none")))]
mod checked {
    use super::Beside;
    use core::cell::Cell;
    use core::marker::PhantomData;

    const RANKS: usize = 32;

    std::thread_local! {
        /// How many locks of each rank the thread has.
        static HELD: [Cell<u8>; RANKS] = const { [const { Cell::new(0) }; RANKS] };
    }

    /// Says that this thread has a lock of a rank. It stays with the thread that made it.
    #[derive(Debug)]
    pub struct Held<const RANK: u8>(PhantomData<*const ()>);

    impl<const RANK: u8> Held<RANK> {
        /// Checks the order, before the thread waits for the lock.
        #[track_caller]
        pub fn claim(beside: Beside) -> Self {
            const { assert!((RANK as usize) < RANKS, "no such rank") };
            HELD.with(|held| {
                let highest = held.iter().rposition(|count| count.get() > 0);
                let allowed = match beside {
                    Beside::Lower => highest < Some(RANK.into()),
                    Beside::Same => highest <= Some(RANK.into()),
                };
                assert!(
                    allowed,
                    "a lock of rank {RANK} is taken while one of rank {} is held",
                    highest.unwrap_or_default()
                );
                let count = &held[usize::from(RANK)];
                count.set(count.get() + 1);
            });
            Self(PhantomData)
        }
    }

    impl<const RANK: u8> Drop for Held<RANK> {
        fn drop(&mut self) {
            HELD.with(|held| {
                let count = &held[usize::from(RANK)];
                count.set(count.get() - 1);
            });
        }
    }
}
