//! Sessions of roles for running tasks: who may have one, and how it ends; and whether a service may
//! have a role at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use longshore_auth::{
    Ask, Attached, Context, Credentials, Lent, Loan, Policy, PolicyKind, RoleProblem, Session, Who,
    trusts,
};
use longshore_domain::ids::{Arn, IamArn, IamResource, Resource};
use longshore_domain::record::IamRole;
use longshore_store::tables::{IamRoleKey, TaskKey};
use longshore_store::{Row, View};

use super::token::{Subject, mint};
use super::vault::Vault;

/// Who has roles for machines.
pub(super) const EC2: &str = "ec2.amazonaws.com";
/// Who has roles for tasks.
const TASKS: &str = "ecs-tasks.amazonaws.com";

/// How long a session may be younger than what this server knows of its task, in seconds: another
/// server has placed the task, and this one hears of it a moment later.
const UNHEARD_S: i64 = 60;

/// The role, if tasks may have it. It is named by its ARN or, within the account of `source_arn`, by
/// its name alone, as ECS takes task roles.
pub(super) fn role<'v>(
    view: &'v View,
    named: &str,
    source_arn: &str,
) -> Result<&'v Arc<Row<IamRole>>, RoleProblem> {
    let key = match named.parse() {
        Ok(IamArn { account: Some(account), resource: IamResource::Role(_, name) }) => {
            IamRoleKey::new(account, &name)
        }
        Ok(_) => return Err(RoleProblem::Missing),
        Err(_) => {
            let account = source_arn.parse().map(|Arn { scope, .. }| scope.account);
            IamRoleKey::new(account.map_err(|_| RoleProblem::Missing)?, named)
        }
    };
    let row = view.iam_roles.get(&key).ok_or(RoleProblem::Missing)?;
    let role_arn = &row.arn();
    if named.starts_with("arn:") && named != role_arn {
        return Err(RoleProblem::Missing);
    }
    if is_trusted(row, TASKS, source_arn) { Ok(row) } else { Err(RoleProblem::Untrusted) }
}

/// Whether the trust policy of a role lets a service have it, for the sake of a resource.
pub(super) fn is_trusted(role: &IamRole, service: &str, source_arn: &str) -> bool {
    let role_arn = role.arn();
    let policy = match Policy::parse_as(&role.trust, PolicyKind::Trust) {
        Ok(policy) => Arc::new(policy),
        Err(error) => {
            tracing::error!(%error, role = role_arn, "a trust policy cannot be read");
            return false;
        }
    };
    let trust = Attached { source: format!("trust policy of {role_arn}"), policy };
    let mut context = Context::default();
    // Against a confused deputy: the account and the resource that the service acts for.
    context.add("aws:SourceAccount", role.account.to_string());
    context.add("aws:SourceArn", source_arn);
    let ask = Ask { action: "sts:AssumeRole", resource: &role_arn, context: &context };
    trusts(&trust, &Who::Service(service), &ask).is_allowed()
}

/// A session of a role for a task.
pub(super) fn lend(
    view: &View,
    vault: &Vault,
    loan: &Loan<'_>,
    now_s: i64,
) -> Result<Lent, RoleProblem> {
    let role = role(view, loan.role_arn, loan.task_arn)?;
    let expires_at_s = now_s.saturating_add(loan.life_s);
    let session = Session {
        issued_at_s: now_s,
        expires_at_s,
        role_arn: Some(role.arn()),
        task_arn: Some(loan.task_arn.to_owned()),
        ..Session::default()
    };
    let subject = Subject::Role { id: role.id.clone(), session: loan.session.to_owned() };
    let minted = mint(vault, role.account, subject, BTreeMap::new(), session);
    let minted = minted.map_err(|error| {
        tracing::error!(%error, "a task goes without credentials");
        RoleProblem::Unsealed
    })?;
    let credentials = Credentials {
        access_key_id: minted.access_key_id,
        secret_access_key: minted.secret_access_key,
        session_token: Some(minted.session_token),
    };
    Ok(Lent { role_arn: role.arn(), credentials, expires_at_s })
}

/// Whether the task of a session has ended, and the session with it.
pub(super) fn has_ended(view: &View, session: &Session, now_s: i64) -> bool {
    let Some(task_arn) = &session.task_arn else { return false };
    let Ok(Arn { scope, resource: Resource::Task(cluster, id) }) = task_arn.parse() else {
        return true;
    };
    match view.tasks.get(&TaskKey { scope, cluster, id }) {
        Some(task) => task.is_stopped(),
        None => now_s.saturating_sub(session.issued_at_s) > UNHEARD_S,
    }
}

#[cfg(test)]
mod tests {
    use longshore_domain::ids::{AccountId, IamId, IamIdKind};
    use longshore_domain::record::{Grants, Tags, TaskStatus};
    use longshore_store::RecordTxn;

    use super::*;
    use crate::clock::RandomIds;
    use crate::{clock, test_records, test_server};

    const TASK_ROLE: &str = "arn:aws:iam::000000000000:role/app/web";
    const NOW_S: i64 = 1_790_000_000;

    fn record(trust: &str) -> IamRole {
        IamRole {
            account: AccountId::default(),
            name: "web".to_owned(),
            path: "/app/".to_owned(),
            id: IamId::fresh(IamIdKind::Role, &mut RandomIds),
            created_at: clock::now(),
            trust: trust.to_owned(),
            description: None,
            max_session_s: 3600,
            boundary: None,
            grants: Grants::default(),
            tags: Tags::new(),
            last_used: None,
        }
    }

    fn trust(service: &str, condition: &str) -> String {
        format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"Service":"{service}"}},"Action":"sts:AssumeRole"{condition}}}}}"#
        )
    }

    async fn problem(trust: &str, role_arn: &str, source_arn: &str) -> Option<RoleProblem> {
        let server = test_server::server().await;
        let mut txn = RecordTxn::new();
        txn.insert(&record(trust));
        let _ = server.commit(txn).await.expect("commits");
        role(&server.state.view(), role_arn, source_arn).err()
    }

    #[tokio::test]
    async fn tasks_have_roles_that_exist_and_trust_them() {
        let cluster = "arn:aws:ecs:us-east-1:000000000000:cluster/c";
        let right = trust(TASKS, "");
        assert_eq!(problem(&right, TASK_ROLE, cluster).await, None);
        assert_eq!(problem(&right, "web", cluster).await, None, "by its name alone");
        for wrong in [
            "arn:aws:iam::000000000000:role/web",
            "arn:aws:iam::000000000000:role/app/other",
            "arn:aws:iam::000000000001:role/app/web",
            "arn:aws:iam::000000000000:user/app/web",
            "app/web",
            "null",
        ] {
            let found = problem(&right, wrong, cluster).await;
            assert_eq!(found, Some(RoleProblem::Missing), "{wrong}");
        }
        let untrusted = Some(RoleProblem::Untrusted);
        assert_eq!(problem(&trust("ecs.amazonaws.com", ""), TASK_ROLE, cluster).await, untrusted);
        // A service that is tricked into acting for somebody else.
        let mine = r#","Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:ecs:us-east-1:000000000000:*"},"StringEquals":{"aws:SourceAccount":"000000000000"}}"#;
        assert_eq!(problem(&trust(TASKS, mine), TASK_ROLE, cluster).await, None);
        let others = "arn:aws:ecs:us-east-1:000000000001:cluster/c";
        assert_eq!(problem(&trust(TASKS, mine), TASK_ROLE, others).await, untrusted);
    }

    #[tokio::test]
    async fn a_session_ends_with_its_task() {
        let server = test_server::server().await;
        let mut task = test_records::task(1);
        let arn = Arn::new(&task.scope, Resource::Task(task.cluster.clone(), task.id));
        let session =
            Session { issued_at_s: NOW_S, task_arn: Some(arn.to_string()), ..Session::default() };
        let ended = |after_s| has_ended(&server.state.view(), &session, NOW_S + after_s);
        assert!(!ended(UNHEARD_S), "this server has not heard of it yet");
        assert!(ended(UNHEARD_S + 1), "it was forgotten");
        let mut txn = RecordTxn::new();
        txn.insert(&task);
        let _ = server.commit(txn).await.expect("commits");
        assert!(!ended(UNHEARD_S + 1));
        task.observed.status = TaskStatus::Stopped;
        let mut txn = RecordTxn::new();
        let view = server.state.view();
        let (scope, cluster, id) = (task.scope.clone(), task.cluster.clone(), task.id);
        let row = view.tasks.get(&TaskKey { scope, cluster, id }).expect("it is there");
        txn.update(row, &task);
        let _ = server.commit(txn).await.expect("commits");
        assert!(ended(0));
        assert!(!has_ended(&server.state.view(), &Session::default(), NOW_S), "it has no task");
    }
}
