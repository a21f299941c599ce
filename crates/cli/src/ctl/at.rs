//! `ctl at`: what a cluster was like at a time, from the journal.

use longshore_agent::api::Api;
use serde_json::Value;

use super::events::{escaped, text as event_text};
use crate::client::failed;
use crate::failure::Failure;
use crate::output::{self, Output};

/// Prints services, deployments, instances with their tasks, and the events around the time.
pub(super) async fn run(
    client: &Api,
    time: &str,
    cluster: &str,
    around: u64,
    output: Output,
) -> Result<(), Failure> {
    let path = format!("at?time={}&cluster={}&around={around}", escaped(time), escaped(cluster));
    let what = format!("cannot tell what cluster {cluster} was like");
    let then = client.operator("GET", &path).await.map_err(failed(&what))?;
    if output == Output::Json {
        output::json(&then);
        return Ok(());
    }
    output::line(&format!("cluster {cluster} at {}", text(&then, "time")));
    services(&then);
    instances(&then);
    let events = list(&then["events"]);
    if !events.is_empty() {
        output::line(&format!("\nevents within {around} seconds:"));
    }
    // Those before the time first, then those after.
    let mut passed = false;
    for event in events {
        if !passed && text(event, "time") > text(&then, "time") {
            passed = true;
            output::line(&format!("-- {} --", text(&then, "time")));
        }
        output::line(&event_text(event));
    }
    Ok(())
}

fn services(then: &Value) {
    let services = list(&then["services"]);
    if services.is_empty() {
        return output::line("\nno services");
    }
    output::line("");
    let mut rows = Vec::new();
    for service in services {
        let counts = ["desiredCount", "runningCount", "pendingCount"];
        let [desired, running, pending] = counts.map(|name| service[name].to_string());
        let status = text(service, "status").to_owned();
        let name = text(service, "serviceName").to_owned();
        rows.push([name, status, desired, running, pending, String::new(), String::new()]);
        for deployment in list(&service["deployments"]) {
            let [desired, running, pending] = counts.map(|name| deployment[name].to_string());
            rows.push([
                format!("  {}", text(deployment, "id")),
                text(deployment, "status").to_owned(),
                desired,
                running,
                pending,
                text(deployment, "taskDefinition").to_owned(),
                text(deployment, "rolloutState").to_owned(),
            ]);
        }
    }
    let header =
        ["SERVICE", "STATUS", "DESIRED", "RUNNING", "PENDING", "TASK DEFINITION", "ROLLOUT"];
    output::table(header, rows);
}

fn instances(then: &Value) {
    let instances = list(&then["containerInstances"]);
    if instances.is_empty() {
        return output::line("\nno container instances");
    }
    output::line("");
    let mut rows = Vec::new();
    for instance in instances {
        let agent = match instance["agentConnected"].as_bool() {
            Some(true) => "connected",
            _ => "disconnected",
        };
        rows.push([
            text(instance, "containerInstance").to_owned(),
            format!("{}, agent {agent}", text(instance, "status")),
            text(instance, "availabilityZone").to_owned(),
            String::new(),
        ]);
        for task in list(&instance["tasks"]) {
            let wanted = text(task, "desiredStatus");
            let status = match text(task, "lastStatus") {
                status if status != "STOPPED" && wanted == "STOPPED" => {
                    format!("{status}, is to stop")
                }
                status => status.to_owned(),
            };
            rows.push([
                format!("  {}", text(task, "task")),
                status,
                text(task, "group").to_owned(),
                text(task, "taskDefinition").to_owned(),
            ]);
        }
    }
    output::table(["INSTANCE, TASK", "STATUS", "ZONE, GROUP", "TASK DEFINITION"], rows);
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}
