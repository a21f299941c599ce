//! Records for unit tests.

use std::collections::BTreeMap;

use longshore_domain::ids::{ElbId, InstanceId, Revision, Scope, TaskId};
use longshore_domain::record::{Demand, DesiredStatus, LaunchType, Listener, Observed, Tags, Task};
use longshore_domain::route::{BalancerKind, Protocol};
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
        images: BTreeMap::new(),
        failure_counted: false,
        version: 1,
        tags: Tags::new(),
    }
}

/// A listener on port 80 of a balancer that has no record.
pub(crate) fn listener() -> Listener {
    Listener {
        scope: scope(),
        balancer: ElbId::new(1),
        balancer_name: "front".to_owned(),
        kind: BalancerKind::Application,
        id: ElbId::new(2),
        port: 80,
        protocol: Protocol::Http,
        ssl_policy: None,
        certificates: Vec::new(),
        alpn_policy: None,
        default_actions: Vec::new(),
        attributes: BTreeMap::new(),
        tags: Tags::new(),
    }
}
