//! TCP from an address of one's own: agents on machines of their own do not share the ports of one
//! address, of which there are 28,000.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use futures_util::future::BoxFuture;
use tokio::net::{TcpSocket, TcpStream, lookup_host};

use crate::network::{Network, Stream};

/// TCP of one agent.
#[derive(Debug)]
pub(super) struct Own {
    /// Where connections to the loopback come from.
    source: Ipv4Addr,
}

impl Own {
    /// Agents get addresses from 127.16.0.1 on; the whole of 127.0.0.0/8 is the machine itself.
    pub(super) fn new(number: u32) -> Self {
        let [_, b, c, d] = (number % 0x00ef_fffe + 1).to_be_bytes();
        Self { source: Ipv4Addr::new(127, 16 + b, c, d) }
    }

    async fn open(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in lookup_host((host, port)).await? {
            let connected = match address.ip() {
                IpAddr::V4(to) if to.is_loopback() => {
                    let socket = TcpSocket::new_v4()?;
                    socket.bind(SocketAddr::new(self.source.into(), 0))?;
                    socket.connect(address).await
                }
                _ => TcpStream::connect(address).await,
            };
            match connected {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl Network for Own {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Stream>> {
        Box::pin(async move {
            let stream = self.open(host, port).await?;
            // Small frames are answered at once.
            stream.set_nodelay(true)?;
            Ok(Stream::new(stream))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_agent_has_an_address_of_its_own() {
        let of = |number| Own::new(number).source.to_string();
        assert_eq!([of(0), of(255), of(65_535)], ["127.16.0.1", "127.16.1.0", "127.17.0.0"]);
        assert_eq!(of(u32::MAX).split('.').next(), Some("127"));
    }
}
