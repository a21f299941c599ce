//! Services: carries out what `domain::deploy` plans, one piece of work per service and pass.
//!
//! Each of its transactions holds only if the service is unchanged, so a service has one writer at a
//! time; what did not fit follows in the next pass, which the commits themselves wake. A service that
//! was found in order is skipped until one of its records or an instance of its cluster changes,
//! or its next deadline comes; one that has no place for a task, also until any task of its cluster
//! begins or ends; one whose tasks cannot have their role, also until any role changes. That memory
//! only saves work.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use longshore_domain::deploy::{self, Plan, Portion, RefusedRoles, Situation, Start};
use longshore_domain::ids::{ClusterName, Family, Revision, Scope, TaskId};
use longshore_domain::journal::Refused;
use longshore_domain::limits;
use longshore_domain::record::{
    ActionType, ContainerInstance, DesiredStatus, Service, ServiceDeployment, ServiceStatus,
    StopOrder, Tags, Task, TaskDefinition, TaskSpec,
};
use longshore_domain::schedule::{Constraints, Refusal, Report, demand_of};
use longshore_domain::time::Timestamp;
use longshore_store::tables::{ContainerInstanceKey, TaskDefinitionKey, TaskIndex, TaskKey};
use longshore_store::{Change, Kind, RecordTxn, Row, StoreRevision, View};
use longshore_wire::ecs as wire;
use longshore_wire::ecs::enums::VersionConsistency;

use super::driver::{Controller, Pass, Work};
use crate::Server;
use crate::clock::RandomIds;
use crate::ecs::placement::{self, Placing};
use crate::ecs::{self, Launch, encode, lookup, make_tasks};
use crate::elbv2::{forwards, reweigh};
use crate::members::Term;

/// Starts and stops the tasks of services.
pub(super) struct Services {
    server: Arc<Server>,
    term: Arc<Term>,
    in_order: Mutex<BTreeMap<Name, InOrder>>,
}

type Name = (Scope, ClusterName, String);

/// A service without anything to do.
struct InOrder {
    stamp: Stamp,
    until: Option<Timestamp>,
    /// How its cluster was filled, if tasks have no place in it.
    blocked_by: Option<Filling>,
    /// How the roles of all accounts were, if tasks cannot have theirs.
    lacks_role: Option<Roles>,
}

/// Tells whether any role has changed.
type Roles = (usize, StoreRevision);

/// Tells whether room in a cluster was taken or became free: its tasks that have not ended, and
/// the last change of one that has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Filling {
    tasks: usize,
    ended: StoreRevision,
}

impl Filling {
    fn of(view: &View, scope: &Scope, cluster: &ClusterName) -> Self {
        let mut filling = Self { tasks: 0, ended: StoreRevision::ZERO };
        for row in view.tasks.range(&TaskKey::in_cluster(scope, cluster)) {
            if row.is_stopped() {
                filling.ended = filling.ended.max(row.mod_revision);
            } else {
                filling.tasks += 1;
            }
        }
        filling
    }
}

/// Tells whether any record that a plan reads has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    service: StoreRevision,
    deployment: StoreRevision,
    tasks: (usize, StoreRevision),
    /// What it knows of its tasks as targets.
    targets: deploy::Targets,
    /// What its rules forward to.
    rules: deploy::Rules,
    instances: (usize, StoreRevision),
}

impl Services {
    pub(super) fn new(server: &Arc<Server>, term: &Arc<Term>) -> Self {
        Self { server: Arc::clone(server), term: Arc::clone(term), in_order: Mutex::default() }
    }
}

impl Controller for Services {
    const NAME: &'static str = "services";
    const READS: &'static [Kind] = &[
        Kind::Service,
        Kind::ServiceDeployment,
        Kind::Task,
        Kind::ContainerInstance,
        Kind::TaskDefinition,
        Kind::Target,
        Kind::TargetGroup,
        Kind::Listener,
        Kind::ListenerRule,
        Kind::IamRole,
    ];
    const PLACES: bool = true;

    fn pass(&self, view: &View, now: Timestamp) -> Pass {
        let mut known = self.in_order.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *known);
        let survey = Survey { view, now, instances: BTreeMap::new(), fillings: BTreeMap::new() };
        self.term.placer.exclusively(&self.server.state, |placing| {
            self.look(survey, &before, &mut known, placing)
        })
    }
}

impl Services {
    /// Looks at every service that may need something.
    fn look(
        &self,
        mut survey: Survey<'_>,
        before: &BTreeMap<Name, InOrder>,
        known: &mut BTreeMap<Name, InOrder>,
        placing: &mut Placing<'_>,
    ) -> Pass {
        let mut pass = Pass::default();
        let (view, now) = (survey.view, survey.now);
        for row in view.services.iter().filter(|row| row.status != ServiceStatus::Inactive) {
            let deployment = lookup::current_deployment(view, row);
            let stamp = survey.stamp(row, deployment);
            let name = (row.scope.clone(), row.cluster.clone(), row.name.to_string());
            let quiet = before.get(&name).filter(|known| {
                known.stamp == stamp
                    && known.until.is_none_or(|until| until > now)
                    && known.blocked_by.is_none_or(|by| by == survey.filling(row))
                    && known.lacks_role.is_none_or(|roles| roles == view.iam_roles.stamp())
            });
            let (until, blocked_by, lacks_role) = if let Some(quiet) = quiet {
                (quiet.until, quiet.blocked_by, quiet.lacks_role)
            } else if pass.placed.len() >= limits::PASS_STARTS {
                pass.look_again(now);
                continue;
            } else {
                let index = TaskIndex::service(&row.scope, &row.cluster, &row.name);
                let tasks: Vec<_> = view.tasks.by(&index).collect();
                let (targets, rules) = (&stamp.targets, &stamp.rules);
                let of = Of { view, row, deployment, tasks: &tasks, targets, rules, now };
                let plan = self.reconcile(&of, placing, &mut pass);
                if !plan.is_empty() {
                    pass.look_again_if(plan.next);
                    continue;
                }
                // What was in the way may have been a task that never came to be.
                let is_blocked = plan.unplaced.is_some() || plan.refused_role.is_some();
                let retry = is_blocked.then(|| now + limits::BLOCKED_RETRY);
                let until = plan.next.into_iter().chain(retry).min();
                let lacks_role = plan.refused_role.map(|_| view.iam_roles.stamp());
                (until, plan.unplaced.map(|_| survey.filling(row)), lacks_role)
            };
            pass.look_again_if(until);
            known.insert(name, InOrder { stamp, until, blocked_by, lacks_role });
        }
        pass
    }
}

/// What a pass reads of clusters, once for all of their services.
struct Survey<'v> {
    view: &'v View,
    now: Timestamp,
    instances: BTreeMap<(Scope, ClusterName), (usize, StoreRevision)>,
    fillings: BTreeMap<(Scope, ClusterName), Filling>,
}

impl Survey<'_> {
    fn stamp(
        &mut self,
        row: &Row<Service>,
        deployment: Option<&Arc<Row<ServiceDeployment>>>,
    ) -> Stamp {
        let view = self.view;
        let instances = self.instances.entry((row.scope.clone(), row.cluster.clone()));
        Stamp {
            service: row.mod_revision,
            deployment: deployment.map(|row| row.mod_revision).unwrap_or_default(),
            tasks: view.tasks.stamp_by(&TaskIndex::service(&row.scope, &row.cluster, &row.name)),
            targets: super::targets::of(view, row),
            rules: rules(view, row),
            instances: *instances
                .or_insert_with_key(|(scope, cluster)| instances_stamp(view, scope, cluster)),
        }
    }

    fn filling(&mut self, row: &Service) -> Filling {
        let view = self.view;
        let filling = self.fillings.entry((row.scope.clone(), row.cluster.clone()));
        *filling.or_insert_with_key(|(scope, cluster)| Filling::of(view, scope, cluster))
    }
}

fn instances_stamp(view: &View, scope: &Scope, cluster: &ClusterName) -> (usize, StoreRevision) {
    let rows = view.container_instances.range(&ContainerInstanceKey::in_cluster(scope, cluster));
    rows.fold((0, StoreRevision::ZERO), |(count, newest), row| {
        (count + 1, newest.max(row.mod_revision))
    })
}

/// A service, as the view has it.
struct Of<'v> {
    view: &'v View,
    row: &'v Row<Service>,
    deployment: Option<&'v Arc<Row<ServiceDeployment>>>,
    tasks: &'v [&'v Arc<Row<Task>>],
    targets: &'v deploy::Targets,
    rules: &'v deploy::Rules,
    now: Timestamp,
}

impl Services {
    /// Plans for one service, and adds the transactions to the pass.
    fn reconcile(&self, of: &Of<'_>, placing: &mut Placing<'_>, pass: &mut Pass) -> Plan {
        let row = of.row;
        let records: Vec<&Task> = of.tasks.iter().map(|task| &task.record).collect();
        let definitions = definitions(of.view, row, &records);
        let specs: BTreeMap<(Family, Revision), &TaskSpec> = definitions
            .iter()
            .map(|(name, definition)| (name.clone(), &definition.record.spec))
            .collect();
        let group = format!("service:{}", row.name);
        let counted = counted_group(row, &specs, &group);
        let situation = Situation {
            service: row,
            deployment: of.deployment.map(|row| &row.record),
            tasks: &records,
            specs: &specs,
            targets: of.targets,
            rules: of.rules,
            refused_roles: &refused_roles(&self.server, row, &definitions),
            fleet: placing.fleet(&row.scope, &row.cluster, counted),
            fidelity: self.server.fidelity,
            now: of.now,
        };
        let plan = deploy::plan(&situation, &mut RandomIds);
        if let Some(report) = &plan.unplaced {
            let place = (row.scope.clone(), row.cluster.clone(), group);
            self.server.refusals.keep(place, of.now, report);
        }
        if !plan.is_empty() {
            let (work, started) = of.work(&plan, &definitions);
            tracing::debug!(
                service = %row.name,
                cluster = %row.cluster,
                start = started.len(),
                stop = plan.stops().count(),
                "service planned"
            );
            placing.took(&started);
            pass.works.push(work);
            pass.placed.extend(started);
        }
        plan
    }
}

/// What the rules forward to that a service and its deployments name.
pub(crate) fn rules(view: &View, service: &Service) -> deploy::Rules {
    let of_deployments = service.deployments.iter().flat_map(|deployment| &deployment.balancers);
    let balancers = service.balancers.iter().chain(of_deployments);
    let advanced = balancers.filter_map(|balancer| balancer.advanced.as_ref());
    let named = advanced.flat_map(|advanced| {
        [Some(&advanced.production_rule), advanced.test_rule.as_ref()].into_iter().flatten()
    });
    let found = |arn: &String| Some((arn.clone(), forwards(view, &service.scope, arn)?));
    named.filter_map(found).collect()
}

/// The task definitions of the service's deployments and task sets, and of its tasks that have not
/// ended.
pub(crate) fn definitions<'v>(
    view: &'v View,
    service: &Service,
    tasks: &[&Task],
) -> BTreeMap<(Family, Revision), &'v Arc<Row<TaskDefinition>>> {
    let completed = service.completed.iter().map(|completed| &completed.deployment);
    let of_deployments = service.deployments.iter().chain(completed);
    let of_sets = service.task_sets.iter().map(|set| &set.deployment);
    let of_deployments = of_deployments.chain(of_sets).map(|d| (&d.family, d.revision));
    let live = tasks.iter().filter(|task| !task.is_stopped());
    let of_tasks = live.map(|task| (&task.family, task.revision));
    let mut found = BTreeMap::new();
    for (family, revision) in of_deployments.chain(of_tasks) {
        let name = (family.clone(), revision);
        if found.contains_key(&name) {
            continue;
        }
        let key =
            TaskDefinitionKey { scope: service.scope.clone(), family: family.clone(), revision };
        if let Some(row) = view.task_definitions.get(&key) {
            found.insert(name, row);
        }
    }
    found
}

/// The roles that tasks of the service cannot have, if they were to start.
pub(crate) fn refused_roles(
    server: &Server,
    service: &Service,
    definitions: &Definitions<'_>,
) -> RefusedRoles {
    if !server.is_iam {
        return RefusedRoles::new();
    }
    let of_sets = service.task_sets.iter().map(|set| &set.deployment);
    let starting = service.deployments.iter().chain(of_sets);
    let refused = starting.filter_map(|deployment| {
        let name = (deployment.family.clone(), deployment.revision);
        let roles = ecs::Roles::named(&definitions.get(&name)?.document, None);
        Some((name, roles.refused_in(&*server.identity, &service.scope, &service.cluster)?))
    });
    refused.collect()
}

/// The group whose tasks the fleet must count; every group when a constraint asks for any.
fn counted_group<'g>(
    service: &Service,
    specs: &BTreeMap<(Family, Revision), &TaskSpec>,
    group: &'g str,
) -> Option<&'g str> {
    let of_sets = service.task_sets.iter().map(|set| &set.deployment);
    let starting = service.deployments.iter().take(1).chain(of_sets);
    let specs = starting.filter_map(|d| specs.get(&(d.family.clone(), d.revision)));
    let of_definition = specs.flat_map(|spec| &spec.placement_constraints);
    match Constraints::parse(service.placement_constraints.iter().chain(of_definition)) {
        Ok(constraints) => placement::counted_group(&constraints, group),
        Err(_) => Some(group),
    }
}

/// Digests of the images whose containers do not opt out of version consistency.
fn pinned(start: &Start, definition: &TaskDefinition) -> BTreeMap<String, String> {
    if start.images.is_empty() {
        return BTreeMap::new();
    }
    let document: Result<wire::TaskDefinition, _> = encode::document(&definition.document);
    let containers = document.ok().and_then(|document| document.container_definitions);
    let opted_out = |name: &String| {
        containers.iter().flatten().any(|container| {
            container.name.as_ref() == Some(name)
                && container.version_consistency == Some(VersionConsistency::Disabled)
        })
    };
    let images = start.images.iter().filter(|(name, _)| !opted_out(name));
    images.map(|(name, digest)| (name.clone(), digest.clone())).collect()
}

fn new_tasks(
    service: &Service,
    start: &Start,
    definition: &TaskDefinition,
    now: Timestamp,
) -> Vec<Task> {
    let mut tags = match service.propagate_tags.as_str() {
        "SERVICE" => service.tags.clone(),
        "TASK_DEFINITION" => definition.tags.clone(),
        _ => Tags::new(),
    };
    if service.enable_ecs_managed_tags {
        tags.insert("aws:ecs:clusterName".to_owned(), service.cluster.to_string());
        tags.insert("aws:ecs:serviceName".to_owned(), service.name.to_string());
    }
    let set = service.task_sets.iter().find(|set| set.deployment.id == start.deployment);
    let launch = Launch {
        scope: &service.scope,
        cluster: &service.cluster,
        definition,
        launch_type: set.map_or(service.launch_type, |set| set.launch_type),
        group: format!("service:{}", service.name),
        started_by: Some(format!("ecs-svc/{}", start.deployment)),
        overrides: None,
        images: pinned(start, definition),
        enable_execute_command: service.enable_execute_command,
        demand: demand_of(&definition.spec),
        tags,
    };
    make_tasks(&launch, &start.assigned, now, &mut RandomIds)
}

type Definitions<'v> = BTreeMap<(Family, Revision), &'v Arc<Row<TaskDefinition>>>;

impl Of<'_> {
    /// The transactions of a plan, and the tasks that they start.
    fn work(&self, plan: &Plan, definitions: &Definitions<'_>) -> (Work, Vec<Task>) {
        let by_id: BTreeMap<TaskId, _> = self.tasks.iter().map(|task| (task.id, *task)).collect();
        let mut started = Vec::new();
        let mut ahead = Vec::with_capacity(plan.ahead.len());
        for portion in &plan.ahead {
            let mut txn = RecordTxn::new();
            txn.expect_unchanged(self.row);
            started.extend(self.carry_out(&mut txn, portion, definitions, &by_id));
            ahead.push(txn);
        }
        let mut last = RecordTxn::new();
        match &plan.service {
            Some(service) => last.update(self.row, service),
            None => last.expect_unchanged(self.row),
        };
        match (self.deployment, &plan.deployment) {
            (Some(row), Some(next)) => _ = last.update(row, next),
            // What somebody asks of it is not overlooked.
            (Some(row), None) => _ = last.expect_unchanged(row),
            (None, _) => {}
        }
        for change in &plan.reweigh {
            reweigh(self.view, &self.row.scope, &mut last, change);
        }
        started.extend(self.carry_out(&mut last, &plan.last, definitions, &by_id));
        for id in &plan.counted {
            if let Some(task) = by_id.get(id) {
                last.update(task, &Task { failure_counted: true, ..task.record.clone() });
            }
        }
        // Once for each time that an event says so, since the attempt itself is repeated.
        let is_news = plan.last.events.iter().any(|event| {
            event.action.as_ref().is_some_and(|action| action.name.kind() == ActionType::Error)
        });
        if let Some(report) = plan.unplaced.as_ref().filter(|_| is_news) {
            last.tell(Change::Refused(refused(self.row, report)));
        }
        (Work { ahead, last }, started)
    }

    /// Adds what starts and stops, and gives the tasks that start.
    fn carry_out(
        &self,
        txn: &mut RecordTxn,
        portion: &Portion,
        definitions: &Definitions<'_>,
        by_id: &BTreeMap<TaskId, &Arc<Row<Task>>>,
    ) -> Vec<Task> {
        let definition = |start: &Start| definitions.get(&(start.family.clone(), start.revision));
        let start = portion.start.as_ref().and_then(|start| Some((start, definition(start)?)));
        let started = start.map(|(start, of)| new_tasks(self.row, start, of, self.now));
        let started = started.unwrap_or_default();
        for task in &started {
            let instance = lookup::instance(self.view, &task.scope, &task.cluster, task.instance);
            if let Some(instance) = instance {
                txn.expect_unchanged::<ContainerInstance>(instance);
            }
            txn.insert(task);
        }
        for stop in &portion.stop {
            if let Some(task) = by_id.get(&stop.task) {
                let (code, reason, at) = (stop.code, stop.reason.clone(), self.now);
                let stopped = Task {
                    desired: DesiredStatus::Stopped,
                    stop: Some(StopOrder { code, reason, at }),
                    draining_until: stop.draining_until,
                    version: task.version + 1,
                    ..task.record.clone()
                };
                txn.update(task, &stopped);
            }
        }
        for event in &portion.events {
            txn.insert(event);
        }
        started
    }
}

/// What the journal keeps of a refused placement.
fn refused(service: &Service, report: &Report) -> Refused {
    let why = |refusal: &Refusal| {
        let reasons = refusal.reasons.iter().map(ToString::to_string);
        (refusal.instance, reasons.collect())
    };
    Refused {
        scope: service.scope.clone(),
        cluster: service.cluster.clone(),
        group: format!("service:{}", service.name),
        instances: report.refusals.iter().take(limits::EVENT_INSTANCES).map(why).collect(),
        nearest_fix: report.nearest_fix(),
    }
}

#[cfg(test)]
mod tests;
