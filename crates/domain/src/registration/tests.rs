use alloc::vec;
use std::collections::BTreeMap;

use super::*;
use crate::record::{
    ContainerState, ContainerStatus, Deployment, NetworkBinding, StopCode, StopOrder,
};
use crate::schedule::testing;

const GROUP: &str = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/web/1";

struct Counter(u128);

impl IdSource for Counter {
    fn next_id(&mut self) -> u128 {
        self.0 += 1;
        self.0
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

struct World {
    service: Service,
    tasks: Vec<Task>,
    targets: Vec<Registered>,
    now: Timestamp,
}

impl World {
    /// A service behind one target group, with a task that runs and listens on host port 32768.
    fn new() -> Self {
        let mut service = testing::service();
        service.deployments = vec![Deployment {
            balancers: vec![ServiceBalancer {
                target_group: GROUP.into(),
                container: "main".into(),
                port: 80,
                advanced: None,
            }],
            ..testing::deployment(7)
        }];
        let mut task = testing::task(1, 0);
        task.group = "service:web".into();
        task.started_by = Some("ecs-svc/7".into());
        task.observed.status = TaskStatus::Running;
        let binding = NetworkBinding {
            bind_ip: "0.0.0.0".into(),
            container_port: Some(80),
            host_port: Some(32768),
            container_port_range: None,
            host_port_range: None,
            protocol: Protocol::Tcp,
        };
        task.observed.containers = vec![ContainerState {
            status: ContainerStatus::Running,
            bindings: vec![binding],
            ..ContainerState::pending("main".into(), task.id)
        }];
        Self { service, tasks: vec![task], targets: vec![], now: at(100) }
    }

    /// The same with the task registered.
    fn registered() -> Self {
        let mut world = Self::new();
        world.pass();
        world
    }

    /// Plans, and carries it out.
    fn pass(&mut self) -> Plan {
        let tasks: Vec<&Task> = self.tasks.iter().collect();
        let spec = testing::spec(false);
        let specs = tasks.iter().map(|t| ((t.family.clone(), t.revision), &spec)).collect();
        let instance = testing::instance(0, "a");
        let situation = Situation {
            service: &self.service,
            tasks: &tasks,
            specs: &specs,
            instances: &BTreeMap::from([(instance.id, &instance)]),
            targets: &self.targets,
            now: self.now,
        };
        let plan = plan(&situation, &mut Counter(0));
        for target in &plan.register {
            self.targets.push(Registered {
                target: target.clone(),
                deregistered_at: None,
                delay: Duration::from_secs(300),
                is_idle: false,
            });
        }
        for known in &mut self.targets {
            if plan.deregister.contains(&known.target) {
                known.deregistered_at.get_or_insert(self.now);
            }
        }
        self.targets.retain(|known| !plan.remove.contains(&known.target));
        for task in &mut self.tasks {
            if plan.release.contains(&task.id) {
                task.draining_until = None;
            }
        }
        plan
    }

    /// The service scheduler stops the task.
    fn stop(&mut self) {
        let task = &mut self.tasks[0];
        task.desired = DesiredStatus::Stopped;
        let code = StopCode::ServiceSchedulerInitiated;
        task.stop = Some(StopOrder { code, reason: "scaling".into(), at: self.now });
        task.draining_until = Some(self.now + Duration::from_secs(300));
    }

    fn texts(plan: &Plan) -> Vec<&str> {
        plan.events.iter().map(|event| event.message.as_str()).collect()
    }
}

#[test]
fn a_task_that_runs_becomes_a_target_once() {
    let mut world = World::new();
    let plan = world.pass();
    let [target] = plan.register.as_slice() else { panic!("{plan:?}") };
    assert_eq!((target.id.as_str(), target.port), ("i-00000000000000000", 32768));
    let text = format!("(service web) registered 1 targets in (target-group {GROUP})");
    assert_eq!(World::texts(&plan), [text.as_str()]);
    assert!(world.pass().is_empty(), "there is nothing left to do");
}

#[test]
fn a_task_that_does_not_run_yet_or_has_no_port_is_no_target() {
    let mut world = World::new();
    world.tasks[0].observed.status = TaskStatus::Pending;
    assert!(world.pass().is_empty());
    let mut world = World::new();
    world.tasks[0].observed.containers[0].bindings.clear();
    assert!(world.pass().is_empty());
}

#[test]
fn a_task_stops_when_nothing_is_under_way_to_it() {
    let mut world = World::registered();
    world.stop();
    let plan = world.pass();
    assert_eq!((plan.deregister.len(), plan.release.len()), (1, 0));
    let text = format!("(service web) deregistered 1 targets in (target-group {GROUP})");
    assert_eq!(World::texts(&plan), [text.as_str()]);
    let plan = world.pass();
    assert!(plan.is_empty(), "a request is under way");
    assert_eq!(plan.next, Some(world.now + Duration::from_secs(300)));
    world.targets[0].is_idle = true;
    let plan = world.pass();
    assert_eq!((plan.remove.len(), plan.release.len(), plan.events.len()), (1, 1, 0));
    assert_eq!(world.tasks[0].draining_until, None);
    assert!(world.pass().is_empty());
}

#[test]
fn a_task_stops_at_the_end_of_the_delay_whatever_is_under_way() {
    let mut world = World::registered();
    world.stop();
    world.pass();
    world.now = world.now + Duration::from_secs(300);
    let plan = world.pass();
    assert_eq!((plan.remove.len(), plan.release.len()), (1, 1));
}

#[test]
fn a_task_that_has_ended_is_no_target_any_more() {
    let mut world = World::registered();
    world.tasks[0].desired = DesiredStatus::Stopped;
    world.tasks[0].observed.status = TaskStatus::Stopped;
    let plan = world.pass();
    assert_eq!((plan.deregister.len(), plan.remove.len()), (1, 1));
    assert!(world.targets.is_empty());
    let mut world = World::registered();
    world.tasks.clear();
    assert_eq!(world.pass().remove.len(), 1, "its record is gone");
}

#[test]
fn a_task_of_a_deployment_without_balancers_is_no_target() {
    let mut world = World::registered();
    world.service.deployments[0].balancers.clear();
    assert_eq!(world.pass().deregister.len(), 1);
}

#[test]
fn a_task_without_targets_stops_at_once() {
    let mut world = World::new();
    world.stop();
    assert_eq!(world.pass().release.len(), 1);
}
