//! What a request passes on its way to whoever answers it, and who is kept out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::header::AUTHORIZATION;
use http::uri::PathAndQuery;
use http::{Method, Request, StatusCode, Uri};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;
use tracing::debug;

use super::Lifecycle;
use super::bodies::Short;
use super::body::take_in;
use super::cors::Cors;
use super::front::{Shared, Site, State};
use super::names;
use super::peer::Peer;
use super::principal::Refused;
use super::rate::Client;
use super::refuse::{close, refuse_for};
use super::slots::activity;

/// Requests beside each other on one connection of HTTP/2.
pub(super) const MAX_STREAMS: u32 = 100;

/// When to come back to a server that takes no requests.
const RETRY: Duration = Duration::from_secs(5);

/// What the answers that one connection waits for may be long together, in bytes.
const MOST_ANSWERS: u64 = 128 << 20;

/// So many of them are waited for, however long they may be.
const FEWEST_ANSWERS: usize = 8;

impl Site {
    /// What a request to MCP passes in somebody else's server: what every other does, wherever it was sent there. Its
    /// client is at that address, if that is known.
    pub(crate) async fn respond_within(
        &self,
        mut request: Request<Body>,
        client: Option<IpAddr>,
    ) -> Response {
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::from_static("/mcp"));
        // A target of one path alone, or with an authority and a scheme as it came.
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        if let Some(client) = client {
            request.extensions_mut().insert(Peer(client.to_canonical()));
        }
        self.respond(request).await
    }

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
                Ok(request) => {
                    let place = Answers::place(&request).await;
                    let response = (self.mcp)(request).await;
                    match place {
                        None => response,
                        Some(place) => response.map(|body| {
                            Body::new(activity::Response {
                                body,
                                _running: place,
                            })
                        }),
                    }
                }
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

/// Places for the answers that one connection of HTTP/2 waits for, in the extensions of its requests: answers that
/// its client does not take are held, and together they are no longer than [`MOST_ANSWERS`] says, or but a few.
#[derive(Clone)]
pub(super) struct Answers(Arc<Semaphore>);

impl Answers {
    pub(super) fn new(longest: u64) -> Answers {
        let count = MOST_ANSWERS / longest.max(1);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Answers(Arc::new(Semaphore::new(
            count.clamp(FEWEST_ANSWERS, MAX_STREAMS as usize),
        )))
    }

    /// The place of a request, once there is one. Messages that have no answer need none: what runs may wait for them.
    async fn place(request: &Request<Bytes>) -> Option<OwnedSemaphorePermit> {
        let Answers(places) = request.extensions().get()?;
        if request.method() != Method::POST {
            return None;
        }
        match places.clone().try_acquire_owned() {
            Ok(place) => Some(place),
            Err(_) if !is_answered(request.body()) => None,
            // It is never closed.
            Err(_) => places.clone().acquire_owned().await.ok(),
        }
    }
}

/// Whether a message of JSON-RPC is a request.
fn is_answered(message: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Message {
        id: Option<IgnoredAny>,
        method: Option<IgnoredAny>,
    }
    let message: Result<Message, _> = serde_json::from_slice(message);
    message.is_ok_and(|message| message.id.is_some() && message.method.is_some())
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
        return too_many("too many rejected tokens", wait);
    }
    let principal = match state.auth.check(request.headers()).await {
        Ok(principal) => principal,
        Err(refused) => {
            debug!("rejected a request from {address:?}: {refused:?}");
            if matches!(refused, Refused::Invalid(_) | Refused::Malformed) {
                // Nothing left: the next one is not looked at.
                let _ = shared.failures.take(address, Instant::now());
            }
            return Err(Box::new(state.auth.refuse(refused)));
        }
    };
    let client = match state.config.auth.is_required() {
        true => Client::Named(Arc::clone(&principal.name)),
        false => address,
    };
    if let Some(requests) = &state.requests
        && let Err(wait) = requests.take(client.clone())
    {
        return too_many("too many requests", wait);
    }
    let most = usize::try_from(state.config.max_body.as_u64()).unwrap_or(usize::MAX);
    let timeout = state.config.body_timeout;
    let bodies = &state.bodies;
    let (mut request, room) = take_in(request, most, timeout, bodies, client.clone()).await?;
    // Whoever is behind this knows who it is, and needs nothing that could be repeated elsewhere.
    request.headers_mut().remove(AUTHORIZATION);
    match (room, request.body().len()) {
        (Some(room), _) => drop(request.extensions_mut().insert(room)),
        (None, 0) => {}
        (None, length) => {
            let short = Short::new(bodies, client, length, timeout);
            request.extensions_mut().insert(short);
        }
    }
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
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn connection_waits_for_bounded_answers() {
        let answers = Answers::new(u64::MAX);
        let request = |body: &'static str| {
            let mut request = Request::new(Bytes::from_static(body.as_bytes()));
            *request.method_mut() = Method::POST;
            request.extensions_mut().insert(answers.clone());
            request
        };
        let call = request(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#);
        let places: Vec<_> = (0..FEWEST_ANSWERS)
            .map(|_| Answers::place(&call).now_or_never().flatten().unwrap())
            .collect();
        let mut next = std::pin::pin!(Answers::place(&call));
        assert!(next.as_mut().now_or_never().is_none());
        for other in [
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#,
        ] {
            let other = request(other);
            assert!(Answers::place(&other).now_or_never().unwrap().is_none());
        }
        drop(places);
        assert!(next.now_or_never().flatten().is_some());
        // With short answers there are as many places as there can be requests.
        let Answers(places) = Answers::new(1 << 20);
        assert_eq!(places.available_permits(), 100);
    }

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
