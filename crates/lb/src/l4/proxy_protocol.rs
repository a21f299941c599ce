//! The header of proxy protocol, version 2, which tells a target who its client is. Pure.

use std::net::{IpAddr, SocketAddr};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The header of a TCP connection from `client` to `here`.
pub(super) fn header(client: SocketAddr, here: SocketAddr) -> Vec<u8> {
    let mut out = SIGNATURE.to_vec();
    // Version 2, command PROXY.
    out.push(0x21);
    let pair = (client.ip().to_canonical(), here.ip().to_canonical());
    if let (IpAddr::V4(from), IpAddr::V4(to)) = pair {
        out.extend([0x11, 0, 12]);
        out.extend(from.octets());
        out.extend(to.octets());
    } else {
        let wide = |ip| match ip {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        out.extend([0x21, 0, 36]);
        out.extend(wide(pair.0).octets());
        out.extend(wide(pair.1).octets());
    }
    out.extend(client.port().to_be_bytes());
    out.extend(here.port().to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_written() {
        let at = |text: &str| text.parse().expect("an address");
        let four = header(at("10.0.0.1:256"), at("10.0.0.2:80"));
        assert_eq!(four[12..], [0x21, 0x11, 0, 12, 10, 0, 0, 1, 10, 0, 0, 2, 1, 0, 0, 80]);
        let six = header(at("[2001:db8::1]:1"), at("10.0.0.2:80"));
        assert_eq!((six.len(), six[13], six[15]), (52, 0x21, 36));
    }
}
