//! A service with its cluster and agents that do what they are told, in memory.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use crate::check;
use crate::deploy::{
    self, EventKind, NewTaskSet, Plan, RefusedRole, RefusedRoles, Rules, Situation, TargetOf,
    Targets,
};
use crate::explain::{self, Wait};
use crate::fidelity::Fidelity;
use crate::ids::{Family, IdSource, InstanceId, Revision, TaskId};
use crate::lifecycle::{self, ContainerReport, TaskReport};
use crate::record::{
    Advanced, ContainerInstance, ContainerState, ContainerStatus, DeploymentController,
    DesiredStatus, Document, HealthStatus, InstanceStatus, LaunchType, Scale, SchedulingStrategy,
    Service, ServiceBalancer, ServiceDeployment, ShiftStrategy, Shifting, StopOrder, Task,
    TaskSpec, TaskStatus,
};
use crate::route::{Health, HealthState, Outcome, Probe, Weighted};
use crate::schedule::{Fleet, testing};
use crate::time::Timestamp;

#[derive(Debug, Default)]
struct Numbers(u128);

impl IdSource for Numbers {
    fn next_id(&mut self) -> u128 {
        self.0 += 1;
        0xabcd_0000 + self.0
    }
}

pub(super) struct World {
    pub(super) service: Service,
    pub(super) tasks: Vec<Task>,
    pub(super) instances: Vec<ContainerInstance>,
    pub(super) now: Timestamp,
    /// Messages of all events.
    pub(super) events: Vec<String>,
    /// What each of them tells.
    pub(super) told: Vec<EventKind>,
    /// Numbers of all deployments there were.
    pub(super) deployments: Vec<u64>,
    /// Whether later deployments have health checks.
    pub(super) health_checks: bool,
    /// The current service deployment.
    pub(super) deployment: Option<ServiceDeployment>,
    pub(super) fidelity: Fidelity,
    /// What its tasks are to balancers.
    pub(super) targets: Targets,
    /// What rules forward to.
    pub(super) rules: Rules,
    /// What roles tasks cannot have.
    pub(super) refused_roles: RefusedRoles,
    /// How long a new target gets less than its share.
    pub(super) slow_start: Duration,
    specs: Vec<TaskSpec>,
    ids: Numbers,
}

impl World {
    /// A service that was just created.
    pub(super) fn new(desired_count: u32, instances: usize) -> Self {
        let now = Timestamp::from_millis(1_790_000_000_000);
        let service = Service { desired_count, created_at: now, ..testing::service() };
        let mut world = Self {
            service,
            tasks: vec![],
            instances: vec![],
            now,
            events: vec![],
            told: vec![],
            deployments: vec![],
            health_checks: false,
            deployment: None,
            fidelity: Fidelity::default(),
            targets: Targets::new(),
            rules: Rules::new(),
            refused_roles: RefusedRoles::new(),
            slow_start: Duration::ZERO,
            specs: vec![],
            ids: Numbers::default(),
        };
        for _ in 0..instances {
            world.add_instance();
        }
        world.deploy();
        world
    }

    /// A service whose tasks run.
    pub(super) fn steady(desired_count: u32, instances: usize) -> Self {
        let mut world = Self::new(desired_count, instances);
        world.settle();
        world
    }

    pub(super) fn daemon(instances: usize) -> Self {
        let mut world = Self::new(0, instances);
        world.service.scheduling_strategy = SchedulingStrategy::Daemon;
        world.service.deployment_configuration.minimum_healthy_percent = 0;
        world.service.deployment_configuration.maximum_percent = 100;
        world
    }

    /// A service with the EXTERNAL deployment controller, and one revision of its task definition.
    pub(super) fn external(desired_count: u32, instances: usize) -> Self {
        let mut world = Self::new(desired_count, instances);
        world.service.controller = DeploymentController::External;
        world.service.deployments.clear();
        world.service.service_deployment = None;
        world.deployments.clear();
        world.deployment = None;
        world
    }

    /// CreateTaskSet with the newest revision.
    pub(super) fn create_task_set(&mut self, percent: u32) {
        let new = NewTaskSet {
            family: "web".parse().expect("a name"),
            revision: Revision(u32::try_from(self.specs.len()).expect("small")),
            scale: scale(percent),
            launch_type: LaunchType::Ec2,
            balancers: self.service.balancers.clone(),
            external_id: None,
            client_token: None,
            document: Document::new("{}".into()).expect("valid"),
            tags: BTreeMap::new(),
        };
        let set = deploy::new_task_set(&self.service, new, &mut self.ids, self.now);
        self.deployments.push(set.deployment.id);
        self.service.task_sets.push(set);
    }

    /// Specifications of all revisions.
    pub(super) fn specs(&self) -> BTreeMap<(Family, Revision), &TaskSpec> {
        let family: Family = "web".parse().expect("a name");
        let specs = (1..).zip(&self.specs);
        specs.map(|(n, spec)| ((family.clone(), Revision(n)), spec)).collect()
    }

    pub(super) fn add_instance(&mut self) {
        let id = u128::try_from(self.instances.len()).expect("small");
        self.instances.push(testing::instance(id, if id % 2 == 0 { "a" } else { "b" }));
    }

    pub(super) fn set_status(&mut self, id: InstanceId, status: InstanceStatus) {
        let instance = self.instances.iter_mut().find(|instance| instance.id == id);
        instance.expect("it exists").status = status;
    }

    /// UpdateService with a new revision.
    pub(super) fn deploy(&mut self) {
        self.specs.push(testing::spec(self.health_checks));
        let revision = Revision(u32::try_from(self.specs.len()).expect("small"));
        let family = "web".parse().expect("a name");
        let begun = deploy::begin(&mut self.service, &mut self.ids, family, revision, self.now);
        self.deployments.push(begun.revision.id);
        let before = self.deployment.replace(begun.deployment);
        if let (Some(next), Some(before)) = (&mut self.deployment, before) {
            deploy::take_over(next, &before);
        }
    }

    /// The newest revision of the task definition.
    pub(super) fn newest_spec(&mut self) -> &mut TaskSpec {
        self.specs.last_mut().expect("a revision")
    }

    /// Tasks of the newest revision cannot have their role any more.
    pub(super) fn refuse_role(&mut self) {
        let newest = Revision(u32::try_from(self.specs.len()).expect("small"));
        let refused = RefusedRole {
            role: "arn:aws:iam::000000000000:role/app".into(),
            why: "taskRoleArn: there is no role with this ARN".into(),
        };
        self.refused_roles.insert(("web".parse().expect("a name"), newest), refused);
    }

    /// Puts the tasks of later deployments and task sets behind a target group.
    pub(super) fn balance(&mut self) {
        let (container, target_group) = ("main".into(), "TG".into());
        self.service.balancers =
            vec![ServiceBalancer { target_group, container, port: 80, advanced: None }];
    }

    /// A service behind a target group, whose tasks run and are healthy there.
    pub(super) fn balanced(desired_count: u32, instances: usize) -> Self {
        let mut world = Self::new(desired_count, instances);
        world.balance();
        world.service.deployments[0].balancers.clone_from(&world.service.balancers);
        world.pass();
        world.agents();
        world.find_all_healthy();
        world.pass();
        world
    }

    /// A service with two target groups and rules for production and test traffic, whose first
    /// deployment is done.
    pub(super) fn shifting(strategy: ShiftStrategy, bake_min: u32) -> Self {
        let mut world = Self::new(2, 4);
        let advanced = Advanced {
            alternate: "B".into(),
            production_rule: "PROD".into(),
            test_rule: Some("TEST".into()),
            role: None,
        };
        world.service.balancers = vec![ServiceBalancer {
            target_group: "A".into(),
            container: "main".into(),
            port: 80,
            advanced: Some(advanced),
        }];
        world.service.shifting = Some(Shifting { strategy, bake_min });
        let only = |group: &str| vec![Weighted { group: group.into(), weight: 1 }];
        world.rules = Rules::from([("PROD".into(), only("A")), ("TEST".into(), only("B"))]);
        world.service.deployments.clear();
        world.specs.clear();
        world.deployments.clear();
        world.deployment = None;
        world.deploy();
        world.serve();
        let end = world.deployment.as_ref().expect("the first deployment");
        assert_eq!(end.status.as_str(), "SUCCESSFUL", "{end:?}");
        world
    }

    /// Everything goes well until the deployment is over, whatever time it takes.
    pub(super) fn serve(&mut self) {
        for _ in 0..400 {
            let idle = self.pass().is_empty();
            self.agents();
            self.find_all_healthy();
            if idle && self.deployment.as_ref().is_none_or(|d| d.status.is_over()) {
                return;
            }
            if idle {
                self.advance(60);
            }
        }
        panic!("it never ends: {:?} {:?}", self.deployment, self.service);
    }

    /// The shares in percent of both groups of a rule.
    pub(super) fn shares(&self, rule: &str) -> (u32, u32) {
        let groups = self.rules.get(rule).expect("a rule");
        let total: u32 = groups.iter().map(|weighted| weighted.weight).sum();
        let share = |group: &str| {
            let own = groups.iter().find(|weighted| weighted.group == group);
            own.map_or(0, |own| own.weight * 100 / total)
        };
        (share("A"), share("B"))
    }

    /// What the balancers say of a task from now on.
    pub(super) fn find(&mut self, task: TaskId, state: HealthState) {
        let failed = state == HealthState::Unhealthy;
        let description = failed.then(|| "Health checks failed with these codes: [503]".into());
        let health = Health { state, reason: None, description, since: self.now };
        let own = self.tasks.iter().find(|own| own.id == task).expect("it is there");
        let own = deploy::balancers_of(&self.service, own).first();
        let target = TargetOf {
            target_group: own.map_or("TG".into(), |own| own.target_group.clone()),
            port: 8080,
            health,
            probe: failed.then_some(Probe {
                at: self.now,
                took_ms: 12,
                outcome: Outcome::WrongCode(503),
            }),
            is_leaving: false,
            deregistration_delay: Duration::from_secs(300),
            slow_start: self.slow_start,
        };
        self.targets.insert(task, vec![target]);
    }

    /// The balancers find every task that runs healthy, if they have not found it so.
    pub(super) fn find_all_healthy(&mut self) {
        let runs = |task: &&Task| task.observed.status == TaskStatus::Running;
        let known = |id: &TaskId| self.targets.contains_key(id);
        let new = self.tasks.iter().filter(runs).map(|task| task.id).filter(|id| !known(id));
        for id in new.collect::<Vec<_>>() {
            self.find(id, HealthState::Healthy);
        }
    }

    pub(super) fn scale(&mut self, desired_count: u32) {
        self.service.desired_count = desired_count;
    }

    pub(super) fn advance(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }

    /// Whether the service is steady, and what it waits for.
    pub(super) fn explain(&self) -> (bool, Vec<Wait>) {
        let tasks: Vec<&Task> = self.tasks.iter().collect();
        let situation = Situation {
            service: &self.service,
            deployment: self.deployment.as_ref(),
            tasks: &tasks,
            specs: &self.specs(),
            targets: &self.targets,
            rules: &self.rules,
            refused_roles: &self.refused_roles,
            fleet: &Fleet::new(&self.instances, &self.tasks),
            fidelity: self.fidelity,
            now: self.now,
        };
        (explain::is_steady(&situation), explain::service(&situation, &BTreeMap::new()))
    }

    /// What each task waits for.
    pub(super) fn explain_tasks(&self) -> Vec<(&Task, Vec<Wait>)> {
        let specs = self.specs();
        let mut explained = Vec::new();
        for task in &self.tasks {
            let spec = specs.get(&(task.family.clone(), task.revision)).copied();
            let instance = self.instances.iter().find(|instance| instance.id == task.instance);
            let waits = explain::task(task, spec, instance, &BTreeMap::new(), self.fidelity);
            explained.push((task, waits));
        }
        explained
    }

    /// Plans, has the plan judged, and carries it out.
    pub(super) fn pass(&mut self) -> Plan {
        let family: Family = "web".parse().expect("a name");
        let specs = (1..).zip(&self.specs).map(|(n, spec)| ((family.clone(), Revision(n)), spec));
        let specs = specs.collect();
        let tasks: Vec<&Task> = self.tasks.iter().collect();
        let fleet = Fleet::new(&self.instances, &self.tasks);
        let situation = Situation {
            service: &self.service,
            deployment: self.deployment.as_ref(),
            tasks: &tasks,
            specs: &specs,
            targets: &self.targets,
            rules: &self.rules,
            refused_roles: &self.refused_roles,
            fleet: &fleet,
            fidelity: self.fidelity,
            now: self.now,
        };
        let plan = deploy::plan(&situation, &mut self.ids);
        assert_eq!(check::deployment(&situation, &plan), [], "{plan:?}");
        self.carry_out(&plan);
        plan
    }

    fn carry_out(&mut self, plan: &Plan) {
        for stop in plan.stops() {
            let task = self.tasks.iter_mut().find(|task| task.id == stop.task);
            let task = task.expect("checked");
            task.desired = DesiredStatus::Stopped;
            let (code, reason, at) = (stop.code, stop.reason.clone(), self.now);
            task.stop = Some(StopOrder { code, reason, at });
            task.draining_until = stop.draining_until;
        }
        for task in self.tasks.iter_mut().filter(|task| plan.counted.contains(&task.id)) {
            task.failure_counted = true;
        }
        for start in plan.starts() {
            for (id, instance) in &start.assigned {
                self.tasks.push(new_task(*id, *instance, start, self.now));
            }
        }
        if let Some(service) = &plan.service {
            self.service = service.clone();
        }
        if plan.deployment.is_some() {
            self.deployment.clone_from(&plan.deployment);
        }
        for change in &plan.reweigh {
            let known = self.rules.insert(change.rule.clone(), change.groups.clone());
            assert!(known.is_some(), "{change:?}");
        }
        let events = || plan.portions().flat_map(|portion| &portion.events);
        self.events.extend(events().map(|event| event.message.clone()));
        self.told.extend(&plan.told);
        assert!(events().is_sorted_by_key(|event| event.id), "events are in order");
    }

    /// Agents do what is wanted of them.
    pub(super) fn agents(&mut self) {
        for n in 0..self.tasks.len() {
            self.agent(n);
        }
    }

    /// The agent of one task does what is wanted of it.
    pub(super) fn agent(&mut self, n: usize) {
        match self.tasks[n].desired {
            DesiredStatus::Running => self.report(n, ContainerStatus::Running, None),
            DesiredStatus::Stopped => self.report(n, ContainerStatus::Stopped, None),
        }
    }

    /// Tasks that should start cannot.
    pub(super) fn agents_fail(&mut self) {
        for n in 0..self.tasks.len() {
            if self.tasks[n].observed.status == TaskStatus::Pending {
                self.report(n, ContainerStatus::Stopped, None);
            }
        }
    }

    /// Tasks that run exit.
    pub(super) fn agents_die(&mut self) {
        for n in 0..self.tasks.len() {
            self.report(n, ContainerStatus::Stopped, Some(1));
        }
    }

    pub(super) fn report(&mut self, n: usize, status: ContainerStatus, exit_code: Option<i32>) {
        let container = ContainerReport {
            name: "main".into(),
            status: Some(status),
            exit_code,
            reason: None,
            runtime_id: None,
            image_digest: None,
            bindings: vec![],
        };
        let report = TaskReport {
            status: Some(status),
            containers: vec![container],
            ..TaskReport::default()
        };
        if let Some(next) =
            lifecycle::reported(&self.tasks[n], &testing::spec(false), &report, self.now)
        {
            self.tasks[n] = next;
        }
    }

    /// All running tasks have this health.
    pub(super) fn health(&mut self, status: HealthStatus) {
        for task in &mut self.tasks {
            measure(task, status);
        }
    }

    /// Running tasks without known health have this one.
    pub(super) fn pending_health(&mut self, status: HealthStatus) {
        for task in &mut self.tasks {
            if task.observed.containers[0].health == HealthStatus::Unknown {
                measure(task, status);
            }
        }
    }

    /// Agents and scheduler go on, healthily, until nothing is left to do.
    pub(super) fn settle(&mut self) {
        for _ in 0..200 {
            let idle = self.pass().is_empty();
            let before = self.tasks.clone();
            self.agents();
            self.pending_health(HealthStatus::Healthy);
            if idle && before == self.tasks {
                return;
            }
        }
        panic!("the service never settles: {:?}", self.service);
    }

    pub(super) fn running(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|task| deploy::is_running(task))
    }

    /// Running and pending tasks.
    pub(super) fn counts(&self) -> (usize, usize) {
        let pending = self.tasks.iter().filter(|task| {
            task.desired == DesiredStatus::Running && task.observed.status < TaskStatus::Running
        });
        (self.running().count(), pending.count())
    }
}

/// A share in whole percent.
pub(super) fn scale(percent: u32) -> Scale {
    Scale::from_millionths(percent * 1_000_000).expect("at most all")
}

fn measure(task: &mut Task, status: HealthStatus) {
    if task.observed.status == TaskStatus::Running
        && let Some(next) = lifecycle::measured(task, &[("main".into(), status)])
    {
        *task = next;
    }
}

fn new_task(id: TaskId, instance: InstanceId, start: &deploy::Start, now: Timestamp) -> Task {
    let mut task = Task {
        id,
        instance,
        family: start.family.clone(),
        revision: start.revision,
        started_by: Some(alloc::format!("ecs-svc/{}", start.deployment)),
        demand: testing::demand(16, 16, &[]),
        created_at: now,
        ..testing::task(0, 0)
    };
    task.observed.status = TaskStatus::Pending;
    task.observed.containers = vec![ContainerState {
        name: "main".into(),
        id,
        status: ContainerStatus::Pending,
        exit_code: None,
        reason: None,
        runtime_id: None,
        image_digest: None,
        bindings: vec![],
        health: HealthStatus::Unknown,
        gpus: vec![],
    }];
    task
}
