//! Time and chance for threads that simulate: both come from the simulator, so that a run can be
//! repeated.

use std::cell::Cell;

use longshore_domain::time::Timestamp;

/// Where a thread has its time of day and its random bits from.
#[derive(Clone, Copy, Debug)]
struct World {
    now: fn() -> Timestamp,
    bits: fn() -> u128,
}

thread_local! {
    static WORLD: Cell<Option<World>> = const { Cell::new(None) };
}

/// From now on, servers on this thread take time and chance from these.
pub fn simulate(now: fn() -> Timestamp, bits: fn() -> u128) {
    WORLD.set(Some(World { now, bits }));
}

/// The simulated time of day.
pub(crate) fn now() -> Option<Timestamp> {
    WORLD.get().map(|world| (world.now)())
}

/// Simulated chance.
pub(crate) fn bits() -> Option<u128> {
    WORLD.get().map(|world| (world.bits)())
}
