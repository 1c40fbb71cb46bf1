//! Checks `Host` and `Origin` before anything else: a page of any site can have its name resolve to
//! this machine (DNS rebinding), and only these headers show that.

use std::collections::HashSet;
use std::sync::Mutex;

use axum::response::Response;
use http::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use http::{Request, StatusCode};
use tracing::warn;

use super::peer::Peer;
use super::refuse::refuse;
use super::request_rate_limit::RateClient;
use toolhost_core::locks;
use toolhost_core::manifest::{Authority, Origin, ServeConfig};

/// The most addresses whose refusals are logged.
const MAX_LOGGED: usize = 1_000;

/// Addresses that sent requests for another host: each is logged once, as any page can make a
/// browser send such requests without end.
#[derive(Default)]
pub(super) struct Strangers(Mutex<HashSet<RateClient>>);

impl Strangers {
    fn log<B>(&self, request: &Request<B>, host: &Authority) {
        let Some(Peer(peer)) = request.extensions().get() else {
            return;
        };
        let mut logged = locks::lock(&self.0);
        if logged.len() >= MAX_LOGGED || !logged.insert(RateClient::from(*peer)) {
            return;
        }
        drop(logged);
        warn!(
            "refused a request from {peer} for the host `{host}`: if clients use this name for the server, add \
             it to `hosts` in the manifest's [serve]"
        );
    }
}

/// # Errors
///
/// The response to a request that is refused.
pub(super) fn check<B>(
    request: &Request<B>,
    config: &ServeConfig,
    strangers: &Strangers,
) -> Result<(), Box<Response>> {
    let refused = |status, why| Err(Box::new(refuse(status, why)));
    let host = only(request.headers(), &HOST);
    // Check both the target (in HTTP/2, and from clients that use this as a proxy) and the header,
    // whichever is used later.
    let target = request.uri().authority().map(|it| it.as_str());
    let names = match (host, target) {
        (Ok(None), None) => return refused(StatusCode::BAD_REQUEST, "no Host"),
        (Err(()), _) => return refused(StatusCode::BAD_REQUEST, "more than one Host"),
        (Ok(host), target) => [host, target],
    };
    for name in names.into_iter().flatten() {
        let Ok(name) = name.parse::<Authority>() else {
            return refused(StatusCode::BAD_REQUEST, "not a Host");
        };
        if !name.is_loopback() && !config.hosts.iter().any(|host| host.covers(&name)) {
            strangers.log(request, &name);
            // Not the name, which its sender knows.
            let why = "Host is not allowed: if clients use this name for the server, add it to `hosts` in the \
                       manifest's [serve]";
            return refused(StatusCode::FORBIDDEN, why);
        }
    }
    let origin = match only(request.headers(), &ORIGIN) {
        // Not sent by a page.
        Ok(None) => return Ok(()),
        Ok(Some(origin)) => Origin::from_header(origin),
        Err(()) => None,
    };
    match origin.is_some_and(|it| it.is_loopback() || config.origins.contains(&it)) {
        true => Ok(()),
        false => refused(StatusCode::FORBIDDEN, "Origin is not allowed"),
    }
}

/// The value of a header that must be unique; empty if it is not text.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(|value| value.to_str().unwrap_or_default())),
        (_, Some(_)) => Err(()),
    }
}
