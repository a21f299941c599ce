//! Identity and Access Management: who there is in an account, and what they may.
//!
//! What belongs to one user, group or role stands in its record: its groups, the policies that are
//! attached to it or written into it, and its boundary. All of them are few, by AWS's quotas, so
//! that a decision about one entity compares one record.

mod account;
mod entity;
mod join;
mod key;
mod policy;

pub use account::{IamAccount, OidcProvider};
pub use entity::{Grants, IamGroup, IamRole, IamUser, InstanceProfile, RoleUse};
pub use join::JoinToken;
pub use key::{AccessKey, KeyUse, Sealed};
pub use policy::{IamPolicy, PolicyVersion};
