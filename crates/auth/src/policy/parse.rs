//! A document becomes statements, or is refused with IAM's words.
//!
//! IAM has two readers of policies, and so two sets of texts: that of CreatePolicy and the inline
//! policies, and that of trust policies. The texts are those that people quote from AWS; which of
//! several errors AWS names first is not documented. Resource policies use the first set.

use std::collections::BTreeSet;

use super::condition::{Condition, Form};
use super::json::Json;
use super::pattern::{Action, Style, Template, Variables};
use super::principal::{Named, PrincipalType, Principals, is_principal};
use super::{DOCUMENT_MAX, Effect, List, Policy, PolicyError, PolicyKind, Statement};

const SYNTAX: &str = "Syntax errors in policy.";
const SYNTAX_OF_TRUST: &str = "Syntax error in policy.";
const LEGACY: &str = "The policy failed legacy parsing";
const VENDOR: &str = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.";
const SID: &str = "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the \
                   regular expression [0-9A-Za-z]*";

pub(super) fn parse(text: &str, kind: PolicyKind) -> Result<Policy, PolicyError> {
    Reader { kind, variables: Variables::Literal, at: 0 }.document(text)
}

struct Reader {
    kind: PolicyKind,
    variables: Variables,
    /// The statement that is read, from 1; 0 outside of any.
    at: usize,
}

type Members = Vec<(String, Json)>;

impl Reader {
    fn document(&mut self, text: &str) -> Result<Policy, PolicyError> {
        let size = text.chars().filter(|c| !c.is_whitespace()).count();
        if text.len() > DOCUMENT_MAX {
            return Err(self.syntax(format!("the document has more than {DOCUMENT_MAX} bytes")));
        }
        let members = match Json::parse(text) {
            Ok(Json::Object(members)) => members,
            Ok(_) => return Err(self.bad_json("the document is not a JSON object")),
            Err(error) => return Err(self.bad_json(&error)),
        };
        let (mut version, mut id, mut statements) = (None, None, None);
        for (name, value) in members {
            match name.as_str() {
                "Version" => version = Some(self.text(value, "Version")?),
                "Id" => id = Some(self.text(value, "Id")?),
                "Statement" => statements = Some(value),
                _ => return Err(self.syntax(format!("`{name}` is no element of a policy"))),
            }
        }
        self.check_version(version.as_deref())?;
        let statements = match statements {
            Some(Json::List(list)) if !list.is_empty() => list,
            Some(one @ Json::Object(_)) => vec![one],
            _ if self.kind == PolicyKind::Trust => {
                let text = "Could not parse the policy: Statement is empty!";
                return Err(self.error(text, "there is no statement"));
            }
            _ => return Err(self.syntax("there is no statement")),
        };
        let mut read = Vec::with_capacity(statements.len());
        for (at, statement) in statements.into_iter().enumerate() {
            self.at = at + 1;
            read.push(self.statement(statement)?);
        }
        self.at = 0;
        // Without a version, a document is of the older one, which today's IAM stores for trust
        // policies and resources only.
        if self.kind == PolicyKind::Identity && self.variables == Variables::Literal {
            let text = "Policy document must be version 2012-10-17 or greater.";
            return Err(self.error(text, "\"Version\": \"2012-10-17\" is missing"));
        }
        self.unique_sids(&read)?;
        Ok(Policy { kind: self.kind, id: id.map(Into::into), statements: read.into(), size })
    }

    fn check_version(&mut self, version: Option<&str>) -> Result<(), PolicyError> {
        match (version, self.kind) {
            (Some("2012-10-17"), _) => self.variables = Variables::Substituted,
            (None | Some("2008-10-17"), _) => {}
            (Some(_), PolicyKind::Trust) => {
                let text = "The policy must contain a valid version string";
                return Err(self.error(text, "a version is 2012-10-17 or 2008-10-17"));
            }
            (Some(_), _) => return Err(self.syntax("a version is 2012-10-17 or 2008-10-17")),
        }
        Ok(())
    }

    fn unique_sids(&mut self, statements: &[Statement]) -> Result<(), PolicyError> {
        let mut seen = BTreeSet::new();
        for (at, statement) in statements.iter().enumerate() {
            self.at = at + 1;
            let Some(sid) = statement.sid.as_deref().filter(|sid| !sid.is_empty()) else {
                continue;
            };
            if !seen.insert(sid) {
                let text = match self.kind {
                    PolicyKind::Trust => "The Statement Ids in the policy are not unique",
                    _ => "Statement IDs (SID) in a single policy must be unique.",
                };
                return Err(self.error(text, &format!("the Sid '{sid}' is there twice")));
            }
        }
        Ok(())
    }

    fn statement(&self, statement: Json) -> Result<Statement, PolicyError> {
        let Json::Object(members) = statement else {
            return Err(self.syntax("a statement is a JSON object"));
        };
        let mut found = Elements::default();
        for (name, value) in members {
            match name.as_str() {
                "Sid" => found.sid = Some(self.sid(value)?),
                "Effect" => found.effect = Some(self.effect(value)?),
                "Action" | "NotAction" => {
                    let actions = self.actions(value, name == "NotAction")?;
                    self.once(found.actions.replace(actions).is_some(), "Action and NotAction")?;
                }
                "Resource" | "NotResource" => {
                    let resources = self.resources(value, name == "NotResource")?;
                    let twice = found.resources.replace(resources).is_some();
                    self.once(twice, "Resource and NotResource")?;
                }
                "Principal" | "NotPrincipal" => {
                    let principals = self.principals(value, name == "NotPrincipal")?;
                    let twice = found.principals.replace(principals).is_some();
                    self.once(twice, "Principal and NotPrincipal")?;
                }
                "Condition" => found.conditions = self.conditions(value)?,
                _ => return Err(self.syntax(format!("`{name}` is no element of a statement"))),
            }
        }
        self.complete(found)
    }

    fn complete(&self, found: Elements) -> Result<Statement, PolicyError> {
        let trust = self.kind == PolicyKind::Trust;
        let Some(effect) = found.effect else {
            let text = if trust { "Missing required field Effect" } else { SYNTAX };
            return Err(self.error(text, "Effect is missing"));
        };
        if self.kind != PolicyKind::Identity && found.principals.is_none() {
            return Err(self.error("Missing required field Principal", "Principal is missing"));
        }
        if trust && found.principals.as_ref().is_some_and(|principals| principals.negated) {
            let text = match effect {
                Effect::Allow => "Allow with NotPrincipal is not allowed.",
                Effect::Deny => "AssumeRole policy must not contain NotPrincipal field.",
            };
            return Err(self.error(text, "a trust policy names whom it trusts"));
        }
        let Some(actions) = found.actions.filter(|actions| !actions.patterns.is_empty()) else {
            let text = match self.kind {
                PolicyKind::Trust => "Missing required field Action",
                _ => "Policy statement must contain actions.",
            };
            return Err(self.error(text, "Action is missing"));
        };
        let resources = match found.resources {
            Some(resources) if !resources.patterns.is_empty() => Some(resources),
            // Without one, what it is attached to is meant; so ECR writes its policies.
            None if self.kind != PolicyKind::Identity => None,
            _ => {
                let text = "Policy statement must contain resources.";
                return Err(self.error(text, "Resource is missing"));
            }
        };
        Ok(Statement {
            sid: found.sid,
            effect,
            principals: found.principals,
            actions,
            resources,
            conditions: found.conditions.into(),
        })
    }

    fn sid(&self, value: Json) -> Result<Box<str>, PolicyError> {
        let sid = self.text(value, "Sid")?;
        // Resources may have spaces in theirs.
        if self.kind != PolicyKind::Resource && !sid.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(self.error(SID, &format!("the Sid is '{sid}'")));
        }
        Ok(sid.into())
    }

    fn effect(&self, value: Json) -> Result<Effect, PolicyError> {
        let effect = self.text(value, "Effect")?;
        match effect.as_str() {
            "Allow" => return Ok(Effect::Allow),
            "Deny" => return Ok(Effect::Deny),
            _ => {}
        }
        let known = effect.eq_ignore_ascii_case("allow") || effect.eq_ignore_ascii_case("deny");
        let text = match self.kind {
            PolicyKind::Trust => &format!("Invalid effect: {effect}"),
            _ if known => LEGACY,
            _ => SYNTAX,
        };
        Err(self.error(text, "Effect is Allow or Deny"))
    }

    fn actions(&self, value: Json, negated: bool) -> Result<List<Action>, PolicyError> {
        let written = self.texts(value, "Action")?;
        for action in &written {
            self.check_action(action)?;
        }
        let patterns = written.into_iter().map(|text| Action(text.into()));
        Ok(List { negated, patterns: patterns.collect() })
    }

    fn check_action(&self, action: &str) -> Result<(), PolicyError> {
        if self.kind == PolicyKind::Trust {
            let sts = action.get(..4).is_some_and(|vendor| vendor.eq_ignore_ascii_case("sts:"));
            let text = "AssumeRole policy may only specify STS AssumeRole actions.";
            return if sts { Ok(()) } else { Err(self.error(text, &format!("not `{action}`"))) };
        }
        if action == "*" {
            return Ok(());
        }
        let Some((vendor, name)) = action.split_once(':') else {
            return Err(self.error(VENDOR, &format!("`{action}` has no service before a colon")));
        };
        if name.contains(':') {
            let text = "Actions/Condition can contain only one colon.";
            return Err(self.error(text, &format!("`{action}` has more")));
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
        if vendor != "*" && (vendor.is_empty() || !vendor.bytes().all(plain)) {
            return Err(self.error(&format!("Vendor {vendor} is not valid"), action));
        }
        Ok(())
    }

    fn resources(&self, value: Json, negated: bool) -> Result<List<Template>, PolicyError> {
        if self.kind == PolicyKind::Trust {
            let text = if negated {
                "AssumeRole policy must not contain resources."
            } else {
                "Has prohibited field Resource"
            };
            return Err(self.error(text, "the role itself is the resource of its trust policy"));
        }
        let written = self.texts(value, "Resource")?;
        let mut patterns = Vec::with_capacity(written.len());
        for resource in &written {
            self.check_resource(resource)?;
            let template = Template::parse(resource, Style::Resource, self.variables);
            patterns.push(template.map_err(|_| self.bad_variable(resource))?);
        }
        Ok(List { negated, patterns: patterns.into() })
    }

    fn check_resource(&self, resource: &str) -> Result<(), PolicyError> {
        if resource == "*" {
            return Ok(());
        }
        let Some((_arn, rest)) = resource.split_once(':') else {
            let text = format!("Resource {resource} must be in ARN format or \"*\".");
            return Err(self.error(&text, "an ARN has six parts with colons between them"));
        };
        let parts: Vec<&str> = rest.splitn(5, ':').collect();
        let part = |at: usize| parts.get(at).copied().unwrap_or("*");
        let (partition, service) = (part(0), part(1));
        if !resource.starts_with("arn:") || !(partition == "*" || partition.starts_with("aws")) {
            let (region, account, name) = (part(2), part(3), part(4));
            let text = format!(
                "Partition \"{partition}\" is not valid for resource \
                 \"arn:{partition}:{service}:{region}:{account}:{name}\"."
            );
            return Err(self.error(&text, &format!("`{resource}` is no ARN of ours")));
        }
        if service.contains(['*', '?']) {
            let text = "Resource vendor must be fully qualified and cannot contain regexes.";
            return Err(self.error(text, &format!("the service of `{resource}` is a pattern")));
        }
        if service.is_empty() || (parts.len() < 5 && !resource.ends_with('*')) {
            return Err(self.error(LEGACY, &format!("`{resource}` has less than six parts")));
        }
        Ok(())
    }

    fn principals(&self, value: Json, negated: bool) -> Result<Principals, PolicyError> {
        if self.kind == PolicyKind::Identity {
            let text = "Policy document should not specify a principal.";
            return Err(self.error(text, "it speaks of whom it is attached to"));
        }
        let everyone = Named { kind: PrincipalType::Aws, value: "*".into() };
        let kinds = match value {
            Json::Text(all) if all == "*" => {
                return Ok(Principals { negated, named: Box::new([everyone]) });
            }
            Json::Object(kinds) if !kinds.is_empty() => kinds,
            Json::Object(_) => {
                let text = "Missing required field Principal cannot be empty!";
                return Err(self.error(text, "it names nobody"));
            }
            _ => return Err(self.error("Principal must be a JSON object.", "or \"*\"")),
        };
        let mut named = Vec::new();
        for (name, values) in kinds {
            let canonical = name == "CanonicalUser" && self.kind == PolicyKind::Trust;
            let Some(kind) = PrincipalType::parse(&name).filter(|_| !canonical) else {
                let text = format!("Invalid principal in policy: \"{name}\"");
                return Err(self.error(&text, "principals are AWS, Service or Federated"));
            };
            for value in self.texts(values, "Principal")? {
                if !is_principal(kind, &value) {
                    let kind = kind.to_string().to_ascii_uppercase();
                    let text = format!("Invalid principal in policy: \"{kind}\":\"{value}\"");
                    return Err(self.error(&text, "it cannot be the name of one"));
                }
                named.push(Named { kind, value: value.into() });
            }
        }
        Ok(Principals { negated, named: named.into() })
    }

    fn conditions(&self, value: Json) -> Result<Vec<Condition>, PolicyError> {
        let mut conditions = Vec::new();
        for (operator, keys) in self.object(value, "Condition")? {
            let keys = self.object(keys, &operator)?;
            let Some(form) = Form::parse(&operator) else {
                return Err(self.syntax(format!("`{operator}` is no condition operator")));
            };
            for (name, wanted) in keys {
                if name.split_once(':').is_none_or(|(vendor, _)| vendor.is_empty()) {
                    return Err(self.error(VENDOR, &format!("the condition key is `{name}`")));
                }
                let wanted = self.scalars(wanted, &name)?;
                let shown = format!("a value of `{name}` does not suit {operator}: {wanted:?}");
                let condition = Condition::new(form, &name, &wanted, self.variables);
                conditions.push(condition.map_err(|_| self.syntax(shown))?);
            }
        }
        Ok(conditions)
    }

    fn object(&self, value: Json, name: &str) -> Result<Members, PolicyError> {
        match value {
            Json::Object(members) => Ok(members),
            _ => Err(self.syntax(format!("`{name}` is a JSON object"))),
        }
    }

    fn text(&self, value: Json, name: &str) -> Result<String, PolicyError> {
        match value {
            Json::Text(text) => Ok(text),
            _ => Err(self.syntax(format!("`{name}` is a string"))),
        }
    }

    /// One string, or a list of them.
    fn texts(&self, value: Json, name: &str) -> Result<Vec<String>, PolicyError> {
        match value {
            Json::List(list) => list.into_iter().map(|one| self.text(one, name)).collect(),
            one => Ok(vec![self.text(one, name)?]),
        }
    }

    /// As [`Reader::texts`], with numbers and booleans too.
    fn scalars(&self, value: Json, name: &str) -> Result<Vec<String>, PolicyError> {
        let scalar = |value| match value {
            Json::Text(text) | Json::Scalar(text) => Ok(text),
            _ => Err(self.syntax(format!("values of `{name}` are strings"))),
        };
        match value {
            Json::List(list) => list.into_iter().map(scalar).collect(),
            one => Ok(vec![scalar(one)?]),
        }
    }

    fn once(&self, twice: bool, names: &str) -> Result<(), PolicyError> {
        if twice { Err(self.syntax(format!("{names} exclude each other"))) } else { Ok(()) }
    }

    fn bad_json(&self, detail: &str) -> PolicyError {
        let text = match self.kind {
            PolicyKind::Trust => "This policy contains invalid Json",
            _ => SYNTAX,
        };
        self.error(text, detail)
    }

    fn bad_variable(&self, text: &str) -> PolicyError {
        self.syntax(format!("`{text}` has a variable that does not end, or holds another"))
    }

    fn syntax(&self, detail: impl Into<String>) -> PolicyError {
        let text = match self.kind {
            PolicyKind::Trust => SYNTAX_OF_TRUST,
            _ => SYNTAX,
        };
        self.error(text, &detail.into())
    }

    fn error(&self, message: &str, detail: &str) -> PolicyError {
        let detail = match self.at {
            0 => detail.to_owned(),
            at => format!("statement {at}: {detail}"),
        };
        PolicyError { message: message.to_owned(), detail }
    }
}

/// What of a statement was read so far.
#[derive(Default)]
struct Elements {
    sid: Option<Box<str>>,
    effect: Option<Effect>,
    principals: Option<Principals>,
    actions: Option<List<Action>>,
    resources: Option<List<Template>>,
    conditions: Vec<Condition>,
}
