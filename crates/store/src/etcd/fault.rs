//! What an error of etcd means: whether something happened, and whether to ask again.
//!
//! The rule: only what etcd is known to say before it begins counts as not done. Everything
//! else, a lost connection first of all, may have happened.

use std::error::Error as _;
use std::time::Duration;

use etcd_client::Error;
use tonic::{Code, ConnectError, Status};

use super::options::EtcdOptions;
use crate::StoreError;

/// What came of a request instead of an answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// Nothing happened; asking again later, or another member, may help.
    Later(String),
    /// Nobody knows whether it happened.
    Lost(String),
    /// etcd takes no writes.
    NoSpace,
    /// The user may not.
    Denied(String),
    /// The lease has ended, or never was.
    NoLease,
    /// The history does not reach back that far.
    Compacted,
    /// The history does not reach that far yet.
    Future,
    /// etcd takes no such request.
    Refused(String),
    /// There is no store.
    NoStore,
}

/// Texts with which etcd refuses before it begins. It gives several meanings to one code, so
/// that the code alone does not tell.
const NOT_BEGUN: &[&str] = &[
    "etcdserver: no leader",
    "etcdserver: too many requests",
    "etcdserver: revision of auth store is old",
    "etcdserver: invalid auth token",
];

/// Texts that are about who is asking.
const DENIED: &[&str] = &[
    "etcdserver: authentication failed",
    "etcdserver: authentication is not enabled",
    "etcdserver: user name is empty",
    "etcdserver: user name not found",
    "etcdserver: permission denied",
];

impl Fault {
    /// A request without an answer.
    pub(super) fn late(waited: Duration) -> Self {
        Self::Lost(format!("no answer within {waited:?}"))
    }

    /// What it means for a request that changes nothing, where a lost answer is none at all.
    pub(super) fn of_read(self) -> Self {
        match self {
            Self::Lost(detail) => Self::Later(detail),
            other => other,
        }
    }

    /// What the caller of the store learns, when asking again has not helped.
    pub(super) fn error(self, options: &EtcdOptions) -> StoreError {
        match self {
            Self::Later(detail) => StoreError::Busy { detail },
            Self::Lost(detail) => StoreError::Uncertain { detail },
            Self::NoSpace => StoreError::NoSpace,
            Self::Denied(detail) => {
                StoreError::Denied { detail, namespace: options.namespace.clone() }
            }
            Self::NoLease => StoreError::Refused("etcd does not know the lease".into()),
            Self::Compacted => StoreError::Busy {
                detail: "its history was compacted while a page was read".into(),
            },
            Self::Future => StoreError::Refused("etcd has not reached that revision".into()),
            Self::Refused(why) => StoreError::Refused(why),
            Self::NoStore => StoreError::Address {
                address: format!("{}{}", options.endpoints(), options.namespace),
                why: "nothing is stored there; is that the right namespace?".into(),
            },
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::GRpcStatus(status) => of_status(&status),
            Error::LeaseKeepAliveError(text) if text == "lease not found" => Self::NoLease,
            other => Self::Lost(other.to_string()),
        }
    }
}

fn of_status(status: &Status) -> Fault {
    let text = status.message();
    let says = |texts: &[&str]| texts.iter().any(|known| text.starts_with(known));
    if says(NOT_BEGUN) || never_sent(status) {
        return Fault::Later(detail(status));
    }
    if says(DENIED) {
        return Fault::Denied(text.to_owned());
    }
    match status.code() {
        Code::ResourceExhausted if text.contains("database space exceeded") => Fault::NoSpace,
        Code::NotFound if text.contains("lease not found") => Fault::NoLease,
        Code::OutOfRange if text.contains("compacted") => Fault::Compacted,
        Code::OutOfRange if text.contains("future revision") => Fault::Future,
        Code::PermissionDenied | Code::Unauthenticated => Fault::Denied(text.to_owned()),
        Code::InvalidArgument | Code::Unimplemented => Fault::Refused(format!("etcd: {text}")),
        _ => Fault::Lost(detail(status)),
    }
}

/// Whether there was no connection that the request could have been sent on.
fn never_sent(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What happened, with its causes, as far as they say something new.
fn detail(status: &Status) -> String {
    let mut text = match status.message() {
        "" => status.code().to_string(),
        message => message.to_owned(),
    };
    let mut cause = status.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: Code, text: &str) -> Fault {
        Error::GRpcStatus(Status::new(code, text)).into()
    }

    #[test]
    fn only_what_is_known_not_to_have_begun_is_not_done() {
        let later = of(Code::Unavailable, "etcdserver: no leader");
        assert!(matches!(later, Fault::Later(_)), "{later:?}");
        for (code, text) in [
            (Code::Unavailable, "etcdserver: request timed out"),
            (Code::Unavailable, "etcdserver: leader changed"),
            (Code::Unavailable, "etcdserver: server stopped"),
            (Code::Unavailable, "broken pipe"),
            (Code::Cancelled, "Timeout expired"),
            (Code::Unknown, "raft proposal dropped"),
            (Code::Internal, "h2 protocol error"),
        ] {
            let fault = of(code, text);
            assert!(matches!(fault, Fault::Lost(_)), "{text}: {fault:?}");
            assert!(matches!(fault.of_read(), Fault::Later(_)), "a read changes nothing");
        }
        let refused = ConnectError(Box::from("connection refused"));
        let fault = Error::GRpcStatus(Status::from_error(Box::new(refused))).into();
        assert!(matches!(&fault, Fault::Later(why) if why.contains("refused")), "{fault:?}");
    }

    #[test]
    fn the_reason_is_found_in_the_text() {
        let full = of(Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded");
        assert!(matches!(full, Fault::NoSpace), "{full:?}");
        let busy = of(Code::ResourceExhausted, "etcdserver: too many requests");
        assert!(matches!(busy, Fault::Later(_)), "{busy:?}");
        let wrong = "etcdserver: authentication failed, invalid user ID or password";
        let denied = of(Code::InvalidArgument, wrong);
        assert!(matches!(denied, Fault::Denied(_)), "{denied:?}");
        let large = of(Code::InvalidArgument, "etcdserver: request is too large");
        assert!(matches!(large, Fault::Refused(_)), "{large:?}");
        let old = of(Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted");
        assert!(matches!(old, Fault::Compacted), "{old:?}");
        let lease = of(Code::NotFound, "etcdserver: requested lease not found");
        assert!(matches!(lease, Fault::NoLease), "{lease:?}");
    }
}
