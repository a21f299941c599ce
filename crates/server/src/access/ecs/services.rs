//! Services, their deployments and task sets.

use longshore_domain::ids::{Arn, Resource};
use longshore_wire::ecs::{DeploymentConfiguration, LoadBalancer, NetworkConfiguration};

use super::{SERVICE, access, pairs, providers, tags_on_create};
use crate::access::Asking;

access! { "ecs", ecs {
    CreateService Write ["service"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys" "ecs:auto-assign-public-ip" "ecs:capacity-provider" "ecs:cluster" "ecs:enable-ecs-managed-tags" "ecs:enable-execute-command" "ecs:enable-service-connect" "ecs:propagate-tags" "ecs:subnet" "ecs:task-cpu" "ecs:task-definition" "ecs:task-memory"] ["ecs:TagResource" "iam:PassRole"] =
        |input, asking| {
            asking.request_tags(pairs(input.tags.as_ref()));
            let within = asking.within(input.cluster.as_deref());
            providers(asking, input.capacity_provider_strategy.as_ref());
            definition(asking, input.task_definition.as_deref());
            asking.key("ecs:enable-execute-command", input.enable_execute_command.unwrap_or(false));
            asking.key("ecs:enable-ecs-managed-tags", input.enable_ecs_managed_tags.unwrap_or(false));
            let connect = input.service_connect_configuration.as_ref().is_some_and(|c| c.enabled);
            asking.key("ecs:enable-service-connect", connect);
            asking.key_of("ecs:propagate-tags", input.propagate_tags);
            network(asking, input.network_configuration.as_ref());
            asking.ask_in("service", &within, &input.service_name);
            if let Some(role) = input.role.as_deref().filter(|role| !role.is_empty()) {
                asking.pass_role(role, SERVICE);
            }
            infrastructure(asking, input.load_balancers.as_ref(), input.deployment_configuration.as_ref());
            let service = within.arn_of("service", &input.service_name);
            tags_on_create(asking, input.tags.as_ref(), service, "CreateService");
        };
    UpdateService Write ["service"] ["aws:ResourceTag/${TagKey}" "ecs:auto-assign-public-ip" "ecs:capacity-provider" "ecs:cluster" "ecs:enable-ecs-managed-tags" "ecs:enable-execute-command" "ecs:enable-service-connect" "ecs:propagate-tags" "ecs:subnet" "ecs:task-cpu" "ecs:task-definition" "ecs:task-memory"] ["iam:PassRole"] =
        |input, asking| {
            let within = asking.within(input.cluster.as_deref());
            providers(asking, input.capacity_provider_strategy.as_ref());
            definition(asking, input.task_definition.as_deref());
            asking.key_of("ecs:enable-execute-command", input.enable_execute_command);
            asking.key_of("ecs:enable-ecs-managed-tags", input.enable_ecs_managed_tags);
            let connect = input.service_connect_configuration.as_ref().map(|c| c.enabled);
            asking.key_of("ecs:enable-service-connect", connect);
            asking.key_of("ecs:propagate-tags", input.propagate_tags);
            network(asking, input.network_configuration.as_ref());
            asking.ask_in("service", &within, &input.service);
            infrastructure(asking, input.load_balancers.as_ref(), input.deployment_configuration.as_ref());
        };
    DeleteService Write ["service"] ["aws:ResourceTag/${TagKey}" "ecs:cluster"] [] =
        |input, asking| services(asking, input.cluster.as_deref(), [&input.service]);
    DescribeServices Read ["service"] ["aws:ResourceTag/${TagKey}" "ecs:cluster"] [] =
        |input, asking| services(asking, input.cluster.as_deref(), &input.services);
    ListServices List [] ["ecs:cluster"] [] = |input, asking| {
        asking.within(input.cluster.as_deref());
        asking.ask_anything();
    };
    ListServicesByNamespace List [] ["ecs:namespace"] [] = |input, asking| {
        asking.key("ecs:namespace", &input.namespace);
        asking.ask_anything();
    };
    ListServiceDeployments List ["service"] ["aws:ResourceTag/${TagKey}" "ecs:cluster"] [] =
        |input, asking| {
            // The ARN of a service names its cluster by itself.
            if Arn::looks_like(&input.service) {
                return asking.ask_arn("service", &input.service);
            }
            services(asking, input.cluster.as_deref(), [&input.service]);
        };
    DescribeServiceDeployments Read ["service" "service-deployment"] ["aws:ResourceTag/${TagKey}" "ecs:cluster" "ecs:service"] [] =
        |input, asking| each(asking, "service-deployment", &input.service_deployment_arns);
    DescribeServiceRevisions Read ["service" "service-revision"] ["aws:ResourceTag/${TagKey}" "ecs:cluster" "ecs:service"] [] =
        |input, asking| each(asking, "service-revision", &input.service_revision_arns);
    StopServiceDeployment Write ["service" "service-deployment"] ["aws:ResourceTag/${TagKey}" "ecs:cluster" "ecs:service"] [] =
        |input, asking| each(asking, "service-deployment", [&input.service_deployment_arn]);
    ContinueServiceDeployment Write ["service" "service-deployment"] ["aws:ResourceTag/${TagKey}" "ecs:cluster" "ecs:service"] [] =
        |input, asking| each(asking, "service-deployment", [&input.service_deployment_arn]);
    CreateTaskSet Write ["task-set"] ["aws:RequestTag/${TagKey}" "aws:TagKeys" "ecs:capacity-provider" "ecs:cluster" "ecs:service" "ecs:task-definition"] ["ecs:TagResource"] =
        |input, asking| {
            asking.request_tags(pairs(input.tags.as_ref()));
            let within = asking.within(Some(&input.cluster));
            let service = asking.service_key(&within, &input.service);
            providers(asking, input.capacity_provider_strategy.as_ref());
            definition(asking, Some(&input.task_definition));
            let set = service.map_or_else(
                || "*".to_owned(),
                |service| within.arn_of("task-set", &format!("{service}/*")),
            );
            asking.ask(set.as_str());
            tags_on_create(asking, input.tags.as_ref(), set, "CreateTaskSet");
        };
    DescribeTaskSets Read ["task-set"] ["aws:ResourceTag/${TagKey}" "ecs:cluster" "ecs:service"] [] =
        |input, asking| {
            let within = asking.within(Some(&input.cluster));
            let service = asking.service_key(&within, &input.service);
            match (input.task_sets.as_deref().unwrap_or_default(), &service) {
                ([], Some(service)) => asking.ask(within.arn_of("task-set", &format!("{service}/*"))),
                ([], None) => asking.ask_anything(),
                (sets, _) => {
                    for set in sets {
                        asking.ask_task_set(&within, service.as_ref(), set);
                    }
                }
            }
        };
    UpdateTaskSet Write ["task-set"] ["aws:ResourceTag/${TagKey}" "ecs:cluster" "ecs:service"] [] =
        |input, asking| task_set(asking, [&input.cluster, &input.service, &input.task_set]);
    DeleteTaskSet Write ["task-set"] ["aws:ResourceTag/${TagKey}" "ecs:cluster" "ecs:service"] [] =
        |input, asking| task_set(asking, [&input.cluster, &input.service, &input.task_set]);
    UpdateServicePrimaryTaskSet Write ["service"] ["aws:ResourceTag/${TagKey}" "ecs:cluster"] [] =
        |input, asking| services(asking, Some(&input.cluster), [&input.service]);
} }

/// Roles by which ECS shifts traffic and calls hooks. Nobody takes them here, and whoever names one must
/// be allowed to all the same.
fn infrastructure(
    asking: &mut Asking<'_>,
    balancers: Option<&Vec<LoadBalancer>>,
    deployment: Option<&DeploymentConfiguration>,
) {
    let advanced = balancers.into_iter().flatten();
    let advanced = advanced.filter_map(|balancer| balancer.advanced_configuration.as_ref());
    let hooks = deployment.and_then(|deployment| deployment.lifecycle_hooks.as_ref());
    let hooks = hooks.into_iter().flatten().filter_map(|hook| hook.role_arn.as_deref());
    let mut named: Vec<&str> =
        advanced.filter_map(|advanced| advanced.role_arn.as_deref()).chain(hooks).collect();
    named.sort_unstable();
    named.dedup();
    for role in named.into_iter().filter(|role| !role.is_empty()) {
        asking.pass_role(role, SERVICE);
    }
}

fn services<'s>(
    asking: &mut Asking<'_>,
    cluster: Option<&str>,
    named: impl IntoIterator<Item = &'s String>,
) {
    let within = asking.within(cluster);
    let mut any = false;
    for service in named {
        any = true;
        asking.ask_in("service", &within, service);
    }
    if !any {
        asking.ask(within.arn_of("service", "*"));
    }
}

fn task_set(asking: &mut Asking<'_>, [cluster, service, set]: [&str; 3]) {
    let within = asking.within(Some(cluster));
    let service = asking.service_key(&within, service);
    asking.ask_task_set(&within, service.as_ref(), set);
}

/// What belongs to a service takes the permission for the service and for itself. Each has keys of
/// its own.
fn each<'s>(asking: &mut Asking<'_>, kind: &str, named: impl IntoIterator<Item = &'s String>) {
    let mut any = false;
    for text in named {
        any = true;
        let owner = match text.parse() {
            Ok(Arn {
                scope,
                resource:
                    Resource::ServiceDeployment(cluster, service, _)
                    | Resource::ServiceRevision(cluster, service, _),
            }) => Some(Arn::new(&scope, Resource::Service(cluster, service))),
            _ => None,
        };
        asking.alone(|asking| asking.ask_arn(kind, text));
        if let Some(owner) = owner {
            asking.alone(|asking| asking.ask_arn("service", &owner.to_string()));
        }
    }
    if !any {
        asking.ask_anything();
    }
}

fn definition(asking: &mut Asking<'_>, text: Option<&str>) {
    let Some(text) = text else { return };
    let (arn, definition) = asking.task_definition(text);
    asking.key("ecs:task-definition", arn);
    let Some(definition) = definition else { return };
    let document: serde_json::Value =
        serde_json::from_str(definition.document.as_str()).unwrap_or_default();
    asking.key_of("ecs:task-cpu", document["cpu"].as_str());
    asking.key_of("ecs:task-memory", document["memory"].as_str());
}

fn network(asking: &mut Asking<'_>, network: Option<&NetworkConfiguration>) {
    let Some(network) = network.and_then(|network| network.awsvpc_configuration.as_ref()) else {
        return;
    };
    let public = network.assign_public_ip.is_some_and(|assign| assign.as_str() == "ENABLED");
    asking.key("ecs:auto-assign-public-ip", public);
    network.subnets.iter().for_each(|subnet| asking.key("ecs:subnet", subnet));
}
