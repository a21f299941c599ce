//! The account as a whole: its alias, and what it has in numbers.

use std::collections::BTreeMap;

use longshore_auth::Authorized;
use longshore_domain::ids::AccountId;
use longshore_domain::record::IamAccount;
use longshore_store::tables::{AccessKeyIndex, IamAccountKey};
use longshore_store::{KeyPrefix, RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::iam::{
    CreateAccountAliasRequest, DeleteAccountAliasRequest, GetAccountSummaryResponse,
    ListAccountAliasesRequest, ListAccountAliasesResponse, Nothing,
};

use super::page::Page;
use super::{exists, lookup, names, quotas};
use crate::call::Call;

/// An account of which nothing is known yet.
pub(crate) fn unknown(account: AccountId) -> IamAccount {
    IamAccount { account, alias: None, initialized_at: None, key_check: None }
}

/// Writes the account as it is, so that of two changes which depend on it one fails.
pub(super) fn touch(view: &View, txn: &mut RecordTxn, account: AccountId) {
    match view.iam_accounts.get(&IamAccountKey { account }) {
        Some(row) => txn.update(row, &row.record),
        None => txn.insert(&unknown(account)),
    };
}

/// `[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]`
fn check_alias(alias: &str) -> Result<(), ServiceError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = alias.chars().all(plain)
        && !alias.starts_with('-')
        && !alias.ends_with('-')
        && !alias.contains("--")
        && alias.parse::<AccountId>().is_err();
    if fits {
        return Ok(());
    }
    Err(names::invalid(format!(
        "1 validation error detected: Value '{alias}' at 'accountAlias' failed to satisfy \
         constraint: Member must satisfy regular expression pattern: \
         ^[a-z0-9]([a-z0-9]|-(?!-)){{1,61}}[a-z0-9]$"
    )))
}

/// CreateAccountAlias: in place of the one before.
pub(super) async fn create_alias(
    call: &Call,
    request: Authorized<CreateAccountAliasRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    check_alias(&request.account_alias)?;
    let account = call.scope.account;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let alias = Some(request.account_alias.clone());
        if view.iam_accounts.iter().any(|row| row.alias == alias && row.account != account) {
            return Err(exists(format!(
                "The account alias {} already exists.",
                request.account_alias
            )));
        }
        match view.iam_accounts.get(&IamAccountKey { account }) {
            Some(row) => txn.update(row, &IamAccount { alias, ..row.record.clone() }),
            None => txn.insert(&IamAccount { alias, ..unknown(account) }),
        };
        Ok(Nothing::default())
    };
    call.server.decide(decide).await
}

/// DeleteAccountAlias.
pub(super) async fn delete_alias(
    call: &Call,
    request: Authorized<DeleteAccountAliasRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    let account = call.scope.account;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = view.iam_accounts.get(&IamAccountKey { account });
        let row = row.filter(|row| row.alias.as_ref() == Some(&request.account_alias));
        let row = row.ok_or_else(|| {
            let alias = &request.account_alias;
            lookup::missing(format!("The account alias {alias} cannot be found."))
        })?;
        txn.update(row, &IamAccount { alias: None, ..row.record.clone() });
        Ok(Nothing::default())
    };
    call.server.decide(decide).await
}

/// ListAccountAliases.
pub(super) async fn list_aliases(
    call: &Call,
    request: Authorized<ListAccountAliasesRequest>,
) -> Result<ListAccountAliasesResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let page = Page::of(request.marker.as_ref(), request.max_items)?;
    let view = call.server.state.view();
    let row = view.iam_accounts.get(&IamAccountKey { account: call.scope.account });
    let alias = row.and_then(|row| row.alias.clone());
    let cut = page.cut(alias.into_iter().map(|alias| (alias.clone(), alias)));
    Ok(ListAccountAliasesResponse {
        account_aliases: cut.items,
        is_truncated: cut.is_truncated,
        marker: cut.marker,
    })
}

/// GetAccountSummary.
pub(super) async fn summary(
    call: &Call,
    request: Authorized<Nothing>,
) -> Result<GetAccountSummaryResponse, ServiceError> {
    drop(request);
    let view = call.server.state.view();
    let account = call.scope.account;
    macro_rules! count {
        ($table:ident) => {
            view.$table.range(&KeyPrefix::account(account)).count()
        };
    }
    let root_key = view.access_keys.count_by(&AccessKeyIndex::Root(account)) > 0;
    let versions = view.iam_policies.range(&KeyPrefix::account(account));
    let numbers = [
        ("AccessKeysPerUserQuota", quotas::ACCESS_KEYS),
        ("AccountAccessKeysPresent", usize::from(root_key)),
        ("AccountMFAEnabled", 0),
        ("AccountSigningCertificatesPresent", 0),
        ("AssumeRolePolicySizeQuota", quotas::TRUST_SIZE),
        ("AttachedPoliciesPerGroupQuota", quotas::ATTACHED),
        ("AttachedPoliciesPerRoleQuota", quotas::ATTACHED),
        ("AttachedPoliciesPerUserQuota", quotas::ATTACHED),
        ("GroupPolicySizeQuota", quotas::GROUP_INLINE),
        ("Groups", count!(iam_groups)),
        ("GroupsPerUserQuota", quotas::GROUPS_PER_USER),
        ("GroupsQuota", quotas::GROUPS),
        ("InstanceProfiles", count!(instance_profiles)),
        ("InstanceProfilesQuota", quotas::INSTANCE_PROFILES),
        ("MFADevices", 0),
        ("MFADevicesInUse", 0),
        ("Policies", count!(iam_policies)),
        ("PoliciesQuota", quotas::POLICIES),
        ("PolicySizeQuota", quotas::POLICY_SIZE),
        ("PolicyVersionsInUse", versions.map(|row| row.versions.len()).sum()),
        ("Providers", count!(oidc_providers)),
        ("RolePolicySizeQuota", quotas::ROLE_INLINE),
        ("Roles", count!(iam_roles)),
        ("RolesQuota", quotas::ROLES),
        ("ServerCertificates", 0),
        ("ServerCertificatesQuota", 0),
        ("UserPolicySizeQuota", quotas::USER_INLINE),
        ("Users", count!(iam_users)),
        ("UsersQuota", quotas::USERS),
        ("VersionsPerPolicyQuota", quotas::VERSIONS),
    ];
    let number =
        |(name, value): (&str, usize)| (name.to_owned(), i32::try_from(value).unwrap_or(i32::MAX));
    let summary_map: BTreeMap<String, i32> = numbers.into_iter().map(number).collect();
    Ok(GetAccountSummaryResponse { summary_map: Some(summary_map) })
}
