//! Headers that say to a target where a request came from. Pure.

use std::net::{IpAddr, SocketAddr};

use longshore_domain::route::{BalancerAttributes, ForwardedFor};

use crate::limits;

/// `X-Forwarded-For` as it goes on; `None` when the header is left out.
pub(crate) fn forwarded_for<'a>(
    attributes: &BalancerAttributes,
    came: impl Iterator<Item = &'a str>,
    client: SocketAddr,
) -> Option<String> {
    if attributes.forwarded_for == ForwardedFor::Remove {
        return None;
    }
    let mut out = String::new();
    for value in came.filter(|value| !value.is_empty()) {
        if !out.is_empty() {
            out.push_str(", ");
        }
        out.push_str(value);
    }
    if attributes.forwarded_for == ForwardedFor::Append {
        if !out.is_empty() {
            out.push_str(", ");
        }
        out.push_str(&address(client, attributes.forwarded_for_port));
    }
    (!out.is_empty()).then_some(out)
}

/// Whether there are more addresses than ALB takes.
pub(crate) fn too_many<'a>(came: impl Iterator<Item = &'a str>) -> bool {
    came.map(|value| value.split(',').count()).sum::<usize>() > limits::FORWARDED_ADDRESSES
}

/// A client as the header names it.
fn address(client: SocketAddr, with_port: bool) -> String {
    let ip = client.ip().to_canonical();
    match (ip, with_port) {
        (_, false) => ip.to_string(),
        (IpAddr::V4(_), true) => format!("{ip}:{}", client.port()),
        (IpAddr::V6(_), true) => format!("[{ip}]:{}", client.port()),
    }
}

/// A trace id: `Root=1-` with seconds in hexadecimal and 96 random bits.
pub(crate) fn trace_id(now_s: i64, random: [u64; 2]) -> String {
    let seconds = u32::try_from(now_s).unwrap_or(0);
    format!("Root=1-{seconds:08x}-{:016x}{:08x}", random[0], random[1] & 0xffff_ffff)
}

/// `X-Amzn-Trace-Id` as it goes on: what came stays, and gets `Self` when it has a `Root`, or a
/// `Root` when it has none.
pub(crate) fn trace(came: Option<&str>, now_s: i64, random: [u64; 2]) -> String {
    let root = trace_id(now_s, random);
    match came {
        Some(came) if came.split(';').any(|p| p.trim().starts_with("Root=")) => {
            format!("Self={};{came}", root.trim_start_matches("Root="))
        }
        Some(came) if !came.is_empty() => format!("{root};{came}"),
        _ => root,
    }
}

/// The host without its port.
pub(crate) fn host_only(host: &str) -> &str {
    if host.starts_with('[') {
        return host.find(']').map_or(host, |end| &host[..=end]);
    }
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(mode: ForwardedFor, port: bool, came: &[&str], client: &str) -> Option<String> {
        let attributes = BalancerAttributes {
            forwarded_for: mode,
            forwarded_for_port: port,
            ..BalancerAttributes::default()
        };
        let client = client.parse().expect("an address");
        forwarded_for(&attributes, came.iter().copied(), client)
    }

    #[test]
    fn the_client_is_appended_kept_or_taken_away() {
        use ForwardedFor::{Append, Preserve, Remove};
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(header(Append, false, &[], "10.0.0.1:5"), is("10.0.0.1"));
        assert_eq!(
            header(Append, false, &["1.1.1.1", "2.2.2.2"], "10.0.0.1:5"),
            is("1.1.1.1, 2.2.2.2, 10.0.0.1")
        );
        assert_eq!(header(Append, true, &[], "10.0.0.1:5"), is("10.0.0.1:5"));
        assert_eq!(header(Append, true, &[], "[2001:db8::1]:5"), is("[2001:db8::1]:5"));
        assert_eq!(header(Append, false, &[], "[::ffff:10.0.0.1]:5"), is("10.0.0.1"));
        assert_eq!(header(Preserve, false, &["x"], "10.0.0.1:5"), is("x"));
        assert_eq!(header(Preserve, false, &[], "10.0.0.1:5"), None);
        assert_eq!(header(Remove, false, &["x"], "10.0.0.1:5"), None);
    }

    #[test]
    fn a_trace_gets_what_it_lacks() {
        let made = trace(None, 16, [1, 2]);
        assert_eq!(made, "Root=1-00000010-000000000000000100000002");
        assert_eq!(trace(Some("a=b"), 16, [1, 2]), format!("{made};a=b"));
        assert_eq!(
            trace(Some("Root=1-2-3;x=y"), 16, [1, 2]),
            "Self=1-00000010-000000000000000100000002;Root=1-2-3;x=y"
        );
    }

    #[test]
    fn a_host_loses_its_port() {
        for (host, name) in
            [("a:80", "a"), ("a", "a"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("a:b", "a:b")]
        {
            assert_eq!(host_only(host), name);
        }
    }

    proptest! {
        #[test]
        fn any_host_is_survived(host in ".{0,40}") {
            prop_assert!(host.starts_with(host_only(&host)));
        }
    }
}
