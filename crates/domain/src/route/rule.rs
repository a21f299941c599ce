//! Rules of listeners: conditions, and what happens to a request that meets them all.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// A rule of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its ARN.
    pub arn: String,
    /// 1 to 50,000, lower first; the default rule has none and comes last.
    pub priority: Option<u32>,
    /// All have to hold.
    pub conditions: Vec<Condition>,
    /// In order; the last one answers.
    pub actions: Vec<Action>,
}

/// What a request has to be like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// The host, without its port; case does not matter.
    HostHeader(Patterns),
    /// The path, without the query; case matters.
    PathPattern(Patterns),
    /// A header; neither the case of its name nor that of its value matters.
    HttpHeader {
        /// Name of the header.
        name: String,
        /// What it may be; of several such headers, one suffices.
        values: Patterns,
    },
    /// The method, exactly.
    HttpRequestMethod(Vec<String>),
    /// A parameter of the query; case does not matter.
    QueryString(Vec<QueryPair>),
    /// The address of the other end of the connection.
    SourceIp(Vec<Cidr>),
}

/// Texts of which one has to match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Patterns {
    /// `*` stands for any characters, `?` for exactly one.
    Values(Vec<String>),
    /// Regular expressions that are found in the text.
    Regex(Vec<String>),
}

/// A parameter of the query, both sides with wildcards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryPair {
    /// Any, when there is none.
    pub key: Option<String>,
    /// Its value.
    pub value: String,
}

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Whether `address` is in it. IPv4 in IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = |address: IpAddr| match address.to_canonical() {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, true),
            IpAddr::V6(v6) => (u128::from(v6), false),
        };
        let (ours, theirs) = (bits(self.address), bits(address));
        let shift = 128 - u32::from(self.prefix);
        ours.1 == theirs.1 && (ours.0 ^ theirs.0).checked_shr(shift).unwrap_or(0) == 0
    }
}

/// A text that is no CIDR block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CidrError;

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, prefix) = text.split_once('/').ok_or(CidrError)?;
        let address: IpAddr = address.parse().map_err(|_| CidrError)?;
        let digits = prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix: u8 = prefix.parse().ok().filter(|_| digits).ok_or(CidrError)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        if prefix > most { Err(CidrError) } else { Ok(Self { address, prefix }) }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Serialize for Cidr {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|CidrError| serde::de::Error::custom("no CIDR block"))
    }
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A target answers.
    Forward(Forward),
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// The balancer answers itself.
    FixedResponse(FixedResponse),
    /// Whoever has not logged in does so first; then the next action follows.
    AuthenticateOidc(Box<AuthenticateOidc>),
}

/// Forwarding by weight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// Target groups.
    pub groups: Vec<Weighted>,
    /// For how many seconds a client stays with the group that it first got; `None` means that it
    /// does not.
    pub stickiness_s: Option<u32>,
}

/// A target group and its share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weighted {
    /// ARN of the target group.
    pub group: String,
    /// 0 to 999, relative to the others.
    pub weight: u32,
}

/// Where a client is sent. Each text may contain `#{protocol}`, `#{host}`, `#{port}`, `#{path}`
/// (without its leading slash) and `#{query}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// `HTTP`, `HTTPS` or `#{protocol}`.
    pub protocol: String,
    /// Host.
    pub host: String,
    /// Port.
    pub port: String,
    /// Path, with its leading slash.
    pub path: String,
    /// Query, without its question mark.
    pub query: String,
    /// 301 rather than 302.
    pub permanent: bool,
}

/// An answer of the balancer itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedResponse {
    /// 200 to 599.
    pub status: u16,
    /// Type of the body.
    pub content_type: Option<String>,
    /// Body.
    pub body: String,
}

/// Log-in at an OpenID provider. Its debug form does not show the secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthenticateOidc {
    /// Issuer, as its tokens name it.
    pub issuer: String,
    /// Where clients log in.
    pub authorization_endpoint: String,
    /// Where codes become tokens.
    pub token_endpoint: String,
    /// Where tokens become claims.
    pub user_info_endpoint: String,
    /// Our id there.
    pub client_id: String,
    /// Our secret there.
    pub client_secret: String,
    /// Name of the cookie; `AWSELBAuthSessionCookie` unless given.
    pub session_cookie: String,
    /// Scope that is asked for; `openid` unless given.
    pub scope: String,
    /// Seconds that a log-in lasts; a week unless given.
    pub session_timeout_s: u64,
    /// Further parameters of the request to log in.
    pub extra_parameters: Vec<(String, String)>,
    /// What happens to who has not logged in.
    pub unauthenticated: Unauthenticated,
}

impl fmt::Debug for AuthenticateOidc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticateOidc")
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// What happens to a request of somebody who has not logged in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unauthenticated {
    /// 401.
    Deny,
    /// It is let through.
    Allow,
    /// The client is sent to log in.
    #[default]
    Authenticate,
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn holds(cidr: &str, address: &str) -> bool {
        let cidr: Cidr = cidr.parse().expect("a block");
        assert_eq!(cidr.to_string().parse(), Ok(cidr));
        cidr.contains(address.parse().expect("an address"))
    }

    #[test]
    fn blocks_contain_what_begins_alike() {
        assert!(holds("10.0.0.0/8", "10.255.0.1"));
        assert!(!holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("10.1.2.3/32", "10.1.2.3"));
        assert!(!holds("10.1.2.3/32", "10.1.2.2"));
        assert!(holds("0.0.0.0/0", "203.0.113.9"));
        assert!(!holds("0.0.0.0/0", "2001:db8::1"), "the other family");
        assert!(holds("::/0", "2001:db8::1"));
        assert!(holds("2001:db8::/32", "2001:db8:1::1"));
        assert!(holds("10.0.0.0/8", "::ffff:10.0.0.1"), "IPv4 in IPv6");
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for text in ["", "10.0.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "x/8"] {
            assert_eq!(text.parse::<Cidr>(), Err(CidrError), "{text}");
        }
    }
}
