//! The boundary of the store: what every backend must do, what a crash may not undo, what the
//! view shows, and which bytes stay readable.

mod archive;
mod backend;
mod conformance;
mod durability;
mod etcd;
mod golden;
mod sample;
mod state;
