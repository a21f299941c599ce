//! Collects what a request asks of the policies.

use std::fmt::Display;
use std::sync::Arc;

use longshore_auth::{Context, Question};
use longshore_domain::ids::Scope;
use longshore_domain::limits;
use longshore_domain::record::Tags;
use longshore_store::View;
use longshore_store::tables::IamRoleKey;

/// A request names more than policies are asked about.
#[derive(Debug)]
pub(crate) struct TooMuch {
    /// What was asked before that was found; at least one thing.
    pub(crate) asked: Vec<Question>,
}

/// What a request asks, as far as it is known.
///
/// Condition keys that are added count for the questions after them.
pub(crate) struct Asking<'a> {
    /// What exists.
    pub(super) view: &'a View,
    /// Account and region of the request.
    pub(super) scope: &'a Scope,
    action: &'static str,
    keys: Arc<Context>,
    questions: Vec<Question>,
    /// Values of condition keys that were added.
    values: usize,
    /// Bytes of them, and of the resources.
    bytes: usize,
    /// Whether something was left out, since it is too much.
    is_full: bool,
    /// Whether the operation decides by itself, so that nothing is to be asked before.
    asks_itself: bool,
}

impl<'a> Asking<'a> {
    /// Asks about `action`, with the keys that every request has.
    pub(crate) fn new(
        view: &'a View,
        scope: &'a Scope,
        action: &'static str,
        keys: Context,
    ) -> Self {
        Self {
            view,
            scope,
            action,
            keys: Arc::new(keys),
            questions: Vec::with_capacity(1),
            values: 0,
            bytes: 0,
            is_full: false,
            asks_itself: false,
        }
    }

    /// All questions.
    ///
    /// There is always one: a request that names nothing is asked for where nothing can be named.
    ///
    /// # Errors
    /// It names too much. Such a request must be refused, whatever was asked says: a policy may deny what
    /// was left out.
    pub(crate) fn into_questions(mut self) -> Result<Vec<Question>, TooMuch> {
        let is_full = std::mem::take(&mut self.is_full);
        if self.questions.is_empty() && (is_full || !self.asks_itself) {
            (self.values, self.bytes) = (0, 0);
            self.ask_anything();
        }
        if is_full { Err(TooMuch { asked: self.questions }) } else { Ok(self.questions) }
    }

    /// Whether there is no room for more, so that it need not be looked for.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Makes room for one more thing of so many bytes, unless that is too much.
    fn takes(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        let number = self.questions.len() + self.values;
        self.is_full |= number >= limits::QUESTIONS || self.bytes > limits::QUESTIONS_BYTES;
        !self.is_full
    }

    fn push(&mut self, question: Question) {
        let length = question.resource.len();
        self.is_full |= length > limits::RESOURCE_BYTES;
        if self.takes(length) {
            self.questions.push(question);
        }
    }

    /// No policy is asked before the operation; it does so itself, or there is nothing to ask.
    pub(super) fn asks_itself(&mut self) {
        self.asks_itself = true;
    }

    /// The value of a condition key.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.keys.get(key)?.first().map(String::as_str)
    }

    /// What was asked about last.
    pub(super) fn last_resource(&self) -> String {
        self.questions.last().map_or_else(|| "*".to_owned(), |question| question.resource.clone())
    }

    /// One more value of a condition key.
    pub(super) fn key(&mut self, name: &str, value: impl Display) {
        if self.keys.wants(name) {
            let value = value.to_string();
            self.values += 1;
            if self.takes(name.len() + value.len()) {
                Arc::make_mut(&mut self.keys).add(name, value);
            }
        }
    }

    /// A value of a condition key, if there is one.
    pub(super) fn key_of(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.key(name, value);
        }
    }

    /// The tags that a request brings.
    pub(super) fn request_tags<'t>(&mut self, tags: impl IntoIterator<Item = (&'t str, &'t str)>) {
        for (key, value) in tags {
            self.key(&format!("aws:RequestTag/{key}"), value);
            self.key("aws:TagKeys", key);
        }
    }

    /// The tag keys that a request names.
    pub(super) fn tag_keys<'t>(&mut self, keys: impl IntoIterator<Item = &'t str>) {
        for key in keys {
            self.key("aws:TagKeys", key);
        }
    }

    /// Asks with keys that count for these questions alone.
    pub(super) fn alone(&mut self, ask: impl FnOnce(&mut Self)) {
        let keys = Arc::clone(&self.keys);
        ask(self);
        self.keys = keys;
    }

    /// Whether the operation may be done to `resource`.
    pub(super) fn ask(&mut self, resource: impl Into<String>) {
        let (action, resource, context) = (self.action, resource.into(), Arc::clone(&self.keys));
        self.push(Question { action, resource, context });
    }

    /// Whether it may be done where no resource can be named.
    pub(super) fn ask_anything(&mut self) {
        self.ask("*");
    }

    /// Whether it may be done to a resource that has these tags.
    pub(super) fn ask_tagged(&mut self, resource: impl Into<String>, tags: Option<&Tags>) {
        let context = self.tagged(tags);
        let (action, resource) = (self.action, resource.into());
        self.push(Question { action, resource, context });
    }

    /// Whether another action may be done to `resource`, under one more key.
    pub(super) fn also(
        &mut self,
        action: &'static str,
        resource: impl Into<String>,
        key: (&str, &str),
    ) {
        let mut context = (*self.keys).clone();
        context.add(key.0, key.1);
        let (resource, context) = (resource.into(), Arc::new(context));
        self.push(Question { action, resource, context });
    }

    /// Whether another action may be done to `resource`.
    pub(super) fn ask_also(&mut self, action: &'static str, resource: impl Into<String>) {
        let (resource, context) = (resource.into(), Arc::clone(&self.keys));
        self.push(Question { action, resource, context });
    }

    /// Whether a role, by name or ARN, may be handed to `service`.
    pub(super) fn pass_role(&mut self, role: &str, service: &str) {
        if self.is_full() {
            return;
        }
        let named =
            IamRoleKey::new(self.scope.account, role.rsplit('/').next().unwrap_or_default());
        let known = self.view.iam_roles.get(&named).map(|row| (row.arn(), &row.tags));
        let arn = if role.starts_with("arn:") {
            if is_plain(role) { role.to_owned() } else { "*".to_owned() }
        } else if let Some((known, _)) = known.as_ref().filter(|_| !role.contains('/')) {
            known.clone()
        } else if is_plain(role) {
            format!("arn:aws:iam::{}:role/{}", self.scope.account, role.trim_start_matches('/'))
        } else {
            "*".to_owned()
        };
        let mut context = (*self.keys).clone();
        context.keep("iam:PassedToService", service);
        for (key, value) in
            known.filter(|(known, _)| *known == arn).into_iter().flat_map(|(_, tags)| tags)
        {
            context.add(&format!("aws:ResourceTag/{key}"), value.as_str());
            context.add(&format!("iam:ResourceTag/{key}"), value.as_str());
        }
        let context = Arc::new(context);
        self.push(Question { action: "iam:PassRole", resource: arn, context });
    }

    /// Whether it matters which tags resources have.
    pub(super) fn reads_tags(&self) -> bool {
        self.keys.wants_any(":resourcetag/")
    }

    /// The keys, and those of a resource's tags.
    fn tagged(&self, tags: Option<&Tags>) -> Arc<Context> {
        let Some(tags) = tags.filter(|tags| !tags.is_empty() && self.reads_tags()) else {
            return Arc::clone(&self.keys);
        };
        let service = self.action.split(':').next().unwrap_or_default();
        let mut context = (*self.keys).clone();
        for (key, value) in tags {
            context.add(&format!("aws:ResourceTag/{key}"), value.as_str());
            // ACM has no such key of its own.
            if service != "acm" {
                context.add(&format!("{service}:ResourceTag/{key}"), value.as_str());
            }
        }
        Arc::new(context)
    }
}

/// Whether a text can be a resource as it stands: nothing that a pattern or a path means something
/// else by. Operations refuse the rest; who may do everything is told so by them.
pub(super) fn is_plain(text: &str) -> bool {
    let odd = |c: char| {
        c.is_whitespace() || c.is_control() || matches!(c, '*' | '?' | '\\' | '$' | '"' | '\'')
    };
    !text.chars().any(odd) && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
}
