//! TLS and HTTP/2.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use longshore_domain::route::{Certificate, Protocol, ProtocolVersion, Snapshot};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::world::{PATIENCE, World, http_snapshot, ok, upstream};

/// A certificate that signs itself.
fn certificate(arn: &str, name: &str) -> Certificate {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("a certificate");
    Certificate {
        arn: arn.to_owned(),
        names: vec![name.to_owned()],
        chain_pem: made.cert.pem(),
        key_pem: made.signing_key.serialize_pem(),
    }
}

fn https(targets: &[SocketAddr], certificates: Vec<Certificate>) -> Snapshot {
    let mut snapshot = http_snapshot(targets);
    let listener = &mut snapshot.balancers[0].listeners[0];
    listener.protocol = Protocol::Https;
    listener.certificates = certificates.iter().map(|one| one.arn.clone()).collect();
    snapshot.certificates = certificates;
    snapshot
}

/// A connection that trusts one certificate only.
async fn connect(
    world: &World,
    trusted: &Certificate,
    name: &str,
    alpn: &[u8],
) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    let der = CertificateDer::from_pem_slice(trusted.chain_pem.as_bytes()).expect("a certificate");
    roots.add(der).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().expect("versions");
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let tcp = world.connect().await;
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

async fn client(world: &World, trusted: &Certificate) -> SendRequest<Full<Bytes>> {
    let tls = connect(world, trusted, &trusted.names[0], b"h2").await.expect("TLS");
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let made = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls));
    let (sender, running) = made.await.expect("HTTP/2");
    tokio::spawn(running);
    sender
}

#[tokio::test]
async fn certificates_are_chosen_by_name_and_changed_while_serving() {
    let (one, two) = (certificate("one", "one.test"), certificate("two", "two.test"));
    let snapshot = https(&[], vec![one.clone(), two.clone()]);
    let mut world = World::new(snapshot).await;
    for trusted in [&one, &two] {
        let mut tls = connect(&world, trusted, &trusted.names[0], b"http/1.1").await.expect("TLS");
        let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        tls.write_all(request).await.expect("sent");
        let mut answer = String::new();
        let _ = timeout(PATIENCE, tls.read_to_string(&mut answer)).await.expect("in time");
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    }
    let newer = certificate("one", "one.test");
    world.change(|snapshot| snapshot.certificates[0] = newer.clone());
    let changed = async {
        while connect(&world, &newer, "one.test", b"http/1.1").await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, changed).await.expect("the newer certificate is served");
}

#[tokio::test]
async fn http2_reaches_targets_of_http1() {
    let at = upstream(|got| ok(&format!("{}\n{}", got.head, got.body))).await;
    let one = certificate("one", "one.test");
    let world = World::new(https(&[at], vec![one.clone()])).await;
    let mut sender = client(&world, &one).await;
    for _ in 0..5 {
        let request = Request::post("https://one.test/a?b").body(Full::from("body"));
        let response = sender.send_request(request.expect("a request"));
        let response = timeout(PATIENCE, response).await.expect("in time").expect("an answer");
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        let text = String::from_utf8_lossy(&body).to_lowercase();
        assert!(text.contains("post /a?b http/1.1\r\n"), "{text}");
        assert!(text.contains("host: one.test") && text.ends_with("body"), "{text}");
        assert!(text.contains("x-forwarded-proto: https\r\n"), "{text}");
    }
}

/// Answers as gRPC does: a message, and the status in trailers.
async fn grpc() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let service = service_fn(|request: Request<Incoming>| async move {
                assert_eq!(request.headers()["te"], "trailers");
                let body = request.into_body().collect().await.expect("a body").to_bytes();
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", "7".parse().expect("a value"));
                let frames =
                    [Frame::data(body), Frame::trailers(trailers)].map(Ok::<_, Infallible>);
                let body = StreamBody::new(futures_util::stream::iter(frames));
                Ok::<_, Infallible>(Response::new(body))
            });
            let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(serving.serve_connection(TokioIo::new(stream), service));
        }
    });
    at
}

#[tokio::test]
async fn trailers_of_grpc_arrive() {
    let one = certificate("one", "one.test");
    let mut snapshot = https(&[grpc().await], vec![one.clone()]);
    snapshot.groups[0].version = ProtocolVersion::Grpc;
    let world = World::new(snapshot).await;
    let mut sender = client(&world, &one).await;
    for _ in 0..3 {
        let request = Request::post("https://one.test/service/Method").header("te", "trailers");
        let request = request.body(Full::from("message")).expect("a request");
        let response = sender.send_request(request);
        let response = timeout(PATIENCE, response).await.expect("in time").expect("an answer");
        let body = response.into_body().collect().await.expect("a body");
        let trailers = body.trailers().cloned().expect("trailers");
        assert_eq!(trailers["grpc-status"], "7");
        assert_eq!(body.to_bytes(), "message");
    }
    // A client of HTTP/1 cannot be served by such a group.
    let mut tls = connect(&world, &one, "one.test", b"http/1.1").await.expect("TLS");
    tls.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    let _ = timeout(PATIENCE, tls.read_to_string(&mut answer)).await.expect("in time");
    assert!(answer.starts_with("HTTP/1.1 464 "), "{answer}");
}

#[tokio::test]
async fn clients_that_break_tls_or_reset_streams_harm_nobody() {
    let one = certificate("one", "one.test");
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = silent.local_addr().expect("bound");
    let world = World::new(https(&[at], vec![one.clone()])).await;
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1, 0xff, 0xff], &[0; 4096]] {
        let mut stream = world.connect().await;
        stream.write_all(garbage).await.expect("sent");
        stream.shutdown().await.expect("half closed");
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it is closed");
        assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
    }
    let mut rapid = client(&world, &one).await;
    let resetting = async {
        // Each stream is reset as soon as it is sent, until the balancer has had enough.
        while rapid.ready().await.is_ok() {
            let request = Request::get("https://one.test/").body(Full::new(Bytes::new()));
            let sending = rapid.send_request(request.expect("a request"));
            let moment = std::time::Duration::from_micros(200);
            if let Ok(Err(_)) = timeout(moment, sending).await {
                return;
            }
        }
    };
    // Whether it is cut off or only slowed, others are served.
    let _ = timeout(std::time::Duration::from_secs(2), resetting).await;
    let mut tls = connect(&world, &one, "one.test", b"http/1.1").await.expect("TLS");
    tls.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    let _ = timeout(PATIENCE, tls.read_to_string(&mut answer)).await.expect("in time");
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
}

/// Whoever breaks the protocol may still be sending. A close with bytes that nobody has read would reset the
/// connection, and take away the reason.
#[tokio::test]
async fn who_breaks_the_protocol_may_finish_and_learns_why() {
    let trusted = certificate("one", "one.test");
    let world = World::new(https(&[], vec![trusted.clone()])).await;
    let mut tls = connect(&world, &trusted, "one.test", b"h2").await.expect("TLS");
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    // The head of a frame of 64 KiB, which nobody has allowed.
    let oversized = [1, 0, 0, 0, 0, 0, 0, 0, 1];
    let begin = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings, &oversized].concat();
    tls.write_all(&begin).await.expect("sent");
    let mut came = Vec::new();
    let goes_away = |came: &[u8]| {
        let mut rest = came;
        while let [a, b, c, kind, _, _, _, _, _, after @ ..] = rest {
            let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
            if *kind == 7 && after.len() >= length {
                return after.get(4..8).map(<[u8]>::to_vec);
            }
            rest = after.get(length..).unwrap_or_default();
        }
        None
    };
    let told = timeout(PATIENCE, async {
        loop {
            if let Some(code) = goes_away(&came) {
                break code;
            }
            assert!(tls.read_buf(&mut came).await.expect("an answer") > 0, "closed without a word");
        }
    });
    assert_eq!(told.await.expect("in time"), [0, 0, 0, 6], "FRAME_SIZE_ERROR");
    for _ in 0..64 {
        tls.write_all(&[b'x'; 1024]).await.expect("somebody reads it");
        tls.flush().await.expect("somebody reads it");
    }
}
