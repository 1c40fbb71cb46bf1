//! `Host`, `Origin`, and CORS.

use super::*;
use toolhost_core::manifest::{TokenConfig, TokenDigest};

/// A server with names of its own, which admits nobody to `/mcp`.
async fn named() -> Server {
    let mut config = plain();
    config.hosts = ["tools.example.com", "tools.example.org:8443"]
        .map(|it| it.parse().unwrap())
        .into();
    config.origins = vec!["https://app.example.com".parse().unwrap()];
    let token = TokenConfig::new("a", TokenDigest::of("sesame"));
    config.auth.tokens.push(token);
    Server::start(&config).await
}

const PATHS: [(&str, u16); 5] = [
    ("/healthz", 200),
    ("/readyz", 200),
    ("/mcp", 401),
    ("/.well-known/oauth-protected-resource", 404),
    ("/nothing", 404),
];

#[tokio::test]
async fn wrong_host_is_refused_on_every_path_before_the_token() {
    let server = named().await;
    let good = [
        "Host: localhost",
        "Host: LOCALHOST:1234",
        "Host: 127.0.0.1:8080",
        "Host: [::1]:8080",
        "Host: tools.example.com",
        "Host: tools.example.com:8443",
        "Host: tools.example.org:8443",
    ];
    let forbidden = [
        "Host: evil.example",
        "Host: evil.example:8080",
        "Host: localhost.evil.example",
        "Host: sub.tools.example.com",
        "Host: tools.example.org",
        "Host: 127.0.0.2",
        "Host: 2130706433",
    ];
    let malformed = [
        "X: no host",
        "Host:",
        "Host: localhost\r\nHost: localhost",
        "Host: localhost\r\nHost: evil.example",
        "Host: localhost, evil.example",
        "Host: localhost@evil.example",
        "Host: evil.example@localhost",
        "Host: localhost:80@evil.example",
        "Host: localhost/",
        "Host: localhost:",
        "Host: \u{e9}",
    ];
    for (path, status) in PATHS {
        let cases = [
            (&good[..], status),
            (&forbidden[..], 403),
            (&malformed[..], 400),
        ];
        for (hosts, status) in cases {
            for host in hosts {
                let reply = server
                    .ask(&format!("GET {path} HTTP/1.1\r\n{host}\r\n\r\n"))
                    .await;
                assert_eq!(reply.status, status, "{path} {host}: {reply:?}");
                assert!(!reply.body.contains("evil"), "{reply:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_target_with_a_host_counts_as_much_as_the_header() {
    let server = named().await;
    for (target, host, status) in [
        ("http://localhost/healthz", "localhost", 200),
        ("http://tools.example.com/healthz", "localhost", 200),
        ("http://evil.example/healthz", "localhost", 403),
        ("http://localhost/healthz", "evil.example", 403),
        ("http://localhost@evil.example/healthz", "localhost", 400),
        ("http://evil.example@localhost/healthz", "localhost", 400),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let reply = server.ask(&request).await;
        assert_eq!(reply.status, status, "{request}: {reply:?}");
    }
    let old = server.ask("GET /healthz HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.status, 400);
}

#[tokio::test]
async fn only_pages_of_allowed_origins_send_requests() {
    let server = named().await;
    for (path, status) in PATHS {
        for (origin, status) in [
            ("X: no origin", status),
            ("Origin: https://app.example.com", status),
            ("Origin: http://localhost:6274", status),
            ("Origin: http://127.0.0.1", status),
            ("Origin: https://[::1]:8443", status),
            ("Origin: null", 403),
            ("Origin:", 403),
            ("Origin: http://app.example.com", 403),
            ("Origin: https://app.example.com:8443", 403),
            ("Origin: https://app.example.com.evil.example", 403),
            ("Origin: https://evil.example", 403),
            ("Origin: http://localhost.evil.example", 403),
            ("Origin: http://localhost@evil.example", 403),
            ("Origin: file://localhost", 403),
            ("Origin: http://localhost\r\nOrigin: http://localhost", 403),
            ("Origin: http://localhost http://evil.example", 403),
        ] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{origin}\r\n\r\n");
            let reply = server.ask(&request).await;
            assert_eq!(reply.status, status, "{path} {origin}: {reply:?}");
            let is_let_read = reply.header("access-control-allow-origin").is_some();
            let is_page = origin.starts_with("Origin") && status != 403;
            assert_eq!(is_let_read, is_page, "{path} {origin}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn a_page_may_ask_first_and_then_read_what_it_needs() {
    let server = named().await;
    let head = "Host: localhost\r\nOrigin: https://app.example.com\r\n";
    let asks =
        "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n";
    let reply = server
        .ask(&format!("OPTIONS /mcp HTTP/1.1\r\n{head}{asks}\r\n"))
        .await;
    assert_eq!(reply.status, 204);
    let allowed = reply.header("access-control-allow-origin");
    assert_eq!(allowed, Some("https://app.example.com"));
    let headers = reply.header("access-control-allow-headers");
    assert_eq!(headers, Some("authorization"));
    // Refusals are readable by the page; preflights admit nobody.
    let reply = server
        .ask(&format!("OPTIONS /mcp HTTP/1.1\r\n{head}\r\n"))
        .await;
    assert_eq!(reply.status, 401);
    let exposed = reply.header("access-control-expose-headers").unwrap();
    assert!(exposed.contains("www-authenticate"), "{exposed}");
    let evil = head.replace("app.example.com", "evil.example");
    let reply = server
        .ask(&format!("OPTIONS /mcp HTTP/1.1\r\n{evil}{asks}\r\n"))
        .await;
    assert_eq!(reply.status, 403);
}
