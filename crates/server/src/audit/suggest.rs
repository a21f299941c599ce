//! The least policy that covers what the audit log shows that a principal used.
//!
//! What a service numbers by itself (tasks, instances, deployments, revisions of task definitions, ids of
//! balancers) is a `*` in it, within the cluster, service, family or name that it belongs to; what
//! people name stays as it is. Nothing else is made wider.

use std::collections::{BTreeMap, BTreeSet};

use longshore_domain::ids::{Arn, ElbArn, ElbResource, Resource, Scope};
use serde_json::{Value, json};

use super::Used;

/// The policy document.
pub(crate) fn policy(used: &Used) -> Value {
    // Actions that are about the same share a statement.
    let mut statements: BTreeMap<(BTreeSet<String>, Option<&str>), BTreeSet<&str>> =
        BTreeMap::new();
    for (use_of, resources) in &used.actions {
        let resources = resources.iter().map(|resource| general(resource)).collect();
        let condition = use_of.passed_to.as_deref();
        statements.entry((least(resources), condition)).or_default().insert(&use_of.action);
    }
    let statement = |((resources, passed_to), actions): (_, _)| {
        let mut statement = json!({ "Effect": "Allow", "Action": one_or_more(actions), "Resource": one_or_more(resources) });
        if let Some(service) = passed_to {
            statement["Condition"] = json!({ "StringEquals": { "iam:PassedToService": service } });
        }
        statement
    };
    let statements: Vec<Value> = statements.into_iter().map(statement).collect();
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// Beside `*`, nothing else says anything.
fn least(resources: BTreeSet<String>) -> BTreeSet<String> {
    if resources.contains("*") { BTreeSet::from(["*".to_owned()]) } else { resources }
}

fn one_or_more<T: Into<Value> + Ord>(values: BTreeSet<T>) -> Value {
    let mut values: Vec<Value> = values.into_iter().map(Into::into).collect();
    if values.len() == 1 { values.remove(0) } else { values.into() }
}

/// A resource without what a service numbers by itself.
fn general(text: &str) -> String {
    if let Ok(Arn { scope, resource }) = text.parse::<Arn>() {
        if let Some(rest) = ecs(&resource) {
            let Scope { account, region } = scope;
            return format!("arn:aws:ecs:{region}:{account}:{rest}");
        }
    } else if let Ok(ElbArn { scope, resource }) = text.parse::<ElbArn>() {
        let whole = ElbArn::new(&scope, resource.clone()).to_string();
        // The name is the last part that people have chosen.
        let numbered = match resource {
            ElbResource::LoadBalancer(..) | ElbResource::TargetGroup(..) => 1,
            ElbResource::Listener(..) => 2,
            ElbResource::Rule(..) => 3,
        };
        let parts: Vec<&str> = whole.split('/').collect();
        return format!("{}/*", parts[..parts.len() - numbered].join("/"));
    }
    text.to_owned()
}

fn ecs(resource: &Resource) -> Option<String> {
    Some(match resource {
        Resource::Task(cluster, _) => format!("task/{cluster}/*"),
        Resource::ContainerInstance(cluster, _) => format!("container-instance/{cluster}/*"),
        Resource::TaskDefinition(family, _) => format!("task-definition/{family}:*"),
        Resource::DaemonTaskDefinition(family, _) => format!("daemon-task-definition/{family}:*"),
        Resource::ServiceDeployment(cluster, service, _) => {
            format!("service-deployment/{cluster}/{service}/*")
        }
        Resource::ServiceRevision(cluster, service, _) => {
            format!("service-revision/{cluster}/{service}/*")
        }
        Resource::TaskSet(cluster, service, _) => format!("task-set/{cluster}/{service}/*"),
        Resource::DaemonDeployment(cluster, daemon, _) => {
            format!("daemon-deployment/{cluster}/{daemon}/*")
        }
        Resource::DaemonRevision(cluster, daemon, _) => {
            format!("daemon-revision/{cluster}/{daemon}/*")
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Use;

    fn used(asked: &[(&str, &str, Option<&str>)]) -> Used {
        let mut used = Used::default();
        for (action, resource, passed_to) in asked {
            let action =
                Use { action: (*action).to_owned(), passed_to: passed_to.map(str::to_owned) };
            used.actions.entry(action).or_default().insert((*resource).to_owned());
        }
        used
    }

    #[test]
    fn ids_are_general_and_names_stay() {
        let arn = |rest: &str| format!("arn:aws:ecs:us-east-1:000000000042:{rest}");
        let id = "0123456789abcdef0123456789abcdef";
        for (text, expected) in [
            (format!("task/c/{id}"), "task/c/*"),
            (format!("container-instance/c/{id}"), "container-instance/c/*"),
            ("task-definition/web:7".to_owned(), "task-definition/web:*"),
            ("task-definition/web:*".to_owned(), "task-definition/web:*"),
            ("service/c/web".to_owned(), "service/c/web"),
            ("cluster/c".to_owned(), "cluster/c"),
            ("task/c/*".to_owned(), "task/c/*"),
        ] {
            assert_eq!(general(&arn(&text)), arn(expected));
        }
        let elb = "arn:aws:elasticloadbalancing:us-east-1:000000000042:";
        let listener = format!("{elb}listener/app/web/0123456789abcdef/0123456789abcdee");
        assert_eq!(general(&listener), format!("{elb}listener/app/web/*"));
        assert_eq!(
            general(&format!("{elb}targetgroup/web/0123456789abcdef")),
            format!("{elb}targetgroup/web/*")
        );
    }

    #[test]
    fn actions_that_are_about_the_same_share_a_statement() {
        let task = "arn:aws:ecs:us-east-1:000000000042:task/c/";
        let (one, two) = (format!("{task}{:032x}", 1), format!("{task}{:032x}", 2));
        let role = "arn:aws:iam::000000000042:role/app";
        let policy = policy(&used(&[
            ("ecs:DescribeTasks", &one, None),
            ("ecs:DescribeTasks", &two, None),
            ("ecs:StopTask", &one, None),
            ("ecs:ListClusters", "*", None),
            ("iam:PassRole", role, Some("ecs-tasks.amazonaws.com")),
        ]));
        assert_eq!(
            policy["Statement"],
            json!([
                { "Effect": "Allow", "Action": "ecs:ListClusters", "Resource": "*" },
                {
                    "Effect": "Allow",
                    "Action": ["ecs:DescribeTasks", "ecs:StopTask"],
                    "Resource": format!("{task}*"),
                },
                {
                    "Effect": "Allow", "Action": "iam:PassRole", "Resource": role,
                    "Condition": { "StringEquals": { "iam:PassedToService": "ecs-tasks.amazonaws.com" } },
                },
            ])
        );
    }
}
