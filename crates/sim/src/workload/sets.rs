//! Task sets of a user who rolls out by himself.

use longshore_agent::ApiError;
use longshore_wire::ecs::op;
use serde_json::{Value, json};

use super::{User, some_image};
use crate::world;

/// The service with task sets.
const SERVICE: &str = "sets";

impl User {
    /// Makes the service, or does something with its task sets.
    pub(super) async fn act_on_sets(&self) -> Result<Value, ApiError> {
        let names = json!({"cluster": "default", "service": SERVICE});
        let with = |members: Value| {
            let mut input = names.clone();
            let members = members.as_object().cloned().unwrap_or_default();
            input.as_object_mut().into_iter().for_each(|input| input.extend(members.clone()));
            input
        };
        let scale = json!({"value": world::pick(0..101), "unit": "PERCENT"});
        let sets: Vec<String> = {
            let view = self.watcher.view();
            let service = view.services.iter().find(|row| row.name.as_str() == SERVICE);
            let sets = service.into_iter().flat_map(|row| row.task_sets.clone());
            sets.map(|set| set.deployment.label()).collect()
        };
        if sets.is_empty() || world::chance(1, 6) {
            let input = json!({"serviceName": SERVICE, "desiredCount": world::pick(1..5),
                "deploymentController": {"type": "EXTERNAL"}});
            // It may be there already.
            let _ = self.call::<op::CreateService>(input).await;
            let input = with(json!({"taskDefinition": some_image(), "scale": scale}));
            return self.call::<op::CreateTaskSet>(input).await;
        }
        let set = world::one_of(&sets);
        match world::pick(0..4) {
            0 => {
                let input = with(json!({"primaryTaskSet": set}));
                self.call::<op::UpdateServicePrimaryTaskSet>(input).await
            }
            1 => {
                let force = world::chance(1, 2);
                self.call::<op::DeleteTaskSet>(with(json!({"taskSet": set, "force": force}))).await
            }
            _ => {
                self.call::<op::UpdateTaskSet>(with(json!({"taskSet": set, "scale": scale}))).await
            }
        }
    }
}
