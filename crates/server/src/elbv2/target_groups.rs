//! Target groups.

use longshore_auth::Authorized;
use longshore_domain::ids::ElbId;
use longshore_domain::record::{TargetGroup, TargetType};
use longshore_domain::route::{HealthCheck, ProbePort, Protocol, ProtocolVersion};
use longshore_store::tables::TargetKey;
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::elbv2::enums::{ProtocolEnum, TargetTypeEnum};
use longshore_wire::elbv2::{
    CreateTargetGroupInput, CreateTargetGroupOutput, DeleteTargetGroupInput,
    DeleteTargetGroupOutput, DescribeTargetGroupsInput, DescribeTargetGroupsOutput, ErrorCode,
    Matcher, ModifyTargetGroupInput, ModifyTargetGroupOutput,
};

use super::load_balancers::check_name;
use super::settings::{self, page};
use super::{encode, invalid, lookup, tags};
use crate::call::Call;
use crate::clock::RandomIds;

/// Settings of the health check that a request may change.
struct Check {
    enabled: Option<bool>,
    protocol: Option<ProtocolEnum>,
    port: Option<String>,
    path: Option<String>,
    interval_s: Option<i32>,
    timeout_s: Option<i32>,
    healthy: Option<i32>,
    unhealthy: Option<i32>,
    matcher: Option<Matcher>,
}

/// The members that CreateTargetGroup and ModifyTargetGroup share.
macro_rules! check_of {
    ($request:ident) => {
        Check {
            enabled: $request.health_check_enabled,
            protocol: $request.health_check_protocol,
            port: $request.health_check_port.clone(),
            path: $request.health_check_path.clone(),
            interval_s: $request.health_check_interval_seconds,
            timeout_s: $request.health_check_timeout_seconds,
            healthy: $request.healthy_threshold_count,
            unhealthy: $request.unhealthy_threshold_count,
            matcher: $request.matcher.clone(),
        }
    };
}

/// AWS's defaults (ELBv2 `CreateTargetGroup`).
fn default_check(protocol: Protocol, version: ProtocolVersion) -> HealthCheck {
    let http = matches!(protocol, Protocol::Http | Protocol::Https);
    HealthCheck {
        protocol: if http { protocol_of_check(protocol) } else { Protocol::Tcp },
        port: ProbePort::TrafficPort,
        path: if version == ProtocolVersion::Grpc { "/AWS.ALB/healthcheck" } else { "/" }
            .to_owned(),
        interval_s: 30,
        timeout_s: if http { 5 } else { 10 },
        healthy_threshold: 5,
        unhealthy_threshold: 2,
        matcher: match version {
            ProtocolVersion::Grpc => "12",
            _ if http => "200",
            _ => "200-399",
        }
        .to_owned(),
    }
}

fn protocol_of_check(protocol: Protocol) -> Protocol {
    if protocol == Protocol::Https { Protocol::Https } else { Protocol::Http }
}

impl Check {
    /// # Errors
    /// `ValidationError`.
    fn apply(&self, record: &mut TargetGroup) -> Result<(), ServiceError> {
        let check = &mut record.health_check;
        if let Some(enabled) = self.enabled {
            record.health_check_enabled = enabled;
        }
        if let Some(protocol) = self.protocol {
            check.protocol = match settings::protocol(protocol)? {
                protocol @ (Protocol::Http | Protocol::Https | Protocol::Tcp) => protocol,
                _ => {
                    return Err(invalid("The health check protocol must be HTTP, HTTPS, or TCP"));
                }
            };
        }
        let of_http = matches!(record.protocol, Protocol::Http | Protocol::Https);
        if of_http && check.protocol == Protocol::Tcp {
            return Err(invalid(
                "Health check protocol 'TCP' is not supported for target groups of HTTP or HTTPS",
            ));
        }
        if let Some(port) = &self.port {
            check.port = match port.as_str() {
                "traffic-port" => ProbePort::TrafficPort,
                text => match text.parse::<u16>() {
                    Ok(port) if port > 0 => ProbePort::Port(port),
                    _ => {
                        return Err(invalid(
                            "Health check port must be 'traffic-port' or between 1 and 65535",
                        ));
                    }
                },
            };
        }
        if let Some(path) = &self.path {
            if check.protocol == Protocol::Tcp {
                return Err(invalid("A health check path cannot be specified for TCP checks"));
            }
            if !path.starts_with('/') || path.chars().any(|c| c.is_whitespace() || c.is_control()) {
                return Err(invalid("Health check path must begin with '/' and have no spaces"));
            }
            check.path.clone_from(path);
        }
        let number = |given: Option<i32>, current: u32| {
            given.and_then(|n| u32::try_from(n).ok()).unwrap_or(current)
        };
        check.interval_s = number(self.interval_s, check.interval_s);
        check.timeout_s = number(self.timeout_s, check.timeout_s);
        check.healthy_threshold = number(self.healthy, check.healthy_threshold);
        check.unhealthy_threshold = number(self.unhealthy, check.unhealthy_threshold);
        if of_http && check.timeout_s >= check.interval_s {
            return Err(invalid(format!(
                "Health check timeout '{}' must be smaller than the interval '{}'",
                check.timeout_s, check.interval_s
            )));
        }
        let codes = self.matcher.as_ref();
        let codes =
            codes.and_then(|matcher| matcher.http_code.as_ref().or(matcher.grpc_code.as_ref()));
        if let Some(codes) = codes {
            let range = if record.version == ProtocolVersion::Grpc { 0..=99 } else { 200..=599 };
            settings::check_codes(codes, range)?;
            check.matcher.clone_from(codes);
        }
        Ok(())
    }
}

/// CreateTargetGroup. A second call with the same settings gives the same group.
pub(super) async fn create(
    call: &Call,
    request: Authorized<CreateTargetGroupInput>,
) -> Result<CreateTargetGroupOutput, ServiceError> {
    let (_, request) = request.into_parts();
    let wanted = wanted(call, &request)?;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let Some(known) = lookup::group_by_name(view, &call.scope, &wanted.name) else {
            txn.insert(&wanted);
            return Ok(wanted.clone());
        };
        let same = TargetGroup {
            id: known.id,
            created_at: known.created_at,
            attributes: known.attributes.clone(),
            ..wanted.clone()
        };
        if same == known.record {
            return Ok(same);
        }
        Err(ErrorCode::DuplicateTargetGroupName.error(format!(
            "A target group with the same name '{}' exists, but with different settings",
            wanted.name
        )))
    };
    let record = call.server.decide(decide).await?;
    let shown = encode::group(&call.server.state.view(), &record);
    Ok(CreateTargetGroupOutput { target_groups: Some(vec![shown]) })
}

fn wanted(call: &Call, request: &CreateTargetGroupInput) -> Result<TargetGroup, ServiceError> {
    check_name(&request.name, "Target group")?;
    let target_type = match request.target_type {
        None | Some(TargetTypeEnum::Instance) => TargetType::Instance,
        Some(TargetTypeEnum::Ip) => TargetType::Ip,
        Some(other) => {
            return Err(ErrorCode::InvalidConfigurationRequest.error(format!(
                "Target groups of type '{other}' are not available in this version of Longshore"
            )));
        }
    };
    let protocol = request.protocol.ok_or_else(|| invalid("A protocol must be specified"))?;
    let protocol = settings::protocol(protocol)?;
    let port = request.port.and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or_else(|| invalid("A port must be specified"))?;
    let http = matches!(protocol, Protocol::Http | Protocol::Https);
    if request.protocol_version.is_some() && !http {
        return Err(invalid("ProtocolVersion is for target groups of HTTP and HTTPS only"));
    }
    let version = match request.protocol_version.as_deref() {
        None | Some("HTTP1") => ProtocolVersion::Http1,
        Some("HTTP2") => ProtocolVersion::Http2,
        Some("GRPC") => ProtocolVersion::Grpc,
        Some(other) => return Err(invalid(format!("Protocol version '{other}' is not valid"))),
    };
    let mut record = TargetGroup {
        scope: call.scope.clone(),
        id: ElbId::fresh(&mut RandomIds),
        name: request.name.clone(),
        target_type,
        protocol,
        version,
        port,
        vpc_id: request.vpc_id.clone(),
        health_check_enabled: true,
        health_check: default_check(protocol, version),
        attributes: std::collections::BTreeMap::new(),
        created_at: call.now,
        tags: tags::checked(request.tags.clone())?,
    };
    check_of!(request).apply(&mut record)?;
    Ok(record)
}

/// DescribeTargetGroups.
pub(super) async fn describe(
    call: &Call,
    request: Authorized<DescribeTargetGroupsInput>,
) -> Result<DescribeTargetGroupsOutput, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    let (arns, names, balancer) =
        (&request.target_group_arns, &request.names, &request.load_balancer_arn);
    let given = [arns.is_some(), names.is_some(), balancer.is_some()];
    if given.into_iter().filter(|given| *given).count() > 1 {
        return Err(invalid(
            "You can specify only one of the following: load balancer ARN, target group ARNs, or names",
        ));
    }
    let found: Vec<TargetGroup> = if let Some(arns) = arns {
        arns.iter()
            .map(|arn| lookup::group(&view, &call.scope, arn).map(|row| row.record.clone()))
            .collect::<Result<_, _>>()?
    } else if let Some(names) = names {
        names
            .iter()
            .map(|name| {
                let row = lookup::group_by_name(&view, &call.scope, name);
                row.map(|row| row.record.clone()).ok_or_else(|| {
                    ErrorCode::TargetGroupNotFound.error("One or more target groups not found")
                })
            })
            .collect::<Result<_, _>>()?
    } else {
        let of =
            balancer.as_ref().map(|arn| lookup::balancer(&view, &call.scope, arn)).transpose()?;
        let rows = view.target_groups.range(&longshore_store::KeyPrefix::scope(&call.scope));
        let uses = |group: &TargetGroup| {
            of.is_none_or(|of| lookup::balancers_of_group(&view, &group.arn()).contains(&of.id))
        };
        rows.map(|row| &row.record).filter(|group| uses(group)).cloned().collect()
    };
    let page = page(&(arns, names, balancer), request.page_size, request.marker.as_deref())?;
    let (found, next_marker) = page.cut(found, |record| record.name.clone());
    let target_groups = Some(found.iter().map(|record| encode::group(&view, record)).collect());
    Ok(DescribeTargetGroupsOutput { target_groups, next_marker })
}

/// ModifyTargetGroup: the health check.
pub(super) async fn modify(
    call: &Call,
    request: Authorized<ModifyTargetGroupInput>,
) -> Result<ModifyTargetGroupOutput, ServiceError> {
    let (_, request) = request.into_parts();
    let check = check_of!(request);
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::group(view, &call.scope, &request.target_group_arn)?;
        let mut next = row.record.clone();
        check.apply(&mut next)?;
        if next != row.record {
            txn.update(row, &next);
        }
        Ok(next)
    };
    let record = call.server.decide(decide).await?;
    let shown = encode::group(&call.server.state.view(), &record);
    Ok(ModifyTargetGroupOutput { target_groups: Some(vec![shown]) })
}

/// DeleteTargetGroup, with its targets. One that is gone is no error.
pub(super) async fn delete(
    call: &Call,
    request: Authorized<DeleteTargetGroupInput>,
) -> Result<DeleteTargetGroupOutput, ServiceError> {
    let (_, request) = request.into_parts();
    let arn = request.target_group_arn;
    loop {
        let decide = |view: &View, txn: &mut RecordTxn| {
            let row = match lookup::group(view, &call.scope, &arn) {
                Ok(row) => row,
                Err(error) if error.code == ErrorCode::TargetGroupNotFound.as_str() => {
                    return Ok(true);
                }
                Err(error) => return Err(error),
            };
            if lookup::is_used(view, &arn) {
                return Err(ErrorCode::ResourceInUse.error(format!(
                    "Target group '{arn}' is currently in use by a listener or a rule"
                )));
            }
            for target in view.targets.range(&TargetKey::of_group(&call.scope, row.id)) {
                if txn.len() == TARGETS_AT_ONCE {
                    return Ok(false);
                }
                txn.remove(target);
            }
            txn.remove(row);
            Ok(true)
        };
        if call.server.decide(decide).await? {
            return Ok(DeleteTargetGroupOutput::default());
        }
    }
}

/// Targets that one transaction removes: as many as a store takes, with room.
const TARGETS_AT_ONCE: usize = 100;
