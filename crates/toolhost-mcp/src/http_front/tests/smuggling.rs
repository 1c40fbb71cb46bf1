//! Requests that say more than one thing of where they end, and trailers that say what no header did.

use super::*;
use toolhost_core::manifest::{TokenConfig, TokenDigest};

/// What would be answered with 200, and says so, if it were taken for a request.
const HIDDEN: &str = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nhidden";

fn post(head: &str, rest: &str) -> String {
    format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\n{head}\r\n{rest}")
}

/// All that comes back until the server closes.
async fn all(server: &Server, request: &str) -> String {
    let mut client = server.connect().await;
    client.send(request).await;
    // The client sends no more: a request that is not refused is answered, and the connection then
    // closed.
    client.stream.shutdown().await.unwrap();
    client.end().await
}

#[tokio::test]
async fn a_request_whose_end_is_unclear_is_refused_with_what_follows() {
    let server = Server::start(&plain()).await;
    for head in [
        "Content-Length: 2\r\nContent-Length: 60\r\n",
        "Content-Length: 2, 60\r\n",
        "Content-Length: +2\r\n",
        "Content-Length: -2\r\n",
        "Content-Length: 0x2\r\n",
        "Content-Length: 2 2\r\n",
        "Content-Length: \r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Content-Length : 2\r\n",
        "X-A: b\r\n Content-Length: 60\r\nContent-Length: 2\r\n",
        "Transfer-Encoding: identity\r\nContent-Length: 2\r\n",
        "Transfer-Encoding: chunked, identity\r\nContent-Length: 2\r\n",
        "Transfer-Encoding: xchunked\r\nContent-Length: 2\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: \r\nContent-Length: 2\r\n",
        "Transfer-Encoding : chunked\r\nContent-Length: 2\r\n",
        "Transfer-Encoding:\r\n chunked\r\nContent-Length: 2\r\n",
        "X\0: y\r\nContent-Length: 2\r\n",
        "X: y\0\r\nContent-Length: 2\r\n",
        "X: y\rContent-Length: 2\r\nContent-Length: 2\r\n",
        ": y\r\nContent-Length: 2\r\n",
        "no colon\r\nContent-Length: 2\r\n",
    ] {
        let replied = all(&server, &post(head, &format!("hi{HIDDEN}"))).await;
        assert!(replied.starts_with("HTTP/1.1 400 "), "{head:?}: {replied}");
        assert_eq!(
            replied.matches("HTTP/1.1 ").count(),
            1,
            "{head:?}: {replied}"
        );
        assert!(!replied.contains("hidden"), "{head:?}: {replied}");
    }
    // HTTP/1.0 has no chunks.
    let old = post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0");
    let replied = all(&server, &(old + HIDDEN)).await;
    assert!(!replied.contains("hidden"), "{replied}");
}

#[tokio::test]
async fn chunks_that_are_none_end_the_connection() {
    let server = Server::start(&plain()).await;
    let chunked = |chunks: &str| post("Transfer-Encoding: chunked\r\n", chunks);
    let long = "x".repeat(40_000);
    for chunks in [
        "hi\r\n",
        "-2\r\nhi\r\n0\r\n\r\n",
        "0x2\r\nhi\r\n0\r\n\r\n",
        "2 2\r\nhi\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nhi\r\n0\r\n\r\n",
        "2\r\nhix\r\n0\r\n\r\n",
        "2\r\nhi0\r\n\r\n",
        "2\nhi\n0\n\n",
        &format!("2;{long}\r\nhi\r\n0\r\n\r\n"),
        &format!(
            "{}2\r\nhi\r\n0\r\n\r\n",
            format!("1;{}\r\nx\r\n", "y".repeat(4000)).repeat(10)
        ),
        &format!("2\r\nhi\r\n0\r\nX: {long}\r\n\r\n"),
        &format!("2\r\nhi\r\n0\r\n{}\r\n", "X: y\r\n".repeat(1000)),
        "2\r\nhi\r\n0\r\nno colon\r\n\r\n",
    ] {
        let replied = all(&server, &(chunked(chunks) + HIDDEN)).await;
        assert!(!replied.contains("hidden"), "{chunks:.60}: {replied}");
        assert!(!replied.contains(" 200 "), "{chunks:.60}: {replied}");
    }
}

/// RFC 9112: a length is ignored beside chunks.
#[tokio::test]
async fn a_length_beside_chunks_is_not_gone_by() {
    let server = Server::start(&plain()).await;
    for head in [
        "Content-Length: 60\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 60\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
    ] {
        let mut client = server.connect().await;
        let reply = client.ask(&post(head, "2\r\nhi\r\n0\r\n\r\n")).await;
        assert_eq!(
            (reply.status, &reply.json()["body"]),
            (200, &json!("hi")),
            "{head:?}"
        );
    }
}

#[tokio::test]
async fn trailers_are_no_headers() {
    let mut config = plain();
    config.auth.tokens = vec![TokenConfig::new("one", TokenDigest::of("th_one"))];
    let server = Server::start(&config).await;
    let trailers = "Authorization: Bearer th_one\r\nContent-Length: 9\r\nHost: evil.example\r\n\
        Transfer-Encoding: chunked\r\nMcp-Session-Id: 1\r\nOrigin: https://evil.example\r\n";
    let chunked = |head: &str, trailers: &str| {
        let head = format!("{head}Transfer-Encoding: chunked\r\nTE: trailers\r\n");
        post(&head, &format!("2\r\nhi\r\n0\r\n{trailers}\r\n"))
    };
    let mut client = server.connect().await;
    let reply = client
        .ask(&chunked("Trailer: Authorization\r\n", trailers))
        .await;
    assert_eq!(reply.status, 401, "{reply:?}");
    let token = "Authorization: Bearer th_one\r\n";
    for trailers in ["", "X: y\r\n", trailers] {
        let mut client = server.connect().await;
        for _ in 0..2 {
            let reply = client.ask(&chunked(token, trailers)).await;
            assert_eq!(
                (reply.name(), &reply.json()["body"]),
                ("one".into(), &json!("hi"))
            );
        }
    }
}

#[tokio::test]
async fn who_asks_whether_to_go_on_is_told_before_it_sends_anything() {
    let mut config = plain();
    config.auth.tokens = vec![TokenConfig::new("one", TokenDigest::of("th_one"))];
    config.max_body = bytesize::ByteSize::b(1000);
    let server = Server::start(&config).await;
    let asks = |head: &str| post(&format!("Expect: 100-continue\r\n{head}"), "");
    let token = "Authorization: Bearer th_one\r\n";
    let mut client = server.connect().await;
    client
        .send(asks(&format!("{token}Content-Length: 2\r\n")))
        .await;
    client.until("HTTP/1.1 100 Continue\r\n\r\n").await;
    client.send("hi").await;
    assert_eq!(client.reply().await.json()["body"], "hi");
    for (head, status) in [
        ("Content-Length: 2\r\n".to_owned(), 401),
        (format!("{token}Content-Length: 1001\r\n"), 413),
        (
            format!("{token}Content-Length: 2\r\nOrigin: https://evil.example\r\n"),
            403,
        ),
    ] {
        let mut client = server.connect().await;
        let reply = client.ask(&asks(&head)).await;
        assert_eq!(reply.status, status, "{head}: {reply:?}");
    }
}

#[tokio::test]
async fn nothing_else_is_spoken_on_a_connection_of_http_1() {
    let server = Server::start(&plain()).await;
    for (upgrade, more) in [
        ("h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"),
        (
            "websocket",
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        ),
        ("TLS/1.0", ""),
    ] {
        let head = format!("Connection: Upgrade\r\nUpgrade: {upgrade}\r\n{more}");
        let mut client = server.connect().await;
        let reply = client.ask(&message(&head)).await;
        assert_eq!(reply.status, 200, "{upgrade}: {reply:?}");
        assert_eq!(reply.header("upgrade"), None);
        assert_eq!(client.ask(&message("")).await.status, 200);
    }
    for start in [
        "CONNECT localhost:80 HTTP/1.1",
        "CONNECT /mcp HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "TRACE /mcp HTTP/1.1",
        "GET mcp HTTP/1.1",
        "GET //localhost/mcp HTTP/1.1",
        "GET /mcp HTTP/1.1 HTTP/1.1",
        "GET  /mcp HTTP/1.1",
        "GET /mcp HTTP/9.9",
        "GET /mcp",
        "GET\t/mcp\tHTTP/1.1",
        "G\u{0}T /mcp HTTP/1.1",
    ] {
        let replied = all(
            &server,
            &format!("{start}\r\nHost: localhost\r\n\r\n{HIDDEN}"),
        )
        .await;
        assert!(!replied.starts_with("HTTP/1.1 2"), "{start}: {replied}");
        assert!(!replied.contains("data: "), "{start}: {replied}");
    }
}
