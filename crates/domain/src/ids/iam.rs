//! Names of Identity and Access Management: unique ids and ARNs.

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{AccountId, ArnError, IdSource, text};

/// Characters of the ids of IAM: base 32 without digits that look like letters.
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Characters of an access key's id behind its prefix.
const KEY_CHARS: usize = 16;
/// Characters of the id of anything else behind its prefix.
const ENTITY_CHARS: usize = 17;

/// What a unique id of IAM is of, which its first four letters say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IamIdKind {
    /// `AIDA…`
    User,
    /// `AGPA…`
    Group,
    /// `AROA…`
    Role,
    /// `ANPA…`
    Policy,
    /// `AIPA…`
    InstanceProfile,
    /// `AKIA…`
    AccessKey,
    /// `ASIA…`: an access key that ends with its session.
    SessionKey,
}

impl IamIdKind {
    /// The first four letters.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::User => "AIDA",
            Self::Group => "AGPA",
            Self::Role => "AROA",
            Self::Policy => "ANPA",
            Self::InstanceProfile => "AIPA",
            Self::AccessKey => "AKIA",
            Self::SessionKey => "ASIA",
        }
    }

    const fn chars(self) -> usize {
        match self {
            Self::AccessKey | Self::SessionKey => KEY_CHARS,
            _ => ENTITY_CHARS,
        }
    }
}

/// A unique id of IAM: never given again, also when a name is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IamId(String);

impl IamId {
    /// A fresh id.
    #[must_use]
    pub fn fresh(kind: IamIdKind, ids: &mut dyn IdSource) -> Self {
        let mut bits = ids.next_id();
        let mut text = String::from(kind.prefix());
        for _ in 0..kind.chars() {
            text.push(char::from(ALPHABET[(bits & 31) as usize]));
            bits >>= 5;
        }
        Self(text)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is one of this kind.
    #[must_use]
    pub fn is(&self, kind: IamIdKind) -> bool {
        self.0.starts_with(kind.prefix())
    }
}

impl fmt::Display for IamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for IamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for IamId {
    type Err = ();

    /// Accepts what IAM takes for an id: 16 to 128 letters and digits.
    fn from_str(text: &str) -> Result<Self, ()> {
        let fits = (16..=128).contains(&text.len());
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if fits && plain { Ok(Self(text.into())) } else { Err(()) }
    }
}

impl Serialize for IamId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for IamId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::read(deserializer, "an id of 16 to 128 letters and digits")
    }
}

/// What an ARN of IAM or STS names. Paths begin and end with a slash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IamResource {
    /// `root`
    Root,
    /// `user/PATH/NAME`
    User(String, String),
    /// `group/PATH/NAME`
    Group(String, String),
    /// `role/PATH/NAME`
    Role(String, String),
    /// `policy/PATH/NAME`
    Policy(String, String),
    /// `instance-profile/PATH/NAME`
    InstanceProfile(String, String),
    /// `oidc-provider/URL`, without the scheme.
    OidcProvider(String),
    /// `assumed-role/ROLE/SESSION`, of STS.
    AssumedRole(String, String),
}

/// An ARN of IAM or STS: `arn:aws:iam::ACCOUNT:RESOURCE`; they have no region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IamArn {
    /// The account; `None` is AWS itself, as for its managed policies.
    pub account: Option<AccountId>,
    /// What it names.
    pub resource: IamResource,
}

impl IamArn {
    /// An ARN of `resource` in `account`.
    #[must_use]
    pub fn new(account: AccountId, resource: IamResource) -> Self {
        Self { account: Some(account), resource }
    }
}

impl fmt::Display for IamArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let session = matches!(self.resource, IamResource::AssumedRole(..));
        write!(f, "arn:aws:{}::", if session { "sts" } else { "iam" })?;
        match self.account {
            Some(account) => write!(f, "{account}:")?,
            None => f.write_str("aws:")?,
        }
        match &self.resource {
            IamResource::Root => f.write_str("root"),
            IamResource::User(path, name) => write!(f, "user{path}{name}"),
            IamResource::Group(path, name) => write!(f, "group{path}{name}"),
            IamResource::Role(path, name) => write!(f, "role{path}{name}"),
            IamResource::Policy(path, name) => write!(f, "policy{path}{name}"),
            IamResource::InstanceProfile(path, name) => write!(f, "instance-profile{path}{name}"),
            IamResource::OidcProvider(url) => write!(f, "oidc-provider/{url}"),
            IamResource::AssumedRole(role, session) => write!(f, "assumed-role/{role}/{session}"),
        }
    }
}

impl FromStr for IamArn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let parts: alloc::vec::Vec<&str> = text.splitn(6, ':').collect();
        let &["arn", "aws", service, region, account, resource] = parts.as_slice() else {
            return Err(ArnError::Form);
        };
        if service != "iam" && service != "sts" {
            return Err(ArnError::Service);
        }
        let account = match account {
            "aws" => None,
            account => Some(account.parse().map_err(|_| ArnError::Scope)?),
        };
        if !region.is_empty() {
            return Err(ArnError::Scope);
        }
        let resource = resource_of(service, resource).ok_or(ArnError::Resource)?;
        Ok(Self { account, resource })
    }
}

fn resource_of(service: &str, text: &str) -> Option<IamResource> {
    if text == "root" && service == "iam" {
        return Some(IamResource::Root);
    }
    let (kind, rest) = text.split_once('/')?;
    if service == "sts" {
        let (role, session) = rest.split_once('/')?;
        let whole = kind == "assumed-role" && !role.is_empty() && !session.is_empty();
        return whole.then(|| IamResource::AssumedRole(role.to_string(), session.to_string()));
    }
    if kind == "oidc-provider" {
        return (!rest.is_empty()).then(|| IamResource::OidcProvider(rest.to_string()));
    }
    let at = kind.len();
    let end = text.rfind('/')?;
    let (path, name) = (text[at..=end].to_string(), text[end + 1..].to_string());
    if name.is_empty() || path.contains("//") {
        return None;
    }
    Some(match kind {
        "user" => IamResource::User(path, name),
        "group" => IamResource::Group(path, name),
        "role" => IamResource::Role(path, name),
        "policy" => IamResource::Policy(path, name),
        "instance-profile" => IamResource::InstanceProfile(path, name),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    struct Counting(u128);

    impl IdSource for Counting {
        fn next_id(&mut self) -> u128 {
            self.0 += 1;
            self.0
        }
    }

    #[test]
    fn ids_say_what_they_are_of() {
        let ids = &mut Counting(0);
        assert_eq!(IamId::fresh(IamIdKind::User, ids).as_str(), "AIDABAAAAAAAAAAAAAAAA");
        assert_eq!(IamId::fresh(IamIdKind::AccessKey, ids).as_str(), "AKIACAAAAAAAAAAAAAAA");
        let key = IamId::fresh(IamIdKind::SessionKey, ids);
        assert!(key.is(IamIdKind::SessionKey) && !key.is(IamIdKind::AccessKey));
        assert_eq!(key.as_str().parse(), Ok(key));
        for wrong in ["", "AKIA", "AKIA/AAAAAAAAAAAAAA", "AKIA AAAAAAAAAAAAAAAA"] {
            assert!(wrong.parse::<IamId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn arns_are_printed_and_read() {
        for text in [
            "arn:aws:iam::000000000042:root",
            "arn:aws:iam::000000000042:user/ann",
            "arn:aws:iam::000000000042:user/a/b/ann",
            "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy",
            "arn:aws:iam::000000000042:role/aws-service-role/ecs.amazonaws.com/R",
            "arn:aws:iam::000000000042:instance-profile/ecsInstanceRole",
            "arn:aws:iam::000000000042:oidc-provider/example.com/a/b",
            "arn:aws:sts::000000000042:assumed-role/R/session",
        ] {
            assert_eq!(text.parse::<IamArn>().map(|arn| arn.to_string()), Ok(text.to_string()));
        }
        let role: IamArn = "arn:aws:iam::000000000042:role/a/b/R".parse().expect("an ARN");
        assert_eq!(role.resource, IamResource::Role("/a/b/".into(), "R".into()));
    }

    #[test]
    fn what_is_no_arn_is_refused() {
        for (text, error) in [
            ("ann", ArnError::Form),
            ("arn:aws:ecs:us-east-1:000000000042:cluster/c", ArnError::Service),
            ("arn:aws:iam:us-east-1:000000000042:user/ann", ArnError::Scope),
            ("arn:aws:iam::42:user/ann", ArnError::Scope),
            ("arn:aws:iam::000000000042:user/", ArnError::Resource),
            ("arn:aws:iam::000000000042:user//ann", ArnError::Resource),
            ("arn:aws:iam::000000000042:user", ArnError::Resource),
            ("arn:aws:iam::000000000042:bucket/x", ArnError::Resource),
            ("arn:aws:iam::000000000042:assumed-role/R/s", ArnError::Resource),
            ("arn:aws:sts::000000000042:role/R", ArnError::Resource),
            ("arn:aws:sts::000000000042:assumed-role/R", ArnError::Resource),
        ] {
            assert_eq!(text.parse::<IamArn>(), Err(error), "{text}");
        }
        let text = format!("arn:aws:iam::{}:root", "0".repeat(12));
        assert!(text.parse::<IamArn>().is_ok());
    }
}
