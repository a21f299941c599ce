//! Managed policies of an account, and their versions.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::super::Tags;
use crate::ids::{AccountId, IamArn, IamId, IamResource};
use crate::time::Timestamp;

/// One version of a managed policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// Its number, never given again: `v3` has 3.
    pub number: u32,
    /// The document, as given.
    pub document: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A managed policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IamPolicy {
    /// Account.
    pub account: AccountId,
    /// Name, unique in the account whatever the case of its letters.
    pub name: String,
    /// Path, with a slash at both ends.
    pub path: String,
    /// Unique id, `ANPA…`.
    pub id: IamId,
    /// Description.
    pub description: Option<String>,
    /// Versions, the oldest first; at most five.
    pub versions: Vec<PolicyVersion>,
    /// Number of the version that counts.
    pub default: u32,
    /// Number of the next version.
    pub next: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a version was made last.
    pub updated_at: Timestamp,
    /// Tags.
    pub tags: Tags,
}

impl IamPolicy {
    /// Its ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        let resource = IamResource::Policy(self.path.clone(), self.name.clone());
        IamArn::new(self.account, resource).to_string()
    }

    /// The version with a number.
    #[must_use]
    pub fn version(&self, number: u32) -> Option<&PolicyVersion> {
        self.versions.iter().find(|version| version.number == number)
    }

    /// What it says: the document of its default version.
    #[must_use]
    pub fn document(&self) -> &str {
        self.version(self.default).map_or("", |version| &version.document)
    }
}
