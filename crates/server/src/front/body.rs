//! Bodies of requests, read whole: within a number of bytes, within a time, and within what all of them
//! together may take.
//!
//! The rule: nobody takes room by a promise. It is taken for what has come, and given back when the
//! request was answered. The first bytes of a body take none, so that small requests are answered
//! whatever others send. What finds no room waits shortly and is refused: bodies that hold a part of
//! it and need more never wait for each other for long.

use std::fmt::Display;
use std::ops::Deref;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::body::Body;
use longshore_domain::limits;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout, timeout_at};

use crate::Server;

/// How long a client may send nothing of a body.
const IDLE: Duration = Duration::from_secs(30);
/// How long it may take to send all of it: the largest one at 14 KB per second.
const TOTAL: Duration = Duration::from_secs(300);
/// How long a body waits for room.
const PATIENCE: Duration = Duration::from_secs(2);

/// The room that is left for bodies.
#[derive(Debug)]
pub(crate) struct Bodies {
    room: Semaphore,
}

impl Default for Bodies {
    fn default() -> Self {
        Self { room: Semaphore::new(limits::BODIES_BYTES) }
    }
}

/// A body that was read to its end; it takes its room until this is dropped.
#[derive(Debug)]
pub(crate) struct Whole<'b> {
    bytes: Bytes,
    _room: Option<SemaphorePermit<'b>>,
}

impl Deref for Whole<'_> {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

/// Why a body was not read to its end.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("request body exceeds {0} bytes")]
    TooLong(usize),
    #[error("The request did not come to its end in time. Send it again.")]
    Late,
    #[error("The service is busy at the moment; nothing was changed. Try again.")]
    NoRoom,
    #[error("body not readable: {0}")]
    Broken(String),
}

impl BodyError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// Clients of AWS send again what is refused by some of these.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "RequestEntityTooLarge",
            Self::Late => "RequestTimeout",
            Self::NoRoom => "ServiceUnavailable",
            Self::Broken(_) => "ClientException",
        }
    }
}

/// Reads a body of so many bytes at most.
///
/// # Errors
/// [`BodyError`]. The connection cannot go on then.
pub(crate) async fn read<B>(server: &Server, body: B, limit: usize) -> Result<Whole<'_>, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let read = server.bodies.read(body, limit).await;
    read.inspect_err(|error| {
        if *error == BodyError::NoRoom {
            server.metrics.refused("busy");
        }
    })
}

impl Bodies {
    async fn read<B>(&self, mut body: B, limit: usize) -> Result<Whole<'_>, BodyError>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Display,
    {
        let end = Instant::now() + TOTAL;
        // Copied together: what comes byte by byte would take many times its size.
        let mut bytes = Vec::new();
        let mut room: Option<SemaphorePermit<'_>> = None;
        loop {
            let until = end.min(Instant::now() + IDLE);
            let frame = match timeout_at(until, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return Err(BodyError::Broken(error.to_string())),
                Ok(None) => break,
                Err(_) => return Err(BodyError::Late),
            };
            // Trailers say nothing.
            let Ok(data) = frame.into_data() else { continue };
            if data.len() > limit - bytes.len() {
                return Err(BodyError::TooLong(limit));
            }
            let more = counted(bytes.len() + data.len()) - counted(bytes.len());
            if more > 0 {
                let taken = self.take(more).await?;
                match &mut room {
                    Some(room) => room.merge(taken),
                    None => room = Some(taken),
                }
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Whole { bytes: bytes.into(), _room: room })
    }

    async fn take(&self, bytes: usize) -> Result<SemaphorePermit<'_>, BodyError> {
        let bytes = u32::try_from(bytes).map_err(|_| BodyError::NoRoom)?;
        if let Ok(taken) = self.room.try_acquire_many(bytes) {
            return Ok(taken);
        }
        // Nobody closes it.
        let taken = timeout(PATIENCE, self.room.acquire_many(bytes)).await;
        taken.ok().and_then(Result::ok).ok_or(BodyError::NoRoom)
    }
}

/// How much room so many bytes take.
fn counted(bytes: usize) -> usize {
    bytes.saturating_sub(limits::SMALL_BODY_BYTES)
}

#[cfg(test)]
mod tests;
