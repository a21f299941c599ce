//! Records and decisions of Longshore.
//!
//! Everything here is a function of its arguments: records, the time `now`, and an id
//! source. The crate is `no_std` so that the compiler refuses a clock, a file, a thread or
//! a hash map; drivers in `server` and `agent` do the I/O that a plan asks for.
//!
//! What it leaves out: AWS's wire shapes (crate `longshore-wire`) and persistence (crate
//! `longshore-store`).
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod check;
pub mod daemons;
pub mod deploy;
pub mod explain;
pub mod fidelity;
pub mod idle;
pub mod ids;
pub mod journal;
pub mod lifecycle;
pub mod limits;
pub mod record;
pub mod registration;
pub mod route;
pub mod schedule;
pub mod task;
pub mod throttle;
pub mod time;
