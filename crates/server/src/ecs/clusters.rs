//! Clusters: create, describe, list, update, delete.

use longshore_auth::Authorized;
use longshore_domain::ids::{ClusterName, Resource};
use longshore_domain::limits;
use longshore_domain::record::{
    Cluster, ClusterStatus, Document, InstanceStatus, ServiceStatus, Tags,
};
use longshore_store::tables::{ContainerInstanceKey, DaemonKey, ServiceKey, TaskKey};
use longshore_store::{KeyPrefix, RecordTxn, View};
use longshore_wire::codec::json;
use longshore_wire::ecs::{
    ClusterSetting, CreateClusterRequest, CreateClusterResponse, DeleteClusterRequest,
    DeleteClusterResponse, DescribeClustersRequest, DescribeClustersResponse, ErrorCode, Failure,
    ListClustersRequest, ListClustersResponse, UpdateClusterRequest, UpdateClusterResponse,
    UpdateClusterSettingsRequest, UpdateClusterSettingsResponse,
};
use longshore_wire::{ServiceError, Value};

use super::page::PageRequest;
use super::{client_error, encode, invalid_parameter, lookup, references, tags};
use crate::call::Call;

/// Values of the only cluster setting, `containerInsights`.
const CONTAINER_INSIGHTS: &[&str] = &["enabled", "disabled", "enhanced"];

/// CreateCluster. A second call with the same name gives the same cluster.
pub(crate) async fn create(
    call: &Call,
    request: Authorized<CreateClusterRequest>,
) -> Result<CreateClusterResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let name = match request.cluster_name.as_deref() {
        None => ClusterName::default_cluster(),
        Some(name) => name.parse().map_err(|why| {
            invalid_parameter(format!("Invalid cluster name '{name}': it {why}."))
        })?,
    };
    let providers = request.capacity_providers.unwrap_or_default();
    if let Some(provider) = providers.first() {
        return Err(client_error(format!(
            "The specified capacity provider '{provider}' was not found."
        )));
    }
    let record = Cluster {
        scope: call.scope.clone(),
        name,
        status: ClusterStatus::Active,
        created_at: call.now,
        deleted_at: None,
        settings: checked_settings(request.settings)?
            .unwrap_or_else(|| vec![("containerInsights".into(), "disabled".into())]),
        configuration: keep(request.configuration.as_ref())?,
        service_connect_defaults: keep(request.service_connect_defaults.as_ref())?,
        capacity_providers: providers,
        default_capacity_provider_strategy: keep(
            request.default_capacity_provider_strategy.as_ref(),
        )?,
        tags: tags::checked(request.tags)?,
    };
    let decide = |view: &View, txn: &mut RecordTxn| -> Result<_, ServiceError> {
        match lookup::any_cluster(view, &call.scope, &record.name) {
            Some(row) if row.status == ClusterStatus::Active => return Ok(row.record.clone()),
            Some(row) => txn.update(row, &record),
            None => txn.insert(&record),
        };
        Ok(record.clone())
    };
    let record = call.server.decide(decide).await?;
    let include = longshore_wire::ecs::enums::ClusterField::ALL;
    let cluster = encode::cluster(&call.server.state.view(), &record, include)?;
    Ok(CreateClusterResponse { cluster: Some(cluster) })
}

/// A document to give back verbatim.
fn keep<T: Value>(value: Option<&T>) -> Result<Option<Document>, ServiceError> {
    value
        .map(|value| {
            let text = String::from_utf8(json::encode(value)).unwrap_or_default();
            Document::new(text).map_err(|error| client_error(error.to_string()))
        })
        .transpose()
}

fn checked_settings(
    settings: Option<Vec<ClusterSetting>>,
) -> Result<Option<Vec<(String, String)>>, ServiceError> {
    let Some(settings) = settings else { return Ok(None) };
    settings
        .into_iter()
        .map(|setting| {
            let name = setting.name.map(|name| name.as_str().to_owned());
            let name = name.ok_or_else(|| invalid_parameter("Setting name cannot be empty."))?;
            let value = setting.value.unwrap_or_default();
            if !CONTAINER_INSIGHTS.contains(&value.as_str()) {
                return Err(invalid_parameter(format!("Invalid value '{value}' for {name}.")));
            }
            Ok((name, value))
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

/// DescribeClusters; without names the default cluster.
pub(crate) async fn describe(
    call: &Call,
    request: Authorized<DescribeClustersRequest>,
) -> Result<DescribeClustersResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let mut names = request.clusters.unwrap_or_default();
    if names.is_empty() {
        names.push("default".to_owned());
    }
    if names.len() > limits::DESCRIBE {
        return Err(invalid_parameter("Clusters cannot have more than 100 elements."));
    }
    let include = request.include.unwrap_or_default();
    let view = call.server.state.view();
    let (mut clusters, mut failures) = (Vec::new(), Vec::new());
    for name in names {
        let found = references::ClusterRef::parse(&call.scope, Some(&name))
            .ok()
            .and_then(|name| lookup::any_cluster(&view, &call.scope, &name));
        match found {
            Some(row) => clusters.push(encode::cluster(&view, row, &include)?),
            None => failures.push(Failure {
                arn: Some(match name.parse() {
                    Ok(name) => call.arn(Resource::Cluster(name)),
                    Err(_) => name,
                }),
                reason: Some("MISSING".to_owned()),
                detail: None,
            }),
        }
    }
    Ok(DescribeClustersResponse { clusters: Some(clusters), failures: Some(failures) })
}

/// ListClusters: those that are ACTIVE.
pub(crate) async fn list(
    call: &Call,
    request: Authorized<ListClustersRequest>,
) -> Result<ListClustersResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let page = PageRequest::list(&"clusters", request.max_results, request.next_token.as_deref())?;
    let view = call.server.state.view();
    let rows = view
        .clusters
        .range(&KeyPrefix::scope(&call.scope))
        .filter(|row| row.status == ClusterStatus::Active);
    let (rows, next_token) = page.cut(rows, |row| row.name.to_string());
    let arns = rows.iter().map(|row| call.arn(Resource::Cluster(row.name.clone()))).collect();
    Ok(ListClustersResponse { cluster_arns: Some(arns), next_token })
}

/// UpdateCluster: settings, configuration and Service Connect defaults, each if given.
pub(crate) async fn update(
    call: &Call,
    request: Authorized<UpdateClusterRequest>,
) -> Result<UpdateClusterResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let settings = checked_settings(request.settings)?;
    let configuration = keep(request.configuration.as_ref())?;
    let defaults = keep(request.service_connect_defaults.as_ref())?;
    let change = |cluster: &Cluster| Cluster {
        settings: settings.clone().unwrap_or_else(|| cluster.settings.clone()),
        configuration: configuration.clone().or_else(|| cluster.configuration.clone()),
        service_connect_defaults: defaults
            .clone()
            .or_else(|| cluster.service_connect_defaults.clone()),
        ..cluster.clone()
    };
    let cluster = rewrite(call, &request.cluster, change).await?;
    Ok(UpdateClusterResponse { cluster: Some(cluster) })
}

/// UpdateClusterSettings.
pub(crate) async fn update_settings(
    call: &Call,
    request: Authorized<UpdateClusterSettingsRequest>,
) -> Result<UpdateClusterSettingsResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let settings = checked_settings(Some(request.settings))?.unwrap_or_default();
    let change = |cluster: &Cluster| Cluster { settings: settings.clone(), ..cluster.clone() };
    let cluster = rewrite(call, &request.cluster, change).await?;
    Ok(UpdateClusterSettingsResponse { cluster: Some(cluster) })
}

async fn rewrite(
    call: &Call,
    reference: &str,
    change: impl Fn(&Cluster) -> Cluster,
) -> Result<longshore_wire::ecs::Cluster, ServiceError> {
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::cluster(view, &call.scope, Some(reference))?;
        let record = change(row);
        txn.update(row, &record);
        Ok(record)
    };
    let record = call.server.decide(decide).await?;
    let include = longshore_wire::ecs::enums::ClusterField::ALL;
    encode::cluster(&call.server.state.view(), &record, include)
}

/// DeleteCluster: only an empty one; it stays describable as INACTIVE for a while.
pub(crate) async fn delete(
    call: &Call,
    request: Authorized<DeleteClusterRequest>,
) -> Result<DeleteClusterResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::cluster(view, &call.scope, Some(&request.cluster))?;
        refuse_if_used(call, view, &row.name)?;
        let record = Cluster {
            status: ClusterStatus::Inactive,
            deleted_at: Some(call.now),
            tags: Tags::new(),
            ..row.record.clone()
        };
        txn.update(row, &record);
        Ok(record)
    };
    let record = call.server.decide(decide).await?;
    let cluster = encode::cluster(&call.server.state.view(), &record, &[])?;
    Ok(DeleteClusterResponse { cluster: Some(cluster) })
}

fn refuse_if_used(call: &Call, view: &View, name: &ClusterName) -> Result<(), ServiceError> {
    let scope = &call.scope;
    let instances = view
        .container_instances
        .range(&ContainerInstanceKey::in_cluster(scope, name))
        .any(|row| row.status != InstanceStatus::Inactive);
    if instances {
        return Err(ErrorCode::ClusterContainsContainerInstancesException.error(
            "The Cluster cannot be deleted while Container Instances are active or draining.",
        ));
    }
    let services = view
        .services
        .range(&ServiceKey::in_cluster(scope, name))
        .any(|row| row.status != ServiceStatus::Inactive);
    if services {
        return Err(ErrorCode::ClusterContainsServicesException
            .error("The Cluster cannot be deleted while Services are active."));
    }
    if view.daemons.range(&DaemonKey::in_cluster(scope, name)).next().is_some() {
        return Err(client_error("The Cluster cannot be deleted while Daemons are active."));
    }
    if view.tasks.range(&TaskKey::in_cluster(scope, name)).any(|row| !row.is_stopped()) {
        return Err(ErrorCode::ClusterContainsTasksException
            .error("The Cluster cannot be deleted while Tasks are active."));
    }
    Ok(())
}
