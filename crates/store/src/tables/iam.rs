//! Users, groups, roles, policies and the rest of IAM: they belong to an account and to no region.
//!
//! Names are unique whatever the case of their letters, so keys have them in lower case.

mod account;
mod entity;
mod join;
mod key;
mod policy;

pub use account::{IamAccountKey, OidcProviderKey};
pub use entity::{
    IamGroupKey, IamIndex, IamRoleKey, IamUserKey, InstanceProfileIndex, InstanceProfileKey,
};
pub use join::JoinTokenKey;
pub use key::{AccessKeyIndex, AccessKeyKey};
pub use policy::{IamPolicyIndex, IamPolicyKey};
