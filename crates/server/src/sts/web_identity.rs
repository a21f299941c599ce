//! AssumeRoleWithWebIdentity: whoever has a token of a provider that the role's account knows, and that
//! the role trusts. The request itself is not signed.

use std::sync::Arc;

use longshore_auth::{
    Account, Ask, Attached, Authorized, Context, Policy, PolicyKind, Principal, PrincipalKind,
    Session, Who, trusts,
};
use longshore_domain::ids::{IamArn, IamResource};
use longshore_domain::record::{IamRole, OidcProvider};
use longshore_store::View;
use longshore_store::tables::OidcProviderKey;
use longshore_wire::ServiceError;
use longshore_wire::sts::{
    AssumeRoleWithWebIdentityRequest, AssumeRoleWithWebIdentityResponse, AssumedRoleUser, ErrorCode,
};

use super::jwt::{Claims, Token};
use super::{assume, invalid, limits, no_vault, shown};
use crate::call::Call;
use crate::identity::{Subject, mint};

/// What is refused.
const ACTION: &str = "sts:AssumeRoleWithWebIdentity";

/// Who calls before its token was read: nobody, who may nothing else.
pub(crate) fn anybody() -> Principal {
    let kind = PrincipalKind::AssumedRole { role: String::new(), session: String::new() };
    let principal = Principal::new(Account::default(), kind, None);
    Principal { arn: "anonymous".to_owned(), ..principal }
}

/// AssumeRoleWithWebIdentity.
pub(super) async fn assume(
    call: &Call,
    request: Authorized<AssumeRoleWithWebIdentityRequest>,
) -> Result<AssumeRoleWithWebIdentityResponse, ServiceError> {
    let (_, request) = request.into_parts();
    assume::check_name(&request.role_session_name, "roleSessionName")?;
    if request.provider_id.is_some() {
        return Err(invalid("ProviderId is for providers of OAuth 2.0, which are not known here."));
    }
    let now_s = call.now.as_millis() / 1000;
    let token = Token::read(&request.web_identity_token.0).ok_or_else(|| {
        ErrorCode::InvalidIdentityToken.error("The ID Token provided is not a valid JWT.")
    })?;
    let view = call.server.state.view();
    let role = assume::find(&view, &request.role_arn).ok_or_else(refused)?;
    let provider = provider(&view, role, &token.claims)?;
    check_times(&token.claims, now_s)?;
    let keys = call.server.web_keys.of(&provider.url, |key| token.may_be_by(key)).await;
    let keys = keys.map_err(|why| {
        tracing::warn!(provider = provider.url, why, "keys of a provider could not be fetched");
        ErrorCode::IDPCommunicationError.error(
            "Couldn't retrieve verification key from your identity provider, please reference \
             AssumeRoleWithWebIdentity documentation for requirements",
        )
    })?;
    if !token.is_signed_by(&keys) {
        return Err(ErrorCode::InvalidIdentityToken
            .error("The ID Token provided is not signed by a key of its provider."));
    }
    let arn = provider.arn();
    check_trust(call, role, provider, &token.claims, &request.role_session_name)?;
    let lasts_s = assume::duration(role, request.duration_seconds)?;
    let policies = limits::policies(&view, role.account, request.policy, request.policy_arns)?;
    let expires_at_s = now_s + lasts_s;
    let session = Session {
        issued_at_s: now_s,
        expires_at_s,
        role_arn: Some(role.arn()),
        policies: policies.documents,
        policy_arns: policies.arns,
        is_limited: policies.is_limited,
        provider_arn: Some(arn.clone()),
        ..Session::default()
    };
    let name = request.role_session_name;
    let subject = Subject::Role { id: role.id.clone(), session: name.clone() };
    let vault = call.server.vault().map_err(no_vault)?;
    let minted = mint(vault, role.account, subject, std::collections::BTreeMap::new(), session);
    let minted = minted.map_err(no_vault)?;
    let resource = IamResource::AssumedRole(role.name.clone(), name.clone());
    Ok(AssumeRoleWithWebIdentityResponse {
        assumed_role_user: Some(AssumedRoleUser {
            arn: IamArn::new(role.account, resource).to_string(),
            assumed_role_id: format!("{}:{name}", role.id),
        }),
        audience: Some(token.claims.audience().to_owned()),
        credentials: Some(shown(minted, expires_at_s)),
        packed_policy_size: policies.packed,
        provider: Some(arn),
        session_token_size: None,
        session_token_utilization: None,
        source_identity: None,
        subject_from_web_identity_token: Some(token.claims.sub.clone()),
    })
}

fn refused() -> ServiceError {
    ErrorCode::AccessDenied.error(format!("Not authorized to perform {ACTION}"))
}

/// The provider that has made a token, if it made it for this account.
fn provider<'v>(
    view: &'v View,
    role: &IamRole,
    claims: &Claims,
) -> Result<&'v OidcProvider, ServiceError> {
    let wrong = |text: String| ErrorCode::InvalidIdentityToken.error(text);
    let url = claims.iss.strip_prefix("https://").unwrap_or_default().trim_end_matches('/');
    let key = OidcProviderKey { account: role.account, url: url.to_owned() };
    let row = view.oidc_providers.get(&key).ok_or_else(|| {
        wrong(format!("No OpenIDConnect provider found in your account for {}", claims.iss))
    })?;
    let audiences = claims.audiences();
    if !row.client_ids.iter().any(|id| audiences.contains(&id.as_str())) {
        return Err(wrong("Incorrect token audience".to_owned()));
    }
    Ok(row)
}

fn check_times(claims: &Claims, now_s: i64) -> Result<(), ServiceError> {
    if claims.has_ended(now_s) {
        #[expect(clippy::cast_possible_truncation, reason = "a time that is over")]
        let end = claims.exp as i64;
        return Err(ErrorCode::ExpiredTokenException.error(format!(
            "Token expired: current date/time {now_s} must be before the expiration date/time {end}"
        )));
    }
    if !claims.has_begun(now_s) {
        return Err(ErrorCode::InvalidIdentityToken.error("The ID Token is not valid yet."));
    }
    Ok(())
}

/// # Errors
/// `AccessDenied`.
fn check_trust(
    call: &Call,
    role: &IamRole,
    provider: &OidcProvider,
    claims: &Claims,
    session: &str,
) -> Result<(), ServiceError> {
    let (role_arn, provider_arn) = (role.arn(), provider.arn());
    let policy = Policy::parse_as(&role.trust, PolicyKind::Trust).map_err(|error| {
        tracing::error!(%error, role = role_arn, "a trust policy cannot be read");
        refused()
    })?;
    let source = format!("trust policy of {role_arn}");
    let trust = Attached { source, policy: Arc::new(policy) };
    let mut context = call.origin.of_request(Context::default(), &call.scope.region, call.now);
    let key = |name: &str| format!("{}:{name}", provider.url);
    context.add(&key("aud"), claims.audience());
    context.add(&key("sub"), claims.sub.as_str());
    for method in &claims.amr {
        context.add(&key("amr"), method.as_str());
    }
    context.add("aws:FederatedProvider", provider_arn.as_str());
    context.add("sts:RoleSessionName", session);
    let ask = Ask { action: ACTION, resource: &role_arn, context: &context };
    let evaluation = trusts(&trust, &Who::Federated(&provider_arn), &ask);
    if evaluation.is_allowed() { Ok(()) } else { Err(refused()) }
}
