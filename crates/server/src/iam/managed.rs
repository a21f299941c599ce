//! Managed policies of AWS that guides for ECS name, under their ARNs. What they say is ours, and no
//! more than the actions that are served need.

use longshore_domain::ids::{IamArn, IamResource};
use longshore_domain::time::Timestamp;

/// When all of them were made, as far as anybody can see: 2026-01-01.
const MADE_MS: i64 = 1_767_225_600_000;

/// A managed policy of AWS.
#[derive(Debug)]
pub(crate) struct Managed {
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    pub(super) id: &'static str,
    pub(super) description: &'static str,
    /// What it says.
    pub(crate) document: &'static str,
}

impl Managed {
    /// Its ARN.
    pub(crate) fn arn(&self) -> String {
        let (path, name) = (self.path.to_owned(), self.name.to_owned());
        IamArn { account: None, resource: IamResource::Policy(path, name) }.to_string()
    }

    /// Whether only a service may use it, for a role of its own.
    pub(super) fn is_for_service(&self) -> bool {
        self.path == "/aws-service-role/"
    }
}

/// Their only version.
pub(super) fn version() -> String {
    super::encode::version_id(1)
}

/// When all of them were made.
pub(super) fn created_at() -> Timestamp {
    Timestamp::from_millis(MADE_MS)
}

/// The one with a path and a name.
pub(crate) fn find(path: &str, name: &str) -> Option<&'static Managed> {
    ALL.iter().find(|policy| policy.path == path && policy.name == name)
}

/// The name of the policy of the first administrator.
pub(crate) const ADMINISTRATOR: &str = "arn:aws:iam::aws:policy/AdministratorAccess";
/// The policy of the role of container instances.
pub(crate) const INSTANCES: &str =
    "arn:aws:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role";
/// The policy of the role of ECS itself.
pub(super) const ECS_SERVICE: &str =
    "arn:aws:iam::aws:policy/aws-service-role/AmazonECSServiceRolePolicy";

/// All of them, by path and name.
pub(crate) const ALL: &[Managed] = &[
    Managed {
        path: "/",
        name: "AdministratorAccess",
        id: "ANPALONGSHOREADMIN001",
        description: "Provides full access to AWS services and resources.",
        document: r#"{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "Action": "*", "Resource": "*"}
  ]
}"#,
    },
    Managed {
        path: "/",
        name: "AmazonECS_FullAccess",
        id: "ANPALONGSHOREECSFULL1",
        description: "Provides administrative access to Amazon ECS resources and enables ECS \
                      features through access to other AWS service resources.",
        document: r#"{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": [
        "ecs:*",
        "elasticloadbalancing:*",
        "acm:DescribeCertificate",
        "acm:ListCertificates",
        "iam:GetPolicy",
        "iam:GetPolicyVersion",
        "iam:GetRole",
        "iam:ListAttachedRolePolicies",
        "iam:ListGroups",
        "iam:ListInstanceProfiles",
        "iam:ListRoles",
        "iam:ListUsers"
      ],
      "Resource": "*"
    },
    {
      "Effect": "Allow",
      "Action": "iam:PassRole",
      "Resource": "*",
      "Condition": {"StringLike": {"iam:PassedToService": ["ecs-tasks.amazonaws.com", "ecs.amazonaws.com"]}}
    },
    {
      "Effect": "Allow",
      "Action": "iam:PassRole",
      "Resource": ["arn:aws:iam::*:role/ecsInstanceRole*"],
      "Condition": {"StringLike": {"iam:PassedToService": ["ec2.amazonaws.com", "ec2.amazonaws.com.cn"]}}
    },
    {
      "Effect": "Allow",
      "Action": "iam:CreateServiceLinkedRole",
      "Resource": "*",
      "Condition": {"StringLike": {"iam:AWSServiceName": ["ecs.amazonaws.com", "elasticloadbalancing.amazonaws.com"]}}
    }
  ]
}"#,
    },
    Managed {
        path: "/",
        name: "IAMFullAccess",
        id: "ANPALONGSHOREIAMFULL1",
        description: "Provides full access to IAM.",
        document: r#"{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "Action": "iam:*", "Resource": "*"}
  ]
}"#,
    },
    Managed {
        path: "/",
        name: "IAMReadOnlyAccess",
        id: "ANPALONGSHOREIAMREAD1",
        description: "Provides read only access to IAM.",
        document: r#"{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": ["iam:Get*", "iam:List*", "iam:SimulateCustomPolicy", "iam:SimulatePrincipalPolicy"],
      "Resource": "*"
    }
  ]
}"#,
    },
    Managed {
        path: "/",
        name: "PowerUserAccess",
        id: "ANPALONGSHOREPOWERUSR",
        description: "Provides full access to AWS services and resources, but does not allow \
                      management of Users and groups.",
        document: r#"{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "NotAction": ["iam:*"], "Resource": "*"},
    {
      "Effect": "Allow",
      "Action": ["iam:CreateServiceLinkedRole", "iam:DeleteServiceLinkedRole", "iam:ListRoles"],
      "Resource": "*"
    }
  ]
}"#,
    },
    Managed {
        path: "/",
        name: "ReadOnlyAccess",
        id: "ANPALONGSHOREREADONLY",
        description: "Provides read-only access to AWS services and resources.",
        document: r#"{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": [
        "acm:Describe*",
        "acm:Get*",
        "acm:List*",
        "ecs:Describe*",
        "ecs:GetTaskProtection",
        "ecs:List*",
        "elasticloadbalancing:Describe*",
        "iam:Get*",
        "iam:List*",
        "iam:SimulateCustomPolicy",
        "iam:SimulatePrincipalPolicy",
        "sts:GetAccessKeyInfo",
        "sts:GetCallerIdentity",
        "sts:GetSessionToken"
      ],
      "Resource": "*"
    }
  ]
}"#,
    },
    Managed {
        path: "/aws-service-role/",
        name: "AmazonECSServiceRolePolicy",
        id: "ANPALONGSHOREECSSLR01",
        description: "Policy to enable Amazon ECS to manage your cluster.",
        document: r#"{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": [
        "elasticloadbalancing:DeregisterTargets",
        "elasticloadbalancing:Describe*",
        "elasticloadbalancing:ModifyListener",
        "elasticloadbalancing:ModifyRule",
        "elasticloadbalancing:RegisterTargets"
      ],
      "Resource": "*"
    }
  ]
}"#,
    },
    Managed {
        path: "/service-role/",
        name: "AmazonEC2ContainerServiceEventsRole",
        id: "ANPALONGSHOREECSEVENT",
        description: "Policy to enable CloudWatch Events for EC2 Container Service.",
        document: r#"{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "Action": ["ecs:RunTask"], "Resource": ["*"]},
    {
      "Effect": "Allow",
      "Action": "iam:PassRole",
      "Resource": ["*"],
      "Condition": {"StringLike": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    },
    {
      "Effect": "Allow",
      "Action": "ecs:TagResource",
      "Resource": "*",
      "Condition": {"StringEquals": {"ecs:CreateAction": ["RunTask"]}}
    }
  ]
}"#,
    },
    Managed {
        path: "/service-role/",
        name: "AmazonEC2ContainerServiceRole",
        id: "ANPALONGSHOREECSROLE1",
        description: "Default policy for Amazon ECS service role.",
        document: r#"{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": [
        "elasticloadbalancing:DeregisterTargets",
        "elasticloadbalancing:Describe*",
        "elasticloadbalancing:RegisterTargets"
      ],
      "Resource": "*"
    }
  ]
}"#,
    },
    Managed {
        path: "/service-role/",
        name: "AmazonEC2ContainerServiceforEC2Role",
        id: "ANPALONGSHOREECSEC2R1",
        description: "Default policy for the Amazon EC2 Role for Amazon EC2 Container Service.",
        document: r#"{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": [
        "ecs:DeregisterContainerInstance",
        "ecs:DiscoverPollEndpoint",
        "ecs:Poll",
        "ecs:RegisterContainerInstance",
        "ecs:StartTelemetrySession",
        "ecs:Submit*",
        "ecs:UpdateContainerInstancesState"
      ],
      "Resource": "*"
    },
    {
      "Effect": "Allow",
      "Action": "ecs:CreateCluster",
      "Resource": "*"
    },
    {
      "Effect": "Allow",
      "Action": "ecs:TagResource",
      "Resource": "*",
      "Condition": {"StringEquals": {"ecs:CreateAction": ["CreateCluster", "RegisterContainerInstance"]}}
    }
  ]
}"#,
    },
    Managed {
        path: "/service-role/",
        name: "AmazonECSTaskExecutionRolePolicy",
        id: "ANPALONGSHOREECSEXEC1",
        description: "Provides access to other AWS service resources that are required to run \
                      Amazon ECS tasks.",
        document: r#"{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": [
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:GetAuthorizationToken",
        "ecr:GetDownloadUrlForLayer",
        "logs:CreateLogStream",
        "logs:PutLogEvents"
      ],
      "Resource": "*"
    }
  ]
}"#,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iam::documents::check_identity;

    #[test]
    fn all_are_policies_under_their_arns() {
        for policy in ALL {
            check_identity(policy.document)
                .unwrap_or_else(|error| panic!("{}: {error}", policy.name));
            assert!(policy.arn().parse::<IamArn>().is_ok());
            assert_eq!(policy.id.len(), 21, "{}", policy.name);
        }
        let named = |path, name| find(path, name).map(Managed::arn);
        assert_eq!(named("/", "AdministratorAccess").as_deref(), Some(ADMINISTRATOR));
        let own = named("/aws-service-role/", "AmazonECSServiceRolePolicy");
        assert_eq!(own.as_deref(), Some(ECS_SERVICE));
        let instances = named("/service-role/", "AmazonEC2ContainerServiceforEC2Role");
        assert_eq!(instances.as_deref(), Some(INSTANCES));
        assert_eq!(named("/", "AmazonECSServiceRolePolicy"), None);
        let sorted = ALL.is_sorted_by_key(|policy| (policy.path, policy.name));
        assert!(sorted, "lists are in this order");
    }
}
