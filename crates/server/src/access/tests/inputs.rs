//! The smallest request of every operation that is decoded. A new operation is missing here until it
//! has one.

/// Requests of ECS, in JSON.
pub(super) const ECS: &[(&str, &str)] = &[
    ("ContinueServiceDeployment", r#"{"serviceDeploymentArn": "$DEPLOYMENT", "hookId": "h"}"#),
    ("CreateCluster", r#"{"clusterName": "made"}"#),
    ("CreateDaemon", r#"{"daemonName": "d", "daemonTaskDefinitionArn": "$ARNdaemon-task-definition/d:1", "capacityProviderArns": []}"#),
    ("CreateService", r#"{"serviceName": "s", "taskDefinition": "web", "desiredCount": 0}"#),
    ("CreateTaskSet", r#"{"cluster": "default", "service": "s", "taskDefinition": "web"}"#),
    ("DeleteAccountSetting", r#"{"name": "taskLongArnFormat"}"#),
    ("DeleteAttributes", r#"{"attributes": [{"name": "a", "targetId": "$ID"}]}"#),
    ("DeleteCluster", r#"{"cluster": "other"}"#),
    ("DeleteDaemon", r#"{"daemonArn": "$ARNdaemon/default/d"}"#),
    ("DeleteDaemonTaskDefinition", r#"{"daemonTaskDefinition": "d:1"}"#),
    ("DeleteService", r#"{"service": "s"}"#),
    ("DeleteTaskDefinitions", r#"{"taskDefinitions": ["none:1"]}"#),
    ("DeleteTaskSet", r#"{"cluster": "default", "service": "s", "taskSet": "ecs-svc/1"}"#),
    ("DeregisterContainerInstance", r#"{"containerInstance": "$ID"}"#),
    ("DeregisterTaskDefinition", r#"{"taskDefinition": "none:1"}"#),
    ("DescribeClusters", "{}"),
    ("DescribeContainerInstances", r#"{"containerInstances": ["$ID"]}"#),
    ("DescribeDaemon", r#"{"daemonArn": "$ARNdaemon/default/d"}"#),
    ("DescribeDaemonDeployments", r#"{"daemonDeploymentArns": ["$ARNdaemon-deployment/default/d/$ID"]}"#),
    ("DescribeDaemonRevisions", r#"{"daemonRevisionArns": ["$ARNdaemon-revision/default/d/1"]}"#),
    ("DescribeDaemonTaskDefinition", r#"{"daemonTaskDefinition": "d"}"#),
    ("DescribeServiceDeployments", r#"{"serviceDeploymentArns": ["$DEPLOYMENT"]}"#),
    ("DescribeServiceRevisions", r#"{"serviceRevisionArns": ["$ARNservice-revision/default/s/1"]}"#),
    ("DescribeServices", r#"{"services": ["s"]}"#),
    ("DescribeTaskDefinition", r#"{"taskDefinition": "web"}"#),
    ("DescribeTaskSets", r#"{"cluster": "default", "service": "s"}"#),
    ("DescribeTasks", r#"{"tasks": ["$ID"]}"#),
    ("DiscoverPollEndpoint", "{}"),
    ("GetTaskProtection", r#"{"cluster": "default", "tasks": ["$ID"]}"#),
    ("ListAccountSettings", "{}"),
    ("ListAttributes", r#"{"targetType": "container-instance"}"#),
    ("ListClusters", "{}"),
    ("ListContainerInstances", "{}"),
    ("ListDaemonDeployments", r#"{"daemonArn": "$ARNdaemon/default/d"}"#),
    ("ListDaemonTaskDefinitions", "{}"),
    ("ListDaemons", "{}"),
    ("ListServiceDeployments", r#"{"service": "s"}"#),
    ("ListServices", "{}"),
    ("ListServicesByNamespace", r#"{"namespace": "n"}"#),
    ("ListTagsForResource", r#"{"resourceArn": "$ARNcluster/default"}"#),
    ("ListTaskDefinitionFamilies", "{}"),
    ("ListTaskDefinitions", "{}"),
    ("ListTasks", "{}"),
    ("PutAccountSetting", r#"{"name": "taskLongArnFormat", "value": "enabled"}"#),
    ("PutAccountSettingDefault", r#"{"name": "taskLongArnFormat", "value": "enabled"}"#),
    ("PutAttributes", r#"{"attributes": [{"name": "a", "targetId": "$ID"}]}"#),
    ("RegisterContainerInstance", "{}"),
    ("RegisterDaemonTaskDefinition", r#"{"family": "d", "containerDefinitions": [{"name": "m", "image": "i"}]}"#),
    ("RegisterTaskDefinition", r#"{"family": "f", "containerDefinitions": [{"name": "m", "image": "i", "memory": 8}]}"#),
    ("RunTask", r#"{"taskDefinition": "web"}"#),
    ("StartTask", r#"{"taskDefinition": "web", "containerInstances": ["$ID"]}"#),
    ("StopServiceDeployment", r#"{"serviceDeploymentArn": "$DEPLOYMENT"}"#),
    ("StopTask", r#"{"task": "$ID"}"#),
    ("SubmitAttachmentStateChanges", r#"{"attachments": []}"#),
    ("SubmitContainerStateChange", r#"{"task": "$ID"}"#),
    ("SubmitTaskStateChange", r#"{"task": "$ID"}"#),
    ("TagResource", r#"{"resourceArn": "$ARNcluster/default", "tags": [{"key": "k", "value": "v"}]}"#),
    ("UntagResource", r#"{"resourceArn": "$ARNcluster/default", "tagKeys": ["k"]}"#),
    ("UpdateCluster", r#"{"cluster": "default"}"#),
    ("UpdateClusterSettings", r#"{"cluster": "default", "settings": []}"#),
    ("UpdateContainerAgent", r#"{"containerInstance": "$ID"}"#),
    ("UpdateContainerInstancesState", r#"{"containerInstances": ["$ID"], "status": "ACTIVE"}"#),
    ("UpdateDaemon", r#"{"daemonArn": "$ARNdaemon/default/d", "daemonTaskDefinitionArn": "d", "capacityProviderArns": []}"#),
    ("UpdateService", r#"{"service": "s"}"#),
    ("UpdateServicePrimaryTaskSet", r#"{"cluster": "default", "service": "s", "primaryTaskSet": "ecs-svc/1"}"#),
    ("UpdateTaskProtection", r#"{"cluster": "default", "tasks": ["$ID"], "protectionEnabled": true}"#),
    ("UpdateTaskSet", r#"{"cluster": "default", "service": "s", "taskSet": "ecs-svc/1", "scale": {"value": 1, "unit": "PERCENT"}}"#),
];

/// Parameters of Elastic Load Balancing.
pub(super) const ELBV2: &[(&str, &str)] = &[
    ("AddListenerCertificates", "ListenerArn=$LISTENER&Certificates.member.1.CertificateArn=c"),
    ("AddTags", "ResourceArns.member.1=$BALANCER&Tags.member.1.Key=k"),
    ("CreateListener", "LoadBalancerArn=$BALANCER&DefaultActions.member.1.Type=forward"),
    ("CreateLoadBalancer", "Name=b"),
    ("CreateRule", "ListenerArn=$LISTENER&Conditions.member.1.Field=path-pattern&Priority=1&Actions.member.1.Type=forward"),
    ("CreateTargetGroup", "Name=g"),
    ("DeleteListener", "ListenerArn=$LISTENER"),
    ("DeleteLoadBalancer", "LoadBalancerArn=$BALANCER"),
    ("DeleteRule", "RuleArn=$RULE"),
    ("DeleteTargetGroup", "TargetGroupArn=$GROUP"),
    ("DeregisterTargets", "TargetGroupArn=$GROUP&Targets.member.1.Id=i"),
    ("DescribeAccountLimits", ""),
    ("DescribeListenerAttributes", "ListenerArn=$LISTENER"),
    ("DescribeListenerCertificates", "ListenerArn=$LISTENER"),
    ("DescribeListeners", ""),
    ("DescribeLoadBalancerAttributes", "LoadBalancerArn=$BALANCER"),
    ("DescribeLoadBalancers", ""),
    ("DescribeRules", ""),
    ("DescribeSSLPolicies", ""),
    ("DescribeTags", "ResourceArns.member.1=$BALANCER"),
    ("DescribeTargetGroupAttributes", "TargetGroupArn=$GROUP"),
    ("DescribeTargetGroups", ""),
    ("DescribeTargetHealth", "TargetGroupArn=$GROUP"),
    ("ModifyListener", "ListenerArn=$LISTENER"),
    ("ModifyListenerAttributes", "ListenerArn=$LISTENER&Attributes.member.1.Key=k"),
    ("ModifyLoadBalancerAttributes", "LoadBalancerArn=$BALANCER&Attributes.member.1.Key=k"),
    ("ModifyRule", "RuleArn=$RULE"),
    ("ModifyTargetGroup", "TargetGroupArn=$GROUP"),
    ("ModifyTargetGroupAttributes", "TargetGroupArn=$GROUP&Attributes.member.1.Key=k"),
    ("RegisterTargets", "TargetGroupArn=$GROUP&Targets.member.1.Id=i"),
    ("RemoveListenerCertificates", "ListenerArn=$LISTENER&Certificates.member.1.CertificateArn=c"),
    ("RemoveTags", "ResourceArns.member.1=$BALANCER&TagKeys.member.1=k"),
    ("SetIpAddressType", "LoadBalancerArn=$BALANCER&IpAddressType=ipv4"),
    ("SetRulePriorities", "RulePriorities.member.1.RuleArn=$RULE&RulePriorities.member.1.Priority=1"),
    ("SetSecurityGroups", "LoadBalancerArn=$BALANCER&SecurityGroups.member.1=sg"),
    ("SetSubnets", "LoadBalancerArn=$BALANCER"),
];

/// Requests of Certificate Manager, in JSON.
pub(super) const ACM: &[(&str, &str)] = &[
    ("AddTagsToCertificate", r#"{"CertificateArn": "$CERTIFICATE", "Tags": [{"Key": "k"}]}"#),
    ("DeleteCertificate", r#"{"CertificateArn": "$CERTIFICATE"}"#),
    ("DescribeCertificate", r#"{"CertificateArn": "$CERTIFICATE"}"#),
    ("GetAccountConfiguration", "{}"),
    ("GetCertificate", r#"{"CertificateArn": "$CERTIFICATE"}"#),
    ("ImportCertificate", r#"{"Certificate": "YQ==", "PrivateKey": "YQ=="}"#),
    ("ListCertificates", "{}"),
    ("ListTagsForCertificate", r#"{"CertificateArn": "$CERTIFICATE"}"#),
    ("ListTagsForResource", r#"{"ResourceArn": "$CERTIFICATE"}"#),
    ("RemoveTagsFromCertificate", r#"{"CertificateArn": "$CERTIFICATE", "Tags": [{"Key": "k"}]}"#),
    ("RequestCertificate", r#"{"DomainName": "www.example.com"}"#),
    ("TagResource", r#"{"ResourceArn": "$CERTIFICATE", "Tags": [{"Key": "k"}]}"#),
    ("UntagResource", r#"{"ResourceArn": "$CERTIFICATE", "TagKeys": ["k"]}"#),
];

/// A request with what stands for longer names put in.
pub(super) fn filled(text: &str) -> String {
    let elb = "arn:aws:elasticloadbalancing:us-east-1:000000000000:";
    let (one, two) = ("0000000000000001", "0000000000000002");
    text.replace("$DEPLOYMENT", "$ARNservice-deployment/default/s/$ID")
        .replace("$ARN", "arn:aws:ecs:us-east-1:000000000000:")
        .replace("$ID", "0123456789abcdef0123456789abcdef")
        .replace("$BALANCER", &format!("{elb}loadbalancer/app/b/{one}"))
        .replace("$LISTENER", &format!("{elb}listener/app/b/{one}/{two}"))
        .replace("$RULE", &format!("{elb}listener-rule/app/b/{one}/{two}/0000000000000003"))
        .replace("$GROUP", &format!("{elb}targetgroup/g/{one}"))
        .replace(
            "$CERTIFICATE",
            "arn:aws:acm:us-east-1:000000000000:certificate/00000000-0000-0000-0000-000000000001",
        )
}
