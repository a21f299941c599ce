//! `GET /_longshore/at?time=TIME&cluster=C`: what a cluster was like at a time, from the journal,
//! with what was told in the minutes around it (`around=SECONDS`).

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use longshore_domain::deploy;
use longshore_domain::ids::{ClusterName, Scope};
use longshore_domain::record::{Deployment, Service, Task};
use longshore_domain::time::Timestamp;
use longshore_store::{Moment, Sequence, StateError};
use serde_json::{Value, json};

use super::events::{Filter, failed};
use super::{json as answer_json, when};
use crate::events::{self, to_millisecond};
use crate::front::Reply;
use crate::{Server, clock};

/// Transactions of the journal that are read at once.
const PAGE: usize = 1000;
/// Events that are shown.
const EVENTS: usize = 500;
/// How many seconds around the time events are shown of, and at most.
const AROUND_S: (u64, u64) = (300, 24 * 3600);

/// Answers with the state at a time.
pub(crate) async fn answer(
    server: &Server,
    scope: &Scope,
    query: &BTreeMap<String, String>,
) -> Reply {
    let bad = |error: String| answer_json(StatusCode::BAD_REQUEST, &json!({ "error": error }));
    let now = clock::now();
    let Some(time) = query.get("time") else { return bad("time=TIME is missing".to_owned()) };
    let time = match when::parse(time, now) {
        Ok(time) if time <= now => time,
        Ok(time) => return bad(format!("{time} has not been yet")),
        Err(error) => return bad(error),
    };
    let cluster = query.get("cluster").map_or("default", String::as_str);
    let Ok(cluster) = cluster.parse::<ClusterName>() else {
        return bad(format!("'{cluster}' is no valid cluster name"));
    };
    let around = query.get("around").map_or(Ok(AROUND_S.0), |text| text.parse());
    let Some(around) = around.ok().filter(|seconds| *seconds <= AROUND_S.1) else {
        return bad(format!("around is a number of seconds up to {}", AROUND_S.1));
    };
    match look_back(server, scope, &cluster, time, Duration::from_secs(around)).await {
        Ok(Ok(body)) => answer_json(StatusCode::OK, &body),
        Ok(Err(error)) => answer_json(StatusCode::NOT_FOUND, &json!({ "error": error })),
        Err(error) => failed(&error),
    }
}

async fn look_back(
    server: &Server,
    scope: &Scope,
    cluster: &ClusterName,
    time: Timestamp,
    around: Duration,
) -> Result<Result<Value, String>, StateError> {
    let journal = server.state.journal();
    let begins = match journal.begins().await? {
        Some(begins) if begins <= time => begins,
        Some(begins) => {
            return Ok(Err(format!("the journal begins at {begins}; it cannot tell of {time}")));
        }
        None => return Ok(Err("the journal is empty".to_owned())),
    };
    let moment = journal.at(time).await?;
    let events = around_then(server, scope, cluster, time, around).await?;
    let of_cluster =
        |task: &&Task| task.scope == *scope && task.cluster == *cluster && !task.is_stopped();
    let tasks: Vec<&Task> = moment.tasks().filter(of_cluster).collect();
    Ok(Ok(json!({
        "time": to_millisecond(time),
        "cluster": cluster.to_string(),
        "journalBegins": to_millisecond(begins),
        "services": services(&moment, scope, cluster, &tasks),
        "containerInstances": instances(&moment, scope, cluster, &tasks),
        "tasks": tasks.iter().map(|task| shown(task)).collect::<Vec<_>>(),
        "events": events,
    })))
}

fn services(moment: &Moment, scope: &Scope, cluster: &ClusterName, tasks: &[&Task]) -> Vec<Value> {
    let here = |service: &&Service| service.scope == *scope && service.cluster == *cluster;
    let described = |service: &Service| {
        let name = service.name.as_str();
        let own = || tasks.iter().copied().filter(|task| task.service() == Some(name));
        let deployment = |deployment: &Deployment| {
            let label = deployment.label();
            let of = |t: &&Task| t.started_by.as_deref() == Some(label.as_str());
            let (running, pending) = counts(own().filter(of));
            json!({
                "id": label,
                "status": deployment.status.as_str(),
                "taskDefinition": format!("{}:{}", deployment.family, deployment.revision),
                "desiredCount": deployment.desired_count,
                "runningCount": running,
                "pendingCount": pending,
                "rolloutState": deployment.rollout.as_str(),
                "rolloutStateReason": deployment.rollout_reason,
            })
        };
        let (running, pending) = counts(own());
        json!({
            "serviceName": name,
            "status": service.status.as_str(),
            "desiredCount": service.desired_count,
            "runningCount": running,
            "pendingCount": pending,
            "deployments": service.deployments.iter().map(deployment).collect::<Vec<_>>(),
        })
    };
    moment.services().filter(here).map(described).collect()
}

fn counts<'a>(tasks: impl Iterator<Item = &'a Task>) -> (usize, usize) {
    let (running, pending): (Vec<&Task>, Vec<&Task>) =
        tasks.partition(|task| deploy::is_running(task));
    (running.len(), pending.len())
}

fn instances(moment: &Moment, scope: &Scope, cluster: &ClusterName, tasks: &[&Task]) -> Vec<Value> {
    let here = moment.container_instances().filter(|i| i.scope == *scope && i.cluster == *cluster);
    here.map(|instance| {
        let on_it = tasks.iter().filter(|task| task.instance == instance.id);
        let zone = instance.attributes.get("ecs.availability-zone").cloned().flatten();
        json!({
            "containerInstance": instance.id.to_string(),
            "ec2InstanceId": instance.ec2_instance_id,
            "status": instance.status.as_str(),
            "agentConnected": instance.connection.connected,
            "availabilityZone": zone,
            "tasks": on_it.map(|task| shown(task)).collect::<Vec<_>>(),
        })
    })
    .collect()
}

fn shown(task: &Task) -> Value {
    json!({
        "task": task.id.to_string(),
        "group": task.group,
        "taskDefinition": format!("{}:{}", task.family, task.revision),
        "containerInstance": task.instance.to_string(),
        "lastStatus": task.observed.status.as_str(),
        "desiredStatus": task.desired.as_str(),
    })
}

/// Events around a time, the oldest first; when there are too many, those before it count more.
async fn around_then(
    server: &Server,
    scope: &Scope,
    cluster: &ClusterName,
    time: Timestamp,
    around: Duration,
) -> Result<Vec<Value>, StateError> {
    let filter = Filter::cluster(scope, cluster.as_str());
    let journal = server.state.journal();
    let mut after: Sequence = journal.before(time - around).await?;
    let mut lines = Vec::new();
    loop {
        let page = journal.read(after, PAGE).await?;
        let view = server.state.reached(page.reached.revision()).await?;
        for entry in &page.entries {
            if entry.at > time + around || lines.len() >= EVENTS {
                return Ok(lines);
            }
            if let Some(told) = events::tell(&view, entry).filter(|told| filter.takes(told)) {
                lines.push(told.line(server.state.store().id()));
            }
        }
        if !page.more {
            return Ok(lines);
        }
        after = page.reached;
    }
}
