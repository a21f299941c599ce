//! What a web page makes a browser send to this machine.
//!
//! A server that accepts everybody (identity provider `open`) is kept from others by its loopback address
//! alone, and the browser of its user is within. So it obeys no page: not one that asks from its own
//! origin, and not one whose name was made to lead here (DNS rebinding). Where callers show who they are,
//! pages cannot, and nothing here is asked.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, HeaderName, Uri, header};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What `Sec-Fetch-Site` says of what no other page has caused.
const OWN: [&[u8]; 2] = [b"none", b"same-origin"];
/// The name by which containers reach their host.
const DOCKER: &str = "host.docker.internal";

const FROM_PAGE: &str = "The request comes from a web page. A server that accepts everybody (identity provider \
                         `open`) obeys none: ask it by another program than a browser, or run it with \
                         --identity iam or --keys, and sign.";
const BY_NAME: &str = "The request names another host than this one. A server that accepts everybody (identity \
                       provider `open`) is asked by an address, by localhost, by a name without dots, or by \
                       the host of its --advertise: use one of those, e.g. http://127.0.0.1:4566, or run it \
                       with --identity iam or --keys.";

/// Why a request is not obeyed, if it is not.
pub(super) fn refusal(
    uri: &Uri,
    headers: &HeaderMap,
    advertised: Option<&str>,
) -> Option<&'static str> {
    let site = |value: &http::HeaderValue| !OWN.contains(&value.as_bytes());
    if headers.contains_key(header::ORIGIN) || headers.get_all(FETCH_SITE).iter().any(site) {
        return Some(FROM_PAGE);
    }
    let advertised = advertised.and_then(|url| url.parse::<Uri>().ok());
    let advertised = advertised.as_ref().and_then(Uri::host);
    let is_ours = |host: &str| {
        is_local(host) || advertised.is_some_and(|ours| ours.eq_ignore_ascii_case(host))
    };
    let mut named = headers.get_all(header::HOST).iter();
    let by_header = named.all(|host| host.to_str().is_ok_and(|host| is_ours(without_port(host))));
    (!by_header || !uri.host().is_none_or(is_ours)).then_some(BY_NAME)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // What stands between brackets is no port.
        Some((host, port)) if !port.ends_with(']') => host,
        _ => host,
    }
}

/// Whether nobody else can make this host lead here: no name that public DNS knows.
fn is_local(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(|text| text.parse::<Ipv6Addr>().is_ok());
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    // Without a name (HTTP/1.0) it came from no browser.
    !name.contains('.')
        || name.parse::<Ipv4Addr>().is_ok()
        || name.ends_with(".localhost")
        || name == DOCKER
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(uri: &str, headers: &[(&str, &str)]) -> Option<&'static str> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            map.append(name, value.parse().expect("a value"));
        }
        let uri = uri.parse().expect("a target");
        refusal(&uri, &map, Some("http://Control.example.org:4566"))
    }

    #[test]
    fn hosts() {
        for host in [
            "",
            "127.0.0.1",
            "127.0.0.1:4566",
            "10.1.2.3:80",
            "[::1]:4566",
            "[::1]",
            "localhost",
            "LOCALHOST:4566",
            "localhost.:4566",
            "ecs.localhost:4566",
            "host.docker.internal:4566",
            "longshore:4566",
            "control.example.org",
            "control.EXAMPLE.org:4566",
        ] {
            assert_eq!(told("/", &[("host", host)]), None, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:4566",
            "evil.example.:4566",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "evillocalhost.example",
            "a.evil.localhost.example",
            "not-control.example.org",
            "host.docker.internal.evil.example",
            "[evil.example]",
            "[::1].evil.example:80",
            "user@evil.example",
        ] {
            assert_eq!(told("/", &[("host", host)]), Some(BY_NAME), "{host}");
        }
        assert_eq!(told("/", &[]), None, "HTTP/1.0");
        let both = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(told("/", &both), Some(BY_NAME));
        assert_eq!(told("http://evil.example/", &[("host", "localhost")]), Some(BY_NAME));
        assert_eq!(told("http://[::1]:4566/", &[("host", "[::1]:4566")]), None);
    }

    #[test]
    fn pages() {
        for value in ["http://evil.example", "http://127.0.0.1:4566", "null", ""] {
            let from = [("host", "localhost"), ("origin", value)];
            assert_eq!(told("/", &from), Some(FROM_PAGE), "{value}");
        }
        for (value, expected) in [
            ("none", None),
            ("same-origin", None),
            ("same-site", Some(FROM_PAGE)),
            ("cross-site", Some(FROM_PAGE)),
            ("", Some(FROM_PAGE)),
        ] {
            assert_eq!(told("/", &[("sec-fetch-site", value)]), expected, "{value}");
        }
    }
}
