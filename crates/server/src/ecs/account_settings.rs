//! Account settings. They are kept and listed; none changes how Longshore works, because the
//! long ARN format and tagging are always on here.

use longshore_auth::Authorized;
use longshore_domain::record::AccountSetting;
use longshore_store::tables::AccountSettingKey;
use longshore_store::{KeyPrefix, RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs::enums::{SettingName, SettingType};
use longshore_wire::ecs::{
    DeleteAccountSettingRequest, DeleteAccountSettingResponse, ListAccountSettingsRequest,
    ListAccountSettingsResponse, PutAccountSettingDefaultRequest, PutAccountSettingDefaultResponse,
    PutAccountSettingRequest, PutAccountSettingResponse, Setting,
};

use super::invalid_parameter;
use super::page::PageRequest;
use crate::call::Call;

/// Page size of ListAccountSettings, default and largest (ECS API).
const PAGE: usize = 10;

/// The value that holds where nobody has set one.
fn factory(name: SettingName) -> &'static str {
    match name {
        SettingName::ServiceLongArnFormat
        | SettingName::TaskLongArnFormat
        | SettingName::ContainerInstanceLongArnFormat => "enabled",
        SettingName::TagResourceAuthorization | SettingName::GuardDutyActivate => "on",
        SettingName::FargateTaskRetirementWaitPeriod => "7",
        SettingName::DefaultLogDriverMode => "non-blocking",
        SettingName::AwsvpcTrunking
        | SettingName::ContainerInsights
        | SettingName::FargateFIPSMode
        | SettingName::FargateEventWindows => "disabled",
    }
}

fn check(name: SettingName, value: &str) -> Result<(), ServiceError> {
    let allowed: &[&str] = match name {
        SettingName::ServiceLongArnFormat
        | SettingName::TaskLongArnFormat
        | SettingName::ContainerInstanceLongArnFormat => &["enabled"],
        SettingName::ContainerInsights => &["enabled", "disabled", "enhanced"],
        SettingName::TagResourceAuthorization | SettingName::GuardDutyActivate => &["on", "off"],
        SettingName::FargateTaskRetirementWaitPeriod => &["0", "7", "14"],
        SettingName::DefaultLogDriverMode => &["blocking", "non-blocking"],
        SettingName::AwsvpcTrunking
        | SettingName::FargateFIPSMode
        | SettingName::FargateEventWindows => &["enabled", "disabled", "on", "off"],
    };
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(invalid_parameter(format!(
        "Invalid value '{value}' for {name}; it must be one of: {}.",
        allowed.join(", ")
    )))
}

fn setting(name: SettingName, value: &str, principal: String) -> Setting {
    let kind = match name {
        SettingName::GuardDutyActivate => SettingType::AwsManaged,
        _ => SettingType::User,
    };
    Setting {
        name: Some(name),
        value: Some(value.to_owned()),
        principal_arn: Some(principal),
        r#type: Some(kind),
    }
}

fn root(call: &Call) -> String {
    format!("arn:aws:iam::{}:root", call.scope.account)
}

/// PutAccountSetting: for one principal, by default the caller.
pub(crate) async fn put(
    call: &Call,
    request: Authorized<PutAccountSettingRequest>,
) -> Result<PutAccountSettingResponse, ServiceError> {
    let (principal, request) = request.into_parts();
    let principal = request.principal_arn.unwrap_or(principal.arn);
    let setting = store(call, request.name, request.value, Some(principal)).await?;
    Ok(PutAccountSettingResponse { setting: Some(setting) })
}

/// PutAccountSettingDefault: for all principals of the account.
pub(crate) async fn put_default(
    call: &Call,
    request: Authorized<PutAccountSettingDefaultRequest>,
) -> Result<PutAccountSettingDefaultResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let setting = store(call, request.name, request.value, None).await?;
    Ok(PutAccountSettingDefaultResponse { setting: Some(setting) })
}

async fn store(
    call: &Call,
    name: SettingName,
    value: String,
    principal: Option<String>,
) -> Result<Setting, ServiceError> {
    check(name, &value)?;
    let record = AccountSetting {
        scope: call.scope.clone(),
        name: name.as_str().to_owned(),
        principal: principal.clone(),
        value: value.clone(),
    };
    let decide = |_: &View, txn: &mut RecordTxn| {
        txn.put(&record);
        Ok(())
    };
    call.server.decide(decide).await?;
    Ok(setting(name, &value, principal.unwrap_or_else(|| root(call))))
}

/// DeleteAccountSetting: back to the account's default.
pub(crate) async fn delete(
    call: &Call,
    request: Authorized<DeleteAccountSettingRequest>,
) -> Result<DeleteAccountSettingResponse, ServiceError> {
    let (principal, request) = request.into_parts();
    let principal = request.principal_arn.unwrap_or(principal.arn);
    let key = AccountSettingKey {
        scope: call.scope.clone(),
        name: request.name.as_str().to_owned(),
        principal: Some(principal.clone()),
    };
    let decide = |view: &View, txn: &mut RecordTxn| {
        if view.account_settings.get(&key).is_some() {
            txn.delete::<AccountSetting>(&key);
        }
        Ok(())
    };
    call.server.decide(decide).await?;
    let view = call.server.state.view();
    let value = effective(call, &view, request.name, &principal);
    Ok(DeleteAccountSettingResponse { setting: Some(setting(request.name, &value, principal)) })
}

/// What holds for `principal`: its own setting, else the account's, else the factory's.
fn effective(call: &Call, view: &View, name: SettingName, principal: &str) -> String {
    let find = |principal: Option<String>| {
        let key = AccountSettingKey {
            scope: call.scope.clone(),
            name: name.as_str().to_owned(),
            principal,
        };
        view.account_settings.get(&key).map(|row| row.value.clone())
    };
    find(Some(principal.to_owned()))
        .or_else(|| find(None))
        .unwrap_or_else(|| factory(name).to_owned())
}

/// ListAccountSettings.
pub(crate) async fn list(
    call: &Call,
    request: Authorized<ListAccountSettingsRequest>,
) -> Result<ListAccountSettingsResponse, ServiceError> {
    let (caller, request) = request.into_parts();
    let principal = request.principal_arn.unwrap_or(caller.arn);
    let effective_settings = request.effective_settings.unwrap_or(false);
    let filters = ("settings", &principal, effective_settings, request.name, &request.value);
    let max = request.max_results.filter(|n| *n != 0);
    let page = PageRequest::new(&filters, max, request.next_token.as_deref(), PAGE, PAGE)?;
    if request.value.is_some() && request.name.is_none() {
        return Err(invalid_parameter("A value filter needs the name of a setting."));
    }
    let view = call.server.state.view();
    let mut settings: Vec<Setting> = if effective_settings {
        let all = SettingName::ALL.iter();
        all.map(|&name| setting(name, &effective(call, &view, name, &principal), principal.clone()))
            .collect()
    } else {
        view.account_settings
            .range(&KeyPrefix::scope(&call.scope))
            .filter(|row| row.principal.as_ref() == Some(&principal))
            .filter_map(|row| {
                let name = SettingName::ALL.iter().find(|name| name.as_str() == row.name)?;
                Some(setting(*name, &row.value, principal.clone()))
            })
            .collect()
    };
    settings.retain(|s| request.name.is_none() || s.name == request.name);
    settings.retain(|s| request.value.is_none() || s.value == request.value);
    let key = |s: &Setting| s.name.map_or(String::new(), |name| name.as_str().to_owned());
    settings.sort_by_key(key);
    let (settings, next_token) = page.cut(settings, key);
    Ok(ListAccountSettingsResponse { settings: Some(settings), next_token })
}
