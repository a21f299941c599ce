//! The view: all tables in memory, at one revision, immutable.
//!
//! Reads of the whole control plane go here. The view is fed by `state` from a list and a
//! watch of the store; it is a function of the store's content and holds nothing of its own.

use std::sync::Arc;

use longshore_domain::ids::{ClusterName, InstanceId, Scope};
use longshore_domain::record::{
    AccessKey, AccountSetting, BalancerAddress, BalancerNode, Certificate, CertificateAuthority,
    ClientToken, Cluster, ContainerInstance, ControlAuthority, Daemon, DaemonDeployment,
    DaemonRevision, DaemonTaskDefinition, IamAccount, IamGroup, IamPolicy, IamRole, IamUser,
    InstanceProfile, JoinToken, Listener, ListenerRule, LoadBalancer, OidcProvider, Service,
    ServiceDeployment, ServiceEvent, ServiceRevision, Target, TargetGroup, Task, TaskDefinition,
};

use crate::contract::{Event, StoreRevision};
use crate::population::{Population, TaskCounts};
use crate::record::RecordError;
use crate::table::Table;
use crate::usage::{Usage, Used};

/// Declares the tables once: their kind, its word in keys, the record and the field.
macro_rules! tables {
    ($($(#[$doc:meta])* $field:ident: $record:ident = $word:literal,)+) => {
        /// A kind of record, and the table that holds them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[$doc])* $record,)+
        }

        impl Kind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$record),+];

            /// Its word in keys.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$record => $word,)+
                }
            }

            pub(crate) fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$record),)+
                    _ => None,
                }
            }
        }

        /// All tables at one revision.
        #[derive(Clone, Debug, Default)]
        pub struct View {
            /// The revision.
            pub revision: StoreRevision,
            $($(#[$doc])* pub $field: Table<$record>,)+
            usage: Usage,
            population: Population,
        }

        impl View {
            /// Number of records of each kind.
            pub fn counts(&self) -> impl Iterator<Item = (Kind, usize)> {
                [$((Kind::$record, self.$field.len()),)+].into_iter()
            }

            /// Number of records of a kind, and the revision of their last change: where both are as
            /// before, so are the records.
            pub fn stamp(&self, kind: Kind) -> (usize, StoreRevision) {
                match kind {
                    $(Kind::$record => self.$field.stamp(),)+
                }
            }

            fn apply_to_table(&mut self, kind: Kind, event: &Event) -> Result<bool, RecordError> {
                match kind {
                    $(Kind::$record => self.$field.apply(event),)+
                }
            }
        }
    };
}

tables! {
    /// Access keys.
    access_keys: AccessKey = "access-key",
    /// Account settings.
    account_settings: AccountSetting = "account-setting",
    /// Addresses of balancers.
    balancer_addresses: BalancerAddress = "balancer-address",
    /// Nodes of balancers.
    balancer_nodes: BalancerNode = "balancer-node",
    /// Certificates.
    certificates: Certificate = "certificate",
    /// The authority that issues certificates.
    certificate_authorities: CertificateAuthority = "certificate-authority",
    /// Client tokens.
    client_tokens: ClientToken = "client-token",
    /// Clusters.
    clusters: Cluster = "cluster",
    /// Container instances.
    container_instances: ContainerInstance = "container-instance",
    /// The authority of the control plane.
    control_authorities: ControlAuthority = "control-authority",
    /// Daemons.
    daemons: Daemon = "daemon",
    /// Daemon deployments.
    daemon_deployments: DaemonDeployment = "daemon-deployment",
    /// Daemon revisions.
    daemon_revisions: DaemonRevision = "daemon-revision",
    /// Daemon task definitions.
    daemon_task_definitions: DaemonTaskDefinition = "daemon-task-definition",
    /// Accounts, as IAM knows them.
    iam_accounts: IamAccount = "account",
    /// Groups of users.
    iam_groups: IamGroup = "group",
    /// Managed policies.
    iam_policies: IamPolicy = "policy",
    /// Roles.
    iam_roles: IamRole = "role",
    /// Users.
    iam_users: IamUser = "user",
    /// Instance profiles.
    instance_profiles: InstanceProfile = "instance-profile",
    /// Tokens by which machines join.
    join_tokens: JoinToken = "join-token",
    /// Providers of OpenID Connect.
    oidc_providers: OidcProvider = "oidc-provider",
    /// Listeners.
    listeners: Listener = "listener",
    /// Rules of listeners.
    listener_rules: ListenerRule = "listener-rule",
    /// Load balancers.
    load_balancers: LoadBalancer = "load-balancer",
    /// Services.
    services: Service = "service",
    /// Service deployments.
    service_deployments: ServiceDeployment = "service-deployment",
    /// Service events.
    service_events: ServiceEvent = "service-event",
    /// Service revisions.
    service_revisions: ServiceRevision = "service-revision",
    /// Targets.
    targets: Target = "target",
    /// Target groups.
    target_groups: TargetGroup = "target-group",
    /// Tasks.
    tasks: Task = "task",
    /// Task definitions.
    task_definitions: TaskDefinition = "task-definition",
}

impl Kind {
    /// The kind of record that a store key is for; `None` for keys of the control plane and
    /// of services that this code does not know.
    pub(crate) fn of_key(key: &str) -> Option<Self> {
        let mut parts = key.strip_prefix('/')?.splitn(5, '/').skip(2);
        let service = parts.next()?;
        Self::from_word(parts.next()?).filter(|kind| kind.service() == service)
    }

    /// The service that it belongs to, a part of its keys.
    pub(crate) const fn service(self) -> &'static str {
        match self {
            Self::BalancerAddress
            | Self::BalancerNode
            | Self::LoadBalancer
            | Self::Listener
            | Self::ListenerRule
            | Self::TargetGroup
            | Self::Target => "elasticloadbalancing",
            Self::Certificate | Self::CertificateAuthority => "acm",
            Self::AccessKey
            | Self::IamAccount
            | Self::IamGroup
            | Self::IamPolicy
            | Self::IamRole
            | Self::IamUser
            | Self::InstanceProfile
            | Self::JoinToken
            | Self::OidcProvider
            | Self::ControlAuthority => "iam",
            _ => "ecs",
        }
    }
}

impl View {
    /// What the tasks of `instance` take that are not stopped; `None` when it has none.
    pub fn used(&self, instance: InstanceId) -> Option<&Arc<Used>> {
        self.usage.get(instance)
    }

    /// How many tasks of a cluster run, and are to run soon.
    pub fn task_counts(&self, scope: &Scope, cluster: &ClusterName) -> TaskCounts {
        self.population.get(scope, cluster)
    }

    /// Takes in a change, and says what it changed, if anything.
    ///
    /// # Errors
    /// The value is no record; the view is unchanged.
    pub fn apply(&mut self, event: &Event) -> Result<Option<Applied>, RecordError> {
        let Some(kind) = Kind::of_key(event.key()) else { return Ok(None) };
        let task = |view: &Self| view.tasks.get_encoded(event.key()).cloned();
        let instance =
            |view: &Self| view.container_instances.get_encoded(event.key()).map(|row| row.id);
        let (mut old, mut known) = (None, None);
        match kind {
            Kind::Task => old = task(self),
            Kind::ContainerInstance => known = instance(self),
            _ => {}
        }
        if !self.apply_to_table(kind, event)? {
            return Ok(None);
        }
        let news = match kind {
            Kind::Task => {
                let new = task(self);
                let old = old.as_deref().map(|row| &row.record);
                let new = new.as_deref().map(|row| &row.record);
                self.usage.replace(old, new);
                self.population.replace(old, new);
                news_for(old, new)
            }
            Kind::ContainerInstance => known.or_else(|| instance(self)),
            _ => None,
        };
        Ok(Some(Applied { kind, news }))
    }
}

/// What an event changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The table.
    pub kind: Kind,
    /// The instance for whose agent this may be news.
    pub news: Option<InstanceId>,
}

/// The instance whose agent has to be told when a task becomes `new`: not of what it said itself,
/// except that a task has stopped, after which nothing is repeated.
fn news_for(old: Option<&Task>, new: Option<&Task>) -> Option<InstanceId> {
    let told = |task: &Task| (task.desired, task.draining_until, task.is_stopped());
    let changed = old.map(told) != new.map(told);
    new.or(old).filter(|_| changed).map(|task| task.instance)
}
