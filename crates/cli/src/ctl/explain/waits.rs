//! What services and tasks wait for, as the control plane tells it, in lines.

use longshore_agent::api::Api;
use serde_json::Value;

use crate::client::failed;
use crate::failure::Failure;

/// Asks what waits in a cluster, or what one `service` or `task` of it waits for.
pub(super) async fn ask(
    client: &Api,
    cluster: &str,
    subject: Option<(&str, &str)>,
) -> Result<Value, Failure> {
    let subject = subject.map(|(kind, name)| format!("&{kind}={name}"));
    let path = format!("waits?cluster={cluster}{}", subject.unwrap_or_default());
    client.operator("GET", &path).await.map_err(failed("cannot ask what is waited for"))
}

/// All of an answer: services first, then tasks; nothing when nothing waits.
pub(super) fn lines(answer: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let rows = |member: &str| answer[member].as_array().cloned().unwrap_or_default();
    // One that is steady and waits is asleep.
    let waits = |service: &&Value| service["waits"].as_array().is_some_and(|w| !w.is_empty());
    for service in rows("services").iter().filter(waits) {
        lines.push(format!("service {} waits for:", text(&service["serviceName"])));
        lines.extend(of(service));
    }
    for task in rows("tasks").iter().filter(|task| task["lastStatus"] != "STOPPED") {
        let (id, group) = (text(&task["task"]), text(&task["group"]));
        lines.push(format!("task {id} ({group}), {}, waits for:", text(&task["lastStatus"])));
        lines.extend(of(task));
    }
    match answer["notShown"].as_u64() {
        Some(more) if more > 0 => lines.push(format!("and {more} more")),
        _ => {}
    }
    lines
}

/// The waits of one service or task.
pub(super) fn of(subject: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for wait in subject["waits"].as_array().into_iter().flatten() {
        let time = |word: &str, value: &Value| value.as_str().map(|at| format!(", {word} {at}"));
        let since = time("since", &wait["since"]).unwrap_or_default();
        let until = time("until", &wait["until"]).unwrap_or_default();
        lines.push(format!("  {}: {}{since}{until}", text(&wait["cause"]), text(&wait["what"])));
        lines.push(format!("    to fix: {}", text(&wait["fix"])));
    }
    lines
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_wait_says_what_since_until_and_the_fix() {
        let wait = json!({
            "cause": "PAUSED", "what": "somebody", "since": "S", "until": "U", "fix": "continue it",
        });
        let quiet = json!({ "serviceName": "ok", "steady": true, "waits": [] });
        let service = json!({ "serviceName": "web", "steady": false, "waits": [wait] });
        let ended = json!({ "task": "t", "lastStatus": "STOPPED", "waits": [wait] });
        let answer = json!({ "services": [quiet, service], "tasks": [ended], "notShown": 3 });
        assert_eq!(
            lines(&answer),
            [
                "service web waits for:",
                "  PAUSED: somebody, since S, until U",
                "    to fix: continue it",
                "and 3 more",
            ]
        );
        assert_eq!(lines(&json!({ "services": [quiet], "tasks": [], "notShown": 0 })).len(), 0);
    }
}
