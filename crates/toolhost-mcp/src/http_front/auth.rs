//! Authentication by bearer token (RFC 6750).

use std::sync::Arc;

use axum::response::Response;
use http::header::{AUTHORIZATION, HeaderMap, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

use super::jwt::Issuer;
use super::principal::{AuthRefusal, Principal};
use super::refuse::{refuse, refuse_for};
use super::token_table::TokenTable;
use super::{FrontError, resource_metadata};
use toolhost_core::manifest::{AuthConfig, OauthConfig};

/// The clients that the manifest names.
pub(super) struct Auth {
    tokens: TokenTable,
    issuer: Option<Arc<Issuer>>,
    is_required: bool,
}

impl Auth {
    /// `before` is the state before a reload: the keys of an issuer that stays are kept.
    pub(super) fn new(config: &AuthConfig, before: Option<&Auth>) -> Result<Auth, FrontError> {
        let same = |oauth: &OauthConfig| {
            let issuer = before?.issuer.as_ref()?;
            (issuer.config() == oauth).then(|| Arc::clone(issuer))
        };
        let issuer = config.oauth.as_ref().map(|oauth| match same(oauth) {
            Some(issuer) => Ok(issuer),
            None => Issuer::new(oauth).map(Arc::new),
        });
        Ok(Auth {
            tokens: TokenTable::new(&config.tokens),
            issuer: issuer.transpose()?,
            is_required: config.is_required(),
        })
    }

    pub(super) async fn check(&self, headers: &HeaderMap) -> Result<Principal, AuthRefusal> {
        if !self.is_required {
            return Ok(Principal::default());
        }
        let token = bearer(headers)?;
        if let Some(principal) = self.tokens.find(token) {
            return Ok(principal.clone());
        }
        match &self.issuer {
            Some(issuer) => issuer.check(token).await,
            None => Err(AuthRefusal::Invalid("it is not a token of this server")),
        }
    }

    /// The response to a request that is not authenticated.
    pub(super) fn refuse(&self, refused: AuthRefusal) -> Response {
        let (status, error, why) = match refused {
            AuthRefusal::Missing => (StatusCode::UNAUTHORIZED, None, "a token is needed"),
            AuthRefusal::Malformed => {
                let why = "one Authorization header with a bearer token is needed";
                (StatusCode::BAD_REQUEST, Some("invalid_request"), why)
            }
            AuthRefusal::Invalid(why) => (StatusCode::UNAUTHORIZED, Some("invalid_token"), why),
            AuthRefusal::Scope => {
                let why = "the token has none of this server's scopes";
                (StatusCode::FORBIDDEN, Some("insufficient_scope"), why)
            }
            AuthRefusal::Unavailable => {
                let why = "the issuer's keys are not available";
                return refuse_for(
                    StatusCode::SERVICE_UNAVAILABLE,
                    why,
                    super::jwks::MIN_FETCH_INTERVAL,
                );
            }
        };
        let why = match refused {
            AuthRefusal::Invalid(why) => format!("the token was rejected: {why}"),
            _ => why.to_owned(),
        };
        let mut response = refuse(status, &why);
        let mut attributes = Vec::new();
        if let Some(issuer) = &self.issuer {
            let place = resource_metadata::address(issuer.config());
            attributes.push(format!("resource_metadata=\"{place}\""));
            let scopes = issuer.config().scopes.iter().flatten();
            let scopes: Vec<&str> = scopes.map(|(scope, _)| &**scope).collect();
            if !scopes.is_empty() {
                attributes.push(format!("scope=\"{}\"", scopes.join(" ")));
            }
        }
        if let Some(error) = error {
            attributes.push(format!("error=\"{error}\""));
            attributes.push(format!("error_description=\"{why}\""));
        }
        let challenge = match attributes.is_empty() {
            true => "Bearer".to_owned(),
            false => format!("Bearer {}", attributes.join(", ")),
        };
        // URLs and scopes contain only such characters.
        if let Ok(challenge) = HeaderValue::try_from(challenge) {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }

    pub(super) fn oauth(&self) -> Option<&OauthConfig> {
        self.issuer.as_ref().map(|issuer| issuer.config())
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, AuthRefusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Err(AuthRefusal::Missing),
        (Some(value), None) => value.to_str().map_err(|_| AuthRefusal::Malformed)?,
        (Some(_), Some(_)) => return Err(AuthRefusal::Malformed),
    };
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(AuthRefusal::Missing);
    }
    let token = token.trim_matches(' ');
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    match !token.is_empty() && token.bytes().all(is_token) {
        true => Ok(token),
        false => Err(AuthRefusal::Malformed),
    }
}
