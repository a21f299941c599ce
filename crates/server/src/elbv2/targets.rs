//! Targets that somebody registers by hand, and the health of all.

use longshore_auth::Authorized;
use longshore_domain::record::{Target, TargetGroup, TargetType};
use longshore_domain::route::{Health, HealthReason, HealthState};
use longshore_store::tables::TargetKey;
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::elbv2::enums::{TargetHealthReasonEnum, TargetHealthStateEnum};
use longshore_wire::elbv2::{
    DeregisterTargetsInput, DeregisterTargetsOutput, DescribeTargetHealthInput,
    DescribeTargetHealthOutput, ErrorCode, RegisterTargetsInput, RegisterTargetsOutput,
    TargetDescription, TargetHealth, TargetHealthDescription,
};

use super::encode::int;
use super::{invalid, lookup};
use crate::balancers;
use crate::call::Call;

/// Targets of a group (ELBv2 quota).
const TARGETS: usize = 1000;
/// Targets of one call: what one transaction takes, with room.
const TARGETS_AT_ONCE: usize = 100;

/// Id and port of a target, as its group wants it.
fn name(group: &TargetGroup, given: &TargetDescription) -> Result<(String, u16), ServiceError> {
    let id = given.id.clone();
    let fits = match group.target_type {
        TargetType::Instance => id.starts_with("i-") || id.starts_with("mi-"),
        TargetType::Ip => id.parse::<std::net::IpAddr>().is_ok(),
    };
    if !fits {
        let what = match group.target_type {
            TargetType::Instance => format!("Invalid instance ID '{id}'"),
            TargetType::Ip => format!("The IP address '{id}' is not a valid IP address"),
        };
        return Err(ErrorCode::InvalidTarget.error(what));
    }
    let port = match given.port {
        None => group.port,
        Some(port) => u16::try_from(port)
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| invalid("The port of a target must be between 1 and 65535"))?,
    };
    Ok((id, port))
}

fn check_count(targets: &[TargetDescription]) -> Result<(), ServiceError> {
    if targets.is_empty() || targets.len() > TARGETS_AT_ONCE {
        return Err(invalid(format!("Specify between 1 and {TARGETS_AT_ONCE} targets")));
    }
    Ok(())
}

/// RegisterTargets.
pub(super) async fn register(
    call: &Call,
    request: Authorized<RegisterTargetsInput>,
) -> Result<RegisterTargetsOutput, ServiceError> {
    let (_, request) = request.into_parts();
    check_count(&request.targets)?;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let group = lookup::group(view, &call.scope, &request.target_group_arn)?;
        let known = view.targets.range(&TargetKey::of_group(&call.scope, group.id)).count();
        if known + request.targets.len() > TARGETS {
            return Err(ErrorCode::TooManyTargets
                .error(format!("A target group can have at most {TARGETS} targets")));
        }
        let mut names = std::collections::BTreeSet::new();
        for given in &request.targets {
            let (id, port) = name(group, given)?;
            if !names.insert((id.clone(), port)) {
                continue;
            }
            let key = TargetKey { scope: call.scope.clone(), group: group.id, id, port };
            let fresh = Target {
                scope: key.scope.clone(),
                group: key.group,
                id: key.id.clone(),
                port,
                zone: given.availability_zone.clone(),
                task: None,
                registered_at: call.now,
                deregistered_at: None,
                seen: std::collections::BTreeMap::new(),
            };
            match view.targets.get(&key) {
                None => _ = txn.insert(&fresh),
                Some(row) if row.deregistered_at.is_some() => _ = txn.update(row, &fresh),
                Some(_) => {}
            }
        }
        txn.expect_unchanged(group);
        Ok(())
    };
    call.server.decide(decide).await?;
    Ok(RegisterTargetsOutput::default())
}

/// DeregisterTargets: what is under way may end.
pub(super) async fn deregister(
    call: &Call,
    request: Authorized<DeregisterTargetsInput>,
) -> Result<DeregisterTargetsOutput, ServiceError> {
    let (_, request) = request.into_parts();
    check_count(&request.targets)?;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let group = lookup::group(view, &call.scope, &request.target_group_arn)?;
        for given in &request.targets {
            let rows = view.targets.range(&TargetKey::of_group(&call.scope, group.id));
            // Without a port all of an id are meant.
            let port = given.port.and_then(|port| u16::try_from(port).ok());
            let meant = rows.filter(|row| row.id == given.id && port.is_none_or(|p| p == row.port));
            for row in meant.filter(|row| row.deregistered_at.is_none()) {
                let next = Target { deregistered_at: Some(call.now), ..row.record.clone() };
                txn.update(row, &next);
            }
        }
        Ok(())
    };
    call.server.decide(decide).await?;
    Ok(DeregisterTargetsOutput::default())
}

/// DescribeTargetHealth.
pub(super) async fn describe_health(
    call: &Call,
    request: Authorized<DescribeTargetHealthInput>,
) -> Result<DescribeTargetHealthOutput, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    let group = lookup::group(&view, &call.scope, &request.target_group_arn)?;
    let used = lookup::is_used(&view, &group.arn());
    let rows: Vec<_> = view.targets.range(&TargetKey::of_group(&call.scope, group.id)).collect();
    let shown = |target: &Target| {
        description(group, &target.id, target.port, &balancers::health(group, target, used))
    };
    let descriptions = match request.targets {
        None => rows.iter().map(|row| shown(row)).collect(),
        Some(given) => {
            let mut found = Vec::with_capacity(given.len());
            for given in given {
                let (id, port) = name(group, &given)?;
                let row = rows.iter().find(|row| row.id == id && row.port == port);
                found.push(match row {
                    Some(row) => shown(row),
                    None => description(group, &id, port, &not_registered(call)),
                });
            }
            found
        }
    };
    Ok(DescribeTargetHealthOutput { target_health_descriptions: Some(descriptions) })
}

fn not_registered(call: &Call) -> Health {
    Health {
        state: HealthState::Unused,
        reason: Some(HealthReason::NotRegistered),
        description: Some("Target is not registered to the target group".to_owned()),
        since: call.now,
    }
}

fn description(
    group: &TargetGroup,
    id: &str,
    port: u16,
    health: &Health,
) -> TargetHealthDescription {
    let word = health.state.as_str();
    let state = TargetHealthStateEnum::ALL.iter().find(|state| state.as_str() == word);
    let reason = health.reason.map(HealthReason::as_str);
    let reasons = TargetHealthReasonEnum::ALL.iter();
    let check_port = match group.health_check.port {
        longshore_domain::route::ProbePort::TrafficPort => port,
        longshore_domain::route::ProbePort::Port(port) => port,
    };
    TargetHealthDescription {
        target: Some(TargetDescription {
            id: id.to_owned(),
            port: Some(int(port)),
            ..TargetDescription::default()
        }),
        health_check_port: Some(check_port.to_string()),
        target_health: Some(TargetHealth {
            state: state.copied(),
            reason: reasons.filter(|known| Some(known.as_str()) == reason).copied().next(),
            description: health.description.clone(),
        }),
        ..TargetHealthDescription::default()
    }
}
