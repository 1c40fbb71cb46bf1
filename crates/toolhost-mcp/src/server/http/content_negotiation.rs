//! Content negotiation by `Accept` (RFC 9110), and conversion of responses to the type a client
//! accepts.
//!
//! rmcp serves only clients that name both types. Clients in the wild send `application/json`,
//! `*/*` or nothing.

use axum::body::Body;
use axum::response::Response;
use futures_util::stream::{self, StreamExt};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::server::http::sse::{self, EVENT_STREAM};

/// The content type of a single response.
pub(crate) const JSON: &str = "application/json";

/// The content types that a client accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// Both, with event streams named.
    Both,
    /// Both, but JSON is preferred, or event streams are not named: they are used only where JSON
    /// will not do.
    PreferJson,
    /// JSON only.
    Json,
    /// Event streams only.
    Events,
    /// Neither.
    Nothing,
}

impl Accepted {
    /// No `Accept` means any type.
    pub(crate) fn of(headers: &HeaderMap) -> Accepted {
        let values = headers.get_all(header::ACCEPT).iter();
        let values = values.filter_map(|value| value.to_str().ok());
        let (mut json, mut events) = (Match::default(), Match::default());
        let mut is_empty = true;
        for range in values
            .flat_map(|value| split(value, ','))
            .map(str::trim)
            .filter(|range| !range.is_empty())
        {
            is_empty = false;
            json.look_at(range, JSON);
            events.look_at(range, EVENT_STREAM);
        }
        if is_empty {
            return Accepted::PreferJson;
        }
        match (json.weight > 0, events.weight > 0) {
            (true, true) if events.detail > 1 && events.weight >= json.weight => Accepted::Both,
            (true, true) => Accepted::PreferJson,
            (true, false) => Accepted::Json,
            (false, true) => Accepted::Events,
            (false, false) => Accepted::Nothing,
        }
    }

    pub(crate) fn takes_events(self) -> bool {
        matches!(
            self,
            Accepted::Both | Accepted::PreferJson | Accepted::Events
        )
    }
}

/// The weight of a type by the most specific range that matches it.
#[derive(Default)]
struct Match {
    /// 1 for `*/*`, 2 for `text/*`, 3 for the kind itself.
    detail: u8,
    /// In thousandths.
    weight: u16,
}

impl Match {
    fn look_at(&mut self, range: &str, kind: &str) {
        let mut parts = split(range, ';');
        let name = parts.next().unwrap_or_default().trim();
        let family = kind.split_once('/').map_or(kind, |(family, _)| family);
        let detail = match name.split_once('/') {
            Some(("*", "*")) => 1,
            Some((it, "*")) if it.eq_ignore_ascii_case(family) => 2,
            _ if name.eq_ignore_ascii_case(kind) => 3,
            _ => return,
        };
        let weight = parts
            .filter_map(|part| part.split_once('='))
            .find(|(key, _)| key.trim().eq_ignore_ascii_case("q"))
            .and_then(|(_, value)| weight(value.trim()))
            .unwrap_or(1000);
        if detail > self.detail || (detail == self.detail && weight > self.weight) {
            *self = Match { detail, weight };
        }
    }
}

/// A quality value in thousandths; `None` if malformed, which is then ignored.
fn weight(text: &str) -> Option<u16> {
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    if digits.len() > 3 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let thousandths = format!("{digits:0<3}").parse::<u16>().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

/// Splits at delimiters outside quotes.
fn split(text: &str, delimiter: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |character| {
        if is_escaped {
            is_escaped = false;
            return false;
        }
        match character {
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            other => return !is_quoted && other == delimiter,
        }
        false
    })
}

/// Names both types, as rmcp requires.
pub(crate) fn name_both(headers: &mut HeaderMap) {
    let both = HeaderValue::from_static("application/json, text/event-stream");
    headers.insert(header::ACCEPT, both);
}

pub(crate) fn is_events(response: &Response) -> bool {
    is_of_kind(response, EVENT_STREAM)
}

pub(crate) fn is_of_kind(response: &Response, kind: &str) -> bool {
    let found = response.headers().get(header::CONTENT_TYPE);
    found.is_some_and(|found| found.as_bytes().starts_with(kind.as_bytes()))
}

pub(crate) fn of_kind(kind: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// The response 406: no available type is accepted.
pub(crate) fn not_acceptable(needed: &str) -> Response {
    let text = format!("Not Acceptable: Accept leaves out {needed}\n");
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::NOT_ACCEPTABLE;
    response
}

/// Converts a response to the type that the client accepts.
pub(crate) async fn fitted(response: Response, accepted: Accepted) -> Response {
    match accepted {
        Accepted::PreferJson if is_events(&response) => alone(response, true).await,
        Accepted::Json if is_events(&response) => alone(response, false).await,
        Accepted::Events if response.status() == StatusCode::OK && is_of_kind(&response, JSON) => {
            as_event(response).await
        }
        _ => response,
    }
}

/// The members that tell the kind of a message.
#[derive(Deserialize)]
struct MessageKind<'a> {
    #[serde(borrow)]
    method: Option<std::borrow::Cow<'a, str>>,
    id: Option<IgnoredAny>,
}

/// The response in an event stream as JSON, without the notifications before it. If the client
/// `may` get events, a stream that asks the client something, or ends without a response, stays a
/// stream.
async fn alone(response: Response, may: bool) -> Response {
    let (mut head, body) = response.into_parts();
    let mut events = Box::pin(sse::events(body));
    while let Some(Ok(event)) = events.next().await {
        let data = sse::data(&event);
        let Ok(message) = serde_json::from_slice::<MessageKind>(&data) else {
            continue;
        };
        match message.method {
            None => {
                let json = HeaderValue::from_static(JSON);
                head.headers.insert(header::CONTENT_TYPE, json);
                return Response::from_parts(head, Body::from(data));
            }
            Some(method) if may && (message.id.is_some() || is_subscription(&method)) => {
                let events = stream::iter([Ok(event)]).chain(events);
                return Response::from_parts(head, Body::from_stream(events));
            }
            Some(_) => {}
        }
    }
    // The request was cancelled, and has no response.
    head.headers.remove(header::CONTENT_TYPE);
    head.status = StatusCode::ACCEPTED;
    Response::from_parts(head, Body::empty())
}

fn is_subscription(method: &str) -> bool {
    method == "notifications/subscriptions/acknowledged"
}

/// One message as a stream of one event.
async fn as_event(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await;
    let events = HeaderValue::from_static(EVENT_STREAM);
    head.headers.insert(header::CONTENT_TYPE, events);
    Response::from_parts(
        head,
        Body::from(sse::event_of_text(&body.unwrap_or_default())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_detailed_range_decides_and_zero_excludes() {
        use Accepted::*;
        for (accept, accepted) in [
            ("application/json, text/event-stream", Both),
            ("text/event-stream, application/json", Both),
            (
                "TEXT/event-stream;q=1, application/JSON;charset=utf-8",
                Both,
            ),
            ("text/*, application/*", Both),
            ("text/event-stream, */*", Both),
            ("application/json;q=0.5, text/event-stream;q=0.9", Both),
            ("application/json, text/event-stream;q=0.9", PreferJson),
            ("*/*", PreferJson),
            ("application/json, text/plain, */*", PreferJson),
            ("", PreferJson),
            (" , ", PreferJson),
            ("application/json", Json),
            ("application/*", Json),
            ("application/json, text/event-stream;q=0", Json),
            ("*/*, text/event-stream;q=0.000", Json),
            ("*/*, text/*;q=0", Json),
            ("text/event-stream", Events),
            ("text/*", Events),
            ("*/*, application/json;q=0", Events),
            ("application/json;q=0, text/event-stream", Events),
            ("*/*;q=0", Nothing),
            ("text/html", Nothing),
            ("application/json;q=0", Nothing),
            // A weight that is none says nothing.
            ("application/json;q=none", Json),
            ("application/json;q=0.0001", Json),
            // Delimiters in quotes are none.
            ("application/json;x=\", text/event-stream;q=0\"", Json),
            ("text/html;x=\"\\\", application/json\"", Nothing),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(Accepted::of(&headers), accepted, "{accept}");
        }
        assert_eq!(Accepted::of(&HeaderMap::new()), PreferJson);
    }
}
