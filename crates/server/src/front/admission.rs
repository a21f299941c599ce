//! Who is answered: requests of callers that ask too often are refused, and reads before changes
//! before agents while too much is going on.
//!
//! What it leaves out: the decisions themselves (`domain::throttle`).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use longshore_auth::Principal;
use longshore_domain::ids::Scope;
use longshore_domain::limits;
use longshore_domain::throttle::{CallKind, Throttle, Urgency};
use longshore_domain::time::Timestamp;
use longshore_wire::ServiceError;
use longshore_wire::ecs::{ErrorCode, OperationName};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::asked::Asked;

/// AWS's text.
const RATE_EXCEEDED: &str = "Rate exceeded";

/// What is going on, and who has asked how often.
#[derive(Debug)]
pub(crate) struct Admission {
    /// Requests of agents that are being answered.
    agents: AtomicUsize,
    /// Those of everybody else. Agents that report all at once keep nobody from asking.
    others: AtomicUsize,
    /// Turns of agents to be answered.
    turns: Semaphore,
    /// Absent where nobody is throttled.
    throttle: Option<Mutex<Throttle>>,
}

/// A request that is being answered, until this is dropped.
#[derive(Debug)]
pub(super) struct Answering<'a>(&'a AtomicUsize);

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    /// Where `throttled`, callers are held to the rates of ECS.
    pub(crate) fn new(throttled: bool) -> Self {
        let throttle = throttled.then(Mutex::default);
        Self {
            agents: AtomicUsize::new(0),
            others: AtomicUsize::new(0),
            turns: Semaphore::new(limits::AGENT_REQUESTS_AT_ONCE),
            throttle,
        }
    }

    /// Requests that are being answered.
    pub(super) fn answering(&self) -> usize {
        self.agents.load(Ordering::Relaxed) + self.others.load(Ordering::Relaxed)
    }

    /// Lets a request in.
    ///
    /// # Errors
    /// There is too much to do already.
    pub(super) fn enter(&self, asked: Asked) -> Result<Answering<'_>, ServiceError> {
        let urgency = urgency(asked);
        let counter = if urgency == Urgency::Agent { &self.agents } else { &self.others };
        let before = counter.fetch_add(1, Ordering::Relaxed);
        let answering = Answering(counter);
        if !urgency.gives_way(before) {
            return Ok(answering);
        }
        let message = "The service is busy at the moment; nothing was changed. Try again.";
        Err(ServiceError { status: 503, ..ServiceError::client("ServiceUnavailable", message) })
    }

    /// Waits for the turn of an agent's request. Whoever else asks does not wait behind all of
    /// those that report at the same time.
    pub(super) async fn turn(&self, asked: Asked) -> Option<SemaphorePermit<'_>> {
        if urgency(asked) == Urgency::Agent {
            // Never closed.
            self.turns.acquire().await.ok()
        } else {
            None
        }
    }

    /// Refuses a request of a caller that asks too often.
    pub(super) fn throttle(
        &self,
        principal: &Principal,
        scope: &Scope,
        asked: Asked,
        now: Timestamp,
    ) -> Result<(), ServiceError> {
        // The rates of other services are not public.
        let (Some(throttle), Asked::Ecs(operation)) = (&self.throttle, asked) else {
            return Ok(());
        };
        let kind = kind(operation);
        let caller = format!("{}/{}", scope.region, principal.arn);
        let mut throttle = throttle.lock().unwrap_or_else(PoisonError::into_inner);
        throttle
            .admit(&caller, kind, kind.aws(), now)
            .map_err(|_| ErrorCode::ThrottlingException.error(RATE_EXCEEDED))
    }
}

/// How urgent an operation is.
fn urgency(asked: Asked) -> Urgency {
    match asked {
        Asked::Ecs(operation) => kind(operation).urgency(),
        Asked::Acm(operation) if operation.info().read_only => Urgency::Read,
        Asked::Elbv2(operation) if operation.info().read_only => Urgency::Read,
        Asked::Iam(operation) if operation.info().read_only => Urgency::Read,
        Asked::Sts(operation) if operation.info().read_only => Urgency::Read,
        Asked::Acm(_) | Asked::Elbv2(_) | Asked::Iam(_) | Asked::Sts(_) => Urgency::Change,
    }
}

/// The kind of call that an operation is; those that ECS does not name go by what they are like.
fn kind(operation: OperationName) -> CallKind {
    use OperationName as O;
    match operation {
        O::CreateCluster
        | O::DeleteCluster
        | O::UpdateCluster
        | O::UpdateClusterSettings
        | O::PutClusterCapacityProviders
        | O::AssociateGatewayWithCluster
        | O::DisassociateGatewayFromCluster => CallKind::ClusterModify,
        O::DescribeClusters | O::ListClusters | O::ListGatewayClusterAssociations => {
            CallKind::ClusterRead
        }
        O::RegisterTaskDefinition
        | O::RegisterDaemonTaskDefinition
        | O::DeregisterTaskDefinition => CallKind::TaskDefinitionModify,
        O::DescribeTaskDefinition
        | O::DescribeDaemonTaskDefinition
        | O::ListTaskDefinitions
        | O::ListDaemonTaskDefinitions
        | O::ListTaskDefinitionFamilies => CallKind::TaskDefinitionRead,
        O::DeleteTaskDefinitions | O::DeleteDaemonTaskDefinition => CallKind::TaskDefinitionDelete,
        O::CreateCapacityProvider | O::DeleteCapacityProvider | O::UpdateCapacityProvider => {
            CallKind::CapacityProviderModify
        }
        O::DescribeCapacityProviders => CallKind::CapacityProviderRead,
        O::TagResource | O::UntagResource => CallKind::TagModify,
        O::ListTagsForResource => CallKind::TagRead,
        O::PutAccountSetting | O::PutAccountSettingDefault | O::DeleteAccountSetting => {
            CallKind::SettingModify
        }
        O::ListAccountSettings => CallKind::SettingRead,
        O::RunTask
        | O::StartTask
        | O::StopTask
        | O::ExecuteCommand
        | O::PutAttributes
        | O::DeleteAttributes
        | O::DeregisterContainerInstance
        | O::UpdateContainerAgent
        | O::UpdateContainerInstancesState => CallKind::ClusterResourceModify,
        O::DescribeTasks
        | O::ListTasks
        | O::DescribeContainerInstances
        | O::ListContainerInstances
        | O::ListAttributes => CallKind::ClusterResourceRead,
        O::GetTaskProtection | O::UpdateTaskProtection => CallKind::TaskProtection,
        O::RegisterContainerInstance
        | O::DiscoverPollEndpoint
        | O::SubmitAttachmentStateChanges
        | O::SubmitContainerStateChange
        | O::SubmitTaskStateChange => CallKind::AgentModify,
        other => kind_of_service(other),
    }
}

/// The same for services and what is like them.
fn kind_of_service(operation: OperationName) -> CallKind {
    use OperationName as O;
    match operation {
        O::ListServicesByNamespace => CallKind::NamespaceRead,
        O::DescribeServiceDeployments
        | O::ListServiceDeployments
        | O::DescribeDaemonDeployments
        | O::ListDaemonDeployments => CallKind::ServiceDeploymentRead,
        O::DescribeServiceRevisions | O::DescribeDaemonRevisions => CallKind::ServiceRevisionRead,
        other if other.info().read_only => CallKind::ServiceRead,
        _ => CallKind::ServiceModify,
    }
}

#[cfg(test)]
mod tests {
    use longshore_auth::{Account, PrincipalKind};
    use longshore_wire::ecs::SERVICE;

    use super::*;
    use crate::test_records::scope;

    #[test]
    fn what_only_reads_gives_way_first() {
        for info in SERVICE.operations {
            let operation = OperationName::parse(info.name).expect("an operation");
            let urgency = kind(operation).urgency();
            let agents = info.name.starts_with("Submit")
                || matches!(info.name, "RegisterContainerInstance" | "DiscoverPollEndpoint");
            let protection = info.name == "GetTaskProtection";
            let expected = match (agents, info.read_only && !protection) {
                (true, _) => Urgency::Agent,
                (false, true) => Urgency::Read,
                (false, false) => Urgency::Change,
            };
            assert_eq!(urgency, expected, "{}", info.name);
        }
    }

    #[test]
    fn a_caller_is_refused_in_the_words_of_aws() {
        let admission = Admission::new(true);
        let root = Principal::new(Account::default(), PrincipalKind::Root, None);
        let now = Timestamp::from_millis(0);
        let ask = |admission: &Admission| {
            admission.throttle(&root, &scope(), Asked::Ecs(OperationName::CreateCluster), now)
        };
        for _ in 0..20 {
            assert!(ask(&admission).is_ok());
        }
        let refusal = ask(&admission).expect_err("the bucket is empty");
        assert_eq!((refusal.status, refusal.code), (400, "ThrottlingException"));
        assert_eq!(refusal.message, "Rate exceeded");
        let admission = Admission::new(false);
        for _ in 0..1000 {
            assert!(ask(&admission).is_ok(), "nobody is throttled");
        }
    }

    #[test]
    fn requests_are_counted_while_they_are_answered() {
        let admission = Admission::new(false);
        let read = Asked::Ecs(OperationName::ListTasks);
        let report = Asked::Ecs(OperationName::SubmitTaskStateChange);
        let reports: Vec<_> = (0..2000).map(|_| admission.enter(report)).collect();
        assert!(reports.iter().all(Result::is_ok));
        let reads: Vec<_> = (0..1024).map(|_| admission.enter(read)).collect();
        assert!(reads.iter().all(Result::is_ok), "agents keep nobody from asking");
        let refusal = admission.enter(read).expect_err("busy");
        assert_eq!((refusal.status, refusal.code), (503, "ServiceUnavailable"));
        assert!(
            admission.enter(Asked::Ecs(OperationName::RunTask)).is_ok(),
            "reads give way to changes"
        );
        drop(reads);
        assert!(admission.enter(read).is_ok());
        drop(reports);
        assert_eq!(admission.answering(), 0);
    }
}
