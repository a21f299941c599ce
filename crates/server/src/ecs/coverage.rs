//! What of the APIs is built: the truth behind `docs/coverage.md`.

use std::fmt::Write as _;

use longshore_wire::ecs::OperationName;
use longshore_wire::{acm, elbv2, iam, sts};

/// How far an operation is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Whole.
    Built,
    /// Usable; the text says what is missing.
    Partial(&'static str),
    /// Answers `UnsupportedFeatureException`; the text says what it belongs to.
    Missing(&'static str),
}

const CAPACITY_PROVIDERS: &str = "capacity providers";
const DAEMONS: &str = "tasks are renewed on the instance, not with it; instances that no capacity provider \
    launched belong to every daemon; no alarms";
const EXPRESS: &str = "Express services";
const GATEWAYS: &str = "gateways";
const SERVICES: &str = "rolling, blue/green, linear and canary deployments of REPLICA services, rolling ones of DAEMON services, and \
    task sets; application and network load balancers by target group; lifecycle hooks of type PAUSE and, in place of Lambda functions, \
    webhooks; Classic Load Balancers, service discovery, Service Connect, volumes, deployment alarms and the controller CODE_DEPLOY are refused";
const TASK_SETS: &str = "no service discovery and capacity providers; a scale is kept to \
    a millionth of a percent";
const SERVICE_DEPLOYMENTS: &str = "no alarms";
const SERVICE_REVISIONS: &str = "image digests as long as a task of the revision is remembered";
/// How far `operation` is built. A new operation in the model does not compile until it is here.
pub const fn of(operation: OperationName) -> Coverage {
    use Coverage::{Built, Missing, Partial};
    use OperationName as O;
    match operation {
        O::CreateCluster => Partial("capacity providers are refused"),
        O::DeleteCluster
        | O::DescribeClusters
        | O::ListClusters
        | O::UpdateCluster
        | O::UpdateClusterSettings
        | O::DescribeTaskDefinition
        | O::DeregisterTaskDefinition
        | O::DeleteTaskDefinitions
        | O::ListTaskDefinitions
        | O::ListTaskDefinitionFamilies
        | O::DeregisterContainerInstance
        | O::ListContainerInstances
        | O::UpdateContainerInstancesState
        | O::PutAttributes
        | O::DeleteAttributes
        | O::ListAttributes
        | O::StopTask
        | O::DescribeTasks
        | O::ListTasks
        | O::GetTaskProtection
        | O::UpdateTaskProtection
        | O::PutAccountSetting
        | O::PutAccountSettingDefault
        | O::DeleteAccountSetting
        | O::ListAccountSettings
        | O::DiscoverPollEndpoint
        | O::SubmitTaskStateChange
        | O::SubmitContainerStateChange
        | O::DeleteService
        | O::DescribeServices
        | O::DeleteDaemon
        | O::DeleteDaemonTaskDefinition
        | O::DescribeDaemon
        | O::DescribeDaemonTaskDefinition
        | O::ListDaemonDeployments
        | O::ListDaemonTaskDefinitions
        | O::ListDaemons
        | O::ContinueServiceDeployment
        | O::ListServiceDeployments
        | O::ListServices => Built,
        O::RegisterTaskDefinition => Partial(
            "every member is kept and validated; awsvpc networks, EFS, FSx, S3 Files, \
                     secrets and App Mesh are not carried out by our agent",
        ),
        O::RegisterContainerInstance => {
            Partial("the signature of the identity document is not checked: only AWS can make one")
        }
        O::DescribeContainerInstances => Partial("no container instance health"),
        O::UpdateContainerAgent => Partial("always answers that there is no update"),
        O::RunTask | O::StartTask => Partial(
            "launch types EC2 and EXTERNAL; no capacity provider strategy, no awsvpc \
                     networks, no volume configurations",
        ),
        O::TagResource | O::UntagResource | O::ListTagsForResource => Partial(
            "clusters, services, daemons, task sets, tasks, task definitions and container instances",
        ),
        O::SubmitAttachmentStateChanges => Partial("acknowledged; there are no attachments yet"),
        O::CreateService | O::UpdateService => Partial(SERVICES),
        O::ListServicesByNamespace => {
            Partial("there are no namespaces: answers NamespaceNotFoundException")
        }
        O::CreateCapacityProvider
        | O::DeleteCapacityProvider
        | O::DescribeCapacityProviders
        | O::UpdateCapacityProvider
        | O::PutClusterCapacityProviders => Missing(CAPACITY_PROVIDERS),
        O::CreateDaemon | O::UpdateDaemon => Partial(DAEMONS),
        O::DescribeDaemonDeployments => Partial("no alarms"),
        O::RegisterDaemonTaskDefinition => {
            Partial("as RegisterTaskDefinition; log driver volumes read Docker's own directory")
        }
        O::CreateExpressGatewayService
        | O::DeleteExpressGatewayService
        | O::DescribeExpressGatewayService
        | O::UpdateExpressGatewayService => Missing(EXPRESS),
        O::AssociateGatewayWithCluster
        | O::CreateGateway
        | O::DeleteGateway
        | O::DescribeGateway
        | O::DescribeGatewayResources
        | O::DescribeGatewayRoute
        | O::DisassociateGatewayFromCluster
        | O::ListGatewayClusterAssociations
        | O::ListGatewayRoutes
        | O::ListGateways
        | O::UpdateGateway => Missing(GATEWAYS),
        O::CreateTaskSet
        | O::DeleteTaskSet
        | O::DescribeTaskSets
        | O::UpdateServicePrimaryTaskSet
        | O::UpdateTaskSet => Partial(TASK_SETS),
        O::DescribeServiceDeployments | O::StopServiceDeployment => Partial(SERVICE_DEPLOYMENTS),
        O::DescribeServiceRevisions | O::DescribeDaemonRevisions => Partial(SERVICE_REVISIONS),
        O::ExecuteCommand => Missing("commands in running containers"),
    }
}

/// The message of an operation that is not built.
pub(super) fn refusal(operation: OperationName) -> String {
    let name = operation.info().name;
    match of(operation) {
        Coverage::Missing(what) => {
            format!(
                "{name} is not available in this version of Longshore: {what} are not built yet."
            )
        }
        _ => format!("{name} is not available in this version of Longshore."),
    }
}

/// `docs/coverage.md`.
pub fn document() -> String {
    let ecs = OperationName::ALL.iter().map(|operation| (operation.info().name, of(*operation)));
    let (ecs, answered, total) = table(ecs);
    let elbv2 = elbv2::OperationName::ALL.iter();
    let elbv2 =
        elbv2.map(|operation| (operation.info().name, crate::elbv2::coverage::of(*operation)));
    let (elbv2, answered_elbv2, total_elbv2) = table(elbv2);
    let acm = acm::OperationName::ALL.iter();
    let acm = acm.map(|operation| (operation.info().name, crate::acm::coverage::of(*operation)));
    let (acm, answered_acm, total_acm) = table(acm);
    let iam = iam::OperationName::ALL.iter();
    let iam = iam.map(|operation| (operation.info().name, crate::iam::coverage::of(*operation)));
    let (iam, answered_iam, total_iam) = table(iam);
    let sts = sts::OperationName::ALL.iter();
    let sts = sts.map(|operation| (operation.info().name, crate::sts::coverage::of(*operation)));
    let (sts, answered_sts, total_sts) = table(sts);
    format!(
        "# Coverage of the APIs\n\n\
         Generated from the code (`server/src/ecs/coverage.rs`, `server/src/elbv2/coverage.rs`, \
         `server/src/acm/coverage.rs`, `server/src/iam/coverage.rs`, `server/src/sts/coverage.rs`); a test compares it.\n\n\
         ## Amazon ECS\n\n\
         {answered} of {total} operations answer. A missing operation answers \
         `UnsupportedFeatureException` and changes nothing.\n\n{ecs}\n\
         ## Elastic Load Balancing v2\n\n\
         {answered_elbv2} of {total_elbv2} operations answer. A missing operation answers \
         `OperationNotPermitted` and changes nothing.\n\n{elbv2}\n\
         ## AWS Certificate Manager\n\n\
         {answered_acm} of {total_acm} operations answer. A missing operation answers \
         `UnknownOperationException` and changes nothing.\n\n{acm}\n\
         ## AWS Identity and Access Management\n\n\
         {answered_iam} of {total_iam} operations answer. A missing operation answers \
         `NotSupportedService` and changes nothing.\n\n{iam}\n\
         ## AWS Security Token Service\n\n\
         {answered_sts} of {total_sts} operations answer. A missing operation answers \
         `InvalidAction` and changes nothing.\n\n{sts}"
    )
}

/// Rows of operations, how many of them answer, and how many there are.
fn table(operations: impl Iterator<Item = (&'static str, Coverage)>) -> (String, usize, usize) {
    let mut rows = String::from("| Operation | State | Notes |\n|---|---|---|\n");
    let (mut answered, mut total) = (0, 0);
    for (name, coverage) in operations {
        let (state, note) = match coverage {
            Coverage::Built => ("built", ""),
            Coverage::Partial(note) => ("partial", note),
            Coverage::Missing(what) => ("missing", what),
        };
        answered += usize::from(state != "missing");
        total += 1;
        // Writing to a string does not fail.
        let _ = writeln!(rows, "| {name} | {state} | {note} |");
    }
    (rows, answered, total)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// `UPDATE_DOCS=1 cargo test -p longshore-server coverage` writes the file.
    #[test]
    fn the_document_says_what_the_code_does() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/coverage.md");
        let document = super::document();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &document).expect("docs/coverage.md can be written");
        }
        let committed = std::fs::read_to_string(&path).expect("docs/coverage.md can be read");
        assert!(
            committed == document,
            "docs/coverage.md is stale: UPDATE_DOCS=1 cargo test -p longshore-server coverage"
        );
    }
}
