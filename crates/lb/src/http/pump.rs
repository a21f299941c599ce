//! A body on its way from one connection to another.

use std::io;
use std::task::{Context, Poll, ready};

use super::chunked::Chunks;
use super::head::Framing;
use crate::buffers;
use crate::stream::Stream;

/// What is left of a body.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Length(u64),
    Chunks(Chunks),
    Close { over: bool },
}

impl Body {
    pub(crate) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunks(Chunks::new()),
            Framing::Close => Self::Close { over: false },
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunks(chunks) => chunks.is_done(),
            Self::Close { over } => *over,
        }
    }

    /// How many of the bytes belong to it; `None` when they make no sense.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Length(left) => {
                let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                Some(taken)
            }
            Self::Chunks(chunks) => chunks.advance(bytes, |_| {}).ok(),
            Self::Close { .. } => Some(bytes.len()),
        }
    }
}

/// Why a body did not arrive.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The sender was gone, or stopped early.
    Read,
    /// The receiver was gone.
    Write,
    /// It made no sense.
    Malformed,
}

/// A body on its way.
#[derive(Debug)]
pub(crate) struct Pump {
    pub(crate) body: Body,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes that have been written.
    pub(crate) moved: u64,
    /// What was read after the end of the body.
    pub(crate) extra: Vec<u8>,
    first: [u8; 1],
}

impl Pump {
    pub(crate) fn new(body: Body) -> Self {
        Self { body, buffer: Vec::new(), start: 0, end: 0, moved: 0, extra: Vec::new(), first: [0] }
    }

    /// Nothing is left to read or to write.
    pub(crate) fn is_done(&self) -> bool {
        self.start == self.end && self.body.is_done()
    }

    /// Begins with a buffer that was read already; `start..end` of it belongs to the body.
    pub(crate) fn begin(&mut self, buffer: Vec<u8>, start: usize, end: usize) {
        (self.buffer, self.start, self.end) = (buffer, start, end);
    }

    /// Moves what can be moved.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
    ) -> Poll<Result<(), Broken>> {
        loop {
            while self.start < self.end {
                let written = ready!(to.poll_put(cx, &self.buffer[self.start..self.end]));
                match written {
                    Ok(0) | Err(_) => return Poll::Ready(Err(Broken::Write)),
                    Ok(written) => {
                        self.start += written;
                        self.moved += written as u64;
                    }
                }
            }
            if ready!(to.poll_out(cx)).is_err() {
                return Poll::Ready(Err(Broken::Write));
            }
            if self.body.is_done() {
                self.give_back();
                return Poll::Ready(Ok(()));
            }
            match self.fill(cx, from) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken)),
                Poll::Pending => {
                    self.give_back();
                    return Poll::Pending;
                }
            }
        }
    }

    fn fill(&mut self, cx: &mut Context<'_>, from: &mut Stream) -> Poll<Result<(), Broken>> {
        let mut have = 0;
        if self.buffer.is_empty() {
            have = match ready!(from.poll_first(cx, &mut self.first)) {
                Ok(have) => have,
                Err(error) => return Poll::Ready(self.ended(&error)),
            };
            self.buffer = buffers::body();
            self.buffer[..have].copy_from_slice(&self.first[..have]);
        }
        let most = match &self.body {
            Body::Length(left) => usize::try_from(*left).unwrap_or(usize::MAX),
            Body::Chunks(_) | Body::Close { .. } => usize::MAX,
        };
        let most = most.min(self.buffer.len());
        let mut read = have;
        if have < most {
            match from.poll_fill(cx, &mut self.buffer[have..most]) {
                Poll::Ready(Ok(0)) if have == 0 => {
                    return Poll::Ready(self.ended(&io::ErrorKind::UnexpectedEof.into()));
                }
                Poll::Ready(Ok(more)) => read += more,
                Poll::Ready(Err(error)) if have == 0 => return Poll::Ready(self.ended(&error)),
                Poll::Pending if have == 0 => return Poll::Pending,
                Poll::Ready(Err(_)) | Poll::Pending => {}
            }
        }
        let Some(taken) = self.body.take(&self.buffer[..read]) else {
            return Poll::Ready(Err(Broken::Malformed));
        };
        self.extra.extend_from_slice(&self.buffer[taken..read]);
        (self.start, self.end) = (0, taken);
        Poll::Ready(Ok(()))
    }

    /// What the end of a connection means for the body.
    fn ended(&mut self, error: &io::Error) -> Result<(), Broken> {
        match &mut self.body {
            Body::Close { over } if error.kind() == io::ErrorKind::UnexpectedEof => {
                *over = true;
                Ok(())
            }
            _ => Err(Broken::Read),
        }
    }

    fn give_back(&mut self) {
        if !self.buffer.is_empty() {
            buffers::give(std::mem::take(&mut self.buffer));
            (self.start, self.end) = (0, 0);
        }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.give_back();
    }
}
