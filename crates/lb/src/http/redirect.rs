//! Where a redirect leads. Pure.

use longshore_domain::route::Redirect;

/// The parts of a request's URL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Url<'a> {
    /// `http` or `https`.
    pub(crate) protocol: &'a str,
    /// Without the port.
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    /// With its leading slash.
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
}

/// The URL for `Location`.
pub(crate) fn location(redirect: &Redirect, from: &Url<'_>) -> String {
    let protocol = fill(&redirect.protocol, from).to_ascii_lowercase();
    let host = fill(&redirect.host, from);
    let port = fill(&redirect.port, from);
    let path = fill(&redirect.path, from);
    let query = fill(&redirect.query, from);
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut url = format!("{protocol}://{host}:{port}{slash}{path}");
    if !query.is_empty() {
        url.push('?');
        url.push_str(&query);
    }
    // What came from the client must not end the header.
    url.retain(|c| !c.is_control());
    url
}

/// Replaces `#{…}` once, from left to right: what was put in is not read again.
fn fill(template: &str, from: &Url<'_>) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(start) = rest.find("#{") {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let Some(end) = rest.find('}') else { break };
        match &rest[2..end] {
            "protocol" => out.push_str(from.protocol),
            "host" => out.push_str(from.host),
            "port" => out.push_str(&from.port.to_string()),
            "path" => out.push_str(from.path.strip_prefix('/').unwrap_or(from.path)),
            "query" => out.push_str(from.query),
            _ => out.push_str(&rest[..=end]),
        }
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FROM: Url<'_> =
        Url { protocol: "http", host: "example.com", port: 80, path: "/a/b", query: "c=d" };

    fn redirect(parts: [&str; 5]) -> Redirect {
        let [protocol, host, port, path, query] = parts.map(str::to_owned);
        Redirect { protocol, host, port, path, query, permanent: true }
    }

    #[test]
    fn templates_are_filled() {
        let check = |parts, expected: &str| assert_eq!(location(&redirect(parts), &FROM), expected);
        check(
            ["HTTPS", "#{host}", "443", "/#{path}", "#{query}"],
            "https://example.com:443/a/b?c=d",
        );
        check(
            ["#{protocol}", "www.#{host}", "#{port}", "/x/#{path}/y", ""],
            "http://www.example.com:80/x/a/b/y",
        );
        check(
            ["HTTP", "h", "8", "/#{nothing}#{", "#{query}&#{query}"],
            "http://h:8/#{nothing}#{?c=d&c=d",
        );
    }

    proptest! {
        #[test]
        fn nothing_ends_the_header(path in ".{0,30}", query in ".{0,30}", template in ".{0,30}") {
            let from = Url { path: &path, query: &query, ..FROM };
            let url = location(&redirect(["HTTP", "h", "1", &template, "#{query}"]), &from);
            prop_assert!(!url.contains(['\r', '\n']));
        }
    }
}
