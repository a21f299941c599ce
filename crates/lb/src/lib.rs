//! The balancer of Longshore: layer 7 and layer 4, by a routing snapshot.
//!
//! It holds one immutable snapshot and serves by it, whether the control plane can be reached or
//! not; it probes targets and reports what it finds. What it decides (targets, health, headers,
//! redirects) is in pure modules; sockets are in drivers around them. It stores nothing but the
//! last snapshot.
//!
//! Connections are spread over single-threaded workers: a request and its connections to targets
//! stay on one thread.

mod alarm;
mod buffers;
mod clock;
mod connect;
mod control;
mod group;
mod handover;
mod health;
mod hold;
mod http;
mod l4;
mod limits;
mod listeners;
mod log;
mod metrics;
mod node;
mod oidc;
mod run;
mod select;
mod stats;
mod stream;
mod table;
mod target;
mod tls;

#[cfg(any(test, feature = "fuzz"))]
pub use http::fuzz;
pub use longshore_auth::Credentials;
pub use run::{Config, LbError, run};
