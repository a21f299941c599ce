//! Task definitions and tasks.

use longshore_domain::record::TaskDefinition;
use longshore_wire::ecs::TaskOverride;
use serde_json::Value;

use super::{TASKS, access, pairs, providers, tags_on_create};
use crate::access::Asking;

access! { "ecs", ecs {
    RegisterTaskDefinition Write ["task-definition"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys" "ecs:compute-compatibility" "ecs:privileged" "ecs:task-cpu" "ecs:task-memory"] ["ecs:TagResource" "iam:PassRole"] =
        |input, asking| {
            asking.request_tags(pairs(input.tags.as_ref()));
            for compatibility in input.requires_compatibilities.iter().flatten() {
                asking.key("ecs:compute-compatibility", compatibility);
            }
            let privileged = input.container_definitions.iter().any(|c| c.privileged == Some(true));
            asking.key("ecs:privileged", privileged);
            asking.key_of("ecs:task-cpu", input.cpu.as_ref());
            asking.key_of("ecs:task-memory", input.memory.as_ref());
            let definition = asking.definition_of_family(&input.family);
            asking.ask(definition.as_str());
            roles(asking, [input.task_role_arn.as_deref(), input.execution_role_arn.as_deref()]);
            tags_on_create(asking, input.tags.as_ref(), definition, "RegisterTaskDefinition");
        };
    DescribeTaskDefinition Read [] [] [] = |_, asking| asking.ask_anything();
    DeregisterTaskDefinition Write [] [] [] = |_, asking| asking.ask_anything();
    DeleteTaskDefinitions Write ["task-definition"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| {
            for text in &input.task_definitions {
                let (arn, found) = asking.task_definition(text);
                asking.ask_tagged(arn, found.as_ref().map(|definition| &definition.tags));
            }
            if input.task_definitions.is_empty() {
                asking.ask_anything();
            }
        };
    ListTaskDefinitions List [] [] [] = |_, asking| asking.ask_anything();
    ListTaskDefinitionFamilies List [] [] [] = |_, asking| asking.ask_anything();
    RunTask Write ["task-definition"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys" "ecs:capacity-provider" "ecs:cluster" "ecs:enable-execute-command"] ["ecs:TagResource" "iam:PassRole"] =
        |input, asking| {
            providers(asking, input.capacity_provider_strategy.as_ref());
            let start = Start {
                cluster: input.cluster.as_deref(),
                definition: &input.task_definition,
                overrides: input.overrides.as_ref(),
                exec: input.enable_execute_command,
                tags: input.tags.as_ref(),
                operation: "RunTask",
            };
            start.ask(asking);
        };
    StartTask Write ["task-definition"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys" "ecs:cluster" "ecs:container-instances" "ecs:enable-execute-command"] ["ecs:TagResource" "iam:PassRole"] =
        |input, asking| {
            let within = asking.cluster(input.cluster.as_deref());
            for text in &input.container_instances {
                let arn = if text.starts_with("arn:") { text.clone() } else { within.arn_of("container-instance", text) };
                asking.key("ecs:container-instances", arn);
            }
            let start = Start {
                cluster: input.cluster.as_deref(),
                definition: &input.task_definition,
                overrides: input.overrides.as_ref(),
                exec: input.enable_execute_command,
                tags: input.tags.as_ref(),
                operation: "StartTask",
            };
            start.ask(asking);
        };
    StopTask Write ["task"] ["aws:ResourceTag/${TagKey}" "ecs:cluster"] [] =
        |input, asking| tasks(asking, input.cluster.as_deref(), [&input.task]);
    DescribeTasks Read ["task"] ["aws:ResourceTag/${TagKey}" "ecs:cluster"] [] =
        |input, asking| tasks(asking, input.cluster.as_deref(), &input.tasks);
    // The official page names the container instance: all of the cluster's, where none is given.
    ListTasks List ["container-instance"] ["aws:ResourceTag/${TagKey}" "ecs:cluster"] [] =
        |input, asking| {
            let within = asking.within(input.cluster.as_deref());
            match input.container_instance.as_deref() {
                Some(instance) => asking.ask_in("container-instance", &within, instance),
                None => asking.ask(within.arn_of("container-instance", "*")),
            }
        };
    GetTaskProtection Read ["task"] ["aws:ResourceTag/${TagKey}" "ecs:cluster"] [] =
        |input, asking| {
            tasks(asking, Some(&input.cluster), input.tasks.as_deref().unwrap_or_default());
        };
    UpdateTaskProtection Write ["task"] ["aws:ResourceTag/${TagKey}" "ecs:cluster"] [] =
        |input, asking| tasks(asking, Some(&input.cluster), &input.tasks);
} }

fn tasks<'t>(
    asking: &mut Asking<'_>,
    cluster: Option<&str>,
    named: impl IntoIterator<Item = &'t String>,
) {
    let within = asking.within(cluster);
    let mut any = false;
    for task in named {
        any = true;
        asking.ask_in("task", &within, task);
    }
    if !any {
        asking.ask(within.arn_of("task", "*"));
    }
}

/// What RunTask and StartTask have in common.
struct Start<'i> {
    cluster: Option<&'i str>,
    definition: &'i str,
    overrides: Option<&'i TaskOverride>,
    exec: Option<bool>,
    tags: Option<&'i Vec<longshore_wire::ecs::Tag>>,
    operation: &'static str,
}

impl Start<'_> {
    fn ask(&self, asking: &mut Asking<'_>) {
        asking.request_tags(pairs(self.tags));
        let within = asking.within(self.cluster);
        asking.key("ecs:enable-execute-command", self.exec.unwrap_or(false));
        let (arn, definition) = asking.task_definition(self.definition);
        asking.ask_tagged(arn, definition.as_ref().map(|definition| &definition.tags));
        // Whoever starts a task hands it its roles, of the task definition or instead of them.
        let [task, execution] = definition.as_ref().map(roles_of).unwrap_or_default();
        let instead = |role: fn(&TaskOverride) -> &Option<String>| {
            self.overrides.and_then(|overrides| role(overrides).as_deref())
        };
        let task = instead(|overrides| &overrides.task_role_arn).or(task.as_deref());
        let execution = instead(|overrides| &overrides.execution_role_arn).or(execution.as_deref());
        roles(asking, [task, execution]);
        tags_on_create(asking, self.tags, within.arn_of("task", "*"), self.operation);
    }
}

/// Roles that are handed to tasks.
pub(super) fn roles(asking: &mut Asking<'_>, [task, execution]: [Option<&str>; 2]) {
    let named = |role: Option<&str>| role.filter(|role| !role.is_empty()).map(str::to_owned);
    let (task, execution) = (named(task), named(execution));
    if let Some(role) = &task {
        asking.pass_role(role, TASKS);
    }
    if let Some(role) = execution.filter(|role| task.as_ref() != Some(role)) {
        asking.pass_role(&role, TASKS);
    }
}

/// Task role and execution role of a task definition.
pub(super) fn roles_of(definition: &TaskDefinition) -> [Option<String>; 2] {
    // Most have none: the document is not read then.
    if !definition.document.as_str().contains("RoleArn") {
        return [None, None];
    }
    let document: Value = serde_json::from_str(definition.document.as_str()).unwrap_or_default();
    ["taskRoleArn", "executionRoleArn"].map(|name| document[name].as_str().map(str::to_owned))
}
