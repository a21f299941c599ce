//! `ctl iam`: why a request was denied, what a principal needs, and who may do something.

use clap::Subcommand;
use longshore_agent::api::Api;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::client::failed;
use crate::failure::Failure;
use crate::output::{self, Output};

/// Commands of `ctl iam`.
#[derive(Debug, Subcommand)]
pub(crate) enum IamCommand {
    /// Why a request was denied: the statement that denied it, or those that came near to allowing it,
    /// and the smallest statement that would.
    Explain {
        /// Id of the request; answers carry it as `x-amzn-RequestId`.
        request: String,
    },
    /// The least policy that covers what the audit log shows that a principal used.
    Suggest {
        /// ARN, `user/NAME`, `role/NAME`, or the name of a user.
        principal: String,
        /// From when on: `7d`, `12h`, or a time.
        #[arg(long, default_value = "7d")]
        since: String,
    },
    /// Which users and roles may do something.
    WhoCan {
        /// E.g. `ecs:UpdateService`.
        action: String,
        /// ARN of the resource, or `*`.
        #[arg(default_value = "*")]
        resource: String,
    },
}

/// Runs one command.
pub(super) async fn run(command: &IamCommand, client: &Api, output: Output) -> Result<(), Failure> {
    let (path, what) = match command {
        IamCommand::Explain { request } => {
            (format!("iam/explain?request={}", quoted(request)), "cannot explain the request")
        }
        IamCommand::Suggest { principal, since } => {
            let (principal, since) = (quoted(principal), quoted(since));
            (format!("iam/suggest?principal={principal}&since={since}"), "cannot suggest a policy")
        }
        IamCommand::WhoCan { action, resource } => {
            let (action, resource) = (quoted(action), quoted(resource));
            (format!("iam/who-can?action={action}&resource={resource}"), "cannot find out who may")
        }
    };
    let found = client.operator("GET", &path).await.map_err(failed(what))?;
    if output == Output::Json {
        output::json(&found);
        return Ok(());
    }
    match command {
        IamCommand::Explain { .. } => {
            for line in explained(&found["record"]) {
                output::line(&line);
            }
        }
        IamCommand::Suggest { .. } => {
            output::json(&found["policy"]);
            for line in remarks(&found) {
                output::note(&line);
            }
        }
        IamCommand::WhoCan { .. } => {
            for principal in found["principals"].as_array().into_iter().flatten() {
                output::line(&format!("{}  {}", text(&principal["arn"]), text(&principal["may"])));
                for by in list(&principal["by"]) {
                    output::line(&format!("    {by}"));
                }
            }
        }
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A record of the audit log, told.
fn explained(record: &Value) -> Vec<String> {
    let (service, denial) = (&record["eventSource"], &record["additionalEventData"]["denial"]);
    let who = text(&record["userIdentity"]["arn"]);
    let mut lines = vec![
        format!(
            "{} {} of {}",
            text(&record["eventTime"]),
            text(&record["eventName"]),
            text(service)
        ),
        format!("  by    {who}"),
        format!("  from  {}", text(&record["sourceIPAddress"])),
    ];
    if !denial.is_object() {
        lines.push(match record["errorCode"].as_str() {
            None => "  it was allowed, and succeeded".to_owned(),
            Some(code) => {
                format!("  it was allowed, and failed: {code}: {}", text(&record["errorMessage"]))
            }
        });
        return lines;
    }
    let (action, resource) = (text(&denial["action"]), text(&denial["resource"]));
    lines.push(format!("  asks  {action} on {resource}"));
    match text(&denial["decision"]) {
        "otherAccount" => lines.push("denied: the resource belongs to another account".to_owned()),
        "explicitDeny" => {
            for by in denial["deniedBy"].as_array().into_iter().flatten() {
                let (layer, statement) = (text(&by["layer"]), text(&by["statement"]));
                lines.push(format!("denied by {statement} ({layer})"));
            }
            lines.push("no statement can allow it as long as that one denies it".to_owned());
        }
        _ => {
            let missing = list(&denial["missing"]);
            lines.push(format!("denied: no {} allows it", missing.join(", and no ")));
            for near in denial["near"].as_array().into_iter().flatten() {
                let (layer, statement) = (text(&near["layer"]), text(&near["statement"]));
                lines.push(format!("  near: {statement} ({layer})"));
                lines.extend(list(&near["why"]).iter().map(|why| format!("        {why}")));
            }
            lines.push(format!(
                "this statement would allow it, in a policy of each kind that lacks one ({}):",
                missing.join(", ")
            ));
            lines.push(format!("  {}", denial["allowedBy"]));
        }
    }
    if let Some(context) = denial["context"].as_object().filter(|context| !context.is_empty()) {
        lines.push("keys of the request:".to_owned());
        for (key, values) in context {
            lines.push(format!("  {key} = {}", list(values).join(", ")));
        }
    }
    let left_out = list(&denial["leftOut"]);
    if !left_out.is_empty() {
        let left_out = left_out.join(", ");
        lines.push(format!("too long for the audit log, and left out of it: {left_out}"));
    }
    lines
}

/// What to know about a suggested policy.
fn remarks(found: &Value) -> Vec<String> {
    let count = |name: &str| found[name].as_u64().unwrap_or_default();
    let mut lines = vec![format!(
        "from {} calls of {}; numbers that services give (tasks, instances, revisions) are *",
        count("calls"),
        text(&found["principal"])
    )];
    if count("denied") > 0 {
        lines.push(format!("{} calls were denied; they are not in it", count("denied")));
    }
    if count("leftOut") > 0 {
        lines.push(format!(
            "{} resources are not in it: calls named more than the audit log keeps of one",
            count("leftOut")
        ));
    }
    if found["reads"] != true {
        lines.push(
            "the audit log has no calls that only read: start the server with --audit all, or add them"
                .to_owned(),
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(denial: &Value) -> Value {
        json!({
            "eventTime": "2026-11-27T20:00:00Z", "eventName": "RunTask",
            "eventSource": "ecs.amazonaws.com", "sourceIPAddress": "10.0.0.7",
            "userIdentity": {"arn": "arn:aws:iam::000000000000:user/ann"},
            "additionalEventData": {"denial": denial},
        })
    }

    #[test]
    fn a_denial_is_told_with_what_would_allow_it() {
        let denial = json!({
            "decision": "implicitDeny", "action": "ecs:RunTask", "resource": "arn:t",
            "missing": ["identity-based policy"],
            "near": [{"layer": "identity-based policy", "statement": "statement 1 of p",
                "why": ["Resource is arn:s, and the request is for arn:t"]}],
            "allowedBy": {"Effect": "Allow", "Action": "ecs:RunTask", "Resource": "arn:t"},
            "context": {"ecs:cluster": ["arn:c"]},
        });
        let lines = explained(&record(&denial));
        assert_eq!(lines[3], "  asks  ecs:RunTask on arn:t");
        assert_eq!(lines[4], "denied: no identity-based policy allows it");
        assert_eq!(lines[5], "  near: statement 1 of p (identity-based policy)");
        assert!(lines[8].contains(r#""Action":"ecs:RunTask""#), "{}", lines[8]);
        assert_eq!(lines[10], "  ecs:cluster = arn:c");
    }

    #[test]
    fn who_denies_is_named() {
        let denial = json!({
            "decision": "explicitDeny", "action": "ecs:RunTask", "resource": "arn:t",
            "deniedBy": [{"layer": "session policy", "statement": "statement 'No' of s"}],
        });
        let lines = explained(&record(&denial));
        assert_eq!(lines[4], "denied by statement 'No' of s (session policy)");
        let succeeded = explained(&record(&Value::Null));
        assert_eq!(succeeded[3], "  it was allowed, and succeeded");
    }

    #[test]
    fn what_the_log_left_out_is_said() {
        let denial = json!({ "decision": "otherAccount", "leftOut": ["context", "near"] });
        let lines = explained(&record(&denial));
        let last = lines.last().expect("lines");
        assert_eq!(last, "too long for the audit log, and left out of it: context, near");
        let found = json!({ "calls": 1, "principal": "arn:u", "reads": true, "leftOut": 7 });
        assert!(remarks(&found)[1].starts_with("7 resources are not in it"));
        let found = json!({ "calls": 1, "principal": "arn:u", "reads": true, "leftOut": 0 });
        assert_eq!(remarks(&found).len(), 1);
    }
}
