//! What CreateDaemon and UpdateDaemon say alike: checked, with defaults filled in.

use longshore_domain::ids::{Arn, IdSource, Resource, Scope};
use longshore_domain::limits;
use longshore_domain::record::{
    Daemon, DaemonDeploymentConfiguration, DaemonRevision, DaemonTaskDefinition,
    DaemonTaskDefinitionStatus,
};
use longshore_store::{Row, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs;
use longshore_wire::ecs::enums::DaemonPropagateTags;

use crate::call::Call;
use crate::clock::RandomIds;
use crate::ecs::{client_error, daemon_task_definitions, error, invalid_parameter};

/// Smallest share that AWS takes, in percent.
const DRAIN_PERCENT_MIN: f64 = 1.0;
/// Random numbers of revisions have as many digits as those of services.
const NUMBER_MIN: u64 = 1_000_000_000_000_000_000;

/// What the tasks of a daemon are made from, as a request says it.
pub(super) struct Wanted<'r> {
    pub(super) capacity_provider_arns: &'r [String],
    pub(super) task_definition: &'r str,
    pub(super) propagate_tags: Option<DaemonPropagateTags>,
    pub(super) enable_ecs_managed_tags: Option<bool>,
    pub(super) enable_execute_command: Option<bool>,
    pub(super) critical: Option<bool>,
}

impl Wanted<'_> {
    /// A new revision of `daemon`.
    pub(super) fn revision(
        &self,
        call: &Call,
        view: &View,
        daemon: &Daemon,
    ) -> Result<DaemonRevision, ServiceError> {
        let capacity_providers = provider_names(&call.scope, self.capacity_provider_arns)?;
        if capacity_providers.is_empty() {
            return Err(invalid_parameter("capacityProviderArns cannot be empty."));
        }
        let definition = runnable(view, &call.scope, self.task_definition)?;
        Ok(DaemonRevision {
            scope: daemon.scope.clone(),
            cluster: daemon.cluster.clone(),
            daemon: daemon.name.clone(),
            id: number(),
            family: definition.family.clone(),
            revision: definition.revision,
            capacity_providers,
            propagate_tags: self.propagate_tags == Some(DaemonPropagateTags::Daemon),
            enable_ecs_managed_tags: self.enable_ecs_managed_tags.unwrap_or(false),
            enable_execute_command: self.enable_execute_command.unwrap_or(false),
            critical: self.critical.unwrap_or(true),
            created_at: call.now,
        })
    }
}

fn number() -> u64 {
    let random = u64::try_from(RandomIds.next_id() >> 64).unwrap_or_default();
    NUMBER_MIN + random % (9 * NUMBER_MIN)
}

fn runnable<'v>(
    view: &'v View,
    scope: &Scope,
    text: &str,
) -> Result<&'v Row<DaemonTaskDefinition>, ServiceError> {
    let found = daemon_task_definitions::find(view, scope, text)?;
    if found.status != DaemonTaskDefinitionStatus::Active {
        return Err(client_error("Daemon task definition is inactive"));
    }
    Ok(found)
}

/// The names of capacity providers, each once, in the order given.
///
/// # Errors
/// `InvalidParameterException` for what is no ARN of a capacity provider here.
pub(super) fn provider_names(scope: &Scope, arns: &[String]) -> Result<Vec<String>, ServiceError> {
    if arns.len() > limits::DAEMON_CAPACITY_PROVIDERS {
        return Err(invalid_parameter(format!(
            "capacityProviderArns cannot have more than {} elements.",
            limits::DAEMON_CAPACITY_PROVIDERS
        )));
    }
    let mut names = Vec::new();
    for text in arns {
        let name = match text.parse::<Arn>() {
            Ok(Arn { scope: theirs, resource: Resource::Other(kind, name) })
                if theirs == *scope && kind == "capacity-provider" && is_name(&name) =>
            {
                name
            }
            _ => {
                return Err(invalid_parameter(format!(
                    "Invalid identifier: {text} is no capacity provider ARN of this account and \
                     region."
                )));
            }
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.len() <= limits::NAME_LEN && text.chars().all(allowed)
}

/// What a daemon begins with.
pub(super) fn default_configuration() -> DaemonDeploymentConfiguration {
    DaemonDeploymentConfiguration {
        drain_percent: limits::DAEMON_DRAIN_PERCENT,
        bake_time_min: 0,
        alarm_names: Vec::new(),
    }
}

/// The deployment configuration: what is given, else what was `before`.
///
/// # Errors
/// `InvalidParameterException` for numbers out of range, and a refusal of alarms.
pub(super) fn configuration(
    given: Option<&ecs::DaemonDeploymentConfiguration>,
    before: &DaemonDeploymentConfiguration,
) -> Result<DaemonDeploymentConfiguration, ServiceError> {
    let Some(given) = given else { return Ok(before.clone()) };
    let drain_percent = given.drain_percent.unwrap_or(before.drain_percent);
    if !(DRAIN_PERCENT_MIN..=100.0).contains(&drain_percent) {
        return Err(invalid_parameter("drainPercent must be between 1.0 and 100.0."));
    }
    let bake_time_min = match given.bake_time_in_minutes {
        None => before.bake_time_min,
        Some(minutes) => u32::try_from(minutes)
            .ok()
            .filter(|minutes| *minutes <= limits::DAEMON_BAKE_MIN)
            .ok_or_else(|| {
                invalid_parameter(format!(
                    "bakeTimeInMinutes must be between 0 and {}.",
                    limits::DAEMON_BAKE_MIN
                ))
            })?,
    };
    let alarm_names = match &given.alarms {
        None => before.alarm_names.clone(),
        Some(alarms) if alarms.enable == Some(true) => {
            return Err(error::unsupported(
                "Deployment alarms are not available in this version of Longshore: there are no \
                 CloudWatch alarms to watch. Set alarms.enable to false.",
            ));
        }
        Some(alarms) => alarms.alarm_names.clone().unwrap_or_default(),
    };
    Ok(DaemonDeploymentConfiguration { drain_percent, bake_time_min, alarm_names })
}
