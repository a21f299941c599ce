//! Load balancers: create, describe, delete, and where they belong.

use std::net::IpAddr;
use std::sync::Arc;

use longshore_auth::Authorized;
use longshore_domain::ids::{ElbId, Scope};
use longshore_domain::record::{BalancerAddress, LoadBalancer};
use longshore_domain::route::BalancerKind;
use longshore_store::tables::BalancerAddressKey;
use longshore_store::{RecordTxn, Row, StoreRevision, View};
use longshore_wire::ServiceError;
use longshore_wire::elbv2::enums::{IpAddressType, LoadBalancerSchemeEnum, LoadBalancerTypeEnum};
use longshore_wire::elbv2::{
    AvailabilityZone, CreateLoadBalancerInput, CreateLoadBalancerOutput, DeleteLoadBalancerInput,
    DeleteLoadBalancerOutput, DescribeLoadBalancersInput, DescribeLoadBalancersOutput, ErrorCode,
    SetIpAddressTypeInput, SetIpAddressTypeOutput, SetSecurityGroupsInput, SetSecurityGroupsOutput,
    SetSubnetsInput, SetSubnetsOutput,
};

use super::settings::page;
use super::{attributes, encode, invalid, lookup, tags};
use crate::call::Call;
use crate::clock::RandomIds;

/// Longest name of a balancer or target group.
const NAME_LEN: usize = 32;

/// # Errors
/// `ValidationError` for what is no name.
pub(super) fn check_name(name: &str, what: &str) -> Result<(), ServiceError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if name.is_empty() || name.len() > NAME_LEN {
        return Err(invalid(format!(
            "{what} name '{name}' cannot be longer than '{NAME_LEN}' characters"
        )));
    }
    if !name.chars().all(allowed) {
        return Err(invalid(format!(
            "{what} name '{name}' can only contain characters that are alphanumeric characters or \
             hyphens(-)"
        )));
    }
    if name.starts_with('-') || name.ends_with('-') {
        return Err(invalid(format!("{what} name '{name}' cannot begin or end with '-'")));
    }
    Ok(())
}

/// CreateLoadBalancer. A second call with the same settings gives the same balancer.
pub(super) async fn create(
    call: &Call,
    request: Authorized<CreateLoadBalancerInput>,
) -> Result<CreateLoadBalancerOutput, ServiceError> {
    let (_, request) = request.into_parts();
    check_name(&request.name, "Load balancer")?;
    if request.name.starts_with("internal-") {
        return Err(invalid("The load balancer name cannot begin with 'internal-'"));
    }
    let kind = match request.r#type {
        None | Some(LoadBalancerTypeEnum::Application) => BalancerKind::Application,
        Some(LoadBalancerTypeEnum::Network) => BalancerKind::Network,
        Some(LoadBalancerTypeEnum::Gateway) => {
            return Err(ErrorCode::OperationNotPermitted
                .error("Gateway load balancers are not available in this version of Longshore"));
        }
    };
    check_ip_address_type(request.ip_address_type)?;
    let mappings = request.subnet_mappings.unwrap_or_default();
    let mapped = mappings.into_iter().filter_map(|mapping| mapping.subnet_id);
    let subnets: Vec<String> =
        request.subnets.unwrap_or_default().into_iter().chain(mapped).collect();
    check_subnets(&subnets)?;
    let security_groups = request.security_groups.unwrap_or_default();
    check_security_groups(&security_groups)?;
    let wanted = Wanted {
        name: request.name,
        kind,
        is_internal: request.scheme == Some(LoadBalancerSchemeEnum::Internal),
        subnets,
        security_groups,
        tags: tags::checked(request.tags)?,
    };
    let decide = |view: &View, txn: &mut RecordTxn| match lookup::balancer_by_name(
        view,
        &call.scope,
        &wanted.name,
    ) {
        Some(known) if wanted.is(known) => Ok((known.record.clone(), Some(known.create_revision))),
        Some(_) => Err(ErrorCode::DuplicateLoadBalancerName.error(format!(
            "A load balancer with the same name '{}' exists, but with different settings",
            wanted.name
        ))),
        None => {
            let record = wanted.record(call, free_address(call, view)?);
            txn.insert(&record);
            txn.insert(&BalancerAddress {
                address: record.address,
                scope: record.scope.clone(),
                name: record.name.clone(),
            });
            Ok((record, None))
        }
    };
    let (record, created) = call.server.decide(decide).await?;
    Ok(CreateLoadBalancerOutput { load_balancers: Some(vec![shown(call, &record, created)]) })
}

/// # Errors
/// `InvalidConfigurationRequest` for what needs IPv6.
fn check_ip_address_type(given: Option<IpAddressType>) -> Result<(), ServiceError> {
    match given {
        None | Some(IpAddressType::Ipv4) => Ok(()),
        Some(other) => Err(ErrorCode::InvalidConfigurationRequest.error(format!(
            "The IP address type '{other}' is not available in this version of Longshore: there is \
             no IPv6"
        ))),
    }
}

/// SetIpAddressType.
pub(super) async fn set_ip_address_type(
    call: &Call,
    request: Authorized<SetIpAddressTypeInput>,
) -> Result<SetIpAddressTypeOutput, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    lookup::balancer(&view, &call.scope, &request.load_balancer_arn)?;
    check_ip_address_type(Some(request.ip_address_type))?;
    Ok(SetIpAddressTypeOutput { ip_address_type: Some(IpAddressType::Ipv4) })
}

struct Wanted {
    name: String,
    kind: BalancerKind,
    is_internal: bool,
    subnets: Vec<String>,
    security_groups: Vec<String>,
    tags: longshore_domain::record::Tags,
}

impl Wanted {
    fn is(&self, known: &LoadBalancer) -> bool {
        self.kind == known.kind
            && self.is_internal == known.is_internal
            && self.subnets == known.subnets
            && self.security_groups == known.security_groups
            && self.tags == known.tags
    }

    fn record(&self, call: &Call, address: IpAddr) -> LoadBalancer {
        LoadBalancer {
            scope: call.scope.clone(),
            id: ElbId::fresh(&mut RandomIds),
            name: self.name.clone(),
            kind: self.kind,
            is_internal: self.is_internal,
            address,
            subnets: self.subnets.clone(),
            security_groups: self.security_groups.clone(),
            attributes: std::collections::BTreeMap::new(),
            created_at: call.now,
            tags: self.tags.clone(),
        }
    }
}

/// The lowest address of the pool that nobody has.
fn free_address(call: &Call, view: &View) -> Result<IpAddr, ServiceError> {
    let pool = &call.server.balancer_addresses;
    let is_free = |address: &IpAddr| {
        view.balancer_addresses.get(&BalancerAddressKey { address: *address }).is_none()
    };
    pool.hosts().map(IpAddr::from).find(is_free).ok_or_else(|| {
        ErrorCode::TooManyLoadBalancers.error(format!(
            "Every address of {pool} has a load balancer. Delete one, or start the server with a larger \
             pool of addresses (--balancer-addresses)."
        ))
    })
}

fn check_subnets(subnets: &[String]) -> Result<(), ServiceError> {
    match subnets.iter().find(|subnet| !subnet.starts_with("subnet-")) {
        Some(subnet) => {
            Err(ErrorCode::SubnetNotFound.error(format!("The subnet ID '{subnet}' is not valid")))
        }
        None => Ok(()),
    }
}

fn check_security_groups(groups: &[String]) -> Result<(), ServiceError> {
    match groups.iter().find(|group| !group.starts_with("sg-")) {
        Some(group) => Err(ErrorCode::InvalidSecurityGroup
            .error(format!("The security group ID '{group}' is not valid"))),
        None => Ok(()),
    }
}

fn shown(
    call: &Call,
    record: &LoadBalancer,
    created: Option<StoreRevision>,
) -> longshore_wire::elbv2::LoadBalancer {
    let view = call.server.state.view();
    encode::balancer(record, call.server.balancers.state_of(&view, record, created))
}

/// DescribeLoadBalancers.
pub(super) async fn describe(
    call: &Call,
    request: Authorized<DescribeLoadBalancersInput>,
) -> Result<DescribeLoadBalancersOutput, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    let (arns, names) = (request.load_balancer_arns, request.names);
    let found: Vec<Arc<Row<LoadBalancer>>> = match (&arns, &names) {
        (Some(_), Some(_)) => {
            return Err(invalid("Load balancer names and ARNs cannot be specified together"));
        }
        (Some(arns), None) => arns
            .iter()
            .map(|arn| lookup::balancer(&view, &call.scope, arn).cloned())
            .collect::<Result<_, _>>()?,
        (None, Some(names)) => names
            .iter()
            .map(|name| {
                let row = lookup::balancer_by_name(&view, &call.scope, name);
                row.cloned().ok_or_else(|| {
                    ErrorCode::LoadBalancerNotFound
                        .error(format!("Load balancers '[{name}]' not found"))
                })
            })
            .collect::<Result<_, _>>()?,
        (None, None) => in_scope(&view, &call.scope).cloned().collect(),
    };
    let page = page(&(&arns, &names), request.page_size, request.marker.as_deref())?;
    let (found, next_marker) = page.cut(found, |record| record.name.clone());
    let shown = |row: &Arc<Row<LoadBalancer>>| shown(call, row, Some(row.create_revision));
    let load_balancers = Some(found.iter().map(shown).collect());
    Ok(DescribeLoadBalancersOutput { load_balancers, next_marker })
}

fn in_scope<'v>(view: &'v View, scope: &Scope) -> impl Iterator<Item = &'v Arc<Row<LoadBalancer>>> {
    view.load_balancers.range(&longshore_store::KeyPrefix::scope(scope))
}

/// DeleteLoadBalancer, with its listeners and rules. One that is gone is no error.
pub(super) async fn delete(
    call: &Call,
    request: Authorized<DeleteLoadBalancerInput>,
) -> Result<DeleteLoadBalancerOutput, ServiceError> {
    let (_, request) = request.into_parts();
    let arn = request.load_balancer_arn;
    // Rules first, since a transaction holds a limited number of changes.
    loop {
        let decide = |view: &View, txn: &mut RecordTxn| {
            let row = match lookup::balancer(view, &call.scope, &arn) {
                Ok(row) => row,
                Err(error) if error.code == ErrorCode::LoadBalancerNotFound.as_str() => {
                    return Ok(true);
                }
                Err(error) => return Err(error),
            };
            if attributes::is_protected(row) {
                return Err(ErrorCode::OperationNotPermitted.error(format!(
                    "Load balancer '{arn}' cannot be deleted because deletion protection is enabled"
                )));
            }
            let listeners: Vec<_> = lookup::listeners_of(view, &call.scope, row.id).collect();
            for listener in &listeners {
                for rule in lookup::rules_of(view, listener) {
                    if txn.len() == RULES_AT_ONCE {
                        return Ok(false);
                    }
                    txn.remove(rule);
                }
            }
            for listener in listeners {
                txn.remove(listener);
            }
            txn.delete::<BalancerAddress>(&BalancerAddressKey { address: row.address });
            txn.remove(row);
            Ok(true)
        };
        if call.server.decide(decide).await? {
            return Ok(DeleteLoadBalancerOutput::default());
        }
    }
}

/// Rules that one transaction removes; with 50 listeners it stays within what a store takes.
const RULES_AT_ONCE: usize = 50;

/// SetSubnets.
pub(super) async fn set_subnets(
    call: &Call,
    request: Authorized<SetSubnetsInput>,
) -> Result<SetSubnetsOutput, ServiceError> {
    let (_, request) = request.into_parts();
    let mappings = request.subnet_mappings.unwrap_or_default();
    let mapped = mappings.into_iter().filter_map(|mapping| mapping.subnet_id);
    let subnets: Vec<String> =
        request.subnets.unwrap_or_default().into_iter().chain(mapped).collect();
    check_subnets(&subnets)?;
    let record = change(call, &request.load_balancer_arn, |record| {
        record.subnets.clone_from(&subnets);
    })
    .await?;
    let zones: Option<Vec<AvailabilityZone>> = shown(call, &record, None).availability_zones;
    Ok(SetSubnetsOutput { availability_zones: zones, ..SetSubnetsOutput::default() })
}

/// SetSecurityGroups.
pub(super) async fn set_security_groups(
    call: &Call,
    request: Authorized<SetSecurityGroupsInput>,
) -> Result<SetSecurityGroupsOutput, ServiceError> {
    let (_, request) = request.into_parts();
    let groups = request.security_groups;
    check_security_groups(&groups)?;
    let record = change(call, &request.load_balancer_arn, |record| {
        record.security_groups.clone_from(&groups);
    })
    .await?;
    Ok(SetSecurityGroupsOutput {
        security_group_ids: Some(record.security_groups),
        ..SetSecurityGroupsOutput::default()
    })
}

/// Changes a balancer.
pub(super) async fn change(
    call: &Call,
    arn: &str,
    change: impl Fn(&mut LoadBalancer),
) -> Result<LoadBalancer, ServiceError> {
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::balancer(view, &call.scope, arn)?;
        let mut next = row.record.clone();
        change(&mut next);
        if next != row.record {
            txn.update(row, &next);
        }
        Ok(next)
    };
    call.server.decide(decide).await
}
