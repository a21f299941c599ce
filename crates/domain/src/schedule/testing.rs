//! Records for tests: plain ones to change, and arbitrary ones.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use crate::ids::{InstanceId, Revision, Scope, TaskId};
use crate::record::{
    AgentConnection, CircuitBreaker, ConstraintKind, ContainerInstance, ContainerSpec, Demand,
    Deployment, DeploymentConfiguration, DeploymentController, DeploymentStatus, DesiredStatus,
    Document, InstanceStatus, LaunchType, NetworkMode, Observed, PlacementConstraint,
    PlacementStrategy, PortClaim, Protocol, Resources, RolloutState, SchedulingStrategy, Service,
    ServiceStatus, Spread, StrategyField, Task, TaskSpec, TaskStatus, VersionInfo,
};
use crate::time::Timestamp;

pub(crate) fn scope() -> Scope {
    Scope {
        account: "000000000000".parse().expect("an account"),
        region: "us-east-1".parse().expect("a region"),
    }
}

/// Two cores, 4 GiB, connected, in the zone.
pub(crate) fn instance(id: u128, zone: &str) -> ContainerInstance {
    let attribute = |name: &str, value: &str| (name.to_string(), Some(value.to_string()));
    ContainerInstance {
        scope: scope(),
        cluster: "c".parse().expect("a name"),
        id: InstanceId::new(id),
        ec2_instance_id: alloc::format!("i-{id:017x}"),
        status: InstanceStatus::Active,
        status_reason: None,
        connection: AgentConnection { connected: true, ..AgentConnection::default() },
        address: None,
        version_info: VersionInfo {
            agent_version: Some("1.105.1".into()),
            ..VersionInfo::default()
        },
        registered: Resources {
            cpu_units: 2048,
            memory_mib: 4096,
            reserved_tcp_ports: [22, 51678].into(),
            ..Resources::default()
        },
        attributes: BTreeMap::from([
            attribute("ecs.availability-zone", zone),
            attribute("ecs.instance-type", "t3.large"),
            ("ecs.capability.task-eni".to_string(), None),
        ]),
        registered_at: Timestamp::from_millis(1_529_361_408_500),
        capacity_provider: None,
        registered_by: None,
        registration_token: None,
        version: 1,
        fence: alloc::collections::BTreeSet::new(),
        deregistered_at: None,
        tags: BTreeMap::new(),
    }
}

pub(crate) fn demand(cpu_units: u32, memory_mib: u32, ports: &[u16]) -> Demand {
    let claim = |port: &u16| PortClaim { protocol: Protocol::Tcp, port: *port };
    Demand { cpu_units, memory_mib, ports: ports.iter().map(claim).collect(), gpus: 0 }
}

/// A running task of `service:web`.
pub(crate) fn task(id: u128, instance: u128) -> Task {
    Task {
        scope: scope(),
        cluster: "c".parse().expect("a name"),
        id: TaskId::new(id),
        family: "web".parse().expect("a name"),
        revision: Revision(1),
        instance: InstanceId::new(instance),
        launch_type: LaunchType::Ec2,
        group: "service:web".into(),
        started_by: None,
        overrides: None,
        enable_execute_command: false,
        demand: demand(256, 512, &[]),
        created_at: Timestamp::from_millis(0),
        desired: DesiredStatus::Running,
        stop: None,
        draining_until: None,
        observed: Observed { status: TaskStatus::Running, ..Observed::pending(Vec::new()) },
        protection: None,
        images: BTreeMap::new(),
        failure_counted: false,
        version: 1,
        tags: BTreeMap::new(),
    }
}

/// A task definition with one container.
pub(crate) fn spec(has_health_check: bool) -> TaskSpec {
    TaskSpec {
        cpu_units: None,
        memory_mib: None,
        network_mode: NetworkMode::Bridge,
        containers: vec![ContainerSpec {
            name: "main".into(),
            image: "image".into(),
            cpu_units: 16,
            memory_mib: Some(16),
            memory_reservation_mib: None,
            essential: true,
            ports: vec![],
            gpus: 0,
            has_health_check,
            depends_on: vec![],
        }],
        placement_constraints: vec![],
        requires_attributes: vec![],
    }
}

/// The service `web`, without deployments.
pub(crate) fn service() -> Service {
    Service {
        scope: scope(),
        cluster: "c".parse().expect("a name"),
        name: "web".parse().expect("a name"),
        status: ServiceStatus::Active,
        scheduling_strategy: SchedulingStrategy::Replica,
        desired_count: 1,
        launch_type: LaunchType::Ec2,
        deployment_configuration: DeploymentConfiguration {
            minimum_healthy_percent: 100,
            maximum_percent: 200,
            circuit_breaker: CircuitBreaker::default(),
        },
        placement_constraints: vec![],
        placement_strategy: vec![],
        deployments: vec![],
        service_deployment: None,
        completed: None,
        balancers: vec![],
        controller: DeploymentController::Ecs,
        task_sets: vec![],
        pause_hooks: vec![],
        shifting: None,
        zone_rebalancing: false,
        propagate_tags: "NONE".into(),
        enable_ecs_managed_tags: false,
        enable_execute_command: false,
        health_check_grace_period_s: None,
        idle: None,
        document: Document::new("{}".into()).expect("valid"),
        client_token: None,
        created_by: String::new(),
        created_at: Timestamp::from_millis(0),
        deleted_at: None,
        retry_at: None,
        notices: vec![],
        tags: BTreeMap::new(),
    }
}

/// A PRIMARY deployment of `web:1` that is under way.
pub(crate) fn deployment(id: u64) -> Deployment {
    Deployment {
        id,
        status: DeploymentStatus::Primary,
        family: "web".parse().expect("a name"),
        revision: Revision(1),
        images: BTreeMap::new(),
        balancers: vec![],
        desired_count: 1,
        failed_tasks: 0,
        failed_starts: 0,
        failed_at: None,
        breaker_failures: 0,
        has_run: false,
        rollout: RolloutState::InProgress,
        rollout_reason: String::new(),
        created_at: Timestamp::from_millis(0),
        resumed_at: None,
        updated_at: Timestamp::from_millis(0),
    }
}

pub(super) fn task_ids(count: u128) -> Vec<TaskId> {
    (0..count).map(|i| TaskId::new(1_000_000 + i)).collect()
}

pub(super) fn member_of(expression: &str) -> PlacementConstraint {
    let expression = Some(expression.into());
    PlacementConstraint { kind: ConstraintKind::MemberOf, expression }
}

pub(super) fn distinct() -> PlacementConstraint {
    PlacementConstraint { kind: ConstraintKind::DistinctInstance, expression: None }
}

pub(super) fn spread(attribute: &str) -> PlacementStrategy {
    PlacementStrategy::Spread(Spread::Attribute(attribute.into()))
}

pub(super) fn any_strategy() -> impl Strategy<Value = PlacementStrategy> {
    prop_oneof![
        3 => Just(spread("ecs.availability-zone")),
        2 => Just(spread("rack")),
        1 => Just(spread("absent")),
        2 => Just(PlacementStrategy::Spread(Spread::InstanceId)),
        3 => Just(PlacementStrategy::Binpack(StrategyField::Cpu)),
        3 => Just(PlacementStrategy::Binpack(StrategyField::Memory)),
        1 => Just(PlacementStrategy::Random),
    ]
}

pub(super) fn any_constraint() -> impl Strategy<Value = PlacementConstraint> {
    prop_oneof![
        Just(distinct()),
        prop_oneof![
            Just("attribute:rack in [r0, r1]"),
            Just("not(attribute:ecs.availability-zone == zone-2)"),
            Just("runningTasksCount < 3"),
            Just("task:group != service:other"),
            Just("task:group == service:other || runningTasksCount <= 1"),
            Just("not(task:group =~ service:w.*)"),
        ]
        .prop_map(member_of),
    ]
}

prop_compose! {
    fn any_instance(id: u128)(
        zone in 0..3_u8, rack in proptest::option::of(0..3_u8),
        status in prop_oneof![9 => Just(InstanceStatus::Active), 1 => Just(InstanceStatus::Draining)],
        connected in prop::bool::weighted(0.9), eni in prop::bool::weighted(0.9),
        external in prop::bool::weighted(0.1), provider in prop::bool::weighted(0.7),
        cpu in 0..3_u32, memory in 0..3_u32, gpus in 0..3_usize,
    ) -> ContainerInstance {
        let mut made = instance(id, &alloc::format!("zone-{zone}"));
        made.status = status;
        made.connection.connected = connected;
        made.registered.cpu_units = cpu * 1024;
        made.registered.memory_mib = memory * 2048;
        made.registered.gpus = (0..gpus).map(|n| alloc::format!("GPU-{n}")).collect();
        made.capacity_provider = provider.then(|| "p".into());
        if let Some(rack) = rack {
            made.attributes.insert("rack".into(), Some(alloc::format!("r{rack}")));
        }
        if !eni {
            made.attributes.remove("ecs.capability.task-eni");
        }
        if external {
            made.attributes.insert("ecs.capability.external".into(), None);
        }
        made
    }
}

prop_compose! {
    pub(super) fn any_demand()(
        cpu in prop_oneof![Just(0), Just(128), Just(256), Just(1000)],
        memory in prop_oneof![Just(6), Just(512), Just(2000)],
        ports in prop_oneof![
            4 => Just(vec![]), 1 => Just(vec![80]), 1 => Just(vec![53, 80]), 1 => Just(vec![22])
        ],
        udp in any::<bool>(), gpus in prop_oneof![3 => Just(0), 1 => 1..3_u32],
    ) -> Demand {
        let mut made = demand(cpu, memory, &ports);
        if udp {
            made.ports.iter_mut().for_each(|claim| claim.protocol = Protocol::Udp);
        }
        Demand { gpus, ..made }
    }
}

prop_compose! {
    fn any_task(id: u128, instances: usize)(
        on in 0..instances.max(1), demand in any_demand(), other in any::<bool>(),
        stopping in prop::bool::weighted(0.2), stopped in prop::bool::weighted(0.1),
    ) -> Task {
        let on = u128::try_from(on).expect("small");
        let mut made = Task { demand, ..task(id, on) };
        if other {
            made.group = "service:other".into();
        }
        if stopping || stopped {
            made.desired = DesiredStatus::Stopped;
        }
        if stopped {
            made.observed.status = TaskStatus::Stopped;
        }
        made
    }
}

/// A cluster with its tasks.
pub(super) fn any_cluster() -> impl Strategy<Value = (Vec<ContainerInstance>, Vec<Task>)> {
    (0..12_usize, 0..16_usize).prop_flat_map(|(instances, tasks)| {
        let ids = |count: usize| 0..u128::try_from(count).expect("small");
        (
            ids(instances).map(any_instance).collect::<Vec<_>>(),
            ids(tasks).map(|id| any_task(id, instances)).collect::<Vec<_>>(),
        )
    })
}

pub(super) fn required(name: &str) -> Vec<(String, Option<String>)> {
    vec![(name.to_string(), None)]
}
