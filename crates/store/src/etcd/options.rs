//! Where etcd is and how to speak to it, as one address.
//!
//! `etcd://[USER[:PASSWORD]@]HOST:PORT[,HOST:PORT…][/NAMESPACE][?OPTION=VALUE&…]`, and `etcds://`
//! for TLS. The password is never shown again: not by `Debug`, not in an error.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::contract::StoreId;
use crate::history::HistoryLimits;
use crate::{StoreError, limits};

/// Port of a member that names none.
const PORT: u16 = 2379;
/// Beginning of all keys where the address names none.
const NAMESPACE: &str = "/longshore";

/// How to open a store in etcd.
#[derive(Clone)]
pub struct EtcdOptions {
    /// The id that the store gets if this call creates it.
    pub new_id: StoreId,
    /// Whether the store is made where there is none.
    pub create: bool,
    /// How much watch history is kept in this process.
    pub history: HistoryLimits,
    /// Members, as `host:port`; one of them is used at a time.
    pub(super) members: Vec<String>,
    /// Beginning of all keys, without a slash at its end.
    pub(super) namespace: String,
    /// Name and password.
    pub(super) user: Option<(String, String)>,
    /// What TLS needs; without it the connection is plain.
    pub(super) tls: Option<Tls>,
    /// Longest wait for a connection to one member.
    pub(super) connect_timeout: Duration,
    /// Longest wait for one answer; after twice as long a call is given up.
    pub(super) request_timeout: Duration,
    /// How long etcd keeps its history; `None` leaves that to its operator.
    pub(super) compaction: Option<Duration>,
}

/// Certificates, as PEM.
#[derive(Clone, Default)]
pub(super) struct Tls {
    pub(super) ca: Vec<u8>,
    /// Certificate and key of this client.
    pub(super) identity: Option<(Vec<u8>, Vec<u8>)>,
    /// Name that the members' certificates are for, where it is not the host.
    pub(super) server_name: Option<String>,
}

impl fmt::Debug for EtcdOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdOptions")
            .field("members", &self.members)
            .field("namespace", &self.namespace)
            .field("user", &self.user.as_ref().map(|(name, _)| name))
            .finish_non_exhaustive()
    }
}

impl EtcdOptions {
    /// Whether `address` is one of etcd.
    pub fn recognizes(address: &str) -> bool {
        address.starts_with("etcd://") || address.starts_with("etcds://")
    }

    /// Reads an address, and the files that it names; `new_id` is for a store that opening it
    /// creates.
    ///
    /// # Errors
    /// [`StoreError::Address`], [`StoreError::Io`] when a file cannot be read.
    pub fn parse(address: &str, new_id: StoreId) -> Result<Self, StoreError> {
        let parts = Parts::split(address);
        parts.and_then(|parts| parts.read(new_id)).map_err(|fault| match fault {
            Fault::Wrong(why) => StoreError::Address { address: without_password(address), why },
            Fault::File(error) => error,
        })
    }

    /// All members in one line.
    pub(super) fn endpoints(&self) -> String {
        self.members.join(",")
    }
}

/// What is wrong with an address.
enum Fault {
    Wrong(String),
    File(StoreError),
}

fn wrong<T>(why: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Wrong(why.into()))
}

/// An address, cut where its parts meet.
struct Parts<'a> {
    tls: bool,
    user: Option<&'a str>,
    hosts: &'a str,
    path: &'a str,
    options: &'a str,
}

impl<'a> Parts<'a> {
    fn split(address: &'a str) -> Result<Self, Fault> {
        let (tls, rest) = match address.split_once("://") {
            Some(("etcd", rest)) => (false, rest),
            Some(("etcds", rest)) => (true, rest),
            _ => return wrong("it starts with neither etcd:// nor etcds://"),
        };
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, authority),
        };
        Ok(Self { tls, user, hosts, path, options })
    }

    fn read(&self, new_id: StoreId) -> Result<EtcdOptions, Fault> {
        let members: Result<Vec<_>, _> = self.hosts.split(',').map(member).collect();
        let mut read = EtcdOptions {
            new_id,
            create: true,
            history: HistoryLimits::default(),
            members: members?,
            namespace: namespace(self.path)?,
            user: None,
            tls: None,
            connect_timeout: limits::ETCD_CONNECT,
            request_timeout: limits::ETCD_REQUEST,
            compaction: Some(limits::ETCD_HISTORY),
        };
        let (name, mut password) = match self.user.map(|user| user.split_once(':')) {
            Some(Some((name, password))) => (Some(decode(name)?), Some(decode(password)?)),
            Some(None) => (self.user.map(decode).transpose()?, None),
            None => (None, None),
        };
        let mut tls = Tls::default();
        let (mut certificate, mut key) = (None, None);
        for option in self.options.split('&').filter(|option| !option.is_empty()) {
            let Some((option, value)) = option.split_once('=') else {
                return wrong(format!("the option {option} has no value; write {option}=VALUE"));
            };
            let value = decode(value)?;
            match option {
                "ca" => tls.ca = file(&value)?,
                "cert" => certificate = Some(file(&value)?),
                "key" => key = Some(file(&value)?),
                "server-name" => tls.server_name = Some(value),
                "password-file" => password = Some(secret(&value)?),
                "connect-timeout" => read.connect_timeout = duration(option, &value)?,
                "request-timeout" => read.request_timeout = duration(option, &value)?,
                "compaction" if value == "off" => read.compaction = None,
                "compaction" => read.compaction = Some(duration(option, &value)?),
                _ => {
                    return wrong(format!(
                        "it has no option {option}; there are ca, cert, key, server-name, \
                         password-file, connect-timeout, request-timeout and compaction"
                    ));
                }
            }
        }
        read.user = match (name, password) {
            (Some(name), Some(password)) => Some((name, password)),
            (None, None) => None,
            (Some(_), None) => return wrong("its user has no password; add password-file=FILE"),
            (None, Some(_)) => return wrong("it has a password and no user"),
        };
        tls.identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return wrong("of cert and key, give both or none"),
        };
        let given = !tls.ca.is_empty() || tls.identity.is_some() || tls.server_name.is_some();
        match (self.tls, given) {
            (true, _) if tls.ca.is_empty() => {
                return wrong("TLS needs the certificate that members are signed with: ca=FILE");
            }
            (false, true) => return wrong("certificates are for etcds://"),
            (true, _) => read.tls = Some(tls),
            (false, false) => {}
        }
        Ok(read)
    }
}

fn member(host: &str) -> Result<String, Fault> {
    let (name, port) = match host.rsplit_once(':') {
        // A colon within brackets belongs to an IPv6 address.
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let port = match port.map(str::parse::<u16>) {
        None => PORT,
        Some(Ok(port)) if port != 0 => port,
        Some(_) => return wrong(format!("{host} has no valid port")),
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let host_like = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let valid = match bare {
        Some(bare) => bare.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.chars().all(host_like),
    };
    if !valid {
        return wrong(format!("{host:?} is no host:port; write etcd://HOST:PORT,HOST:PORT"));
    }
    Ok(format!("{name}:{port}"))
}

fn namespace(path: &str) -> Result<String, Fault> {
    let path = path.trim_end_matches('/');
    if path.is_empty() {
        return Ok(NAMESPACE.into());
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '/');
    if path.len() > limits::ETCD_NAMESPACE_BYTES || !path.chars().all(plain) || path.contains("//")
    {
        let max = limits::ETCD_NAMESPACE_BYTES;
        return wrong(format!(
            "the namespace {path} must have at most {max} letters, digits, '-', '.', '_' and '/'"
        ));
    }
    Ok(path.into())
}

fn duration(option: &str, text: &str) -> Result<Duration, Fault> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_ms = match text.get(digits.len()..) {
        Some("ms") => Some(1),
        Some("s") => Some(1000),
        Some("m") => Some(60_000),
        Some("h") => Some(3_600_000),
        _ => None,
    };
    let ms = digits.parse::<u64>().ok().zip(unit_ms).and_then(|(n, unit)| n.checked_mul(unit));
    match ms {
        Some(ms) if (1..=limits::ETCD_DURATION_MAX.as_millis()).contains(&u128::from(ms)) => {
            Ok(Duration::from_millis(ms))
        }
        _ => wrong(format!("{option}={text} is no time; write e.g. 500ms, 5s, 5m or 1h")),
    }
}

fn decode(text: &str) -> Result<String, Fault> {
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => wrong("what follows its % signs is no UTF-8"),
    }
}

fn file(path: &str) -> Result<Vec<u8>, Fault> {
    let path = Path::new(path);
    fs::read(path).map_err(|source| Fault::File(StoreError::io("read", path, source)))
}

/// The content of a file without the line end that editors add.
fn secret(path: &str) -> Result<String, Fault> {
    match String::from_utf8(file(path)?) {
        Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(_) => wrong(format!("the password in {path} is no UTF-8")),
    }
}

/// The address as it may be shown.
fn without_password(address: &str) -> String {
    let start = address.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = address.split_at(start);
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((user, hosts)) => {
            let name = user.split(':').next().unwrap_or_default();
            format!("{scheme}{name}@{hosts}{tail}")
        }
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests;
