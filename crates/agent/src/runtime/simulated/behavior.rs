//! How simulated containers behave.

use std::time::Duration;

/// Containers of which images behave how.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// Beginning of the image reference; empty fits all.
    pub image_prefix: String,
    /// How they behave.
    pub behavior: Behavior,
}

/// How a container of an image behaves. By default everything succeeds at once, and it runs until
/// it is stopped.
#[derive(Clone, Debug, Default)]
pub struct Behavior {
    /// Whether the image is there without a pull.
    pub preloaded: bool,
    /// How long a pull takes.
    pub pull_delay: Duration,
    /// Why a pull fails.
    pub pull_fails: Option<String>,
    /// How long making it takes.
    pub create_delay: Duration,
    /// Why it cannot be made.
    pub create_fails: Option<String>,
    /// How long starting it takes.
    pub start_delay: Duration,
    /// Why it cannot be started.
    pub start_fails: Option<String>,
    /// After how long it exits by itself, and with which code.
    pub exits_after: Option<(Duration, i32)>,
    /// Whether its own exit is for lack of memory.
    pub out_of_memory: bool,
    /// After how long its health check passes.
    pub healthy_after: Option<Duration>,
    /// After how long its health check fails.
    pub unhealthy_after: Option<Duration>,
    /// How long it takes to stop when asked to.
    pub stop_delay: Duration,
    /// Exit code when asked to stop.
    pub stop_code: i32,
    /// Whether it has to be killed.
    pub ignores_stop: bool,
    /// Why it cannot be stopped.
    pub stop_fails: Option<String>,
}
