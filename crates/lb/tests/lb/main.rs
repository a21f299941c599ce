//! Whole balancers with real sockets on loopback.

mod control;
mod handover;
mod hostile;
mod http;
mod l4;
mod two;
mod world;
