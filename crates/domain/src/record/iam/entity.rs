//! Users, groups, roles, and the profiles that bring a role to an instance.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::super::Tags;
use crate::ids::{AccountId, IamArn, IamId, IamResource};
use crate::time::Timestamp;

/// The policies of a user, group or role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// ARNs of managed policies, in the order in which they were attached.
    pub attached: Vec<String>,
    /// Documents that only it has, by name, as given.
    pub inline: BTreeMap<String, String>,
}

impl Grants {
    /// Characters of its inline policies, without white space, as IAM counts them.
    #[must_use]
    pub fn inline_size(&self) -> usize {
        let size = |text: &String| text.chars().filter(|c| !c.is_whitespace()).count();
        self.inline.values().map(size).sum()
    }
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IamUser {
    /// Account.
    pub account: AccountId,
    /// Name, unique in the account whatever the case of its letters.
    pub name: String,
    /// Path, with a slash at both ends.
    pub path: String,
    /// Unique id, `AIDA…`.
    pub id: IamId,
    /// When it was made.
    pub created_at: Timestamp,
    /// ARN of its permission boundary.
    pub boundary: Option<String>,
    /// Unique ids of its groups, in the order in which it joined them.
    pub groups: Vec<IamId>,
    /// Its policies.
    pub grants: Grants,
    /// Tags.
    pub tags: Tags,
}

impl IamUser {
    /// Its ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        let resource = IamResource::User(self.path.clone(), self.name.clone());
        IamArn::new(self.account, resource).to_string()
    }
}

/// A group of users. Its members know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IamGroup {
    /// Account.
    pub account: AccountId,
    /// Name, unique in the account whatever the case of its letters.
    pub name: String,
    /// Path, with a slash at both ends.
    pub path: String,
    /// Unique id, `AGPA…`.
    pub id: IamId,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its policies.
    pub grants: Grants,
}

impl IamGroup {
    /// Its ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        let resource = IamResource::Group(self.path.clone(), self.name.clone());
        IamArn::new(self.account, resource).to_string()
    }
}

/// When and where a role acted last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleUse {
    /// When.
    pub at: Timestamp,
    /// Region.
    pub region: String,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IamRole {
    /// Account.
    pub account: AccountId,
    /// Name, unique in the account whatever the case of its letters.
    pub name: String,
    /// Path, with a slash at both ends.
    pub path: String,
    /// Unique id, `AROA…`.
    pub id: IamId,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its trust policy: who may become it; as given.
    pub trust: String,
    /// Description.
    pub description: Option<String>,
    /// Longest session, in seconds.
    pub max_session_s: u32,
    /// ARN of its permission boundary.
    pub boundary: Option<String>,
    /// Its policies.
    pub grants: Grants,
    /// Tags.
    pub tags: Tags,
    /// When it acted last, as far as that was written down.
    pub last_used: Option<RoleUse>,
}

impl IamRole {
    /// Where roles live that belong to a service.
    pub const SERVICE_PATH: &'static str = "/aws-service-role/";

    /// Its ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        let resource = IamResource::Role(self.path.clone(), self.name.clone());
        IamArn::new(self.account, resource).to_string()
    }

    /// Whether it belongs to a service, which alone may change it.
    #[must_use]
    pub fn is_service_linked(&self) -> bool {
        self.path.starts_with(Self::SERVICE_PATH)
    }
}

/// What brings a role to an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceProfile {
    /// Account.
    pub account: AccountId,
    /// Name, unique in the account whatever the case of its letters.
    pub name: String,
    /// Path, with a slash at both ends.
    pub path: String,
    /// Unique id, `AIPA…`.
    pub id: IamId,
    /// When it was made.
    pub created_at: Timestamp,
    /// Name of its role.
    pub role: Option<String>,
    /// Tags.
    pub tags: Tags,
}

impl InstanceProfile {
    /// Its ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        let resource = IamResource::InstanceProfile(self.path.clone(), self.name.clone());
        IamArn::new(self.account, resource).to_string()
    }
}
