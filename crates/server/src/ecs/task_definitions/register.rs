//! RegisterTaskDefinition.

use longshore_auth::Authorized;
use longshore_domain::ids::{Family, Resource, Revision};
use longshore_domain::limits;
use longshore_domain::record::{Document, TaskDefinition, TaskDefinitionStatus, TaskSpec};
use longshore_domain::schedule::required_attributes;
use longshore_store::tables::TaskDefinitionKey;
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::codec::json;
use longshore_wire::ecs::{RegisterTaskDefinitionRequest, RegisterTaskDefinitionResponse};

use super::normalize::normalize;
use super::spec::spec;
use crate::call::Call;
use crate::ecs::{Roles, client_error, encode, tags};

/// RegisterTaskDefinition: the next revision of the family.
pub(crate) async fn register(
    call: &Call,
    request: Authorized<RegisterTaskDefinitionRequest>,
) -> Result<RegisterTaskDefinitionResponse, ServiceError> {
    let (principal, mut request) = request.into_parts();
    let family: Family = request
        .family
        .parse()
        .map_err(|why| client_error(format!("Invalid family '{}': it {why}.", request.family)))?;
    let tags = tags::checked(request.tags.take())?;
    let converted = normalize(request)?;
    let text =
        String::from_utf8(json::encode(&converted)).map_err(|e| client_error(e.to_string()))?;
    if text.len() > limits::TASK_DEFINITION_BYTES {
        return Err(client_error(format!(
            "Task definition is too large: {} bytes; the limit is {}.",
            text.len(),
            limits::TASK_DEFINITION_BYTES
        )));
    }
    let document = Document::new(text).map_err(|e| client_error(e.to_string()))?;
    let source = call.arn(Resource::TaskDefinition(family.clone(), Revision(1)));
    Roles::named(&document, None).check(&*call.server.identity, &source)?;
    let spec = TaskSpec {
        requires_attributes: required_attributes(&document)
            .map_err(|e| client_error(e.to_string()))?,
        ..spec(&converted)?
    };
    let decide = |view: &View, txn: &mut RecordTxn| -> Result<_, ServiceError> {
        // Numbers of deleted revisions are not given out again.
        let last = view
            .task_definitions
            .range(&TaskDefinitionKey::in_family(&call.scope, &family))
            .last()
            .map_or(0, |row| row.revision.0);
        let record = TaskDefinition {
            scope: call.scope.clone(),
            family: family.clone(),
            revision: Revision(last + 1),
            status: TaskDefinitionStatus::Active,
            registered_at: call.now,
            registered_by: principal.arn.clone(),
            deregistered_at: None,
            delete_requested_at: None,
            document: document.clone(),
            spec: spec.clone(),
            tags: tags.clone(),
        };
        txn.insert(&record);
        Ok(record)
    };
    let record = call.server.decide(decide).await?;
    let tags = (!record.tags.is_empty()).then(|| encode::tags(&record.tags));
    Ok(RegisterTaskDefinitionResponse {
        task_definition: Some(encode::task_definition(&record)?),
        tags,
    })
}
