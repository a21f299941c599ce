//! Rows of Elastic Load Balancing v2. What describes has no resources, as with AWS.

use longshore_domain::ids::{ElbArn, ElbResource, Scope};
use longshore_domain::record::Tags;
use longshore_store::View;
use longshore_store::tables::{ListenerKey, ListenerRuleKey};
use longshore_wire::elbv2::Tag;
use longshore_wire::elbv2::enums::LoadBalancerTypeEnum;

use super::asking::is_plain;
use super::{Asking, Entry, access};
use crate::elbv2::{balancer_by_name, group_by_name};

/// All rows of Elastic Load Balancing.
pub(super) fn entries() -> impl Iterator<Item = &'static Entry> {
    ENTRIES.iter().copied()
}

access! { "elasticloadbalancing", elbv2 {
    CreateLoadBalancer Write ["loadbalancer/app/" "loadbalancer/net/"] ["aws:RequestTag/${TagKey}" "aws:TagKeys" "elasticloadbalancing:Scheme" "elasticloadbalancing:SecurityGroup" "elasticloadbalancing:Subnet"] ["elasticloadbalancing:AddTags"] =
        |input, asking| {
            asking.request_tags(pairs(input.tags.as_ref()));
            asking.key("elasticloadbalancing:Scheme", input.scheme.map_or("internet-facing", |s| s.as_str()));
            keys(asking, "elasticloadbalancing:SecurityGroup", input.security_groups.as_ref());
            keys(asking, "elasticloadbalancing:Subnet", input.subnets.as_ref());
            let kind = match input.r#type.map(LoadBalancerTypeEnum::as_str) {
                Some("network") => "net",
                _ => "app",
            };
            let arn = would_be(asking.scope, &format!("loadbalancer/{kind}"), &input.name);
            asking.ask(arn.as_str());
            tags_on_create(asking, input.tags.as_ref(), arn, "CreateLoadBalancer");
        };
    DescribeLoadBalancers List [] [] [] = |_, asking| asking.ask_anything();
    DeleteLoadBalancer Write ["loadbalancer/app/" "loadbalancer/net/"] ["aws:ResourceTag/${TagKey}" "elasticloadbalancing:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_elb(&input.load_balancer_arn);
    SetSubnets Write ["loadbalancer/app/" "loadbalancer/net/"] ["aws:ResourceTag/${TagKey}" "elasticloadbalancing:ResourceTag/${TagKey}" "elasticloadbalancing:Subnet"] [] =
        |input, asking| {
            keys(asking, "elasticloadbalancing:Subnet", input.subnets.as_ref());
            asking.ask_elb(&input.load_balancer_arn);
        };
    SetIpAddressType Write ["loadbalancer/app/" "loadbalancer/net/"] ["aws:ResourceTag/${TagKey}" "elasticloadbalancing:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_elb(&input.load_balancer_arn);
    SetSecurityGroups Write ["loadbalancer/app/" "loadbalancer/net/"] ["aws:ResourceTag/${TagKey}" "elasticloadbalancing:ResourceTag/${TagKey}" "elasticloadbalancing:SecurityGroup"] [] =
        |input, asking| {
            keys(asking, "elasticloadbalancing:SecurityGroup", Some(&input.security_groups));
            asking.ask_elb(&input.load_balancer_arn);
        };
    DescribeLoadBalancerAttributes Read [] [] [] = |_, asking| asking.ask_anything();
    ModifyLoadBalancerAttributes Write ["loadbalancer/app/" "loadbalancer/net/"] ["aws:ResourceTag/${TagKey}" "elasticloadbalancing:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_elb(&input.load_balancer_arn);
    CreateListener Write ["loadbalancer/app/" "loadbalancer/net/"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys" "elasticloadbalancing:ListenerProtocol" "elasticloadbalancing:ResourceTag/${TagKey}" "elasticloadbalancing:SecurityPolicy"] ["elasticloadbalancing:AddTags"] =
        |input, asking| {
            asking.request_tags(pairs(input.tags.as_ref()));
            asking.key_of("elasticloadbalancing:ListenerProtocol", input.protocol);
            asking.key_of("elasticloadbalancing:SecurityPolicy", input.ssl_policy.as_ref());
            asking.ask_elb(&input.load_balancer_arn);
            let listener = below(&input.load_balancer_arn, ":loadbalancer/", ":listener/");
            tags_on_create(asking, input.tags.as_ref(), listener, "CreateListener");
        };
    DescribeListeners Read [] [] [] = |_, asking| asking.ask_anything();
    ModifyListener Write ["listener/app" "listener/net"] ["aws:ResourceTag/${TagKey}" "elasticloadbalancing:ListenerProtocol" "elasticloadbalancing:ResourceTag/${TagKey}" "elasticloadbalancing:SecurityPolicy"] [] =
        |input, asking| {
            asking.key_of("elasticloadbalancing:ListenerProtocol", input.protocol);
            asking.key_of("elasticloadbalancing:SecurityPolicy", input.ssl_policy.as_ref());
            asking.ask_elb(&input.listener_arn);
        };
    DeleteListener Write ["listener/app" "listener/net"] ["aws:ResourceTag/${TagKey}" "elasticloadbalancing:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_elb(&input.listener_arn);
    AddListenerCertificates Write ["listener/app" "listener/net"] ["aws:ResourceTag/${TagKey}" "elasticloadbalancing:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_elb(&input.listener_arn);
    RemoveListenerCertificates Write ["listener/app" "listener/net"] ["aws:ResourceTag/${TagKey}" "elasticloadbalancing:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_elb(&input.listener_arn);
    DescribeListenerCertificates Read [] [] [] = |_, asking| asking.ask_anything();
    DescribeListenerAttributes Read [] [] [] = |_, asking| asking.ask_anything();
    ModifyListenerAttributes Write ["listener/app" "listener/net"] ["aws:ResourceTag/${TagKey}" "elasticloadbalancing:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_elb(&input.listener_arn);
    CreateRule Write ["listener/app" "listener/net"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys" "elasticloadbalancing:ResourceTag/${TagKey}"] ["elasticloadbalancing:AddTags"] =
        |input, asking| {
            asking.request_tags(pairs(input.tags.as_ref()));
            asking.ask_elb(&input.listener_arn);
            let rule = below(&input.listener_arn, ":listener/", ":listener-rule/");
            tags_on_create(asking, input.tags.as_ref(), rule, "CreateRule");
        };
    DescribeRules Read [] [] [] = |_, asking| asking.ask_anything();
    ModifyRule Write ["listener-rule/app" "listener-rule/net"] ["aws:ResourceTag/${TagKey}" "elasticloadbalancing:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_elb(&input.rule_arn);
    DeleteRule Write ["listener-rule/app" "listener-rule/net"] ["aws:ResourceTag/${TagKey}" "elasticloadbalancing:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_elb(&input.rule_arn);
    SetRulePriorities Write ["listener-rule/app" "listener-rule/net"] [] [] =
        |input, asking| {
            let named = input.rule_priorities.iter().map(|pair| pair.rule_arn.as_deref());
            asking.ask_each(named.map(Option::unwrap_or_default));
        };
    CreateTargetGroup Write ["targetgroup"] ["aws:RequestTag/${TagKey}" "aws:TagKeys"] ["elasticloadbalancing:AddTags"] =
        |input, asking| {
            asking.request_tags(pairs(input.tags.as_ref()));
            let arn = would_be(asking.scope, "targetgroup", &input.name);
            asking.ask(arn.as_str());
            tags_on_create(asking, input.tags.as_ref(), arn, "CreateTargetGroup");
        };
    DescribeTargetGroups Read [] [] [] = |_, asking| asking.ask_anything();
    ModifyTargetGroup Write ["targetgroup"] ["aws:ResourceTag/${TagKey}" "elasticloadbalancing:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_elb(&input.target_group_arn);
    DeleteTargetGroup Write ["targetgroup"] ["aws:ResourceTag/${TagKey}" "elasticloadbalancing:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_elb(&input.target_group_arn);
    DescribeTargetGroupAttributes Read [] [] [] = |_, asking| asking.ask_anything();
    ModifyTargetGroupAttributes Write ["targetgroup"] ["aws:ResourceTag/${TagKey}" "elasticloadbalancing:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_elb(&input.target_group_arn);
    RegisterTargets Write ["targetgroup"] ["aws:ResourceTag/${TagKey}" "elasticloadbalancing:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_elb(&input.target_group_arn);
    DeregisterTargets Write ["targetgroup"] ["aws:ResourceTag/${TagKey}" "elasticloadbalancing:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_elb(&input.target_group_arn);
    DescribeTargetHealth Read [] [] [] = |_, asking| asking.ask_anything();
    AddTags Tagging ["listener-rule/app" "listener-rule/net" "listener/app" "listener/net" "loadbalancer/app/" "loadbalancer/net/" "targetgroup"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys" "elasticloadbalancing:CreateAction" "elasticloadbalancing:ResourceTag/${TagKey}"] [] =
        |input, asking| {
            asking.request_tags(pairs(Some(&input.tags)));
            asking.ask_each(input.resource_arns.iter().map(String::as_str));
        };
    RemoveTags Tagging ["listener-rule/app" "listener-rule/net" "listener/app" "listener/net" "loadbalancer/app/" "loadbalancer/net/" "targetgroup"] ["aws:ResourceTag/${TagKey}" "aws:TagKeys" "elasticloadbalancing:ResourceTag/${TagKey}"] [] =
        |input, asking| {
            asking.tag_keys(input.tag_keys.iter().map(String::as_str));
            asking.ask_each(input.resource_arns.iter().map(String::as_str));
        };
    DescribeTags Read [] [] [] = |_, asking| asking.ask_anything();
    DescribeAccountLimits Read [] [] [] = |_, asking| asking.ask_anything();
    DescribeSSLPolicies Read [] [] [] = |_, asking| asking.ask_anything();
} }

impl Asking<'_> {
    /// Whether the operation may be done to what an ARN names.
    fn ask_elb(&mut self, text: &str) {
        if self.is_full() {
            return;
        }
        match text.parse::<ElbArn>() {
            Ok(arn) if is_plain(text) => self.ask_tagged(arn.to_string(), tags(self.view, &arn)),
            _ => self.ask_anything(),
        }
    }

    fn ask_each<'t>(&mut self, named: impl IntoIterator<Item = &'t str>) {
        let mut any = false;
        for text in named {
            any = true;
            self.ask_elb(text);
        }
        if !any {
            self.ask_anything();
        }
    }
}

fn tags<'v>(view: &'v View, ElbArn { scope, resource }: &ElbArn) -> Option<&'v Tags> {
    match resource {
        ElbResource::LoadBalancer(_, name, id) => {
            balancer_by_name(view, scope, name).filter(|row| row.id == *id).map(|row| &row.tags)
        }
        ElbResource::Listener(_, _, balancer, id) => {
            let key = ListenerKey { scope: scope.clone(), balancer: *balancer, id: *id };
            view.listeners.get(&key).map(|row| &row.tags)
        }
        ElbResource::Rule(_, _, _, listener, id) => {
            let key = ListenerRuleKey { scope: scope.clone(), listener: *listener, id: *id };
            view.listener_rules.get(&key).map(|row| &row.tags)
        }
        ElbResource::TargetGroup(name, id) => {
            group_by_name(view, scope, name).filter(|row| row.id == *id).map(|row| &row.tags)
        }
    }
}

/// What something that does not exist yet will be called, but for its id.
fn would_be(Scope { account, region }: &Scope, kind: &str, name: &str) -> String {
    if !is_plain(name) {
        return "*".to_owned();
    }
    format!("arn:aws:elasticloadbalancing:{region}:{account}:{kind}/{name}/*")
}

/// The same below something that exists.
fn below(owner: &str, kind: &str, its: &str) -> String {
    if owner.parse::<ElbArn>().is_err() || !is_plain(owner) {
        return "*".to_owned();
    }
    format!("{}/*", owner.replacen(kind, its, 1))
}

fn tags_on_create(
    asking: &mut Asking<'_>,
    tags: Option<&Vec<Tag>>,
    resource: String,
    operation: &'static str,
) {
    if tags.is_some_and(|tags| !tags.is_empty()) {
        let key = ("elasticloadbalancing:CreateAction", operation);
        asking.also("elasticloadbalancing:AddTags", resource, key);
    }
}

fn keys(asking: &mut Asking<'_>, name: &str, values: Option<&Vec<String>>) {
    for value in values.into_iter().flatten() {
        asking.key(name, value);
    }
}

fn pairs(tags: Option<&Vec<Tag>>) -> impl Iterator<Item = (&str, &str)> {
    tags.into_iter()
        .flatten()
        .map(|tag| (tag.key.as_str(), tag.value.as_deref().unwrap_or_default()))
}
