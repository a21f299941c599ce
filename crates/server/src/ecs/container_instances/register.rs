//! RegisterContainerInstance: what every agent does first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use longshore_auth::Authorized;
use longshore_domain::ids::{Arn, ClusterName, InstanceId, Resource as Named};
use longshore_domain::limits;
use longshore_domain::record::{
    AgentConnection, ClientToken, ContainerInstance, InstanceStatus, Resources, VersionInfo,
};
use longshore_store::tables::ContainerInstanceKey;
use longshore_store::{Record, RecordTxn, Row, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs::enums::PlatformDeviceType;
use longshore_wire::ecs::{
    Attribute, RegisterContainerInstanceRequest, RegisterContainerInstanceResponse, Resource,
};
use sha2::{Digest, Sha256};

use crate::access::agents;
use crate::call::Call;
use crate::clock::RandomIds;
use crate::ecs::attributes::is_custom;
use crate::ecs::{client_error, encode, invalid_parameter, lookup, tags};

const ZONE: &str = "ecs.availability-zone";
const EXTERNAL: &str = "ecs.capability.external";

/// RegisterContainerInstance. With an ARN, or with the client token of a call before, it is the same
/// instance again, with what it has now.
pub(crate) async fn register(
    call: &Call,
    request: Authorized<RegisterContainerInstanceRequest>,
) -> Result<RegisterContainerInstanceResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let registered = resources(&request)?;
    let mut attributes = attributes(request.attributes.clone().unwrap_or_default());
    let identity = Identity::parse(request.instance_identity_document.as_deref());
    identity.add_to(&mut attributes);
    attributes.entry(ZONE.to_owned()).or_insert_with(|| Some(format!("{}a", call.scope.region)));
    let new_tags = tags::checked(request.tags.clone())?;
    let version_info = request.version_info.clone().map(|info| VersionInfo {
        agent_version: info.agent_version,
        agent_hash: info.agent_hash,
        docker_version: info.docker_version,
    });
    let token = request.client_token.as_deref().filter(|token| !token.is_empty());
    let fresh = InstanceId::fresh(&mut RandomIds);
    let decide = |view: &View, txn: &mut RecordTxn| {
        // The agent creates the default cluster when it reads exactly this error.
        let cluster = lookup::cluster(view, &call.scope, request.cluster.as_deref())?;
        let given = request.container_instance_arn.as_deref().filter(|arn| !arn.is_empty());
        let again = match given {
            Some(arn) => Some(known(call, view, &cluster.name, arn)?),
            None => repeated(call, view, &cluster.name, token),
        };
        if let Some(row) = again {
            agents::speaks_for(&call.principal, row, "ecs:RegisterContainerInstance")?;
            // Attributes that people put stay; of those that agents have, what is not sent now is
            // not there any more.
            let mut merged = row.attributes.clone();
            merged.retain(|name, _| is_custom(name));
            merged.extend(attributes.clone());
            let record = ContainerInstance {
                registered: registered.clone(),
                attributes: merged,
                version_info: version_info.clone().unwrap_or_else(|| row.version_info.clone()),
                registered_by: row
                    .registered_by
                    .clone()
                    .or_else(|| Some(call.principal.arn.clone())),
                version: row.version + 1,
                ..row.record.clone()
            };
            txn.update(row, &record);
            return Ok(record);
        }
        let record = ContainerInstance {
            scope: call.scope.clone(),
            cluster: cluster.name.clone(),
            id: fresh,
            ec2_instance_id: identity
                .instance_id
                .clone()
                .unwrap_or_else(|| made_up_id(fresh, attributes.contains_key(EXTERNAL))),
            status: InstanceStatus::Active,
            status_reason: None,
            connection: AgentConnection { connected: false, since: call.now, server: 0 },
            address: None,
            version_info: version_info.clone().unwrap_or_default(),
            registered: registered.clone(),
            attributes: attributes.clone(),
            registered_at: call.now,
            capacity_provider: None,
            registered_by: Some(call.principal.arn.clone()),
            registration_token: token.map(str::to_owned),
            version: 1,
            fence: BTreeSet::new(),
            deregistered_at: None,
            tags: new_tags.clone(),
        };
        txn.expect_unchanged(cluster).insert(&record);
        if let Some(token) = token {
            first_with(call, view, txn, token);
        }
        Ok(record)
    };
    let record = call.server.decide(decide).await?;
    let view = call.server.state.view();
    let include = longshore_wire::ecs::enums::ContainerInstanceField::ALL;
    Ok(RegisterContainerInstanceResponse {
        container_instance: Some(encode::container_instance(&view, &record, include)),
    })
}

/// Lets the transaction hold only if it is the first with this token: the same call may be on its way
/// at another server, which made an instance with another id.
fn first_with(call: &Call, view: &View, txn: &mut RecordTxn, token: &str) {
    let mark = ClientToken {
        scope: call.scope.clone(),
        operation: "RegisterContainerInstance".to_owned(),
        // Whatever an agent sends: keys have limits.
        token: hex::encode(Sha256::digest(token)),
        request_digest: String::new(),
        resources: Vec::new(),
        expires_at: call.now + limits::CLIENT_TOKEN_RETENTION,
    };
    match view.client_tokens.get(&mark.key()) {
        // The instance of then was deregistered.
        Some(row) => txn.update(row, &mark),
        None => txn.insert(&mark),
    };
}

/// The instance that the same call registered before, when its agent did not get the answer.
fn repeated<'a>(
    call: &Call,
    view: &'a View,
    cluster: &ClusterName,
    token: Option<&str>,
) -> Option<&'a Arc<Row<ContainerInstance>>> {
    let token = token?;
    let mut instances =
        view.container_instances.range(&ContainerInstanceKey::in_cluster(&call.scope, cluster));
    instances.find(|row| {
        row.status != InstanceStatus::Inactive && row.registration_token.as_deref() == Some(token)
    })
}

fn known<'a>(
    call: &Call,
    view: &'a View,
    cluster: &ClusterName,
    arn: &str,
) -> Result<&'a Arc<Row<ContainerInstance>>, ServiceError> {
    let id = match arn.parse::<Arn>() {
        Ok(Arn { scope, resource: Named::ContainerInstance(name, id) })
            if scope == call.scope && name == *cluster =>
        {
            id
        }
        _ => {
            return Err(invalid_parameter(format!("{arn} is no container instance of {cluster}.")));
        }
    };
    lookup::instance(view, &call.scope, cluster, id)
        .filter(|row| row.status != InstanceStatus::Inactive)
        .ok_or_else(|| {
            client_error(
                "The referenced container instance was deregistered. Remove the agent's saved \
                 state and start it again to register a new one.",
            )
        })
}

/// An instance id where the machine has none: EC2's form, or that of external instances.
fn made_up_id(id: InstanceId, external: bool) -> String {
    let digits: String = id.to_string().chars().take(17).collect();
    if external { format!("mi-{digits}") } else { format!("i-{digits}") }
}

fn attributes(list: Vec<Attribute>) -> BTreeMap<String, Option<String>> {
    list.into_iter()
        .map(|attribute| (attribute.name, attribute.value.filter(|value| !value.is_empty())))
        .collect()
}

/// What the EC2 instance identity document says.
#[derive(Default)]
struct Identity {
    instance_id: Option<String>,
    attributes: Vec<(&'static str, String)>,
}

impl Identity {
    /// The document is informational: its signature is AWS's and cannot vouch for our machines.
    fn parse(document: Option<&str>) -> Self {
        let Some(Ok(value)) = document.map(serde_json::from_str::<serde_json::Value>) else {
            return Self::default();
        };
        let text = |name: &str| value[name].as_str().filter(|t| !t.is_empty()).map(str::to_owned);
        let named = [
            ("ecs.ami-id", "imageId"),
            ("ecs.instance-type", "instanceType"),
            (ZONE, "availabilityZone"),
        ];
        let attributes = named.into_iter().filter_map(|(name, key)| Some((name, text(key)?)));
        Self { instance_id: text("instanceId"), attributes: attributes.collect() }
    }

    fn add_to(&self, attributes: &mut BTreeMap<String, Option<String>>) {
        for (name, value) in &self.attributes {
            attributes.entry((*name).to_owned()).or_insert_with(|| Some(value.clone()));
        }
    }
}

fn resources(request: &RegisterContainerInstanceRequest) -> Result<Resources, ServiceError> {
    let list = request.total_resources.as_deref().unwrap_or_default();
    let find = |name: &str| list.iter().find(|r| r.name.as_deref() == Some(name));
    let number = |name: &str| -> Result<u32, ServiceError> {
        let value = find(name).and_then(|resource| resource.integer_value).unwrap_or(0);
        u32::try_from(value)
            .map_err(|_| invalid_parameter(format!("Resource {name} cannot be negative.")))
    };
    let ports = |name: &str| -> Result<BTreeSet<u16>, ServiceError> {
        let set = find(name).and_then(|resource: &Resource| resource.string_set_value.as_ref());
        set.into_iter()
            .flatten()
            .map(|port| {
                port.parse().map_err(|_| {
                    invalid_parameter(format!("Resource {name}: '{port}' is no port."))
                })
            })
            .collect()
    };
    let devices = request.platform_devices.iter().flatten();
    Ok(Resources {
        cpu_units: number("CPU")?,
        memory_mib: number("MEMORY")?,
        reserved_tcp_ports: ports("PORTS")?,
        reserved_udp_ports: ports("PORTS_UDP")?,
        gpus: devices
            .filter(|device| device.r#type == PlatformDeviceType::Gpu)
            .map(|device| device.id.clone())
            .collect(),
    })
}
