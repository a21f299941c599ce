//! Actions of our own: what the AWS API has no place for, and what agents ask by websocket.

use http::Method;
use longshore_auth::{self as auth, Denied};
use longshore_domain::ids::{Arn, Resource};
use longshore_store::tables::ContainerInstanceKey;

use super::{Asking, Entry, Level, TooMuch};
use crate::call::Call;

/// An endpoint under `/_longshore/`.
pub(crate) struct Endpoint {
    method: Method,
    path: &'static str,
    /// Its row. Those with a cluster are asked with `ecs:cluster`.
    pub(crate) entry: Entry,
}

#[cfg(test)]
impl Endpoint {
    pub(super) fn method(&self) -> &'static str {
        if self.method == Method::GET { "GET" } else { "POST" }
    }

    pub(super) fn path(&self) -> &'static str {
        self.path
    }
}

/// Endpoints that are about a cluster, or the default one.
const CLUSTER: &[&str] = &["cluster"];
const IN_CLUSTER: &[&str] = &["aws:ResourceTag/${TagKey}", "ecs:cluster"];

const fn row(
    method: Method,
    path: &'static str,
    action: &'static str,
    level: Level,
    resources: &'static [&'static str],
) -> Endpoint {
    let keys = if resources.is_empty() { &[] } else { IN_CLUSTER };
    Endpoint { method, path, entry: Entry { action, level, resources, keys, also: &[] } }
}

/// Everything under `/_longshore/`, but for health.
pub(crate) const ENDPOINTS: &[Endpoint] = &[
    row(Method::GET, "explain", "longshore:ExplainPlacement", Level::Read, CLUSTER),
    row(Method::GET, "waits", "longshore:ListWaits", Level::Read, CLUSTER),
    row(Method::GET, "at", "longshore:GetHistory", Level::Read, CLUSTER),
    row(Method::GET, "events", "longshore:ReadEvents", Level::Read, &[]),
    row(Method::GET, "consolidate", "longshore:PlanConsolidation", Level::Read, CLUSTER),
    row(Method::POST, "consolidate", "longshore:Consolidate", Level::Write, CLUSTER),
    row(Method::GET, "balancers/routing", "longshore:GetRouting", Level::Read, &[]),
    row(Method::POST, "balancers/report", "longshore:ReportBalancer", Level::Read, &[]),
    row(Method::GET, "ca", "longshore:GetAuthority", Level::Read, &[]),
    row(Method::GET, "members", "longshore:GetStatus", Level::Read, &[]),
    row(Method::GET, "backup", "longshore:Backup", Level::Write, &[]),
    Endpoint {
        method: Method::POST,
        path: "join-token",
        entry: Entry {
            action: "longshore:CreateJoinToken",
            level: Level::Write,
            resources: &[],
            keys: &[],
            also: &["iam:PassRole"],
        },
    },
    row(Method::POST, "reset", "longshore:Reset", Level::Write, &[]),
    row(Method::GET, "audit/verify", "longshore:VerifyAudit", Level::Read, &[]),
    row(Method::GET, "iam/explain", "longshore:ExplainRequest", Level::Read, &[]),
    row(Method::GET, "iam/suggest", "longshore:SuggestPolicy", Level::Read, &[]),
    row(Method::GET, "iam/who-can", "longshore:ListAllowed", Level::Read, &[]),
];

/// What agents ask by websocket.
pub(super) const SESSIONS: &[&Entry] = &[&POLL, &TELEMETRY];
/// An agent listens for what it is to do.
pub(crate) const POLL: Entry = session("ecs:Poll");
/// An agent reports figures.
pub(crate) const TELEMETRY: Entry = session("ecs:StartTelemetrySession");
/// Nodes of balancers get private keys and secrets with what they are to do, and backups hold all.
/// The identity provider asks for it.
pub(super) const OWN_ALL: Entry =
    Entry { action: "longshore:OwnAll", level: Level::Read, resources: &[], keys: &[], also: &[] };

const fn session(action: &'static str) -> Entry {
    let resources = &["container-instance"];
    let keys = &["aws:ResourceTag/${TagKey}", "ecs:cluster"];
    Entry { action, level: Level::Write, resources, keys, also: &[] }
}

/// The endpoint of a request.
pub(crate) fn endpoint(method: &Method, path: &str) -> Option<&'static Endpoint> {
    ENDPOINTS.iter().find(|endpoint| endpoint.method == *method && endpoint.path == path)
}

impl Call {
    /// Whether the caller may use an endpoint, of a cluster where it is about one.
    ///
    /// # Errors
    /// [`Denied`]; it is noted for the audit log.
    pub(crate) fn may_use(&self, entry: &Entry, cluster: Option<&str>) -> Result<(), Box<Denied>> {
        self.may(entry.action, |asking| {
            if entry.resources.is_empty() {
                asking.ask_anything();
            } else {
                asking.within(cluster);
                asking.ask_cluster(cluster);
            }
        })
    }

    /// Whether the caller may be the agent of an instance, as far as policies say.
    ///
    /// # Errors
    /// [`Denied`]; it is noted for the audit log.
    pub(crate) fn may_connect(
        &self,
        entry: &Entry,
        key: &ContainerInstanceKey,
    ) -> Result<(), Box<Denied>> {
        let instance = Resource::ContainerInstance(key.cluster.clone(), key.id);
        let arn = Arn::new(&key.scope, instance).to_string();
        self.may(entry.action, |asking| asking.ask_arn("container-instance", &arn))
    }

    /// Whether the caller may hand a role on to `service`.
    ///
    /// # Errors
    /// [`Denied`]; it is noted for the audit log.
    pub(crate) fn may_pass(&self, role: &str, service: &str) -> Result<(), Box<Denied>> {
        self.may("iam:PassRole", |asking| asking.pass_role(role, service))
    }

    fn questions(
        &self,
        action: &'static str,
        ask: impl FnOnce(&mut Asking<'_>),
    ) -> Result<Vec<auth::Question>, TooMuch> {
        let view = self.server.state.view();
        let keys = self.permissions.context();
        let keys = self.origin.keys(keys, &self.principal, &self.scope.region, self.now);
        let mut asking = Asking::new(&view, &self.scope, action, keys);
        ask(&mut asking);
        asking.into_questions()
    }

    fn may(
        &self,
        action: &'static str,
        ask: impl FnOnce(&mut Asking<'_>),
    ) -> Result<(), Box<Denied>> {
        let auth::Permissions::By(_) = &self.permissions else { return Ok(()) };
        let questions = self.questions(action, ask).map_err(|TooMuch { mut asked }| {
            // What endpoints and sessions take is bounded by what a URL has room for.
            let denied = Box::new(Denied {
                principal_arn: self.principal.arn.clone(),
                question: asked.swap_remove(0),
                reason: auth::Reason::NoAllow(auth::Layer::Identity),
                evaluation: None,
            });
            self.trace.denied(denied.clone());
            denied
        })?;
        self.trace.asked(&questions);
        for question in questions {
            auth::allowed(&self.principal, &self.permissions, question)
                .inspect_err(|denied| self.trace.denied(denied.clone()))?;
        }
        Ok(())
    }
}
