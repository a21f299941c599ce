//! A URL for a service: load balancer, target group and listener, made where they are missing.

use std::time::Duration;

use longshore_agent::api::{Api, ApiError};
use longshore_wire::ecs;
use longshore_wire::elbv2::enums::{ActionTypeEnum, LoadBalancerStateEnum, ProtocolEnum};
use longshore_wire::elbv2::{
    Action, CreateListenerInput, CreateLoadBalancerInput, CreateTargetGroupInput,
    DeleteLoadBalancerInput, DescribeLoadBalancersInput, DescribeTargetGroupsInput, LoadBalancer,
    Matcher, ModifyTargetGroupAttributesInput, TargetGroupAttribute, op,
};

use crate::client::failed;
use crate::failure::Failure;
use crate::output;

/// Port of the URL.
const PORT: i32 = 80;
/// Longest name of a balancer.
const NAME_LEN: usize = 32;
/// How long a node of balancers may take to learn of a new one.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long nodes may take to tell a server that has just started that they are there.
const GREETING: Duration = Duration::from_secs(2);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// What counts as well when nobody has said what the service answers at `/`.
const ANY_ANSWER: &str = "200-499";
/// Seconds between two checks of a target.
const CHECK_S: i32 = 5;
/// Seconds until a check has failed.
const TIMEOUT_S: i32 = 2;
/// Seconds that a task which stops may go on with what it was asked.
const DRAIN_S: u32 = 30;

/// Where a service answers, and what its `loadBalancers` are.
pub(crate) struct Url {
    pub(crate) url: String,
    pub(crate) member: ecs::LoadBalancer,
}

/// Makes what a service needs to be reached at one URL; `None` where no node of balancers is there to
/// serve it.
pub(crate) async fn url(
    client: &Api,
    service: &str,
    container: &str,
    port: u16,
) -> Result<Option<Url>, Failure> {
    let name = name_of(service);
    let what = "cannot make the load balancer";
    let request = CreateLoadBalancerInput { name: name.clone(), ..Default::default() };
    let made = client.call_elbv2::<op::CreateLoadBalancer>(&request).await.map_err(failed(what))?;
    let balancer = made.load_balancers.and_then(|list| list.into_iter().next());
    let balancer = balancer.ok_or_else(|| Failure::new(what, "the server's answer names none"))?;
    let arn = balancer.load_balancer_arn.clone().unwrap_or_default();
    if let Err(why) = served(client, &arn).await? {
        let gone = DeleteLoadBalancerInput { load_balancer_arn: arn };
        client.call_elbv2::<op::DeleteLoadBalancer>(&gone).await.map_err(failed(what))?;
        output::note(&format!("no load balancer: {why}"));
        return Ok(None);
    }
    let group = target_group(client, &name, port).await?;
    listen(client, &arn, &group).await?;
    Ok(Some(Url {
        url: format!("http://{}/", balancer.dns_name.unwrap_or_default()),
        member: ecs::LoadBalancer {
            target_group_arn: Some(group),
            container_name: Some(container.to_owned()),
            container_port: Some(i32::from(port)),
            ..ecs::LoadBalancer::default()
        },
    }))
}

/// Whether a node serves a balancer; else why not.
async fn served(client: &Api, arn: &str) -> Result<Result<(), String>, Failure> {
    let begun = tokio::time::Instant::now();
    let request = DescribeLoadBalancersInput {
        load_balancer_arns: Some(vec![arn.to_owned()]),
        ..Default::default()
    };
    loop {
        let found = client.call_elbv2::<op::DescribeLoadBalancers>(&request).await;
        let found = found.map_err(failed("cannot look at the load balancer"))?;
        let state =
            found.load_balancers.into_iter().flatten().find_map(|lb: LoadBalancer| lb.state);
        let state = state.unwrap_or_default();
        match (state.code, state.reason) {
            (Some(LoadBalancerStateEnum::Active), _) => return Ok(Ok(())),
            (_, Some(reason)) if begun.elapsed() > GREETING => return Ok(Err(reason)),
            _ if begun.elapsed() > PATIENCE => {
                return Ok(Err("no node of balancers takes it up".to_owned()));
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}

/// The target group of that name, made if it is missing.
async fn target_group(client: &Api, name: &str, port: u16) -> Result<String, Failure> {
    let what = "cannot make the target group";
    let named =
        DescribeTargetGroupsInput { names: Some(vec![name.to_owned()]), ..Default::default() };
    let known = match client.call_elbv2::<op::DescribeTargetGroups>(&named).await {
        Ok(found) => found.target_groups,
        Err(error) if is(&error, "TargetGroupNotFound") => None,
        Err(error) => return Err(failed(what)(error)),
    };
    let arn = known.into_iter().flatten().find_map(|group| group.target_group_arn);
    if let Some(arn) = arn {
        return Ok(arn);
    }
    let request = CreateTargetGroupInput {
        name: name.to_owned(),
        protocol: Some(ProtocolEnum::Http),
        port: Some(i32::from(port)),
        health_check_interval_seconds: Some(CHECK_S),
        health_check_timeout_seconds: Some(TIMEOUT_S),
        matcher: Some(Matcher { http_code: Some(ANY_ANSWER.to_owned()), grpc_code: None }),
        ..Default::default()
    };
    let made = client.call_elbv2::<op::CreateTargetGroup>(&request).await.map_err(failed(what))?;
    let arn = made.target_groups.into_iter().flatten().find_map(|group| group.target_group_arn);
    let arn = arn.ok_or_else(|| Failure::new(what, "the server's answer names none"))?;
    let request = ModifyTargetGroupAttributesInput {
        target_group_arn: arn.clone(),
        attributes: vec![TargetGroupAttribute {
            key: Some("deregistration_delay.timeout_seconds".to_owned()),
            value: Some(DRAIN_S.to_string()),
        }],
    };
    let changed = client.call_elbv2::<op::ModifyTargetGroupAttributes>(&request).await;
    changed.map_err(failed(what))?;
    Ok(arn)
}

/// Forwards the port of the URL to a target group, unless somebody has decided what to do with it.
async fn listen(client: &Api, balancer: &str, group: &str) -> Result<(), Failure> {
    let forward = Action {
        authenticate_cognito_config: None,
        authenticate_oidc_config: None,
        fixed_response_config: None,
        forward_config: None,
        jwt_validation_config: None,
        order: None,
        redirect_config: None,
        target_group_arn: Some(group.to_owned()),
        r#type: ActionTypeEnum::Forward,
    };
    let request = CreateListenerInput {
        load_balancer_arn: balancer.to_owned(),
        port: Some(PORT),
        protocol: Some(ProtocolEnum::Http),
        default_actions: vec![forward],
        ..Default::default()
    };
    match client.call_elbv2::<op::CreateListener>(&request).await {
        Ok(_) => Ok(()),
        Err(error) if is(&error, "DuplicateListener") => Ok(()),
        Err(error) => Err(failed("cannot make the listener")(error)),
    }
}

fn is(error: &ApiError, code: &str) -> bool {
    matches!(error, ApiError::Service { code: found, .. } if found == code)
}

/// Name of the balancer of a service.
fn name_of(service: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = service.chars().map(plain).take(NAME_LEN).collect();
    let name = name.trim_matches('-');
    // Names that begin so are AWS's.
    let name = name.strip_prefix("internal-").unwrap_or(name);
    if name.is_empty() { "service".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balancers_are_named_after_their_service() {
        for (service, name) in [
            ("web", "web"),
            ("web_api", "web-api"),
            ("_", "service"),
            ("internal-web", "web"),
            (
                "a-name-that-is-longer-than-a-load-balancer-may-have",
                "a-name-that-is-longer-than-a-loa",
            ),
        ] {
            assert_eq!(name_of(service), name);
        }
    }
}
