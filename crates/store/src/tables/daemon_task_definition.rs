//! Daemon task definitions, by family and revision.

use longshore_domain::ids::{Family, Revision, Scope};
use longshore_domain::record::DaemonTaskDefinition;

use super::NoIndex;
use crate::contract::Key;
use crate::record::{KeyPath, KeyPrefix, Record, RecordKey};
use crate::view::Kind;

/// Names a revision of a daemon task definition. Those of one family are in order of revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonTaskDefinitionKey {
    /// Account and region.
    pub scope: Scope,
    /// Family.
    pub family: Family,
    /// Revision.
    pub revision: Revision,
}

impl DaemonTaskDefinitionKey {
    /// All revisions of a family, oldest first.
    pub fn in_family(scope: &Scope, family: &Family) -> KeyPrefix<DaemonTaskDefinition> {
        KeyPath::new(scope, Kind::DaemonTaskDefinition).part(family).prefix()
    }
}

impl RecordKey for DaemonTaskDefinitionKey {
    fn encode(&self) -> Key {
        // Fixed width, so that the order of keys is the order of revisions.
        let revision = self.revision.0;
        KeyPath::new(&self.scope, Kind::DaemonTaskDefinition)
            .part(&self.family)
            .part(format_args!("{revision:010}"))
            .key()
    }
}

impl Record for DaemonTaskDefinition {
    const KIND: Kind = Kind::DaemonTaskDefinition;
    const VERSION: u32 = 1;
    type Key = DaemonTaskDefinitionKey;
    type Index = NoIndex;

    fn key(&self) -> DaemonTaskDefinitionKey {
        DaemonTaskDefinitionKey {
            scope: self.scope.clone(),
            family: self.family.clone(),
            revision: self.revision,
        }
    }
}
