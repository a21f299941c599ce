//! Each checker sees the defect that it is for, planted into transactions on their way to the store.

use std::cell::RefCell;

use longshore_sim::{Options, Sabotage, run};
use longshore_store::{Compare, StoreRevision, Txn, Write};
use serde_json::{Value, json};

/// Seeds within which a defect must show.
const SEEDS: u64 = 40;

/// Runs seeds with the defect until the checker of that name complains.
fn is_caught(checker: &str, sabotage: Sabotage) {
    is_caught_in(checker, sabotage, Options::new);
}

/// The same in runs of a kind.
fn is_caught_in(checker: &str, sabotage: Sabotage, options: impl Fn(u64) -> Options) {
    let mut others = Vec::new();
    for seed in 1..=SEEDS {
        STASH.set(Value::Null);
        let outcome = run(&Options { sabotage: Some(sabotage), ..options(seed) });
        if outcome.violations.iter().any(|violation| violation.checker == checker) {
            return;
        }
        others.extend(outcome.violations);
    }
    panic!("{checker}: not caught in {SEEDS} seeds; others: {others:?}");
}

thread_local! {
    static STASH: RefCell<Value> = const { RefCell::new(Value::Null) };
}

/// Changes every record of a kind that is put.
fn edit(txn: &mut Txn, kind: &str, change: impl Fn(&mut Value)) {
    for write in &mut txn.writes {
        if let Write::Put { key, value, .. } = write
            && key.split('/').nth(4) == Some(kind)
        {
            let mut record: Value = serde_json::from_slice(value).expect("JSON");
            change(&mut record["r"]);
            *value = record.to_string().into();
        }
    }
}

fn is_service(task: &Value) -> bool {
    task["group"].as_str().is_some_and(|group| group.starts_with("service:"))
}

fn scheduler_stops(task: &mut Value) {
    task["desired"] = json!("STOPPED");
    let reason = "sabotage";
    task["stop"] = json!({"code": "ServiceSchedulerInitiated", "reason": reason, "at": 0});
}

#[test]
fn a_task_that_moves() {
    is_caught("no task on two instances", |txn| {
        edit(txn, "task", |task| {
            let first = STASH.take();
            if first.is_null() || task["observed"]["status"] == "PENDING" {
                STASH.set(task["instance"].clone());
            } else {
                task["instance"] = first.clone();
                STASH.set(first);
            }
        });
    });
}

#[test]
fn an_instance_that_takes_everything() {
    is_caught("capacity and ports never exceeded", |txn| {
        edit(txn, "task", |task| {
            let first = STASH.take();
            let first = if first.is_null() { task["instance"].clone() } else { first };
            if task["version"] == 1 {
                task["instance"] = first.clone();
            }
            STASH.set(first);
        });
    });
}

#[test]
fn a_scheduler_that_stops_what_serves() {
    is_caught("never under the minimum or over the maximum by a decision", |txn| {
        edit(txn, "task", |task| {
            let runs = task["observed"]["status"] == "RUNNING" && task["desired"] == "RUNNING";
            if !is_service(task) || !runs {
                return;
            }
            // Only a change of a task that was running before is a stop of a healthy one.
            let mut ran = STASH.take();
            let id = task["id"].as_str().expect("an id").to_owned();
            if ran[&id] == json!(true) {
                scheduler_stops(task);
            }
            ran[&id] = json!(true);
            STASH.set(ran);
        });
    });
}

#[test]
fn a_scheduler_that_starts_too_much() {
    is_caught("never under the minimum or over the maximum by a decision", |txn| {
        let mut more = Vec::new();
        for write in &txn.writes {
            let Write::Put { key, value, lease } = write else { continue };
            let record: Value = serde_json::from_slice(value).unwrap_or_default();
            let new = key.contains("/ecs/task/") && record["r"]["version"] == 1;
            if new && is_service(&record["r"]) {
                let id = record["r"]["id"].as_str().expect("an id").to_owned();
                let other: String = id.chars().rev().collect();
                let value = String::from_utf8_lossy(value).replace(&id, &other);
                let key = key.replace(&id, &other);
                more.push(Write::Put { key: key.into(), value: value.into(), lease: *lease });
            }
        }
        txn.writes.extend(more);
    });
}

#[test]
fn a_scheduler_that_ignores_protection() {
    is_caught("protected tasks are left alone", |txn| {
        edit(txn, "task", |task| {
            let before = STASH.take();
            let protected = !task["protection"].is_null();
            if is_service(task) && protected && task["desired"] == "RUNNING" {
                if before == task["id"] {
                    scheduler_stops(task);
                }
                STASH.set(task["id"].clone());
            } else {
                STASH.set(before);
            }
        });
    });
}

#[test]
fn a_status_that_goes_back() {
    is_caught("observed state never goes back", |txn| {
        edit(txn, "task", |task| {
            if task["observed"]["status"] == "STOPPED" && task["failure_counted"] == true {
                task["observed"]["status"] = json!("RUNNING");
            }
        });
    });
}

#[test]
fn a_breaker_that_does_not_count() {
    is_caught("the circuit breaker ends what is hopeless", |txn| {
        edit(txn, "service", |service| {
            let deployments = service["deployments"].as_array_mut().into_iter().flatten();
            for deployment in deployments {
                deployment["breaker_failures"] = json!(0);
                if deployment["rollout"] == "FAILED" {
                    deployment["rollout"] = json!("IN_PROGRESS");
                }
            }
        });
    });
}

#[test]
fn a_report_that_gets_lost() {
    is_caught("nothing stuck without a reason", |txn| {
        edit(txn, "task", |task| {
            if task["family"] == "good" && task["observed"]["status"] == "RUNNING" {
                task["observed"]["status"] = json!("PENDING");
            }
        });
    });
}

#[test]
fn an_end_that_gets_lost() {
    is_caught("every deletion finishes", |txn| {
        edit(txn, "task", |task| {
            let stopping = task["stop"]["code"] == "UserInitiated"
                || task["stop"]["code"] == "ServiceSchedulerInitiated";
            if stopping && task["observed"]["status"] == "STOPPED" {
                task["observed"]["status"] = json!("RUNNING");
            }
        });
    });
}

#[test]
fn an_order_to_stop_that_gets_lost() {
    is_caught("no container left behind", |txn| {
        edit(txn, "task", |task| {
            if task["desired"] == "STOPPED" && task["observed"]["status"] == "RUNNING" {
                task["observed"]["status"] = json!("STOPPED");
            }
        });
    });
}

#[test]
fn a_task_that_gets_lost() {
    is_caught("no acknowledged task lost", |txn| {
        for write in &mut txn.writes {
            let Write::Put { key, value, .. } = write else { continue };
            let record: Value = serde_json::from_slice(value).unwrap_or_default();
            let new = key.contains("/ecs/task/") && record["r"]["version"] == 1;
            if new && record["r"]["family"] == "good" && !is_service(&record["r"]) {
                *write = Write::Delete { key: key.clone() };
            }
        }
    });
}

/// Services behind balancers with two nodes.
fn balanced(seed: u64) -> Options {
    Options { balancers: 2, ..Options::new(seed) }
}

#[test]
fn a_stop_that_waits_for_nobody() {
    let sabotage = |txn: &mut Txn| edit(txn, "task", |task| task["draining_until"] = Value::Null);
    is_caught_in("no task is told to stop while balancers use it", sabotage, balanced);
}

#[test]
fn a_drain_that_overlooks_what_is_under_way() {
    let sabotage = |txn: &mut Txn| {
        edit(txn, "target", |target| {
            for seen in target["seen"].as_object_mut().expect("by node").values_mut() {
                seen["in_flight"] = json!(0);
            }
        });
    };
    is_caught_in("no task is told to stop while balancers use it", sabotage, balanced);
}

#[test]
fn a_node_that_nobody_knows() {
    let sabotage = |txn: &mut Txn| {
        let of_node = |write: &Write| write.key().contains("/balancer-node/");
        txn.writes.retain(|write| !of_node(write));
        edit(txn, "target", |target| target["seen"] = json!({}));
    };
    is_caught_in("no task is told to stop while balancers use it", sabotage, balanced);
}

#[test]
fn a_target_that_stays() {
    let sabotage = |txn: &mut Txn| {
        let gone = |write: &Write| matches!(write, Write::Delete { key } if key.split('/').nth(4) == Some("target"));
        txn.writes.retain(|write| !gone(write));
    };
    is_caught_in("no task is told to stop while balancers use it", sabotage, balanced);
}

/// The office of the leader.
const OFFICE: &str = "/longshore/leadership/";

/// Three servers, of which one leads.
fn of_three(seed: u64) -> Options {
    Options { servers: 3, ..Options::new(seed) }
}

#[test]
fn a_leader_that_does_not_look_whether_it_leads() {
    let sabotage = |txn: &mut Txn| {
        txn.compares.retain(|compare| {
            let fence = matches!(compare, Compare::ModRevision(_, at) if *at > StoreRevision::ZERO);
            !(fence && compare.key().starts_with(OFFICE))
        });
    };
    is_caught_in("only the leader decides", sabotage, of_three);
}

#[test]
fn an_office_that_anybody_takes() {
    let sabotage = |txn: &mut Txn| {
        let takes = |write: &Write| write.key().starts_with(OFFICE);
        if txn.writes.iter().any(takes) {
            txn.compares.clear();
        }
    };
    is_caught_in("only the leader decides", sabotage, of_three);
}
