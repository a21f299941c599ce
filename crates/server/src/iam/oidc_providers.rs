//! Providers of OpenID Connect.

use longshore_auth::Authorized;
use longshore_domain::record::OidcProvider;
use longshore_store::tables::OidcProviderKey;
use longshore_store::{KeyPrefix, RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::iam::{
    AddClientIDToOpenIDConnectProviderRequest, CreateOpenIDConnectProviderRequest,
    CreateOpenIDConnectProviderResponse, DeleteOpenIDConnectProviderRequest, ErrorCode,
    GetOpenIDConnectProviderRequest, GetOpenIDConnectProviderResponse,
    ListOpenIDConnectProvidersRequest, ListOpenIDConnectProvidersResponse, Nothing,
    OpenIDConnectProviderListEntry, RemoveClientIDFromOpenIDConnectProviderRequest,
    UpdateOpenIDConnectProviderThumbprintRequest,
};

use super::{encode, exceeded, exists, lookup, names, quotas, tags};
use crate::call::Call;

/// The URL without its scheme, if it is one that IAM takes.
fn url(text: &str) -> Result<String, ServiceError> {
    let wrong = || names::invalid("Invalid Open ID Connect Provider URL");
    let url = text.strip_prefix("https://").ok_or_else(wrong)?.trim_end_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/%:".contains(c);
    let host = url.split('/').next().unwrap_or_default();
    if host.is_empty() || !url.chars().all(plain) || url.contains("//") {
        return Err(wrong());
    }
    Ok(url.to_owned())
}

fn check_thumbprints(list: &[String]) -> Result<(), ServiceError> {
    if list.len() > quotas::THUMBPRINTS {
        return Err(ErrorCode::InvalidInput.error(format!(
            "Thumbprint list must contain fewer than {} entries.",
            quotas::THUMBPRINTS
        )));
    }
    if list.iter().all(|text| text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Ok(());
    }
    Err(names::invalid("A thumbprint has 40 hexadecimal digits."))
}

/// CreateOpenIDConnectProvider.
pub(super) async fn create(
    call: &Call,
    request: Authorized<CreateOpenIDConnectProviderRequest>,
) -> Result<CreateOpenIDConnectProviderResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let account = call.scope.account;
    let mut client_ids: Vec<String> = Vec::new();
    for id in request.client_id_list.unwrap_or_default() {
        if !client_ids.contains(&id) {
            client_ids.push(id);
        }
    }
    if client_ids.len() > quotas::CLIENT_IDS {
        return Err(exceeded("ClientIdsPerOpenIdConnectProvider", quotas::CLIENT_IDS));
    }
    let thumbprints = request.thumbprint_list.unwrap_or_default();
    check_thumbprints(&thumbprints)?;
    let provider = OidcProvider {
        account,
        url: url(&request.url)?,
        client_ids,
        thumbprints,
        created_at: call.now,
        tags: tags::checked(request.tags)?,
    };
    let decide = |view: &View, txn: &mut RecordTxn| {
        let key = OidcProviderKey { account, url: provider.url.clone() };
        if view.oidc_providers.get(&key).is_some() {
            return Err(exists(format!(
                "Provider with url https://{} already exists.",
                provider.url
            )));
        }
        let known = view.oidc_providers.range(&KeyPrefix::account(account)).count();
        if known >= quotas::OIDC_PROVIDERS {
            return Err(exceeded("OpenIdConnectProvidersPerAccount", quotas::OIDC_PROVIDERS));
        }
        txn.insert(&provider);
        Ok(CreateOpenIDConnectProviderResponse {
            open_id_connect_provider_arn: Some(provider.arn()),
            tags: encode::tags(&provider.tags),
        })
    };
    call.server.decide(decide).await
}

/// GetOpenIDConnectProvider.
pub(super) async fn get(
    call: &Call,
    request: Authorized<GetOpenIDConnectProviderRequest>,
) -> Result<GetOpenIDConnectProviderResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    let arn = &request.open_id_connect_provider_arn;
    let row = lookup::oidc_provider(&view, call.scope.account, arn)?;
    Ok(GetOpenIDConnectProviderResponse {
        client_id_list: Some(row.client_ids.clone()),
        create_date: Some(encode::time(row.created_at)),
        tags: encode::tags(&row.tags),
        thumbprint_list: Some(row.thumbprints.clone()),
        url: Some(row.url.clone()),
    })
}

/// ListOpenIDConnectProviders.
pub(super) async fn list(
    call: &Call,
    request: Authorized<ListOpenIDConnectProvidersRequest>,
) -> Result<ListOpenIDConnectProvidersResponse, ServiceError> {
    drop(request);
    let view = call.server.state.view();
    let all = view.oidc_providers.range(&KeyPrefix::account(call.scope.account));
    let all = all.map(|row| OpenIDConnectProviderListEntry { arn: Some(row.arn()) });
    Ok(ListOpenIDConnectProvidersResponse { open_id_connect_provider_list: Some(all.collect()) })
}

/// DeleteOpenIDConnectProvider: one that is not there is no error.
pub(super) async fn delete(
    call: &Call,
    request: Authorized<DeleteOpenIDConnectProviderRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    let arn = &request.open_id_connect_provider_arn;
    names::arn(arn)?;
    let decide = |view: &View, txn: &mut RecordTxn| -> Result<Nothing, ServiceError> {
        if let Ok(row) = lookup::oidc_provider(view, call.scope.account, arn) {
            txn.remove(row);
        }
        Ok(Nothing::default())
    };
    call.server.decide(decide).await
}

async fn change(
    call: &Call,
    arn: &str,
    change: impl Fn(&mut OidcProvider) -> Result<(), ServiceError>,
) -> Result<Nothing, ServiceError> {
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::oidc_provider(view, call.scope.account, arn)?;
        let mut next = row.record.clone();
        change(&mut next)?;
        if next != row.record {
            txn.update(row, &next);
        }
        Ok(Nothing::default())
    };
    call.server.decide(decide).await
}

/// AddClientIDToOpenIDConnectProvider.
pub(super) async fn add_client(
    call: &Call,
    request: Authorized<AddClientIDToOpenIDConnectProviderRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    change(call, &request.open_id_connect_provider_arn, |provider| {
        if provider.client_ids.contains(&request.client_id) {
            return Ok(());
        }
        if provider.client_ids.len() >= quotas::CLIENT_IDS {
            return Err(exceeded("ClientIdsPerOpenIdConnectProvider", quotas::CLIENT_IDS));
        }
        provider.client_ids.push(request.client_id.clone());
        Ok(())
    })
    .await
}

/// RemoveClientIDFromOpenIDConnectProvider: one that is not there is no error.
pub(super) async fn remove_client(
    call: &Call,
    request: Authorized<RemoveClientIDFromOpenIDConnectProviderRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    change(call, &request.open_id_connect_provider_arn, |provider| {
        provider.client_ids.retain(|id| *id != request.client_id);
        Ok(())
    })
    .await
}

/// UpdateOpenIDConnectProviderThumbprint.
pub(super) async fn update_thumbprint(
    call: &Call,
    request: Authorized<UpdateOpenIDConnectProviderThumbprintRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    check_thumbprints(&request.thumbprint_list)?;
    change(call, &request.open_id_connect_provider_arn, |provider| {
        provider.thumbprints.clone_from(&request.thumbprint_list);
        Ok(())
    })
    .await
}
