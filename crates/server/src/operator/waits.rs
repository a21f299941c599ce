//! `GET /_longshore/waits?cluster=C`: what services that are not steady and tasks that are not
//! RUNNING wait for (`domain::explain`); with `service=S` or `task=T` of one of them, stopped tasks
//! too.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use longshore_domain::deploy::Situation;
use longshore_domain::explain::{self, StopTimeouts, Wait};
use longshore_domain::ids::{ClusterName, Family, Revision, Scope, TaskId};
use longshore_domain::record::{Service, ServiceStatus, Task, TaskDefinition, TaskSpec};
use longshore_domain::schedule::Fleet;
use longshore_domain::time::Timestamp;
use longshore_store::View;
use longshore_store::tables::{ServiceKey, TaskIndex, TaskKey};
use longshore_wire::ecs as wire;
use serde_json::{Value, json};

use super::json as answer_json;
use crate::ecs::{definition_of, encode, lookup, placement};
use crate::events::to_millisecond;
use crate::front::Reply;
use crate::{Server, clock, controllers};

/// Services and tasks that one answer names.
const SHOWN: usize = 500;
/// Stopped tasks of a service that are explained, the newest.
const STOPPED: usize = 5;

/// Answers with what is waited for.
pub(super) fn answer(server: &Server, scope: &Scope, query: &BTreeMap<String, String>) -> Reply {
    match waits(server, scope, query, clock::now()) {
        Ok(body) => answer_json(StatusCode::OK, &body),
        Err((status, error)) => answer_json(status, &json!({ "error": error })),
    }
}

fn waits(
    server: &Server,
    scope: &Scope,
    query: &BTreeMap<String, String>,
    now: Timestamp,
) -> Result<Value, (StatusCode, String)> {
    let cluster = query.get("cluster").map_or("default", String::as_str);
    let Ok(cluster) = cluster.parse::<ClusterName>() else {
        let error = format!("'{cluster}' is no valid cluster name");
        return Err((StatusCode::BAD_REQUEST, error));
    };
    let view = server.state.view();
    if lookup::any_cluster(&view, scope, &cluster).is_none() {
        return Err((StatusCode::NOT_FOUND, format!("there is no cluster {cluster}")));
    }
    let asked = Asked { server, view: &view, scope, cluster: &cluster, now };
    match (query.get("service"), query.get("task")) {
        (Some(name), _) => asked.one_service(name),
        (None, Some(id)) => asked.one_task(id),
        (None, None) => Ok(asked.everything()),
    }
    .map_err(|error| (StatusCode::NOT_FOUND, error))
}

/// A question about a cluster.
struct Asked<'a> {
    server: &'a Server,
    view: &'a View,
    scope: &'a Scope,
    cluster: &'a ClusterName,
    now: Timestamp,
}

impl<'a> Asked<'a> {
    fn everything(&self) -> Value {
        let fleet = placement::fleet(self.view, self.scope, self.cluster);
        let here = |row: &&Service| row.scope == *self.scope && row.cluster == *self.cluster;
        let services = self.view.services.iter().map(|row| &row.record).filter(here);
        let services = services.filter(|service| service.status != ServiceStatus::Inactive);
        let mut services: Vec<Value> = services
            .filter_map(|service| {
                let (steady, waits) = self.service(service, &fleet);
                (!steady).then(|| shown_service(service, steady, &waits))
            })
            .collect();
        let tasks = self.view.tasks.range(&TaskKey::in_cluster(self.scope, self.cluster));
        let tasks = tasks.map(|row| &row.record).filter(|task| !task.is_stopped());
        let mut tasks: Vec<Value> = tasks
            .filter_map(|task| {
                let waits = self.task(task);
                (!waits.is_empty()).then(|| shown_task(task, &waits))
            })
            .collect();
        let left = services.len().saturating_sub(SHOWN) + tasks.len().saturating_sub(SHOWN);
        services.truncate(SHOWN);
        tasks.truncate(SHOWN);
        self.body(&services, &tasks, left)
    }

    fn one_service(&self, name: &str) -> Result<Value, String> {
        let unknown = || format!("cluster {} has no service {name}", self.cluster);
        let key = ServiceKey {
            scope: self.scope.clone(),
            cluster: self.cluster.clone(),
            name: name.parse().map_err(|_| unknown())?,
        };
        let service = &self.view.services.get(&key).ok_or_else(unknown)?.record;
        let fleet = placement::fleet(self.view, self.scope, self.cluster);
        let (steady, waits) = self.service(service, &fleet);
        let (mut stopped, mut tasks): (Vec<&Task>, Vec<&Task>) =
            self.tasks_of(service).into_iter().partition(|task| task.is_stopped());
        stopped.sort_by_key(|task| std::cmp::Reverse(task.observed.stopped_at));
        tasks.extend(stopped.into_iter().take(STOPPED));
        let tasks = tasks.into_iter().map(|task| (task, self.task(task)));
        let mut tasks: Vec<Value> = tasks
            .filter(|(_, waits)| !waits.is_empty())
            .map(|(task, waits)| shown_task(task, &waits))
            .collect();
        let left = tasks.len().saturating_sub(SHOWN);
        tasks.truncate(SHOWN);
        Ok(self.body(&[shown_service(service, steady, &waits)], &tasks, left))
    }

    fn one_task(&self, id: &str) -> Result<Value, String> {
        let unknown = || format!("cluster {} has no task {id}", self.cluster);
        let short = id.rsplit('/').next().unwrap_or_default();
        let id: TaskId = short.parse().map_err(|()| unknown())?;
        let key = TaskKey { scope: self.scope.clone(), cluster: self.cluster.clone(), id };
        let task = &self.view.tasks.get(&key).ok_or_else(unknown)?.record;
        Ok(self.body(&[], &[shown_task(task, &self.task(task))], 0))
    }

    fn body(&self, services: &[Value], tasks: &[Value], left: usize) -> Value {
        json!({
            "cluster": self.cluster.to_string(),
            "time": to_millisecond(self.now),
            "services": services,
            "tasks": tasks,
            "notShown": left,
        })
    }

    fn tasks_of(&self, service: &Service) -> Vec<&'a Task> {
        let index = TaskIndex::service(&service.scope, &service.cluster, &service.name);
        self.view.tasks.by(&index).map(|row| &row.record).collect()
    }

    /// Whether a service is steady, and what it waits for.
    fn service(&self, service: &Service, fleet: &Fleet<'_>) -> (bool, Vec<Wait>) {
        let tasks = self.tasks_of(service);
        let definitions = controllers::definitions(self.view, service, &tasks);
        let mut specs: BTreeMap<(Family, Revision), &TaskSpec> = BTreeMap::new();
        let mut timeouts = StopTimeouts::new();
        for (name, definition) in &definitions {
            specs.insert(name.clone(), &definition.record.spec);
            timeouts
                .extend(stop_timeout(&definition.record).map(|timeout| (name.clone(), timeout)));
        }
        let deployment = lookup::current_deployment(self.view, service);
        let situation = Situation {
            service,
            deployment: deployment.map(|row| &row.record),
            tasks: &tasks,
            specs: &specs,
            targets: &controllers::targets_of(self.view, service),
            rules: &controllers::rules(self.view, service),
            refused_roles: &controllers::refused_roles(self.server, service, &definitions),
            fleet,
            fidelity: self.server.fidelity,
            now: self.now,
        };
        (explain::is_steady(&situation), explain::service(&situation, &timeouts))
    }

    fn task(&self, task: &Task) -> Vec<Wait> {
        let definition = definition_of(self.view, task);
        let timeout = definition.and_then(stop_timeout);
        let name = (task.family.clone(), task.revision);
        let timeouts: StopTimeouts = timeout.map(|timeout| (name, timeout)).into_iter().collect();
        let spec = definition.map(|definition| &definition.spec);
        let instance = lookup::instance(self.view, self.scope, self.cluster, task.instance);
        let instance = instance.map(|row| &row.record);
        explain::task(task, spec, instance, &timeouts, self.server.fidelity)
    }
}

/// How long the slowest container of a task definition may take to stop, if it says so.
fn stop_timeout(definition: &TaskDefinition) -> Option<Duration> {
    let document: wire::TaskDefinition = encode::document(&definition.document).ok()?;
    let timeouts = document.container_definitions.into_iter().flatten();
    let longest = timeouts.filter_map(|container| container.stop_timeout).max()?;
    Some(Duration::from_secs(u64::try_from(longest).ok()?))
}

fn shown_service(service: &Service, steady: bool, waits: &[Wait]) -> Value {
    json!({
        "serviceName": service.name.to_string(),
        "status": service.status.as_str(),
        "steady": steady,
        "waits": shown(waits),
    })
}

fn shown_task(task: &Task, waits: &[Wait]) -> Value {
    json!({
        "task": task.id.to_string(),
        "group": task.group,
        "containerInstance": task.instance.to_string(),
        "lastStatus": task.observed.status.as_str(),
        "desiredStatus": task.desired.as_str(),
        "waits": shown(waits),
    })
}

fn shown(waits: &[Wait]) -> Vec<Value> {
    let wait = |wait: &Wait| {
        json!({
            "cause": wait.cause.as_str(),
            "what": wait.what,
            "since": wait.since.map(to_millisecond),
            "until": wait.until.map(to_millisecond),
            "fix": wait.fix,
        })
    };
    waits.iter().map(wait).collect()
}

#[cfg(test)]
mod tests;
