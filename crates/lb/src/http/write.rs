//! Heads as they go on: written anew, without what concerns one connection only. Pure.

use std::io::Write;
use std::net::SocketAddr;

use super::forwarded;
use super::head::{self, Framing, RequestHead, ResponseHead};
use super::plan::{self, Answer};
use longshore_domain::route::{BalancerAttributes, ForwardedFor, ListenerAttributes};

/// What a target is told beside what the client said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    pub(crate) attributes: &'a BalancerAttributes,
    pub(crate) listener: &'a ListenerAttributes,
    pub(crate) client: SocketAddr,
    /// Port of the listener.
    pub(crate) port: u16,
    /// Version and cipher suite, of a connection with TLS.
    pub(crate) tls: Option<(&'a str, &'a str)>,
    /// `X-Amzn-Trace-Id`.
    pub(crate) trace: &'a str,
    /// Who the client is, where it has logged in.
    pub(crate) identity: &'a [(&'static str, String)],
}

/// What becomes of a header of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passes,
    /// It concerns this connection only, or is written anew.
    Stays,
    Host,
}

fn fate_of_request_header(name: &[u8]) -> Fate {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    let stays = match name.len() {
        2 => is("te"),
        4 if is("host") => return Fate::Host,
        7 => is("upgrade"),
        10 => is("connection") || is("keep-alive"),
        15 => is("x-forwarded-for") || is("x-amzn-trace-id"),
        // Nobody but the balancer says who a client is.
        16 => is("proxy-connection") || is("x-forwarded-port") || is("x-amzn-oidc-data"),
        17 => is("transfer-encoding") || is("x-forwarded-proto"),
        18 => is("x-amzn-tls-version"),
        20 => is("x-amzn-oidc-identity"),
        23 => is("x-amzn-tls-cipher-suite") || is("x-amzn-oidc-accesstoken"),
        _ => false,
    };
    if stays { Fate::Stays } else { Fate::Passes }
}

fn stays_of_response(name: &[u8]) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    match name.len() {
        7 => is("upgrade"),
        10 => is("connection") || is("keep-alive"),
        16 => is("proxy-connection"),
        17 => is("transfer-encoding"),
        _ => false,
    }
}

/// Whether a header is named by `Connection`, other than the usual ones.
fn is_named(buffer: &[u8], headers: &[head::Place], name: &[u8]) -> bool {
    headers.iter().any(|(key, value)| {
        head::at(buffer, key).eq_ignore_ascii_case(b"connection")
            && head::at(buffer, value)
                .split(|b| *b == b',')
                .any(|token| token.trim_ascii().eq_ignore_ascii_case(name))
    })
}

/// Whether `Connection` may name further headers: it has a value that is not one of the usual.
fn names_some(buffer: &[u8], headers: &[head::Place]) -> bool {
    headers.iter().any(|(key, value)| {
        head::at(buffer, key).eq_ignore_ascii_case(b"connection")
            && head::at(buffer, value).split(|b| *b == b',').any(|token| {
                let token = token.trim_ascii();
                let usual: [&[u8]; 4] = [b"close", b"keep-alive", b"upgrade", b""];
                // What frames the message or says where it goes is not for the client to take away.
                let fixed: [&[u8]; 2] = [b"content-length", b"host"];
                !usual.iter().chain(&fixed).any(|word| token.eq_ignore_ascii_case(word))
            })
    })
}

/// Whether ALB calls a header's name valid: letters, digits and hyphens.
fn is_valid(name: &[u8]) -> bool {
    name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
}

/// The values of a header.
pub(crate) fn values<'a>(
    buffer: &'a [u8],
    headers: &'a [head::Place],
    name: &'a str,
) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .filter(move |(key, _)| head::at(buffer, key).eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, value)| head::text(buffer, value))
}

/// Writes a request's head for a target.
pub(crate) fn request(out: &mut Vec<u8>, buffer: &[u8], head: &RequestHead, told: &Told<'_>) {
    out.extend_from_slice(head::at(buffer, &head.method));
    out.push(b' ');
    out.extend_from_slice(head::at(buffer, &head.target));
    out.extend_from_slice(if head.eleven { b" HTTP/1.1\r\n" } else { b" HTTP/1.0\r\n" });
    let named = names_some(buffer, &head.headers);
    let mut forwarded_for = false;
    for (name_at, value_at) in &head.headers {
        let (name, value) = (head::at(buffer, name_at), head::at(buffer, value_at));
        match fate_of_request_header(name) {
            Fate::Host => {
                let value = head.authority.as_ref().map_or(value, |p| head::at(buffer, p));
                host(out, value, told);
                continue;
            }
            Fate::Stays => {
                forwarded_for |= name.eq_ignore_ascii_case(b"x-forwarded-for");
                continue;
            }
            Fate::Passes => {}
        }
        let dropped = (told.attributes.drop_invalid_header_fields && !is_valid(name))
            || is_of_tls(told, name);
        let fixed = name.eq_ignore_ascii_case(b"content-length");
        if dropped || (named && !fixed && is_named(buffer, &head.headers, name)) {
            continue;
        }
        line(out, name, value);
    }
    if head.upgrade {
        for value in values(buffer, &head.headers, "upgrade") {
            line(out, b"Upgrade", value.as_bytes());
        }
        out.extend_from_slice(b"Connection: upgrade\r\n");
    } else if !head.eleven {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    if head.framing == Framing::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if forwarded_for {
        let came = values(buffer, &head.headers, "x-forwarded-for");
        if let Some(value) = forwarded::forwarded_for(told.attributes, came, told.client) {
            line(out, b"X-Forwarded-For", value.as_bytes());
        }
    } else if told.attributes.forwarded_for == ForwardedFor::Append {
        let value = forwarded::forwarded_for(told.attributes, std::iter::empty(), told.client);
        line(out, b"X-Forwarded-For", value.unwrap_or_default().as_bytes());
    }
    let proto = if told.tls.is_some() { "https" } else { "http" };
    // Writing into memory cannot fail.
    let _ = write!(
        out,
        "X-Forwarded-Proto: {proto}\r\nX-Forwarded-Port: {}\r\nX-Amzn-Trace-Id: {}\r\n",
        told.port, told.trace
    );
    for (name, value) in told.identity {
        line(out, name.as_bytes(), value.as_bytes());
    }
    if let (true, Some((version, suite))) = (told.attributes.tls_headers, told.tls) {
        line(out, told.listener.tls_version_header.as_bytes(), version.as_bytes());
        line(out, told.listener.tls_cipher_suite_header.as_bytes(), suite.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether a header has the name under which targets are told of TLS, when they are.
fn is_of_tls(told: &Told<'_>, name: &[u8]) -> bool {
    let own = [&told.listener.tls_version_header, &told.listener.tls_cipher_suite_header];
    told.attributes.tls_headers && own.iter().any(|own| name.eq_ignore_ascii_case(own.as_bytes()))
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// ALB adds the port of its listener to a host without one, unless the host is to be preserved.
fn host(out: &mut Vec<u8>, value: &[u8], told: &Told<'_>) {
    let text = std::str::from_utf8(value).unwrap_or_default();
    let usual = if told.tls.is_some() { 443 } else { 80 };
    let bare = forwarded::host_only(text) == text;
    if told.attributes.preserve_host_header || told.port == usual || !bare || text.is_empty() {
        line(out, b"Host", value);
    } else {
        let _ = write!(out, "Host: {text}:{}\r\n", told.port);
    }
}

/// Writes an answer's head for a client.
pub(crate) fn response(
    out: &mut Vec<u8>,
    buffer: &[u8],
    head: &ResponseHead,
    keep_alive: bool,
    cookies: &[String],
    listener: &ListenerAttributes,
) {
    status(out, head.status, head::at(buffer, &head.reason));
    let named = names_some(buffer, &head.headers);
    for (name_at, value_at) in &head.headers {
        let name = head::at(buffer, name_at);
        let fixed = name.eq_ignore_ascii_case(b"content-length");
        let replaced = || {
            let mut own = listener.response_headers.iter();
            own.any(|(own, _)| name.eq_ignore_ascii_case(own.as_bytes()))
        };
        if replaced() {
            continue;
        }
        if stays_of_response(name) || (named && !fixed && is_named(buffer, &head.headers, name)) {
            continue;
        }
        line(out, name, head::at(buffer, value_at));
    }
    own_headers(out, listener);
    for cookie in cookies {
        line(out, b"Set-Cookie", cookie.as_bytes());
    }
    if head.status == 101 {
        for value in values(buffer, &head.headers, "upgrade") {
            line(out, b"Upgrade", value.as_bytes());
        }
        out.extend_from_slice(b"Connection: upgrade\r\n");
    } else {
        out.extend_from_slice(connection(keep_alive));
    }
    if head.framing == Framing::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn own_headers(out: &mut Vec<u8>, listener: &ListenerAttributes) {
    for (name, value) in &listener.response_headers {
        line(out, name.as_bytes(), value.as_bytes());
    }
}

fn connection(keep_alive: bool) -> &'static [u8] {
    if keep_alive { b"Connection: keep-alive\r\n" } else { b"Connection: close\r\n" }
}

fn status(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    let digit = |n: u16| b'0' + u8::try_from(n % 10).unwrap_or(0);
    out.extend([digit(status / 100), digit(status / 10), digit(status), b' ']);
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// Writes an answer of the balancer itself.
pub(crate) fn answer(
    out: &mut Vec<u8>,
    answer: &Answer,
    keep_alive: bool,
    bodyless: bool,
    date: &str,
    listener: &ListenerAttributes,
) {
    status(out, answer.status, plan::reason(answer.status).as_bytes());
    let page;
    let (content_type, body) = if let Some((content_type, body)) = &answer.body {
        (content_type.as_deref().unwrap_or("text/plain"), body)
    } else {
        page = plan::page(answer.status);
        ("text/html", &page)
    };
    if listener.server_header {
        out.extend_from_slice(b"Server: awselb/2.0\r\n");
    }
    own_headers(out, listener);
    let _ = write!(
        out,
        "Date: {date}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n",
        body.len()
    );
    if let Some(location) = &answer.location {
        line(out, b"Location", location.as_bytes());
    }
    for cookie in &answer.cookies {
        line(out, b"Set-Cookie", cookie.as_bytes());
    }
    out.extend_from_slice(connection(keep_alive));
    out.extend_from_slice(b"\r\n");
    if !bodyless {
        out.extend_from_slice(body.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(came: &str, change: impl FnOnce(&mut BalancerAttributes)) -> String {
        let head = head::request(came.as_bytes()).expect("well formed").expect("complete");
        let mut attributes = BalancerAttributes::default();
        change(&mut attributes);
        let told = Told {
            attributes: &attributes,
            listener: &ListenerAttributes::default(),
            client: "10.0.0.9:5".parse().expect("an address"),
            port: 8080,
            tls: None,
            trace: "Root=1-2-3",
            identity: &[],
        };
        let mut out = Vec::new();
        request(&mut out, came.as_bytes(), &head, &told);
        String::from_utf8(out).expect("text")
    }

    const ADDED: &str = "X-Forwarded-For: 10.0.0.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 8080\r\nX-Amzn-Trace-Id: Root=1-2-3\r\n\r\n";

    #[test]
    fn what_concerns_one_connection_stays() {
        let came = "GET /a HTTP/1.1\r\nHost: x:8080\r\nConnection: close, X-Hop, host\r\nX-Hop: 1\r\nTE: trailers\r\nKeep-Alive: 5\r\nA_b: c\r\n\r\n";
        assert_eq!(
            sent(came, |_| {}),
            format!("GET /a HTTP/1.1\r\nHost: x:8080\r\nA_b: c\r\n{ADDED}")
        );
        let strict = sent(came, |a| a.drop_invalid_header_fields = true);
        assert_eq!(strict, format!("GET /a HTTP/1.1\r\nHost: x:8080\r\n{ADDED}"));
    }

    #[test]
    fn a_listener_has_headers_of_its_own() {
        let came =
            "HTTP/1.1 200 OK\r\nServer: x\r\nX-FRAME-options: none\r\nContent-Length: 0\r\n\r\n";
        let head = head::response(came.as_bytes(), false).expect("well formed").expect("complete");
        let listener = ListenerAttributes {
            response_headers: vec![("X-Frame-Options".into(), "DENY".into())],
            server_header: false,
            ..ListenerAttributes::default()
        };
        let mut out = Vec::new();
        response(&mut out, came.as_bytes(), &head, true, &[], &listener);
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 0\r\nX-Frame-Options: DENY\r\nConnection: keep-alive\r\n\r\n"
        );
        let mut out = Vec::new();
        answer(&mut out, &Answer::page(503), false, true, "now", &listener);
        let out = String::from_utf8(out).expect("text");
        assert!(out.contains("X-Frame-Options: DENY\r\n") && !out.contains("Server:"), "{out}");
    }

    #[test]
    fn nobody_else_tells_of_tls() {
        let came = "GET / HTTP/1.1\r\nHost: x:1\r\nX-Tls: forged\r\nX-Other: 1\r\n\r\n";
        let head = head::request(came.as_bytes()).expect("well formed").expect("complete");
        let attributes = BalancerAttributes { tls_headers: true, ..BalancerAttributes::default() };
        let listener = ListenerAttributes {
            tls_version_header: "x-tls".into(),
            ..ListenerAttributes::default()
        };
        let told = Told {
            attributes: &attributes,
            listener: &listener,
            client: "10.0.0.9:5".parse().expect("an address"),
            port: 8080,
            tls: Some(("TLSv1.3", "SUITE")),
            trace: "Root=1-2-3",
            identity: &[],
        };
        let mut out = Vec::new();
        request(&mut out, came.as_bytes(), &head, &told);
        let out = String::from_utf8(out).expect("text");
        assert!(!out.contains("forged"), "{out}");
        assert!(out.contains("x-tls: TLSv1.3\r\nX-Amzn-Tls-Cipher-Suite: SUITE\r\n"), "{out}");
    }

    #[test]
    fn a_length_cannot_be_taken_away() {
        let came = "POST / HTTP/1.1\r\nHost: x:1\r\nConnection: content-length, x\r\nContent-Length: 3\r\n\r\n";
        assert!(sent(came, |_| {}).contains("Content-Length: 3\r\n"));
    }

    #[test]
    fn a_host_gets_the_port_unless_preserved() {
        let came = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        assert!(sent(came, |_| {}).contains("Host: x:8080\r\n"));
        assert!(sent(came, |a| a.preserve_host_header = true).contains("Host: x\r\n"));
    }

    #[test]
    fn another_protocol_is_asked_for() {
        let came =
            "GET / HTTP/1.1\r\nHost: x:1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert!(sent(came, |_| {}).contains("Upgrade: websocket\r\nConnection: upgrade\r\n"));
    }
}
