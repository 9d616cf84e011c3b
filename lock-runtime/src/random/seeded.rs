//! In the simulation, all chance of a run is from its seed. A run is on one thread, and so is its
//! chance.

use std::cell::RefCell;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

thread_local! {
    static CHANCE: RefCell<StdRng> = RefCell::new(StdRng::seed_from_u64(0));
}

pub(crate) fn draw<T>(from: impl FnOnce(&mut StdRng) -> T) -> T {
    CHANCE.with_borrow_mut(from)
}

/// From now on, this thread draws what follows from this seed.
pub(crate) fn begin(seed: u64) {
    CHANCE.set(StdRng::seed_from_u64(seed));
}
