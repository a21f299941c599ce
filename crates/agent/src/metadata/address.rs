//! An address that containers reach.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;
use tokio::process::Command;

/// The address that SDKs know, and those tried when another process has it.
const WELL_KNOWN: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);
const OTHERS: std::ops::RangeInclusive<u8> = 3..=32;

/// Opens a listener: it, its base URL, and whether it is at the well-known address.
/// `before` is tried first, if it is such an address, for the sake of containers that know it.
pub(super) async fn open(
    gateway: Option<&str>,
    before: Option<IpAddr>,
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
    for last in OTHERS {
        let address = Ipv4Addr::new(169, 254, 170, last);
        if let Some(listener) = bind_link_local(address).await {
            return Some((listener, format!("http://{address}"), false));
        }
    }
    let gateway: IpAddr = gateway?.parse().ok()?;
    let listener = TcpListener::bind(SocketAddr::new(gateway, 0)).await.ok()?;
    let address = listener.local_addr().ok()?;
    Some((listener, format!("http://{address}"), false))
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
