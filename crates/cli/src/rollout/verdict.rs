//! How a deployment went, from what the API describes. Pure.
//!
//! The rule it keeps: only a service deployment that is SUCCESSFUL is a success. Counts prove
//! nothing: after a rollback as many tasks run as were wanted, but not the wanted ones.

use longshore_wire::ecs::{Deployment, Service, ServiceDeployment};

use crate::progress::waiting_for;

/// How a deployment stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is under way; what it waits for.
    UnderWay(String),
    /// All tasks are of the new revision, and the service is steady.
    Done,
    /// It has ended otherwise, and why.
    Failed(String),
}

/// Judges a service and the service deployment that is followed, once there is one.
pub(super) fn verdict(service: &Service, deployment: Option<&ServiceDeployment>) -> Verdict {
    let status = deployment.and_then(|deployment| deployment.status);
    let status = status.as_ref().map(|status| status.as_str());
    let reason = deployment.and_then(|deployment| deployment.status_reason.clone());
    match status {
        Some("SUCCESSFUL") => return Verdict::Done,
        Some(status @ ("STOPPED" | "ROLLBACK_SUCCESSFUL" | "ROLLBACK_FAILED")) => {
            return Verdict::Failed(match reason {
                Some(reason) => format!("{status}: {reason}"),
                None => status.to_owned(),
            });
        }
        _ => {}
    }
    if service.status.as_deref() != Some("ACTIVE") {
        let status = service.status.as_deref().unwrap_or("gone");
        return Verdict::Failed(format!("the service is {status}"));
    }
    Verdict::UnderWay(match status {
        Some("ROLLBACK_IN_PROGRESS" | "ROLLBACK_REQUESTED") => {
            format!("rolling back: {}", reason.unwrap_or_else(|| "it was requested".to_owned()))
        }
        Some("STOP_REQUESTED") => "is being stopped".to_owned(),
        Some(_) => match paused(deployment) {
            Some(stage) => format!("paused at {stage}"),
            None => match waiting_for(service).as_str() {
                "steady" => "the new tasks have yet to prove themselves".to_owned(),
                other => other.to_owned(),
            },
        },
        None => "has yet to begin".to_owned(),
    })
}

/// The stage at which a deployment waits for somebody.
fn paused(deployment: Option<&ServiceDeployment>) -> Option<String> {
    let hooks = deployment?.lifecycle_hook_details.iter().flatten();
    let mut open = hooks.filter(|hook| {
        hook.status.as_ref().is_some_and(|status| status.as_str() == "AWAITING_ACTION")
    });
    open.next()?;
    Some(deployment?.lifecycle_stage.as_ref()?.as_str().to_owned())
}

/// How far the PRIMARY deployment is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Tasks of it that run.
    pub(super) running: u64,
    /// Tasks that it wants.
    pub(super) desired: u64,
    /// Tasks of it that failed.
    pub(super) failed: u64,
}

/// How far the PRIMARY deployment of a service is.
pub(super) fn progress(service: &Service) -> Progress {
    let primary = |d: &&Deployment| d.status.as_deref() == Some("PRIMARY");
    let number = |n: Option<i32>| n.map_or(0, |n| u64::from(n.unsigned_abs()));
    let primary = service.deployments.iter().flatten().find(primary);
    primary.map_or_else(Progress::default, |deployment| Progress {
        running: number(deployment.running_count),
        desired: number(deployment.desired_count),
        failed: number(deployment.failed_tasks),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_wire::ecs::enums::ServiceDeploymentStatus as Status;

    fn service(status: &str) -> Service {
        let primary = Deployment {
            status: Some("PRIMARY".to_owned()),
            desired_count: Some(2),
            running_count: Some(2),
            failed_tasks: Some(3),
            ..Deployment::default()
        };
        Service {
            status: Some(status.to_owned()),
            desired_count: Some(2),
            running_count: Some(2),
            deployments: Some(vec![primary]),
            ..Service::default()
        }
    }

    fn deployment(status: Status) -> ServiceDeployment {
        ServiceDeployment {
            status: Some(status),
            status_reason: Some("because".to_owned()),
            ..ServiceDeployment::default()
        }
    }

    #[test]
    fn only_a_successful_deployment_is_done() {
        let active = service("ACTIVE");
        for status in Status::ALL {
            let done = verdict(&active, Some(&deployment(*status))) == Verdict::Done;
            assert_eq!(done, status.as_str() == "SUCCESSFUL", "{}", status.as_str());
        }
        // As many tasks run as are wanted, and still nothing is known.
        assert_eq!(verdict(&active, None), Verdict::UnderWay("has yet to begin".to_owned()));
    }

    #[test]
    fn a_rollback_is_a_failure_as_soon_as_it_is_over() {
        let active = service("ACTIVE");
        for (status, expected) in [
            (Status::RollbackSuccessful, "ROLLBACK_SUCCESSFUL: because"),
            (Status::RollbackFailed, "ROLLBACK_FAILED: because"),
            (Status::Stopped, "STOPPED: because"),
        ] {
            let found = verdict(&active, Some(&deployment(status)));
            assert_eq!(found, Verdict::Failed(expected.to_owned()));
        }
        assert_eq!(
            verdict(&active, Some(&deployment(Status::RollbackInProgress))),
            Verdict::UnderWay("rolling back: because".to_owned())
        );
    }

    #[test]
    fn a_service_that_is_deleted_meanwhile_fails() {
        let failed = Verdict::Failed("the service is DRAINING".to_owned());
        assert_eq!(verdict(&service("DRAINING"), Some(&deployment(Status::InProgress))), failed);
        assert_eq!(verdict(&service("DRAINING"), None), failed);
    }

    #[test]
    fn progress_is_that_of_the_primary_deployment() {
        let mut service = service("ACTIVE");
        let old = Deployment {
            status: Some("ACTIVE".to_owned()),
            running_count: Some(9),
            ..Deployment::default()
        };
        if let Some(deployments) = &mut service.deployments {
            deployments.insert(0, old);
        }
        assert_eq!(progress(&service), Progress { running: 2, desired: 2, failed: 3 });
        assert_eq!(progress(&Service::default()), Progress::default());
    }
}
