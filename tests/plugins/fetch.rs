//! `fetch`: from servers on the loopback.

mod failures;
mod redirects;

use serde_json::{Value, json};
use toolhost::manifest::PluginConfig;
use toolhost::tool::Content;
use toolhost::{ToolCall, ToolHost, ToolResult};

use super::server::Server;
use super::{assert_error, texts};
use crate::common::{call, load, manifest, plugin, text};

const HTML: &str = "<!doctype html><html><head><title>T</title><style>p{}</style></head><body>\
    <h1>Hi</h1><p>A <a href=\"/x\">link</a> and <b>more</b>.</p><ul><li>one<li>two</ul>\
    <script>bad()</script></body></html>";

/// The plugin with these addresses granted.
fn granted(urls: &[&str]) -> PluginConfig {
    let mut plugin = plugin("fetch");
    let rules = urls.iter().map(|url| url.parse().unwrap());
    plugin.permissions.http.extend(rules);
    plugin
}

/// A host that may fetch from that server only.
async fn host_for(server: &Server) -> ToolHost {
    load(manifest([granted(&[&server.url])])).await
}

fn fetch(url: &str) -> ToolCall {
    call("fetch", json!({"url": url}))
}

/// What is fetched from a server that has one page.
async fn fetched(content_type: &'static str, body: &[u8], mut arguments: Value) -> ToolResult {
    let server = Server::of(content_type, body);
    arguments["url"] = json!(server.url);
    host_for(&server).await.call(call("fetch", arguments)).await
}

#[tokio::test]
async fn html_becomes_markdown_with_absolute_links() {
    let server = Server::of("text/html; charset=utf-8", HTML);
    let url = &server.url;
    let result = host_for(&server)
        .await
        .call(fetch(&format!("{url}/a/b")))
        .await;
    let markdown = format!("# Hi\n\nA [link]({url}/x) and **more**.\n\n- one\n- two");
    let length = markdown.len();
    let note = format!("[200 OK from {url}/a/b, text/html, all {length} bytes]");
    assert_eq!(texts(&result), [markdown, note]);
}

#[tokio::test]
async fn the_format_asked_for_is_the_one_given() {
    let text = fetched("text/html", HTML.as_bytes(), json!({"format": "text"})).await;
    assert_eq!(
        texts(&text)[0],
        "# Hi\n\nA link and **more**.\n\n- one\n- two"
    );
    let raw = fetched("text/html", HTML.as_bytes(), json!({"format": "raw"})).await;
    assert_eq!(texts(&raw)[0], HTML);
    let html = b"<p>a <i>b</i></p>";
    let plain = fetched("text/plain", html, json!({})).await;
    assert_eq!(texts(&plain)[0], "<p>a <i>b</i></p>");
    let markdown = fetched("text/plain", html, json!({"format": "markdown"})).await;
    assert_eq!(texts(&markdown)[0], "a *b*");
}

#[tokio::test]
async fn contents_other_than_pages_are_what_they_are() {
    let result = fetched("application/json", br#"{"a": [1]}"#, json!({})).await;
    assert_eq!(texts(&result)[0], r#"{"a": [1]}"#);
    let western = fetched(
        "text/plain; charset=ISO-8859-1",
        b"\x93na\xefve\x94",
        json!({}),
    )
    .await;
    assert_eq!(texts(&western)[0], "“naïve”");

    let result = fetched("image/png", b"\x89PNG\0", json!({})).await;
    let output = result.outcome.as_ref().expect("an image");
    let Content::Image(image) = &output.content[0] else {
        panic!("{output:?}");
    };
    assert_eq!(image.mime_type, "image/png");
    assert_eq!(image.data, b"\x89PNG\0");

    let binary = fetched("application/zip", b"PK\0\0", json!({})).await;
    assert_error(&binary, "failed", "is not text: 4 bytes of application/zip");
    let empty = fetched("text/plain", b"", json!({})).await;
    assert!(texts(&empty)[0].starts_with("200 OK\n"));
}

#[tokio::test]
async fn html_nested_without_end_fails_and_is_still_there_raw() {
    let html = "<div>".repeat(2_000);
    let result = fetched("text/html", html.as_bytes(), json!({})).await;
    assert_error(&result, "failed", "nested deeper");
    let result = fetched("text/html", html.as_bytes(), json!({"format": "raw"})).await;
    assert_eq!(texts(&result)[0], html);
}

#[tokio::test]
async fn a_body_is_posted_as_json_unless_it_is_text() {
    let server = Server::of("text/plain", "ok");
    let host = host_for(&server).await;
    let url = &server.url;
    // As the model wrote it: no order of keys and no digit is lost.
    let json = r#"{"name": "é", "id": 12345678901234567890123, "a": 1.10}"#;
    let long = "x".repeat(300_000);
    for arguments in [
        format!(r#"{{"url": "{url}", "body": {json}}}"#),
        json!({"url": url, "body": "a=b", "method": "PUT"}).to_string(),
        json!({"url": url, "body": "{}", "headers": {"Content-Type": "text/json"}}).to_string(),
        json!({"url": url, "body": long}).to_string(),
        json!({"url": url, "body": null}).to_string(),
    ] {
        let result = host.call(ToolCall::new("1", "fetch", arguments)).await;
        assert_eq!(texts(&result)[0], "ok");
    }
    let sent: Vec<(String, Option<String>, String)> = server
        .requests()
        .into_iter()
        .map(|mut request| {
            let content_type = request.headers.remove("content-type");
            (request.method, content_type, request.body)
        })
        .collect();
    let expected = [
        ("POST", Some("application/json"), json),
        ("PUT", None, "a=b"),
        ("POST", Some("text/json"), "{}"),
        ("POST", None, &*long),
        ("GET", None, ""),
    ]
    .map(|(method, content_type, body)| {
        let content_type = content_type.map(str::to_owned);
        (method.to_owned(), content_type, body.to_owned())
    });
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn a_head_request_answers_with_the_headers() {
    let server = Server::of("text/plain", "12345");
    let head = call("fetch", json!({"url": server.url, "method": "HEAD"}));
    let result = host_for(&server).await.call(head).await;
    assert!(
        texts(&result)[0].contains("\ncontent-length: 5"),
        "{result:?}"
    );
    assert_eq!(server.requests()[0].method, "HEAD");
}

#[tokio::test]
async fn headers_are_the_calls_and_the_user_agent_the_manifests() {
    let server = Server::of("text/plain", "ok");
    let call = |headers: Value| call("fetch", json!({"url": server.url, "headers": headers}));
    let mut plugin = granted(&[&server.url]);
    let agent = ("user-agent".to_owned(), "robot/7".to_owned());
    plugin.config.extend([agent]);
    let host = load(manifest([plugin])).await;
    text(
        &host
            .call(call(json!({"X-Key": "v", "Accept": "image/png"})))
            .await,
    );
    text(&host.call(call(json!({"User-Agent": "person"}))).await);
    let requests = server.requests();
    assert_eq!(requests[0].headers["user-agent"], "robot/7");
    assert_eq!(requests[0].headers["x-key"], "v");
    assert_eq!(requests[0].headers["accept"], "image/png");
    assert_eq!(requests[1].headers["user-agent"], "person");

    let default = host_for(&server).await;
    text(&default.call(fetch(&server.url)).await);
    let agent = &server.requests()[2].headers["user-agent"];
    assert!(agent.starts_with("toolhost-fetch/"), "{agent}");
}

#[tokio::test]
async fn a_request_that_cannot_be_made_is_an_invalid_argument() {
    let server = Server::of("text/plain", "ok");
    let host = host_for(&server).await;
    let url = &server.url;
    for (arguments, words) in [
        (json!({"url": "nonsense"}), "nonsense"),
        (json!({"url": "ftp://127.0.0.1/"}), "only http and https"),
        (json!({"url": "http://me:pw@127.0.0.1/"}), "use a header"),
        (json!({"url": url, "method": "get"}), "/method"),
        (
            json!({"url": url, "method": "GET", "body": "x"}),
            "cannot have a body",
        ),
        (json!({"url": url, "headers": {"host": "x"}}), "\"host\""),
        (json!({"url": url, "headers": {"a b": "x"}}), "\"a b\""),
        (json!({"url": url, "headers": {"a": "x\r\nb: y"}}), "\"a\""),
        (json!({"url": url, "max_bytes": 1}), "/max_bytes"),
        (json!({"url": url, "timeout": 1}), "timeout"),
        (json!({}), "url"),
    ] {
        let result = host.call(call("fetch", arguments)).await;
        assert_error(&result, "invalid-arguments", words);
    }
    assert_eq!(server.requests(), []);
}

#[tokio::test]
async fn a_long_page_comes_in_parts_that_make_it_whole() {
    let body: String = (0..100)
        .map(|number| format!("line {number}: é\n"))
        .collect();
    let server = Server::of("text/plain; charset=utf-8", body.clone());
    let host = host_for(&server).await;
    let (mut read, mut parts) = (String::new(), 0);
    while read.len() < body.len() {
        let arguments = json!({"url": server.url, "max_bytes": 500, "offset": read.len()});
        let result = host.call(call("fetch", arguments)).await;
        let [part, note] = texts(&result)[..] else {
            panic!("{result:?}");
        };
        assert!(part.len() <= 500);
        let start = read.len();
        read.push_str(part);
        let end = read.len();
        let extent = format!("bytes {start} to {end} of {}", body.len());
        assert!(note.contains(&extent), "{note}");
        let goes_on = note.contains(&format!("continue with offset {end}"));
        assert_eq!(goes_on, end < body.len(), "{note}");
        parts += 1;
    }
    assert_eq!(read, body);
    assert!(parts > 2);
    let past = json!({"url": server.url, "offset": body.len()});
    let result = host.call(call("fetch", past)).await;
    assert_error(&result, "invalid-arguments", "past the end");
}
