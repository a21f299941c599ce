//! Task definitions, by family and revision.

use longshore_domain::ids::{Family, Revision, Scope};
use longshore_domain::record::TaskDefinition;

use super::NoIndex;
use crate::contract::Key;
use crate::record::{KeyPath, KeyPrefix, Record, RecordKey};
use crate::view::Kind;

/// Names a revision of a task definition. Those of one family are in order of revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDefinitionKey {
    /// Account and region.
    pub scope: Scope,
    /// Family.
    pub family: Family,
    /// Revision.
    pub revision: Revision,
}

impl TaskDefinitionKey {
    /// All revisions of a family, oldest first.
    pub fn in_family(scope: &Scope, family: &Family) -> KeyPrefix<TaskDefinition> {
        KeyPath::new(scope, Kind::TaskDefinition).part(family).prefix()
    }
}

impl RecordKey for TaskDefinitionKey {
    fn encode(&self) -> Key {
        // Fixed width, so that the order of keys is the order of revisions.
        let revision = self.revision.0;
        KeyPath::new(&self.scope, Kind::TaskDefinition)
            .part(&self.family)
            .part(format_args!("{revision:010}"))
            .key()
    }
}

impl Record for TaskDefinition {
    const KIND: Kind = Kind::TaskDefinition;
    const VERSION: u32 = 1;
    type Key = TaskDefinitionKey;
    type Index = NoIndex;

    fn key(&self) -> TaskDefinitionKey {
        TaskDefinitionKey {
            scope: self.scope.clone(),
            family: self.family.clone(),
            revision: self.revision,
        }
    }
}
