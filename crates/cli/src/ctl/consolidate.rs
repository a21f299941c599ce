//! `ctl consolidate`: which instances could be emptied, and emptying them.

use longshore_agent::api::Api;
use serde_json::Value;

use crate::client::failed;
use crate::failure::Failure;
use crate::output::{self, Output};

/// Shows the plan, and carries it out when asked to.
pub(super) async fn run(
    client: &Api,
    cluster: &str,
    below: u32,
    execute: bool,
    output: Output,
) -> Result<(), Failure> {
    let method = if execute { "POST" } else { "GET" };
    let path = format!("consolidate?cluster={cluster}&below={below}");
    let plan = client.operator(method, &path).await.map_err(failed("cannot make the plan"))?;
    match output {
        Output::Json => output::json(&plan),
        Output::Table => lines(&plan, execute).iter().for_each(|line| output::line(line)),
    }
    Ok(())
}

fn lines(plan: &Value, execute: bool) -> Vec<String> {
    let list = |name: &str| plan[name].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines = Vec::new();
    for id in list("empty") {
        lines.push(format!("{}  is empty: it can go as it is", text(&id)));
    }
    let drains = list("drains");
    for drain in &drains {
        let verb = if execute { "drains" } else { "could be emptied" };
        let (id, used) = (text(&drain["containerInstance"]), &drain["usedPercent"]);
        lines.push(format!("{id}  {verb} ({used} % used):"));
        for step in drain["moves"].as_array().into_iter().flatten() {
            let (task, service) = (text(&step["task"]), text(&step["service"]));
            lines.push(format!("    task {task} of {service} fits on {}", text(&step["to"])));
        }
    }
    for keep in list("keeps") {
        lines.push(format!("{}  stays: {}", text(&keep["containerInstance"]), text(&keep["why"])));
    }
    if !execute && !drains.is_empty() {
        lines.push("nothing was changed; --execute drains these instances".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_reads_as_what_would_happen() {
        let plan = json!({
            "empty": ["c"],
            "drains": [{"containerInstance": "a", "usedPercent": 12,
                "moves": [{"task": "t", "service": "web", "to": "b"}]}],
            "keeps": [{"containerInstance": "b", "why": "it takes tasks of other instances"}],
        });
        assert_eq!(
            lines(&plan, false),
            [
                "c  is empty: it can go as it is",
                "a  could be emptied (12 % used):",
                "    task t of web fits on b",
                "b  stays: it takes tasks of other instances",
                "nothing was changed; --execute drains these instances",
            ]
        );
    }
}
