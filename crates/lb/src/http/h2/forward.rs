//! A request of HTTP/2 on its way to a target.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use http::{Response, Version, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use longshore_domain::route::{Protocol, ProtocolVersion};
use tokio::time::Instant;

use super::held::Held;
use super::{Body, Connection, HOPS, Outgoing, outgoing_request, own_headers};
use crate::alarm::Alarm;
use crate::connect::connect;
use crate::group::Group;
use crate::http::cookie;
use crate::http::plan::{self, Forwarding};
use crate::log::Entry;
use crate::node::{Counted, Node};
use crate::table::Listening;
use crate::target::{Flight, Target};
use crate::{clock, hold};

/// One request.
pub(super) struct Trip<'a> {
    pub(super) connection: &'a Arc<Connection>,
    pub(super) listening: &'a Arc<Listening>,
    pub(super) active: Counted<fn(&Node) -> &AtomicUsize>,
}

/// A connection that takes a request.
enum Sender {
    One(http1::SendRequest<Body>),
    Two(http2::SendRequest<Body>),
}

/// What came of an attempt, when no answer did.
enum Failed {
    /// The request is here again, whole.
    Again(Body),
    Status(u16),
}

impl Trip<'_> {
    /// Forwards; an error is the status of the balancer's own page.
    pub(super) async fn forward(
        self,
        outgoing: Outgoing,
        body: Incoming,
        forwarding: Forwarding,
        mut entry: Entry,
    ) -> Result<Response<Body>, (u16, Entry)> {
        let Forwarding { mut group, cookies, mut sticky, .. } = forwarding;
        group.use_now();
        entry.group(&group);
        let hold_until = hold::deadline(&group);
        let mut body: Body = if body.is_end_stream() {
            Empty::new().map_err(|never| match never {}).boxed_unsync()
        } else {
            body.boxed_unsync()
        };
        let mut tried = None;
        let mut attempts = 0;
        loop {
            if let Some(until) = hold_until.filter(|_| !group.has_target()) {
                match hold::target(&self.connection.node, self.listening, &group, until).await {
                    Some(newest) => group = newest,
                    None => return Err((503, entry)),
                }
            }
            let Some(target) = sticky.take().or_else(|| group.next(tried.as_ref())) else {
                return Err((503, entry));
            };
            attempts += 1;
            let flight = Flight::begin(Arc::clone(&target));
            entry.sent(&target);
            match self.attempt(&outgoing, body, &group, &target).await {
                Ok((response, sender)) => {
                    return Ok(self.back(response, sender, &group, flight, cookies, entry));
                }
                Err(Failed::Again(again)) if attempts < 3 => {
                    (body, tried) = (again, Some(target));
                    if let (true, Some(until)) = (attempts == 2, hold_until) {
                        drop(flight);
                        tokio::time::sleep(hold::PAUSE).await;
                        attempts = usize::from(Instant::now() >= until) * 2;
                    }
                }
                Err(Failed::Again(_)) => return Err((502, entry)),
                Err(Failed::Status(status)) => return Err((status, entry)),
            }
        }
    }

    async fn attempt(
        &self,
        outgoing: &Outgoing,
        body: Body,
        group: &Group,
        target: &Arc<Target>,
    ) -> Result<(Response<Incoming>, Option<http1::SendRequest<Body>>), Failed> {
        let two = group.record.version != ProtocolVersion::Http1;
        let tls = group.record.protocol == Protocol::Https;
        let sender = match self.sender(target, two, tls).await {
            Ok(sender) => sender,
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                target.refused(clock::now());
                return Err(Failed::Status(504));
            }
            Err(_) => {
                target.refused(clock::now());
                return Err(Failed::Again(body));
            }
        };
        target.accepted();
        let version = if two { Version::HTTP_2 } else { Version::HTTP_11 };
        let request = outgoing_request(outgoing, version, tls, body);
        let request = request.map_err(|_| Failed::Status(400))?;
        let idle = self.listening.balancer.record.attributes.idle_timeout_s;
        let idle = Duration::from_secs(idle.into());
        match sender {
            Sender::One(mut sender) => {
                let sending = sender.try_send_request(request);
                match tokio::time::timeout(idle, sending).await {
                    Ok(Ok(response)) => Ok((response, Some(sender))),
                    Ok(Err(mut error)) => Err(again(error.take_message())),
                    Err(_) => Err(Failed::Status(504)),
                }
            }
            Sender::Two(mut sender) => {
                let sending = sender.try_send_request(request);
                match tokio::time::timeout(idle, sending).await {
                    Ok(Ok(response)) => Ok((response, None)),
                    Ok(Err(mut error)) => Err(again(error.take_message())),
                    Err(_) => Err(Failed::Status(504)),
                }
            }
        }
    }

    /// A connection to a target: one that is there, or a new one.
    async fn sender(&self, target: &Arc<Target>, two: bool, tls: bool) -> std::io::Result<Sender> {
        let worker = self.connection.worker;
        if let Some(senders) = target.senders.get(worker) {
            let mut senders = senders.lock().unwrap_or_else(PoisonError::into_inner);
            senders.one.retain(http1::SendRequest::is_ready);
            senders.two = senders.two.take().filter(|sender| !sender.is_closed());
            let there = if two {
                senders.two.clone().map(Sender::Two)
            } else {
                senders.one.pop().map(Sender::One)
            };
            if let Some(sender) = there {
                return Ok(sender);
            }
        }
        let address = target.key.address.ok_or(std::io::ErrorKind::NotFound)?;
        let io = TokioIo::new(connect(address, tls, two).await?);
        if two {
            let (sender, running) = http2::Builder::new(TokioExecutor::new())
                .initial_stream_window_size(256 * 1024)
                .initial_connection_window_size(1024 * 1024)
                .handshake(io)
                .await
                .map_err(std::io::Error::other)?;
            tokio::spawn(running);
            if let Some(senders) = target.senders.get(worker) {
                let mut senders = senders.lock().unwrap_or_else(PoisonError::into_inner);
                senders.two = Some(sender.clone());
            }
            return Ok(Sender::Two(sender));
        }
        let made = http1::handshake(io).await.map_err(std::io::Error::other);
        let (sender, running) = made?;
        tokio::spawn(running);
        Ok(Sender::One(sender))
    }

    /// The answer as the client gets it.
    fn back(
        self,
        response: Response<Incoming>,
        sender: Option<http1::SendRequest<Body>>,
        group: &Group,
        flight: Flight,
        mut cookies: Vec<String>,
        mut entry: Entry,
    ) -> Response<Body> {
        let (mut parts, body) = response.into_parts();
        entry.target_answered(parts.status.as_u16());
        entry.answered(parts.status.as_u16(), 0);
        for name in HOPS {
            parts.headers.remove(name);
        }
        let sets = |name: &str| {
            let mut values = parts.headers.get_all(header::SET_COOKIE).iter();
            values.any(|v| v.to_str().is_ok_and(|v| cookie::set_name(v) == Some(name)))
        };
        cookies.extend(plan::target_cookies(group, &flight.target, sets).into_iter().flatten());
        for cookie in cookies {
            if let Ok(value) = cookie.try_into() {
                parts.headers.append(header::SET_COOKIE, value);
            }
        }
        own_headers(&mut parts.headers, &self.listening.record.attributes);
        parts.version = Version::HTTP_2;
        let idle = self.listening.balancer.record.attributes.idle_timeout_s;
        let idle = Duration::from_secs(idle.into());
        let held = Held {
            body,
            idle,
            deadline: Instant::now() + idle,
            alarm: Alarm::default(),
            sender,
            over: false,
            worker: self.connection.worker,
            flight,
            entry: Some(entry),
            node: Arc::clone(&self.connection.node),
            listening: Arc::clone(self.listening),
            _active: self.active,
        };
        Response::from_parts(parts, held.boxed_unsync())
    }
}

/// A request that was given back was not sent.
fn again(message: Option<http::Request<Body>>) -> Failed {
    message.map_or(Failed::Status(502), |request| Failed::Again(request.into_body()))
}
