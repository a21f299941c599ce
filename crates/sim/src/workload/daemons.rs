//! Managed daemons of a user.

use longshore_agent::ApiError;
use longshore_wire::ecs::op;
use serde_json::{Value, json};

use super::User;
use crate::images;
use crate::world;

/// The only managed daemon.
const DAEMON: &str = "monitor";
/// Images that daemons run.
const IMAGES: &[&str] = &[images::GOOD, images::GOOD, images::CHECKED, images::BROKEN];

fn arn(resource: &str) -> String {
    format!("arn:aws:ecs:us-east-1:000000000000:{resource}")
}

impl User {
    /// Registers the daemon task definitions.
    pub(super) async fn prepare_daemons(&self) {
        for image in IMAGES {
            let input = images::definition(image);
            self.insist::<op::RegisterDaemonTaskDefinition>(&input).await;
        }
    }

    /// Makes, changes or deletes the daemon.
    pub(super) async fn act_on_daemon(&self) -> Result<Value, ApiError> {
        let daemon = arn(&format!("daemon/default/{DAEMON}"));
        if world::chance(1, 5) {
            return self.call::<op::DeleteDaemon>(json!({"daemonArn": daemon})).await;
        }
        let image = *world::one_of(IMAGES);
        let mut input = json!({
            "daemonTaskDefinitionArn": arn(&format!("daemon-task-definition/{image}:1")),
            "capacityProviderArns": [arn("capacity-provider/machines")],
            "critical": false,
            "deploymentConfiguration": {"drainPercent": world::pick(1..101)},
        });
        let known = self.watcher.view().daemons.iter().next().is_some();
        if known {
            input["daemonArn"] = json!(daemon);
            return self.call::<op::UpdateDaemon>(input).await;
        }
        input["daemonName"] = json!(DAEMON);
        self.call::<op::CreateDaemon>(input).await
    }
}
