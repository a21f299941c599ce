//! Names of Elastic Load Balancing: ids and ARNs.

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ArnError, IdSource, Scope, arn, text};
use crate::route::BalancerKind;

/// Id of a balancer, listener, rule or target group: 16 hexadecimal digits, the last part of its ARN.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElbId(u64);

impl ElbId {
    /// An id from 64 bits.
    #[must_use]
    pub const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// A fresh id.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "half of the bits are enough")]
    pub fn fresh(ids: &mut dyn IdSource) -> Self {
        Self(ids.next_id() as u64)
    }
}

impl fmt::Display for ElbId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for ElbId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ElbId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 16 || !text.bytes().all(digits) {
            return Err(());
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| ())
    }
}

impl Serialize for ElbId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ElbId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::read(deserializer, "16 hex digits")
    }
}

/// What an ARN of Elastic Load Balancing names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ElbResource {
    /// `loadbalancer/app/NAME/ID`
    LoadBalancer(BalancerKind, String, ElbId),
    /// `listener/app/NAME/BALANCER/ID`
    Listener(BalancerKind, String, ElbId, ElbId),
    /// `listener-rule/app/NAME/BALANCER/LISTENER/ID`
    Rule(BalancerKind, String, ElbId, ElbId, ElbId),
    /// `targetgroup/NAME/ID`
    TargetGroup(String, ElbId),
}

/// An ARN of Elastic Load Balancing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ElbArn {
    /// Account and region.
    pub scope: Scope,
    /// What it names.
    pub resource: ElbResource,
}

impl ElbArn {
    /// An ARN of `resource` in `scope`.
    #[must_use]
    pub fn new(scope: &Scope, resource: ElbResource) -> Self {
        Self { scope: scope.clone(), resource }
    }
}

/// The word for a kind of balancer in ARNs.
fn word(kind: BalancerKind) -> &'static str {
    match kind {
        BalancerKind::Application => "app",
        BalancerKind::Network => "net",
    }
}

impl fmt::Display for ElbArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scope { account, region } = &self.scope;
        write!(f, "arn:aws:elasticloadbalancing:{region}:{account}:")?;
        match &self.resource {
            ElbResource::LoadBalancer(kind, name, id) => {
                write!(f, "loadbalancer/{}/{name}/{id}", word(*kind))
            }
            ElbResource::Listener(kind, name, balancer, id) => {
                write!(f, "listener/{}/{name}/{balancer}/{id}", word(*kind))
            }
            ElbResource::Rule(kind, name, balancer, listener, id) => {
                write!(f, "listener-rule/{}/{name}/{balancer}/{listener}/{id}", word(*kind))
            }
            ElbResource::TargetGroup(name, id) => write!(f, "targetgroup/{name}/{id}"),
        }
    }
}

impl FromStr for ElbArn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let (scope, resource) = arn::split(text, "elasticloadbalancing")?;
        let resource = resource_of(resource).ok_or(ArnError::Resource)?;
        Ok(Self { scope, resource })
    }
}

fn resource_of(text: &str) -> Option<ElbResource> {
    let (what, rest) = text.split_once('/')?;
    let mut parts = rest.split('/');
    let resource = if what == "targetgroup" {
        ElbResource::TargetGroup(parts.next()?.to_string(), parts.next()?.parse().ok()?)
    } else {
        let kind = match parts.next()? {
            "app" => BalancerKind::Application,
            "net" => BalancerKind::Network,
            _ => return None,
        };
        let name = parts.next()?.to_string();
        let balancer: ElbId = parts.next()?.parse().ok()?;
        let mut id = || parts.next()?.parse::<ElbId>().ok();
        match what {
            "loadbalancer" => ElbResource::LoadBalancer(kind, name, balancer),
            "listener" => ElbResource::Listener(kind, name, balancer, id()?),
            "listener-rule" => ElbResource::Rule(kind, name, balancer, id()?, id()?),
            _ => return None,
        }
    };
    parts.next().is_none().then_some(resource)
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn arns_are_printed_and_read() {
        for resource in [
            "loadbalancer/app/web/0123456789abcdef",
            "listener/net/web/0123456789abcdef/0000000000000001",
            "listener-rule/app/web/0123456789abcdef/0000000000000001/0000000000000002",
            "targetgroup/web/0123456789abcdef",
        ] {
            let text = format!("arn:aws:elasticloadbalancing:us-east-1:000000000000:{resource}");
            assert_eq!(text.parse::<ElbArn>().map(|arn| arn.to_string()), Ok(text));
        }
    }

    #[test]
    fn what_is_no_arn_is_refused() {
        for (text, error) in [
            ("web", ArnError::Form),
            ("arn:aws:ecs:us-east-1:000000000000:cluster/c", ArnError::Service),
            ("arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/a/0", ArnError::Scope),
        ] {
            assert_eq!(text.parse::<ElbArn>(), Err(error), "{text}");
        }
        for resource in [
            "",
            "loadbalancer/web",
            "loadbalancer/gwy/web/0123456789abcdef",
            "loadbalancer/app/web/0123456789ABCDEF",
            "targetgroup/web/0123456789abcdef/more",
        ] {
            let text = format!("arn:aws:elasticloadbalancing:us-east-1:000000000000:{resource}");
            assert_eq!(text.parse::<ElbArn>(), Err(ArnError::Resource), "{text}");
        }
    }
}
