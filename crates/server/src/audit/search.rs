//! What an audit log says of a request, and of what a principal has used.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use longshore_domain::time::Timestamp;
use serde_json::Value;

use super::{event, files};

/// The record of a request.
///
/// # Errors
/// The files cannot be read.
pub fn find(directory: &Path, request_id: &str) -> io::Result<Option<Value>> {
    let wanted = request_id.as_bytes();
    if wanted.is_empty() {
        return Ok(None);
    }
    // It is mostly asked about what has just happened.
    for day in files::days(directory)?.iter().rev() {
        let mut found = None;
        files::lines(&files::path(directory, day), |line| {
            if line.windows(wanted.len()).any(|part| part == wanted) {
                let record = serde_json::from_slice(line).ok();
                found = record.filter(|record: &Value| record["requestID"] == request_id);
            }
            found.is_none()
        })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// What was used of the permissions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The action.
    pub action: String,
    /// The service that a role was handed to, for `iam:PassRole`.
    pub passed_to: Option<String>,
}

/// What a principal has used: actions, the resources of each, and how many calls that were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Resources by use.
    pub actions: BTreeMap<Use, BTreeSet<String>>,
    /// Calls.
    pub calls: usize,
    /// Calls that were denied; they are no use.
    pub denied: usize,
    /// Resources that the log left out, since a call named too many.
    pub left_out: u64,
}

/// What a principal has used since a time.
///
/// # Errors
/// The files cannot be read.
pub fn used(directory: &Path, principal_arn: &str, since: Timestamp) -> io::Result<Used> {
    let (first_day, from) = (files::day(since), event::time(since));
    let mut used = Used::default();
    for day in files::days(directory)?.into_iter().filter(|day| *day >= first_day) {
        files::lines(&files::path(directory, &day), |line| {
            let record: Value = serde_json::from_slice(line).unwrap_or_default();
            let is_its = is_of(&record, principal_arn);
            if is_its && record["eventTime"].as_str().is_some_and(|at| *at >= *from) {
                used.take(&record);
            }
            true
        })?;
    }
    Ok(used)
}

/// Whether a record is of a principal; all sessions of a role count for the role.
fn is_of(record: &Value, arn: &str) -> bool {
    let identity = &record["userIdentity"];
    identity["arn"] == arn || identity["sessionContext"]["sessionIssuer"]["arn"] == arn
}

impl Used {
    fn take(&mut self, record: &Value) {
        if record["additionalEventData"]["denial"].is_object() {
            self.denied += 1;
            return;
        }
        self.calls += 1;
        let asked = record["additionalEventData"]["asked"].as_array();
        let asked = asked.map(Vec::as_slice).unwrap_or_default();
        let mut note = |action: &str, passed_to: Option<&str>, resource: &str| {
            let action = Use { action: action.to_owned(), passed_to: passed_to.map(str::to_owned) };
            self.actions.entry(action).or_default().insert(resource.to_owned());
        };
        self.left_out += record["additionalEventData"]["askedLeftOut"].as_u64().unwrap_or_default();
        for ask in asked {
            if let Some((action, resource)) = ask["action"].as_str().zip(ask["resource"].as_str()) {
                note(action, ask["passedTo"].as_str(), resource);
            }
        }
        if asked.is_empty() {
            // Nobody was asked, since this principal might do everything then.
            let source = record["eventSource"].as_str().unwrap_or_default();
            let service = source.split('.').next().unwrap_or_default();
            let name = record["eventName"].as_str().unwrap_or_default();
            note(&format!("{service}:{name}"), None, "*");
        }
    }
}
