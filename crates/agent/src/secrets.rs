//! Secrets and logins that a task needs before its containers can be made: from SSM parameters,
//! Secrets Manager and ECR, with the execution role's keys.

use std::collections::BTreeMap;

use longshore_auth::Credentials;
use longshore_domain::task::Reason;
use longshore_wire::agent::{Container, RegistryAuthentication, RoleCredentials, Secret};
use serde_json::{Value, json};

use crate::api::{Api, ApiError, SideCall};
use crate::runtime::{ContainerRequest, RegistryAuth};

const SSM: (&str, &str) = ("ssm", "AmazonSSM.GetParameters");
const SECRETS_MANAGER: (&str, &str) = ("secretsmanager", "secretsmanager.GetSecretValue");
const ECR: (&str, &str) = ("ecr", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken");

/// Puts the secrets of `container` into its environment and its log options.
///
/// # Errors
/// With the reason for the whole task.
pub(crate) async fn resolve(
    api: &Api,
    container: &Container,
    role: Option<&RoleCredentials>,
    request: &mut ContainerRequest,
) -> Result<(), Reason> {
    if let Some(file) = container.environment_files.first() {
        let text = format!(
            "environment file {} of container {} cannot be fetched: this agent has no access to \
             S3; put the variables into the task definition or into secrets",
            file.value, container.name
        );
        return Err(init_error(&text));
    }
    let mut log_options = BTreeMap::new();
    for secret in &container.secrets {
        let value = fetch(api, secret, role).await?;
        if secret.target.as_deref() == Some("LOG_DRIVER") {
            log_options.insert(secret.name.clone(), value);
        } else {
            request.environment.insert(secret.name.clone(), value);
        }
    }
    if !log_options.is_empty() {
        let text = request.engine_host_config.as_deref().unwrap_or("{}");
        request.engine_host_config = Some(with_log_options(text, log_options));
    }
    Ok(())
}

/// The login for the registry of `image`.
///
/// # Errors
/// With the reason for the container.
pub(crate) async fn registry_login(
    api: &Api,
    auth: &RegistryAuthentication,
    image: &str,
    role: Option<&RoleCredentials>,
) -> Result<Option<RegistryAuth>, Reason> {
    let server = image.split('/').next().unwrap_or_default().to_owned();
    match auth.kind.as_str() {
        "asm" => {
            let data = auth.asm_auth_data.clone().unwrap_or_default();
            let call = (SECRETS_MANAGER, data.region.as_deref());
            let id = &data.credentials_parameter;
            let answer = side(api, call, None, role, &json!({ "SecretId": id })).await;
            let answer = answer.map_err(|error| auth_error(&error))?;
            let text = answer.get("SecretString").and_then(Value::as_str).unwrap_or_default();
            let login: Value = serde_json::from_str(text).unwrap_or_default();
            let part = |name: &str| login.get(name).and_then(Value::as_str).map(str::to_owned);
            let (Some(username), Some(password)) = (part("username"), part("password")) else {
                let text = format!("the secret {id} has no username and password");
                return Err(Reason::new("CannotPullContainerAuthError", text));
            };
            Ok(Some(RegistryAuth { username, password, server }))
        }
        "ecr" => {
            let data = auth.ecr_auth_data.clone().unwrap_or_default();
            let call = (ECR, data.region.as_deref());
            let role = role.filter(|_| data.use_execution_role);
            let ids: Vec<_> = data.registry_id.iter().collect();
            let body = json!({ "registryIds": ids });
            let endpoint = data.endpoint_override.as_deref().filter(|e| !e.is_empty());
            let answer = side(api, call, endpoint, role, &body).await;
            let answer = answer.map_err(|error| ecr_error(&error.to_string()))?;
            let token = answer
                .pointer("/authorizationData/0/authorizationToken")
                .and_then(Value::as_str)
                .and_then(decode_token)
                .ok_or_else(|| ecr_error("the answer holds no token"))?;
            Ok(Some(RegistryAuth { username: token.0, password: token.1, server }))
        }
        other => {
            let text = format!("registry authentication of type {other} is not known");
            Err(Reason::new("CannotPullContainerAuthError", text))
        }
    }
}

async fn fetch(
    api: &Api,
    secret: &Secret,
    role: Option<&RoleCredentials>,
) -> Result<String, Reason> {
    let region = secret.region.as_deref();
    let (name, from) = (&secret.name, &secret.value_from);
    let fail = |error: &ApiError| {
        let text = format!("unable to pull secret {name} from {from}: {error}");
        init_error(&text)
    };
    if secret.provider == "ssm" {
        let parameter = from.split_once(":parameter").map_or(from.as_str(), |(_, name)| name);
        let body = json!({ "Names": [parameter], "WithDecryption": true });
        let answer = side(api, (SSM, region), None, role, &body).await.map_err(|e| fail(&e))?;
        let value = answer.pointer("/Parameters/0/Value").and_then(Value::as_str);
        return value.map(str::to_owned).ok_or_else(|| {
            init_error(&format!("unable to pull secret {name}: invalid parameter {parameter}"))
        });
    }
    let (id, key, stage, version) = secret_reference(from);
    let mut body = json!({ "SecretId": id });
    if let Some(stage) = stage {
        body["VersionStage"] = stage.into();
    }
    if let Some(version) = version {
        body["VersionId"] = version.into();
    }
    let call = (SECRETS_MANAGER, region);
    let answer = side(api, call, None, role, &body).await.map_err(|e| fail(&e))?;
    let text = answer.get("SecretString").and_then(Value::as_str).unwrap_or_default();
    let Some(key) = key else { return Ok(text.to_owned()) };
    let object: Value = serde_json::from_str(text).unwrap_or_default();
    match object.get(key) {
        Some(Value::String(value)) => Ok(value.clone()),
        Some(other) => Ok(other.to_string()),
        None => Err(init_error(&format!("unable to pull secret {name}: {id} has no key {key}"))),
    }
}

/// Parts of `ARN:json-key:version-stage:version-id`; a name or plain ARN has only the first.
fn secret_reference(from: &str) -> (String, Option<&str>, Option<&str>, Option<&str>) {
    let parts: Vec<&str> = from.split(':').collect();
    if parts.len() <= 7 {
        return (from.to_owned(), None, None, None);
    }
    let part = |index: usize| parts.get(index).copied().filter(|part| !part.is_empty());
    (parts[..7].join(":"), part(7), part(8), part(9))
}

async fn side(
    api: &Api,
    ((service, target), region): ((&str, &str), Option<&str>),
    endpoint: Option<&str>,
    role: Option<&RoleCredentials>,
    body: &Value,
) -> Result<Value, ApiError> {
    let credentials = role.filter(|role| !role.access_key_id.is_empty()).map(|role| Credentials {
        access_key_id: role.access_key_id.clone(),
        secret_access_key: role.secret_access_key.clone(),
        session_token: Some(role.session_token.clone()).filter(|token| !token.is_empty()),
    });
    let region = region.filter(|region| !region.is_empty());
    let call = SideCall { endpoint, service, target, region, credentials: credentials.as_ref() };
    api.call_side(call, body).await
}

fn with_log_options(text: &str, options: BTreeMap<String, String>) -> String {
    let mut config: Value = serde_json::from_str(text).unwrap_or_else(|_| json!({}));
    if !config["LogConfig"]["Config"].is_object() {
        config["LogConfig"]["Config"] = json!({});
    }
    for (name, value) in options {
        config["LogConfig"]["Config"][name] = value.into();
    }
    config.to_string()
}

/// User and password of a token: base64 of `user:password`.
fn decode_token(token: &str) -> Option<(String, String)> {
    let mut bytes = Vec::with_capacity(token.len());
    let (mut bits, mut held) = (0_u32, 0);
    for c in token.bytes().filter(|c| *c != b'=') {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(six)) & 0xff_ffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).unwrap_or(0));
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn init_error(text: &str) -> Reason {
    Reason::new("ResourceInitializationError", text)
}

fn auth_error(error: &ApiError) -> Reason {
    Reason::new("CannotPullContainerAuthError", error.to_string())
}

fn ecr_error(text: &str) -> Reason {
    Reason::new("CannotPullECRContainerError", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reference_may_name_a_key_and_a_version() {
        let arn = "arn:aws:secretsmanager:r:0:secret:db-x";
        assert_eq!(secret_reference("db"), ("db".into(), None, None, None));
        assert_eq!(secret_reference(arn), (arn.into(), None, None, None));
        let with_key = format!("{arn}:password::");
        assert_eq!(secret_reference(&with_key), (arn.into(), Some("password"), None, None));
        let with_stage = format!("{arn}::AWSPREVIOUS:");
        assert_eq!(secret_reference(&with_stage), (arn.into(), None, Some("AWSPREVIOUS"), None));
    }

    #[test]
    fn a_token_holds_user_and_password() {
        assert_eq!(decode_token("QVdTOnNlY3JldA=="), Some(("AWS".into(), "secret".into())));
        assert_eq!(decode_token("!"), None);
    }

    #[test]
    fn secrets_join_the_log_options() {
        let options = || [("token".to_owned(), "t".to_owned())].into();
        assert_eq!(
            with_log_options(r#"{"LogConfig":{"Type":"splunk","Config":{"url":"u"}}}"#, options()),
            r#"{"LogConfig":{"Config":{"token":"t","url":"u"},"Type":"splunk"}}"#
        );
        assert_eq!(with_log_options("{}", options()), r#"{"LogConfig":{"Config":{"token":"t"}}}"#);
    }
}
