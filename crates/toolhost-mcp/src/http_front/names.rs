//! Whether a request is for this server and from a page that may send any, before anything else is
//! looked at: a page of any site can have its name resolve to this machine (DNS rebinding), and what
//! it sends then says so here and nowhere else.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use axum::response::Response;
use http::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use http::{Request, StatusCode};
use tracing::warn;

use super::peer::Peer;
use super::rate::Client;
use super::refuse::refuse;
use crate::manifest::{Authority, Origin, ServeConfig};

/// Addresses whose refusals were logged. Refusals of more of them are not.
const MAX_LOGGED: usize = 1_000;

/// The addresses from which requests for another host came: each is logged once, as any page can have
/// a browser send such requests without end.
#[derive(Default)]
pub(super) struct Strangers(Mutex<HashSet<Client>>);

impl Strangers {
    fn log<B>(&self, request: &Request<B>, host: &Authority) {
        let Some(Peer(peer)) = request.extensions().get() else {
            return;
        };
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.len() >= MAX_LOGGED || !logged.insert(Client::from(*peer)) {
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
/// The response to a request that is not to be looked at further.
pub(super) fn check<B>(
    request: &Request<B>,
    config: &ServeConfig,
    strangers: &Strangers,
) -> Result<(), Box<Response>> {
    let refused = |status, why| Err(Box::new(refuse(status, why)));
    let host = only(request.headers(), &HOST);
    // The target's, in HTTP/2 and where a client speaks as to a proxy, and the header's: whichever
    // somebody goes by later, it is an allowed one.
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
            // Not the name: whoever sent it knows it.
            let why = "Host is not allowed: if clients use this name for the server, add it to `hosts` in the \
                       manifest's [serve]";
            return refused(StatusCode::FORBIDDEN, why);
        }
    }
    let origin = match only(request.headers(), &ORIGIN) {
        // No page sent it.
        Ok(None) => return Ok(()),
        Ok(Some(origin)) => Origin::from_header(origin),
        Err(()) => None,
    };
    match origin.is_some_and(|it| it.is_loopback() || config.origins.contains(&it)) {
        true => Ok(()),
        false => refused(StatusCode::FORBIDDEN, "Origin is not allowed"),
    }
}

/// The value of a header that comes once or not at all; one that is no text is an empty one.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(|value| value.to_str().unwrap_or_default())),
        (_, Some(_)) => Err(()),
    }
}
