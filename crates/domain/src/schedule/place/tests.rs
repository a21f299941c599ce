use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::check;
use crate::record::{
    ContainerInstance, DesiredStatus, PlacementConstraint, Spread, StrategyField, Task,
};
use crate::schedule::testing::{
    any_cluster, any_constraint, any_demand, any_strategy, demand, distinct, instance, member_of,
    required, scope, spread, task, task_ids,
};
use crate::schedule::{aws_failures, unplaced_event};

/// A request with its owned parts.
struct Case {
    tasks: Vec<TaskId>,
    demand: Demand,
    attributes: Vec<(String, Option<String>)>,
    constraints: Constraints,
    strategies: Vec<PlacementStrategy>,
    provider: Option<String>,
}

impl Case {
    fn new(count: u128) -> Self {
        Self {
            tasks: task_ids(count),
            demand: demand(256, 512, &[]),
            attributes: Vec::new(),
            constraints: Constraints::default(),
            strategies: Vec::new(),
            provider: None,
        }
    }

    fn constrained(mut self, constraints: &[PlacementConstraint]) -> Self {
        self.constraints = Constraints::parse(constraints).expect("valid constraints");
        self
    }

    fn request(&self) -> PlacementRequest<'_> {
        PlacementRequest {
            tasks: &self.tasks,
            group: "service:web",
            demand: &self.demand,
            required_attributes: &self.attributes,
            constraints: &self.constraints,
            strategies: &self.strategies,
            launch_type: LaunchType::Ec2,
            capacity_provider: self.provider.as_deref(),
            zones: &[],
        }
    }

    fn place(&self, instances: &[ContainerInstance], tasks: &[Task]) -> Placement {
        let request = self.request();
        let placement = place(&request, &Fleet::new(instances, tasks));
        let violations = check::placement(instances, tasks, &request, &placement);
        assert_eq!(violations, [], "{placement:?}");
        placement
    }

    /// Instances of the placed tasks by number, in order.
    fn numbers(&self, instances: &[ContainerInstance], tasks: &[Task]) -> Vec<u128> {
        self.place(instances, tasks).assigned.iter().map(|(_, id)| id.bits()).collect()
    }
}

fn zones(names: &[&str]) -> Vec<ContainerInstance> {
    (0..).zip(names).map(|(id, zone)| instance(id, zone)).collect()
}

#[test]
fn the_default_spreads_over_zones_then_instances() {
    let fleet = zones(&["a", "a", "b"]);
    assert_eq!(Case::new(6).numbers(&fleet, &[]), [0, 2, 1, 2, 0, 2]);
    let present = [task(1, 2), task(2, 2)];
    assert_eq!(Case::new(3).numbers(&fleet, &present), [0, 1, 0]);
}

#[test]
fn binpack_takes_the_least_that_still_fits() {
    let mut fleet = zones(&["a", "a", "a"]);
    fleet[1].registered.memory_mib = 1100;
    fleet[2].registered.memory_mib = 500;
    let mut case = Case::new(4);
    case.strategies = vec![PlacementStrategy::Binpack(StrategyField::Memory)];
    assert_eq!(case.numbers(&fleet, &[]), [1, 1, 0, 0]);
}

#[test]
fn strategies_apply_in_order() {
    let mut fleet = zones(&["a", "a", "b", "b"]);
    fleet[1].registered.memory_mib = 2048;
    fleet[3].registered.memory_mib = 2048;
    let mut case = Case::new(4);
    let pack = PlacementStrategy::Binpack(StrategyField::Memory);
    case.strategies = vec![spread("ecs.availability-zone"), pack];
    assert_eq!(case.numbers(&fleet, &[]), [1, 3, 1, 3]);
    case.strategies.reverse();
    assert_eq!(case.numbers(&fleet, &[]), [1, 1, 1, 1]);
}

#[test]
fn random_is_even_and_repeatable() {
    let fleet = zones(&["a"; 4]);
    let mut case = Case::new(16);
    case.strategies = vec![PlacementStrategy::Random];
    case.demand = demand(1, 1, &[]);
    let once = case.numbers(&fleet, &[]);
    assert_eq!(once, case.numbers(&fleet, &[]));
    for id in 0..4 {
        let count = once.iter().filter(|n| **n == id).count();
        assert!((2..=6).contains(&count), "{once:?}");
    }
    case.tasks = vec![TaskId::new(77)];
    let mut seen: Vec<u128> = (0..64)
        .flat_map(|seed| {
            case.tasks = vec![TaskId::new(seed)];
            case.numbers(&fleet, &[])
        })
        .collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [0, 1, 2, 3], "any instance may be first");
}

#[test]
fn constraints_see_the_tasks_just_placed() {
    let fleet = zones(&["a", "b"]);
    let case = Case::new(3).constrained(&[distinct()]);
    assert_eq!(case.numbers(&fleet, &[task(1, 0)]), [1]);
    let alone = Case::new(3).constrained(&[member_of("not(task:group == service:web)")]);
    assert_eq!(alone.numbers(&fleet, &[]), [0, 1]);
    let few = Case::new(9).constrained(&[member_of("runningTasksCount < 2")]);
    assert_eq!(few.numbers(&fleet, &[task(1, 0)]), [1, 0, 1]);
    let together = Case::new(3).constrained(&[member_of("task:group == service:web")]);
    assert_eq!(together.numbers(&fleet, &[task(1, 1)]), [1, 1, 1]);
}

#[test]
fn stopping_tasks_hold_resources_but_do_not_count() {
    let mut fleet = zones(&["a"]);
    fleet[0].registered.memory_mib = 1024;
    let stopping = Task { desired: DesiredStatus::Stopped, ..task(1, 0) };
    let case = Case::new(2).constrained(&[distinct()]);
    assert_eq!(case.numbers(&fleet, core::slice::from_ref(&stopping)), [0]);
    let mut wide = Case::new(2);
    wide.demand = demand(0, 1024, &[]);
    let report = wide.place(&fleet, &[stopping]).report;
    let shortfall = Shortfall { wanted: 1024, available: 512, registered: 1024 };
    assert_eq!(report.refusals[0].reasons, [Reason::Memory(shortfall)]);
}

#[test]
fn every_refusal_is_explained() {
    let mut fleet = zones(&["a", "b", "c", "d", "e", "f"]);
    fleet[0].connection.connected = false;
    fleet[1].status = InstanceStatus::Draining;
    fleet[2].attributes.remove("ecs.capability.task-eni");
    fleet[3].registered.cpu_units = 100;
    fleet[4].attributes.insert("ecs.instance-type".into(), Some("m5.large".into()));
    let mut case = Case::new(2).constrained(&[member_of("attribute:ecs.instance-type =~ t3.*")]);
    case.attributes = required("ecs.capability.task-eni");
    case.demand = demand(256, 512, &[80]);
    let placement = case.place(&fleet, &[]);
    assert_eq!(placement.assigned, [(case.tasks[0], fleet[5].id)]);
    assert_eq!(placement.unplaced, case.tasks[1..]);
    let lines: Vec<String> = placement
        .report
        .refusals
        .iter()
        .map(|refusal| {
            refusal.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        })
        .collect();
    assert_eq!(
        lines,
        [
            "its agent is not connected",
            "is DRAINING",
            "lacks the attribute ecs.capability.task-eni",
            "needs 256 CPU units, 100 available",
            "does not satisfy memberOf attribute:ecs.instance-type =~ t3.*",
            "host port 80/tcp is in use",
        ]
    );
    let fix = placement.report.nearest_fix().expect("a fix");
    assert_eq!(
        fix,
        alloc::format!(
            "container instance {}: stop the task that holds 80/tcp, or use a dynamic host port",
            fleet[5].id
        )
    );
    let failures = aws_failures(&placement.report, &scope(), &"c".parse().expect("a name"));
    let reasons: Vec<&str> = failures.iter().map(|failure| failure.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "AGENT",
            "ATTRIBUTE",
            "RESOURCE:CPU",
            "MemberOf placement constraint unsatisfied",
            "RESOURCE:PORTS"
        ],
        "the draining instance is not among them"
    );
    let arn = "arn:aws:ecs:us-east-1:000000000000:container-instance/c/\
               00000000000000000000000000000000";
    assert_eq!(failures[0].arn.as_deref(), Some(arn));
}

/// The event of a service whose task found no place.
fn event(case: &Case, fleet: &[ContainerInstance]) -> String {
    let placement = case.place(fleet, &[]);
    assert!(!placement.unplaced.is_empty(), "nothing was refused");
    unplaced_event(&"(service web)", &placement.report)
}

#[test]
fn service_events_have_the_words_of_ecs() {
    let start = "(service web) was unable to place a task because no container instance met all \
                 of its requirements. ";
    let end = " For more information, see the Troubleshooting section of the Amazon ECS Developer \
               Guide.";
    let closest = "The closest matching (container-instance 00000000000000000000000000000000) ";
    let check = |case: &Case, fleet: &[ContainerInstance], middle: &str| {
        assert_eq!(event(case, fleet), [start, middle, end].concat());
    };
    let mut case = Case::new(9);
    check(&case, &[], "Reason: No Container Instances were found in your cluster.");
    let mut draining = zones(&["a"]);
    draining[0].status = InstanceStatus::Draining;
    check(&case, &draining, "Reason: No Container Instances were found in your cluster.");
    case.provider = Some("p".into());
    check(
        &case,
        &zones(&["a"]),
        "Reason: No Container Instances were found in your capacity provider.",
    );
    case.provider = None;
    let says = |words: &str| [closest, words].concat();
    check(&case, &zones(&["a"]), &says("has insufficient CPU units available."));
    case.demand = demand(1, 4000, &[]);
    check(&case, &zones(&["a"]), &says("has insufficient memory available."));
    case.demand = demand(1, 1, &[22]);
    check(&case, &zones(&["a"]), &says("is already using a port required by your task."));
    case.attributes = required("x");
    check(&case, &zones(&["a"]), &says("is missing an attribute required by your task."));
    let mut gone = zones(&["a"]);
    gone[0].connection.connected = false;
    check(&Case::new(1), &gone, &says("encountered error \"AGENT\"."));
}

#[test]
fn the_closest_is_the_one_that_misses_least() {
    let mut fleet = zones(&["a", "b", "c"]);
    fleet[0].registered.cpu_units = 10;
    fleet[1].registered.cpu_units = 300;
    fleet[2].registered.cpu_units = 300;
    let mut busy = task(1, 1);
    busy.demand = demand(200, 0, &[]);
    let mut busier = task(2, 2);
    busier.demand = demand(250, 0, &[]);
    let placement = Case::new(1).place(&fleet, &[busy, busier]);
    assert_eq!(placement.report.closest().expect("refused").instance, fleet[1].id);
}

/// The slow obvious model: for each task, score every instance that would take it, from scratch.
fn model(
    case: &Case,
    instances: &[ContainerInstance],
    tasks: &[Task],
) -> Vec<(TaskId, InstanceId)> {
    let request = case.request();
    let mut tasks: Vec<Task> = tasks.to_vec();
    let mut assigned = Vec::new();
    for id in &case.tasks {
        let fits = |instance: &&ContainerInstance| {
            let alone = PlacementRequest { tasks: core::slice::from_ref(id), ..request };
            let one = Placement {
                assigned: vec![(*id, instance.id)],
                unplaced: Vec::new(),
                report: Report::default(),
            };
            check::placement(instances, &tasks, &alone, &one).is_empty()
        };
        let score = |candidate: &ContainerInstance| {
            let mine = |on: &dyn Fn(&ContainerInstance) -> bool| {
                let there = instances.iter().filter(|i| on(i));
                let counts = there.map(|i| {
                    let here = |t: &&Task| {
                        t.instance == i.id
                            && t.group == request.group
                            && t.desired == DesiredStatus::Running
                            && !t.is_stopped()
                    };
                    tasks.iter().filter(here).count()
                });
                i64::try_from(counts.sum::<usize>()).expect("small")
            };
            let left = |total: u32, take: fn(&Demand) -> u32| {
                let there = tasks.iter().filter(|t| t.instance == candidate.id && !t.is_stopped());
                let used: i64 = there.map(|t| i64::from(take(&t.demand))).sum();
                // An instance that holds more than it has counts as full, not as less than full.
                (i64::from(total) - used).max(0)
            };
            let here = |i: &ContainerInstance| i.id == candidate.id;
            let default = [spread("ecs.availability-zone")];
            let strategies =
                if case.strategies.is_empty() { &default[..] } else { &case.strategies };
            let mut score: Vec<i64> = strategies
                .iter()
                .map(|strategy| match strategy {
                    PlacementStrategy::Spread(Spread::InstanceId) => mine(&here),
                    PlacementStrategy::Spread(Spread::Attribute(name)) => {
                        let value =
                            |i: &ContainerInstance| i.attributes.get(name).cloned().flatten();
                        mine(&|i| value(i) == value(candidate))
                    }
                    PlacementStrategy::Binpack(StrategyField::Cpu) => {
                        left(candidate.registered.cpu_units, |d| d.cpu_units)
                    }
                    PlacementStrategy::Binpack(StrategyField::Memory) => {
                        left(candidate.registered.memory_mib, |d| d.memory_mib)
                    }
                    PlacementStrategy::Random => unreachable!("the model draws no lots"),
                })
                .collect();
            score.push(mine(&here));
            (score, candidate.id)
        };
        let Some(best) = instances.iter().filter(fits).min_by_key(|i| score(i)) else { break };
        assigned.push((*id, best.id));
        let placed = Task { id: *id, demand: case.demand.clone(), ..task(0, best.id.bits()) };
        tasks.push(placed);
    }
    assigned
}

prop_compose! {
    fn any_case()(
        count in 0..20_u128, demand in any_demand(), eni in any::<bool>(),
        constraints in prop::collection::vec(any_constraint(), 0..3),
        strategies in prop::collection::vec(any_strategy(), 0..5),
        provider in prop::bool::weighted(0.2),
    ) -> Case {
        let mut case = Case::new(count).constrained(&constraints);
        case.demand = demand;
        case.strategies = strategies;
        case.provider = provider.then(|| "p".into());
        if eni {
            case.attributes = required("ecs.capability.task-eni");
        }
        case
    }
}

impl core::fmt::Debug for Case {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.request().fmt(f)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Safety, as the checker sees it (capacity, ports, attributes, constraints, no room left over,
    /// every refusal explained), and determinism whatever the order of the records.
    #[test]
    fn placements_are_right(case in any_case(), (instances, tasks) in any_cluster()) {
        let placement = case.place(&instances, &tasks);
        let mut shuffled = instances;
        shuffled.reverse();
        prop_assert_eq!(case.place(&shuffled, &tasks), placement);
    }

    #[test]
    fn the_planner_agrees_with_the_slow_model(
        mut case in any_case(), (instances, tasks) in any_cluster(),
    ) {
        case.strategies.retain(|strategy| *strategy != PlacementStrategy::Random);
        let placement = case.place(&instances, &tasks);
        prop_assert_eq!(placement.assigned, model(&case, &instances, &tasks));
    }

    /// Where every zone has room, no zone gets two more than another.
    #[test]
    fn spread_keeps_zones_within_one(
        per_zone in prop::collection::vec(1..4_usize, 1..4), count in 0..24_u128,
    ) {
        let names = ["a", "b", "c"];
        let list: Vec<&str> =
            names.iter().zip(&per_zone).flat_map(|(name, n)| vec![*name; *n]).collect();
        let instances = zones(&list);
        let mut case = Case::new(count);
        case.demand = demand(64, 64, &[]);
        let placed = case.place(&instances, &[]).assigned;
        prop_assert_eq!(placed.len(), case.tasks.len());
        let in_zone = |zone: &&str| {
            placed.iter().filter(|(_, id)| list[usize::try_from(id.bits()).expect("small")] == *zone)
                .count()
        };
        let counts: Vec<usize> = names[..per_zone.len()].iter().map(in_zone).collect();
        let (low, high) = (counts.iter().min(), counts.iter().max());
        prop_assert!(high.zip(low).is_some_and(|(h, l)| h - l <= 1), "{:?}", counts);
    }
}

#[test]
fn an_instance_that_waits_for_a_daemon_takes_tasks_of_daemons_only() {
    let instances = zones(&["a", "b"]);
    let waits = || [(InstanceId::new(0), "watch".to_string())].into();
    let fleet = Fleet::new(&instances, []).holding_back(waits());
    let case = Case::new(1);
    let placement = place(&case.request(), &fleet);
    assert_eq!(placement.assigned, [(case.tasks[0], InstanceId::new(1))]);
    let [node, _] = fleet.nodes() else { panic!("two nodes") };
    assert_eq!(refusals(&case.request(), node), [Reason::Daemon { name: "watch".into() }]);
    let daemon = PlacementRequest { group: "daemon:other", ..case.request() };
    assert_eq!(refusals(&daemon, node), []);
}
