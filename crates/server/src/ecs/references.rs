//! References in requests: a name, an id or an ARN, parsed once.
//!
//! An ARN of another account or region names nothing here: the caller gets the error that an
//! unknown name gets.

use longshore_domain::ids::{
    Arn, ClusterName, Family, InstanceId, Resource, Revision, Scope, ServiceName, TaskId,
    deployment_id,
};
use longshore_wire::ServiceError;
use longshore_wire::ecs::ErrorCode;

use super::{client_error, invalid_parameter, not_found};

/// A cluster by short name or ARN; none means `default`.
#[derive(Debug)]
pub(crate) struct ClusterRef;

impl ClusterRef {
    /// The cluster name that `text` means.
    pub(crate) fn parse(scope: &Scope, text: Option<&str>) -> Result<ClusterName, ServiceError> {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Ok(ClusterName::default_cluster());
        };
        if !Arn::looks_like(text) {
            return text
                .parse()
                .map_err(|_| not_found(ErrorCode::ClusterNotFoundException, "Cluster"));
        }
        match text.parse::<Arn>() {
            Ok(Arn { scope: theirs, resource: Resource::Cluster(name) }) if theirs == *scope => {
                Ok(name)
            }
            Ok(Arn { resource: Resource::Cluster(_), .. }) => {
                Err(not_found(ErrorCode::ClusterNotFoundException, "Cluster"))
            }
            _ => Err(invalid_parameter(format!("Invalid identifier: {text} is no cluster."))),
        }
    }
}

/// Which revision of a family a request means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskDefinitionRef {
    /// Family.
    pub(crate) family: Family,
    /// Revision; the latest ACTIVE one when absent.
    pub(crate) revision: Option<Revision>,
}

/// A task definition by `family`, `family:revision` or ARN.
pub(crate) fn task_definition_ref(
    scope: &Scope,
    text: &str,
) -> Result<TaskDefinitionRef, ServiceError> {
    let unable = || client_error("Unable to describe task definition.");
    if Arn::looks_like(text) {
        return match text.parse::<Arn>() {
            Ok(Arn { scope: theirs, resource: Resource::TaskDefinition(family, revision) })
                if theirs == *scope =>
            {
                Ok(TaskDefinitionRef { family, revision: Some(revision) })
            }
            Ok(Arn { resource: Resource::TaskDefinition(..), .. }) => Err(unable()),
            _ => {
                Err(invalid_parameter(format!("Invalid identifier: {text} is no task definition.")))
            }
        };
    }
    let (family, revision) = match text.split_once(':') {
        Some((family, revision)) => {
            let number = revision.parse::<u32>().ok().filter(|&n| n > 0);
            let number = number.ok_or_else(|| {
                client_error(format!("Invalid revision number. Number: {revision}"))
            })?;
            (family, Some(Revision(number)))
        }
        None => (text, None),
    };
    if family.is_empty() {
        return Err(client_error("TaskDefinition should not be null or empty."));
    }
    let family = family.parse().map_err(|_| unable())?;
    Ok(TaskDefinitionRef { family, revision })
}

/// A task by id or ARN, in `cluster`; `None` when it can name no task there.
pub(crate) fn task_ref(scope: &Scope, cluster: &ClusterName, text: &str) -> Option<TaskId> {
    if !Arn::looks_like(text) {
        return text.parse().ok();
    }
    match text.parse::<Arn>().ok()? {
        Arn { scope: theirs, resource: Resource::Task(c, id) }
            if theirs == *scope && c == *cluster =>
        {
            Some(id)
        }
        _ => None,
    }
}

/// A container instance by id or ARN, in `cluster`; `None` when it can name none there.
pub(crate) fn instance_ref(scope: &Scope, cluster: &ClusterName, text: &str) -> Option<InstanceId> {
    if !Arn::looks_like(text) {
        return text.parse().ok();
    }
    match text.parse::<Arn>().ok()? {
        Arn { scope: theirs, resource: Resource::ContainerInstance(c, id) }
            if theirs == *scope && c == *cluster =>
        {
            Some(id)
        }
        _ => None,
    }
}

/// The number of a task set by `ecs-svc/NUMBER` or ARN, of a service; `None` when it can name none
/// of it.
pub(crate) fn task_set_ref(
    scope: &Scope,
    cluster: &ClusterName,
    service: &ServiceName,
    text: &str,
) -> Option<u64> {
    if !Arn::looks_like(text) {
        return deployment_id(text);
    }
    match text.parse::<Arn>().ok()? {
        Arn { scope: theirs, resource: Resource::TaskSet(c, s, number) }
            if theirs == *scope && c == *cluster && s == *service =>
        {
            Some(number)
        }
        _ => None,
    }
}

/// A service by name or ARN, in `cluster`; `None` when it can name none there.
pub(crate) fn service_ref(scope: &Scope, cluster: &ClusterName, text: &str) -> Option<ServiceName> {
    if !Arn::looks_like(text) {
        return text.parse().ok();
    }
    match text.parse::<Arn>().ok()? {
        Arn { scope: theirs, resource: Resource::Service(c, name) }
            if theirs == *scope && c == *cluster =>
        {
            Some(name)
        }
        _ => None,
    }
}
