//! Why placements were refused: the last report of each task group, instance by instance.
//!
//! Reports are kept in memory, the newest of a bounded number of groups: they explain the
//! present, and a new attempt makes a new one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use longshore_domain::ids::{ClusterName, Scope};
use longshore_domain::schedule::Report;
use longshore_domain::time::Timestamp;
use serde_json::json;

use super::json;
use crate::Server;
use crate::call::Call;
use crate::front::Reply;

/// Groups whose last report is kept.
const GROUPS: usize = 1000;
/// Instances of one report that are shown; the closest ones come first.
const INSTANCES: usize = 100;

type Key = (Scope, ClusterName, String);

/// The last refusals, by task group.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    reports: BTreeMap<Key, (Timestamp, Report)>,
    order: VecDeque<Key>,
}

impl Refusals {
    /// Keeps the report of a request that could not be placed whole.
    pub(crate) fn note(&self, call: &Call, cluster: &ClusterName, group: &str, report: &Report) {
        self.keep((call.scope.clone(), cluster.clone(), group.to_owned()), call.now, report);
    }

    /// Keeps a report.
    pub(crate) fn keep(&self, key: Key, now: Timestamp, report: &Report) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.reports.insert(key.clone(), (now, report.clone())).is_none() {
            kept.order.push_back(key);
        }
        if kept.order.len() > GROUPS
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.reports.remove(&oldest);
        }
    }

    /// When a group was refused last.
    #[cfg(test)]
    pub(crate) fn last(&self, key: &Key) -> Option<Timestamp> {
        self.get(key).map(|(at, _)| at)
    }

    fn get(&self, key: &Key) -> Option<(Timestamp, Report)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).reports.get(key).cloned()
    }
}

/// Answers with the last report of a task group.
pub(super) fn answer(server: &Server, scope: &Scope, query: &BTreeMap<String, String>) -> Reply {
    let cluster = query.get("cluster").map_or("default", String::as_str);
    let group = query.get("group").map(String::as_str).unwrap_or_default();
    let Ok(cluster) = cluster.parse::<ClusterName>() else {
        return json(StatusCode::BAD_REQUEST, &json!({ "error": "no valid cluster name" }));
    };
    match server.refusals.get(&(scope.clone(), cluster, group.to_owned())) {
        None => {
            let error =
                format!("no placement of group '{group}' was refused since the server started");
            json(StatusCode::NOT_FOUND, &json!({ "error": error }))
        }
        Some((at, report)) => {
            let instances: Vec<_> = report
                .refusals
                .iter()
                .take(INSTANCES)
                .map(|refusal| {
                    json!({
                        "containerInstance": refusal.instance.to_string(),
                        "reasons": refusal.reasons.iter().map(|reason| json!({
                            "code": reason.aws_reason(),
                            "why": reason.to_string(),
                            "fix": reason.fix(),
                        })).collect::<Vec<_>>(),
                    })
                })
                .collect();
            let body = json!({
                "group": group,
                "at": at.to_string(),
                "nearestFix": report.nearest_fix(),
                "instances": instances,
            });
            json(StatusCode::OK, &body)
        }
    }
}
