//! Roles of tasks: which a task has, what its agent is given for them, and when it is given more.
//!
//! A task that cannot have a role any more when its agent is to hear of it is stopped instead.
//! Credentials are made when they are sent, and kept nowhere: another server, or this one after a restart, makes
//! others that are as good. Only the id that containers ask by stays the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp as Instant;
use longshore_auth::{IdentityProvider, Lent, Loan};
use longshore_domain::deploy::RefusedRole;
use longshore_domain::ids::{Arn, Resource, TaskId};
use longshore_domain::record::{DesiredStatus, StopCode, StopOrder, Task};
use longshore_domain::time::Timestamp;
use longshore_store::tables::{ContainerInstanceKey, TaskKey};
use longshore_store::{RecordTxn, Row, View};
use longshore_wire::ServiceError;
use longshore_wire::agent::{RoleCredentials, RoleType, Task as AgentTask};

use super::delivery::is_known;
use crate::ecs::Roles;
use crate::{Server, clock};

/// Makes credentials for the roles of tasks.
#[derive(Clone, Copy)]
pub(super) struct Lender<'a> {
    pub(super) identity: &'a dyn IdentityProvider,
    /// How long they last.
    pub(super) life: Duration,
    pub(super) now: Timestamp,
}

impl Lender<'_> {
    /// Gives a task that is told to its agent its roles.
    pub(super) fn lend_all(&self, view: &View, task: &Task, told: &mut AgentTask) {
        for (kind, arn) in Roles::of(view, task).each() {
            let lent = self.lend(task, &kind, arn);
            match kind {
                RoleType::TaskExecution => told.execution_role_credentials = lent,
                _ => told.role_credentials = lent,
            }
        }
    }

    /// Credentials of a role for a task; nothing where identities have no roles, or not this one.
    pub(super) fn lend(
        &self,
        task: &Task,
        kind: &RoleType,
        role_arn: &str,
    ) -> Option<RoleCredentials> {
        let task_arn =
            Arn::new(&task.scope, Resource::Task(task.cluster.clone(), task.id)).to_string();
        let loan = Loan {
            role_arn,
            session: &task.id.to_string(),
            task_arn: &task_arn,
            life_s: i64::try_from(self.life.as_secs()).unwrap_or(i64::MAX),
        };
        let lent = self.identity.lend(&loan, self.now.as_millis() / 1000);
        let lent = lent.unwrap_or_else(|problem| {
            tracing::warn!(task = %task.id, role_arn, %problem, "a task cannot have its role");
            None
        })?;
        let scope = kind.as_str();
        let Lent { role_arn, credentials, expires_at_s } = lent;
        Some(RoleCredentials {
            credentials_id: clock::format_uuid(
                self.identity.secret_id(&format!("{scope} {task_arn}")),
            ),
            role_arn,
            access_key_id: credentials.access_key_id,
            secret_access_key: credentials.secret_access_key,
            session_token: credentials.session_token.unwrap_or_default(),
            expiration: Instant::from_second(expires_at_s)
                .map(|at| at.to_string())
                .unwrap_or_default(),
            credential_scope: Some(scope.to_owned()),
        })
    }
}

/// The tasks that their agent has not begun, and that cannot have a role of theirs any more: it was there when
/// they were started. Those that run go on, without other credentials than they have.
pub(super) fn refused(
    server: &Server,
    view: &View,
    due: &[&Task],
) -> BTreeMap<TaskId, RefusedRole> {
    if !server.is_iam {
        return BTreeMap::new();
    }
    let running = DesiredStatus::Running;
    let fresh = due.iter().filter(|task| task.desired == running && !is_known(task, running));
    let refused = fresh.filter_map(|task| {
        let roles = Roles::of(view, task);
        Some((task.id, roles.refused_in(&*server.identity, &task.scope, &task.cluster)?))
    });
    refused.collect()
}

/// Stops tasks of an instance that cannot have their roles, with the reason that ECS gives. When that
/// cannot be written they are kept back all the same, and come up again.
pub(super) async fn take_back(
    server: &Server,
    key: &ContainerInstanceKey,
    refused: BTreeMap<TaskId, RefusedRole>,
    now: Timestamp,
) {
    let decide = |view: &View, txn: &mut RecordTxn| -> Result<(), ServiceError> {
        for (id, refused) in &refused {
            let (scope, cluster) = (key.scope.clone(), key.cluster.clone());
            let row = view.tasks.get(&TaskKey { scope, cluster, id: *id });
            let wanted = |row: &&Arc<Row<Task>>| row.desired == DesiredStatus::Running;
            let Some(row) = row.filter(wanted) else { continue };
            let (code, reason) = (StopCode::TaskFailedToStart, refused.to_string());
            let stopped = Task {
                desired: DesiredStatus::Stopped,
                stop: Some(StopOrder { code, reason, at: now }),
                version: row.version + 1,
                ..row.record.clone()
            };
            txn.update(row, &stopped);
        }
        Ok(())
    };
    for (task, RefusedRole { role, why }) in &refused {
        tracing::warn!(%task, role, why, "a task is not started, since it cannot have its role");
    }
    if let Err(error) = server.decide(decide).await {
        tracing::warn!(%error, "tasks that cannot have their roles are not stopped yet");
    }
}

/// When the roles of each task are due.
#[derive(Debug)]
pub(super) struct Loans {
    /// When what an agent has from an earlier session is renewed.
    renew_at: Timestamp,
    /// Of tasks with roles the time; nothing of those without.
    due: BTreeMap<TaskId, Option<Timestamp>>,
}

impl Loans {
    /// Nothing was given yet; what the agent may have from before is renewed from `renew_at` on.
    pub(super) fn new(renew_at: Timestamp) -> Self {
        Self { renew_at, due: BTreeMap::new() }
    }

    /// The task was told to its agent with the roles that it has.
    pub(super) fn described(
        &mut self,
        task: TaskId,
        told: &AgentTask,
        life: Duration,
        now: Timestamp,
    ) {
        if told.role_credentials.is_some() || told.execution_role_credentials.is_some() {
            self.given(task, life, now);
        }
    }

    /// The task has its roles: half their life later there are others.
    pub(super) fn given(&mut self, task: TaskId, life: Duration, now: Timestamp) {
        self.due.insert(task, Some(now + life / 2));
    }

    /// The running tasks whose roles are due; and when to look again at the latest.
    pub(super) fn due<'a>(
        &mut self,
        tasks: impl Iterator<Item = &'a Task>,
        has_roles: impl Fn(&Task) -> bool,
        now: Timestamp,
    ) -> (Vec<&'a Task>, Option<Timestamp>) {
        let mut before = std::mem::take(&mut self.due);
        let (mut due, mut next) = (Vec::new(), None::<Timestamp>);
        for task in tasks {
            if task.is_stopped() || task.told(now) == DesiredStatus::Stopped {
                continue;
            }
            let at =
                before.remove(&task.id).unwrap_or_else(|| has_roles(task).then_some(self.renew_at));
            self.due.insert(task.id, at);
            match at {
                Some(at) if at <= now => due.push(task),
                Some(at) => next = Some(next.map_or(at, |next| next.min(at))),
                None => {}
            }
        }
        (due, next)
    }
}

#[cfg(test)]
mod tests {
    use longshore_auth::{Account, Open};

    use super::*;
    use crate::test_records::task;

    const LIFE: Duration = Duration::from_secs(100);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn roles_are_renewed_at_half_their_life() {
        let (task, mut loans) = (task(1), Loans::new(at(0)));
        let mut due = |seconds, given: Option<i64>| {
            if let Some(given) = given {
                loans.given(task.id, LIFE, at(given));
            }
            let (due, next) = loans.due([&task].into_iter(), |_| true, at(seconds));
            (due.len(), next)
        };
        assert_eq!(due(10, Some(10)), (0, Some(at(60))));
        assert_eq!(due(59, None), (0, Some(at(60))));
        assert_eq!(due(60, None), (1, None));
        assert_eq!(due(61, Some(60)), (0, Some(at(110))));
    }

    #[test]
    fn what_an_earlier_session_gave_is_renewed_in_its_turn_and_what_stops_is_not() {
        let (mut task, mut loans) = (task(1), Loans::new(at(20)));
        let (due, next) = loans.due([&task].into_iter(), |_| true, at(10));
        assert_eq!((due.len(), next), (0, Some(at(20))));
        assert_eq!(loans.due([&task].into_iter(), |_| true, at(20)).0, [&task]);
        let mut others = Loans::new(at(0));
        assert_eq!(others.due([&task].into_iter(), |_| false, at(20)), (vec![], None));
        let never = |_: &Task| -> bool { panic!("it is known to have none") };
        assert_eq!(others.due([&task].into_iter(), never, at(30)), (vec![], None));
        task.desired = DesiredStatus::Stopped;
        assert_eq!(loans.due([&task].into_iter(), |_| true, at(30)), (vec![], None));
    }

    #[test]
    fn the_id_of_credentials_stays_and_differs_by_task_and_kind() {
        let identity = Open::new(Account::default());
        let lender = Lender { identity: &identity, life: LIFE, now: at(50) };
        let role = "arn:aws:iam::000000000042:role/service/r";
        let lend = |lender: &Lender<'_>, number, kind| {
            lender.lend(&task(number), &kind, role).expect("a role")
        };
        let first = lend(&lender, 1, RoleType::TaskApplication);
        assert_eq!(first.expiration, "1970-01-01T00:02:30Z");
        assert_eq!(first.credential_scope.as_deref(), Some("TaskApplication"));
        let later = Lender { now: at(90), ..lender };
        let again = lend(&later, 1, RoleType::TaskApplication);
        assert_eq!(again.credentials_id, first.credentials_id);
        for (number, kind) in [(2, RoleType::TaskApplication), (1, RoleType::TaskExecution)] {
            assert_ne!(lend(&lender, number, kind).credentials_id, first.credentials_id);
        }
    }
}
