//! The policies that count for a principal, found in the view and kept as long as nothing of IAM has
//! changed. A document is read once for each state of its record, whoever has it, so that neither the
//! number of principals nor that of policies is felt by a request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use longshore_auth::{Attached, Permissions, Policies, Policy, Principal, PrincipalKind, Session};
use longshore_domain::ids::IamId;
use longshore_domain::record::Grants;
use longshore_store::tables::IamIndex;
use longshore_store::{Kind, Record, Row, StoreRevision, View};

use crate::iam::{PolicySource, groups_of, policy_source};

/// Principals whose policies are kept; more, and all are found again.
const PRINCIPALS: usize = 50_000;
/// Documents that are kept.
const DOCUMENTS: usize = 50_000;
/// What a change of decides anew.
const READS: [Kind; 4] = [Kind::IamUser, Kind::IamGroup, Kind::IamRole, Kind::IamPolicy];

/// State of the tables that decide.
type Stamp = [(usize, StoreRevision); READS.len()];

/// State of all that identities follow from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastChange(Stamp, (usize, StoreRevision));

impl LastChange {
    /// Where it is as before, callers are who they were and may what they might, as far as neither hangs on the
    /// time or on anything outside of IAM.
    pub(crate) fn of(view: &View) -> Self {
        Self(READS.map(|kind| view.stamp(kind)), view.stamp(Kind::AccessKey))
    }
}

/// What is kept.
#[derive(Debug, Default)]
pub(super) struct Known {
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    stamp: Option<Stamp>,
    /// By unique id and, where the session is limited, access key.
    principals: BTreeMap<String, Permissions>,
    /// By where a document stands, with the revision that it had.
    documents: BTreeMap<String, (StoreRevision, Arc<Policy>)>,
}

/// Why a principal may nothing.
#[derive(Clone, Copy, Debug)]
struct Unreadable;

impl Known {
    /// What a principal may do, as the view has it.
    pub(super) fn permissions(&self, view: &View, principal: &Principal) -> Permissions {
        if principal.kind == PrincipalKind::Root
            && principal.session.as_ref().is_none_or(|s| !s.is_limited)
        {
            return Permissions::Account;
        }
        let name = match (&principal.session, &principal.access_key_id) {
            (Some(session), Some(key)) if session.is_limited => {
                format!("{} {key}", principal.unique_id)
            }
            _ => principal.unique_id.clone(),
        };
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = READS.map(|kind| view.stamp(kind));
        if cache.stamp != Some(stamp) || cache.principals.len() > PRINCIPALS {
            cache.stamp = Some(stamp);
            cache.principals.clear();
        }
        if let Some(known) = cache.principals.get(&name) {
            return known.clone();
        }
        if cache.documents.len() > DOCUMENTS {
            cache.documents.clear();
        }
        let found = Found { view, documents: &mut cache.documents }.of(principal);
        // What cannot be read might deny something, so nothing is allowed without it.
        let policies = found.unwrap_or_default();
        let permissions = Permissions::by(policies);
        cache.principals.insert(name, permissions.clone());
        permissions
    }
}

struct Found<'a> {
    view: &'a View,
    documents: &'a mut BTreeMap<String, (StoreRevision, Arc<Policy>)>,
}

impl Found<'_> {
    fn of(mut self, principal: &Principal) -> Result<Policies, Unreadable> {
        let view = self.view;
        // A session's unique id goes on with its name.
        let id = principal.unique_id.split(':').next().and_then(|id| id.parse::<IamId>().ok());
        let mut policies = Policies::default();
        match (&principal.kind, id) {
            (PrincipalKind::Root, _) => {
                // A session of root that something limits: everything, within that.
                policies.identity.push(self.managed(crate::iam::ADMINISTRATOR)?);
            }
            (PrincipalKind::User { .. }, Some(id)) => {
                let Some(row) = view.iam_users.by(&IamIndex::Id(id)).next() else {
                    return Ok(policies);
                };
                self.grants(row, &row.grants, &format!("user/{}", row.name), &mut policies)?;
                for group in groups_of(view, row) {
                    self.grants(
                        group,
                        &group.grants,
                        &format!("group/{}", group.name),
                        &mut policies,
                    )?;
                }
                policies.boundary =
                    row.boundary.as_deref().map(|arn| self.managed(arn)).transpose()?;
            }
            (PrincipalKind::AssumedRole { .. }, Some(id)) => {
                let Some(row) = view.iam_roles.by(&IamIndex::Id(id)).next() else {
                    return Ok(policies);
                };
                self.grants(row, &row.grants, &format!("role/{}", row.name), &mut policies)?;
                policies.boundary =
                    row.boundary.as_deref().map(|arn| self.managed(arn)).transpose()?;
            }
            (_, None) => {}
        }
        if let Some(session) = principal.session.as_deref().filter(|session| session.is_limited) {
            policies.session = Some(self.session(session)?);
        }
        Ok(policies)
    }

    /// Adds what a user, group or role has.
    fn grants<R: Record>(
        &mut self,
        row: &Row<R>,
        grants: &Grants,
        holder: &str,
        into: &mut Policies,
    ) -> Result<(), Unreadable> {
        for arn in &grants.attached {
            into.identity.push(self.managed(arn)?);
        }
        for (name, text) in &grants.inline {
            let place = format!("{}#{name}", row.key);
            let policy = self.read(place, row.mod_revision, text)?;
            let source = format!("inline policy {name} of {holder}");
            into.identity.push(Attached { source, policy });
        }
        Ok(())
    }

    fn managed(&mut self, arn: &str) -> Result<Attached, Unreadable> {
        let Some(PolicySource { revision, document }) = policy_source(self.view, arn) else {
            tracing::error!(arn, "a policy is not there that something has");
            return Err(Unreadable);
        };
        let policy = self.read(arn.to_owned(), revision, document)?;
        Ok(Attached { source: arn.to_owned(), policy })
    }

    fn session(&mut self, session: &Session) -> Result<Vec<Attached>, Unreadable> {
        let mut all = Vec::new();
        for arn in &session.policy_arns {
            // One that was deleted since allows nothing any more.
            if policy_source(self.view, arn).is_some() {
                all.push(self.managed(arn)?);
            }
        }
        for text in &session.policies {
            let policy = Policy::parse(text).map_err(|_| Unreadable)?;
            all.push(Attached { source: "session policy".to_owned(), policy: Arc::new(policy) });
        }
        Ok(all)
    }

    /// A document, read if it has changed.
    fn read(
        &mut self,
        place: String,
        revision: StoreRevision,
        text: &str,
    ) -> Result<Arc<Policy>, Unreadable> {
        let known = self.documents.get(&place).filter(|(known, _)| *known == revision);
        if let Some((_, policy)) = known {
            return Ok(Arc::clone(policy));
        }
        let policy = Policy::parse(text).map_err(|error| {
            tracing::error!(place, %error, "a policy cannot be read");
            Unreadable
        })?;
        let policy = Arc::new(policy);
        self.documents.insert(place, (revision, Arc::clone(&policy)));
        Ok(policy)
    }
}

/// The policies of whatever has grants, for simulations: without what is kept.
pub(crate) fn documents_of(view: &View, principal: &Principal) -> Policies {
    let mut documents = BTreeMap::new();
    Found { view, documents: &mut documents }.of(principal).unwrap_or_default()
}
