//! Managed daemons: carries out what `domain::daemons` plans, one transaction per daemon and pass.
//!
//! Each transaction holds only if daemon and deployment are unchanged, so a daemon has one writer
//! at a time; what did not fit into it follows in the next pass, which the commit itself wakes. A
//! daemon that needed nothing is not planned again before something of it or of its instances
//! changes; that is only remembered to save work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use longshore_domain::daemons::{self, Plan, Situation};
use longshore_domain::deploy::RefusedRole;
use longshore_domain::ids::{ClusterName, InstanceId, Scope, TaskId};
use longshore_domain::record::{
    ContainerInstance, Daemon, DaemonDeployment, DaemonRevision, DaemonTaskDefinition,
    DesiredStatus, InstanceStatus, StopOrder, Tags, Task, TaskSpec,
};
use longshore_domain::schedule::{Fleet, demand_of, launch_type_of};
use longshore_domain::time::Timestamp;
use longshore_store::tables::{ContainerInstanceKey, DaemonTaskDefinitionKey, TaskIndex};
use longshore_store::{Kind, RecordTxn, Row, StoreRevision, View};

use super::driver::{Controller, Pass};
use crate::Server;
use crate::clock::RandomIds;
use crate::ecs::daemons::{deployment_of, revision_of, tasks_of};
use crate::ecs::{Launch, Roles, lookup, make_tasks};
use crate::members::Term;

type Name = (Scope, ClusterName, String);

/// Starts and stops the tasks of daemons.
pub(super) struct Daemons {
    server: Arc<Server>,
    term: Arc<Term>,
    /// Daemons that needed nothing, as they were then.
    in_order: Mutex<BTreeMap<Name, InOrder>>,
}

/// A daemon that needed nothing.
#[derive(Debug)]
struct InOrder {
    stamp: Stamp,
    /// When it is to be looked at again all the same.
    until: Option<Timestamp>,
}

/// What a plan read: where nothing of it has changed, the plan is the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    daemon: StoreRevision,
    deployment: StoreRevision,
    tasks: (usize, StoreRevision),
    instances: (usize, StoreRevision),
}

impl Daemons {
    pub(super) fn new(server: &Arc<Server>, term: &Arc<Term>) -> Self {
        Self { server: Arc::clone(server), term: Arc::clone(term), in_order: Mutex::default() }
    }
}

impl Controller for Daemons {
    const NAME: &'static str = "daemons";
    const READS: &'static [Kind] =
        &[Kind::Daemon, Kind::DaemonDeployment, Kind::Task, Kind::ContainerInstance, Kind::IamRole];
    const PLACES: bool = true;

    fn pass(&self, view: &View, now: Timestamp) -> Pass {
        let mut pass = Pass::default();
        let mut known = self.in_order.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *known);
        for row in view.daemons.iter() {
            let Some(deployment) = deployment_of(view, row) else {
                tracing::error!(daemon = %row.name, cluster = %row.cluster, "it has no deployment");
                continue;
            };
            let tasks: Vec<&Arc<Row<Task>>> = tasks_of(view, row).collect();
            let stamp = stamp(view, row, deployment, &tasks);
            let name = (row.scope.clone(), row.cluster.clone(), row.name.to_string());
            let quiet = before.get(&name).filter(|known| {
                known.stamp == stamp && known.until.is_none_or(|until| until > now)
            });
            let until = if let Some(quiet) = quiet {
                quiet.until
            } else {
                let busy = busy(view, row, &tasks);
                let of = Of { view, row, deployment, tasks: &tasks, busy: &busy };
                let plan = self.reconcile(&of, now, &mut pass);
                // What other tasks do on draining instances is not in the stamp, nor are roles.
                let waits = plan.unplaced.is_some() || plan.refused_role.is_some();
                if !plan.is_empty() || waits || !busy.is_empty() {
                    pass.look_again_if(plan.next);
                    continue;
                }
                plan.next
            };
            pass.look_again_if(until);
            known.insert(name, InOrder { stamp, until });
        }
        pass
    }
}

fn stamp(
    view: &View,
    row: &Row<Daemon>,
    deployment: &Row<DaemonDeployment>,
    tasks: &[&Arc<Row<Task>>],
) -> Stamp {
    let prefix = ContainerInstanceKey::in_cluster(&row.scope, &row.cluster);
    let instances = view.container_instances.range(&prefix);
    Stamp {
        daemon: row.mod_revision,
        deployment: deployment.mod_revision,
        tasks: (tasks.len(), tasks.iter().map(|task| task.mod_revision).max().unwrap_or_default()),
        instances: instances.fold((0, StoreRevision::ZERO), |(count, newest), row| {
            (count + 1, newest.max(row.mod_revision))
        }),
    }
}

/// Draining instances with tasks of the daemon that have tasks of others, too.
fn busy(view: &View, daemon: &Daemon, tasks: &[&Arc<Row<Task>>]) -> BTreeSet<InstanceId> {
    let mut with_daemon: BTreeSet<InstanceId> =
        tasks.iter().filter(|task| !task.is_stopped()).map(|task| task.instance).collect();
    with_daemon.retain(|id| {
        let instance = lookup::instance(view, &daemon.scope, &daemon.cluster, *id);
        let drains = instance.is_some_and(|row| row.status == InstanceStatus::Draining);
        let mut others = view.tasks.by(&TaskIndex::Instance(*id));
        drains && others.any(|task| !task.is_stopped() && task.daemon().is_none())
    });
    with_daemon
}

/// A daemon, as the view has it.
struct Of<'v> {
    view: &'v View,
    row: &'v Row<Daemon>,
    deployment: &'v Row<DaemonDeployment>,
    tasks: &'v [&'v Arc<Row<Task>>],
    busy: &'v BTreeSet<InstanceId>,
}

type Made<'v> = (&'v DaemonRevision, &'v DaemonTaskDefinition);

impl<'v> Of<'v> {
    /// The revisions that tasks are made from, or may be.
    fn revisions(&self) -> BTreeMap<u64, Made<'v>> {
        let mut ids = daemons::in_use(self.row, self.deployment);
        let live = self.tasks.iter().filter(|task| !task.is_stopped());
        ids.extend(live.filter_map(|task| task.daemon_revision()));
        let made = |id| {
            let revision = revision_of(self.view, self.row, id)?;
            let key = DaemonTaskDefinitionKey {
                scope: revision.scope.clone(),
                family: revision.family.clone(),
                revision: revision.revision,
            };
            let definition = self.view.daemon_task_definitions.get(&key)?;
            Some((id, (&revision.record, &definition.record)))
        };
        ids.into_iter().filter_map(made).collect()
    }

    /// Plans, and makes the tasks that start.
    fn plan(
        &self,
        revisions: &BTreeMap<u64, Made<'v>>,
        refused_roles: &BTreeMap<u64, RefusedRole>,
        fleet: &Fleet<'_>,
        now: Timestamp,
    ) -> (Vec<Task>, Plan) {
        let records: Vec<&Task> = self.tasks.iter().map(|task| &task.record).collect();
        let specs: BTreeMap<u64, (&DaemonRevision, &TaskSpec)> =
            revisions.iter().map(|(id, (of, made))| (*id, (*of, &made.task.spec))).collect();
        let situation = Situation {
            daemon: self.row,
            deployment: self.deployment,
            revisions: &specs,
            refused_roles,
            tasks: &records,
            busy: self.busy,
            fleet,
            now,
        };
        let plan = daemons::plan(&situation, &mut RandomIds);
        let start = plan.start.as_ref();
        let start = start.and_then(|(id, assigned)| Some((revisions.get(id)?, assigned)));
        let tasks = start.map(|(made, assigned)| self.new_tasks(*made, assigned, fleet, now));
        (tasks.unwrap_or_default(), plan)
    }

    fn new_tasks(
        &self,
        (revision, definition): Made<'_>,
        assigned: &[(TaskId, InstanceId)],
        fleet: &Fleet<'_>,
        now: Timestamp,
    ) -> Vec<Task> {
        let daemon = self.row;
        let mut tags = if revision.propagate_tags { daemon.tags.clone() } else { Tags::new() };
        if revision.enable_ecs_managed_tags {
            tags.insert("aws:ecs:clusterName".to_owned(), daemon.cluster.to_string());
            tags.insert("aws:ecs:daemonName".to_owned(), daemon.name.to_string());
        }
        let make = |place: &(TaskId, InstanceId)| {
            let instance = fleet.node(place.1)?.instance;
            let launch = Launch {
                scope: &daemon.scope,
                cluster: &daemon.cluster,
                definition: &definition.task,
                launch_type: launch_type_of(instance),
                group: daemons::group(daemon),
                started_by: Some(daemons::starter(revision.id)),
                overrides: None,
                images: BTreeMap::new(),
                enable_execute_command: revision.enable_execute_command,
                demand: demand_of(&definition.task.spec),
                tags: tags.clone(),
            };
            make_tasks(&launch, &[*place], now, &mut RandomIds).pop()
        };
        assigned.iter().filter_map(make).collect()
    }

    fn transaction(&self, plan: &Plan, started: &[Task], now: Timestamp) -> RecordTxn {
        let mut txn = RecordTxn::new();
        match &plan.daemon {
            _ if plan.gone => txn.remove(self.row),
            Some(daemon) => txn.update(self.row, daemon),
            None => txn.expect_unchanged(self.row),
        };
        match &plan.deployment {
            Some(deployment) => txn.update(self.deployment, deployment),
            None => txn.expect_unchanged(self.deployment),
        };
        for task in started {
            let instance = lookup::instance(self.view, &task.scope, &task.cluster, task.instance);
            if let Some(instance) = instance {
                txn.expect_unchanged::<ContainerInstance>(instance);
            }
            txn.insert(task);
        }
        let by_id: BTreeMap<TaskId, _> = self.tasks.iter().map(|task| (task.id, task)).collect();
        for stop in &plan.stop {
            if let Some(task) = by_id.get(&stop.task) {
                let order = StopOrder { code: stop.code, reason: stop.reason.clone(), at: now };
                let stopped = Task {
                    desired: DesiredStatus::Stopped,
                    stop: Some(order),
                    version: task.version + 1,
                    ..task.record.clone()
                };
                txn.update(task, &stopped);
            }
        }
        for id in &plan.counted {
            if let Some(task) = by_id.get(id) {
                txn.update(task, &Task { failure_counted: true, ..task.record.clone() });
            }
        }
        txn
    }
}

impl Daemons {
    /// The roles that tasks of revisions cannot have.
    fn refused_roles(
        &self,
        daemon: &Daemon,
        revisions: &BTreeMap<u64, Made<'_>>,
    ) -> BTreeMap<u64, RefusedRole> {
        if !self.server.is_iam {
            return BTreeMap::new();
        }
        let refused = revisions.iter().filter_map(|(id, (_, definition))| {
            let roles = Roles::named(&definition.task.document, None);
            let identity = &*self.server.identity;
            Some((*id, roles.refused_in(identity, &daemon.scope, &daemon.cluster)?))
        });
        refused.collect()
    }

    /// Plans for one daemon, and adds the transaction to the pass.
    fn reconcile(&self, of: &Of<'_>, now: Timestamp, pass: &mut Pass) -> Plan {
        let (row, group) = (of.row, daemons::group(of.row));
        let revisions = of.revisions();
        let refused_roles = self.refused_roles(row, &revisions);
        let (started, plan) = self.term.placer.place(
            &self.server.state,
            &row.scope,
            &row.cluster,
            Some(&group),
            |fleet| of.plan(&revisions, &refused_roles, fleet, now),
        );
        if let Some(report) = &plan.unplaced {
            self.server.refusals.keep((row.scope.clone(), row.cluster.clone(), group), now, report);
        }
        if !plan.is_empty() {
            tracing::debug!(
                daemon = %row.name,
                cluster = %row.cluster,
                start = started.len(),
                stop = plan.stop.len(),
                "daemon planned"
            );
            pass.push(of.transaction(&plan, &started, now));
            pass.placed.extend(started);
        }
        plan
    }
}

#[cfg(test)]
mod tests;
