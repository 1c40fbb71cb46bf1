//! Where a request may go, and where a server may send it.

use serde_json::json;

use super::{fetch, granted, host_for};
use crate::common::{call, load, manifest};
use crate::plugins::server::{Server, page, redirect};
use crate::plugins::{assert_error, texts};

#[tokio::test]
async fn redirects_are_followed_as_browsers_do() {
    let server = Server::start(|request| match &*request.target {
        "/a/moved" => redirect(302, "../b?c=d"),
        "/keep" => redirect(307, "/there"),
        "/endless" => redirect(301, "/endless"),
        "/scheme" => redirect(301, "file:///etc/passwd"),
        target => page("text/plain", format!("{} {target}", request.method)),
    });
    let host = host_for(&server).await;
    let url = &server.url;
    let post = |path: &str| call("fetch", json!({"url": format!("{url}{path}"), "body": "x"}));
    let result = host.call(post("/a/moved")).await;
    assert_eq!(texts(&result)[0], "GET /b?c=d");
    assert!(texts(&result)[1].contains(&format!("from {url}/b?c=d,")));
    assert_eq!(texts(&host.call(post("/keep")).await)[0], "POST /there");

    let result = host.call(fetch(&format!("{url}/endless"))).await;
    assert_error(&result, "failed", "redirects more than 5 times");
    let result = host.call(fetch(&format!("{url}/scheme"))).await;
    assert_error(&result, "failed", "only http and https");
}

#[tokio::test]
async fn a_redirect_takes_nobody_to_what_is_not_granted() {
    let inside = Server::of("text/plain", "secret");
    let location = format!("{}/admin", inside.url);
    let elsewhere = location.clone();
    let server = Server::start(move |_| redirect(302, elsewhere.clone()));
    let result = host_for(&server).await.call(fetch(&server.url)).await;
    assert_error(&result, "denied", &location);
    assert_eq!(inside.requests(), []);
}

#[tokio::test]
async fn a_redirect_to_another_origin_carries_no_password() {
    let other = Server::of("text/plain", "ok");
    let location = other.url.clone();
    let server = Server::start(move |request| match &*request.target {
        "/" => redirect(302, "/here"),
        _ => redirect(302, location.clone()),
    });
    let host = load(manifest([granted(&[&server.url, &other.url])])).await;
    let headers = json!({"Authorization": "Bearer s3cret", "X-Trace": "1"});
    let arguments = json!({"url": server.url, "headers": headers});
    assert_eq!(texts(&host.call(call("fetch", arguments)).await)[0], "ok");
    let here = &server.requests()[1].headers;
    assert_eq!(here["authorization"], "Bearer s3cret");
    let there = &other.requests()[0].headers;
    assert_eq!(there.get("authorization"), None);
    assert_eq!(there["x-trace"], "1");
}

#[tokio::test]
async fn what_is_not_granted_is_denied_and_never_reached() {
    let server = Server::of("text/plain", "secret");
    let ungranted = load(manifest([granted(&[
        "http://example.com",
        "https://127.0.0.1",
    ])]))
    .await;
    let result = ungranted.call(fetch(&server.url)).await;
    assert_error(&result, "denied", &server.url);

    let narrow = load(manifest([granted(&[&format!("{}/v1", server.url)])])).await;
    for path in ["/v2", "/v10", "/v1/../v2", "/v1/%2e%2e/v2"] {
        let result = narrow.call(fetch(&format!("{}{path}", server.url))).await;
        assert_error(&result, "denied", &server.url);
    }
    assert_eq!(server.requests(), []);
    let result = narrow.call(fetch(&format!("{}/v1/x", server.url))).await;
    assert_eq!(texts(&result)[0], "secret");
}
