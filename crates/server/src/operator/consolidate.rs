//! `GET /_longshore/consolidate?cluster=C&below=PERCENT`: which instances could be emptied, where their
//! tasks would go, and why others stay. `POST` does it: the instances are set to DRAINING, and
//! services replace their tasks within their own bounds.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use longshore_domain::deploy::consolidate::{Cluster, Consolidation, consolidate};
use longshore_domain::ids::{ClusterName, Family, Revision, Scope};
use longshore_domain::record::{ContainerInstance, InstanceStatus, Service, TaskSpec};
use longshore_domain::time::Timestamp;
use longshore_store::tables::{ContainerInstanceKey, ServiceKey, TaskDefinitionKey, TaskKey};
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use serde_json::{Value, json};

use super::json;
use crate::front::Reply;
use crate::{Server, clock};

/// Instances of which at most this much is used are looked at, in percent.
const BELOW: u32 = 50;
/// Instances that one call drains at most; what is left is found by the next one.
const DRAINS: usize = 20;
/// What DescribeContainerInstances says of an instance that is emptied.
const REASON: &str = "Drained by longshore ctl consolidate";

/// Answers with the plan, and carries it out when asked to.
pub(super) async fn answer(
    server: &Server,
    scope: &Scope,
    method: &Method,
    query: &BTreeMap<String, String>,
) -> Reply {
    let bad = |error: String| json(StatusCode::BAD_REQUEST, &json!({ "error": error }));
    let cluster = query.get("cluster").map_or("default", String::as_str);
    let Ok(cluster) = cluster.parse::<ClusterName>() else {
        return bad(format!("'{cluster}' is no name of a cluster"));
    };
    let below = match query.get("below").map(|text| text.parse::<u32>()) {
        None => BELOW,
        Some(Ok(below)) if below <= 100 => below,
        Some(_) => return bad("below is a percentage, 0 to 100".to_owned()),
    };
    if method == Method::GET {
        let found = plan(&server.state.view(), scope, &cluster, below, clock::now());
        return json(StatusCode::OK, &rendered(&found, false));
    }
    let decide = |view: &View, txn: &mut RecordTxn| -> Result<Consolidation, ServiceError> {
        let mut found = plan(view, scope, &cluster, below, clock::now());
        found.drains.truncate(DRAINS);
        for drain in &found.drains {
            let id = drain.instance;
            let key = ContainerInstanceKey { scope: scope.clone(), cluster: cluster.clone(), id };
            if let Some(row) = view.container_instances.get(&key) {
                let drained = ContainerInstance {
                    status: InstanceStatus::Draining,
                    status_reason: Some(REASON.to_owned()),
                    version: row.version + 1,
                    ..row.record.clone()
                };
                txn.update(row, &drained);
            }
        }
        Ok(found)
    };
    match server.decide(decide).await {
        Ok(found) => json(StatusCode::OK, &rendered(&found, true)),
        Err(error) => json(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": error.message })),
    }
}

fn plan(
    view: &View,
    scope: &Scope,
    cluster: &ClusterName,
    below: u32,
    now: Timestamp,
) -> Consolidation {
    let instances =
        view.container_instances.range(&ContainerInstanceKey::in_cluster(scope, cluster));
    let instances: Vec<&ContainerInstance> = instances.map(|row| &row.record).collect();
    let tasks = view.tasks.range(&TaskKey::in_cluster(scope, cluster));
    let tasks: Vec<_> = tasks.map(|row| &row.record).filter(|task| !task.is_stopped()).collect();
    let services = view.services.range(&ServiceKey::in_cluster(scope, cluster));
    let services: BTreeMap<_, &Service> =
        services.map(|row| (row.name.clone(), &row.record)).collect();
    let mut specs: BTreeMap<(Family, Revision), &TaskSpec> = BTreeMap::new();
    for task in &tasks {
        let (family, revision) = (task.family.clone(), task.revision);
        let key = TaskDefinitionKey { scope: scope.clone(), family: family.clone(), revision };
        if let Some(row) = view.task_definitions.get(&key) {
            specs.insert((family, revision), &row.spec);
        }
    }
    let cluster =
        Cluster { instances: &instances, tasks: &tasks, services: &services, specs: &specs, now };
    consolidate(&cluster, below)
}

fn rendered(plan: &Consolidation, executed: bool) -> Value {
    let drains = plan.drains.iter().map(|drain| {
        let moves = drain.moves.iter().map(|step| {
            json!({
                "task": step.task.to_string(),
                "service": step.service.to_string(),
                "to": step.to.to_string(),
            })
        });
        json!({
            "containerInstance": drain.instance.to_string(),
            "usedPercent": drain.used_percent,
            "moves": moves.collect::<Vec<_>>(),
        })
    });
    let keeps = plan
        .keeps
        .iter()
        .map(|(id, why)| json!({ "containerInstance": id.to_string(), "why": why }));
    json!({
        "executed": executed,
        "empty": plan.empty.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "drains": drains.collect::<Vec<_>>(),
        "keeps": keeps.collect::<Vec<_>>(),
    })
}
