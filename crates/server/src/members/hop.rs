//! A call on its way from one server to another, with whose call it is.
//!
//! The first server has authenticated the caller; the second one believes it because of the seal.
//! Its key follows from the identity key; in a store without identities it is in the store. The seal covers caller, operation and body, the two
//! servers, and a number that is taken once. What came by a hop goes no further.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::Full;
use longshore_auth::{Principal, PrincipalKind, SealKey, Session};
use longshore_domain::ids::Scope;
use longshore_store::{Store, StoreError, StoreRevision, Txn, TxnOutcome};
use longshore_wire::codec::json;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::{Member, Members};
use crate::call::Call;
use crate::clock::RandomIds;
use longshore_domain::ids::IdSource;

/// Whose call it is, and from whom to whom it goes; JSON in hexadecimal digits.
pub(crate) const HOP: HeaderName = HeaderName::from_static("longshore-hop");
const SEAL: HeaderName = HeaderName::from_static("longshore-hop-seal");
/// Of an answer: the revision that it shows.
pub(crate) const REVISION: HeaderName = HeaderName::from_static("longshore-revision");
const TARGET: &str = "x-amz-target";
/// Status of an answer that says: nothing was done, since this server does not lead.
pub(crate) const NOT_LEADER: StatusCode = StatusCode::MISDIRECTED_REQUEST;

/// Where the key is.
const KEY: &str = "/longshore/hop-key";
/// Senders whose numbers are remembered, beyond those that are there.
const SENDERS: usize = 64;

/// What a hop says besides the call itself.
#[derive(Debug, Serialize, Deserialize)]
struct Hop {
    from: u64,
    to: u64,
    number: u64,
    scope: Scope,
    account: String,
    kind: Kind,
    access_key_id: Option<String>,
    #[serde(default)]
    unique_id: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    session: Option<Box<Session>>,
    base_url: String,
    /// What the sender's view shows, and the caller may have read.
    revision: u64,
}

#[derive(Debug, Serialize, Deserialize)]
enum Kind {
    Root,
    User { name: String },
    AssumedRole { role: String, session: String },
}

/// What goes by a hop.
#[derive(Clone, Copy, Debug)]
pub(super) enum What<'a> {
    /// A call of an operation.
    Call {
        /// `X-Amz-Target`.
        target: &'a str,
        /// Its body.
        body: &'a Bytes,
    },
    /// A look at one of the control plane's own endpoints.
    Look {
        /// Path and query.
        path: &'a str,
    },
}

/// What a seal covers of a look: no operation is called so.
fn looked_at(path: &str) -> String {
    format!("GET {path}")
}

/// Whose call came by a hop.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    pub(crate) scope: Scope,
    pub(crate) base_url: String,
    /// What the caller may have read.
    pub(crate) revision: StoreRevision,
}

/// Why a hop is not believed.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It is for another server, or came too late: nobody's fault.
    Misdirected,
    /// No server of this control plane sent it.
    Forged,
}

/// The key of a control plane without identities; the first server makes it.
pub(crate) async fn key(store: &dyn Store) -> Result<SealKey, StoreError> {
    loop {
        if let Some(kv) = store.get(KEY).await? {
            let text = std::str::from_utf8(&kv.value).ok();
            return text.and_then(|text| SealKey::from_hex(text).ok()).ok_or_else(|| {
                StoreError::Refused(format!("the value of {KEY} is no seal key; remove it"))
            });
        }
        let mut bytes = [0; 32];
        let (high, low) = bytes.split_at_mut(16);
        high.copy_from_slice(&RandomIds.next_id().to_be_bytes());
        low.copy_from_slice(&RandomIds.next_id().to_be_bytes());
        let txn = Txn::default().expect_absent(KEY).put(KEY, SealKey::new(bytes).to_hex());
        // Whoever was first: the key is there now.
        let (TxnOutcome::Committed { .. } | TxnOutcome::Conflict { .. }) = store.txn(txn).await?;
    }
}

impl Members {
    /// The request by which `call` goes to `member`.
    pub(super) fn request(
        &self,
        member: &Member,
        call: &Call,
        what: What<'_>,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let kind = match &call.principal.kind {
            PrincipalKind::Root => Kind::Root,
            PrincipalKind::User { name } => Kind::User { name: name.clone() },
            PrincipalKind::AssumedRole { role, session } => {
                Kind::AssumedRole { role: role.clone(), session: session.clone() }
            }
        };
        let hop = Hop {
            from: self.id(),
            to: member.id,
            number: self.sent.fetch_add(1, Ordering::Relaxed) + 1,
            scope: call.scope.clone(),
            account: call.principal.account.to_string(),
            kind,
            access_key_id: call.principal.access_key_id.clone(),
            unique_id: call.principal.unique_id.clone(),
            tags: call.principal.tags.clone(),
            session: call.principal.session.clone(),
            base_url: call.base_url.clone(),
            revision: call.server.state.view().revision.0,
        };
        let hop = serde_json::to_vec(&hop).expect("a hop is a structure with text keys");
        let base = member.url.trim_end_matches('/');
        let (request, sealed, body) = match what {
            What::Call { target, body } => {
                let request = Request::post(format!("{base}/").parse::<Uri>()?)
                    .header(header::CONTENT_TYPE, HeaderValue::from_static(json::CONTENT_TYPE))
                    .header(TARGET, target);
                (request, target.to_owned(), body.clone())
            }
            What::Look { path } => (
                Request::get(format!("{base}{path}").parse::<Uri>()?),
                looked_at(path),
                Bytes::new(),
            ),
        };
        let seal = self.key.seal(&[&hop, sealed.as_bytes(), &body]);
        request.header(HOP, hex::encode(hop)).header(SEAL, seal).body(Full::new(body))
    }

    /// Whose look at `path` came with these headers by a hop.
    ///
    /// # Errors
    /// Why it is not believed.
    pub(crate) fn onlooker(&self, headers: &HeaderMap, path: &str) -> Result<Caller, Refused> {
        self.caller(headers, &looked_at(path), b"")
    }

    /// Whose call it is that came with these headers by a hop.
    ///
    /// # Errors
    /// Why it is not believed.
    pub(crate) fn caller(
        &self,
        headers: &HeaderMap,
        target: &str,
        body: &[u8],
    ) -> Result<Caller, Refused> {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let (hop, seal) = text(&HOP).zip(text(&SEAL)).ok_or(Refused::Forged)?;
        let bytes = hex::decode(hop).map_err(|_| Refused::Forged)?;
        if !self.key.verify(&[&bytes, target.as_bytes(), body], seal) {
            return Err(Refused::Forged);
        }
        let hop: Hop = serde_json::from_slice(&bytes).map_err(|_| Refused::Forged)?;
        if hop.to != self.id() || !self.take(hop.from, hop.number) {
            return Err(Refused::Misdirected);
        }
        let kind = match hop.kind {
            Kind::Root => PrincipalKind::Root,
            Kind::User { name } => PrincipalKind::User { name },
            Kind::AssumedRole { role, session } => PrincipalKind::AssumedRole { role, session },
        };
        let account = hop.account.parse().map_err(|_| Refused::Forged)?;
        Ok(Caller {
            principal: Principal {
                unique_id: hop.unique_id,
                tags: hop.tags,
                session: hop.session,
                ..Principal::new(account, kind, hop.access_key_id)
            },
            scope: hop.scope,
            base_url: hop.base_url,
            revision: StoreRevision(hop.revision),
        })
    }

    /// Takes a message of a server, unless it was taken before.
    fn take(&self, from: u64, number: u64) -> bool {
        let mut taken = self.taken();
        let fresh = taken.entry(from).or_default().take(number);
        let roster = self.roster();
        if taken.len() > SENDERS + roster.members.len() {
            // A number of one that left could be taken again; but then it left long ago, and what
            // it sent was for a call that nobody waits for.
            taken.retain(|id, _| *id == from || roster.members.contains_key(id));
        }
        fresh
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::test_records::scope;

    #[test]
    fn a_hop_says_all_of_a_session() {
        let members = Members::alone(1);
        let kind = PrincipalKind::AssumedRole { role: "r".into(), session: "s".into() };
        let session = Session {
            expires_at_s: 7,
            role_arn: Some("arn:aws:iam::000000000000:role/r".into()),
            policies: vec!["{}".into()],
            is_limited: true,
            ..Session::default()
        };
        let principal = Principal {
            unique_id: "AROAAAAAAAAAAAAAAAAAA:s".into(),
            tags: [("team".to_owned(), "a".to_owned())].into(),
            session: Some(Box::new(session)),
            ..Principal::new(longshore_auth::Account::default(), kind, Some("ASIA".into()))
        };
        let caller = |number: u64, identity: serde_json::Value| {
            let mut hop = json!({
                "from": 2, "to": 1, "number": number, "scope": scope(), "base_url": "",
                "account": "000000000000", "access_key_id": "ASIA", "revision": 0,
                "kind": {"AssumedRole": {"role": "r", "session": "s"}},
            });
            let members_of = identity.as_object().expect("an object").clone();
            hop.as_object_mut().expect("an object").extend(members_of);
            let hop = hop.to_string();
            let seal = members.key.seal(&[hop.as_bytes(), b"target", b""]);
            let mut headers = HeaderMap::new();
            headers.insert(HOP, hex::encode(hop).parse().expect("a header"));
            headers.insert(SEAL, seal.parse().expect("a header"));
            members.caller(&headers, "target", b"").expect("it is believed").principal
        };
        let told = json!({
            "unique_id": principal.unique_id, "tags": principal.tags, "session": principal.session,
        });
        assert_eq!(caller(1, told), principal);
        // An older server says less.
        assert_eq!(caller(2, json!({})).session, None);
    }
}
