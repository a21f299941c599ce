//! Requests and answers as the audit log shows them: without secrets.

use longshore_wire::codec::query;
use serde_json::{Map, Value};

/// CloudTrail's words for what it does not show.
pub(super) const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";

/// Names whose values are secrets, in small letters.
const SECRETS: [&str; 17] = [
    "accesstoken",
    "clientsecret",
    "decodedmessage",
    "mackey",
    "newpassword",
    "oldpassword",
    "passphrase",
    "password",
    "privatekey",
    "samlassertion",
    "secret",
    "secretaccesskey",
    "secretstring",
    "sessiontoken",
    "tokencode",
    "tokenvalue",
    "webidentitytoken",
];
/// Names of lists whose elements have secret values: environments of containers hold passwords.
const VALUES: [&str; 1] = ["environment"];
/// Deepest element of a form that is looked at.
const DEPTH: usize = 24;

/// A JSON request.
pub(super) fn json(body: &[u8]) -> Value {
    let mut value = serde_json::from_slice(body).unwrap_or(Value::Null);
    hide(&mut value, false);
    value
}

/// An answer of the query protocols, which was told as JSON: its names begin with small letters in
/// CloudTrail's records.
pub(super) fn members(body: &[u8]) -> Value {
    lowered(json(body))
}

fn lowered(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            members.into_iter().map(|(name, member)| (lower(&name), lowered(member))).collect()
        }
        Value::Array(elements) => elements.into_iter().map(lowered).collect(),
        other => other,
    }
}

/// A request of the query protocols: names become lists and objects as CloudTrail shows them.
pub(super) fn form(body: &[u8]) -> Value {
    let Ok(form) = query::Form::parse(body) else { return Value::Null };
    let mut root = Value::Object(Map::new());
    for (name, text) in form.parameters() {
        if matches!(name, "Action" | "Version") {
            continue;
        }
        let path: Vec<String> = name
            .split('.')
            .filter(|part| !matches!(*part, "member" | "entry"))
            .take(DEPTH)
            .map(lower)
            .collect();
        put(&mut root, &path, text);
    }
    hide(&mut root, false);
    root
}

fn lower(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

/// Lists stay objects with numbers for names: their order is theirs.
fn put(into: &mut Value, path: &[String], text: &str) {
    let mut at = into;
    for name in path {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[name.as_str()];
    }
    *at = text.into();
}

/// Hides secrets; within `values`, whatever is called `value`.
fn hide(value: &mut Value, values: bool) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let name = name.to_ascii_lowercase();
                if SECRETS.contains(&name.as_str()) || (values && name == "value") {
                    *member = HIDDEN.into();
                } else {
                    hide(member, VALUES.contains(&name.as_str()));
                }
            }
        }
        Value::Array(elements) => {
            for element in elements {
                hide(element, values);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_hidden_and_the_rest_is_shown() {
        let request = json!({
            "family": "web",
            "containerDefinitions": [{
                "name": "main",
                "environment": [{"name": "PASSWORD", "value": "hunter2"}],
                "secrets": [{"name": "KEY", "valueFrom": "arn:aws:ssm:us-east-1:0:parameter/k"}],
            }],
            "PrivateKey": "MIIE",
        });
        let shown = json(request.to_string().as_bytes());
        assert_eq!(shown["family"], "web");
        let container = &shown["containerDefinitions"][0];
        assert_eq!(container["environment"][0]["name"], "PASSWORD");
        assert_eq!(container["environment"][0]["value"], HIDDEN);
        assert_eq!(container["secrets"][0]["name"], "KEY");
        assert_eq!(shown["PrivateKey"], HIDDEN);
        assert!(!shown.to_string().contains("hunter2"));
        assert_eq!(json(b"no JSON"), Value::Null);
    }

    #[test]
    fn answers_are_shown_without_what_they_give_away() {
        let told = json!({
            "AccessKey": {"UserName": "ann", "AccessKeyId": "AKIA", "SecretAccessKey": "hush"},
            "Credentials": {"SessionToken": "hush", "Expiration": 1},
            "DecodedMessage": "hush",
        });
        let shown = members(told.to_string().as_bytes());
        assert_eq!(shown["accessKey"]["userName"], "ann");
        assert_eq!(shown["accessKey"]["secretAccessKey"], HIDDEN);
        assert_eq!(shown["credentials"]["sessionToken"], HIDDEN);
        assert!(!shown.to_string().contains("hush"), "{shown}");
        let session = json!({"session": {"sessionId": "s", "tokenValue": "hush"}});
        let shown = json(session.to_string().as_bytes());
        assert_eq!(shown["session"]["tokenValue"], HIDDEN);
        assert_eq!(shown["session"]["sessionId"], "s");
    }

    #[test]
    fn forms_become_objects() {
        let body =
            b"Action=CreateRule&Version=1&ListenerArn=l&Actions.member.1.Type=authenticate-oidc\
            &Actions.member.1.AuthenticateOidcConfig.ClientSecret=s3cret";
        let shown = form(body);
        assert_eq!(shown["listenerArn"], "l");
        assert_eq!(shown["actions"]["1"]["type"], "authenticate-oidc");
        assert_eq!(shown["actions"]["1"]["authenticateOidcConfig"]["clientSecret"], HIDDEN);
        assert!(shown.get("action").is_none());
    }
}
