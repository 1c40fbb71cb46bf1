//! Validates JWTs that an OAuth authorization server issued for this server.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode};
use serde::Deserialize;
use serde_json::Value;

use super::jwks::{Jwks, NoKey};
use super::principal::{AuthRefusal, Principal};
use super::{FrontError, signature};
use toolhost_core::manifest::OauthConfig;

/// The clock skew tolerated, in seconds.
const LEEWAY: u64 = 30;

/// The longest subject, which is written to logs.
const MAX_SUBJECT: usize = 256;

/// Asymmetric algorithms only: with `HS256` this server could issue tokens itself, and so could
/// anyone if the public key were taken for the secret.
const ALGORITHMS: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

/// An issuer, and what its tokens must contain.
pub(super) struct Issuer {
    config: OauthConfig,
    jwks: Arc<Jwks>,
}

/// Parsed by our own code, so that a header that is not understood is refused first.
#[derive(Deserialize)]
struct JwtHeader {
    alg: String,
    kid: Option<String>,
    /// Any content would have to be understood.
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// Names separated by spaces; some issuers use a list, or another claim.
    scope: Option<Value>,
    scp: Option<Value>,
}

impl Issuer {
    pub(super) fn new(config: &OauthConfig) -> Result<Issuer, FrontError> {
        signature::install();
        Ok(Issuer {
            config: config.clone(),
            jwks: Arc::new(Jwks::new(config)?),
        })
    }

    pub(super) fn config(&self) -> &OauthConfig {
        &self.config
    }

    /// Validates a token. Returns its principal.
    pub(super) async fn check(&self, token: &str) -> Result<Principal, AuthRefusal> {
        let header = token.split('.').next().unwrap_or_default();
        let header = URL_SAFE_NO_PAD.decode(header).ok();
        let header: JwtHeader = header
            .and_then(|header| serde_json::from_slice(&header).ok())
            .ok_or(AuthRefusal::Invalid("it is not a token of this server"))?;
        let algorithm = ALGORITHMS.iter().find(|(name, _)| *name == header.alg);
        let (_, algorithm) =
            algorithm.ok_or(AuthRefusal::Invalid("its algorithm is not accepted"))?;
        if header.crit.is_some() {
            return Err(AuthRefusal::Invalid("it has a critical extension"));
        }
        let key = self.jwks.find(header.kid.as_deref(), *algorithm).await;
        let key = key.map_err(|no| match no {
            NoKey::Unknown => AuthRefusal::Invalid("its key is unknown"),
            NoKey::Disagrees => AuthRefusal::Invalid("its key is not for its algorithm"),
            NoKey::Unavailable => AuthRefusal::Unavailable,
        })?;
        let mut validation = Validation::new(*algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_audience(&[&self.config.audience_text]);
        validation.set_issuer(&[&self.config.issuer_text]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let claims = decode::<Claims>(token, &key, &validation)
            .map_err(|error| AuthRefusal::Invalid(reason(error.kind())))?
            .claims;
        self.principal(&claims)
    }

    fn principal(&self, claims: &Claims) -> Result<Principal, AuthRefusal> {
        let subject = &claims.sub;
        let is_name = !subject.is_empty()
            && subject.len() <= MAX_SUBJECT
            && !subject.chars().any(char::is_control);
        if !is_name {
            return Err(AuthRefusal::Invalid("its subject is not a valid name"));
        }
        let tools = match &self.config.scopes {
            None => None,
            Some(scopes) => {
                let granted = scope_names(claims);
                let mut known = scopes
                    .iter()
                    .filter(|(scope, _)| granted.contains(&***scope));
                let mut tools: BTreeSet<String> = match known.next() {
                    Some((_, tools)) => tools.clone(),
                    None => return Err(AuthRefusal::Scope),
                };
                tools.extend(known.flat_map(|(_, tools)| tools.iter().cloned()));
                Some(Arc::new(tools))
            }
        };
        Ok(Principal {
            name: format!("{}#{subject}", self.config.issuer_text).into(),
            is_known: true,
            tools,
        })
    }
}

fn scope_names(claims: &Claims) -> BTreeSet<&str> {
    let claims = [&claims.scope, &claims.scp];
    let claims = claims.into_iter().flatten();
    let texts = claims.flat_map(|claim| match claim {
        Value::Array(items) => items.iter().collect(),
        one => vec![one],
    });
    texts
        .filter_map(Value::as_str)
        .flat_map(str::split_whitespace)
        .collect()
}

/// For the token's holder; reveals nothing that is not in the token.
fn reason(error: &ErrorKind) -> &'static str {
    match error {
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::ImmatureSignature => "it is not valid yet",
        ErrorKind::InvalidAudience => "it is for another server",
        ErrorKind::InvalidIssuer => "it is from another issuer",
        ErrorKind::InvalidSignature => "its signature is wrong",
        ErrorKind::MissingRequiredClaim(_) => "a required claim is missing",
        _ => "it is not a token of this server",
    }
}
