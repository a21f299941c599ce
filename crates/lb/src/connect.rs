//! Connections to targets.

use std::io;
use std::net::SocketAddr;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, TlsStream};

use crate::stream::Stream;
use crate::{limits, tls};

/// Connects, with TLS where asked for; `http2` is what is offered then.
pub(crate) async fn connect(
    address: SocketAddr,
    with_tls: bool,
    http2: bool,
) -> io::Result<Stream> {
    let connecting = async {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        if !with_tls {
            return Ok(Stream::Plain(tcp));
        }
        let connector = TlsConnector::from(tls::client(http2));
        let name = ServerName::IpAddress(address.ip().into());
        let stream = connector.connect(name, tcp).await?;
        Ok(Stream::Tls(Box::new(TlsStream::Client(stream))))
    };
    let late = |_| Err(io::ErrorKind::TimedOut.into());
    timeout(limits::CONNECT, connecting).await.unwrap_or_else(late)
}
