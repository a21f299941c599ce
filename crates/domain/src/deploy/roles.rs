//! Roles that tasks cannot have, so that none is started without credentials.
//!
//! Whether a task can have a role is not decided here: that takes policies. It is asked anew whenever
//! the service is planned, so tasks start as soon as it can.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use core::fmt;

use super::draft::Draft;
use crate::ids::{Family, Revision};
use crate::record::Cause;

/// A role that tasks cannot have. It is shown in ECS's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRole {
    /// Its ARN, or its name, as the task definition has it.
    pub role: String,
    /// Which half fails: `taskRoleArn: there is no role with this ARN`.
    pub why: String,
}

impl fmt::Display for RefusedRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ECS was unable to assume the role '{}' that was provided for this task. Please verify \
             that the role being passed has the proper trust relationship and permissions and that \
             your IAM user has permissions to pass this role.",
            self.role
        )
    }
}

/// Of task definitions that have such roles, the first of each.
pub type RefusedRoles = BTreeMap<(Family, Revision), RefusedRole>;

/// Tells that tasks which are missing do not start for the sake of a role. Goes on when roles change.
pub(super) fn tell(draft: &mut Draft<'_, '_>) {
    if draft.is_held_back() {
        return;
    }
    let Some(refused) = draft.refused_role() else { return };
    let error = refused.to_string();
    let message = draft.subject.unlaunched(&error);
    draft.conditions.push((Cause::RoleRefused, error, message));
    draft.plan.refused_role = Some(refused.clone());
}
