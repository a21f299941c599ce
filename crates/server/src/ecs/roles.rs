//! The roles that task definitions and overrides name.

use longshore_auth::IdentityProvider;
use longshore_domain::deploy::RefusedRole;
use longshore_domain::ids::{Arn, ClusterName, Resource, Scope};
use longshore_domain::record::{Document, Task};
use longshore_store::View;
use longshore_wire::ServiceError;
use longshore_wire::agent::RoleType;
use serde::Deserialize;

use super::client_error;

/// The member names of roles end so, in definitions and overrides.
const MEMBER: &str = "RoleArn\"";

/// The roles of one task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Roles {
    task_role_arn: Option<String>,
    execution_role_arn: Option<String>,
}

impl Roles {
    /// Of a task as it is kept.
    pub(crate) fn of(view: &View, task: &Task) -> Self {
        let Some(definition) = super::definition_of(view, task) else { return Self::default() };
        Self::named(&definition.document, task.overrides.as_ref())
    }

    /// Of a definition and overrides, which count for more.
    pub(crate) fn named(definition: &Document, overrides: Option<&Document>) -> Self {
        let over = overrides.map(Self::read).unwrap_or_default();
        let own = Self::read(definition);
        Self {
            task_role_arn: over.task_role_arn.or(own.task_role_arn),
            execution_role_arn: over.execution_role_arn.or(own.execution_role_arn),
        }
    }

    /// Most documents name no role, and are not taken apart.
    fn read(document: &Document) -> Self {
        let text = document.as_str();
        if !text.contains(MEMBER) {
            return Self::default();
        }
        serde_json::from_str(text).unwrap_or_default()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.task_role_arn.is_none() && self.execution_role_arn.is_none()
    }

    /// Each role and what it is for.
    pub(crate) fn each(&self) -> impl Iterator<Item = (RoleType, &str)> {
        let task = self.task_role_arn.as_deref().map(|arn| (RoleType::TaskApplication, arn));
        let execution = self.execution_role_arn.as_deref();
        task.into_iter().chain(execution.map(|arn| (RoleType::TaskExecution, arn)))
    }

    /// Whether tasks could have them, so that nothing is started that would fail later.
    ///
    /// # Errors
    /// `ClientException` with ECS's text, and which half of it fails.
    pub(crate) fn check(
        &self,
        identity: &dyn IdentityProvider,
        source_arn: &str,
    ) -> Result<(), ServiceError> {
        match self.refused(identity, source_arn) {
            Some(refused) => Err(client_error(format!("{refused} ({}.)", refused.why))),
            None => Ok(()),
        }
    }

    /// The first that tasks of a cluster cannot have. Whatever starts tasks asks for the sake of the cluster, so
    /// that one that may be started is not taken back.
    pub(crate) fn refused_in(
        &self,
        identity: &dyn IdentityProvider,
        scope: &Scope,
        cluster: &ClusterName,
    ) -> Option<RefusedRole> {
        if self.is_empty() {
            return None;
        }
        let cluster = Resource::Cluster(cluster.clone());
        self.refused(identity, &Arn::new(scope, cluster).to_string())
    }

    /// The first that tasks cannot have.
    fn refused(&self, identity: &dyn IdentityProvider, source_arn: &str) -> Option<RefusedRole> {
        self.each().find_map(|(kind, arn)| {
            let problem = identity.check_role(arn, source_arn).err()?;
            let slot = match kind {
                RoleType::TaskExecution => "executionRoleArn",
                _ => "taskRoleArn",
            };
            Some(RefusedRole { role: arn.to_owned(), why: format!("{slot}: {problem}") })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_count_for_more() {
        let document = |text: &str| Document::new(text.to_owned()).expect("JSON");
        let definition = document(r#"{"taskRoleArn":"a","executionRoleArn":"b","family":"f"}"#);
        let each = |overrides: Option<&Document>| {
            let roles = Roles::named(&definition, overrides);
            roles.each().map(|(kind, arn)| (kind, arn.to_owned())).collect::<Vec<_>>()
        };
        let (task, execution) = (RoleType::TaskApplication, RoleType::TaskExecution);
        let execution = (execution, "b".to_owned());
        assert_eq!(each(None), [(task.clone(), "a".to_owned()), execution.clone()]);
        let over = document(r#"{"taskRoleArn":"c","cpu":"256"}"#);
        assert_eq!(each(Some(&over)), [(task, "c".to_owned()), execution]);
        assert!(Roles::named(&document("{}"), None).is_empty());
    }
}
