//! Quotas of AWS for IAM: those that can be raised are as high as AWS raises them.

/// Users of an account.
pub(super) const USERS: usize = 5000;
/// Groups of an account.
pub(super) const GROUPS: usize = 500;
/// Roles of an account.
pub(super) const ROLES: usize = 5000;
/// Managed policies of an account.
pub(super) const POLICIES: usize = 5000;
/// Instance profiles of an account.
pub(super) const INSTANCE_PROFILES: usize = 5000;
/// Providers of OpenID Connect of an account.
pub(super) const OIDC_PROVIDERS: usize = 700;
/// Audiences of a provider of OpenID Connect.
pub(super) const CLIENT_IDS: usize = 100;
/// Thumbprints of a provider of OpenID Connect.
pub(super) const THUMBPRINTS: usize = 5;
/// Groups of a user.
pub(super) const GROUPS_PER_USER: usize = 10;
/// Access keys of a user, and of root.
pub(super) const ACCESS_KEYS: usize = 2;
/// Managed policies that are attached to one user, group or role.
pub(super) const ATTACHED: usize = 10;
/// Versions of a managed policy.
pub(super) const VERSIONS: usize = 5;
/// Characters of a managed policy, without white space.
pub(super) const POLICY_SIZE: usize = 6144;
/// Characters of all inline policies of a user, without white space.
pub(super) const USER_INLINE: usize = 2048;
/// The same of a group.
pub(super) const GROUP_INLINE: usize = 5120;
/// The same of a role.
pub(super) const ROLE_INLINE: usize = 10_240;
/// Characters of a trust policy, without white space.
pub(super) const TRUST_SIZE: usize = 4096;
/// Tags of anything.
pub(super) const TAGS: usize = 50;
