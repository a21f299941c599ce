//! Targets: carries out what `domain::registration` plans for services, lets go of targets that were
//! deregistered by hand, and forgets what balancers have seen that are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use longshore_domain::deploy::{self, TargetOf};
use longshore_domain::ids::{Family, InstanceId, Revision, TaskId};
use longshore_domain::record::{
    ContainerInstance, Service, Target, TargetGroup, Task, TaskSpec, TaskTarget,
};
use longshore_domain::registration::{self, Plan, Registered, Situation};
use longshore_domain::schedule::ZONE;
use longshore_domain::time::Timestamp;
use longshore_store::tables::{
    ServiceIndex, ServiceKey, TargetGroupIndex, TargetIndex, TargetKey, TaskIndex,
};
use longshore_store::{Kind, RecordTxn, Row, View};

use super::driver::{Controller, Pass};
use super::services::definitions;
use crate::Server;
use crate::balancers;
use crate::clock::RandomIds;
use crate::ecs::lookup;
use crate::elbv2::{group_by_arn, is_used, target_group_attributes};

/// Changes of one transaction: what a store takes, with room.
const CHANGES: usize = 60;

/// Keeps targets as they should be.
pub(super) struct Targets {
    /// Knows which servers are there.
    pub(super) server: Arc<Server>,
    /// When this one began to lead.
    pub(super) began: Timestamp,
}

impl Controller for Targets {
    const NAME: &'static str = "targets";
    const READS: &'static [Kind] = &[
        Kind::Service,
        Kind::Task,
        Kind::Target,
        Kind::TargetGroup,
        Kind::Listener,
        Kind::ListenerRule,
        Kind::ContainerInstance,
        Kind::BalancerNode,
    ];

    fn pass(&self, view: &View, now: Timestamp) -> Pass {
        let mut pass = Pass::default();
        let present = balancers::present(view);
        for row in services(view) {
            let index =
                TargetIndex::Service(row.scope.clone(), row.cluster.clone(), row.name.clone());
            let targets: Vec<_> = view.targets.by(&index).collect();
            of_service(view, row, &targets, &present, now, &mut pass);
        }
        for row in view.targets.by(&TargetIndex::LeavesByHand) {
            by_hand(view, row, &present, now, &mut pass);
        }
        self.forget_gone(view, &present, now, &mut pass);
        pass
    }
}

impl Targets {
    /// Nobody waits for a node that is gone, and what it found is no news any more.
    fn forget_gone(
        &self,
        view: &View,
        present: &BTreeSet<String>,
        now: Timestamp,
        pass: &mut Pass,
    ) {
        let roster = self.server.members.roster();
        for row in view.balancer_nodes.iter() {
            // Its server knows when it was last heard of. Where that is gone, it finds another one.
            let Some(left) = roster.left_at(row.server, self.began) else { continue };
            let due = left + balancers::SILENCE;
            if now < due {
                pass.look_again(due);
            } else {
                let mut txn = RecordTxn::new();
                txn.remove(row);
                pass.push(txn);
            }
        }
        // One that is there has had the time to say so.
        let known_from = self.began + balancers::SILENCE;
        if now < known_from {
            return pass.look_again(known_from);
        }
        for row in view.targets.iter() {
            if let Some(next) = balancers::without_gone(row, present) {
                let mut txn = RecordTxn::new();
                txn.update(row, &next);
                pass.push(txn);
            }
        }
    }
}

/// The services whose tasks are targets or are to be; others cost nothing.
fn services(view: &View) -> Vec<&Arc<Row<Service>>> {
    let mut found: Vec<_> = view.services.by(&ServiceIndex::Balanced).collect();
    let mut known: BTreeSet<_> =
        found.iter().map(|row| (&row.scope, &row.cluster, &row.name)).collect();
    for row in view.targets.iter() {
        let Some(task) = &row.task else { continue };
        // One that has no balancers any more lets go of its last targets.
        if known.insert((&row.scope, &task.cluster, &task.service)) {
            let (scope, cluster) = (row.scope.clone(), task.cluster.clone());
            let key = ServiceKey { scope, cluster, name: task.service.clone() };
            found.extend(view.services.get(&key));
        }
    }
    found
}

/// What balancers know of the tasks of a service.
pub(crate) fn of(view: &View, service: &Service) -> deploy::Targets {
    let mut found = deploy::Targets::new();
    let (scope, cluster) = (service.scope.clone(), service.cluster.clone());
    let index = TargetIndex::Service(scope, cluster, service.name.clone());
    for row in view.targets.by(&index) {
        let (Some(task), Some(group)) = (&row.task, group_of(view, row)) else { continue };
        let attributes = target_group_attributes(group);
        let arn = group.arn();
        found.entry(task.task).or_default().push(TargetOf {
            port: row.port,
            health: balancers::health(group, row, is_used(view, &arn)),
            probe: row.seen.values().filter_map(|seen| seen.probe.clone()).max_by_key(|p| p.at),
            is_leaving: row.deregistered_at.is_some(),
            deregistration_delay: attributes.deregistration_delay(),
            slow_start: attributes.slow_start(),
            target_group: arn,
        });
    }
    found
}

/// Until when a task that stops now may finish what balancers have sent it.
pub(crate) fn drains_until(view: &View, task: &Task, now: Timestamp) -> Option<Timestamp> {
    let name = task.service()?.parse().ok()?;
    let index = TargetIndex::Service(task.scope.clone(), task.cluster.clone(), name);
    let own = view
        .targets
        .by(&index)
        .filter(|row| row.task.as_ref().is_some_and(|target| target.task == task.id));
    let delays = own.filter_map(|row| group_of(view, row)).map(|group| delay(group));
    delays.max().map(|delay| now + delay)
}

fn group_of<'v>(view: &'v View, target: &Target) -> Option<&'v Arc<Row<TargetGroup>>> {
    let mut groups = view.target_groups.by(&TargetGroupIndex::Id(target.group));
    groups.find(|group| group.scope == target.scope)
}

/// Whether nothing is under way to a target that leaves, as every node says that is there.
fn is_idle(view: &View, group: &TargetGroup, target: &Target, present: &BTreeSet<String>) -> bool {
    // Nodes know nothing of a group that no listener uses.
    let nobody = BTreeSet::new();
    let asked = if is_used(view, &group.arn()) { present } else { &nobody };
    balancers::is_idle(target, asked)
}

/// How long what is under way to a target of a group may take.
fn delay(group: &TargetGroup) -> Duration {
    target_group_attributes(group).deregistration_delay()
}

fn of_service(
    view: &View,
    service: &Row<Service>,
    rows: &[&Arc<Row<Target>>],
    present: &BTreeSet<String>,
    now: Timestamp,
    pass: &mut Pass,
) {
    let index = TaskIndex::service(&service.scope, &service.cluster, &service.name);
    let task_rows: Vec<_> = view.tasks.by(&index).collect();
    let tasks: Vec<&Task> = task_rows.iter().map(|row| &row.record).collect();
    let definitions = definitions(view, service, &tasks);
    let specs: BTreeMap<(Family, Revision), &TaskSpec> =
        definitions.iter().map(|(name, row)| (name.clone(), &row.record.spec)).collect();
    let instances: BTreeMap<InstanceId, &ContainerInstance> = tasks
        .iter()
        .filter_map(|task| lookup::instance(view, &task.scope, &task.cluster, task.instance))
        .map(|row| (row.id, &row.record))
        .collect();
    let mut by_name = BTreeMap::new();
    let mut targets = Vec::with_capacity(rows.len());
    for row in rows {
        let Some((target, group)) = name(view, row) else { continue };
        targets.push(Registered {
            target: target.clone(),
            deregistered_at: row.deregistered_at,
            delay: delay(group),
            is_idle: is_idle(view, group, row, present),
        });
        by_name.insert(target, *row);
    }
    let situation = Situation {
        service,
        tasks: &tasks,
        specs: &specs,
        instances: &instances,
        targets: &targets,
        now,
    };
    let plan = registration::plan(&situation, &mut RandomIds);
    pass.look_again_if(plan.next);
    let tasks: BTreeMap<TaskId, &Arc<Row<Task>>> =
        task_rows.iter().map(|row| (row.id, *row)).collect();
    let of = Of { view, service, rows: &by_name, tasks: &tasks, instances: &instances, now };
    of.carry_out(&plan, pass);
}

/// The name of a service's target, and its group.
fn name<'v>(
    view: &'v View,
    row: &Target,
) -> Option<(registration::Target, &'v Arc<Row<TargetGroup>>)> {
    let task = row.task.as_ref()?.task;
    let group = group_of(view, row)?;
    let (target_group, id, port) = (group.arn(), row.id.clone(), row.port);
    Some((registration::Target { target_group, id, port, task }, group))
}

struct Of<'v> {
    view: &'v View,
    service: &'v Row<Service>,
    rows: &'v BTreeMap<registration::Target, &'v Arc<Row<Target>>>,
    tasks: &'v BTreeMap<TaskId, &'v Arc<Row<Task>>>,
    instances: &'v BTreeMap<InstanceId, &'v ContainerInstance>,
    now: Timestamp,
}

impl Of<'_> {
    /// The transactions of a plan. What does not fit one follows in another; none of them depends on
    /// the others.
    fn carry_out(&self, plan: &Plan, pass: &mut Pass) {
        let mut txn = RecordTxn::new();
        let full = |txn: &mut RecordTxn, pass: &mut Pass| {
            if txn.len() >= CHANGES {
                pass.push(std::mem::take(txn));
            }
        };
        for event in &plan.events {
            txn.insert(event);
        }
        for target in &plan.register {
            self.register(&mut txn, target);
            full(&mut txn, pass);
        }
        for target in plan.deregister.iter().filter(|target| !plan.remove.contains(target)) {
            if let Some(row) = self.rows.get(target) {
                let next = Target { deregistered_at: Some(self.now), ..row.record.clone() };
                txn.update(row, &next);
            }
            full(&mut txn, pass);
        }
        for target in &plan.remove {
            if let Some(row) = self.rows.get(target) {
                txn.remove(row);
            }
            full(&mut txn, pass);
        }
        for id in &plan.release {
            if let Some(row) = self.tasks.get(id) {
                let next =
                    Task { draining_until: None, version: row.version + 1, ..row.record.clone() };
                txn.update(row, &next);
            }
            full(&mut txn, pass);
        }
        pass.push(txn);
    }

    fn register(&self, txn: &mut RecordTxn, target: &registration::Target) {
        let Some(group) = group_by_arn(self.view, &target.target_group) else { return };
        let Some(task) = self.tasks.get(&target.task) else { return };
        let instance = self.instances.get(&task.instance);
        let record = Target {
            scope: group.scope.clone(),
            group: group.id,
            id: target.id.clone(),
            port: target.port,
            zone: instance.and_then(|instance| instance.attributes.get(ZONE)?.clone()),
            task: Some(TaskTarget {
                cluster: self.service.cluster.clone(),
                service: self.service.name.clone(),
                task: target.task,
            }),
            registered_at: self.now,
            deregistered_at: None,
            seen: BTreeMap::new(),
        };
        let key = TargetKey {
            scope: record.scope.clone(),
            group: record.group,
            id: record.id.clone(),
            port: record.port,
        };
        match self.view.targets.get(&key) {
            // Another task had this port before, or somebody has registered it by hand.
            Some(row) => txn.update(row, &record),
            None => txn.insert(&record),
        };
        txn.expect_unchanged(task);
        txn.expect_unchanged(group);
    }
}

/// A target that was deregistered by hand goes when nothing is under way, or its time is over.
fn by_hand(
    view: &View,
    row: &Row<Target>,
    present: &BTreeSet<String>,
    now: Timestamp,
    pass: &mut Pass,
) {
    let Some(since) = row.deregistered_at else { return };
    let group = group_of(view, row);
    let end = since + group.map(|group| delay(group)).unwrap_or_default();
    let idle = group.is_some_and(|group| is_idle(view, group, row, present));
    if idle || end <= now {
        let mut txn = RecordTxn::new();
        txn.remove(row);
        pass.push(txn);
    } else {
        pass.look_again(end);
    }
}
