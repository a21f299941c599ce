//! One port for everything: AWS's APIs, the agents' websockets, health and metrics.
//!
//! The order is fixed: route by method, path and headers; limit and collect the body; find the
//! principal; only then hand the request to a service. What it leaves out: what operations do.

mod admission;
mod api;
mod asked;
mod body;
mod browser;
mod listener;
mod metrics;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;

use crate::Server;
use crate::access::Origin;
use crate::operator::{Lines, members};

pub(crate) use admission::Admission;
pub(crate) use api::ERROR_TYPE;
pub(crate) use asked::namespace;
pub(crate) use body::{Bodies, read};
pub use listener::{FrontError, Listening, TlsFiles, bind};
pub(crate) use listener::{Place, connection};
pub(crate) use metrics::Metrics;

/// Characters of a user agent that are kept (CloudTrail keeps no more of it).
const USER_AGENT: usize = 1024;

/// A whole answer.
pub(crate) type Reply = Response<Full<Bytes>>;

/// Any answer: whole, or a stream of lines.
pub(crate) type Answer = Response<Either<Full<Bytes>, Lines>>;

/// The connection that a request came by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    /// Whether it is encrypted.
    pub(crate) secure: bool,
    /// Its other end.
    pub(crate) peer: Option<IpAddr>,
}

impl Connection {
    /// Where a request with these headers comes from.
    pub(crate) fn origin(&self, headers: &HeaderMap) -> Origin {
        let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let user_agent = agent.map(|agent| agent.chars().take(USER_AGENT).collect());
        Origin { address: self.peer, secure: self.secure, user_agent }
    }
}

/// A whole answer as one of any kind.
pub(crate) fn whole(reply: Reply) -> Answer {
    reply.map(Either::Left)
}

/// Answers one request.
pub(crate) async fn answer(
    server: Arc<Server>,
    from: Connection,
    request: Request<Incoming>,
) -> Answer {
    let refusal = server.open.then(|| {
        let advertised = server.members.advertised();
        browser::refusal(request.uri(), request.headers(), advertised)
    });
    let refusal = refusal.flatten();
    whole(match (request.method(), request.uri().path()) {
        (&Method::GET, "/health") => text(StatusCode::OK, "text/plain", "ok\n"),
        (&Method::GET, members::LIVE) => members::live(),
        (&Method::GET, members::READY) => members::ready(&server),
        (&Method::GET, "/metrics") => {
            text(StatusCode::OK, metrics::CONTENT_TYPE, metrics::render(&server))
        }
        (_, path) if refusal.is_some() => {
            let why = refusal.unwrap_or_default();
            api::forbidden(&server, &request, path.starts_with(crate::operator::PREFIX), why)
        }
        (&Method::GET, path) if path == "/ws" || path.ends_with("/ws") => {
            crate::session::open(server, &from, request).await
        }
        (_, path) if path.starts_with(crate::operator::PREFIX) => {
            return crate::operator::answer(server, &from, request).await;
        }
        _ => api::answer(server, &from, request).await,
    })
}

/// An answer with a text body.
pub(crate) fn text(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}
