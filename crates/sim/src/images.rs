//! The images that simulated containers run, and the task definitions that use them. A family has
//! the name of its image.

use std::time::Duration;

use longshore_agent::runtime::{Behavior, Rule};
use serde_json::{Value, json};

/// Runs until it is stopped.
pub const GOOD: &str = "good";
/// Has a health check and passes it after ten seconds.
pub const CHECKED: &str = "checked";
/// Has a health check and fails it after twenty seconds.
pub const SICK: &str = "sick";
/// Has no image in the registry.
pub const MISSING: &str = "missing";
/// Cannot be started.
pub const BROKEN: &str = "broken";
/// Runs and exits after half a minute.
pub const BRIEF: &str = "brief";
/// Takes a minute to pull.
pub const SLOW: &str = "slow";
/// Ignores the signal to stop.
pub const STUBBORN: &str = "stubborn";
/// Wants host port 8080.
pub const PORT: &str = "port";
/// Wants most of a machine.
pub const BIG: &str = "big";

/// All of them.
pub const ALL: &[&str] = &[GOOD, CHECKED, SICK, MISSING, BROKEN, BRIEF, SLOW, STUBBORN, PORT, BIG];

/// Those of which a service never reaches a steady state for long.
pub const HOPELESS: &[&str] = &[SICK, MISSING, BROKEN, BRIEF];

/// Those with a health check.
pub const WITH_CHECK: &[&str] = &[CHECKED, SICK];

/// How containers of all images behave.
pub fn rules() -> Vec<Rule> {
    let base = Behavior {
        pull_delay: Duration::from_millis(700),
        start_delay: Duration::from_millis(150),
        stop_delay: Duration::from_millis(300),
        ..Behavior::default()
    };
    let rule = |image: &str, behavior| Rule { image_prefix: image.to_owned(), behavior };
    let seconds = Duration::from_secs;
    let refused = |text: &str| Some(text.to_owned());
    vec![
        rule(CHECKED, Behavior { healthy_after: Some(seconds(10)), ..base.clone() }),
        rule(SICK, Behavior { unhealthy_after: Some(seconds(20)), ..base.clone() }),
        rule(MISSING, Behavior { pull_fails: refused("manifest unknown"), ..base.clone() }),
        rule(BROKEN, Behavior { start_fails: refused("exec: not found"), ..base.clone() }),
        rule(BRIEF, Behavior { exits_after: Some((seconds(30), 1)), ..base.clone() }),
        rule(SLOW, Behavior { pull_delay: seconds(60), ..base.clone() }),
        rule(STUBBORN, Behavior { ignores_stop: true, ..base.clone() }),
        rule("", base),
    ]
}

/// The input of RegisterTaskDefinition for an image.
pub fn definition(image: &str) -> Value {
    let (cpu, memory) = if image == BIG { (700, 500) } else { (100, 100) };
    let mut container =
        json!({"name": "main", "image": image, "cpu": cpu, "memory": memory, "stopTimeout": 10});
    if WITH_CHECK.contains(&image) {
        container["healthCheck"] = json!({"command": ["CMD", "true"]});
    }
    if image == PORT {
        container["portMappings"] = json!([{"containerPort": 80, "hostPort": 8080}]);
    }
    json!({"family": image, "containerDefinitions": [container]})
}

/// Lets the container of a definition be reached from outside, so that it can be a target.
pub fn publish(definition: &mut Value) {
    let container = &mut definition["containerDefinitions"][0];
    if container["portMappings"].is_null() {
        container["portMappings"] = json!([{"containerPort": 80}]);
    }
}
