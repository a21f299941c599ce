//! What policies would say: SimulateCustomPolicy and SimulatePrincipalPolicy, and the condition keys
//! that they read. The same engine decides as for calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use longshore_auth::{
    Account, Ask, Attached, Authorized, Context, Decision, Evaluation, Layer, Policies, Policy,
    PolicyKind, Principal, PrincipalKind, ResourceRule, ResourceSide, Who, evaluate, evaluate_with,
};
use longshore_domain::ids::{AccountId, IamArn, IamResource};
use longshore_store::View;
use longshore_wire::ServiceError;
use longshore_wire::iam::enums::{PolicyEvaluationDecisionType, PolicySourceType};
use longshore_wire::iam::{
    ContextEntry, EvaluationResult, GetContextKeysForCustomPolicyRequest,
    GetContextKeysForPolicyResponse, GetContextKeysForPrincipalPolicyRequest,
    PermissionsBoundaryDecisionDetail, SimulateCustomPolicyRequest, SimulatePolicyResponse,
    SimulatePrincipalPolicyRequest, Statement,
};

use super::page::Page;
use super::{documents, lookup, names};
use crate::call::Call;
use crate::identity::documents_of;

/// Questions of one call: actions times resources.
const QUESTIONS: usize = 10_000;

/// What is asked.
struct Question {
    actions: Vec<String>,
    resources: Vec<String>,
    entries: Vec<ContextEntry>,
    caller: Option<String>,
    resource_policy: Option<String>,
    page: Page,
}

fn parsed(texts: &[String], name: &str) -> Result<Vec<Attached>, ServiceError> {
    let one = |(at, text): (usize, &String)| {
        let policy = Policy::parse(text).map_err(|error| documents::malformed(error.message))?;
        Ok(Attached { source: format!("{name}.{}", at + 1), policy: Arc::new(policy) })
    };
    texts.iter().enumerate().map(one).collect()
}

/// Many documents as one layer that allows only what each of them allows cannot be told from several
/// boundaries: AWS takes one.
fn boundary(texts: Option<&Vec<String>>) -> Result<Option<Attached>, ServiceError> {
    let texts = texts.map(Vec::as_slice).unwrap_or_default();
    if texts.len() > 1 {
        return Err(names::invalid(
            "permissionsBoundaryPolicyInputList can contain at most one policy.",
        ));
    }
    Ok(parsed(texts, "PermissionsBoundaryPolicyInputList")?.pop())
}

/// SimulateCustomPolicy.
pub(super) async fn custom(
    call: &Call,
    request: Authorized<SimulateCustomPolicyRequest>,
) -> Result<SimulatePolicyResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let policies = Policies {
        identity: parsed(&request.policy_input_list, "PolicyInputList")?,
        boundary: boundary(request.permissions_boundary_policy_input_list.as_ref())?,
        session: None,
    };
    let question = Question {
        actions: request.action_names,
        resources: request.resource_arns.unwrap_or_default(),
        entries: request.context_entries.unwrap_or_default(),
        caller: request.caller_arn,
        resource_policy: request.resource_policy,
        page: Page::of(request.marker.as_ref(), request.max_items)?,
    };
    answer(call, &policies, &question)
}

/// SimulatePrincipalPolicy.
pub(super) async fn principal(
    call: &Call,
    request: Authorized<SimulatePrincipalPolicyRequest>,
) -> Result<SimulatePolicyResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    let mut policies = policies_of(&view, call.scope.account, &request.policy_source_arn)?;
    let more = request.policy_input_list.unwrap_or_default();
    policies.identity.extend(parsed(&more, "PolicyInputList")?);
    if let Some(other) = boundary(request.permissions_boundary_policy_input_list.as_ref())? {
        policies.boundary = Some(other);
    }
    let question = Question {
        actions: request.action_names,
        resources: request.resource_arns.unwrap_or_default(),
        entries: request.context_entries.unwrap_or_default(),
        caller: Some(request.caller_arn.unwrap_or(request.policy_source_arn)),
        resource_policy: request.resource_policy,
        page: Page::of(request.marker.as_ref(), request.max_items)?,
    };
    answer(call, &policies, &question)
}

/// The policies of the user, group or role that an ARN names.
fn policies_of(view: &View, account: AccountId, arn: &str) -> Result<Policies, ServiceError> {
    let wrong = || {
        names::invalid(format!(
            "Invalid Entity Arn: {arn} does not clearly define entity type and name."
        ))
    };
    let IamArn { account: owner, resource } = names::arn(arn)?;
    if owner != Some(account) {
        return Err(wrong());
    }
    let name = account.to_string().parse::<Account>().unwrap_or_default();
    // Policies were asked about the whole ARN, so its path and its case count.
    let named = |found: String, kind: &str| {
        let missing = || lookup::missing(format!("The {kind} with ARN {arn} cannot be found."));
        (found == arn).then_some(()).ok_or_else(missing)
    };
    let is_session = matches!(resource, IamResource::AssumedRole(..));
    let (kind, id) = match resource {
        IamResource::User(_, user) => {
            let row = lookup::user(view, account, &user)?;
            named(row.arn(), "user")?;
            (PrincipalKind::User { name: row.name.clone() }, row.id.to_string())
        }
        IamResource::Role(_, role) | IamResource::AssumedRole(role, _) => {
            let row = lookup::role(view, account, &role)?;
            if !is_session {
                named(row.arn(), "role")?;
            }
            let session = String::new();
            (PrincipalKind::AssumedRole { role: row.name.clone(), session }, row.id.to_string())
        }
        IamResource::Group(_, group) => {
            let row = lookup::group(view, account, &group)?;
            named(row.arn(), "group")?;
            let arns = row.grants.attached.iter();
            let mut identity = Vec::new();
            for arn in arns {
                if let Some(source) = super::policy_source(view, arn) {
                    identity.extend(parsed(&[source.document.to_owned()], arn)?);
                }
            }
            for (name, text) in &row.grants.inline {
                identity.extend(parsed(std::slice::from_ref(text), name)?);
            }
            return Ok(Policies { identity, ..Policies::default() });
        }
        _ => return Err(wrong()),
    };
    Ok(documents_of(view, &Principal { unique_id: id, ..Principal::new(name, kind, None) }))
}

fn answer(
    call: &Call,
    policies: &Policies,
    question: &Question,
) -> Result<SimulatePolicyResponse, ServiceError> {
    let resources = if question.resources.is_empty() {
        vec!["*".to_owned()]
    } else {
        question.resources.clone()
    };
    if question.actions.len().saturating_mul(resources.len()) > QUESTIONS {
        return Err(names::invalid("Too many actions and resources for one simulation."));
    }
    let resource_policy = question.resource_policy.as_ref().map(|text| {
        let policy = Policy::parse_as(text, PolicyKind::Resource);
        let policy = policy.map_err(|error| documents::malformed(error.message))?;
        Ok::<_, ServiceError>([Attached {
            source: "ResourcePolicy".to_owned(),
            policy: Arc::new(policy),
        }])
    });
    let resource_policy = resource_policy.transpose()?;
    let mut context = Context::default();
    let mut given = BTreeSet::new();
    for entry in &question.entries {
        let Some(key) = &entry.context_key_name else { continue };
        given.insert(key.to_ascii_lowercase());
        for value in entry.context_key_values.iter().flatten() {
            context.add(key, value.clone());
        }
    }
    // The caller is known without being told.
    if let Some(arn) = &question.caller {
        for (key, value) in [("aws:PrincipalArn", arn.as_str())] {
            if given.insert(key.to_ascii_lowercase()) {
                context.add(key, value);
            }
        }
    }
    let account = call.scope.account.to_string();
    let mut all = Vec::new();
    for action in &question.actions {
        if !action.contains(':') {
            return Err(names::invalid(format!("Invalid Action: {action}")));
        }
        for resource in &resources {
            let ask = Ask { action, resource, context: &context };
            let evaluation = match (&resource_policy, &question.caller) {
                (Some(policies_of_resource), Some(arn)) => {
                    let who = Who::User { account: &account, arn };
                    let rule = ResourceRule::Either;
                    let side = ResourceSide { who, policies: policies_of_resource, rule };
                    evaluate_with(policies, &side, &ask)
                }
                _ => evaluate(policies, &ask),
            };
            let key = format!("{:06}", all.len());
            all.push((key, result(policies, &given, (action, resource), &evaluation)));
        }
    }
    let cut = question.page.cut(all);
    Ok(SimulatePolicyResponse {
        evaluation_results: Some(cut.items),
        is_truncated: cut.is_truncated,
        marker: cut.marker,
    })
}

fn result(
    policies: &Policies,
    given: &BTreeSet<String>,
    (action, resource): (&str, &str),
    evaluation: &Evaluation,
) -> EvaluationResult {
    let matched = evaluation.statements.iter().map(|statement| Statement {
        end_position: None,
        source_policy_id: Some(statement.source.clone()),
        source_policy_type: Some(if statement.layer == Layer::Resource {
            PolicySourceType::Resource
        } else {
            source_type(&statement.source)
        }),
        start_position: None,
    });
    let all = policies.identity.iter().chain(&policies.boundary);
    let wanted: BTreeSet<String> = all.flat_map(|one| one.policy.context_keys()).collect();
    let missing = wanted.difference(given).filter(|key| key.len() >= 5).cloned();
    let boundary = policies.boundary.as_ref().map(|_| PermissionsBoundaryDecisionDetail {
        allowed_by_permissions_boundary: Some(!evaluation.missing.contains(&Layer::Boundary)),
    });
    EvaluationResult {
        eval_action_name: action.to_owned(),
        eval_decision: match evaluation.decision {
            Decision::Allowed => PolicyEvaluationDecisionType::Allowed,
            Decision::ExplicitDeny => PolicyEvaluationDecisionType::ExplicitDeny,
            Decision::ImplicitDeny => PolicyEvaluationDecisionType::ImplicitDeny,
        },
        eval_decision_details: Some(BTreeMap::new()),
        eval_resource_name: Some(resource.to_owned()),
        matched_statements: Some(matched.collect()),
        missing_context_values: Some(missing.collect()),
        organizations_decision_detail: None,
        permissions_boundary_decision_detail: boundary,
        resource_specific_results: None,
    }
}

fn source_type(source: &str) -> PolicySourceType {
    match source.parse::<IamArn>() {
        Ok(IamArn { account: None, .. }) => PolicySourceType::AwsManaged,
        Ok(_) => PolicySourceType::UserManaged,
        Err(_) if source.contains(" of user/") => PolicySourceType::User,
        Err(_) if source.contains(" of group/") => PolicySourceType::Group,
        Err(_) if source.contains(" of role/") => PolicySourceType::Role,
        Err(_) => PolicySourceType::None,
    }
}

/// GetContextKeysForCustomPolicy.
pub(super) async fn custom_keys(
    _call: &Call,
    request: Authorized<GetContextKeysForCustomPolicyRequest>,
) -> Result<GetContextKeysForPolicyResponse, ServiceError> {
    let (_, request) = request.into_parts();
    Ok(keys(&parsed(&request.policy_input_list, "PolicyInputList")?))
}

/// GetContextKeysForPrincipalPolicy.
pub(super) async fn principal_keys(
    call: &Call,
    request: Authorized<GetContextKeysForPrincipalPolicyRequest>,
) -> Result<GetContextKeysForPolicyResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    let mut all = policies_of(&view, call.scope.account, &request.policy_source_arn)?.identity;
    all.extend(parsed(&request.policy_input_list.unwrap_or_default(), "PolicyInputList")?);
    Ok(keys(&all))
}

fn keys(policies: &[Attached]) -> GetContextKeysForPolicyResponse {
    let keys: BTreeSet<String> =
        policies.iter().flat_map(|one| one.policy.context_keys()).collect();
    let keys = keys.into_iter().filter(|key| key.len() >= 5).collect();
    GetContextKeysForPolicyResponse { context_key_names: Some(keys) }
}
