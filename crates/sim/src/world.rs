//! Time and chance of one run.
//!
//! A run is one thread with a paused tokio clock. All that differs between two runs comes from
//! here: the same seed gives the same run. The wall clock follows tokio's and can be made to jump.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::time::Duration;

use longshore_domain::time::Timestamp;
use tokio::time::Instant;

/// The wall clock at the beginning of every run: 2026-01-01T00:00:00Z.
pub const EPOCH: Timestamp = Timestamp::from_millis(1_767_225_600_000);

thread_local! {
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
    static JUMPED_AT: Cell<Option<Duration>> = const { Cell::new(None) };
    static JUMPED_MS: Cell<i64> = const { Cell::new(0) };
    static CHANCE: RefCell<fastrand::Rng> =
        const { RefCell::new(fastrand::Rng::with_seed(0)) };
    /// Whether things take no time that need none, so that a story depends on little.
    static CALM: Cell<bool> = const { Cell::new(false) };
    /// How many ids a calm world has given out.
    static DRAWN: Cell<u32> = const { Cell::new(0) };
    static FAULTS: Cell<bool> = const { Cell::new(false) };
}

/// Begins a run on this thread; call it within the run's runtime.
pub fn begin(seed: u64) {
    BEGAN.set(Some(Instant::now()));
    JUMPED_MS.set(0);
    JUMPED_AT.set(None);
    FAULTS.set(false);
    CALM.set(false);
    DRAWN.set(0);
    CHANCE.replace(fastrand::Rng::with_seed(seed));
    longshore_server::simulate(now, bits);
    longshore_agent::simulate(now, bits);
}

/// The wall clock.
pub fn now() -> Timestamp {
    let elapsed = BEGAN.get().map_or(Duration::ZERO, |began| began.elapsed());
    let wall = EPOCH + elapsed;
    Timestamp::from_millis(wall.as_millis() + JUMPED_MS.get())
}

/// Time since the run began, whatever the wall clock says.
pub fn elapsed() -> Duration {
    BEGAN.get().map_or(Duration::ZERO, |began| began.elapsed())
}

/// Moves the wall clock of every machine.
pub fn jump(millis: i64) {
    JUMPED_MS.set(JUMPED_MS.get() + millis);
    JUMPED_AT.set(Some(elapsed()));
}

/// Whether the wall clock has jumped not longer ago than that.
pub fn jumped_within(time: Duration) -> bool {
    JUMPED_AT.get().is_some_and(|at| elapsed() <= at + time)
}

/// 128 random bits; in a calm world they grow, so that ids sort in the order in which they are made.
pub fn bits() -> u128 {
    let bits = CHANCE.with_borrow_mut(|chance| chance.u128(..));
    if !CALM.get() {
        return bits;
    }
    DRAWN.set(DRAWN.get() + 1);
    u128::from(DRAWN.get()) << 96 | bits & (u128::MAX >> 32)
}

/// A number of `range`, which is not empty.
pub fn pick(range: Range<u64>) -> u64 {
    CHANCE.with_borrow_mut(|chance| chance.u64(range))
}

/// One of `items`, which are not none.
pub fn one_of<T>(items: &[T]) -> &T {
    let index = CHANCE.with_borrow_mut(|chance| chance.usize(..items.len()));
    &items[index]
}

/// True in `count` of `of` cases.
pub fn chance(count: u64, of: u64) -> bool {
    pick(0..of) < count
}

/// A random time; the shortest in a calm world.
pub fn millis(range: Range<u64>) -> Duration {
    Duration::from_millis(if CALM.get() { range.start } else { pick(range) })
}

/// Makes the world calm.
pub fn calm() {
    CALM.set(true);
}

/// Whether things go wrong at the moment.
pub fn faulty() -> bool {
    FAULTS.get()
}

/// Lets things go wrong, or not.
pub fn set_faulty(on: bool) {
    FAULTS.set(on);
}
