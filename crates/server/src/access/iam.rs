//! Rows of Identity and Access Management:
//! https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html

mod other;
mod policies;
mod roles;
mod users;

use longshore_domain::ids::{AccountId, IamArn, IamResource};
use longshore_domain::record::Tags;
use longshore_store::View;
use longshore_store::tables::{
    AccessKeyKey, IamGroupKey, IamIndex, IamPolicyKey, IamRoleKey, IamUserKey, InstanceProfileKey,
    OidcProviderKey,
};
use longshore_wire::iam::Tag;

use super::asking::is_plain;
use super::{Asking, Entry, access};

/// All rows of Identity and Access Management.
pub(super) fn entries() -> impl Iterator<Item = &'static Entry> {
    let lists = [other::ENTRIES, policies::ENTRIES, roles::ENTRIES, users::ENTRIES];
    lists.into_iter().flatten().copied()
}

/// Whether the boundary that something has is a condition key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    Key,
    No,
}

/// A role that a request of EC2's hands to an instance.
const INSTANCES: &str = "ec2.amazonaws.com";

impl Asking<'_> {
    /// A user by name; without one, the caller.
    fn ask_user(&mut self, name: Option<&str>, bound: Bound) {
        let Some(name) = name else {
            let own = self.value("aws:PrincipalArn").filter(|_| self.is_user()).map(str::to_owned);
            return match own {
                Some(arn) => self.ask_iam(&arn),
                None => self.ask_anything(),
            };
        };
        let row = self.view.iam_users.get(&IamUserKey::new(self.scope.account, name)).cloned();
        let Some(row) = row else { return self.ask_new("user", None, name) };
        if bound == Bound::Key {
            self.key_of("iam:PermissionsBoundary", row.boundary.as_ref());
        }
        self.ask_tagged(row.arn(), Some(&row.tags));
    }

    fn ask_role(&mut self, name: &str, bound: Bound) {
        let row = self.view.iam_roles.get(&IamRoleKey::new(self.scope.account, name)).cloned();
        let Some(row) = row else { return self.ask_new("role", None, name) };
        if bound == Bound::Key {
            self.key_of("iam:PermissionsBoundary", row.boundary.as_ref());
        }
        self.ask_tagged(row.arn(), Some(&row.tags));
    }

    fn ask_group(&mut self, name: &str) {
        match self.view.iam_groups.get(&IamGroupKey::new(self.scope.account, name)) {
            Some(row) => self.ask(row.arn()),
            None => self.ask_new("group", None, name),
        }
    }

    fn ask_profile(&mut self, name: &str) {
        let key = InstanceProfileKey::new(self.scope.account, name);
        match self.view.instance_profiles.get(&key) {
            Some(row) => self.ask_tagged(row.arn(), Some(&row.tags)),
            None => self.ask_new("instance-profile", None, name),
        }
    }

    /// Whatever an ARN of IAM names.
    fn ask_iam(&mut self, text: &str) {
        match text.parse::<IamArn>() {
            Ok(arn) if is_plain(text) => {
                self.ask_tagged(arn.to_string(), tags(self.view, &arn));
            }
            _ => self.ask_anything(),
        }
    }

    /// Something that does not exist, or will.
    fn ask_new(&mut self, kind: &str, path: Option<&str>, name: &str) {
        let arn = self.iam_arn(kind, path, name);
        self.ask(arn);
    }

    fn iam_arn(&self, kind: &str, path: Option<&str>, name: &str) -> String {
        let path = path.filter(|path| !path.is_empty()).unwrap_or("/");
        let rest = format!("{kind}{path}{name}");
        if path.starts_with('/') && path.ends_with('/') && is_plain(&rest) {
            format!("arn:aws:iam::{}:{rest}", self.scope.account)
        } else {
            "*".to_owned()
        }
    }

    /// Who renames a user must be allowed to do so under the new name as well.
    fn ask_renamed_user(&mut self, name: &str, path: Option<&str>, new: Option<&str>) {
        if path.is_none() && new.is_none() {
            return;
        }
        let row = self.view.iam_users.get(&IamUserKey::new(self.scope.account, name)).cloned();
        let before = row.as_ref().map(|row| row.path.as_str());
        self.ask_new("user", path.or(before), new.unwrap_or(name));
    }

    fn ask_renamed_group(&mut self, name: &str, path: Option<&str>, new: Option<&str>) {
        if path.is_none() && new.is_none() {
            return;
        }
        let row = self.view.iam_groups.get(&IamGroupKey::new(self.scope.account, name)).cloned();
        let before = row.as_ref().map(|row| row.path.as_str());
        self.ask_new("group", path.or(before), new.unwrap_or(name));
    }

    fn ask_provider(&mut self, url: &str) {
        let name = url.trim_start_matches("https://").trim_end_matches('/');
        self.ask_new("oidc-provider", None, name);
    }

    /// The user of an access key.
    fn ask_user_of_key(&mut self, id: &str) {
        let row = id.parse().ok().and_then(|id| self.view.access_keys.get(&AccessKeyKey { id }));
        let user = row.filter(|row| row.account == self.scope.account);
        let user = user.and_then(|row| row.user.clone());
        let arn = user.and_then(|id| {
            let mut users = self.view.iam_users.by(&IamIndex::Id(id));
            users.next().map(|row| row.arn())
        });
        match arn {
            Some(arn) => self.ask_iam(&arn),
            None => self.ask_anything(),
        }
    }

    /// The role of `task/aws-service-role/SERVICE/ROLE/ID`.
    fn ask_role_of_deletion(&mut self, task: &str) {
        let path = task.strip_prefix("task").and_then(|rest| rest.rsplit_once('/'));
        let role = path.and_then(|(rest, _)| rest.rsplit_once('/'));
        match role {
            Some((path, name)) => self.ask_new("role", Some(&format!("{path}/")), name),
            None => self.ask_anything(),
        }
    }

    fn pass_role_by_name(&mut self, name: &str) {
        let row = self.view.iam_roles.get(&IamRoleKey::new(self.scope.account, name));
        let arn = row.map_or_else(|| self.iam_arn("role", None, name), |row| row.arn());
        self.pass_role(&arn, INSTANCES);
    }

    /// What is created with tags is tagged: the resource that was asked about last.
    fn ask_tagging(&mut self, action: &'static str, tags: Option<&Vec<Tag>>) {
        if tags.is_some_and(|tags| !tags.is_empty()) {
            let resource = self.last_resource();
            self.ask_also(action, resource);
        }
    }

    fn is_user(&self) -> bool {
        self.value("aws:PrincipalType") == Some("User")
    }
}

fn tags<'v>(view: &'v View, IamArn { account, resource }: &IamArn) -> Option<&'v Tags> {
    let account: AccountId = (*account)?;
    Some(match resource {
        IamResource::User(_, name) => &view.iam_users.get(&IamUserKey::new(account, name))?.tags,
        IamResource::Role(_, name) => &view.iam_roles.get(&IamRoleKey::new(account, name))?.tags,
        IamResource::Policy(_, name) => {
            &view.iam_policies.get(&IamPolicyKey::new(account, name))?.tags
        }
        IamResource::InstanceProfile(_, name) => {
            &view.instance_profiles.get(&InstanceProfileKey::new(account, name))?.tags
        }
        IamResource::OidcProvider(url) => {
            let key = OidcProviderKey { account, url: url.clone() };
            &view.oidc_providers.get(&key)?.tags
        }
        _ => return None,
    })
}

fn pairs(tags: Option<&Vec<Tag>>) -> impl Iterator<Item = (&str, &str)> {
    tags.into_iter().flatten().map(|tag| (tag.key.as_str(), tag.value.as_str()))
}
