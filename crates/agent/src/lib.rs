//! The agent: runs the tasks of one container instance.
//!
//! It registers a machine with a control plane, takes orders over the ACS session, runs
//! containers, and tells what becomes of them, in the protocol of the official ECS agent. What is
//! to be done about a task is decided by `domain::task`; this crate does it.
//!
//! A walk through it: [`run`] puts the parts together; `session` talks with the control plane;
//! `engine` owns every task and is the only one to change it; `hands` makes the calls to the
//! [`runtime`]; `metadata` answers the containers; `store` keeps what must survive. Several
//! agents run in one process and on one container runtime; each touches only containers that
//! carry its own label. [`hollow`] agents run nothing, thousands of them in one process.
//!
//! What it leaves out: choosing what to run, and networks of the kind `awsvpc`.

pub mod api;
mod backoff;
mod cgroup;
mod clock;
mod config;
pub mod disk;
mod endpoints;
mod engine;
mod error;
mod hands;
pub mod hollow;
mod images;
mod join;
mod keys;
pub mod labels;
mod limits;
mod metadata;
pub mod network;
mod ports;
mod random;
mod record;
mod register;
mod run;
pub mod runtime;
mod secrets;
mod session;
#[cfg(feature = "simulation")]
mod simulation;
mod store;
mod task;
mod telemetry;
mod trust;

pub use api::ApiError;
pub use config::{AwsLogs, Cleanup, Config, Credentials, PullBehavior, Timeouts};
pub use error::AgentError;
pub use join::JoinToken;
pub use run::{Host, run, run_on, run_with};
#[cfg(feature = "simulation")]
pub use simulation::simulate;
pub use trust::{Authorities, Trust, TrustError};
