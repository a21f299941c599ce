//! Managed daemons. AWS's page names their resource types; the ARNs are those of the API.

use super::tasks::{roles, roles_of};
use super::{access, pairs, tags_on_create};
use crate::access::Asking;
use crate::ecs::daemon_task_definitions;

access! { "ecs", ecs {
    CreateDaemon Write ["daemon"] ["aws:RequestTag/${TagKey}" "aws:TagKeys" "ecs:capacity-provider" "ecs:cluster" "ecs:enable-execute-command"] ["ecs:TagResource" "iam:PassRole"] =
        |input, asking| {
            asking.request_tags(pairs(input.tags.as_ref()));
            let within = asking.within(input.cluster_arn.as_deref());
            input.capacity_provider_arns.iter().for_each(|arn| asking.key("ecs:capacity-provider", arn));
            asking.key("ecs:enable-execute-command", input.enable_execute_command.unwrap_or(false));
            asking.ask_in("daemon", &within, &input.daemon_name);
            roles_of_daemon(asking, &input.daemon_task_definition_arn);
            let daemon = within.arn_of("daemon", &input.daemon_name);
            tags_on_create(asking, input.tags.as_ref(), daemon, "CreateDaemon");
        };
    UpdateDaemon Write ["daemon"] ["aws:ResourceTag/${TagKey}" "ecs:capacity-provider" "ecs:cluster" "ecs:enable-execute-command"] ["iam:PassRole"] =
        |input, asking| {
            input.capacity_provider_arns.iter().for_each(|arn| asking.key("ecs:capacity-provider", arn));
            asking.key_of("ecs:enable-execute-command", input.enable_execute_command);
            asking.ask_arn("daemon", &input.daemon_arn);
            roles_of_daemon(asking, &input.daemon_task_definition_arn);
        };
    DeleteDaemon Write ["daemon"] ["aws:ResourceTag/${TagKey}" "ecs:cluster"] [] =
        |input, asking| asking.ask_arn("daemon", &input.daemon_arn);
    DescribeDaemon Read ["daemon"] ["aws:ResourceTag/${TagKey}" "ecs:cluster"] [] =
        |input, asking| asking.ask_arn("daemon", &input.daemon_arn);
    ListDaemons List ["cluster"] ["ecs:cluster"] [] = |input, asking| {
        asking.within(input.cluster_arn.as_deref());
        asking.ask_cluster(input.cluster_arn.as_deref());
    };
    ListDaemonDeployments List ["daemon"] ["aws:ResourceTag/${TagKey}" "ecs:cluster"] [] =
        |input, asking| asking.ask_arn("daemon", &input.daemon_arn);
    DescribeDaemonDeployments Read ["daemon-deployment"] ["ecs:cluster"] [] =
        |input, asking| each(asking, "daemon-deployment", &input.daemon_deployment_arns);
    DescribeDaemonRevisions Read ["daemon-revision"] ["ecs:cluster"] [] =
        |input, asking| each(asking, "daemon-revision", &input.daemon_revision_arns);
    RegisterDaemonTaskDefinition Write ["daemon-task-definition"] ["aws:RequestTag/${TagKey}" "aws:TagKeys" "ecs:task-cpu" "ecs:task-memory"] ["ecs:TagResource" "iam:PassRole"] =
        |input, asking| {
            asking.request_tags(pairs(input.tags.as_ref()));
            asking.key_of("ecs:task-cpu", input.cpu.as_ref());
            asking.key_of("ecs:task-memory", input.memory.as_ref());
            let definition = asking
                .definition_of_family(&input.family)
                .replacen(":task-definition/", ":daemon-task-definition/", 1);
            asking.ask(definition.as_str());
            roles(asking, [input.task_role_arn.as_deref(), input.execution_role_arn.as_deref()]);
            tags_on_create(asking, input.tags.as_ref(), definition, "RegisterDaemonTaskDefinition");
        };
    DescribeDaemonTaskDefinition Read [] [] [] = |_, asking| asking.ask_anything();
    DeleteDaemonTaskDefinition Write [] [] [] = |_, asking| asking.ask_anything();
    ListDaemonTaskDefinitions List [] [] [] = |_, asking| asking.ask_anything();
} }

fn each(asking: &mut Asking<'_>, kind: &str, named: &[String]) {
    for text in named {
        asking.alone(|asking| asking.ask_arn(kind, text));
    }
    if named.is_empty() {
        asking.ask_anything();
    }
}

/// The roles that a daemon's tasks are handed.
fn roles_of_daemon(asking: &mut Asking<'_>, text: &str) {
    // Found as the operation finds it, which takes short names too. What is not there it refuses.
    let Ok(row) = daemon_task_definitions::find(asking.view, asking.scope, text) else { return };
    let [task, execution] = roles_of(&row.task);
    roles(asking, [task.as_deref(), execution.as_deref()]);
}
