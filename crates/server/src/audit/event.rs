//! One record, in the shape of CloudTrail's.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use longshore_auth::{Decision, Denied, Principal, PrincipalKind, StatementRef};
use longshore_domain::ids::Scope;
use longshore_domain::time::Timestamp;
use serde_json::{Map, Value, json};

use super::Trace;
use super::redact;
use crate::access::Origin;
use crate::clock;

/// Version of CloudTrail's shape.
const VERSION: &str = "1.11";
/// Largest request that is kept with its record: a task definition of full size.
const PARAMETERS_BYTES: usize = 64 * 1024;
/// Largest answer that is kept with its record: what a call has made, and what it is called now.
const ANSWER_BYTES: usize = 16 * 1024;
/// An answer that says nothing.
const EMPTY: &str = "{}";
/// Longest text of an error, in characters (CloudTrail: 1 KB).
const MESSAGE: usize = 1024;
/// Longest text within what is told of a denial, in characters; an ARN is shorter.
const TEXT: usize = 4096;
/// Most that is told of a denial, in bytes; beyond, what is not needed to know what was denied is left out.
const DENIAL_BYTES: usize = 32 * 1024;

/// A request or an answer that waits to be recorded; of a long one only how long it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Whole(Bytes),
    Omitted(usize),
}

impl Kept {
    /// A request.
    pub(crate) fn request(body: Bytes) -> Self {
        Self::up_to(PARAMETERS_BYTES, body)
    }

    /// An answer.
    pub(crate) fn answer(body: Bytes) -> Self {
        Self::up_to(ANSWER_BYTES, body)
    }

    /// There is none.
    pub(crate) fn nothing() -> Self {
        Self::Whole(Bytes::new())
    }

    fn up_to(limit: usize, body: Bytes) -> Self {
        if body.len() > limit { Self::Omitted(body.len()) } else { Self::Whole(body) }
    }
}

/// What happened, as it is handed over; the record is made of it where nobody waits.
#[derive(Debug)]
pub(crate) struct Event {
    /// When.
    pub(crate) at: Timestamp,
    /// Id of the request.
    pub(crate) request_id: String,
    /// First part of CloudTrail's `eventSource`, e.g. `ecs`.
    pub(crate) service: &'static str,
    /// The operation.
    pub(crate) name: &'static str,
    /// Whether it only reads.
    pub(crate) read_only: bool,
    /// Who, what was asked of the policies, and why they denied it.
    pub(crate) trace: Arc<Trace>,
    /// From where.
    pub(crate) origin: Origin,
    /// The request.
    pub(crate) body: Kept,
    /// Whether the request is a form; otherwise it is JSON.
    pub(crate) form: bool,
    /// The answer, if it is JSON; else what the trace was told of it.
    pub(crate) answer: Kept,
    /// Why it failed, if it did.
    pub(crate) error: Option<Reason>,
}

/// Code and text of an error.
#[derive(Clone, Debug)]
pub(crate) struct Reason {
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Event {
    /// The record, without its place in the log.
    pub(super) fn record(&self) -> Map<String, Value> {
        let mut record = Map::new();
        let mut put = |name: &str, value: Value| _ = record.insert(name.to_owned(), value);
        put("eventVersion", VERSION.into());
        put("eventTime", time(self.at).into());
        put("eventSource", format!("{}.amazonaws.com", self.service).into());
        put("eventName", self.name.into());
        put("eventType", "AwsApiCall".into());
        put("eventCategory", "Management".into());
        put("managementEvent", true.into());
        put("readOnly", self.read_only.into());
        put("requestID", self.request_id.as_str().into());
        put("eventID", clock::uuid().into());
        let address = self.origin.address.map(|address| address.to_canonical().to_string());
        put("sourceIPAddress", address.unwrap_or_default().into());
        put("userAgent", self.origin.user_agent.as_deref().unwrap_or_default().into());
        put("requestParameters", self.parameters());
        put("responseElements", self.elements());
        if let Some((principal, scope)) = self.trace.caller() {
            put("awsRegion", scope.region.to_string().into());
            put("recipientAccountId", scope.account.to_string().into());
            put("userIdentity", identity(principal, scope));
        }
        if let Some(error) = &self.error {
            put("errorCode", error.code.as_str().into());
            put("errorMessage", cut(&error.message, MESSAGE).into());
        }
        let mut more = Map::new();
        let asked = self.trace.all_asked().map(|asked| {
            let mut value = json!({ "action": asked.action, "resource": asked.resource });
            if let Some(service) = &asked.passed_to {
                value["passedTo"] = service.as_str().into();
            }
            value
        });
        more.insert("asked".to_owned(), asked.collect());
        if self.trace.left_out() > 0 {
            more.insert("askedLeftOut".to_owned(), self.trace.left_out().into());
        }
        if let Some(denied) = self.trace.denial() {
            more.insert("denial".to_owned(), bounded(denial(denied)));
        }
        put("additionalEventData", more.into());
        record
    }

    fn parameters(&self) -> Value {
        match &self.body {
            Kept::Omitted(length) => json!({ "omitted": format!("a request of {length} bytes") }),
            Kept::Whole(body) if self.form => redact::form(body),
            Kept::Whole(body) => redact::json(body),
        }
    }

    /// What a call that changed something was answered; CloudTrail leaves out what reads give.
    fn elements(&self) -> Value {
        let told = self.trace.answer();
        match told.unwrap_or(&self.answer) {
            _ if self.read_only => Value::Null,
            Kept::Omitted(length) => json!({ "omitted": format!("an answer of {length} bytes") }),
            Kept::Whole(answer) if answer.len() <= EMPTY.len() => Value::Null,
            Kept::Whole(answer) if told.is_some() => redact::members(answer),
            Kept::Whole(answer) => redact::json(answer),
        }
    }
}

/// A text that is not too long.
fn cut(text: &str, characters: usize) -> Cow<'_, str> {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

/// What is told of a denial, not too long: clients choose some of what it holds.
fn bounded(mut denial: Value) -> Value {
    cut_all(&mut denial);
    let mut left_out = Vec::new();
    for name in ["context", "near", "deniedBy"] {
        if denial.to_string().len() <= DENIAL_BYTES {
            break;
        }
        if denial.as_object_mut().and_then(|members| members.remove(name)).is_some() {
            left_out.push(name);
        }
    }
    if !left_out.is_empty() {
        denial["leftOut"] = json!(left_out);
    }
    denial
}

fn cut_all(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(short) = cut(text, TEXT) {
                *text = short;
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(cut_all),
        Value::Object(members) => members.values_mut().for_each(cut_all),
        _ => {}
    }
}

/// A time as CloudTrail writes it, to the second.
pub(super) fn time(at: Timestamp) -> String {
    let time = jiff::Timestamp::from_second(at.as_millis().div_euclid(1000));
    time.map(|time| time.to_string()).unwrap_or_default()
}

fn identity(principal: &Principal, Scope { account, .. }: &Scope) -> Value {
    let mut identity = json!({
        "arn": principal.arn,
        "accountId": account.to_string(),
        "accessKeyId": principal.access_key_id.as_deref().unwrap_or_default(),
    });
    match &principal.kind {
        PrincipalKind::Root => {
            identity["type"] = "Root".into();
            identity["principalId"] = account.to_string().into();
        }
        PrincipalKind::User { name } => {
            identity["type"] = "IAMUser".into();
            identity["userName"] = name.rsplit('/').next().unwrap_or_default().into();
        }
        PrincipalKind::AssumedRole { role, session } => {
            identity["type"] = "AssumedRole".into();
            identity["principalId"] = format!("{role}:{session}").into();
            let arn = principal.session.as_ref().and_then(|session| session.role_arn.clone());
            identity["sessionContext"] = json!({"sessionIssuer": {
                "type": "Role",
                "arn": arn.unwrap_or_else(|| format!("arn:aws:iam::{account}:role/{role}")),
                "accountId": account.to_string(),
                "userName": role.rsplit('/').next().unwrap_or_default(),
            }});
        }
    }
    identity
}

/// The whole of a denial, for those who may have it explained.
fn denial(denied: &Denied) -> Value {
    let question = &denied.question;
    let context: Map<String, Value> =
        question.context.iter().map(|(key, values)| (key.to_owned(), json!(values))).collect();
    let mut value = json!({
        "action": question.action,
        "resource": question.resource,
        "text": denied.to_string(),
        "context": context,
    });
    let Some(evaluation) = &denied.evaluation else {
        value["decision"] = "otherAccount".into();
        return value;
    };
    let named = |statement: &StatementRef| json!({ "layer": statement.layer.name(), "statement": statement.to_string() });
    let missing: Vec<&str> = evaluation.missing.iter().map(|layer| layer.name()).collect();
    let near = evaluation.near.iter().map(|near| {
        let why: Vec<String> = near.why.iter().map(ToString::to_string).collect();
        let mut value = named(&near.statement);
        value["why"] = json!(why);
        value
    });
    value["near"] = near.collect();
    value["missing"] = json!(missing);
    if evaluation.decision == Decision::ExplicitDeny {
        value["decision"] = "explicitDeny".into();
        value["deniedBy"] = evaluation.statements.iter().map(named).collect();
    } else {
        value["decision"] = "implicitDeny".into();
        value["allowedBy"] = json!({
            "Effect": "Allow",
            "Action": question.action,
            "Resource": question.resource,
        });
    }
    value
}
