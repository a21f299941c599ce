//! Account settings: what PutAccountSetting and PutAccountSettingDefault keep.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::ids::Scope;

/// One account setting of one principal, or the account's default for all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSetting {
    /// Account and region.
    pub scope: Scope,
    /// Setting name as in the API, e.g. `containerInsights`.
    pub name: String,
    /// ARN of the principal it holds for; `None` is the account's default.
    pub principal: Option<String>,
    /// Value as in the API.
    pub value: String,
}
