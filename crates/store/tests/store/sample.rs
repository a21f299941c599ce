//! One record of each kind with every member filled, as the golden files have it.

// A benchmark includes this file too, from elsewhere.
#[path = "sample/balancing.rs"]
pub(crate) mod balancing;
#[path = "sample/certificates.rs"]
pub(crate) mod certificates;
#[path = "sample/iam.rs"]
pub(crate) mod iam;

use std::collections::{BTreeMap, BTreeSet};

use longshore_domain::ids::{
    DaemonDeploymentId, EventId, InstanceId, Revision, Scope, ServiceDeploymentId, TaskId,
};
use longshore_domain::record::{
    AccountSetting, ActionName, Advanced, AgentConnection, BreakerState, Cause, CircuitBreaker,
    ClientToken, Cluster, ClusterStatus, Completed, ConstraintKind, ContainerInstance,
    ContainerSpec, ContainerState, ContainerStatus, Daemon, DaemonDeployment,
    DaemonDeploymentConfiguration, DaemonDeploymentStatus, DaemonRevision, DaemonRollback,
    DaemonStatus, DaemonTaskDefinition, DaemonTaskDefinitionStatus, Demand, DependencyCondition,
    Deployment, DeploymentConfiguration, DeploymentController, DeploymentStatus, DesiredStatus,
    Document, HealthStatus, HookAction, HookCall, Idle, IdleState, InstanceStatus, LaunchType,
    LifecycleStage, NetworkBinding, NetworkMode, Notice, Observed, Pause, PauseHook,
    PlacementConstraint, PlacementStrategy, PortClaim, PortMapping, Protection, Protocol,
    Resources, Rollback, RolloutState, Scale, SchedulingStrategy, Service, ServiceAction,
    ServiceBalancer, ServiceDeployment, ServiceDeploymentStatus, ServiceEvent, ServiceRevision,
    ServiceStatus, Share, Shift, ShiftStrategy, Shifting, Spread, StopCode, StopOrder,
    StrategyField, Tags, Task, TaskDefinition, TaskDefinitionStatus, TaskSet, TaskSetStatus,
    TaskSpec, TaskStatus, Threshold, TrafficKind, VersionInfo, Webhook,
};
use longshore_domain::time::Timestamp;

/// A name of any kind.
pub(crate) fn name<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("a valid name")
}

pub(crate) fn scope() -> Scope {
    Scope { account: name("000000000000"), region: name("us-east-1") }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000 + second * 1000)
}

fn tags() -> Tags {
    BTreeMap::from([("team".to_owned(), "a \"quoted\" é".to_owned())])
}

fn document(json: &str) -> Document {
    Document::new(json.to_owned()).expect("valid JSON")
}

pub(crate) fn cluster() -> Cluster {
    Cluster {
        scope: scope(),
        name: name("web"),
        status: ClusterStatus::Inactive,
        created_at: at(0),
        deleted_at: Some(at(9)),
        settings: vec![("containerInsights".into(), "disabled".into())],
        configuration: Some(document(r#"{"executeCommandConfiguration":{"logging":"DEFAULT"}}"#)),
        service_connect_defaults: Some(document(r#"{"namespace":"web"}"#)),
        capacity_providers: vec!["FARGATE".into()],
        default_capacity_provider_strategy: Some(document(r#"[{"weight":1}]"#)),
        tags: tags(),
    }
}

pub(crate) fn container_instance(id: u128) -> ContainerInstance {
    ContainerInstance {
        scope: scope(),
        cluster: name("web"),
        id: InstanceId::new(id),
        ec2_instance_id: "i-0123456789abcdef0".into(),
        status: InstanceStatus::Draining,
        status_reason: Some("asked for".into()),
        connection: AgentConnection { connected: true, since: at(1), server: 7 },
        address: None,
        registered_by: Some("arn:aws:iam::000000000042:user/agent".into()),
        version_info: VersionInfo {
            agent_version: Some("1.105.1".into()),
            agent_hash: Some("8dfceca6".into()),
            docker_version: Some("DockerVersion: 20.10.24".into()),
        },
        registered: Resources {
            cpu_units: 2048,
            memory_mib: 3900,
            reserved_tcp_ports: BTreeSet::from([22, 2375]),
            reserved_udp_ports: BTreeSet::from([53]),
            gpus: vec!["GPU-1".into()],
        },
        attributes: BTreeMap::from([
            ("ecs.availability-zone".to_owned(), Some("us-east-1a".to_owned())),
            ("com.amazonaws.ecs.capability.docker-remote-api.1.21".to_owned(), None),
        ]),
        registered_at: at(0),
        capacity_provider: Some("fleet".into()),
        registration_token: Some("token-1".into()),
        version: 3,
        fence: BTreeSet::from([TaskId::new(3)]),
        deregistered_at: Some(at(8)),
        tags: tags(),
    }
}

pub(crate) fn service() -> Service {
    Service {
        scope: scope(),
        cluster: name("web"),
        name: name("front"),
        status: ServiceStatus::Active,
        scheduling_strategy: SchedulingStrategy::Replica,
        desired_count: 3,
        launch_type: LaunchType::Ec2,
        deployment_configuration: DeploymentConfiguration {
            minimum_healthy_percent: 100,
            maximum_percent: 200,
            circuit_breaker: CircuitBreaker {
                enable: true,
                rollback: false,
                threshold: Threshold::UnboundedPercent(25),
                reset_on_healthy_task: false,
            },
        },
        placement_constraints: vec![
            PlacementConstraint { kind: ConstraintKind::DistinctInstance, expression: None },
            PlacementConstraint {
                kind: ConstraintKind::MemberOf,
                expression: Some("attribute:ecs.os-type == linux".into()),
            },
        ],
        placement_strategy: vec![
            PlacementStrategy::Spread(Spread::Attribute("ecs.availability-zone".into())),
            PlacementStrategy::Spread(Spread::InstanceId),
            PlacementStrategy::Binpack(StrategyField::Memory),
            PlacementStrategy::Random,
        ],
        deployments: vec![deployment()],
        service_deployment: Some(ServiceDeploymentId::new(11)),
        balancers: vec![balancer()],
        completed: Some(Completed { deployment: deployment(), document: document(r#"{"n":2}"#) }),
        controller: DeploymentController::External,
        task_sets: vec![TaskSet {
            deployment: deployment(),
            status: TaskSetStatus::Primary,
            external_id: Some("blue".into()),
            scale: Scale::from_millionths(33_333_333).expect("at most all"),
            launch_type: LaunchType::External,
            document: document(r#"{"platformVersion":"LATEST"}"#),
            client_token: Some("token-3".into()),
            is_steady: true,
            steady_changed_at: at(4),
            retry_at: Some(at(5)),
            notices: vec![Notice { cause: Cause::SteadyState, detail: String::new(), at: at(4) }],
            tags: tags(),
        }],
        pause_hooks: vec![PauseHook {
            stages: vec![LifecycleStage::PreScaleUp, LifecycleStage::PostScaleUp],
            timeout_min: 1440,
            action: HookAction::Rollback,
            webhook: Some(Webhook {
                url: "https://hook/".into(),
                role: Some("arn:aws:iam::000000000000:role/hook".into()),
                details: Some(document(r#"{"n":4}"#)),
            }),
        }],
        shifting: Some(Shifting {
            strategy: ShiftStrategy::Linear { step: share(125), bake_min: 6 },
            bake_min: 15,
        }),
        zone_rebalancing: true,
        propagate_tags: "SERVICE".into(),
        enable_ecs_managed_tags: true,
        enable_execute_command: true,
        health_check_grace_period_s: Some(30),
        idle: Some(Idle { used_at: at(3), count: 2, state: IdleState::Asleep(at(4)) }),
        document: document(r#"{"loadBalancers":[{"containerPort":80}],"n":1.50}"#),
        client_token: Some("token-2".into()),
        created_by: "arn:aws:iam::000000000000:root".into(),
        created_at: at(0),
        deleted_at: Some(at(9)),
        retry_at: Some(at(4)),
        notices: vec![Notice { cause: Cause::Unplaced, detail: "RESOURCE:CPU".into(), at: at(5) }],
        tags: tags(),
    }
}

fn share(tenths: u32) -> Share {
    Share::from_tenths(tenths).expect("at most all")
}

fn balancer() -> ServiceBalancer {
    let arn =
        |resource: &str| format!("arn:aws:elasticloadbalancing:us-east-1:000000000000:{resource}");
    ServiceBalancer {
        target_group: arn("targetgroup/blue/0000000000000001"),
        container: "app".into(),
        port: 80,
        advanced: Some(Advanced {
            alternate: arn("targetgroup/green/0000000000000002"),
            production_rule: arn("listener-rule/app/front/03/04/05"),
            test_rule: Some(arn("listener-rule/app/front/03/04/06")),
            role: Some("arn:aws:iam::000000000000:role/elb".into()),
        }),
    }
}

fn deployment() -> Deployment {
    Deployment {
        id: 1_234_567_890_123_456_789,
        status: DeploymentStatus::Primary,
        family: name("front"),
        revision: Revision(7),
        images: BTreeMap::from([("app".into(), "sha256:00".into())]),
        balancers: Vec::new(),
        desired_count: 3,
        failed_tasks: 2,
        failed_starts: 1,
        failed_at: Some(at(3)),
        breaker_failures: 2,
        has_run: true,
        rollout: RolloutState::InProgress,
        rollout_reason: "ECS deployment ecs-svc/1234567890123456789 in progress.".into(),
        created_at: at(1),
        resumed_at: Some(at(2)),
        updated_at: at(2),
    }
}

pub(crate) fn service_deployment() -> ServiceDeployment {
    ServiceDeployment {
        scope: scope(),
        cluster: name("web"),
        service: name("front"),
        id: ServiceDeploymentId::new(11),
        target: 1_234_567_890_123_456_789,
        sources: vec![1_000_000_000_000_000_001],
        configuration: DeploymentConfiguration {
            minimum_healthy_percent: 50,
            maximum_percent: 150,
            circuit_breaker: CircuitBreaker::default(),
        },
        pause_hooks: vec![PauseHook {
            stages: vec![LifecycleStage::PreScaleUp],
            timeout_min: 5,
            action: HookAction::Continue,
            webhook: None,
        }],
        status: ServiceDeploymentStatus::RollbackInProgress,
        status_reason: Some("a reason".into()),
        breaker: BreakerState { enabled: true, failure_count: 3, threshold: 3, triggered: true },
        rollback: Some(Rollback {
            to: 1_000_000_000_000_000_001,
            reason: "a reason".into(),
            started_at: at(4),
        }),
        stage: LifecycleStage::ScaleUp,
        pauses: vec![Pause {
            id: "p".into(),
            stage: LifecycleStage::PreScaleUp,
            expires_at: at(60),
            timeout_action: HookAction::Rollback,
            answer: Some(HookAction::Continue),
            timed_out: false,
            call: Some(HookCall {
                url: "https://hook/".into(),
                details: Some(document(r#"{"n":5}"#)),
                shifts: Some(TrafficKind::Production),
                share: share(125),
                next_at: at(30),
                unreached: 1,
                failure: Some("a failure".into()),
            }),
        }],
        shift: Some(Shift {
            config: Shifting {
                strategy: ShiftStrategy::Canary { first: share(50), bake_min: 10 },
                bake_min: 0,
            },
            blue: Some(1_000_000_000_000_000_001),
            production: share(50),
            test: Share::WHOLE,
            until: Some(at(60)),
            balancers: vec![balancer()],
            takes_over: true,
        }),
        created_at: at(1),
        started_at: Some(at(2)),
        updated_at: at(4),
        stopped_at: Some(at(5)),
        finished_at: Some(at(6)),
    }
}

pub(crate) fn service_revision() -> ServiceRevision {
    ServiceRevision {
        scope: scope(),
        cluster: name("web"),
        service: name("front"),
        id: 1_234_567_890_123_456_789,
        family: name("front"),
        revision: Revision(7),
        launch_type: LaunchType::Ec2,
        balancers: vec![balancer()],
        document: document(r#"{"platformVersion":"LATEST"}"#),
        created_at: at(1),
    }
}

pub(crate) fn service_event(second: i64, id: u128) -> ServiceEvent {
    ServiceEvent {
        scope: scope(),
        cluster: name("web"),
        service: name("front"),
        id: EventId::new(id),
        created_at: at(second),
        message: "(service front) has reached a steady state.".into(),
        action: Some(ServiceAction {
            name: ActionName::ServiceSteadyState,
            reason: Some("RESOURCE:CPU".into()),
            instances: vec![InstanceId::new(1)],
        }),
    }
}

pub(crate) fn task(id: u128) -> Task {
    Task {
        scope: scope(),
        cluster: name("web"),
        id: TaskId::new(id),
        family: name("front"),
        revision: Revision(7),
        instance: InstanceId::new(1),
        launch_type: LaunchType::External,
        group: "service:front".into(),
        started_by: Some("ecs-svc/1234567890123456789".into()),
        overrides: Some(document(r#"{"containerOverrides":[{"name":"app","cpu":64}]}"#)),
        enable_execute_command: false,
        demand: Demand {
            cpu_units: 256,
            memory_mib: 512,
            ports: vec![PortClaim { protocol: Protocol::Tcp, port: 8080 }],
            gpus: 1,
        },
        created_at: at(1),
        desired: DesiredStatus::Running,
        stop: Some(StopOrder {
            code: StopCode::UserInitiated,
            reason: "Task stopped by user".into(),
            at: at(6),
        }),
        draining_until: None,
        observed: observed(),
        protection: Some(Protection { expires_at: at(7200) }),
        images: BTreeMap::from([("app".into(), "sha256:00".into())]),
        failure_counted: true,
        version: 5,
        tags: tags(),
    }
}

fn observed() -> Observed {
    Observed {
        status: TaskStatus::Running,
        containers: vec![ContainerState {
            name: "app".into(),
            id: TaskId::new(99),
            status: ContainerStatus::Stopped,
            exit_code: Some(-1),
            reason: Some("OutOfMemoryError: Container killed due to memory usage".into()),
            runtime_id: Some("4f1b".into()),
            image_digest: Some("sha256:00".into()),
            bindings: vec![NetworkBinding {
                bind_ip: "0.0.0.0".into(),
                container_port: Some(80),
                host_port: Some(32768),
                container_port_range: None,
                host_port_range: Some("40000-40010".into()),
                protocol: Protocol::Udp,
            }],
            health: HealthStatus::Healthy,
            gpus: vec!["GPU-1".into()],
        }],
        connectivity_at: Some(at(2)),
        pull_started_at: Some(at(3)),
        pull_stopped_at: Some(at(4)),
        started_at: Some(at(5)),
        execution_stopped_at: Some(at(7)),
        stopped_at: Some(at(8)),
        ended: Some((StopCode::EssentialContainerExited, "Essential container exited".into())),
    }
}

pub(crate) fn task_definition(revision: u32) -> TaskDefinition {
    TaskDefinition {
        scope: scope(),
        family: name("front"),
        revision: Revision(revision),
        status: TaskDefinitionStatus::DeleteInProgress,
        registered_at: at(0),
        registered_by: "arn:aws:iam::000000000000:root".into(),
        deregistered_at: Some(at(1)),
        delete_requested_at: Some(at(2)),
        document: document(r#"{"family":"front","containerDefinitions":[{"name":"app"}]}"#),
        spec: TaskSpec {
            cpu_units: Some(256),
            memory_mib: Some(512),
            network_mode: NetworkMode::Bridge,
            containers: vec![ContainerSpec {
                name: "app".into(),
                image: "nginx:1.29".into(),
                cpu_units: 128,
                memory_mib: Some(256),
                memory_reservation_mib: Some(128),
                essential: true,
                ports: vec![PortMapping {
                    container_port: 80,
                    host_port: Some(8080),
                    protocol: Protocol::Tcp,
                }],
                gpus: 1,
                has_health_check: true,
                depends_on: vec![("init".into(), DependencyCondition::Success)],
            }],
            placement_constraints: vec![],
            requires_attributes: vec![("ecs.capability.x".into(), None)],
        },
        tags: tags(),
    }
}

pub(crate) fn account_setting(principal: Option<&str>) -> AccountSetting {
    AccountSetting {
        scope: scope(),
        name: "containerInsights".into(),
        principal: principal.map(str::to_owned),
        value: "enabled".into(),
    }
}

pub(crate) fn client_token() -> ClientToken {
    ClientToken {
        scope: scope(),
        operation: "RunTask".into(),
        token: "a/b%c~d".into(),
        request_digest: "00ff".into(),
        resources: vec!["arn:aws:ecs:us-east-1:000000000000:task/web/1".into()],
        expires_at: at(86_400),
    }
}

pub(crate) fn daemon() -> Daemon {
    Daemon {
        scope: scope(),
        cluster: name("web"),
        name: name("watch"),
        status: DaemonStatus::Active,
        configuration: daemon_configuration(),
        current: Some(17),
        deployment: DaemonDeploymentId::new(9),
        client_token: Some("token".into()),
        created_by: "arn:aws:iam::000000000000:root".into(),
        created_at: at(0),
        updated_at: at(1),
        tags: tags(),
    }
}

fn daemon_configuration() -> DaemonDeploymentConfiguration {
    DaemonDeploymentConfiguration {
        drain_percent: 12.5,
        bake_time_min: 3,
        alarm_names: vec!["errors".into()],
    }
}

pub(crate) fn daemon_revision() -> DaemonRevision {
    DaemonRevision {
        scope: scope(),
        cluster: name("web"),
        daemon: name("watch"),
        id: 17,
        family: name("agent"),
        revision: Revision(3),
        capacity_providers: vec!["machines".into()],
        propagate_tags: true,
        enable_ecs_managed_tags: true,
        enable_execute_command: true,
        critical: true,
        created_at: at(0),
    }
}

pub(crate) fn daemon_deployment() -> DaemonDeployment {
    DaemonDeployment {
        scope: scope(),
        cluster: name("web"),
        daemon: name("watch"),
        id: DaemonDeploymentId::new(9),
        target: Some(18),
        sources: vec![17],
        status: DaemonDeploymentStatus::RollbackInProgress,
        status_reason: Some("three tasks failed".into()),
        configuration: daemon_configuration(),
        failures: 3,
        threshold: 3,
        rollback: Some(DaemonRollback {
            reason: "three tasks failed".into(),
            started_at: at(2),
            target: 17,
            failures: 1,
        }),
        created_at: at(0),
        started_at: Some(at(1)),
        stopped_at: Some(at(2)),
        finished_at: Some(at(3)),
    }
}

pub(crate) fn daemon_task_definition() -> DaemonTaskDefinition {
    DaemonTaskDefinition {
        scope: scope(),
        family: name("front"),
        revision: Revision(7),
        status: DaemonTaskDefinitionStatus::DeleteInProgress,
        registered_at: at(0),
        registered_by: "arn:aws:iam::000000000000:root".into(),
        delete_requested_at: Some(at(1)),
        deleted_at: Some(at(2)),
        document: document(r#"{"family":"front","containerDefinitions":[{"image":"agent"}]}"#),
        task: task_definition(7),
    }
}
