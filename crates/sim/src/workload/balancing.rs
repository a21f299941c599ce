//! Services behind a balancer: one target group each, all on one load balancer.

use longshore_wire::Operation;
use longshore_wire::elbv2::enums::{ActionTypeEnum, ProtocolEnum};
use longshore_wire::elbv2::{
    Action, CreateListenerInput, CreateLoadBalancerInput, CreateTargetGroupInput,
    ModifyTargetGroupAttributesInput, TargetGroupAttribute, op,
};
use serde_json::{Value, json};
use std::time::Duration;

use super::{SERVICES, User};
use crate::world;

/// Deregistration delay of every target group.
pub const DELAY: Duration = Duration::from_secs(20);

impl User {
    async fn insist_elb<O: Operation>(&self, input: &O::Input) -> O::Output {
        loop {
            match self.api.call_elbv2::<O>(input).await {
                Ok(output) => return output,
                Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
    }

    /// Makes the balancer, and a target group and a listener for each service.
    pub(super) async fn prepare_balancer(&self) {
        if self.cluster.balancers.is_empty() {
            return;
        }
        let request = CreateLoadBalancerInput { name: "front".to_owned(), ..Default::default() };
        let made = self.insist_elb::<op::CreateLoadBalancer>(&request).await;
        let made = made.load_balancers.into_iter().flatten().next().unwrap_or_default();
        let balancer = made.load_balancer_arn.unwrap_or_default();
        for (port, service) in (80..).zip(SERVICES) {
            let request = CreateTargetGroupInput {
                name: (*service).to_owned(),
                protocol: Some(ProtocolEnum::Http),
                port: Some(80),
                ..Default::default()
            };
            let made = self.insist_elb::<op::CreateTargetGroup>(&request).await;
            let made = made.target_groups.into_iter().flatten().next().unwrap_or_default();
            let group = made.target_group_arn.unwrap_or_default();
            let delay = TargetGroupAttribute {
                key: Some("deregistration_delay.timeout_seconds".to_owned()),
                value: Some(DELAY.as_secs().to_string()),
            };
            let request = ModifyTargetGroupAttributesInput {
                target_group_arn: group.clone(),
                attributes: vec![delay],
            };
            self.insist_elb::<op::ModifyTargetGroupAttributes>(&request).await;
            let forward = Action {
                r#type: ActionTypeEnum::Forward,
                target_group_arn: Some(group.clone()),
                authenticate_cognito_config: None,
                authenticate_oidc_config: None,
                fixed_response_config: None,
                forward_config: None,
                jwt_validation_config: None,
                order: None,
                redirect_config: None,
            };
            let request = CreateListenerInput {
                load_balancer_arn: balancer.clone(),
                port: Some(port),
                protocol: Some(ProtocolEnum::Http),
                default_actions: vec![forward],
                ..Default::default()
            };
            self.insist_elb::<op::CreateListener>(&request).await;
            self.groups().insert((*service).to_owned(), group);
        }
    }

    /// Where the tasks of a service are to be targets, mostly.
    pub(super) fn behind(&self, service: &str, input: &mut Value) {
        let group = self.groups().get(service).cloned();
        if let Some(group) = group.filter(|_| world::chance(4, 5)) {
            let member =
                json!({"targetGroupArn": group, "containerName": "main", "containerPort": 80});
            input["loadBalancers"] = json!([member]);
        }
    }
}
