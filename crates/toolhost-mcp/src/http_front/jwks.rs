//! An issuer's signing keys: fetched, cached, and fetched again when a token names an unknown key,
//! at a bounded rate however often that happens.

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::redirect::Policy;
use serde::Deserialize;
use tokio::sync::Mutex;
use tracing::{debug, warn};
use url::Url;

use super::FrontError;
use toolhost_core::error::causes;
use toolhost_core::http_client::http_client;
use toolhost_core::locks;
use toolhost_core::manifest::{OauthConfig, is_in_the_clear};

/// The shortest time between two fetches.
pub(super) const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(10);

/// Older keys are fetched again, and accepted meanwhile: an issuer may have withdrawn one.
const REFRESH_AFTER: Duration = Duration::from_secs(5 * 60);

/// Older keys are no longer accepted.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// The timeout for all requests of one fetch.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest document of an issuer.
const MAX_DOCUMENT: usize = 256 << 10;

/// The cache of an issuer's keys.
pub(super) struct Jwks {
    http: reqwest::Client,
    issuer: Url,
    issuer_text: String,
    address: Option<Url>,
    known: RwLock<Option<Arc<CachedKeys>>>,
    /// When the issuer was last asked; locked while it is.
    asked: Arc<Mutex<Option<Instant>>>,
    interval: Duration,
    timeout: Duration,
}

struct CachedKeys {
    keys: Vec<SigningKey>,
    at: Instant,
}

struct SigningKey {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: Arc<DecodingKey>,
}

/// Why there is no key for a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The issuer has no key of that name.
    Unknown,
    /// It has one for another purpose.
    Disagrees,
    /// The issuer cannot be reached.
    Unavailable,
}

impl Jwks {
    pub(super) fn new(config: &OauthConfig) -> Result<Jwks, FrontError> {
        let first = config.jwks.as_ref().unwrap_or(&config.issuer);
        // Only the issuer named in the manifest decides, not one that it redirects to.
        let http = http_client(first, Policy::none()).map_err(FrontError::Client)?;
        Ok(Jwks {
            http,
            issuer: config.issuer.clone(),
            issuer_text: config.issuer_text.clone(),
            address: config.jwks.clone(),
            known: RwLock::default(),
            asked: Arc::default(),
            interval: MIN_FETCH_INTERVAL,
            timeout: TIMEOUT,
        })
    }

    /// Removes the rate limit.
    #[cfg(test)]
    pub(super) fn impatient(mut self) -> Jwks {
        self.interval = Duration::ZERO;
        self
    }

    /// Shortens the timeout.
    #[cfg(test)]
    pub(super) fn waiting(mut self, timeout: Duration) -> Jwks {
        self.timeout = timeout;
        self
    }

    /// Finds the key that a token's header names.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(super) async fn find(
        self: &Arc<Self>,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<DecodingKey>, NoKey> {
        let known = self.known();
        match known.as_ref().map(|known| known.find(id, algorithm)) {
            Some(Err(NoKey::Unknown)) | None => {}
            Some(found) => {
                if known.is_some_and(|known| known.at.elapsed() > REFRESH_AFTER) && self.may_ask() {
                    let this = Arc::clone(self);
                    tokio::spawn(async move { this.refresh().await });
                }
                return found;
            }
        }
        self.refresh().await;
        let known = self.known().ok_or(NoKey::Unavailable)?;
        known.find(id, algorithm)
    }

    fn known(&self) -> Option<Arc<CachedKeys>> {
        let known = locks::read(&self.known);
        known.clone().filter(|known| known.at.elapsed() <= MAX_AGE)
    }

    /// Whether the issuer may be asked now.
    fn may_ask(&self) -> bool {
        let asked = self.asked.try_lock();
        asked.is_ok_and(|asked| asked.is_none_or(|asked| asked.elapsed() >= self.interval))
    }

    /// Fetches the keys, unless that was done just now. Concurrent callers share one fetch.
    async fn refresh(self: &Arc<Self>) {
        let came = Instant::now();
        let mut asked = Arc::clone(&self.asked).lock_owned().await;
        if asked.is_some_and(|at| at >= came || at.elapsed() < self.interval) {
            return;
        }
        // In a task of its own: a client that hangs up must not cancel the fetch for others.
        let this = Arc::clone(self);
        let asking = tokio::spawn(async move {
            this.fetch_now().await;
            *asked = Some(Instant::now());
        });
        let _ = asking.await;
    }

    async fn fetch_now(&self) {
        let fetched = tokio::time::timeout(self.timeout, self.fetch()).await;
        let keys = match fetched.unwrap_or_else(|_| Err("timed out".to_owned())) {
            Ok(keys) => keys,
            Err(why) => {
                warn!("no keys from the issuer {}: {why}", self.issuer);
                return;
            }
        };
        debug!("{} keys from the issuer {}", keys.len(), self.issuer);
        let at = Instant::now();
        let mut known = locks::write(&self.known);
        *known = Some(Arc::new(CachedKeys { keys, at }));
    }

    async fn fetch(&self) -> Result<Vec<SigningKey>, String> {
        #[derive(Deserialize)]
        struct KeySet {
            /// Parsed one by one, so that an unknown kind of key does not affect the others.
            keys: Vec<serde_json::Value>,
        }
        let address = match &self.address {
            Some(address) => address.clone(),
            None => self.discover().await?,
        };
        let set: KeySet = self.document(address).await?;
        Ok(set.keys.into_iter().filter_map(SigningKey::read).collect())
    }

    /// The URL of the keys, from the issuer's metadata: RFC 8414's, or OpenID Connect's.
    async fn discover(&self) -> Result<Url, String> {
        #[derive(Deserialize)]
        struct Metadata {
            issuer: String,
            jwks_uri: String,
        }
        let path = self.issuer.path().trim_end_matches('/');
        let mut places = vec![
            format!("/.well-known/oauth-authorization-server{path}"),
            format!("/.well-known/openid-configuration{path}"),
        ];
        if !path.is_empty() {
            places.push(format!("{path}/.well-known/openid-configuration"));
        }
        let mut why = String::new();
        for place in places {
            let mut address = self.issuer.clone();
            address.set_path(&place);
            let metadata: Metadata = match self.document(address).await {
                Ok(metadata) => metadata,
                Err(error) => {
                    why = error;
                    continue;
                }
            };
            if metadata.issuer != self.issuer_text {
                return Err(format!(
                    "its metadata names another issuer: {:?}",
                    metadata.issuer
                ));
            }
            let keys = Url::parse(&metadata.jwks_uri).ok();
            let is_trusted =
                |keys: &Url| matches!(keys.scheme(), "http" | "https") && !is_in_the_clear(keys);
            return keys
                .filter(is_trusted)
                .ok_or_else(|| "its metadata has no `jwks_uri` with https".to_owned());
        }
        Err(why)
    }

    async fn document<T: serde::de::DeserializeOwned>(&self, address: Url) -> Result<T, String> {
        let why = |error: reqwest::Error| causes(&error);
        let place = address.to_string();
        let mut response = self.http.get(address).send().await.map_err(why)?;
        if !response.status().is_success() {
            return Err(format!("{place} answers {}", response.status()));
        }
        let mut document = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(why)? {
            if document.len() + chunk.len() > MAX_DOCUMENT {
                return Err(format!("{place} is too long"));
            }
            document.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&document).map_err(|error| format!("{place}: {error}"))
    }
}

impl CachedKeys {
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Arc<DecodingKey>, NoKey> {
        let named = |key: &&SigningKey| id.is_none() || key.id.as_deref() == id;
        let mut keys = self.keys.iter().filter(named).peekable();
        if keys.peek().is_none() {
            return Err(NoKey::Unknown);
        }
        let mut keys = keys.filter(|key| key.algorithms.contains(&algorithm));
        match (keys.next(), keys.next()) {
            (Some(key), None) => Ok(Arc::clone(&key.key)),
            // Ambiguous keys are not used.
            _ => Err(NoKey::Disagrees),
        }
    }
}

impl SigningKey {
    /// `None` for a key that verifies no accepted token.
    fn read(jwk: serde_json::Value) -> Option<SigningKey> {
        let jwk: Jwk = serde_json::from_value(jwk).ok()?;
        let common = &jwk.common;
        let is_for_signatures = common
            .public_key_use
            .as_ref()
            .is_none_or(|it| *it == PublicKeyUse::Signature)
            && common
                .key_operations
                .as_ref()
                .is_none_or(|it| it.contains(&KeyOperations::Verify));
        if !is_for_signatures {
            return None;
        }
        let mut algorithms = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => vec![
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => vec![Algorithm::ES256],
                EllipticCurve::P384 => vec![Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                vec![Algorithm::EdDSA]
            }
            // A published secret verifies nothing.
            _ => return None,
        };
        if let Some(only) = common.key_algorithm {
            algorithms.retain(|algorithm| KeyAlgorithm::from(*algorithm) == only);
        }
        Some(SigningKey {
            id: common.key_id.clone(),
            algorithms,
            key: Arc::new(DecodingKey::from_jwk(&jwk).ok()?),
        })
    }
}
