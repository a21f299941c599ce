//! Limits of the balancer, beside the quotas of ALB that they mirror.

use std::time::Duration;

/// Bytes of a request line (ALB: 16 K).
pub(crate) const REQUEST_LINE_BYTES: usize = 16 * 1024;
/// Bytes of one header of a request (ALB: 16 K).
pub(crate) const HEADER_BYTES: usize = 16 * 1024;
/// Bytes of the head of a request (ALB: 64 K).
pub(crate) const REQUEST_HEAD_BYTES: usize = 64 * 1024;
/// Bytes of the head of an answer (ALB: 32 K).
pub(crate) const RESPONSE_HEAD_BYTES: usize = 32 * 1024;
/// Headers of one head; ALB counts bytes only.
pub(crate) const HEADERS: usize = 256;
/// Addresses in `X-Forwarded-For` (ALB answers 463 above 30).
pub(crate) const FORWARDED_ADDRESSES: usize = 30;
/// Bytes of a chunk's first line, extensions included.
pub(crate) const CHUNK_LINE_BYTES: usize = 256;
/// Bytes of the trailers of a body.
pub(crate) const TRAILER_BYTES: usize = 16 * 1024;
/// Bytes read at a time from a body: a body of 64 KiB takes one or two reads.
pub(crate) const BODY_BUFFER_BYTES: usize = 64 * 1024;
/// Bytes first read of a request; grows up to [`REQUEST_HEAD_BYTES`].
pub(crate) const HEAD_BUFFER_BYTES: usize = 8 * 1024;
/// Streams at a time on one connection of HTTP/2 (ALB: 128).
pub(crate) const STREAMS: u32 = 128;
/// Streams that a client may reset before the balancer has answered them.
pub(crate) const RESET_STREAMS: usize = 64;
/// Connections at a time of all listeners; one more is closed at once.
pub(crate) const CONNECTIONS: usize = 200_000;
/// Time for a TLS handshake (ALB: 10 s).
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(10);
/// Time to connect to a target (ALB: 10 s).
pub(crate) const CONNECT: Duration = Duration::from_secs(10);
/// Idle connections kept to one target, of one worker.
pub(crate) const IDLE_PER_TARGET: usize = 256;
/// Time that an idle connection to a target is kept.
pub(crate) const IDLE_TARGET: Duration = Duration::from_secs(55);
/// Refused connections in a row that eject a target.
pub(crate) const REFUSALS: u32 = 3;
/// Time for which an ejected target gets nothing.
pub(crate) const EJECTED: Duration = Duration::from_secs(5);
/// Time between two whole reports.
pub(crate) const REPORT: Duration = Duration::from_secs(10);
/// Time to tell the control plane that a node ends.
pub(crate) const GOODBYE: Duration = Duration::from_secs(1);
/// Time that the control plane holds a poll for routing, and some.
pub(crate) const POLL: Duration = Duration::from_secs(35);
/// Time for a report: one that gets no answer goes to another server before this node is taken for gone.
pub(crate) const TELL: Duration = Duration::from_secs(5);
/// Time that an older snapshot is not believed: longer than a server that is cut off is asked.
pub(crate) const GOES_BACK: Duration = Duration::from_secs(60);
/// Bytes of a snapshot.
pub(crate) const SNAPSHOT_BYTES: usize = 64 * 1024 * 1024;
/// Time between attempts to open a listener.
pub(crate) const REOPEN: Duration = Duration::from_secs(1);
/// Time that what a client still sends is read for after the last answer.
pub(crate) const LINGER: Duration = Duration::from_secs(1);
/// Buffers of [`HEAD_BUFFER_BYTES`] that are read meanwhile.
pub(crate) const LINGER_READS: usize = 64;
/// Time for connections to end after SIGTERM or a handover.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);
/// Time that a flow of UDP lives without a datagram (NLB: 120 s).
pub(crate) const FLOW_IDLE: Duration = Duration::from_secs(120);
/// Flows of UDP of one listener; the oldest gives way.
pub(crate) const FLOWS: usize = 16_384;
/// Bytes of a datagram.
pub(crate) const DATAGRAM_BYTES: usize = 65_535;
/// Lines of the access log that wait to be written; more are dropped and counted.
pub(crate) const LOG_LINES: usize = 16_384;
/// Time that one file of the access log covers (ALB: 5 minutes).
pub(crate) const LOG_FILE: Duration = Duration::from_secs(300);
/// Bytes of the body of a probe's answer that are read.
pub(crate) const PROBE_BYTES: usize = 1024;
