//! The keys of providers of OpenID Connect, fetched when a token is to be checked and kept a while.
//!
//! Only providers that an account has registered are asked, over TLS and with the roots of the machine, so
//! that nobody can make the server ask anybody else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::jwt::Key;
use crate::events::webhook::{Http, client};

/// How long keys are believed.
const FRESH: Duration = Duration::from_secs(600);
/// A provider that has no key of the wanted name is not asked again for this long.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a provider may take for one answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read.
const ANSWER_BYTES: usize = 256 * 1024;
/// Providers whose keys are kept.
const PROVIDERS: usize = 1000;
/// Where a provider says where its keys are.
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Keys by URL of the provider.
#[derive(Debug, Default)]
pub(crate) struct WebKeys {
    known: Mutex<BTreeMap<String, Fetched>>,
    http: OnceLock<Http>,
}

#[derive(Debug)]
struct Fetched {
    at: Instant,
    keys: Arc<Vec<Key>>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct Published {
    /// One that is not understood is for somebody else.
    keys: Vec<serde_json::Value>,
}

impl WebKeys {
    /// The keys of a provider, among them one that `wanted` takes, if it has one.
    ///
    /// # Errors
    /// Why the provider could not be asked.
    pub(super) async fn of(
        &self,
        url: &str,
        wanted: impl Fn(&Key) -> bool,
    ) -> Result<Arc<Vec<Key>>, String> {
        if let Some((age, keys)) = self.kept(url) {
            let has = keys.iter().any(wanted);
            if (has && age < FRESH) || (!has && age < PATIENCE) {
                return Ok(keys);
            }
        }
        let issuer = format!("https://{url}");
        let discovery: Discovery = self.get(&format!("{issuer}{DISCOVERY}")).await?;
        if discovery.issuer.trim_end_matches('/') != issuer {
            return Err(format!("the provider calls itself {}", discovery.issuer));
        }
        if !discovery.jwks_uri.starts_with("https://") {
            return Err("the keys of the provider are not at an https:// address".to_owned());
        }
        let published: Published = self.get(&discovery.jwks_uri).await?;
        let keys = published.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        let keys: Arc<Vec<Key>> = Arc::new(keys.collect());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= PROVIDERS {
            known.clear();
        }
        let fetched = Fetched { at: Instant::now(), keys: Arc::clone(&keys) };
        known.insert(url.to_owned(), fetched);
        Ok(keys)
    }

    fn kept(&self, url: &str) -> Option<(Duration, Arc<Vec<Key>>)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(url).map(|one| (one.at.elapsed(), Arc::clone(&one.keys)))
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, String> {
        let request = Request::get(url)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("longshore/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(Bytes::new()))
            .map_err(|error| error.to_string())?;
        let http = self.http.get_or_init(client);
        let exchange = async {
            let answer = http.request(request).await;
            let answer = answer.map_err(|error| longshore_wire::with_causes(&error))?;
            if !answer.status().is_success() {
                return Err(format!("it answered {}", answer.status()));
            }
            let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            serde_json::from_slice(&body).map_err(|error| error.to_string())
        };
        let answer = tokio::time::timeout(ANSWER, exchange).await;
        let answer = answer.unwrap_or_else(|_| Err("no answer".to_owned()));
        answer.map_err(|why| format!("{url}: {why}"))
    }
}
