//! A client's connection of HTTP/1: request after request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::exchange::{self, Done};
use super::head::{self, Framing, Refusal, RequestHead};
use super::plan::{self, Answer, Asked, Plan};
use super::{cookie, forwarded, write};
use crate::alarm::{Alarm, Late};
use crate::listeners::Slot;
use crate::log::Entry;
use crate::node::{Counted, Node};
use crate::oidc::Identity;
use crate::stream::Stream;
use crate::table::Listening;
use crate::{buffers, clock, limits};

/// A connection of a client.
pub(crate) struct Session {
    pub(crate) node: Arc<Node>,
    pub(crate) slot: Arc<Slot>,
    pub(crate) worker: usize,
    pub(crate) client: SocketAddr,
    /// Version and cipher suite.
    pub(crate) tls: Option<(&'static str, &'static str)>,
    pub(crate) stream: Stream,
    pub(crate) alarm: Alarm,
    /// What was read and not yet used is at `start..end`.
    pub(crate) buffer: Vec<u8>,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// What the target of the current request is told of the client.
    pub(crate) identity: Identity,
    opened: Instant,
}

/// What comes after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Next,
    /// Close when the client has read all.
    Close,
    /// Close at once.
    Abort,
}

impl Session {
    /// Boxed: a future has room for an argument and once more for where it is moved to.
    pub(crate) fn new(
        node: Arc<Node>,
        slot: Arc<Slot>,
        worker: usize,
        client: SocketAddr,
        stream: Stream,
        tls: Option<(&'static str, &'static str)>,
    ) -> Box<Self> {
        Box::new(Self {
            node,
            slot,
            worker,
            client,
            tls,
            stream,
            alarm: Alarm::default(),
            buffer: Vec::new(),
            start: 0,
            end: 0,
            identity: Identity::new(),
            opened: Instant::now(),
        })
    }

    /// Serves until the connection ends.
    pub(crate) async fn run(mut self: Box<Self>) {
        loop {
            if self.start == self.end && !self.wait().await {
                return;
            }
            // Boxed, so that an idle connection is small.
            match Box::pin(self.turn()).await {
                After::Next => {}
                After::Close => {
                    Box::pin(self.stream.linger()).await;
                    return;
                }
                After::Abort => return,
            }
            if self.start == self.end {
                buffers::give(std::mem::take(&mut self.buffer));
                (self.start, self.end) = (0, 0);
            }
        }
    }

    /// Waits for the first bytes of a request, without a buffer.
    async fn wait(&mut self) -> bool {
        let attributes = &self.slot.now().balancer.record.attributes;
        let idle = Duration::from_secs(attributes.idle_timeout_s.into());
        let deadline = Instant::now() + idle;
        let mut first = [0];
        let stream = &mut self.stream;
        let came = self.alarm.within(deadline, |cx| stream.poll_first(cx, &mut first)).await;
        let Ok(Ok(have)) = came else { return false };
        self.buffer = buffers::head();
        self.buffer[..have].copy_from_slice(&first[..have]);
        self.end = have;
        true
    }

    /// One request and its answer.
    async fn turn(&mut self) -> After {
        let listening = self.slot.now();
        let began = Instant::now();
        let idle = listening.balancer.record.attributes.idle_timeout_s;
        let deadline = began + Duration::from_secs(idle.into());
        let head = match self.read_head(deadline).await {
            Ok(Some(head)) => head,
            Ok(None) => return After::Abort,
            Err(Fault::Late) => return self.refuse(&listening, 408, began).await,
            Err(Fault::Refused(why)) => return self.refuse(&listening, why.status(), began).await,
        };
        let _active = Counted::new(&self.node, |node| &node.active);
        self.serve(&listening, head, began).await
    }

    async fn read_head(&mut self, deadline: Instant) -> Result<Option<RequestHead>, Fault> {
        // Empty lines before a request are let pass, as RFC 9112 wishes.
        let mut looked = 0;
        loop {
            let have = &self.buffer[self.start..self.end];
            // Without a new line's end there can be no new head.
            let worth = have[looked..].contains(&b'\n') || have.len() >= limits::HEAD_BUFFER_BYTES;
            if let Some(head) = if worth { head::request(have)? } else { None } {
                return Ok(Some(head));
            }
            looked = have.len();
            self.make_room();
            let (stream, buffer) = (&mut self.stream, &mut self.buffer[self.end..]);
            match self.alarm.within(deadline, |cx| stream.poll_fill(cx, buffer)).await {
                Ok(Ok(0) | Err(_)) => return Ok(None),
                Ok(Ok(read)) => self.end += read,
                Err(Late) => return Err(Fault::Late),
            }
        }
    }

    /// Makes room behind what was read.
    fn make_room(&mut self) {
        if self.end < self.buffer.len() {
            return;
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        } else {
            let larger = (self.buffer.len() * 2).max(limits::HEAD_BUFFER_BYTES);
            let old = std::mem::replace(&mut self.buffer, vec![0; larger]);
            self.buffer[..old.len()].copy_from_slice(&old);
            buffers::give(old);
        }
    }

    async fn serve(
        &mut self,
        listening: &Arc<Listening>,
        head: RequestHead,
        began: Instant,
    ) -> After {
        let bytes = &self.buffer[self.start..self.end];
        let host = head.authority.as_ref().map_or_else(
            || write::values(bytes, &head.headers, "host").next().unwrap_or_default(),
            |place| head::text(bytes, place),
        );
        let target = head::text(bytes, &head.target);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let each_header = |name: &str, test: &mut dyn FnMut(&str) -> bool| {
            head.headers.iter().any(|(key, value)| {
                head::at(bytes, key).eq_ignore_ascii_case(name.as_bytes())
                    && test(head::text(bytes, value))
            })
        };
        let asked = Asked {
            method: head::text(bytes, &head.method),
            host: forwarded::host_only(host),
            path,
            query,
            client: self.client,
            each_header: &each_header,
        };
        let (plan, priority) = plan::plan(listening, &asked);
        let mut entry = Entry::begin(listening, self.client, began);
        if entry.wanted {
            let tls = self.tls;
            entry.request(asked.method, tls, host, target, head.eleven, &each_header, priority);
        }
        if forwarded::too_many(write::values(bytes, &head.headers, "x-forwarded-for")) {
            return self.answer(listening, &head, &Answer::page(463), entry).await;
        }
        match plan {
            Plan::Answer(answer) => self.answer(listening, &head, &answer, entry).await,
            Plan::LogIn(log_in) => {
                let answer = log_in.finish().await;
                self.answer(listening, &head, &answer, entry).await
            }
            Plan::Forward(forwarding) => {
                let done = exchange::forward(self, listening, &head, forwarding, &mut entry).await;
                match done {
                    Done::After(after) => {
                        entry.end(&self.node, listening);
                        after
                    }
                    Done::Answer(status) => {
                        self.answer(listening, &head, &Answer::page(status), entry).await
                    }
                }
            }
        }
    }

    /// Whether the connection may go on after the current request.
    pub(crate) fn may_go_on(&self, listening: &Listening, head: &RequestHead) -> bool {
        let most = listening.balancer.record.attributes.client_keep_alive_s;
        head.keep_alive
            && !self.node.draining.load(Relaxed)
            && !self.slot.is_gone()
            && self.opened.elapsed() < Duration::from_secs(most.into())
    }

    /// Answers a request itself.
    async fn answer(
        &mut self,
        listening: &Listening,
        head: &RequestHead,
        answer: &Answer,
        mut entry: Entry,
    ) -> After {
        // The body is passed over if it is here already; else it is not waited for.
        let there = (self.end - self.start).saturating_sub(head.len) as u64;
        let skipped = match head.framing {
            Framing::Length(length) if length <= there => Some(length),
            _ => None,
        };
        let keep = self.may_go_on(listening, head) && skipped.is_some();
        let bodyless = head::text(&self.buffer[self.start..self.end], &head.method) == "HEAD";
        self.start += head.len + usize::try_from(skipped.unwrap_or(0)).unwrap_or(0);
        let mut out = Vec::new();
        let (date, own) = (cookie::date(clock::now()), &listening.record.attributes);
        write::answer(&mut out, answer, keep, bodyless, &date, own);
        entry.answered(answer.status, out.len() as u64);
        let sent = self.send(&out).await;
        entry.end(&self.node, listening);
        match sent {
            true if keep => After::Next,
            true => After::Close,
            false => After::Abort,
        }
    }

    /// Answers what is no request, and closes.
    async fn refuse(&mut self, listening: &Listening, status: u16, began: Instant) -> After {
        let mut entry = Entry::begin(listening, self.client, began);
        let mut out = Vec::new();
        let date = cookie::date(clock::now());
        let own = &listening.record.attributes;
        write::answer(&mut out, &Answer::page(status), false, false, &date, own);
        entry.answered(status, out.len() as u64);
        self.start = self.end;
        let sent = self.send(&out).await;
        entry.end(&self.node, listening);
        if sent { After::Close } else { After::Abort }
    }

    /// Sends to the client, within its idle timeout.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        let attributes = &self.slot.now().balancer.record.attributes;
        let deadline = Instant::now() + Duration::from_secs(attributes.idle_timeout_s.into());
        let mut written = 0;
        let stream = &mut self.stream;
        let sent = self.alarm.within(deadline, |cx| {
            while written < bytes.len() {
                match stream.poll_put(cx, &bytes[written..]) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(false),
                    Poll::Ready(Ok(more)) => written += more,
                    Poll::Pending => return Poll::Pending,
                }
            }
            stream.poll_out(cx).map(|out| out.is_ok())
        });
        sent.await.unwrap_or(false)
    }
}

/// Why there is no request.
enum Fault {
    Late,
    Refused(Refusal),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
