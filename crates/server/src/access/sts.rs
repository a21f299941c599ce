//! Rows of the Security Token Service.

use super::{Entry, access};

/// All rows of the Security Token Service.
pub(super) fn entries() -> impl Iterator<Item = &'static Entry> {
    ENTRIES.iter().copied()
}

access! { "sts", sts {
    // The role's trust policy and the caller's policies decide together, so the operation asks them.
    AssumeRole Write ["role"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys" "iam:ResourceTag/${TagKey}" "sts:ExternalId" "sts:RoleSessionName" "sts:SourceIdentity" "sts:TransitiveTagKeys"] ["sts:SetSourceIdentity" "sts:TagSession"] =
        |_, asking| asking.asks_itself();
    // Who calls is known by the token, and the trust policy decides.
    AssumeRoleWithWebIdentity Write ["role"] ["sts:RoleSessionName"] [] =
        |_, asking| asking.asks_itself();
    // Whoever has credentials may ask whose they are, and have shorter ones: AWS asks no policy.
    GetCallerIdentity Read [] [] [] = |_, asking| asking.asks_itself();
    GetSessionToken Read [] [] [] = |_, asking| asking.asks_itself();
    DecodeAuthorizationMessage Write [] [] [] = |_, asking| asking.ask_anything();
    GetAccessKeyInfo Read [] [] [] = |_, asking| asking.ask_anything();
} }

/// What no policy is asked about before the operation.
#[cfg(test)]
pub(super) const FREE: [&str; 4] = [
    "sts:AssumeRole",
    "sts:AssumeRoleWithWebIdentity",
    "sts:GetCallerIdentity",
    "sts:GetSessionToken",
];
