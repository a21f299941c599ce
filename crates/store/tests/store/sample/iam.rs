//! Records of Identity and Access Management.

use std::collections::BTreeMap;

use longshore_domain::record::{
    AccessKey, ControlAuthority, Grants, IamAccount, IamGroup, IamPolicy, IamRole, IamUser,
    InstanceProfile, JoinToken, KeyUse, OidcProvider, PolicyVersion, RoleUse, Sealed,
};

use super::{at, name, tags};

const DOCUMENT: &str = r#"{"Version": "2012-10-17", "Statement": []}"#;

fn grants() -> Grants {
    Grants {
        attached: vec!["arn:aws:iam::aws:policy/AdministratorAccess".into()],
        inline: BTreeMap::from([("own".into(), DOCUMENT.into())]),
    }
}

pub(crate) fn user() -> IamUser {
    IamUser {
        account: name("000000000000"),
        name: "Ann".into(),
        path: "/team/a/".into(),
        id: name("AIDAAAAAAAAAAAAAAAAAB"),
        created_at: at(1),
        boundary: Some("arn:aws:iam::000000000000:policy/bound".into()),
        groups: vec![name("AGPAAAAAAAAAAAAAAAAAB")],
        grants: grants(),
        tags: tags(),
    }
}

pub(crate) fn group() -> IamGroup {
    IamGroup {
        account: name("000000000000"),
        name: "Ops".into(),
        path: "/".into(),
        id: name("AGPAAAAAAAAAAAAAAAAAB"),
        created_at: at(1),
        grants: grants(),
    }
}

pub(crate) fn role() -> IamRole {
    IamRole {
        account: name("000000000000"),
        name: "ecsTaskExecutionRole".into(),
        path: "/".into(),
        id: name("AROAAAAAAAAAAAAAAAAAB"),
        created_at: at(1),
        trust: DOCUMENT.into(),
        description: Some("pulls images".into()),
        max_session_s: 3600,
        boundary: Some("arn:aws:iam::000000000000:policy/bound".into()),
        grants: grants(),
        tags: tags(),
        last_used: Some(RoleUse { at: at(2), region: "us-east-1".into() }),
    }
}

pub(crate) fn instance_profile() -> InstanceProfile {
    InstanceProfile {
        account: name("000000000000"),
        name: "ecsInstanceRole".into(),
        path: "/".into(),
        id: name("AIPAAAAAAAAAAAAAAAAAB"),
        created_at: at(1),
        role: Some("ecsInstanceRole".into()),
        tags: tags(),
    }
}

pub(crate) fn policy() -> IamPolicy {
    IamPolicy {
        account: name("000000000000"),
        name: "Deploy".into(),
        path: "/".into(),
        id: name("ANPAAAAAAAAAAAAAAAAAB"),
        description: Some("what a deployment needs".into()),
        versions: vec![PolicyVersion { number: 2, document: DOCUMENT.into(), created_at: at(2) }],
        default: 2,
        next: 3,
        created_at: at(1),
        updated_at: at(2),
        tags: tags(),
    }
}

pub(crate) fn access_key() -> AccessKey {
    AccessKey {
        account: name("000000000000"),
        id: name("AKIAAAAAAAAAAAAAAAAB"),
        user: Some(name("AIDAAAAAAAAAAAAAAAAAB")),
        secret: Sealed("c2VhbGVk".into()),
        active: true,
        created_at: at(1),
        last_used: Some(KeyUse { at: at(2), service: "ecs".into(), region: "us-east-1".into() }),
    }
}

pub(crate) fn join_token() -> JoinToken {
    JoinToken {
        account: name("000000000000"),
        id: "00000000000000000000000000000001".into(),
        digest: "0".repeat(64),
        role: name("AROAAAAAAAAAAAAAAAAAB"),
        created_at: at(1),
        expires_at: at(2),
        created_by: "arn:aws:iam::000000000000:user/ann".into(),
    }
}

pub(crate) fn control_authority() -> ControlAuthority {
    ControlAuthority {
        certificate_pem: "-----BEGIN CERTIFICATE-----\n".into(),
        key: Sealed("c2VhbGVk".into()),
        created_at: at(1),
    }
}

pub(crate) fn account() -> IamAccount {
    IamAccount {
        account: name("000000000000"),
        alias: Some("harbour".into()),
        initialized_at: Some(at(1)),
        key_check: Some(Sealed("c2VhbGVk".into())),
    }
}

pub(crate) fn oidc_provider() -> OidcProvider {
    OidcProvider {
        account: name("000000000000"),
        url: "token.example.com/a".into(),
        client_ids: vec!["sts.amazonaws.com".into()],
        thumbprints: vec!["0".repeat(40)],
        created_at: at(1),
        tags: tags(),
    }
}
