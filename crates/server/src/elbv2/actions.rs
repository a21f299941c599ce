//! Actions, from the API and back.

use longshore_domain::ids::Scope;
use longshore_domain::record::forwarded_to;
use longshore_domain::route::{
    Action, AuthenticateOidc, BalancerKind, FixedResponse, Forward, Protocol, Redirect,
    Unauthenticated, Weighted,
};
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::elbv2::enums::{
    ActionTypeEnum, AuthenticateOidcActionConditionalBehaviorEnum as OnUnauthenticated,
    RedirectActionStatusCodeEnum,
};
use longshore_wire::elbv2::{
    self, AuthenticateOidcActionConfig, ErrorCode, FixedResponseActionConfig, ForwardActionConfig,
    RedirectActionConfig, TargetGroupStickinessConfig, TargetGroupTuple,
};

use super::encode::int;
use super::{invalid, lookup};

/// Target groups that one action may forward to (ELBv2 `ForwardActionConfig`).
const FORWARD_GROUPS: usize = 5;
/// Largest weight.
const WEIGHT_MAX: u32 = 999;
/// Longest log-in, and the usual one: a week.
const SESSION_MAX_S: i64 = 604_800;
/// Longest time that a client stays with a group: a week.
const STICKINESS_MAX_S: i32 = 604_800;

/// The actions of a request, in their order; `old` are those in whose place they come.
///
/// # Errors
/// `ValidationError`, `InvalidLoadBalancerAction`, `TooManyActions`, `UnsupportedProtocol`.
pub(super) fn read(
    given: Vec<elbv2::Action>,
    kind: BalancerKind,
    old: &[Action],
) -> Result<Vec<Action>, ServiceError> {
    let mut given = given;
    given.sort_by_key(|action| action.order.unwrap_or(i32::MAX));
    let actions: Vec<Action> =
        given.into_iter().map(|given| one(given, old)).collect::<Result<_, _>>()?;
    let Some((last, before)) = actions.split_last() else {
        return Err(invalid(
            "You must specify exactly one of forward, redirect, or fixed-response",
        ));
    };
    let answers = |action: &Action| !matches!(action, Action::AuthenticateOidc(_));
    if before.iter().any(answers) || !answers(last) {
        return Err(ErrorCode::InvalidLoadBalancerAction.error(
            "The last action must be one of forward, redirect, or fixed-response, and there may be \
             only one of them",
        ));
    }
    if before.len() > 1 {
        return Err(ErrorCode::TooManyActions.error("There may be one authentication action"));
    }
    if kind == BalancerKind::Network
        && (!before.is_empty() || !matches!(last, Action::Forward(f) if f.groups.len() == 1))
    {
        return Err(ErrorCode::InvalidLoadBalancerAction
            .error("A network load balancer forwards to exactly one target group"));
    }
    Ok(actions)
}

fn one(given: elbv2::Action, old: &[Action]) -> Result<Action, ServiceError> {
    let missing = |config: &str| invalid(format!("A value must be specified for '{config}'"));
    match given.r#type {
        ActionTypeEnum::Forward => forward(given.target_group_arn, given.forward_config),
        ActionTypeEnum::Redirect => {
            redirect(given.redirect_config.ok_or_else(|| missing("RedirectConfig"))?)
        }
        ActionTypeEnum::FixedResponse => {
            fixed(given.fixed_response_config.ok_or_else(|| missing("FixedResponseConfig"))?)
        }
        ActionTypeEnum::AuthenticateOidc => {
            let config = given.authenticate_oidc_config;
            oidc(config.ok_or_else(|| missing("AuthenticateOidcConfig"))?, old)
        }
        ActionTypeEnum::AuthenticateCognito | ActionTypeEnum::JwtValidation => {
            Err(ErrorCode::InvalidLoadBalancerAction.error(format!(
                "Actions of type '{}' are not available in this version of Longshore",
                given.r#type
            )))
        }
    }
}

fn forward(
    group: Option<String>,
    config: Option<ForwardActionConfig>,
) -> Result<Action, ServiceError> {
    let config = config.unwrap_or_default();
    let tuples = config.target_groups.unwrap_or_default();
    let tuples = match group {
        Some(group) if tuples.is_empty() => {
            vec![TargetGroupTuple { target_group_arn: Some(group), weight: Some(1) }]
        }
        Some(group) if tuples.len() != 1 || tuples[0].target_group_arn.as_ref() != Some(&group) => {
            return Err(invalid(
                "TargetGroupArn and ForwardConfig must name the same target group",
            ));
        }
        _ => tuples,
    };
    if tuples.is_empty() || tuples.len() > FORWARD_GROUPS {
        return Err(invalid(format!(
            "A forward action must have between 1 and {FORWARD_GROUPS} target groups"
        )));
    }
    let weighted = |tuple: TargetGroupTuple| {
        let weight = u32::try_from(tuple.weight.unwrap_or(1)).ok().filter(|w| *w <= WEIGHT_MAX);
        Ok(Weighted {
            group: tuple.target_group_arn.ok_or_else(|| invalid("TargetGroupArn is required"))?,
            weight: weight.ok_or_else(|| {
                invalid(format!("The weight of a target group must be between 0 and {WEIGHT_MAX}"))
            })?,
        })
    };
    let groups: Vec<Weighted> = tuples.into_iter().map(weighted).collect::<Result<_, _>>()?;
    let stickiness = config.target_group_stickiness_config.unwrap_or_default();
    let stickiness_s = if stickiness.enabled == Some(true) {
        let seconds = stickiness.duration_seconds.unwrap_or(0);
        if !(1..=STICKINESS_MAX_S).contains(&seconds) {
            return Err(invalid(format!(
                "Target group stickiness duration must be between 1 and {STICKINESS_MAX_S} seconds"
            )));
        }
        u32::try_from(seconds).ok()
    } else {
        None
    };
    Ok(Action::Forward(Forward { groups, stickiness_s }))
}

fn redirect(given: RedirectActionConfig) -> Result<Action, ServiceError> {
    let or = |given: Option<String>, default: &str| given.unwrap_or_else(|| default.to_owned());
    let redirect = Redirect {
        protocol: or(given.protocol, "#{protocol}"),
        host: or(given.host, "#{host}"),
        port: or(given.port, "#{port}"),
        path: or(given.path, "/#{path}"),
        query: or(given.query, "#{query}"),
        permanent: given.status_code == RedirectActionStatusCodeEnum::Http301,
    };
    if !matches!(redirect.protocol.as_str(), "HTTP" | "HTTPS" | "#{protocol}") {
        return Err(invalid("The redirect protocol must be HTTP, HTTPS, or #{protocol}"));
    }
    let port = redirect.port.parse::<u16>().is_ok_and(|port| port > 0);
    if !port && redirect.port != "#{port}" {
        return Err(invalid("The redirect port must be between 1 and 65535, or #{port}"));
    }
    if !redirect.path.starts_with('/') {
        return Err(invalid("The redirect path must start with '/'"));
    }
    let same = (&*redirect.protocol, &*redirect.host, &*redirect.port, &*redirect.path);
    if same == ("#{protocol}", "#{host}", "#{port}", "/#{path}") {
        return Err(invalid(
            "A redirect must change at least one of protocol, host, port, or path",
        ));
    }
    Ok(Action::Redirect(redirect))
}

fn fixed(given: FixedResponseActionConfig) -> Result<Action, ServiceError> {
    let status = given.status_code.parse::<u16>().ok();
    let status = status.filter(|code| matches!(code, 200..=299 | 400..=599));
    let status =
        status.ok_or_else(|| invalid("The fixed response status code must be 2XX, 4XX, or 5XX"))?;
    let types =
        ["text/plain", "text/css", "text/html", "application/javascript", "application/json"];
    let content_type = given.content_type.filter(|kind| !kind.is_empty());
    if content_type.as_ref().is_some_and(|kind| !types.contains(&kind.as_str())) {
        return Err(invalid(format!("The content type must be one of {}", types.join(", "))));
    }
    Ok(Action::FixedResponse(FixedResponse {
        status,
        content_type,
        body: given.message_body.unwrap_or_default(),
    }))
}

fn oidc(given: AuthenticateOidcActionConfig, old: &[Action]) -> Result<Action, ServiceError> {
    let endpoints =
        [&given.authorization_endpoint, &given.token_endpoint, &given.user_info_endpoint];
    for endpoint in endpoints.into_iter().chain([&given.issuer]) {
        if !is_url(endpoint) {
            return Err(invalid(format!("'{endpoint}' is not a valid URL of an OIDC provider")));
        }
    }
    let timeout_s = given.session_timeout.unwrap_or(SESSION_MAX_S);
    if !(1..=SESSION_MAX_S).contains(&timeout_s) {
        return Err(invalid(format!(
            "The session timeout must be between 1 and {SESSION_MAX_S} seconds"
        )));
    }
    let cookie = given.session_cookie_name;
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if cookie.as_ref().is_some_and(|name| name.is_empty() || !name.bytes().all(is_token)) {
        return Err(invalid("The session cookie name is not valid"));
    }
    let known = || {
        old.iter().find_map(|action| match action {
            Action::AuthenticateOidc(old) => {
                // The secret goes to no other provider than the one that it was given for.
                let same = old.issuer == given.issuer
                    && old.client_id == given.client_id
                    && old.token_endpoint == given.token_endpoint;
                same.then(|| old.client_secret.clone())
            }
            _ => None,
        })
    };
    let secret = match given.client_secret {
        Some(secret) if !secret.is_empty() => Some(secret),
        _ if given.use_existing_client_secret == Some(true) => known(),
        _ => None,
    };
    let client_secret = secret.ok_or_else(|| invalid("A client secret must be specified"))?;
    Ok(Action::AuthenticateOidc(Box::new(AuthenticateOidc {
        issuer: given.issuer,
        authorization_endpoint: given.authorization_endpoint,
        token_endpoint: given.token_endpoint,
        user_info_endpoint: given.user_info_endpoint,
        client_id: given.client_id,
        client_secret,
        session_cookie: cookie.unwrap_or_else(|| "AWSELBAuthSessionCookie".to_owned()),
        scope: given.scope.unwrap_or_else(|| "openid".to_owned()),
        session_timeout_s: u64::try_from(timeout_s).unwrap_or_default(),
        extra_parameters: given
            .authentication_request_extra_params
            .unwrap_or_default()
            .into_iter()
            .collect(),
        unauthenticated: match given.on_unauthenticated_request {
            Some(OnUnauthenticated::Deny) => Unauthenticated::Deny,
            Some(OnUnauthenticated::Allow) => Unauthenticated::Allow,
            Some(OnUnauthenticated::Authenticate) | None => Unauthenticated::Authenticate,
        },
    })))
}

/// AWS takes `https` alone; `http` is for providers on the machine itself, in development.
fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let visible = |b: u8| (b'!'..=b'~').contains(&b);
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && rest.bytes().all(visible))
}

/// Makes sure that nobody logs in without TLS.
///
/// # Errors
/// `InvalidLoadBalancerAction`.
pub(super) fn check_log_in(listener: Protocol, actions: &[Action]) -> Result<(), ServiceError> {
    let logs_in = actions.iter().any(|action| matches!(action, Action::AuthenticateOidc(_)));
    if logs_in && listener != Protocol::Https {
        return Err(ErrorCode::InvalidLoadBalancerAction
            .error("Actions of type 'authenticate-oidc' are supported for HTTPS listeners only"));
    }
    Ok(())
}

/// Makes sure that the target groups of actions exist, fit the listener, and stay until the
/// transaction is through.
///
/// # Errors
/// `TargetGroupNotFound`, `IncompatibleProtocols`, `InvalidLoadBalancerAction`.
pub(super) fn expect_groups(
    view: &View,
    txn: &mut RecordTxn,
    scope: &Scope,
    listener: Protocol,
    actions: &[Action],
) -> Result<(), ServiceError> {
    check_log_in(listener, actions)?;
    let http = |protocol| matches!(protocol, Protocol::Http | Protocol::Https);
    for arn in forwarded_to(actions) {
        let row = lookup::group(view, scope, arn)?;
        let fits = match listener {
            Protocol::Http | Protocol::Https => http(row.protocol),
            Protocol::Tcp => matches!(row.protocol, Protocol::Tcp | Protocol::TcpUdp),
            Protocol::Tls => matches!(row.protocol, Protocol::Tcp | Protocol::Tls),
            other => row.protocol == other || row.protocol == Protocol::TcpUdp,
        };
        if !fits {
            return Err(ErrorCode::IncompatibleProtocols.error(format!(
                "The protocol of target group '{}' is not compatible with the protocol of the listener",
                row.name
            )));
        }
        txn.expect_unchanged(row);
    }
    Ok(())
}

/// As the API shows them.
pub(super) fn encode(actions: &[Action]) -> Vec<elbv2::Action> {
    let several = actions.len() > 1;
    let order = |index: usize| several.then(|| int(index + 1));
    actions.iter().enumerate().map(|(index, action)| shown(action, order(index))).collect()
}

fn shown(action: &Action, order: Option<i32>) -> elbv2::Action {
    let base = |r#type| elbv2::Action {
        authenticate_cognito_config: None,
        authenticate_oidc_config: None,
        fixed_response_config: None,
        forward_config: None,
        jwt_validation_config: None,
        order,
        redirect_config: None,
        target_group_arn: None,
        r#type,
    };
    match action {
        Action::Forward(forward) => {
            let tuple = |group: &Weighted| TargetGroupTuple {
                target_group_arn: Some(group.group.clone()),
                weight: Some(int(group.weight)),
            };
            let single = forward.groups.first().filter(|_| forward.groups.len() == 1);
            elbv2::Action {
                target_group_arn: single.map(|group| group.group.clone()),
                forward_config: Some(ForwardActionConfig {
                    target_groups: Some(forward.groups.iter().map(tuple).collect()),
                    target_group_stickiness_config: Some(TargetGroupStickinessConfig {
                        enabled: Some(forward.stickiness_s.is_some()),
                        duration_seconds: forward.stickiness_s.map(int),
                    }),
                }),
                ..base(ActionTypeEnum::Forward)
            }
        }
        Action::Redirect(redirect) => elbv2::Action {
            redirect_config: Some(RedirectActionConfig {
                host: Some(redirect.host.clone()),
                path: Some(redirect.path.clone()),
                port: Some(redirect.port.clone()),
                protocol: Some(redirect.protocol.clone()),
                query: Some(redirect.query.clone()),
                status_code: if redirect.permanent {
                    RedirectActionStatusCodeEnum::Http301
                } else {
                    RedirectActionStatusCodeEnum::Http302
                },
            }),
            ..base(ActionTypeEnum::Redirect)
        },
        Action::FixedResponse(fixed) => elbv2::Action {
            fixed_response_config: Some(FixedResponseActionConfig {
                content_type: fixed.content_type.clone(),
                message_body: Some(fixed.body.clone()),
                status_code: fixed.status.to_string(),
            }),
            ..base(ActionTypeEnum::FixedResponse)
        },
        Action::AuthenticateOidc(oidc) => elbv2::Action {
            authenticate_oidc_config: Some(shown_oidc(oidc)),
            ..base(ActionTypeEnum::AuthenticateOidc)
        },
    }
}

/// Without the secret.
fn shown_oidc(oidc: &AuthenticateOidc) -> AuthenticateOidcActionConfig {
    AuthenticateOidcActionConfig {
        issuer: oidc.issuer.clone(),
        authorization_endpoint: oidc.authorization_endpoint.clone(),
        token_endpoint: oidc.token_endpoint.clone(),
        user_info_endpoint: oidc.user_info_endpoint.clone(),
        client_id: oidc.client_id.clone(),
        session_cookie_name: Some(oidc.session_cookie.clone()),
        scope: Some(oidc.scope.clone()),
        session_timeout: i64::try_from(oidc.session_timeout_s).ok(),
        authentication_request_extra_params: Some(oidc.extra_parameters.iter().cloned().collect()),
        on_unauthenticated_request: Some(match oidc.unauthenticated {
            Unauthenticated::Deny => OnUnauthenticated::Deny,
            Unauthenticated::Allow => OnUnauthenticated::Allow,
            Unauthenticated::Authenticate => OnUnauthenticated::Authenticate,
        }),
        ..AuthenticateOidcActionConfig::default()
    }
}
