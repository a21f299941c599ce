//! Identifiers that Longshore makes: tasks, container instances, revisions.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::{self, Hex};
use crate::time::Timestamp;

/// Where a decision takes fresh ids from: random in production, seeded in tests and the simulator.
pub trait IdSource {
    /// 128 bits that no other call returned.
    fn next_id(&mut self) -> u128;
}

macro_rules! unique {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// An id from 128 bits.
            #[must_use]
            pub const fn new(bits: u128) -> Self {
                Self(bits)
            }

            /// The 128 bits.
            #[must_use]
            pub const fn bits(self) -> u128 {
                self.0
            }

            /// A fresh id.
            #[must_use]
            pub fn fresh(ids: &mut dyn IdSource) -> Self {
                Self(ids.next_id())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Hex::new(self.0).as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Hex::new(self.0).as_str())
            }
        }

        impl FromStr for $name {
            type Err = ();

            /// Accepts exactly the 32 lower-case hexadecimal digits that `Display` prints.
            fn from_str(text: &str) -> Result<Self, ()> {
                let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
                if text.len() != 32 || !text.bytes().all(digits) {
                    return Err(());
                }
                u128::from_str_radix(text, 16).map(Self).map_err(|_| ())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(Hex::new(self.0).as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                text::read(deserializer, "32 hex digits")
            }
        }
    };
}

unique! {
    /// Id of a task: the 32 hex digits at the end of its ARN.
    TaskId
}
unique! {
    /// Id of a container instance: the 32 hex digits at the end of its ARN.
    InstanceId
}

unique! {
    /// Id of a service event.
    EventId
}

unique! {
    /// Id of a service deployment.
    ServiceDeploymentId
}

impl ServiceDeploymentId {
    /// A fresh id that is greater than those of earlier milliseconds.
    #[must_use]
    pub fn fresh_at(now: Timestamp, ids: &mut dyn IdSource) -> Self {
        Self(ordered(now, ids))
    }
}

unique! {
    /// Id of a daemon deployment.
    DaemonDeploymentId
}

impl DaemonDeploymentId {
    /// A fresh id that is greater than those of earlier milliseconds.
    #[must_use]
    pub fn fresh_at(now: Timestamp, ids: &mut dyn IdSource) -> Self {
        Self(ordered(now, ids))
    }
}

fn ordered(now: Timestamp, ids: &mut dyn IdSource) -> u128 {
    let millis = u64::try_from(now.as_millis()).unwrap_or(0);
    u128::from(millis) << 80 | ids.next_id() >> 48
}

/// Revision of a task definition: 1, 2, 3, … within its family, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u32);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
