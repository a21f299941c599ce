//! `ctl servers`: the servers of the control plane, which leads, and how far each is behind the store.

use longshore_agent::api::Api;
use serde_json::Value;

use crate::client::failed;
use crate::failure::Failure;
use crate::output::{self, Output};

/// Prints the servers.
pub(super) async fn run(client: &Api, output: Output) -> Result<(), Failure> {
    let told = client.operator("GET", "members").await;
    let told = told.map_err(failed("cannot ask for the servers"))?;
    match output {
        Output::Json => output::json(&told),
        Output::Table => print(&told),
    }
    Ok(())
}

fn print(told: &Value) {
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let store = &told["store"];
    let (leader, revision) = (text(&told["leader"]), text(&store["revision"]));
    output::line(&format!("leader {leader}; store {} at revision {revision}", text(&store["id"])));
    let members = told["members"].as_array().map(Vec::as_slice).unwrap_or_default();
    output::table(
        ["SERVER", "ADDRESS", "ROLE", "STATE", "REVISION", "BEHIND", "VERSION", "SINCE"],
        members.iter().map(|member| {
            [
                text(&member["name"]),
                text(&member["url"]),
                if member["leads"] == true { "leader" } else { "follower" }.to_owned(),
                state(member),
                text(&member["revision"]),
                text(&member["behind"]),
                text(&member["version"]),
                text(&member["startedAt"]),
            ]
        }),
    );
}

fn state(member: &Value) -> String {
    if member["ready"] == true {
        return "ready".to_owned();
    }
    let why = member["why"].as_array().into_iter().flatten().filter_map(Value::as_str);
    format!("not ready: {}", why.collect::<Vec<_>>().join("; "))
}
