//! A request of HTTP/1 at a target, and its answer on the way back.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use longshore_domain::route::{HealthState, Protocol, ProtocolVersion};
use tokio::time::Instant;

use super::h1::{After, Session};
use super::head::{self, Framing, RequestHead, ResponseHead};
use super::plan::{self, Forwarding};
use super::pump::{Body, Broken, Pump};
use super::write::{self, Told};
use super::{cookie, forwarded};
use crate::alarm::{Alarm, Late};
use crate::connect::connect;
use crate::group::Group;
use crate::log::Entry;
use crate::stream::Stream;
use crate::table::Listening;
use crate::target::{Flight, Target};
use crate::{buffers, clock, hold, limits};

/// How a forwarded request ended.
pub(crate) enum Done {
    /// The client has its answer, as far as it could be had.
    After(After),
    /// The balancer answers with a page.
    Answer(u16),
}

/// Why an attempt has come to nothing.
enum Failed {
    /// Nothing of an answer came, and nothing that cannot be sent again has gone.
    Again,
    /// The target closed the connection before a byte of an answer.
    Ended,
    Answer(u16),
    /// The client is gone.
    Client,
}

/// Forwards a request.
pub(crate) async fn forward(
    session: &mut Session,
    listening: &Arc<Listening>,
    head: &RequestHead,
    forwarding: Forwarding,
    entry: &mut Entry,
) -> Done {
    let Forwarding { mut group, mut cookies, mut sticky, identity } = forwarding;
    session.identity = identity;
    group.use_now();
    entry.group(&group);
    if group.record.version != ProtocolVersion::Http1 {
        // ALB's status for a version of HTTP that the group does not speak.
        return Done::Answer(464);
    }
    let hold_until = hold::deadline(&group);
    let mut tried: Option<Arc<Target>> = None;
    let mut attempts = 0;
    loop {
        if let Some(until) = hold_until.filter(|_| !group.has_target()) {
            match hold::target(&session.node, listening, &group, until).await {
                Some(newest) => group = newest,
                None => return Done::Answer(503),
            }
        }
        let Some(target) = sticky.take().or_else(|| group.next(tried.as_ref())) else {
            return Done::Answer(503);
        };
        let flight = Flight::begin(Arc::clone(&target));
        let fresh = attempts > 0;
        attempts += 1;
        match attempt(session, listening, head, &group, &flight, fresh, &mut cookies, entry).await {
            Ok(after) => return Done::After(after),
            Err(Failed::Again) if attempts < 3 => {
                let refused = !matches!(&tried, Some(t) if Arc::ptr_eq(t, &target));
                if refused {
                    tried = Some(target);
                } else if let Some(until) = hold_until {
                    drop(flight);
                    if !pause(session, until).await {
                        return Done::Answer(503);
                    }
                    attempts = 0;
                } else {
                    return Done::Answer(502);
                }
            }
            Err(Failed::Again | Failed::Ended) => return Done::Answer(502),
            Err(Failed::Answer(status)) => return Done::Answer(status),
            Err(Failed::Client) => {
                entry.answered(460, 0);
                return Done::After(After::Abort);
            }
        }
    }
}

/// A moment, until a target that has only just been started is tried again.
async fn pause(session: &mut Session, until: Instant) -> bool {
    let now = Instant::now();
    let moment = now + hold::PAUSE;
    let _ = session.alarm.within(moment, |_| Poll::<()>::Pending).await;
    moment < until
}

/// The request's way to one target; `fresh` when it wants a connection of its own.
#[expect(clippy::too_many_arguments, reason = "each is another thing, used once")]
async fn attempt(
    session: &mut Session,
    listening: &Arc<Listening>,
    head: &RequestHead,
    group: &Group,
    flight: &Flight,
    fresh: bool,
    cookies: &mut Vec<String>,
    entry: &mut Entry,
) -> Result<After, Failed> {
    let target = &flight.target;
    let bytes = &session.buffer[session.start..session.end];
    let trace = forwarded::trace(
        write::values(bytes, &head.headers, "x-amzn-trace-id").next(),
        clock::now().as_millis() / 1000,
        [clock::random(), clock::random()],
    );
    let told = Told {
        attributes: &listening.balancer.record.attributes,
        listener: &listening.record.attributes,
        client: session.client,
        port: listening.record.port,
        tls: session.tls,
        trace: &trace,
        identity: &session.identity,
    };
    entry.trace(&trace);
    let mut out = buffers::head();
    out.clear();
    write::request(&mut out, bytes, head, &told);
    // What has come of the body goes along.
    let mut body = Body::new(head.framing);
    let there = &bytes[head.len..];
    let taken = body.take(there).ok_or(Failed::Answer(400))?;
    out.extend_from_slice(&there[..taken]);
    let whole = body.is_done();
    let idle = Duration::from_secs(told.attributes.idle_timeout_s.into());
    let (mut upstream, pooled) = upstream(session, group, target, fresh).await?;
    let bytes = &session.buffer[session.start..session.end];
    // A container that has only just been started may not listen yet.
    let starts = group.record.on_demand.is_some() && target.state() != HealthState::Healthy;
    let may_repeat = whole && may_repeat(head::text(bytes, &head.method), pooled, fresh && !starts);
    entry.sent(target);
    let deadline = Instant::now() + idle;
    let sent = tokio::time::timeout_at(deadline, upstream.put_all(&out)).await;
    let out_len = out.len();
    give_head_buffer(out);
    entry.received(out_len as u64);
    match sent {
        Ok(Ok(())) => {}
        // A connection that was closed meanwhile: nobody has looked at this request.
        Ok(Err(_)) if pooled => return Err(Failed::Again),
        Ok(Err(_)) => {
            target.failed(clock::now());
            return Err(if may_repeat { Failed::Again } else { Failed::Ended });
        }
        Err(_) => return Err(Failed::Answer(504)),
    }
    let mut exchange = Exchange { session, upstream, request: Pump::new(body), idle };
    let consumed = head.len + taken;
    let answer = match exchange.answer(head).await {
        Err(Failed::Ended) => {
            if !pooled {
                target.failed(clock::now());
            }
            return Err(if may_repeat { Failed::Again } else { Failed::Ended });
        }
        Err(other) => return Err(other),
        Ok(answer) => answer,
    };
    if !pooled {
        target.accepted();
    }
    exchange.back(listening, head, answer, consumed, group, target, cookies, entry).await
}

/// Whether a request whose connection ended without a byte of an answer goes to another target (RFC 9110, 9.2.2).
///
/// A connection that was kept open has most likely been closed before the request came. On a new one the
/// target may have ended over the request: what is safe is tried once more, and no third target ends over it.
fn may_repeat(method: &str, pooled: bool, retried: bool) -> bool {
    match method {
        "GET" | "HEAD" | "OPTIONS" | "TRACE" => pooled || !retried,
        "PUT" | "DELETE" => pooled,
        _ => false,
    }
}

fn give_head_buffer(mut out: Vec<u8>) {
    if out.capacity() == limits::HEAD_BUFFER_BYTES {
        out.resize(limits::HEAD_BUFFER_BYTES, 0);
        buffers::give(out);
    }
}

/// A connection to a target, and whether it was used before.
async fn upstream(
    session: &mut Session,
    group: &Group,
    target: &Arc<Target>,
    fresh: bool,
) -> Result<(Stream, bool), Failed> {
    if let Some(idle) = target.take_idle(session.worker).filter(|_| !fresh) {
        return Ok((idle, true));
    }
    let address = target.key.address.ok_or(Failed::Answer(503))?;
    let tls = group.record.protocol == Protocol::Https;
    match connect(address, tls, false).await {
        Ok(stream) => Ok((stream, false)),
        Err(error) => {
            target.refused(clock::now());
            let late = error.kind() == std::io::ErrorKind::TimedOut;
            Err(if late { Failed::Answer(504) } else { Failed::Again })
        }
    }
}

/// An exchange that is under way.
struct Exchange<'a> {
    session: &'a mut Session,
    upstream: Stream,
    /// What is left of the request's body.
    request: Pump,
    idle: Duration,
}

/// An answer's head with what came after it.
struct Came {
    buffer: Vec<u8>,
    end: usize,
    head: ResponseHead,
}

impl Exchange<'_> {
    /// Waits for the answer's head, while the rest of the request's body goes.
    async fn answer(&mut self, head: &RequestHead) -> Result<Came, Failed> {
        let bytes = &self.session.buffer[self.session.start..self.session.end];
        let bodyless = head::text(bytes, &head.method) == "HEAD";
        let mut buffer = Vec::new();
        let mut end = 0;
        loop {
            let read = self.read_answer(&mut buffer, &mut end).await;
            match read {
                Ok(Ok(0) | Err(Broken::Read)) if end == 0 => {
                    buffers::give(buffer);
                    return Err(Failed::Ended);
                }
                Ok(Err(Broken::Malformed)) => return Err(Failed::Answer(400)),
                Ok(Err(Broken::Write)) => return Err(Failed::Client),
                Ok(Ok(0) | Err(Broken::Read)) => return Err(Failed::Answer(502)),
                Err(Late) => return Err(Failed::Answer(504)),
                Ok(Ok(_)) => {}
            }
            while let Some(found) =
                head::response(&buffer[..end], bodyless).map_err(|_| Failed::Answer(502))?
            {
                let interim = (100..200).contains(&found.status) && found.status != 101;
                if !interim {
                    return Ok(Came { buffer, end, head: found });
                }
                if head.eleven && !self.session.send(&buffer[..found.len]).await {
                    return Err(Failed::Client);
                }
                buffer.copy_within(found.len..end, 0);
                end -= found.len;
            }
        }
    }

    /// Reads more of an answer. An error of the client's body is `Malformed`, or `Write` when the
    /// client is gone.
    async fn read_answer(
        &mut self,
        buffer: &mut Vec<u8>,
        end: &mut usize,
    ) -> Result<Result<usize, Broken>, Late> {
        let mut first = [0];
        let mut moved = self.request.moved;
        let mut deadline = Instant::now() + self.idle;
        let Session { stream: client, alarm, .. } = &mut *self.session;
        let (upstream, request) = (&mut self.upstream, &mut self.request);
        let mut sending = !request.is_done();
        std::future::poll_fn(|cx| {
            if let Poll::Ready(read) = poll_answer(cx, upstream, buffer, end, &mut first) {
                return Poll::Ready(Ok(read));
            }
            if sending {
                match request.poll(cx, client, upstream) {
                    // All has gone; or the target wants no more, but may still answer.
                    Poll::Ready(Ok(()) | Err(Broken::Write)) => sending = false,
                    Poll::Ready(Err(Broken::Malformed)) => {
                        return Poll::Ready(Ok(Err(Broken::Malformed)));
                    }
                    // The client is gone.
                    Poll::Ready(Err(Broken::Read)) => return Poll::Ready(Ok(Err(Broken::Write))),
                    Poll::Pending => {}
                }
                if request.moved != moved {
                    moved = request.moved;
                    deadline = Instant::now() + self.idle;
                }
            }
            alarm.poll(cx, deadline).map(|()| Err(Late))
        })
        .await
    }

    /// Sends the answer on.
    #[expect(clippy::too_many_arguments, reason = "each is another thing, used once")]
    async fn back(
        mut self,
        listening: &Arc<Listening>,
        head: &RequestHead,
        mut came: Came,
        consumed: usize,
        group: &Group,
        target: &Arc<Target>,
        cookies: &mut Vec<String>,
        entry: &mut Entry,
    ) -> Result<After, Failed> {
        let answer = &came.head;
        entry.target_answered(answer.status);
        let sets = |name: &str| {
            let mut values = write::values(&came.buffer, &answer.headers, "set-cookie");
            values.any(|value| cookie::set_name(value) == Some(name))
        };
        cookies.extend(plan::target_cookies(group, target, sets).into_iter().flatten());
        let upgraded = answer.status == 101;
        if upgraded && !head.upgrade {
            return Err(Failed::Answer(502));
        }
        let keep = self.session.may_go_on(listening, head)
            && self.request.is_done()
            && answer.framing != Framing::Close;
        let mut out = buffers::head();
        out.clear();
        let own = &listening.record.attributes;
        write::response(&mut out, &came.buffer, answer, keep || upgraded, cookies, own);
        let framing = if upgraded { Framing::Close } else { answer.framing };
        let mut body = Body::new(framing);
        let there = &came.buffer[answer.len..came.end];
        let mut reusable = answer.keep_alive && head.eleven && !upgraded;
        let Some(taken) = body.take(there) else {
            return Err(Failed::Answer(502));
        };
        reusable &= taken == there.len();
        let status = answer.status;
        let start = answer.len;
        let mut response = Pump::new(body);
        if out.len() + taken <= limits::BODY_BUFFER_BYTES / 2 {
            out.extend_from_slice(&there[..taken]);
            buffers::give(std::mem::take(&mut came.buffer));
        } else {
            response.begin(std::mem::take(&mut came.buffer), start, start + taken);
        }
        let sent = self.session.send(&out).await;
        entry.answered(status, out.len() as u64);
        give_head_buffer(out);
        self.session.start += consumed;
        if !sent {
            return Ok(After::Abort);
        }
        let whole = response.is_done() && self.request.is_done();
        let arrived = whole || self.both_ways(&mut response, upgraded, target).await;
        entry.more(response.moved);
        reusable &= response.extra.is_empty() && self.request.is_done();
        let keep = keep && self.request.is_done();
        self.keep_extra();
        if !arrived {
            return Ok(After::Abort);
        }
        if reusable {
            target.keep(self.session.worker, self.upstream);
        }
        Ok(if keep { After::Next } else { After::Close })
    }

    /// What came after the request's body is the next request.
    fn keep_extra(&mut self) {
        let extra = std::mem::take(&mut self.request.extra);
        if !extra.is_empty() {
            let session = &mut *self.session;
            session.start = 0;
            session.end = extra.len();
            session.buffer = extra;
        }
    }

    /// Moves both bodies until the answer's is over. Gives whether it is whole.
    async fn both_ways(&mut self, response: &mut Pump, upgraded: bool, target: &Target) -> bool {
        if upgraded {
            let session = &mut *self.session;
            self.request = Pump::new(Body::Close { over: false });
            let rest = std::mem::take(&mut session.buffer);
            self.request.begin(rest, session.start, session.end);
            (session.start, session.end) = (0, 0);
        }
        let mut sending = !self.request.is_done();
        let idle = self.idle;
        let Session { stream: client, alarm, .. } = &mut *self.session;
        let (upstream, request) = (&mut self.upstream, &mut self.request);
        let mut seen = (0, 0);
        let mut deadline = Instant::now() + idle;
        let mut ended = std::pin::pin!(target.terminate.notified());
        std::future::poll_fn(|cx: &mut Context<'_>| {
            if sending {
                match request.poll(cx, client, upstream) {
                    Poll::Ready(Ok(())) if upgraded => return Poll::Ready(false),
                    Poll::Ready(Err(Broken::Read | Broken::Malformed)) => {
                        return Poll::Ready(false);
                    }
                    Poll::Ready(_) => sending = false,
                    Poll::Pending => {}
                }
            }
            if let Poll::Ready(done) = response.poll(cx, upstream, client) {
                return Poll::Ready(done.is_ok());
            }
            if Future::poll(ended.as_mut(), cx).is_ready() {
                return Poll::Ready(false);
            }
            if seen != (request.moved, response.moved) {
                seen = (request.moved, response.moved);
                deadline = Instant::now() + idle;
            }
            Alarm::poll(alarm, cx, deadline).map(|()| false)
        })
        .await
    }
}

/// Reads from a target, into a buffer that is only there when something came.
fn poll_answer(
    cx: &mut Context<'_>,
    upstream: &mut Stream,
    buffer: &mut Vec<u8>,
    end: &mut usize,
    first: &mut [u8; 1],
) -> Poll<Result<usize, Broken>> {
    let mut have = 0;
    if buffer.is_empty() {
        match upstream.poll_first(cx, first) {
            Poll::Ready(Ok(read)) => have = read,
            Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Read)),
            Poll::Pending => return Poll::Pending,
        }
        *buffer = buffers::body();
        buffer[..have].copy_from_slice(&first[..have]);
        *end = have;
    }
    match upstream.poll_fill(cx, &mut buffer[*end..]) {
        Poll::Ready(Ok(read)) => {
            *end += read;
            Poll::Ready(Ok(have + read))
        }
        Poll::Ready(Err(_)) if have == 0 => Poll::Ready(Err(Broken::Read)),
        Poll::Ready(Err(_)) => Poll::Ready(Ok(have)),
        Poll::Pending if have > 0 => Poll::Ready(Ok(have)),
        Poll::Pending => {
            if *end == 0 {
                buffers::give(std::mem::take(buffer));
            }
            Poll::Pending
        }
    }
}
