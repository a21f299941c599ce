//! Asking a target once.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use longshore_domain::route::{HealthCheck, Outcome, ProbePort, Protocol, ProtocolVersion};
use tokio::time::timeout;

use super::matcher::Matcher;
use crate::connect::connect;
use crate::http::probed_status;
use crate::limits;
use crate::stream::Stream;
use crate::target::Target;

/// How probers of ALB name themselves.
const AGENT: &str = "ELB-HealthChecker/2.0";

/// Asks one target.
pub(super) struct Asker {
    address: Option<SocketAddr>,
    check: HealthCheck,
    matcher: Matcher,
    version: ProtocolVersion,
}

impl Asker {
    pub(super) fn new(target: &Target, check: &HealthCheck, version: ProtocolVersion) -> Self {
        let address = target.key.address.map(|mut address| {
            if let ProbePort::Port(port) = check.port {
                address.set_port(port);
            }
            address
        });
        Self { address, matcher: Matcher::parse(&check.matcher), check: check.clone(), version }
    }

    /// Asks, within the check's timeout.
    pub(super) async fn ask(&self) -> Outcome {
        let Some(address) = self.address else {
            return Outcome::Broken("its address is not known".to_owned());
        };
        let limit = Duration::from_secs(self.check.timeout_s.max(1).into());
        let asking = Box::pin(self.ask_at(address));
        timeout(limit, asking).await.unwrap_or(Outcome::TimedOut)
    }

    async fn ask_at(&self, address: SocketAddr) -> Outcome {
        let tls = matches!(self.check.protocol, Protocol::Https | Protocol::Tls);
        let http = matches!(self.check.protocol, Protocol::Http | Protocol::Https);
        let two = http && self.version != ProtocolVersion::Http1;
        let mut stream = match connect(address, tls, two).await {
            Ok(stream) => stream,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                return Outcome::Refused;
            }
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => return Outcome::TimedOut,
            Err(error) => return Outcome::Broken(error.to_string()),
        };
        if !http {
            return Outcome::Passed(None);
        }
        let code = if two {
            self.two(address, stream).await
        } else {
            self.one(address, &mut stream).await
        };
        match code {
            Ok(code) if self.matcher.accepts(code) => Outcome::Passed(Some(code)),
            Ok(code) => Outcome::WrongCode(code),
            Err(why) => Outcome::Broken(why),
        }
    }

    async fn one(&self, address: SocketAddr, stream: &mut Stream) -> Result<u16, String> {
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nUser-Agent: {AGENT}\r\nAccept-Encoding: gzip, compressed\r\n\r\n",
            self.check.path
        );
        stream.put_all(request.as_bytes()).await.map_err(|e| e.to_string())?;
        let mut buffer = vec![0; limits::RESPONSE_HEAD_BYTES];
        let mut end = 0;
        loop {
            let read = stream.fill(&mut buffer[end..]).await.map_err(|e| e.to_string())?;
            if read == 0 {
                return Err("the connection was closed before an answer".to_owned());
            }
            end += read;
            if let Some(code) = probed_status(&buffer[..end])? {
                return Ok(code);
            }
        }
    }

    async fn two(&self, address: SocketAddr, stream: Stream) -> Result<u16, String> {
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let io = TokioIo::new(stream);
        let (mut sender, running) =
            http2::handshake(TokioExecutor::new(), io).await.map_err(|e| words(&e))?;
        let running = tokio::spawn(running);
        let grpc = self.version == ProtocolVersion::Grpc;
        let mut request = Request::builder()
            .method(if grpc { "POST" } else { "GET" })
            .uri(format!("http://{address}{}", self.check.path))
            .header("user-agent", AGENT);
        // An empty message, uncompressed.
        let mut body = Bytes::new();
        if grpc {
            request = request.header("content-type", "application/grpc").header("te", "trailers");
            body = Bytes::from_static(&[0; 5]);
        }
        let request = request.body(Full::new(body)).map_err(|e| words(&e))?;
        let response = sender.send_request(request).await.map_err(|e| words(&e))?;
        let status = response.status().as_u16();
        let mut found = None;
        if grpc {
            let code = |headers: &http::HeaderMap| {
                headers.get("grpc-status")?.to_str().ok()?.parse::<u16>().ok()
            };
            found = code(response.headers());
            let mut body = response.into_body();
            let mut read = 0;
            while let Some(Ok(frame)) = body.frame().await {
                found = found.or_else(|| code(frame.trailers_ref()?));
                read += frame.data_ref().map_or(0, Bytes::len);
                if read > limits::PROBE_BYTES {
                    break;
                }
            }
        }
        running.abort();
        if grpc {
            found.ok_or_else(|| format!("no grpc-status; HTTP {status}"))
        } else {
            Ok(status)
        }
    }
}
