//! Placements per second on one core: `cargo bench -p longshore-domain`.
//!
//! Ten tasks for each instance, spread over availability zones, then packed by memory, under one
//! `memberOf` constraint that half of the attributes decide. The fleet is rebuilt from its records
//! for each round, and both times are printed: building it, and placing.

#![expect(clippy::print_stdout, reason = "a bench reports to whoever runs it")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use longshore_domain::ids::{InstanceId, Scope, TaskId};
use longshore_domain::record::{
    AgentConnection, ConstraintKind, ContainerInstance, Demand, InstanceStatus, LaunchType,
    PlacementConstraint, PlacementStrategy, Resources, Spread, StrategyField, VersionInfo,
};
use longshore_domain::schedule::{Constraints, Fleet, PlacementRequest, place};
use longshore_domain::time::Timestamp;

const ROUNDS: u32 = 5;

fn main() {
    println!("{:>9} {:>9} {:>12} {:>12} {:>14}", "instances", "tasks", "fleet", "place", "tasks/s");
    let mut seconds_per_unit = Vec::new();
    for count in [1_000_u32, 10_000] {
        let (building, placing) = run(count);
        let tasks = count * 10;
        let seconds = placing.as_secs_f64();
        println!(
            "{count:>9} {tasks:>9} {building:>12.2?} {placing:>12.2?} {:>14.0}",
            f64::from(tasks) / seconds
        );
        let n = f64::from(count);
        seconds_per_unit.push(seconds / (n * n.log2()));
    }
    let growth = seconds_per_unit[1] / seconds_per_unit[0];
    println!("time against n log n, from 1,000 to 10,000 instances: {growth:.2}x");
}

/// The fastest of a few rounds.
fn run(count: u32) -> (Duration, Duration) {
    let instances: Vec<ContainerInstance> = (0..count).map(instance).collect();
    let tasks: Vec<TaskId> = (0..count * 10).map(|i| TaskId::new(u128::from(i))).collect();
    let constraints = Constraints::parse(&[PlacementConstraint {
        kind: ConstraintKind::MemberOf,
        expression: Some("attribute:ecs.instance-type =~ m5.* and agentVersion >= 1.0".to_owned()),
    }])
    .expect("a valid expression");
    let request = PlacementRequest {
        tasks: &tasks,
        group: "service:web",
        demand: &Demand { cpu_units: 256, memory_mib: 512, ports: Vec::new(), gpus: 0 },
        required_attributes: &[("ecs.capability.task-eni".to_owned(), None)],
        constraints: &constraints,
        strategies: &[
            PlacementStrategy::Spread(Spread::Attribute("ecs.availability-zone".to_owned())),
            PlacementStrategy::Binpack(StrategyField::Memory),
        ],
        launch_type: LaunchType::Ec2,
        capacity_provider: None,
        zones: &[],
    };
    let mut best = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let fleet = Fleet::new(&instances, []);
        let built = Instant::now();
        let placement = place(&request, &fleet);
        let placed = Instant::now();
        assert!(placement.unplaced.is_empty(), "the fleet has room for all");
        best = (best.0.min(built - start), best.1.min(placed - built));
    }
    best
}

fn instance(i: u32) -> ContainerInstance {
    let zone = ["us-east-1a", "us-east-1b", "us-east-1c"][i as usize % 3];
    let kind = ["m5.large", "t3.large"][i as usize / 3 % 2];
    let mut attributes: BTreeMap<String, Option<String>> =
        (0..50).map(|n| (format!("ecs.capability.number-{n}"), None)).collect();
    attributes.insert("ecs.capability.task-eni".to_owned(), None);
    attributes.insert("ecs.availability-zone".to_owned(), Some(zone.to_owned()));
    attributes.insert("ecs.instance-type".to_owned(), Some(kind.to_owned()));
    ContainerInstance {
        scope: Scope {
            account: "000000000000".parse().expect("an account"),
            region: "us-east-1".parse().expect("a region"),
        },
        cluster: "default".parse().expect("a name"),
        id: InstanceId::new(u128::from(i).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)),
        ec2_instance_id: format!("i-{i:017x}"),
        status: InstanceStatus::Active,
        status_reason: None,
        connection: AgentConnection { connected: true, ..AgentConnection::default() },
        address: None,
        version_info: VersionInfo {
            agent_version: Some("1.105.1".to_owned()),
            ..VersionInfo::default()
        },
        registered: Resources {
            cpu_units: 8192,
            memory_mib: 16_384 + i % 7 * 100,
            ..Resources::default()
        },
        attributes,
        registered_at: Timestamp::from_millis(0),
        capacity_provider: None,
        registered_by: None,
        registration_token: None,
        version: 1,
        fence: std::collections::BTreeSet::new(),
        deregistered_at: None,
        tags: BTreeMap::new(),
    }
}
