//! What is remembered of a service that scales to zero.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A service that scales to zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idle {
    /// When it was last used, as far as it was written down: not every request is.
    pub used_at: Timestamp,
    /// Desired count while it is awake; 0 where it was never known.
    pub count: u32,
    /// Whether it sleeps.
    pub state: IdleState,
}

/// Whether a service that scales to zero sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum IdleState {
    /// Requests are served.
    Awake,
    /// It was not used for long, since then.
    Asleep(Timestamp),
    /// Somebody has set its desired count to 0, seen then.
    Emptied(Timestamp),
    /// It cannot sleep.
    Unable(Obstacle),
}

/// Why a service cannot scale to zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Obstacle {
    /// It runs a task on each instance.
    Daemon,
    /// Somebody else decides about its tasks.
    External,
    /// Requests do not come through a balancer.
    NoBalancer,
    /// Nobody can hold datagrams.
    Datagrams,
}
