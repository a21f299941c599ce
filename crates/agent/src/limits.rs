//! Limits of the agent, beside what they mirror.

use std::time::Duration;

/// Calls to make or start containers at the same time (ours: what one daemon does well).
pub(crate) const RUNTIME_CALLS: usize = 8;
/// Image pulls at the same time (ours).
pub(crate) const PULLS: usize = 4;
/// Reports in flight at the same time, over all tasks (ours: each has a connection of its own, and the control
/// plane thousands of agents; two keep up with what a daemon starts. The ECS agent has ten).
pub(crate) const REPORTS: usize = 2;
/// Events waiting for the engine (ours; whoever sends waits).
pub(crate) const EVENTS: usize = 1024;
/// Changes of one task waiting to be reported; beyond it the oldest container change goes (ours).
pub(crate) const CHANGES_PER_TASK: usize = 32;
/// Bytes of a frame that the control plane may send (ours; a payload of ten large tasks).
pub(crate) const FRAME_BYTES: usize = 16 * 1024 * 1024;
/// Bytes that are read from a session at once; frames may be longer (ours: the buffer stays allocated).
pub(crate) const SOCKET_BUFFER_BYTES: usize = 4 * 1024;
/// Bytes of an API answer (ours).
pub(crate) const ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// Time for one API call (as the ECS agent).
pub(crate) const API_CALL: Duration = Duration::from_secs(42);
/// How long one of several servers may take to answer a call, or to open a session (ours).
pub(crate) const OF_SEVERAL: Duration = Duration::from_secs(15);
/// How long a connection to the control plane may take to be made (ours).
pub(crate) const CONNECT: Duration = Duration::from_secs(10);
/// Age at which the keys of a machine that joined are renewed (ours: a leak is stale after a week, and six attempts
/// at least may fail before the keys end).
pub(crate) const KEYS_RENEWAL: Duration = Duration::from_secs(24 * 3600);
/// Characters of a reason (ECS API).
pub(crate) const REASON_LEN: usize = 1024;
/// Memory that a container gets at least, in MiB (Docker refuses less).
pub(crate) const MEMORY_MIN_MIB: u32 = 6;
/// CPU shares that a container gets at least (Linux).
pub(crate) const CPU_SHARES_MIN: u32 = 2;
/// CPU shares that a container gets at most (Linux).
pub(crate) const CPU_SHARES_MAX: u32 = 262_144;
/// Tasks per frame of metrics or health (as the ECS agent).
pub(crate) const TASKS_PER_FRAME: usize = 10;
/// How long the addresses of the control plane's websockets are believed (as the ECS agent).
pub(crate) const POLL_ENDPOINT_LIFE: Duration = Duration::from_secs(12 * 3600);
/// Silence after which a session is given up; up to as much again is added (as the ECS agent).
pub(crate) const SESSION_SILENCE: Duration = Duration::from_secs(60);
/// Age after which a session is renewed; up to five minutes are added (as the ECS agent).
pub(crate) const SESSION_AGE: Duration = Duration::from_secs(30 * 60);
/// Spread added to [`SESSION_AGE`].
pub(crate) const SESSION_AGE_SPREAD: Duration = Duration::from_secs(5 * 60);
/// Time for opening a session or writing a frame (as the ECS agent).
pub(crate) const SESSION_IO: Duration = Duration::from_secs(180);
/// Time beyond the stop timeout for a daemon to stop a container (ours).
pub(crate) const STOP_MARGIN: Duration = Duration::from_secs(30);
/// Pause before a broken event stream is opened again (ours).
pub(crate) const EVENTS_RETRY: Duration = Duration::from_millis(500);
/// How long a task waits to be cleared away while its end is not reported (as the ECS agent).
pub(crate) const UNREPORTED_WAIT: Duration = Duration::from_secs(72 * 3600);
/// Host ports tried for a range before it is given up (ours).
pub(crate) const PORT_RANGE_TRIES: u32 = 64;
/// Requests per second and burst that one container may make to the metadata endpoint (AWS: 40, 60).
pub(crate) const METADATA_RPS: (f64, f64) = (40.0, 60.0);
/// Ports remembered as handed out for ranges, before they are forgotten at once (ours).
pub(crate) const PORTS_REMEMBERED: usize = 4096;
/// Clients of the metadata endpoint whose rate is remembered, before all are forgotten at once (ours).
pub(crate) const METADATA_CLIENTS: usize = 4096;
/// Time for a task-protection call (as the ECS agent).
pub(crate) const PROTECTION_CALL: Duration = Duration::from_secs(4);
/// How long after a kill the runtime may still learn that it was for lack of memory (ours: the
/// kernel tells both by different ways).
pub(crate) const MEMORY_GRACE: Duration = Duration::from_millis(250);
/// Hollow agents that register, or deregister, at the same time (ours: what keeps a server busy
/// without making a queue of it).
pub(crate) const HOLLOW_JOINING: usize = 64;
/// Orders that wait for a hollow agent (as with a real one, the session waits then).
pub(crate) const HOLLOW_ORDERS: usize = 8;
/// Ended tasks that a hollow agent remembers, so as not to start them again (ours).
pub(crate) const HOLLOW_ENDED: usize = 1000;
