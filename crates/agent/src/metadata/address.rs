//! An address that containers reach.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;
use tokio::process::Command;

/// The address that SDKs know.
const WELL_KNOWN: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);
/// Addresses tried when another process has the well-known one.
const OTHERS: u8 = 30;

/// Opens a listener: it, its base URL, and whether it is at the well-known address.
/// `before` is tried first, if it is such an address, for the sake of containers that know it.
pub(super) async fn open(
    gateway: Option<&str>,
    before: Option<IpAddr>,
    host: Option<IpAddr>,
) -> Option<(TcpListener, String, bool)> {
    if let Some(IpAddr::V4(address)) = before
        && address.is_link_local()
        && let Some(listener) = bind_link_local(address).await
    {
        return Some((listener, format!("http://{address}"), address == WELL_KNOWN));
    }
    if let Some(listener) = bind_link_local(WELL_KNOWN).await {
        return Some((listener, format!("http://{WELL_KNOWN}"), true));
    }
    for address in others(host) {
        if let Some(listener) = bind_link_local(address).await {
            return Some((listener, format!("http://{address}"), false));
        }
    }
    let gateway: IpAddr = gateway?.parse().ok()?;
    let listener = TcpListener::bind(SocketAddr::new(gateway, 0)).await.ok()?;
    let address = listener.local_addr().ok()?;
    Some((listener, format!("http://{address}"), false))
}

/// Addresses beside the well-known one. Agents on one machine differ by their host addresses, and
/// each begins elsewhere: else one would take another's while that one restarts, and containers
/// would ask the wrong agent.
fn others(host: Option<IpAddr>) -> impl Iterator<Item = Ipv4Addr> {
    let octets = match host {
        Some(IpAddr::V4(host)) => host.octets(),
        _ => [0; 4],
    };
    let mix = |sum: u8, octet: &u8| sum.wrapping_mul(31).wrapping_add(*octet);
    let first = octets.iter().fold(0, mix);
    (0..OTHERS).map(move |n| Ipv4Addr::new(169, 254, 171, first.wrapping_add(n)))
}

async fn bind_link_local(address: Ipv4Addr) -> Option<TcpListener> {
    let socket = SocketAddr::new(IpAddr::V4(address), 80);
    if let Ok(listener) = TcpListener::bind(socket).await {
        return Some(listener);
    }
    add(address).await;
    TcpListener::bind(socket).await.ok()
}

/// Adds the address to the loopback interface. Fails without the right to, and when it is there
/// already; whether it helped is seen by binding.
async fn add(address: Ipv4Addr) {
    let text = format!("{address}/32");
    let ip = Command::new("ip").args(["address", "add", &text, "dev", "lo"]).output().await;
    match ip {
        Ok(output) if output.status.success() => tracing::debug!(%address, "added to lo"),
        Ok(output) => {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            tracing::debug!(%address, error, "cannot be added to lo");
        }
        Err(error) => tracing::debug!(%address, %error, "cannot be added to lo"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_of_one_machine_begin_at_different_addresses() {
        let first = |host: [u8; 4]| others(Some(host.into())).next();
        let firsts: std::collections::BTreeSet<_> =
            (1..=100).map(|n| first([127, 0, 1, n])).collect();
        assert_eq!(firsts.len(), 100);
        assert_eq!(others(None).count(), usize::from(OTHERS));
        assert!(others(None).all(|address| address.is_link_local()));
    }
}
