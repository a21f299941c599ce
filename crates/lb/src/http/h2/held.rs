//! The body of an answer, and what is held until it is over.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use std::sync::PoisonError;
use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::limits;
use crate::log::Entry;
use crate::node::{Counted, Node};
use crate::table::Listening;
use crate::target::Flight;

/// The body of an answer.
pub(super) struct Held {
    pub(super) body: Incoming,
    /// Without a frame for so long it is broken off.
    pub(super) idle: Duration,
    pub(super) deadline: Instant,
    pub(super) alarm: Alarm,
    /// The connection that it comes from, to be used again.
    pub(super) sender: Option<http1::SendRequest<super::Body>>,
    pub(super) over: bool,
    pub(super) worker: usize,
    pub(super) flight: Flight,
    pub(super) entry: Option<Entry>,
    pub(super) node: Arc<Node>,
    pub(super) listening: Arc<Listening>,
    pub(super) _active: Counted<fn(&Node) -> &AtomicUsize>,
}

impl Body for Held {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.deadline = Instant::now() + this.idle;
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                if let Some(entry) = &mut this.entry {
                    entry.more(bytes as u64);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                this.over = true;
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error))),
            // The end without `over` shows as a stream that is too short or, for one without a
            // length, as one that ends; the connection to the target is closed in any case.
            Poll::Pending => this.alarm.poll(cx, this.deadline).map(|()| None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            entry.end(&self.node, &self.listening);
        }
        let whole = self.over || self.body.is_end_stream();
        let Some(mut sender) = self.sender.take().filter(|_| whole) else { return };
        let target = Arc::clone(&self.flight.target);
        let worker = self.worker;
        tokio::spawn(async move {
            if sender.ready().await.is_err() || !target.takes() {
                return;
            }
            if let Some(senders) = target.senders.get(worker) {
                let mut senders = senders.lock().unwrap_or_else(PoisonError::into_inner);
                if senders.one.len() < limits::IDLE_PER_TARGET {
                    senders.one.push(sender);
                }
            }
        });
    }
}
