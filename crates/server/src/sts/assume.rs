//! AssumeRole: the trust policy of the role and the caller's own policies decide together.

use longshore_auth::{
    Ask, Attached, Authorized, Context, Denied, Permissions, Policy, PolicyKind, Principal,
    PrincipalKind, Question, ResourceRule, ResourceSide, Session, Who, evaluate_with, trusts,
};
use longshore_domain::ids::{AccountId, IamArn, IamResource};
use longshore_domain::record::IamRole;
use longshore_store::View;
use longshore_wire::ServiceError;
use longshore_wire::sts::{AssumeRoleRequest, AssumeRoleResponse, AssumedRoleUser, ErrorCode};

use super::limits::{self, SessionTags};
use super::{invalid, no_vault, shown};
use crate::call::Call;
use crate::iam::role_by_name;
use crate::identity::{Subject, mint};

/// Life of a session unless the caller wants another, in seconds.
const DEFAULT_S: i64 = 3600;
/// Longest life of a session that a session of a role begins, in seconds.
const CHAINED_S: i64 = 3600;

/// AssumeRole.
pub(super) async fn assume(
    call: &Call,
    request: Authorized<AssumeRoleRequest>,
) -> Result<AssumeRoleResponse, ServiceError> {
    let (principal, request) = request.into_parts();
    if request.serial_number.is_some() || request.token_code.is_some() {
        return Err(ErrorCode::AccessDenied
            .error("MultiFactorAuthentication failed, unable to validate MFA code."));
    }
    check_name(&request.role_session_name, "roleSessionName")?;
    if let Some(identity) = &request.source_identity {
        check_name(identity, "sourceIdentity")?;
    }
    if let Some(id) = &request.external_id {
        check_external_id(id)?;
    }
    if principal.kind == PrincipalKind::Root && !call.server.open {
        return Err(ErrorCode::AccessDenied.error("Roles may not be assumed by root accounts."));
    }
    let view = call.server.state.view();
    let role = find(&view, &request.role_arn);
    let role = role.ok_or_else(|| denied(&principal, "sts:AssumeRole", &request.role_arn))?;
    let tags = limits::tags(&principal, request.tags, request.transitive_tag_keys)?;
    let source_identity = source_identity(&principal, request.source_identity.as_ref())?;
    let asked = Asked {
        principal: &principal,
        role,
        tags: &tags,
        session: &request.role_session_name,
        external_id: request.external_id.as_deref(),
        source_identity: source_identity.as_deref(),
    };
    asked.check(call, "sts:AssumeRole")?;
    if !tags.given.is_empty() {
        asked.check(call, "sts:TagSession")?;
    }
    if source_identity.is_some() {
        asked.check(call, "sts:SetSourceIdentity")?;
    }
    let lasts_s = duration(role, request.duration_seconds)?;
    check_chain(&principal, lasts_s)?;
    let policies = limits::policies(&view, role.account, request.policy, request.policy_arns)?;
    let issued_at_s = call.now.as_millis() / 1000;
    let expires_at_s = issued_at_s + lasts_s;
    let session = Session {
        issued_at_s,
        expires_at_s,
        role_arn: Some(role.arn()),
        source_identity: source_identity.clone(),
        transitive_tag_keys: tags.transitive,
        policies: policies.documents,
        policy_arns: policies.arns,
        is_limited: policies.is_limited,
        ..Session::default()
    };
    let name = request.role_session_name;
    let subject = Subject::Role { id: role.id.clone(), session: name.clone() };
    let vault = call.server.vault().map_err(no_vault)?;
    let minted = mint(vault, role.account, subject, tags.tags, session);
    let minted = minted.map_err(no_vault)?;
    let resource = IamResource::AssumedRole(role.name.clone(), name.clone());
    Ok(AssumeRoleResponse {
        assumed_role_user: Some(AssumedRoleUser {
            arn: IamArn::new(role.account, resource).to_string(),
            assumed_role_id: format!("{}:{name}", role.id),
        }),
        credentials: Some(shown(minted, expires_at_s)),
        packed_policy_size: policies.packed,
        session_token_size: None,
        session_token_utilization: None,
        source_identity,
    })
}

/// The role that an ARN names, of whichever account.
pub(super) fn find<'v>(view: &'v View, arn: &str) -> Option<&'v IamRole> {
    let IamArn { account, resource } = arn.parse().ok()?;
    let IamResource::Role(_, name) = resource else { return None };
    role_by_name(view, account?, &name).filter(|role| role.arn() == arn)
}

fn denied(principal: &Principal, action: &str, role: &str) -> ServiceError {
    ErrorCode::AccessDenied.error(format!(
        "User: {} is not authorized to perform: {action} on resource: {role}",
        principal.arn
    ))
}

/// `[\w+=,.@-]*`
pub(super) fn check_name(text: &str, member: &str) -> Result<(), ServiceError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if text.chars().all(plain) {
        return Ok(());
    }
    Err(invalid(format!(
        "1 validation error detected: Value '{text}' at '{member}' failed to satisfy constraint: \
         Member must satisfy regular expression pattern: [\\w+=,.@-]*"
    )))
}

fn check_external_id(text: &str) -> Result<(), ServiceError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c);
    if text.chars().all(plain) {
        return Ok(());
    }
    Err(invalid(
        "1 validation error detected: Value at 'externalId' failed to satisfy constraint: Member \
         must satisfy regular expression pattern: [\\w+=,.@:\\/-]*",
    ))
}

/// Who began the chain: it is said once, and stays.
fn source_identity(
    principal: &Principal,
    given: Option<&String>,
) -> Result<Option<String>, ServiceError> {
    let inherited = principal.session.as_ref().and_then(|session| session.source_identity.clone());
    match (inherited, given) {
        (Some(before), Some(given)) if before != *given => Err(ErrorCode::AccessDenied.error(
            "The source identity of a session cannot be changed by the sessions that follow from it.",
        )),
        (Some(before), _) => Ok(Some(before)),
        (None, given) => Ok(given.cloned()),
    }
}

/// How long a session of a role lasts, in seconds.
///
/// # Errors
/// `ValidationError`.
pub(super) fn duration(role: &IamRole, wanted: Option<i32>) -> Result<i64, ServiceError> {
    let wanted_s = wanted.map_or(DEFAULT_S, i64::from);
    if wanted_s > i64::from(role.max_session_s) {
        return Err(invalid(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        ));
    }
    Ok(wanted_s)
}

/// A session that a session of a role begins is short.
fn check_chain(principal: &Principal, lasts_s: i64) -> Result<(), ServiceError> {
    let chained = matches!(principal.kind, PrincipalKind::AssumedRole { .. });
    if chained && lasts_s > CHAINED_S {
        return Err(invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by \
             role chaining",
        ));
    }
    Ok(())
}

/// A role, and who wants to become it.
struct Asked<'a> {
    principal: &'a Principal,
    role: &'a IamRole,
    tags: &'a SessionTags,
    session: &'a str,
    external_id: Option<&'a str>,
    source_identity: Option<&'a str>,
}

impl Asked<'_> {
    /// # Errors
    /// `AccessDenied`.
    fn check(&self, call: &Call, action: &'static str) -> Result<(), ServiceError> {
        let arn = self.role.arn();
        let refused = || denied(self.principal, action, &arn);
        let policy = Policy::parse_as(&self.role.trust, PolicyKind::Trust).map_err(|error| {
            tracing::error!(%error, role = arn, "a trust policy cannot be read");
            refused()
        })?;
        let trust = Attached {
            source: format!("trust policy of {arn}"),
            policy: std::sync::Arc::new(policy),
        };
        let context = self.context(call);
        let ask = Ask { action, resource: &arn, context: &context };
        let account = self.principal.account.as_str();
        let session = self.principal.session.as_ref().and_then(|s| s.role_arn.as_deref());
        let who = match session {
            Some(role) => Who::Session { account, arn: &self.principal.arn, role },
            None => Who::User { account, arn: &self.principal.arn },
        };
        let own = account.parse::<AccountId>() == Ok(self.role.account);
        let evaluation = match call.server.identity.permissions(self.principal) {
            // Whoever has everything of an account still has to be trusted.
            Permissions::Account => trusts(&trust, &who, &ask),
            Permissions::By(policies) => {
                let rule = if own { ResourceRule::ResourceMust } else { ResourceRule::Both };
                let side = ResourceSide { who, policies: std::slice::from_ref(&trust), rule };
                evaluate_with(&policies, &side, &ask)
            }
        };
        if evaluation.is_allowed() {
            return Ok(());
        }
        call.trace.denied(Box::new(Denied {
            principal_arn: self.principal.arn.clone(),
            question: Question {
                action,
                resource: arn.clone(),
                context: std::sync::Arc::new(context),
            },
            reason: evaluation.reason,
            evaluation: Some(Box::new(evaluation)),
        }));
        Err(refused())
    }

    /// Condition keys of the question.
    fn context(&self, call: &Call) -> Context {
        let mut context =
            call.origin.keys(Context::default(), self.principal, &call.scope.region, call.now);
        for key in &self.tags.given {
            if let Some(value) = self.tags.tags.get(key) {
                context.add(&format!("aws:RequestTag/{key}"), value.as_str());
            }
            context.add("aws:TagKeys", key.as_str());
        }
        for key in &self.tags.transitive {
            context.add("sts:TransitiveTagKeys", key.as_str());
        }
        for (key, value) in &self.role.tags {
            context.add(&format!("aws:ResourceTag/{key}"), value.as_str());
            context.add(&format!("iam:ResourceTag/{key}"), value.as_str());
        }
        context.add("sts:RoleSessionName", self.session);
        if let Some(id) = self.external_id {
            context.add("sts:ExternalId", id);
        }
        if let Some(identity) = self.source_identity {
            context.add("sts:SourceIdentity", identity);
            // That of the caller's own session is there already, and the same.
            if context.get("aws:SourceIdentity").is_none() {
                context.add("aws:SourceIdentity", identity);
            }
        }
        context
    }
}
