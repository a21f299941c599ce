//! Names that people choose: accounts, regions, clusters, services, daemons, families.

use alloc::sync::Arc;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text;
use crate::limits;

/// Why a text is not a name of the wanted kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// No characters, or more than the limit.
    Length,
    /// A character outside letters, digits, hyphen and underscore.
    Character,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "must have 1 to 255 characters",
            Self::Character => "may contain only letters, numbers, hyphens and underscores",
        })
    }
}

impl core::error::Error for NameError {}

fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() || text.len() > limits::NAME_LEN {
        return Err(NameError::Length);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if text.chars().all(allowed) { Ok(()) } else { Err(NameError::Character) }
}

/// A shared, immutable, validated name; cloning is cheap.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                text::read(deserializer, "a name of 1 to 255 letters, numbers, hyphens, underscores")
            }
        }
    };
}

name! {
    /// Name of a cluster, unique within account and region.
    ClusterName
}
name! {
    /// Name of a service, unique within its cluster.
    ServiceName
}
name! {
    /// Name of a daemon, unique within its cluster.
    DaemonName
}
name! {
    /// Family of a task definition, unique within account and region.
    Family
}
name! {
    /// Region, e.g. `us-east-1`.
    Region
}

impl ClusterName {
    /// The cluster that a request means when it names none.
    #[must_use]
    pub fn default_cluster() -> Self {
        Self("default".into())
    }
}

/// A 12-digit AWS account id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(u64);

impl FromStr for AccountId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() != 12 {
            return Err(NameError::Length);
        }
        if !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NameError::Character);
        }
        text.parse().map(Self).map_err(|_| NameError::Character)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}", self.0)
    }
}

impl Serialize for AccountId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AccountId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::read(deserializer, "a 12-digit account id")
    }
}

/// The account and region that a resource belongs to; every store key starts with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// Owning account.
    pub account: AccountId,
    /// Region, from the credential scope of the request.
    pub region: Region,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn names_follow_the_rule_of_ecs() {
        assert!("web-1_x".parse::<ClusterName>().is_ok());
        assert_eq!("".parse::<ClusterName>(), Err(NameError::Length));
        assert_eq!("a".repeat(256).parse::<Family>(), Err(NameError::Length));
        assert_eq!("a b".parse::<ServiceName>(), Err(NameError::Character));
    }

    #[test]
    fn accounts_keep_their_zeros() {
        let account: AccountId = "000000000042".parse().expect("twelve digits");
        assert_eq!(account.to_string(), "000000000042");
        assert!("42".parse::<AccountId>().is_err());
        assert!("00000000004x".parse::<AccountId>().is_err());
    }
}
