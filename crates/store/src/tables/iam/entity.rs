//! Users, groups, roles and instance profiles, by name.

use longshore_domain::ids::{AccountId, IamId};
use longshore_domain::record::{Grants, IamGroup, IamRole, IamUser, InstanceProfile};

use crate::contract::Key;
use crate::record::{KeyPath, Record, RecordKey};
use crate::view::Kind;

/// What users, groups and roles can be found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IamIndex {
    /// Unique id.
    Id(IamId),
    /// Unique id of a group that it is a member of.
    Group(IamId),
    /// ARN of a managed policy that is attached to it.
    Policy(String),
    /// ARN of a managed policy that is its boundary.
    Boundary(String),
}

impl IamIndex {
    fn of(id: &IamId, grants: &Grants, boundary: Option<&String>) -> Vec<Self> {
        let mut indexes = vec![Self::Id(id.clone())];
        indexes.extend(grants.attached.iter().cloned().map(Self::Policy));
        indexes.extend(boundary.cloned().map(Self::Boundary));
        indexes
    }
}

/// Declares the key of a kind of entity: account and name.
macro_rules! entity_key {
    ($(#[$doc:meta])* $key:ident: $record:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $key {
            account: AccountId,
            name: String,
        }

        impl $key {
            /// The one with a name, in whatever case.
            pub fn new(account: AccountId, name: &str) -> Self {
                Self { account, name: name.to_ascii_lowercase() }
            }
        }

        impl RecordKey for $key {
            fn encode(&self) -> Key {
                KeyPath::account(self.account, Kind::$record).escaped(&self.name).key()
            }
        }
    };
}

entity_key! {
    /// Names a user.
    IamUserKey: IamUser
}
entity_key! {
    /// Names a group.
    IamGroupKey: IamGroup
}
entity_key! {
    /// Names a role.
    IamRoleKey: IamRole
}
entity_key! {
    /// Names an instance profile.
    InstanceProfileKey: InstanceProfile
}

impl Record for IamUser {
    const KIND: Kind = Kind::IamUser;
    const VERSION: u32 = 1;
    type Key = IamUserKey;
    type Index = IamIndex;

    fn key(&self) -> IamUserKey {
        IamUserKey::new(self.account, &self.name)
    }

    fn indexes(&self) -> Vec<IamIndex> {
        let mut indexes = IamIndex::of(&self.id, &self.grants, self.boundary.as_ref());
        indexes.extend(self.groups.iter().cloned().map(IamIndex::Group));
        indexes
    }
}

impl Record for IamGroup {
    const KIND: Kind = Kind::IamGroup;
    const VERSION: u32 = 1;
    type Key = IamGroupKey;
    type Index = IamIndex;

    fn key(&self) -> IamGroupKey {
        IamGroupKey::new(self.account, &self.name)
    }

    fn indexes(&self) -> Vec<IamIndex> {
        IamIndex::of(&self.id, &self.grants, None)
    }
}

impl Record for IamRole {
    const KIND: Kind = Kind::IamRole;
    const VERSION: u32 = 1;
    type Key = IamRoleKey;
    type Index = IamIndex;

    fn key(&self) -> IamRoleKey {
        IamRoleKey::new(self.account, &self.name)
    }

    fn indexes(&self) -> Vec<IamIndex> {
        IamIndex::of(&self.id, &self.grants, self.boundary.as_ref())
    }
}

/// What instance profiles can be found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstanceProfileIndex {
    /// Account and name of its role, in lower case.
    Role(AccountId, String),
}

impl InstanceProfileIndex {
    /// That of the profiles with a role.
    pub fn role(account: AccountId, role: &str) -> Self {
        Self::Role(account, role.to_ascii_lowercase())
    }
}

impl Record for InstanceProfile {
    const KIND: Kind = Kind::InstanceProfile;
    const VERSION: u32 = 1;
    type Key = InstanceProfileKey;
    type Index = InstanceProfileIndex;

    fn key(&self) -> InstanceProfileKey {
        InstanceProfileKey::new(self.account, &self.name)
    }

    fn indexes(&self) -> Vec<InstanceProfileIndex> {
        let role = self.role.iter();
        role.map(|role| InstanceProfileIndex::role(self.account, role)).collect()
    }
}
