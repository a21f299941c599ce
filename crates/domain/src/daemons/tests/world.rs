//! A cluster with one daemon, whose plans are carried out and judged.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use crate::daemons::{self, Plan, Situation};
use crate::deploy::RefusedRole;
use crate::ids::{IdSource, InstanceId, Revision, TaskId};
use crate::lifecycle::{self, ContainerReport, TaskReport};
use crate::record::{
    ContainerInstance, ContainerSpec, ContainerState, ContainerStatus, DAEMON_GROUP, Daemon,
    DaemonDeployment, DaemonDeploymentConfiguration, DaemonRevision, DaemonStatus, DesiredStatus,
    HealthStatus, InstanceStatus, NetworkMode, Observed, StopOrder, Task, TaskSpec, TaskStatus,
};
use crate::schedule::{Fleet, demand_of, testing};
use crate::time::Timestamp;

pub(super) struct Counter(u128);

impl IdSource for Counter {
    fn next_id(&mut self) -> u128 {
        self.0 += 1;
        self.0
    }
}

pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) ids: Counter,
    pub(super) daemon: Option<Daemon>,
    pub(super) deployment: DaemonDeployment,
    pub(super) revisions: BTreeMap<u64, DaemonRevision>,
    pub(super) spec: TaskSpec,
    pub(super) instances: Vec<ContainerInstance>,
    /// Tasks of the daemon.
    pub(super) tasks: Vec<Task>,
    /// Tasks of others.
    pub(super) others: Vec<Task>,
    /// Revisions whose tasks end as soon as they start.
    pub(super) broken: BTreeSet<u64>,
    /// Revisions whose tasks cannot have their role.
    pub(super) refused_roles: BTreeMap<u64, RefusedRole>,
}

pub(super) fn spec(health_check: bool) -> TaskSpec {
    TaskSpec {
        cpu_units: None,
        memory_mib: None,
        network_mode: NetworkMode::Bridge,
        containers: vec![ContainerSpec {
            name: "main".into(),
            image: "agent:1".into(),
            cpu_units: 100,
            memory_mib: Some(64),
            memory_reservation_mib: None,
            essential: true,
            ports: Vec::new(),
            gpus: 0,
            has_health_check: health_check,
            depends_on: Vec::new(),
        }],
        placement_constraints: Vec::new(),
        requires_attributes: Vec::new(),
    }
}

impl World {
    pub(super) fn new(instances: u128) -> Self {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let mut ids = Counter(1 << 100);
        let scope = testing::scope();
        let configuration = DaemonDeploymentConfiguration {
            drain_percent: 25.0,
            bake_time_min: 0,
            alarm_names: Vec::new(),
        };
        let mut daemon = Daemon {
            scope: scope.clone(),
            cluster: "c".parse().expect("a name"),
            name: "watch".parse().expect("a name"),
            status: DaemonStatus::Active,
            configuration,
            current: None,
            deployment: crate::ids::DaemonDeploymentId::new(0),
            client_token: None,
            created_by: "root".into(),
            created_at: now,
            updated_at: now,
            tags: BTreeMap::new(),
        };
        let revision = DaemonRevision {
            scope,
            cluster: daemon.cluster.clone(),
            daemon: daemon.name.clone(),
            id: 1,
            family: "watch".parse().expect("a name"),
            revision: Revision(1),
            capacity_providers: vec!["p".into()],
            propagate_tags: false,
            enable_ecs_managed_tags: false,
            enable_execute_command: false,
            critical: true,
            created_at: now,
        };
        let deployment = daemons::begin(&daemon, Some(1), Vec::new(), now, &mut ids);
        daemon.deployment = deployment.id;
        Self {
            now,
            ids,
            daemon: Some(daemon),
            deployment,
            revisions: BTreeMap::from([(1, revision)]),
            spec: spec(false),
            instances: (1..=instances).map(|id| testing::instance(id, "zone-1")).collect(),
            tasks: Vec::new(),
            others: Vec::new(),
            broken: BTreeSet::new(),
            refused_roles: BTreeMap::new(),
        }
    }

    pub(super) fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("the daemon is there")
    }

    /// A new deployment, to a revision of its own.
    pub(super) fn update(&mut self, change: impl FnOnce(&mut DaemonRevision)) -> u64 {
        let id = u64::try_from(self.revisions.len()).expect("few") + 1;
        let mut revision = self.revisions[&1].clone();
        (revision.id, revision.created_at) = (id, self.now);
        change(&mut revision);
        self.revisions.insert(id, revision);
        self.deploy(Some(id));
        id
    }

    pub(super) fn delete(&mut self) {
        self.daemon().status = DaemonStatus::DeleteInProgress;
        self.deploy(None);
    }

    fn deploy(&mut self, target: Option<u64>) {
        let daemon = self.daemon.as_mut().expect("the daemon is there");
        let sources = daemon.current.into_iter().collect();
        self.deployment = daemons::begin(daemon, target, sources, self.now, &mut self.ids);
        daemon.deployment = self.deployment.id;
    }

    pub(super) fn join(&mut self) -> InstanceId {
        let id = u128::try_from(self.instances.len()).expect("few") + 1;
        let mut instance = testing::instance(id, "zone-1");
        instance.registered_at = self.now;
        self.instances.push(instance);
        InstanceId::new(id)
    }

    pub(super) fn advance(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }

    /// One pass, judged and carried out.
    pub(super) fn pass(&mut self) -> Plan {
        let Some(daemon) = self.daemon.clone() else { return Plan::default() };
        let plan = {
            let tasks: Vec<&Task> = self.tasks.iter().collect();
            let busy = self.others.iter().filter(|t| !t.is_stopped()).map(|t| t.instance);
            let busy: BTreeSet<InstanceId> = busy.collect();
            let fleet = Fleet::new(&self.instances, self.tasks.iter().chain(&self.others));
            let revisions: BTreeMap<u64, (&DaemonRevision, &TaskSpec)> =
                self.revisions.iter().map(|(id, of)| (*id, (of, &self.spec))).collect();
            let situation = Situation {
                daemon: &daemon,
                deployment: &self.deployment,
                revisions: &revisions,
                refused_roles: &self.refused_roles,
                tasks: &tasks,
                busy: &busy,
                fleet: &fleet,
                now: self.now,
            };
            let mut ids = Counter(self.ids.0);
            let plan = daemons::plan(&situation, &mut ids);
            self.ids = ids;
            plan
        };
        let before = self.serving();
        self.judge_starts(&plan);
        self.carry_out(&daemon, &plan);
        self.judge_places(before, &daemon);
        plan
    }

    fn carry_out(&mut self, daemon: &Daemon, plan: &Plan) {
        for stop in &plan.stop {
            let task = self.tasks.iter_mut().find(|t| t.id == stop.task).expect("known");
            assert_eq!(task.desired, DesiredStatus::Running, "a task is stopped once");
            task.desired = DesiredStatus::Stopped;
            let (code, reason) = (stop.code, stop.reason.clone());
            task.stop = Some(StopOrder { code, reason, at: self.now });
        }
        for id in &plan.counted {
            let task = self.tasks.iter_mut().find(|t| t.id == *id).expect("known");
            assert!(!task.failure_counted, "a failure is counted once");
            task.failure_counted = true;
        }
        if let Some((revision, assigned)) = &plan.start {
            for (id, instance) in assigned {
                let task = self.task(daemon, *revision, *id, *instance);
                self.tasks.push(task);
            }
        }
        if let Some(next) = &plan.deployment {
            assert!(!self.deployment.status.is_final(), "what has ended does not change");
            self.deployment = next.clone();
        }
        if let Some(next) = &plan.daemon {
            self.daemon = Some(next.clone());
        }
        if plan.gone {
            assert!(self.tasks.iter().all(Task::is_stopped));
            self.daemon = None;
        }
    }

    fn task(&self, daemon: &Daemon, revision: u64, id: TaskId, instance: InstanceId) -> Task {
        let containers = vec![ContainerState::pending("main".into(), TaskId::new(0))];
        Task {
            id,
            group: alloc::format!("{DAEMON_GROUP}{}", daemon.name),
            started_by: Some(daemons::starter(revision)),
            demand: demand_of(&self.spec),
            created_at: self.now,
            observed: Observed::pending(containers),
            ..testing::task(0, instance.bits())
        }
    }

    fn instance(&self, id: InstanceId) -> &ContainerInstance {
        self.instances.iter().find(|instance| instance.id == id).expect("known")
    }

    fn judge_starts(&self, plan: &Plan) {
        for (_, instance) in plan.start.iter().flat_map(|(_, assigned)| assigned) {
            let there = self.instance(*instance);
            assert_eq!(there.status, InstanceStatus::Active);
            assert!(there.connection.connected);
            let occupied = self.tasks.iter().any(|t| t.instance == *instance && !t.is_stopped());
            assert!(!occupied, "the task before has stopped");
        }
        for stop in &plan.stop {
            let task = self.tasks.iter().find(|t| t.id == stop.task).expect("known");
            let drains = self.instance(task.instance).status == InstanceStatus::Draining;
            let busy = self.others.iter().any(|t| t.instance == task.instance && !t.is_stopped());
            let deleted = self.daemon.as_ref().is_some_and(|d| d.status != DaemonStatus::Active);
            assert!(!(drains && busy) || deleted, "the daemon is the last to stop");
        }
    }

    /// Instances of the daemon that can be reached, and those of them where it serves.
    fn serving(&self) -> Option<(usize, usize)> {
        let wanted = self.daemon.as_ref().and_then(|d| daemons::wanted(d, &self.deployment));
        let of = self.revisions.get(&wanted?)?;
        let there = self.instances.iter().filter(|i| {
            i.status == InstanceStatus::Active
                && i.connection.connected
                && i.capacity_provider.as_ref().is_none_or(|p| of.capacity_providers.contains(p))
        });
        let serves = |task: &&Task| {
            task.desired == DesiredStatus::Running
                && task.observed.status == TaskStatus::Running
                && lifecycle::health(task, &self.spec) != HealthStatus::Unhealthy
        };
        let serving: BTreeSet<InstanceId> =
            self.tasks.iter().filter(serves).map(|task| task.instance).collect();
        let ids: Vec<InstanceId> = there.map(|instance| instance.id).collect();
        Some((ids.len(), ids.iter().filter(|id| serving.contains(id)).count()))
    }

    fn judge_places(&self, before: Option<(usize, usize)>, daemon: &Daemon) {
        for instance in &self.instances {
            let live = self.tasks.iter().filter(|t| {
                t.instance == instance.id && t.desired == DesiredStatus::Running && !t.is_stopped()
            });
            assert!(live.count() <= 1, "one task on each instance");
        }
        if daemon.status == DaemonStatus::Active
            && let Some((count, before)) = before
            && let Some((_, after)) = self.serving()
        {
            let percent = self.deployment.configuration.drain_percent;
            let width = daemons::places::width(count, percent);
            assert!(
                after >= before.min(count.saturating_sub(width)),
                "{before} of {count} served, {after} do now, {percent} % may be missing"
            );
        }
    }

    /// The agent of a task does what is wanted of it.
    pub(super) fn agent(&mut self, n: usize) {
        let task = &self.tasks[n];
        if !self.instance(task.instance).connection.connected {
            return;
        }
        let broken = task.daemon_revision().is_some_and(|id| self.broken.contains(&id));
        match task.desired {
            DesiredStatus::Running if broken => self.report(n, ContainerStatus::Stopped, Some(1)),
            DesiredStatus::Running => self.report(n, ContainerStatus::Running, None),
            DesiredStatus::Stopped => self.report(n, ContainerStatus::Stopped, Some(137)),
        }
    }

    pub(super) fn agents(&mut self) {
        for n in 0..self.tasks.len() {
            self.agent(n);
        }
    }

    pub(super) fn report(&mut self, n: usize, status: ContainerStatus, exit_code: Option<i32>) {
        let container = ContainerReport {
            name: "main".to_string(),
            status: Some(status),
            exit_code,
            reason: None,
            runtime_id: None,
            image_digest: None,
            bindings: Vec::new(),
        };
        let report = TaskReport {
            status: Some(status),
            containers: vec![container],
            ..TaskReport::default()
        };
        if let Some(next) = lifecycle::reported(&self.tasks[n], &self.spec, &report, self.now) {
            self.tasks[n] = next;
        }
    }

    pub(super) fn healthy(&mut self) {
        for task in &mut self.tasks {
            task.observed.containers[0].health = HealthStatus::Healthy;
        }
    }

    /// Revisions of the tasks that should run, by instance.
    pub(super) fn layout(&self) -> BTreeMap<u128, u64> {
        let live = self.tasks.iter().filter(|t| !t.is_stopped());
        live.filter(|t| t.desired == DesiredStatus::Running)
            .filter_map(|t| Some((t.instance.bits(), t.daemon_revision()?)))
            .collect()
    }

    /// Passes and agents in turn, with a minute between, until nothing changes.
    pub(super) fn settle(&mut self) {
        for _ in 0..200 {
            let plan = self.pass();
            let before = self.tasks.clone();
            self.agents();
            self.healthy();
            self.advance(60);
            if plan.is_empty() && plan.next.is_none() && self.tasks == before {
                return;
            }
        }
        panic!("the daemon never rests: {:?}", self.deployment);
    }
}
