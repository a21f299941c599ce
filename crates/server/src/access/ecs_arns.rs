//! The ARNs of what ECS requests name: a short name and a full ARN are the same resource.

use longshore_domain::ids::{
    Arn, ClusterName, Family, Resource, Revision, Scope, ServiceName, deployment_id,
};
use longshore_domain::record::{Tags, TaskDefinition};
use longshore_store::View;
use longshore_store::tables::{DaemonKey, TaskDefinitionKey};

use super::Asking;
use super::asking::is_plain;
use crate::ecs::{lookup, task_definition_ref};

/// The cluster that a request names; without a name, if it names none.
#[derive(Clone, Debug)]
pub(super) struct Within {
    scope: Scope,
    name: Option<ClusterName>,
}

impl Within {
    /// ARN of the cluster, `*` if there can be none.
    pub(super) fn arn(&self) -> String {
        match &self.name {
            Some(name) => Arn::new(&self.scope, Resource::Cluster(name.clone())).to_string(),
            None => "*".to_owned(),
        }
    }

    /// ARN of something in it, with a last part that may be a pattern for what is not there yet.
    pub(super) fn arn_of(&self, kind: &str, rest: &str) -> String {
        let Scope { account, region } = &self.scope;
        match &self.name {
            Some(cluster) => format!("arn:aws:ecs:{region}:{account}:{kind}/{cluster}/{rest}"),
            None => "*".to_owned(),
        }
    }
}

/// The word for a kind of resource in ARNs.
fn kind(resource: &Resource) -> &str {
    match resource {
        Resource::Cluster(_) => "cluster",
        Resource::Service(..) => "service",
        Resource::ServiceDeployment(..) => "service-deployment",
        Resource::ServiceRevision(..) => "service-revision",
        Resource::TaskSet(..) => "task-set",
        Resource::Daemon(..) => "daemon",
        Resource::DaemonDeployment(..) => "daemon-deployment",
        Resource::DaemonRevision(..) => "daemon-revision",
        Resource::DaemonTaskDefinition(..) => "daemon-task-definition",
        Resource::Task(..) => "task",
        Resource::ContainerInstance(..) => "container-instance",
        Resource::TaskDefinition(..) => "task-definition",
        Resource::Container(..) => "container",
        Resource::Other(kind, _) => kind,
    }
}

/// Cluster and service that a resource belongs to.
fn owners(resource: &Resource) -> (Option<&ClusterName>, Option<&ServiceName>) {
    match resource {
        Resource::Service(cluster, service)
        | Resource::ServiceDeployment(cluster, service, _)
        | Resource::ServiceRevision(cluster, service, _)
        | Resource::TaskSet(cluster, service, _) => (Some(cluster), Some(service)),
        Resource::Cluster(cluster)
        | Resource::Daemon(cluster, _)
        | Resource::DaemonDeployment(cluster, _, _)
        | Resource::DaemonRevision(cluster, _, _)
        | Resource::Task(cluster, _)
        | Resource::ContainerInstance(cluster, _)
        | Resource::Container(cluster, _, _) => (Some(cluster), None),
        Resource::DaemonTaskDefinition(..) | Resource::TaskDefinition(..) | Resource::Other(..) => {
            (None, None)
        }
    }
}

/// Tags of what an ARN names, if it is there.
fn tags<'v>(view: &'v View, Arn { scope, resource }: &Arn) -> Option<&'v Tags> {
    match resource {
        Resource::Cluster(name) => lookup::any_cluster(view, scope, name).map(|row| &row.tags),
        Resource::Task(cluster, id) => lookup::task(view, scope, cluster, *id).map(|row| &row.tags),
        Resource::ContainerInstance(cluster, id) => {
            lookup::instance(view, scope, cluster, *id).map(|row| &row.tags)
        }
        Resource::Service(cluster, name) => {
            lookup::service(view, scope, cluster, name).map(|row| &row.tags)
        }
        Resource::TaskSet(cluster, name, number) => {
            let row = lookup::service(view, scope, cluster, name)?;
            let set = row.task_sets.iter().find(|set| set.deployment.id == *number)?;
            Some(&set.tags)
        }
        Resource::Daemon(cluster, name) => {
            let (scope, cluster, name) = (scope.clone(), cluster.clone(), name.clone());
            view.daemons.get(&DaemonKey { scope, cluster, name }).map(|row| &row.tags)
        }
        Resource::TaskDefinition(family, revision) => {
            let (scope, family, revision) = (scope.clone(), family.clone(), *revision);
            let key = TaskDefinitionKey { scope, family, revision };
            view.task_definitions.get(&key).map(|row| &row.tags)
        }
        _ => None,
    }
}

impl<'a> Asking<'a> {
    /// The cluster that `text` names, the default one if there is none. It is a condition key from
    /// here on.
    pub(super) fn within(&mut self, text: Option<&str>) -> Within {
        let within = self.cluster(text);
        if within.name.is_some() {
            self.key("ecs:cluster", within.arn());
        }
        within
    }

    /// The same, without the key.
    pub(super) fn cluster(&self, text: Option<&str>) -> Within {
        let own = |name| Within { scope: self.scope.clone(), name };
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return own(Some(ClusterName::default_cluster()));
        };
        if !Arn::looks_like(text) {
            return own(text.parse().ok());
        }
        match text.parse() {
            Ok(Arn { scope, resource: Resource::Cluster(name) }) => {
                Within { scope, name: Some(name) }
            }
            _ => own(None),
        }
    }

    /// Whether the operation may be done to a cluster.
    pub(super) fn ask_cluster(&mut self, text: Option<&str>) {
        let within = self.cluster(text);
        self.ask_resource("cluster", &within, text.unwrap_or_default());
    }

    /// Whether it may be done to something of a cluster, by name, id or ARN.
    pub(super) fn ask_in(&mut self, kind: &str, within: &Within, text: &str) {
        self.ask_resource(kind, within, text);
    }

    /// Whether it may be done to what an ARN names; cluster and service of it are condition keys.
    pub(super) fn ask_arn(&mut self, wanted: &str, text: &str) {
        if self.is_full() {
            return;
        }
        let Some(arn) = parsed(wanted, text) else { return self.ask_anything() };
        let (cluster, service) = owners(&arn.resource);
        if let Some(cluster) = cluster.filter(|_| wanted != "cluster") {
            let cluster = Arn::new(&arn.scope, Resource::Cluster(cluster.clone()));
            self.key("ecs:cluster", cluster);
        }
        if let Some((cluster, service)) = cluster.zip(service).filter(|_| wanted != "service") {
            let service = Resource::Service(cluster.clone(), service.clone());
            self.key("ecs:service", Arn::new(&arn.scope, service));
        }
        self.ask_tagged(arn.to_string(), self.tags(&arn));
    }

    /// Whether it may be done to whatever has tags, by ARN.
    pub(super) fn ask_any(&mut self, text: &str) {
        match text.parse::<Arn>() {
            Ok(arn) if is_plain(text) => {
                self.ask_tagged(arn.to_string(), self.tags(&arn));
            }
            _ => self.ask_anything(),
        }
    }

    /// The ARN of a service, and a condition key from here on.
    pub(super) fn service_key(&mut self, within: &Within, text: &str) -> Option<ServiceName> {
        let name: Option<ServiceName> = if Arn::looks_like(text) {
            match text.parse::<Arn>().ok()?.resource {
                Resource::Service(_, name) => Some(name),
                _ => None,
            }
        } else {
            text.parse().ok()
        };
        if let Some(name) = &name {
            self.key("ecs:service", within.arn_of("service", name.as_str()));
        }
        name
    }

    /// Tags of what an ARN names, where a policy reads some.
    fn tags(&self, arn: &Arn) -> Option<&'a Tags> {
        if self.reads_tags() { tags(self.view, arn) } else { None }
    }

    fn ask_resource(&mut self, kind: &str, within: &Within, text: &str) {
        if self.is_full() {
            return;
        }
        if kind == "cluster" {
            let Some(name) = &within.name else { return self.ask_anything() };
            let arn =
                Arn { scope: within.scope.clone(), resource: Resource::Cluster(name.clone()) };
            return self.ask_tagged(arn.to_string(), self.tags(&arn));
        }
        if Arn::looks_like(text) {
            match parsed(kind, text) {
                // An ARN has one spelling.
                Some(arn) => self.ask_tagged(text, self.tags(&arn)),
                None => self.ask_anything(),
            }
            return;
        }
        if !is_plain(text) {
            return self.ask_anything();
        }
        // What is malformed gets the ARN that it would have, and its own error later.
        let would_be = within.arn_of(kind, text);
        match would_be.parse::<Arn>() {
            Ok(arn) => self.ask_tagged(would_be, self.tags(&arn)),
            Err(_) => self.ask(would_be),
        }
    }

    /// A task set of a service, by `ecs-svc/NUMBER` or ARN.
    pub(super) fn ask_task_set(
        &mut self,
        within: &Within,
        service: Option<&ServiceName>,
        text: &str,
    ) {
        if Arn::looks_like(text) {
            return self.ask_in("task-set", within, text);
        }
        match service.zip(deployment_id(text)) {
            Some((service, number)) => {
                self.ask_in("task-set", within, &format!("{service}/ecs-svc/{number}"));
            }
            None => self.ask_anything(),
        }
    }

    /// The task definition that a request names, and the ARN that it has or would have.
    pub(super) fn task_definition(&self, text: &str) -> (String, Option<TaskDefinition>) {
        let scope = self.scope;
        let Ok(reference) = task_definition_ref(scope, text) else {
            // One of another account or region is refused as such.
            let foreign = parsed("task-definition", text).map(|arn| arn.to_string());
            return (foreign.unwrap_or_else(|| "*".to_owned()), None);
        };
        let found = lookup::task_definition(self.view, scope, &reference);
        let arn = match (found, reference.revision) {
            (Some(row), _) => definition_arn(scope, &row.family, row.revision),
            (None, Some(revision)) => definition_arn(scope, &reference.family, revision),
            (None, None) => self.definition_of_family(reference.family.as_str()),
        };
        (arn, found.map(|row| row.record.clone()))
    }

    /// The ARN that the next revision of a family will have, as far as it is known.
    pub(super) fn definition_of_family(&self, family: &str) -> String {
        let Scope { account, region } = self.scope;
        if family.parse::<Family>().is_err() {
            return "*".to_owned();
        }
        format!("arn:aws:ecs:{region}:{account}:task-definition/{family}:*")
    }
}

fn definition_arn(scope: &Scope, family: &Family, revision: Revision) -> String {
    Arn::new(scope, Resource::TaskDefinition(family.clone(), revision)).to_string()
}

/// An ARN of the wanted kind.
fn parsed(wanted: &str, text: &str) -> Option<Arn> {
    let arn: Arn = text.parse().ok()?;
    (kind(&arn.resource) == wanted && is_plain(text)).then_some(arn)
}
