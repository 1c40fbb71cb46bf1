//! Who sends a request, by its bearer token (RFC 6750), and what is said to whom is not known.

use std::sync::Arc;

use axum::response::Response;
use http::header::{AUTHORIZATION, HeaderMap, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

use super::jwt::Issuer;
use super::principal::{Principal, Refused};
use super::refuse::{refuse, refuse_for};
use super::token::Tokens;
use super::{FrontError, metadata};
use crate::manifest::{AuthConfig, OauthConfig};

/// Whom the manifest names.
pub(super) struct Auth {
    tokens: Tokens,
    issuer: Option<Arc<Issuer>>,
    is_required: bool,
}

impl Auth {
    /// `before` is what was there before the manifest changed: the keys of an issuer that stays are
    /// kept.
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
            tokens: Tokens::new(&config.tokens),
            issuer: issuer.transpose()?,
            is_required: config.is_required(),
        })
    }

    pub(super) async fn check(&self, headers: &HeaderMap) -> Result<Principal, Refused> {
        if !self.is_required {
            return Ok(Principal::default());
        }
        let token = bearer(headers)?;
        if let Some(principal) = self.tokens.find(token) {
            return Ok(principal.clone());
        }
        match &self.issuer {
            Some(issuer) => issuer.check(token).await,
            None => Err(Refused::Invalid("it is not a token of this server")),
        }
    }

    /// The response to a request that is not let through.
    pub(super) fn refuse(&self, refused: Refused) -> Response {
        let (status, error, why) = match refused {
            Refused::Missing => (StatusCode::UNAUTHORIZED, None, "a token is needed"),
            Refused::Malformed => {
                let why = "one Authorization header with a bearer token is needed";
                (StatusCode::BAD_REQUEST, Some("invalid_request"), why)
            }
            Refused::Invalid(why) => (StatusCode::UNAUTHORIZED, Some("invalid_token"), why),
            Refused::Scope => {
                let why = "the token has none of this server's scopes";
                (StatusCode::FORBIDDEN, Some("insufficient_scope"), why)
            }
            Refused::Unavailable => {
                let why = "the issuer's keys are not available";
                return refuse_for(StatusCode::SERVICE_UNAVAILABLE, why, super::jwks::INTERVAL);
            }
        };
        let why = match refused {
            Refused::Invalid(why) => format!("the token was rejected: {why}"),
            _ => why.to_owned(),
        };
        let mut response = refuse(status, &why);
        let mut attributes = Vec::new();
        if let Some(issuer) = &self.issuer {
            let place = metadata::address(issuer.config());
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
        // Made of URLs and scopes, which have no other characters.
        if let Ok(challenge) = HeaderValue::try_from(challenge) {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }

    pub(super) fn oauth(&self) -> Option<&OauthConfig> {
        self.issuer.as_ref().map(|issuer| issuer.config())
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Refused> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Err(Refused::Missing),
        (Some(value), None) => value.to_str().map_err(|_| Refused::Malformed)?,
        (Some(_), Some(_)) => return Err(Refused::Malformed),
    };
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refused::Missing);
    }
    let token = token.trim_matches(' ');
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    match !token.is_empty() && token.bytes().all(is_token) {
        true => Ok(token),
        false => Err(Refused::Malformed),
    }
}
