//! The simulator: the real server and the real agents on simulated time, network, disks and
//! containers.
//!
//! A seed is a run: [`run`] lets users and faults loose on a small cluster, then gives it peace, and
//! judges every transaction and the end by checkers that share no code with the planners. The same
//! seed gives the same run, so a failure can be looked at again and again. Scenarios are runs
//! without chance, told in text files.
//!
//! What is simulated: time, ids, the store's delays and conflicts, the network, disks, the container
//! runtime. What is real: everything between, from the bytes of a request to the agent's state
//! machine.

#[cfg(not(tokio_unstable))]
compile_error!(
    "the simulator needs `--cfg tokio_unstable`, as .cargo/config.toml of the repository sets it"
);

pub mod balancer;
mod check;
mod cluster;
mod faults;
mod images;
mod life;
mod machine;
mod names;
mod network;
mod run;
mod scenario;
mod store;
mod story;
mod watcher;
mod workload;
mod world;

pub use run::{Options, Outcome, run};
pub use scenario::play;
pub use store::Sabotage;
pub use watcher::Violation;
