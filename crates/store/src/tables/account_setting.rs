//! Account settings, by name and principal.

use longshore_domain::ids::Scope;
use longshore_domain::record::AccountSetting;

use super::NoIndex;
use crate::contract::Key;
use crate::record::{KeyPath, Record, RecordKey};
use crate::view::Kind;

/// Names an account setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSettingKey {
    /// Account and region.
    pub scope: Scope,
    /// Name of the setting.
    pub name: String,
    /// ARN of the principal; `None` is the account's default.
    pub principal: Option<String>,
}

impl RecordKey for AccountSettingKey {
    fn encode(&self) -> Key {
        let path = KeyPath::new(&self.scope, Kind::AccountSetting).escaped(&self.name);
        match &self.principal {
            Some(principal) => path.escaped(principal).key(),
            // No principal is written so: a tilde is escaped.
            None => path.part("~").key(),
        }
    }
}

impl Record for AccountSetting {
    const KIND: Kind = Kind::AccountSetting;
    const VERSION: u32 = 1;
    type Key = AccountSettingKey;
    type Index = NoIndex;

    fn key(&self) -> AccountSettingKey {
        AccountSettingKey {
            scope: self.scope.clone(),
            name: self.name.clone(),
            principal: self.principal.clone(),
        }
    }
}
