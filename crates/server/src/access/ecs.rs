//! Rows of ECS: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html

mod clusters;
mod daemons;
mod services;
mod tasks;

use longshore_domain::ids::{Arn, Resource};
use longshore_wire::ecs::{CapacityProviderStrategyItem, Tag};

use super::{Asking, Entry, access};

/// All rows of ECS.
pub(super) fn entries() -> impl Iterator<Item = &'static Entry> {
    let lists = [ENTRIES, clusters::ENTRIES, daemons::ENTRIES, services::ENTRIES, tasks::ENTRIES];
    lists.into_iter().flatten().copied()
}

/// Role of the containers of a task, and of the agent for them.
const TASKS: &str = "ecs-tasks.amazonaws.com";
/// Role of a service for its balancer.
const SERVICE: &str = "ecs.amazonaws.com";

access! { "ecs", ecs {
    ListTagsForResource Read ["capacity-provider" "cluster" "container-instance" "daemon" "service" "task" "task-definition" "task-set"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_any(&input.resource_arn);
    TagResource Tagging ["capacity-provider" "cluster" "container-instance" "daemon" "service" "task" "task-definition" "task-set"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys" "ecs:CreateAction"] [] =
        |input, asking| {
            asking.request_tags(pairs(Some(&input.tags)));
            asking.ask_any(&input.resource_arn);
        };
    UntagResource Tagging ["capacity-provider" "cluster" "container-instance" "daemon" "service" "task" "task-definition" "task-set"] ["aws:ResourceTag/${TagKey}" "aws:TagKeys"] [] =
        |input, asking| {
            asking.tag_keys(input.tag_keys.iter().map(String::as_str));
            asking.ask_any(&input.resource_arn);
        };
    ListAccountSettings Read [] [] [] = |_, asking| asking.ask_anything();
    PutAccountSetting Write [] ["ecs:account-setting"] [] = |input, asking| {
        asking.key("ecs:account-setting", input.name);
        asking.ask_anything();
    };
    PutAccountSettingDefault Write [] ["ecs:account-setting"] [] = |input, asking| {
        asking.key("ecs:account-setting", input.name);
        asking.ask_anything();
    };
    DeleteAccountSetting Write [] ["ecs:account-setting"] [] = |input, asking| {
        asking.key("ecs:account-setting", input.name);
        asking.ask_anything();
    };
    DiscoverPollEndpoint Write [] [] [] = |_, asking| asking.ask_anything();
    SubmitTaskStateChange Write ["cluster"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| reported(asking, input.cluster.as_deref(), input.task.as_deref());
    SubmitContainerStateChange Write ["cluster"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| reported(asking, input.cluster.as_deref(), input.task.as_deref());
    SubmitAttachmentStateChanges Write ["cluster"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_cluster(input.cluster.as_deref());
} }

/// A report is about the cluster of its task, whatever cluster it names beside the task's ARN.
fn reported(asking: &mut Asking<'_>, cluster: Option<&str>, task: Option<&str>) {
    let of_task = match task.map(str::parse) {
        Some(Ok(Arn { scope, resource: Resource::Task(cluster, _) })) => {
            Some(Arn { scope, resource: Resource::Cluster(cluster) }.to_string())
        }
        _ => None,
    };
    asking.ask_cluster(of_task.as_deref().or(cluster));
}

/// Tags as they count for keys; one without key is refused by its operation.
fn pairs(tags: Option<&Vec<Tag>>) -> impl Iterator<Item = (&str, &str)> {
    tags.into_iter()
        .flatten()
        .filter_map(|tag| Some((tag.key.as_deref()?, tag.value.as_deref().unwrap_or_default())))
}

/// With tags, something is tagged as it is created: `resource` is what it will be called.
fn tags_on_create(
    asking: &mut Asking<'_>,
    tags: Option<&Vec<Tag>>,
    resource: String,
    operation: &'static str,
) {
    if tags.is_some_and(|tags| !tags.is_empty()) {
        asking.also("ecs:TagResource", resource, ("ecs:CreateAction", operation));
    }
}

/// Capacity providers that a strategy names.
fn providers(asking: &mut Asking<'_>, strategy: Option<&Vec<CapacityProviderStrategyItem>>) {
    for item in strategy.into_iter().flatten() {
        provider(asking, &item.capacity_provider);
    }
}

fn provider(asking: &mut Asking<'_>, text: &str) {
    if Arn::looks_like(text) {
        return asking.key("ecs:capacity-provider", text);
    }
    let arn =
        Arn::new(asking.scope, Resource::Other("capacity-provider".to_owned(), text.to_owned()));
    asking.key("ecs:capacity-provider", arn);
}
