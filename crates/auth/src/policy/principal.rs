//! Who a statement of a resource or trust policy is about.

use core::fmt;

/// What sort of name a principal of a policy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrincipalType {
    /// An account, user, role, session, or `*`.
    Aws,
    /// E.g. `ecs-tasks.amazonaws.com`.
    Service,
    /// ARN or name of an identity provider.
    Federated,
    /// A canonical user of S3.
    CanonicalUser,
}

impl PrincipalType {
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "AWS" => Self::Aws,
            "Service" => Self::Service,
            "Federated" => Self::Federated,
            "CanonicalUser" => Self::CanonicalUser,
            _ => return None,
        })
    }
}

impl fmt::Display for PrincipalType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aws => "AWS",
            Self::Service => "Service",
            Self::Federated => "Federated",
            Self::CanonicalUser => "CanonicalUser",
        })
    }
}

/// Who asks the owner of a resource or a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who<'a> {
    /// A user, or the root of an account.
    User {
        /// Twelve digits.
        account: &'a str,
        /// Its ARN.
        arn: &'a str,
    },
    /// A session of a role.
    Session {
        /// Twelve digits.
        account: &'a str,
        /// ARN of the session.
        arn: &'a str,
        /// ARN of the role, with its path.
        role: &'a str,
    },
    /// A service, e.g. `ecs-tasks.amazonaws.com`.
    Service(&'a str),
    /// Whoever an identity provider vouches for: ARN of the provider.
    Federated(&'a str),
}

impl<'a> Who<'a> {
    /// Account of a user or session.
    pub fn account(&self) -> Option<&'a str> {
        match self {
            Self::User { account, .. } | Self::Session { account, .. } => Some(account),
            Self::Service(_) | Self::Federated(_) => None,
        }
    }

    /// ARN, or the name of a service.
    pub fn name(&self) -> &'a str {
        match self {
            Self::User { arn, .. } | Self::Session { arn, .. } => arn,
            Self::Service(name) | Self::Federated(name) => name,
        }
    }
}

/// How directly a policy of a resource speaks of someone. Within one account the more direct, the
/// less its own policies matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// It names the account: who in it may, the account's own policies say.
    Account,
    /// It names the role of a session: boundary and session policies still limit it.
    Role,
    /// It names the user, session, service or provider itself, or everyone.
    Direct,
}

/// `Principal` or `NotPrincipal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Principals {
    pub(super) negated: bool,
    pub(super) named: Box<[Named]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) kind: PrincipalType,
    pub(super) value: Box<str>,
}

impl Principals {
    /// How it speaks of `who`; `None` where it does not.
    pub(super) fn grant(&self, who: &Who<'_>) -> Option<Grant> {
        let named = self.named.iter().filter_map(|named| named.grant(who)).max();
        match (self.negated, named) {
            (false, named) => named,
            (true, None) => Some(Grant::Direct),
            (true, Some(_)) => None,
        }
    }
}

impl Named {
    fn grant(&self, who: &Who<'_>) -> Option<Grant> {
        let value = &*self.value;
        match (self.kind, who) {
            (PrincipalType::Aws, _) if value == "*" => Some(Grant::Direct),
            (PrincipalType::Aws, Who::User { account, arn }) => {
                if value == *arn && !is_account(value, account) {
                    return Some(Grant::Direct);
                }
                is_account(value, account).then_some(Grant::Account)
            }
            (PrincipalType::Aws, Who::Session { account, arn, role }) => {
                if value == *arn {
                    Some(Grant::Direct)
                } else if value == *role {
                    Some(Grant::Role)
                } else {
                    is_account(value, account).then_some(Grant::Account)
                }
            }
            (PrincipalType::Service, Who::Service(name)) => {
                value.eq_ignore_ascii_case(name).then_some(Grant::Direct)
            }
            (PrincipalType::Federated, Who::Federated(provider)) => {
                (value == *provider).then_some(Grant::Direct)
            }
            _ => None,
        }
    }
}

/// `123456789012` and `arn:aws:iam::123456789012:root` mean the same.
fn is_account(value: &str, account: &str) -> bool {
    let root = || {
        let rest = value.strip_prefix("arn:")?;
        let (_partition, rest) = rest.split_once(':')?;
        rest.strip_prefix("iam::")?.strip_suffix(":root")
    };
    value == account || root() == Some(account)
}

/// Whether the text can name a principal of this sort. Whether there is one is not ours to say.
pub(super) fn is_principal(kind: PrincipalType, value: &str) -> bool {
    match kind {
        PrincipalType::Aws => is_aws(value),
        PrincipalType::Service => {
            let name = value
                .strip_suffix(".amazonaws.com")
                .or_else(|| value.strip_suffix(".amazonaws.com.cn"));
            let part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
            name.is_some_and(|name| !name.is_empty() && name.bytes().all(part))
        }
        PrincipalType::Federated => !value.is_empty() && !value.contains(['*', '?']),
        PrincipalType::CanonicalUser => {
            !value.is_empty() && value.bytes().all(|b| b.is_ascii_hexdigit())
        }
    }
}

fn is_aws(value: &str) -> bool {
    let digits = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    // "You cannot use a wildcard to match part of a principal name or ARN."
    if value == "*" || digits(value) {
        return true;
    }
    if value.contains(['*', '?']) {
        return false;
    }
    let unique_id = |text: &str| {
        (text.starts_with("AIDA") || text.starts_with("AROA"))
            && text.len() >= 16
            && text.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    let parts: Vec<&str> = value.splitn(6, ':').collect();
    match parts[..] {
        ["arn", partition, "iam", "", account, rest] => {
            partition.starts_with("aws")
                && digits(account)
                && (rest == "root" || named(rest, &["user/", "role/"]))
        }
        ["arn", partition, "sts", "", account, rest] => {
            partition.starts_with("aws")
                && digits(account)
                && named(rest, &["assumed-role/", "federated-user/"])
        }
        _ => unique_id(value),
    }
}

fn named(rest: &str, kinds: &[&str]) -> bool {
    kinds.iter().any(|kind| rest.strip_prefix(kind).is_some_and(|name| !name.is_empty()))
}
