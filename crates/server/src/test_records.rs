//! Records for unit tests.

use longshore_domain::ids::{InstanceId, Revision, Scope, TaskId};
use longshore_domain::record::{Demand, DesiredStatus, LaunchType, Observed, Tags, Task};
use longshore_domain::time::Timestamp;

/// Account 0, region us-east-1.
pub(crate) fn scope() -> Scope {
    Scope {
        account: "000000000000".parse().expect("an account"),
        region: "us-east-1".parse().expect("a region"),
    }
}

/// A pending task that should run, on instance 1.
pub(crate) fn task(id: u128) -> Task {
    Task {
        scope: scope(),
        cluster: "default".parse().expect("a name"),
        id: TaskId::new(id),
        family: "f".parse().expect("a name"),
        revision: Revision(1),
        instance: InstanceId::new(1),
        launch_type: LaunchType::Ec2,
        group: "family:f".to_owned(),
        started_by: None,
        overrides: None,
        enable_execute_command: false,
        demand: Demand::default(),
        created_at: Timestamp::from_millis(0),
        desired: DesiredStatus::Running,
        stop: None,
        draining_until: None,
        observed: Observed::pending(Vec::new()),
        protection: None,
        images: std::collections::BTreeMap::new(),
        failure_counted: false,
        version: 1,
        tags: Tags::new(),
    }
}
