//! What a request passes on its way to whoever answers it, and who is kept out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::header::AUTHORIZATION;
use http::{Request, StatusCode};
use tower::ServiceExt;
use tracing::debug;

use super::Lifecycle;
use super::auth::Refused;
use super::body::take_in;
use super::connection::Peer;
use super::cors::Cors;
use super::front::{Shared, Site, State};
use super::names;
use super::rate::Client;
use super::refuse::{close, refuse_for};

/// When to come back to a server that takes no requests.
const RETRY: Duration = Duration::from_secs(5);

impl Site {
    /// What every request passes: whether it is for this server at all.
    pub(super) async fn respond(&self, request: Request<Body>) -> Response {
        let state = self.shared.state();
        let cors = match names::check(&request, &state.config, &state.strangers) {
            Ok(()) => Cors::of(&request),
            Err(response) => return *response,
        };
        let answer = async |request: Request<Body>| {
            if !is_mcp(request.uri().path()) {
                let Ok(response) = self.router.clone().oneshot(request).await;
                return response;
            }
            match admit(&self.shared, &state, &self.lifecycle, request).await {
                Ok(request) => (self.mcp)(request).await,
                Err(response) => *response,
            }
        };
        let mut response = match cors {
            None => answer(request).await,
            Some(mut cors) => {
                let mut response = match cors.take_preflight() {
                    Some(response) => response,
                    None => answer(request).await,
                };
                cors.allow(&mut response);
                response
            }
        };
        if self.lifecycle.is_draining() {
            close(&mut response);
        }
        response
    }
}

fn is_mcp(path: &str) -> bool {
    let below = path.strip_prefix("/mcp");
    below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

/// What a request to `/mcp` passes: who sent it, how often, how much.
///
/// # Errors
///
/// The response to one that is kept out.
async fn admit(
    shared: &Shared,
    state: &State,
    lifecycle: &Lifecycle,
    request: Request<Body>,
) -> Result<Request<Bytes>, Box<Response>> {
    if lifecycle.is_draining() {
        let why = "the server is ending";
        let response = refuse_for(StatusCode::SERVICE_UNAVAILABLE, why, RETRY);
        return Err(Box::new(response));
    }
    let too_many = |why, wait| {
        let response = refuse_for(StatusCode::TOO_MANY_REQUESTS, why, wait);
        Err(Box::new(response))
    };
    let address = client_address(&request, &state.config.proxies).map(Client::from);
    let address = address.unwrap_or(Client::Others);
    let may_fail = request.headers().contains_key(AUTHORIZATION);
    if may_fail && let Some(wait) = shared.failures.wait(&address, Instant::now()) {
        return too_many("too many tokens that were not taken", wait);
    }
    let principal = match state.auth.check(request.headers()).await {
        Ok(principal) => principal,
        Err(refused) => {
            debug!("a request of {address:?} is not let through: {refused:?}");
            if matches!(refused, Refused::Invalid(_) | Refused::Malformed) {
                // Nothing left: the next one is not looked at.
                let _ = shared.failures.take(address, Instant::now());
            }
            return Err(Box::new(state.auth.refuse(refused)));
        }
    };
    if let Some(requests) = &state.requests {
        let client = match state.config.auth.is_required() {
            true => Client::Named(Arc::clone(&principal.name)),
            false => address,
        };
        if let Err(wait) = requests.take(client) {
            return too_many("too many requests", wait);
        }
    }
    let most = usize::try_from(state.config.max_body.as_u64()).unwrap_or(usize::MAX);
    let mut request = take_in(request, most, state.config.body_timeout).await?;
    // Whoever is behind this knows who it is, and needs nothing that could be repeated elsewhere.
    request.headers_mut().remove(AUTHORIZATION);
    request.extensions_mut().insert(principal);
    Ok(request)
}

/// Whoever sent it: the peer, or whom a proxy that is believed names, nearest first.
fn client_address(request: &Request<Body>, proxies: &[IpAddr]) -> Option<IpAddr> {
    let Peer(peer) = *request.extensions().get()?;
    let is_believed = |address: &IpAddr| proxies.contains(address);
    if !is_believed(&peer) {
        return Some(peer);
    }
    let named = request.headers().get_all("x-forwarded-for");
    let named: Vec<&str> = named
        .iter()
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .collect();
    let mut client = peer;
    for name in named.into_iter().rev() {
        let Ok(address) = name.trim().parse::<IpAddr>() else {
            break;
        };
        client = address.to_canonical();
        if !is_believed(&client) {
            break;
        }
    }
    Some(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_believed_only_if_it_is_named_and_only_as_far_as_it_saw() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let proxies = [address("10.0.0.1"), address("10.0.0.2")];
        for (peer, forwarded, client) in [
            ("203.0.113.9", "198.51.100.7", "203.0.113.9"),
            ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
            ("10.0.0.1", "192.0.2.1, 198.51.100.7", "198.51.100.7"),
            (
                "10.0.0.1",
                "192.0.2.1, 198.51.100.7, 10.0.0.2",
                "198.51.100.7",
            ),
            ("10.0.0.1", "unknown", "10.0.0.1"),
            ("10.0.0.1", "192.0.2.1, unknown", "10.0.0.1"),
            ("10.0.0.1", "", "10.0.0.1"),
        ] {
            let mut request = Request::new(Body::empty());
            request.extensions_mut().insert(Peer(address(peer)));
            let value = http::HeaderValue::from_static(forwarded);
            request.headers_mut().insert("x-forwarded-for", value);
            let found = client_address(&request, &proxies);
            assert_eq!(found, Some(address(client)), "{peer} {forwarded}");
        }
    }
}
