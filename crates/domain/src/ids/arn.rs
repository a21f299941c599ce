//! ARNs in the long format: build and parse.

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use super::{
    ClusterName, DaemonDeploymentId, DaemonName, Family, InstanceId, Revision, Scope,
    ServiceDeploymentId, ServiceName, TaskId,
};

/// What an ECS ARN names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// `cluster/C`
    Cluster(ClusterName),
    /// `service/C/S`
    Service(ClusterName, ServiceName),
    /// `service-deployment/C/S/D`
    ServiceDeployment(ClusterName, ServiceName, ServiceDeploymentId),
    /// `service-revision/C/S/N`
    ServiceRevision(ClusterName, ServiceName, u64),
    /// `task-set/C/S/ecs-svc/N`
    TaskSet(ClusterName, ServiceName, u64),
    /// `daemon/C/D`
    Daemon(ClusterName, DaemonName),
    /// `daemon-deployment/C/D/I`
    DaemonDeployment(ClusterName, DaemonName, DaemonDeploymentId),
    /// `daemon-revision/C/D/N`
    DaemonRevision(ClusterName, DaemonName, u64),
    /// `daemon-task-definition/F:N`
    DaemonTaskDefinition(Family, Revision),
    /// `task/C/T`
    Task(ClusterName, TaskId),
    /// `container-instance/C/I`
    ContainerInstance(ClusterName, InstanceId),
    /// `task-definition/F:N`
    TaskDefinition(Family, Revision),
    /// `container/C/T/U`: one container of a task; the last part is a UUID.
    Container(ClusterName, TaskId, String),
    /// Any other kind, kept as written: kind and the rest.
    Other(String, String),
}

/// An ECS ARN: `arn:aws:ecs:REGION:ACCOUNT:RESOURCE`. It has one spelling: what can be read prints as it
/// was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arn {
    /// Account and region.
    pub scope: Scope,
    /// What it names.
    pub resource: Resource,
}

/// Why a text is not an ARN of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArnError {
    /// Not `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`.
    Form,
    /// Another service than `ecs`.
    Service,
    /// Account or region is malformed.
    Scope,
    /// The resource part is malformed, or an old short form without cluster.
    Resource,
}

impl fmt::Display for ArnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "not of the form arn:aws:service:region:account:resource",
            Self::Service => "names another service",
            Self::Scope => "has a malformed account or region",
            Self::Resource => "has a malformed resource part",
        })
    }
}

impl core::error::Error for ArnError {}

impl Arn {
    /// An ARN of `resource` in `scope`.
    #[must_use]
    pub fn new(scope: &Scope, resource: Resource) -> Self {
        Self { scope: scope.clone(), resource }
    }

    /// Whether `text` is meant as an ARN rather than as a name.
    #[must_use]
    pub fn looks_like(text: &str) -> bool {
        text.starts_with("arn:")
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arn:aws:ecs:{}:{}:", self.scope.region, self.scope.account)?;
        match &self.resource {
            Resource::Cluster(cluster) => write!(f, "cluster/{cluster}"),
            Resource::Service(cluster, service) => write!(f, "service/{cluster}/{service}"),
            Resource::ServiceDeployment(cluster, service, id) => {
                write!(f, "service-deployment/{cluster}/{service}/{id}")
            }
            Resource::ServiceRevision(cluster, service, id) => {
                write!(f, "service-revision/{cluster}/{service}/{id}")
            }
            Resource::TaskSet(cluster, service, number) => {
                write!(f, "task-set/{cluster}/{service}/ecs-svc/{number}")
            }
            Resource::Daemon(cluster, daemon) => write!(f, "daemon/{cluster}/{daemon}"),
            Resource::DaemonDeployment(cluster, daemon, id) => {
                write!(f, "daemon-deployment/{cluster}/{daemon}/{id}")
            }
            Resource::DaemonRevision(cluster, daemon, id) => {
                write!(f, "daemon-revision/{cluster}/{daemon}/{id}")
            }
            Resource::DaemonTaskDefinition(family, revision) => {
                write!(f, "daemon-task-definition/{family}:{revision}")
            }
            Resource::Task(cluster, task) => write!(f, "task/{cluster}/{task}"),
            Resource::ContainerInstance(cluster, id) => {
                write!(f, "container-instance/{cluster}/{id}")
            }
            Resource::TaskDefinition(family, revision) => {
                write!(f, "task-definition/{family}:{revision}")
            }
            Resource::Container(cluster, task, id) => write!(f, "container/{cluster}/{task}/{id}"),
            Resource::Other(kind, rest) => write!(f, "{kind}/{rest}"),
        }
    }
}

impl FromStr for Arn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let (scope, resource) = split(text, "ecs")?;
        let resource = parse_resource(resource).ok_or(ArnError::Resource)?;
        Ok(Self { scope, resource })
    }
}

/// Scope and resource part of an ARN of a service.
pub(super) fn split<'a>(text: &'a str, service: &str) -> Result<(Scope, &'a str), ArnError> {
    let mut parts = text.splitn(6, ':');
    let mut next = || parts.next().ok_or(ArnError::Form);
    if next()? != "arn" || next()? != "aws" {
        return Err(ArnError::Form);
    }
    if next()? != service {
        return Err(ArnError::Service);
    }
    let region = next()?.parse().map_err(|_| ArnError::Scope)?;
    let account = next()?.parse().map_err(|_| ArnError::Scope)?;
    Ok((Scope { account, region }, next()?))
}

/// The number in `ecs-svc/NUMBER`, AWS's id of a deployment or task set.
#[must_use]
pub fn deployment_id(text: &str) -> Option<u64> {
    number(text.strip_prefix("ecs-svc/")?)
}

fn parse_resource(text: &str) -> Option<Resource> {
    let (kind, rest) = text.split_once('/')?;
    if rest.is_empty() {
        return None;
    }
    let in_cluster = || {
        let (cluster, rest) = rest.split_once('/')?;
        Some((cluster.parse::<ClusterName>().ok()?, rest))
    };
    Some(match kind {
        "cluster" => Resource::Cluster(rest.parse().ok()?),
        "service" => {
            let (cluster, name) = in_cluster()?;
            Resource::Service(cluster, name.parse().ok()?)
        }
        "service-deployment" => {
            let (cluster, rest) = in_cluster()?;
            let (service, id) = rest.split_once('/')?;
            Resource::ServiceDeployment(cluster, service.parse().ok()?, id.parse().ok()?)
        }
        "service-revision" => {
            let (cluster, rest) = in_cluster()?;
            let (service, id) = rest.split_once('/')?;
            Resource::ServiceRevision(cluster, service.parse().ok()?, number(id)?)
        }
        "task-set" => {
            let (cluster, rest) = in_cluster()?;
            let (service, label) = rest.split_once('/')?;
            Resource::TaskSet(cluster, service.parse().ok()?, deployment_id(label)?)
        }
        "daemon" => {
            let (cluster, name) = in_cluster()?;
            Resource::Daemon(cluster, name.parse().ok()?)
        }
        "daemon-deployment" => {
            let (cluster, rest) = in_cluster()?;
            let (daemon, id) = rest.split_once('/')?;
            Resource::DaemonDeployment(cluster, daemon.parse().ok()?, id.parse().ok()?)
        }
        "daemon-revision" => {
            let (cluster, rest) = in_cluster()?;
            let (daemon, id) = rest.split_once('/')?;
            Resource::DaemonRevision(cluster, daemon.parse().ok()?, number(id)?)
        }
        "daemon-task-definition" => {
            let (family, revision) = family_and_revision(rest)?;
            Resource::DaemonTaskDefinition(family, revision)
        }
        "task" => {
            let (cluster, id) = in_cluster()?;
            Resource::Task(cluster, id.parse().ok()?)
        }
        "container-instance" => {
            let (cluster, id) = in_cluster()?;
            Resource::ContainerInstance(cluster, id.parse().ok()?)
        }
        "task-definition" => {
            let (family, revision) = family_and_revision(rest)?;
            Resource::TaskDefinition(family, revision)
        }
        "container" => {
            let (cluster, rest) = in_cluster()?;
            let (task, id) = rest.split_once('/')?;
            Resource::Container(cluster, task.parse().ok()?, id.to_string())
        }
        _ => Resource::Other(kind.to_string(), rest.to_string()),
    })
}

fn family_and_revision(text: &str) -> Option<(Family, Revision)> {
    let (family, revision) = text.split_once(':')?;
    let revision = number(revision).and_then(|number| u32::try_from(number).ok());
    Some((family.parse().ok()?, Revision(revision.filter(|&n| n > 0)?)))
}

/// A number has one spelling.
fn number(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|number| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &Result<Resource, ArnError>) {
        let parsed = text.parse::<Arn>();
        if let Ok(arn) = &parsed {
            assert_eq!(arn.to_string(), text, "an ARN prints as it was written");
        }
        assert_eq!(&parsed.map(|arn| arn.resource), expected, "{text}");
    }

    fn name_of(text: &str) -> ClusterName {
        text.parse().expect("name")
    }

    #[test]
    fn arns_round_trip() {
        let cluster: ClusterName = "c".parse().expect("name");
        let id = "0123456789abcdef0123456789abcdef";
        let prefix = "arn:aws:ecs:us-east-1:000000000000:";
        let arn = |rest: &str| alloc::format!("{prefix}{rest}");
        check(&arn("cluster/c"), &Ok(Resource::Cluster(cluster.clone())));
        check(
            &arn("service/c/s"),
            &Ok(Resource::Service(cluster.clone(), "s".parse().expect("name"))),
        );
        check(
            &arn(&alloc::format!("task/c/{id}")),
            &Ok(Resource::Task(cluster, id.parse().expect("id"))),
        );
        check(
            &arn("task-definition/f:7"),
            &Ok(Resource::TaskDefinition("f".parse().expect("name"), Revision(7))),
        );
        check(
            &arn("capacity-provider/p"),
            &Ok(Resource::Other("capacity-provider".into(), "p".into())),
        );
        check(
            &arn(&alloc::format!("service-deployment/c/s/{id}")),
            &Ok(Resource::ServiceDeployment(
                "c".parse().expect("name"),
                "s".parse().expect("name"),
                id.parse().expect("id"),
            )),
        );
        check(
            &arn("service-revision/c/s/1234567890123456789"),
            &Ok(Resource::ServiceRevision(
                "c".parse().expect("name"),
                "s".parse().expect("name"),
                1_234_567_890_123_456_789,
            )),
        );
        check(
            &arn("task-set/c/s/ecs-svc/1234567890123456789"),
            &Ok(Resource::TaskSet(
                "c".parse().expect("name"),
                "s".parse().expect("name"),
                1_234_567_890_123_456_789,
            )),
        );
        check(&arn("task-set/c/s/1234567890123456789"), &Err(ArnError::Resource));
        check(&arn("service-revision/c/s/007"), &Err(ArnError::Resource));
        let name = || "d".parse().expect("name");
        check(&arn("daemon/c/d"), &Ok(Resource::Daemon(name_of("c"), name())));
        check(
            &arn(&alloc::format!("daemon-deployment/c/d/{id}")),
            &Ok(Resource::DaemonDeployment(name_of("c"), name(), id.parse().expect("id"))),
        );
        check(
            &arn("daemon-revision/c/d/7"),
            &Ok(Resource::DaemonRevision(name_of("c"), name(), 7)),
        );
        check(
            &arn("daemon-task-definition/f:7"),
            &Ok(Resource::DaemonTaskDefinition("f".parse().expect("name"), Revision(7))),
        );
        check(&arn("daemon/c"), &Err(ArnError::Resource));
        for number in ["0", "+1", "01", "4294967296"] {
            check(&arn(&alloc::format!("task-definition/f:{number}")), &Err(ArnError::Resource));
        }
        check(&arn("task/short"), &Err(ArnError::Resource));
        check("arn:aws:s3:::bucket", &Err(ArnError::Service));
        check("cluster/c", &Err(ArnError::Form));
        check("arn:aws:ecs:us-east-1:12:cluster/c", &Err(ArnError::Scope));
    }

    proptest::proptest! {
        #[test]
        fn what_can_be_read_prints_as_it_was_written(
            kind in "cluster|service(-deployment|-revision)?|task(-set|-definition)?|daemon(-deployment|-revision|-task-definition)?|container(-instance)?|other|",
            rest in proptest::collection::vec("[a-z]|[0-9]{1,4}|[0-9a-fA-F]{32}|ecs-svc|f:[+0-9]{1,4}|[ -~]{0,3}|\\PC", 0..5),
            region in "us-east-1|[a-z0-9-]{0,12}",
            account in "[0-9]{12}|[0-9+]{11,13}",
        ) {
            let text = alloc::format!("arn:aws:ecs:{region}:{account}:{kind}/{}", rest.join("/"));
            if let Ok(arn) = text.parse::<Arn>() {
                proptest::prop_assert_eq!(arn.to_string(), text);
            }
        }
    }
}
