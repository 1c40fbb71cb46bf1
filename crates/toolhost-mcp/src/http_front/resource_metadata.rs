//! Protected resource metadata (RFC 9728), which tells clients where to get a token.

use axum::body::Body;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::refuse::refuse;
use toolhost_core::manifest::OauthConfig;

pub(super) const PATH: &str = "/.well-known/oauth-protected-resource";

/// The URL of this server's metadata: the well-known path is inserted between host and path.
pub(super) fn address(config: &OauthConfig) -> String {
    let origin = config.audience.origin().ascii_serialization();
    let path = config.audience.path().trim_end_matches('/');
    format!("{origin}{PATH}{path}")
}

pub(super) fn respond(config: Option<&OauthConfig>) -> Response {
    let Some(config) = config else {
        return refuse(
            StatusCode::NOT_FOUND,
            "no issuer is configured for this server",
        );
    };
    let mut metadata = json!({
        "resource": config.audience_text,
        "authorization_servers": [config.issuer_text],
        "bearer_methods_supported": ["header"],
    });
    if let Some(scopes) = &config.scopes {
        metadata["scopes_supported"] = scopes.keys().map(String::as_str).collect();
    }
    let mut response = Response::new(Body::from(metadata.to_string()));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
