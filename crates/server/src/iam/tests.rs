use std::sync::Arc;

use longshore_auth::{Account, Principal, PrincipalKind};
use longshore_wire::codec::query::FORM;
use longshore_wire::iam::OperationName;

use super::*;
use crate::test_records::scope;
use crate::{Server, clock, test_server};

const DOCUMENT: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecs:*","Resource":"*"}]}"#;
const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

fn form(parameters: &[(&str, &str)]) -> String {
    let pairs =
        parameters.iter().map(|(name, value)| format!("{name}={}", encode::document(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// The answer to a call of root, as XML.
async fn ask(
    server: &Arc<Server>,
    operation: &str,
    parameters: &[(&str, &str)],
) -> Result<String, ServiceError> {
    assert!(FORM.starts_with("application/x-www-form"));
    let call = Call {
        server: Arc::clone(server),
        scope: scope(),
        principal: Principal::new(Account::default(), PrincipalKind::Root, None),
        permissions: longshore_auth::Permissions::Account,
        origin: crate::access::Origin::default(),
        trace: Arc::default(),
        now: clock::now(),
        base_url: "http://127.0.0.1:4566".to_owned(),
        term: None,
    };
    let name = OperationName::parse(operation).expect("an operation");
    let output = dispatch(&call, name, form(parameters).as_bytes(), "id").await?;
    Ok(String::from_utf8(output).expect("UTF-8"))
}

async fn done(server: &Arc<Server>, operation: &str, parameters: &[(&str, &str)]) -> String {
    let answer = ask(server, operation, parameters).await;
    answer.unwrap_or_else(|error| panic!("{operation}: {error}"))
}

async fn refused(server: &Arc<Server>, operation: &str, parameters: &[(&str, &str)]) -> String {
    ask(server, operation, parameters).await.expect_err("it is refused").to_string()
}

fn value<'x>(xml: &'x str, name: &str) -> &'x str {
    let rest = xml.split_once(&format!("<{name}>")).map_or("", |(_, rest)| rest);
    rest.split_once("</").map_or("", |(value, _)| value)
}

async fn policy(server: &Arc<Server>, name: &str) -> String {
    let made = [("PolicyName", name), ("PolicyDocument", DOCUMENT)];
    value(&done(server, "CreatePolicy", &made).await, "Arn").to_owned()
}

#[tokio::test]
async fn names_are_taken_whatever_their_case() {
    let server = &test_server::server().await;
    let made = done(server, "CreateUser", &[("UserName", "Ann"), ("Path", "/team/")]).await;
    assert_eq!(value(&made, "Arn"), "arn:aws:iam::000000000000:user/team/Ann");
    assert!(value(&made, "UserId").starts_with("AIDA"));
    let again = refused(server, "CreateUser", &[("UserName", "ANN")]).await;
    assert_eq!(again, "EntityAlreadyExists: User with name ANN already exists.");
    let found = done(server, "GetUser", &[("UserName", "ann")]).await;
    assert_eq!(value(&found, "UserName"), "Ann");
    let none = refused(server, "GetUser", &[("UserName", "bob")]).await;
    assert_eq!(none, "NoSuchEntity: The user with name bob cannot be found.");
    let wrong = refused(server, "CreateUser", &[("UserName", "a b")]).await;
    assert!(wrong.starts_with("ValidationError: The specified value for userName"), "{wrong}");
    let long = refused(server, "CreateUser", &[("UserName", &"a".repeat(65))]).await;
    assert!(long.contains("1 validation error detected: Value at 'userName'"), "{long}");
    let missing = refused(server, "CreateUser", &[]).await;
    assert!(missing.contains("Value null at 'userName'"), "{missing}");
}

#[tokio::test]
async fn a_user_who_is_renamed_keeps_what_it_has() {
    let server = &test_server::server().await;
    done(server, "CreateUser", &[("UserName", "ann")]).await;
    done(server, "CreateGroup", &[("GroupName", "ops")]).await;
    done(server, "AddUserToGroup", &[("UserName", "ann"), ("GroupName", "ops")]).await;
    done(server, "CreateAccessKey", &[("UserName", "ann")]).await;
    done(server, "UpdateUser", &[("UserName", "ann"), ("NewUserName", "anna")]).await;
    done(server, "UpdateGroup", &[("GroupName", "ops"), ("NewGroupName", "operators")]).await;
    let keys = done(server, "ListAccessKeys", &[("UserName", "anna")]).await;
    assert_eq!(value(&keys, "UserName"), "anna");
    assert!(value(&keys, "AccessKeyId").starts_with("AKIA"));
    let groups = done(server, "ListGroupsForUser", &[("UserName", "anna")]).await;
    assert_eq!(value(&groups, "GroupName"), "operators");
    let members = done(server, "GetGroup", &[("GroupName", "operators")]).await;
    assert_eq!(value(&members, "UserName"), "anna");
}

#[tokio::test]
async fn what_is_in_use_is_not_deleted() {
    let server = &test_server::server().await;
    let ann = [("UserName", "ann")];
    done(server, "CreateUser", &ann).await;
    done(server, "CreateGroup", &[("GroupName", "ops")]).await;
    let arn = policy(server, "deploy").await;
    let attached = [("UserName", "ann"), ("PolicyArn", arn.as_str())];
    done(server, "AttachUserPolicy", &attached).await;
    let conflict = |what: &str| format!("DeleteConflict: Cannot delete entity, must {what} first.");
    assert_eq!(refused(server, "DeleteUser", &ann).await, conflict("detach all policies"));
    let kept = refused(server, "DeletePolicy", &[("PolicyArn", &arn)]).await;
    assert_eq!(kept, "DeleteConflict: Cannot delete a policy attached to entities.");
    done(server, "DetachUserPolicy", &attached).await;
    let inline = [("UserName", "ann"), ("PolicyName", "own"), ("PolicyDocument", DOCUMENT)];
    done(server, "PutUserPolicy", &inline).await;
    assert_eq!(refused(server, "DeleteUser", &ann).await, conflict("delete policies"));
    done(server, "DeleteUserPolicy", &inline[..2]).await;
    let key = done(server, "CreateAccessKey", &ann).await;
    assert_eq!(refused(server, "DeleteUser", &ann).await, conflict("delete access keys"));
    let key = [("UserName", "ann"), ("AccessKeyId", value(&key, "AccessKeyId"))];
    done(server, "DeleteAccessKey", &key).await;
    let member = [("UserName", "ann"), ("GroupName", "ops")];
    done(server, "AddUserToGroup", &member).await;
    assert_eq!(refused(server, "DeleteUser", &ann).await, conflict("remove users from group"));
    let group = refused(server, "DeleteGroup", &member[1..]).await;
    assert_eq!(group, conflict("remove users from group"));
    done(server, "RemoveUserFromGroup", &member).await;
    done(server, "DeleteGroup", &member[1..]).await;
    done(server, "DeleteUser", &ann).await;
    done(server, "DeletePolicy", &[("PolicyArn", &arn)]).await;
}

#[tokio::test]
async fn quotas_are_those_of_aws() {
    let server = &test_server::server().await;
    let ann = [("UserName", "ann")];
    done(server, "CreateUser", &ann).await;
    for _ in 0..2 {
        done(server, "CreateAccessKey", &ann).await;
    }
    let third = refused(server, "CreateAccessKey", &ann).await;
    assert_eq!(third, "LimitExceeded: Cannot exceed quota for AccessKeysPerUser: 2");
    for number in 0..11 {
        let arn = policy(server, &format!("p{number}")).await;
        let attached = [("UserName", "ann"), ("PolicyArn", arn.as_str())];
        match number {
            10 => {
                let text = refused(server, "AttachUserPolicy", &attached).await;
                assert_eq!(text, "LimitExceeded: Cannot exceed quota for PoliciesPerUser: 10");
            }
            _ => _ = done(server, "AttachUserPolicy", &attached).await,
        }
    }
    let large = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Sid":"{}","Effect":"Allow","Action":"*","Resource":"*"}}]}}"#,
        "a".repeat(2048)
    );
    let put = [("UserName", "ann"), ("PolicyName", "own"), ("PolicyDocument", large.as_str())];
    let text = refused(server, "PutUserPolicy", &put).await;
    assert_eq!(text, "LimitExceeded: Maximum policy size of 2048 bytes exceeded for user ann");
}

#[tokio::test]
async fn a_policy_has_five_versions_of_which_one_counts() {
    let server = &test_server::server().await;
    let arn = policy(server, "deploy").await;
    let arn = ("PolicyArn", arn.as_str());
    for version in 2..=5 {
        let made = [arn, ("PolicyDocument", DOCUMENT), ("SetAsDefault", "true")];
        let made = done(server, "CreatePolicyVersion", &made).await;
        assert_eq!(value(&made, "VersionId"), format!("v{version}"));
    }
    let sixth = refused(server, "CreatePolicyVersion", &[arn, ("PolicyDocument", DOCUMENT)]).await;
    assert!(sixth.starts_with("LimitExceeded: A managed policy can have up to 5 versions."));
    let last = refused(server, "DeletePolicyVersion", &[arn, ("VersionId", "v5")]).await;
    assert_eq!(last, "DeleteConflict: Cannot delete the default version of a policy.");
    assert!(refused(server, "DeletePolicy", &[arn]).await.contains("more than one version"));
    done(server, "SetDefaultPolicyVersion", &[arn, ("VersionId", "v1")]).await;
    for version in ["v2", "v3", "v4", "v5"] {
        done(server, "DeletePolicyVersion", &[arn, ("VersionId", version)]).await;
    }
    let next = done(server, "CreatePolicyVersion", &[arn, ("PolicyDocument", DOCUMENT)]).await;
    assert_eq!(value(&next, "VersionId"), "v6", "a number is not given again");
    let shown = done(server, "GetPolicyVersion", &[arn, ("VersionId", "v1")]).await;
    assert!(
        value(&shown, "Document").starts_with("%7B%22Version%22%3A%222012-10-17%22"),
        "{shown}"
    );
    for wrong in ["1", "v0", "latest", "v+1"] {
        let text = refused(server, "GetPolicyVersion", &[arn, ("VersionId", wrong)]).await;
        assert!(text.starts_with("ValidationError"), "{text}");
    }
    for name in ["CreatePolicyVersion", "DeletePolicy"] {
        let aws = [("PolicyArn", ADMINISTRATOR), ("PolicyDocument", DOCUMENT)];
        assert!(refused(server, name, &aws).await.starts_with("AccessDenied"), "{name}");
    }
}

#[tokio::test]
async fn documents_must_be_policies() {
    let server = &test_server::server().await;
    for (text, why) in [
        ("{", "MalformedPolicyDocument"),
        (TRUST, "MalformedPolicyDocument: Policy document should not specify a principal."),
    ] {
        let made = [("PolicyName", "p"), ("PolicyDocument", text)];
        let text = refused(server, "CreatePolicy", &made).await;
        assert!(text.starts_with(why), "{text}");
    }
    let unknown = TRUST.replace(
        r#"{"Service":"ecs-tasks.amazonaws.com"}"#,
        r#"{"AWS":"arn:aws:iam::000000000000:user/nobody"}"#,
    );
    for (text, why) in [
        (DOCUMENT, "MalformedPolicyDocument"),
        (unknown.as_str(), "MalformedPolicyDocument: Invalid principal in policy: \"AWS\":"),
    ] {
        let made = [("RoleName", "r"), ("AssumeRolePolicyDocument", text)];
        let text = refused(server, "CreateRole", &made).await;
        assert!(text.starts_with(why), "{text}");
    }
}

#[tokio::test]
async fn roles_of_services_are_changed_by_nobody_else() {
    let server = &test_server::server().await;
    let service = [("AWSServiceName", "ecs.amazonaws.com")];
    let made = done(server, "CreateServiceLinkedRole", &service).await;
    assert_eq!(
        value(&made, "Arn"),
        "arn:aws:iam::000000000000:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS"
    );
    let again = refused(server, "CreateServiceLinkedRole", &service).await;
    assert!(
        again.starts_with("InvalidInput: Service role name AWSServiceRoleForECS has been taken")
    );
    let role = ("RoleName", "AWSServiceRoleForECS");
    for (operation, more) in [
        ("DeleteRole", ("X", "")),
        ("AttachRolePolicy", ("PolicyArn", ADMINISTRATOR)),
        ("UpdateAssumeRolePolicy", ("PolicyDocument", TRUST)),
        ("TagRole", ("Tags.member.1.Key", "a")),
    ] {
        let text = refused(server, operation, &[role, more, ("Tags.member.1.Value", "b")]).await;
        assert!(text.starts_with("UnmodifiableEntity"), "{operation}: {text}");
    }
    let attach = [("RoleName", "mine"), ("PolicyArn", managed::ECS_SERVICE)];
    done(server, "CreateRole", &[attach[0], ("AssumeRolePolicyDocument", TRUST)]).await;
    assert!(refused(server, "AttachRolePolicy", &attach).await.starts_with("PolicyNotAttachable"));
    let gone = done(server, "DeleteServiceLinkedRole", &[role]).await;
    let id = ("DeletionTaskId", value(&gone, "DeletionTaskId"));
    let status = done(server, "GetServiceLinkedRoleDeletionStatus", &[id]).await;
    assert_eq!(value(&status, "Status"), "SUCCEEDED");
}

#[tokio::test]
async fn tags_boundaries_and_profiles_are_kept() {
    let server = &test_server::server().await;
    let arn = policy(server, "bound").await;
    let role = [
        ("RoleName", "worker"),
        ("AssumeRolePolicyDocument", TRUST),
        ("PermissionsBoundary", arn.as_str()),
        ("Tags.member.1.Key", "team"),
        ("Tags.member.1.Value", "a"),
    ];
    let made = done(server, "CreateRole", &role).await;
    assert_eq!(value(&made, "PermissionsBoundaryArn"), arn);
    let twice = [role[0], ("Tags.member.1.Key", "b"), ("Tags.member.2.Key", "B")];
    let twice = [&twice[..], &[("Tags.member.1.Value", ""), ("Tags.member.2.Value", "")]].concat();
    assert!(refused(server, "TagRole", &twice).await.starts_with("InvalidInput: Duplicate tag"));
    let kept = refused(server, "DeletePolicy", &[("PolicyArn", &arn)]).await;
    assert!(kept.starts_with("DeleteConflict"), "{kept}");
    let profile = ("InstanceProfileName", "worker");
    done(server, "CreateInstanceProfile", &[profile]).await;
    done(server, "AddRoleToInstanceProfile", &[profile, role[0]]).await;
    let second = refused(server, "AddRoleToInstanceProfile", &[profile, role[0]]).await;
    assert!(second.contains("InstanceSessionsPerInstanceProfile: 1"), "{second}");
    let text =
        "DeleteConflict: Cannot delete entity, must remove roles from instance profile first.";
    assert_eq!(refused(server, "DeleteRole", &[role[0]]).await, text);
    assert_eq!(refused(server, "DeleteInstanceProfile", &[profile]).await, text);
    let found = done(server, "ListInstanceProfilesForRole", &[role[0]]).await;
    assert_eq!(value(&found, "InstanceProfileName"), "worker");
    let details = done(server, "GetAccountAuthorizationDetails", &[]).await;
    assert!(details.contains("<RoleName>worker</RoleName>"), "{details}");
}

#[tokio::test]
async fn simulations_ask_the_engine() {
    let server = &test_server::server().await;
    done(server, "CreateUser", &[("UserName", "ann")]).await;
    let put = [("UserName", "ann"), ("PolicyName", "own"), ("PolicyDocument", DOCUMENT)];
    done(server, "PutUserPolicy", &put).await;
    let asked = [
        ("PolicySourceArn", "arn:aws:iam::000000000000:user/ann"),
        ("ActionNames.member.1", "ecs:RunTask"),
        ("ActionNames.member.2", "iam:CreateUser"),
    ];
    let answer = done(server, "SimulatePrincipalPolicy", &asked).await;
    assert!(answer.contains("<EvalActionName>ecs:RunTask</EvalActionName><EvalDecision>allowed"));
    assert!(
        answer.contains("iam:CreateUser</EvalActionName><EvalDecision>implicitDeny"),
        "{answer}"
    );
    // What policies were asked about is what is shown.
    for other in ["user/dev/ann", "user/ANN"] {
        let arn = format!("arn:aws:iam::000000000000:{other}");
        let asked = [("PolicySourceArn", arn.as_str()), asked[1]];
        let text = refused(server, "SimulatePrincipalPolicy", &asked).await;
        assert!(text.starts_with("NoSuchEntity"), "{text}");
        let text = refused(server, "GetContextKeysForPrincipalPolicy", &asked[..1]).await;
        assert!(text.starts_with("NoSuchEntity"), "{text}");
    }
    let deny = DOCUMENT.replace("Allow", "Deny");
    let custom = [
        ("PolicyInputList.member.1", DOCUMENT),
        ("PolicyInputList.member.2", deny.as_str()),
        ("ActionNames.member.1", "ecs:RunTask"),
    ];
    let answer = done(server, "SimulateCustomPolicy", &custom).await;
    assert!(answer.contains("<EvalDecision>explicitDeny</EvalDecision>"), "{answer}");
}

#[tokio::test]
async fn providers_and_aliases_are_kept() {
    let server = &test_server::server().await;
    let made =
        [("Url", "https://token.example.com/a/"), ("ClientIDList.member.1", "sts.amazonaws.com")];
    let made = done(server, "CreateOpenIDConnectProvider", &made).await;
    let arn = value(&made, "OpenIDConnectProviderArn");
    assert_eq!(arn, "arn:aws:iam::000000000000:oidc-provider/token.example.com/a");
    for url in ["http://token.example.com", "https://", "token"] {
        let text = refused(server, "CreateOpenIDConnectProvider", &[("Url", url)]).await;
        assert!(text.starts_with("ValidationError"), "{text}");
    }
    let found =
        done(server, "GetOpenIDConnectProvider", &[("OpenIDConnectProviderArn", arn)]).await;
    assert_eq!(value(&found, "Url"), "token.example.com/a");
    done(server, "CreateAccountAlias", &[("AccountAlias", "harbour")]).await;
    let listed = done(server, "ListAccountAliases", &[]).await;
    assert!(listed.contains("<member>harbour</member>"), "{listed}");
    for alias in ["Ab", "a--b", "-ab", "000000000000"] {
        assert!(
            refused(server, "CreateAccountAlias", &[("AccountAlias", alias)])
                .await
                .starts_with("Validation")
        );
    }
}
