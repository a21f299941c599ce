//! A client's connection of HTTP/2; its targets speak HTTP/1.1 or HTTP/2.

mod forward;
mod held;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Version, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::Instant;

use longshore_domain::route::ListenerAttributes;

use super::plan::{self, Answer, Asked, Plan};
use super::{cookie, forwarded};
use crate::listeners::Slot;
use crate::log::Entry;
use crate::node::{Counted, Node};
use crate::stream::{Lent, Stream};
use crate::table::Listening;
use crate::{clock, limits};

/// A body on its way.
pub(crate) type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// Connections to a target, of one worker.
#[derive(Debug, Default)]
pub(crate) struct Senders {
    one: Vec<http1::SendRequest<Body>>,
    two: Option<http2::SendRequest<Body>>,
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) node: Arc<Node>,
    pub(crate) slot: Arc<Slot>,
    pub(crate) worker: usize,
    pub(crate) client: SocketAddr,
    /// Version and cipher suite.
    pub(crate) tls: Option<(&'static str, &'static str)>,
}

/// Serves until the connection ends.
pub(crate) async fn serve(connection: Connection, stream: Stream) {
    let connection = Arc::new(connection);
    let streams = Arc::new(AtomicUsize::new(0));
    let (lent, returned) = Lent::new(stream);
    let service = {
        let (connection, streams) = (Arc::clone(&connection), Arc::clone(&streams));
        service_fn(move |request| {
            let (connection, streams) = (Arc::clone(&connection), Arc::clone(&streams));
            async move {
                streams.fetch_add(1, Relaxed);
                let answer = Box::pin(handle(&connection, request)).await;
                streams.fetch_add(1, Relaxed);
                Ok::<_, Infallible>(answer)
            }
        })
    };
    let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::STREAMS)
        .max_pending_accept_reset_streams(limits::RESET_STREAMS)
        .max_local_error_reset_streams(limits::RESET_STREAMS)
        .max_header_list_size(u32::try_from(limits::REQUEST_HEAD_BYTES).unwrap_or(u32::MAX))
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .serve_connection(TokioIo::new(lent), service);
    let mut serving = Box::pin(serving);
    let opened = Instant::now();
    let (mut seen, mut since) = (0, opened);
    let served = loop {
        tokio::select! {
            biased;
            served = serving.as_mut() => break served,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
        let attributes = &connection.slot.now().balancer.record.attributes;
        let now = streams.load(Relaxed);
        if now != seen || now % 2 == 1 {
            (seen, since) = (now, Instant::now());
        }
        let idle = since.elapsed().as_secs() >= attributes.idle_timeout_s.into();
        let old = opened.elapsed().as_secs() >= attributes.client_keep_alive_s.into();
        let draining = connection.node.draining.load(Relaxed) || connection.slot.is_gone();
        if idle || old || draining {
            serving.as_mut().graceful_shutdown();
        }
    };
    drop(serving);
    // A client that has broken the protocol is told so, and may not have sent all of what it sends.
    if served.is_err()
        && let Ok(mut stream) = returned.await
    {
        stream.linger().await;
    }
}

/// A request as it goes on to targets.
struct Outgoing {
    method: http::Method,
    path: http::uri::PathAndQuery,
    host: String,
    headers: HeaderMap,
}

async fn handle(connection: &Arc<Connection>, request: Request<Incoming>) -> Response<Body> {
    let listening = connection.slot.now();
    let active = Counted::new(&connection.node, active as fn(&Node) -> &AtomicUsize);
    let (parts, body) = request.into_parts();
    let authority = parts.uri.authority().map(|authority| authority.as_str().to_owned());
    let host_header = || parts.headers.get(header::HOST).and_then(|v| v.to_str().ok());
    let host = authority.unwrap_or_else(|| host_header().unwrap_or_default().to_owned());
    let mut entry = Entry::begin(&listening, connection.client, Instant::now());
    let each_header = |name: &str, test: &mut dyn FnMut(&str) -> bool| {
        let mut values = parts.headers.get_all(name).iter();
        values.any(|value| value.to_str().is_ok_and(&mut *test))
    };
    let asked = Asked {
        method: parts.method.as_str(),
        host: forwarded::host_only(&host),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        client: connection.client,
        each_header: &each_header,
    };
    let (plan, priority) = plan::plan(&listening, &asked);
    if entry.wanted {
        let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let (method, tls) = (asked.method, connection.tls);
        entry.request(method, tls, &host, target, true, &each_header, priority);
    }
    let came = parts.headers.get_all("x-forwarded-for").iter().filter_map(|v| v.to_str().ok());
    if forwarded::too_many(came) {
        return finish(connection, &listening, &Answer::page(463), entry);
    }
    let path = parts.uri.path_and_query().cloned();
    let path = path.unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"));
    let status = match plan {
        Plan::Answer(answer) => return finish(connection, &listening, &answer, entry),
        Plan::LogIn(log_in) => {
            let answer = log_in.finish().await;
            return finish(connection, &listening, &answer, entry);
        }
        Plan::Forward(forwarding) => {
            let mut outgoing =
                Outgoing { method: parts.method, path, host, headers: parts.headers };
            let trace = prepare(&mut outgoing, connection, &listening);
            for (name, value) in &forwarding.identity {
                set(&mut outgoing.headers, name, value);
            }
            entry.trace(&trace);
            let trip = forward::Trip { connection, listening: &listening, active };
            match trip.forward(outgoing, body, forwarding, entry).await {
                Ok(response) => return response,
                Err((status, back)) => {
                    entry = back;
                    status
                }
            }
        }
    };
    finish(connection, &listening, &Answer::page(status), entry)
}

fn active(node: &Node) -> &AtomicUsize {
    &node.active
}

/// The balancer's own answer.
fn finish(
    connection: &Connection,
    listening: &Listening,
    answer: &Answer,
    mut entry: Entry,
) -> Response<Body> {
    let page;
    let (content_type, body) = if let Some((content_type, body)) = &answer.body {
        (content_type.as_deref().unwrap_or("text/plain"), body)
    } else {
        page = plan::page(answer.status);
        ("text/html", &page)
    };
    let mut response = Response::builder()
        .status(answer.status)
        .header(header::DATE, cookie::date(clock::now()))
        .header(header::CONTENT_TYPE, content_type);
    if listening.record.attributes.server_header {
        response = response.header(header::SERVER, "awselb/2.0");
    }
    if let Some(location) = &answer.location {
        response = response.header(header::LOCATION, location);
    }
    for cookie in &answer.cookies {
        response = response.header(header::SET_COOKIE, cookie);
    }
    if let Some(headers) = response.headers_mut() {
        own_headers(headers, &listening.record.attributes);
    }
    entry.answered(answer.status, body.len() as u64);
    entry.end(&connection.node, listening);
    let body = Full::new(Bytes::from(body.clone())).map_err(|never| match never {});
    response.body(body.boxed_unsync()).unwrap_or_else(|_| {
        let empty = Full::new(Bytes::new()).map_err(|never| match never {});
        Response::new(empty.boxed_unsync())
    })
}

/// Headers that a listener gives to every answer.
fn own_headers(headers: &mut HeaderMap, listener: &ListenerAttributes) {
    for (name, value) in &listener.response_headers {
        set(headers, name, value);
    }
}

/// Headers that concern one connection.
const HOPS: [HeaderName; 6] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Writes the headers that a target gets. Gives the trace id.
fn prepare(outgoing: &mut Outgoing, connection: &Connection, listening: &Listening) -> String {
    let attributes = &listening.balancer.record.attributes;
    let headers = &mut outgoing.headers;
    for name in HOPS {
        headers.remove(name);
    }
    let text = |name: &str| -> Vec<String> {
        let values = headers.get_all(name).iter();
        values.filter_map(|value| value.to_str().ok().map(str::to_owned)).collect()
    };
    let came = text("x-forwarded-for");
    let came = came.iter().map(String::as_str);
    let forwarded_for = forwarded::forwarded_for(attributes, came, connection.client);
    let random = [clock::random(), clock::random()];
    let seconds = clock::now().as_millis() / 1000;
    let trace =
        forwarded::trace(text("x-amzn-trace-id").first().map(String::as_str), seconds, random);
    // Parts of one cookie may come apart in HTTP/2.
    let cookies = text("cookie");
    if cookies.len() > 1 {
        set(headers, "cookie", &cookies.join("; "));
    }
    headers.remove("x-forwarded-for");
    // Nobody but the balancer says who a client is.
    for name in ["x-amzn-oidc-accesstoken", "x-amzn-oidc-identity", "x-amzn-oidc-data"] {
        headers.remove(name);
    }
    if let Some(value) = forwarded_for {
        set(headers, "x-forwarded-for", &value);
    }
    let proto = if connection.tls.is_some() { "https" } else { "http" };
    set(headers, "x-forwarded-proto", proto);
    set(headers, "x-forwarded-port", &listening.record.port.to_string());
    set(headers, "x-amzn-trace-id", &trace);
    if let (true, Some((version, suite))) = (attributes.tls_headers, connection.tls) {
        set(headers, &listening.record.attributes.tls_version_header, version);
        set(headers, &listening.record.attributes.tls_cipher_suite_header, suite);
    }
    trace
}

fn set(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}

/// The request for a target that speaks `version`.
fn outgoing_request(
    outgoing: &Outgoing,
    version: Version,
    tls: bool,
    body: Body,
) -> Result<Request<Body>, http::Error> {
    let mut request = Request::builder().method(outgoing.method.clone()).version(version);
    let mut headers = outgoing.headers.clone();
    if version == Version::HTTP_2 {
        headers.remove(header::HOST);
        request = request.uri(
            http::Uri::builder()
                .scheme(if tls { "https" } else { "http" })
                .authority(outgoing.host.as_str())
                .path_and_query(outgoing.path.clone())
                .build()?,
        );
    } else {
        headers.remove(header::TE);
        headers.insert(header::HOST, HeaderValue::from_str(&outgoing.host)?);
        request = request.uri(http::Uri::from(outgoing.path.clone()));
    }
    let mut request = request.body(body)?;
    *request.headers_mut() = headers;
    Ok(request)
}
