//! Listeners.

use longshore_auth::Authorized;
use longshore_domain::ids::ElbId;
use longshore_domain::record::Listener;
use longshore_domain::route::{BalancerKind, Protocol};
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::elbv2::enums::ProtocolEnum;
use longshore_wire::elbv2::{
    CreateListenerInput, CreateListenerOutput, DeleteListenerInput, DeleteListenerOutput,
    DescribeListenersInput, DescribeListenersOutput, ErrorCode, ModifyListenerInput,
    ModifyListenerOutput,
};

use super::settings::{self, page};
use super::{actions, certificates, encode, invalid, lookup, tags};
use crate::call::Call;
use crate::clock::RandomIds;

/// Listeners of a balancer (ELBv2 quota).
const LISTENERS: usize = 50;

/// The protocol of a listener of this kind of balancer.
fn protocol(given: ProtocolEnum, kind: BalancerKind) -> Result<Protocol, ServiceError> {
    let protocol = settings::protocol(given)?;
    let http = matches!(protocol, Protocol::Http | Protocol::Https);
    if http == (kind == BalancerKind::Application) {
        return Ok(protocol);
    }
    let (what, allowed) = match kind {
        BalancerKind::Application => ("application", "HTTP, HTTPS"),
        BalancerKind::Network => ("network", "TCP, TLS, UDP, TCP_UDP"),
    };
    Err(ErrorCode::UnsupportedProtocol.error(format!(
        "Listeners of {what} load balancers must use one of the protocols {allowed}"
    )))
}

fn port(given: i32) -> Result<u16, ServiceError> {
    let port = u16::try_from(given).ok().filter(|port| *port > 0);
    port.ok_or_else(|| invalid("The port must be between 1 and 65535"))
}

/// CreateListener.
pub(super) async fn create(
    call: &Call,
    request: Authorized<CreateListenerInput>,
) -> Result<CreateListenerOutput, ServiceError> {
    let (_, request) = request.into_parts();
    let missing = |what: &str| invalid(format!("A {what} must be specified for a listener"));
    let port = port(request.port.ok_or_else(|| missing("port"))?)?;
    let given = request.protocol.ok_or_else(|| missing("protocol"))?;
    let tags = tags::checked(request.tags)?;
    certificates::check_mutual(request.mutual_authentication.as_ref())?;
    let certificate = certificates::default(request.certificates.unwrap_or_default())?;
    let alpn_policy = certificates::alpn(request.alpn_policy.as_ref())?;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let balancer = lookup::balancer(view, &call.scope, &request.load_balancer_arn)?;
        let protocol = protocol(given, balancer.kind)?;
        let known: Vec<_> = lookup::listeners_of(view, &call.scope, balancer.id).collect();
        if known.len() >= LISTENERS {
            return Err(ErrorCode::TooManyListeners
                .error(format!("A load balancer can have at most {LISTENERS} listeners")));
        }
        let actions = actions::read(request.default_actions.clone(), balancer.kind, &[])?;
        let secure = certificates::is_secure(protocol);
        let record = Listener {
            scope: call.scope.clone(),
            balancer: balancer.id,
            balancer_name: balancer.name.clone(),
            kind: balancer.kind,
            id: ElbId::fresh(&mut RandomIds),
            port,
            protocol,
            ssl_policy: request
                .ssl_policy
                .clone()
                .or_else(|| secure.then(|| settings::DEFAULT_SSL_POLICY.to_owned())),
            certificates: certificate.iter().cloned().collect(),
            alpn_policy: alpn_policy.clone(),
            default_actions: actions,
            attributes: std::collections::BTreeMap::new(),
            tags: tags.clone(),
        };
        certificates::check(view, txn, &record, None)?;
        actions::expect_groups(view, txn, &call.scope, protocol, &record.default_actions)?;
        if let Some(same) = known.iter().find(|row| row.port == port) {
            let as_new = Listener {
                id: same.id,
                attributes: same.attributes.clone(),
                tags: same.tags.clone(),
                ..record.clone()
            };
            if as_new == same.record {
                return Ok(as_new);
            }
            return Err(ErrorCode::DuplicateListener
                .error("A listener already exists on this port for this load balancer"));
        }
        txn.insert(&record);
        // Two listeners for one port do not both go through.
        txn.update(balancer, &balancer.record);
        Ok(record)
    };
    let record = call.server.decide(decide).await?;
    let shown = encode::listener(&call.server.state.view(), &record);
    Ok(CreateListenerOutput { listeners: Some(vec![shown]) })
}

/// DescribeListeners.
pub(super) async fn describe(
    call: &Call,
    request: Authorized<DescribeListenersInput>,
) -> Result<DescribeListenersOutput, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    let found: Vec<Listener> = match (&request.listener_arns, &request.load_balancer_arn) {
        (Some(arns), _) => arns
            .iter()
            .map(|arn| lookup::listener(&view, &call.scope, arn).map(|row| row.record.clone()))
            .collect::<Result<_, _>>()?,
        (None, Some(arn)) => {
            let balancer = lookup::balancer(&view, &call.scope, arn)?;
            let rows = lookup::listeners_of(&view, &call.scope, balancer.id);
            rows.map(|row| row.record.clone()).collect()
        }
        (None, None) => {
            return Err(invalid("You must specify either listener ARNs or a load balancer ARN"));
        }
    };
    let filters = (&request.listener_arns, &request.load_balancer_arn);
    let page = page(&filters, request.page_size, request.marker.as_deref())?;
    let (found, next_marker) = page.cut(found, |record| record.id.to_string());
    let listeners = Some(found.iter().map(|record| encode::listener(&view, record)).collect());
    Ok(DescribeListenersOutput { listeners, next_marker })
}

/// ModifyListener: each member if given.
pub(super) async fn modify(
    call: &Call,
    request: Authorized<ModifyListenerInput>,
) -> Result<ModifyListenerOutput, ServiceError> {
    let (_, request) = request.into_parts();
    certificates::check_mutual(request.mutual_authentication.as_ref())?;
    let certificate = certificates::default(request.certificates.unwrap_or_default())?;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::listener(view, &call.scope, &request.listener_arn)?;
        let balancer = lookup::balancer_by_name(view, &call.scope, &row.balancer_name)
            .ok_or_else(|| ErrorCode::ListenerNotFound.error("The load balancer is gone"))?;
        let mut next = row.record.clone();
        if let Some(given) = request.port {
            next.port = port(given)?;
        }
        if let Some(given) = request.protocol {
            next.protocol = protocol(given, row.kind)?;
        }
        if let Some(arn) = &certificate {
            let list = next.certificates.iter().skip(1);
            next.certificates = std::iter::once(arn).chain(list).cloned().collect();
        }
        let secure = certificates::is_secure(next.protocol);
        if request.ssl_policy.is_some() {
            next.ssl_policy.clone_from(&request.ssl_policy);
        } else if !secure {
            // What a change of protocol leaves behind.
            next.ssl_policy = None;
            if certificate.is_none() {
                next.certificates.clear();
            }
        } else if next.ssl_policy.is_none() {
            next.ssl_policy = Some(settings::DEFAULT_SSL_POLICY.to_owned());
        }
        if request.alpn_policy.is_some() {
            next.alpn_policy = certificates::alpn(request.alpn_policy.as_ref())?;
        } else if next.protocol != Protocol::Tls {
            next.alpn_policy = None;
        }
        if let Some(given) = &request.default_actions {
            next.default_actions = actions::read(given.clone(), row.kind, &row.default_actions)?;
        }
        certificates::check(view, txn, &next, Some(row))?;
        actions::expect_groups(view, txn, &call.scope, next.protocol, &next.default_actions)?;
        if next.protocol != row.protocol {
            for rule in lookup::rules_of(view, row) {
                actions::check_log_in(next.protocol, &rule.actions)?;
            }
        }
        let mut others = lookup::listeners_of(view, &call.scope, row.balancer);
        if others.any(|other| other.id != row.id && other.port == next.port) {
            return Err(ErrorCode::DuplicateListener
                .error("A listener already exists on this port for this load balancer"));
        }
        if next != row.record {
            txn.update(row, &next);
            if next.port != row.port {
                txn.update(balancer, &balancer.record);
            }
        }
        Ok(next)
    };
    let record = call.server.decide(decide).await?;
    let shown = encode::listener(&call.server.state.view(), &record);
    Ok(ModifyListenerOutput { listeners: Some(vec![shown]) })
}

/// DeleteListener, with its rules.
pub(super) async fn delete(
    call: &Call,
    request: Authorized<DeleteListenerInput>,
) -> Result<DeleteListenerOutput, ServiceError> {
    let (_, request) = request.into_parts();
    loop {
        let decide = |view: &View, txn: &mut RecordTxn| {
            let row = lookup::listener(view, &call.scope, &request.listener_arn)?;
            for rule in lookup::rules_of(view, row) {
                if txn.len() == RULES_AT_ONCE {
                    return Ok(false);
                }
                txn.remove(rule);
            }
            txn.remove(row);
            Ok(true)
        };
        if call.server.decide(decide).await? {
            return Ok(DeleteListenerOutput::default());
        }
    }
}

/// Rules that one transaction removes: as many as a store takes, with room.
const RULES_AT_ONCE: usize = 100;
