//! What has policies: users, groups and roles, seen alike.

use std::sync::Arc;

use longshore_domain::ids::AccountId;
use longshore_domain::record::{Grants, IamGroup, IamRole, IamUser};
use longshore_store::{Record, RecordTxn, Row, View};
use longshore_wire::ServiceError;

use super::{lookup, quotas, roles};
use crate::call::Call;

/// A user, a group or a role.
pub(super) trait Holder: Record {
    /// What it is called in texts.
    const WORD: &'static str;
    /// The quota of attached policies.
    const QUOTA: &'static str;
    /// Characters of its inline policies.
    const INLINE: usize;

    /// The one with a name.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    fn find<'v>(
        view: &'v View,
        account: AccountId,
        name: &str,
    ) -> Result<&'v Arc<Row<Self>>, ServiceError>;

    /// Its policies.
    fn grants(&self) -> &Grants;

    /// The same with other policies.
    fn with(&self, grants: Grants) -> Self;

    /// Whether its policies may be changed.
    ///
    /// # Errors
    /// `UnmodifiableEntity`.
    fn check_changeable(&self) -> Result<(), ServiceError> {
        Ok(())
    }
}

macro_rules! holder {
    ($record:ident, $word:literal, $quota:literal, $inline:ident, $find:ident, $check:expr) => {
        impl Holder for $record {
            const WORD: &'static str = $word;
            const QUOTA: &'static str = $quota;
            const INLINE: usize = quotas::$inline;

            fn find<'v>(
                view: &'v View,
                account: AccountId,
                name: &str,
            ) -> Result<&'v Arc<Row<Self>>, ServiceError> {
                lookup::$find(view, account, name)
            }

            fn grants(&self) -> &Grants {
                &self.grants
            }

            fn with(&self, grants: Grants) -> Self {
                Self { grants, ..self.clone() }
            }

            fn check_changeable(&self) -> Result<(), ServiceError> {
                $check(self)
            }
        }
    };
}

holder!(IamUser, "user", "PoliciesPerUser", USER_INLINE, user, |_: &Self| Ok(()));
holder!(IamGroup, "group", "PoliciesPerGroup", GROUP_INLINE, group, |_: &Self| Ok(()));
holder!(IamRole, "role", "PoliciesPerRole", ROLE_INLINE, role, roles::check_changeable);

/// Changes the policies of the holder with a name.
pub(super) async fn change<H: Holder>(
    call: &Call,
    name: &str,
    change: impl Fn(&View, &mut RecordTxn, &mut Grants) -> Result<(), ServiceError>,
) -> Result<longshore_wire::iam::Nothing, ServiceError> {
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = H::find(view, call.scope.account, name)?;
        row.check_changeable()?;
        let mut grants = row.grants().clone();
        change(view, txn, &mut grants)?;
        if grants != *row.grants() {
            txn.update(row, &row.record.with(grants));
        }
        Ok(longshore_wire::iam::Nothing::default())
    };
    call.server.decide(decide).await
}
