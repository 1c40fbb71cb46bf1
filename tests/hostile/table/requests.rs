//! HTTP requests that are not granted.

use super::super::attack::{Attack, answer, attack, failed, no_request};
use super::NOTHING;

const WEB: &str = "permissions.http = ['http://<web>']";
const BELOW: &str = "permissions.http = [{ url = 'http://<web>/api', methods = ['GET'] }]";

pub const ATTACKS: &[Attack] = &[
    attack(
        "request-of-nobody",
        "get",
        r#"{"url": "http://<web>/"}"#,
        NOTHING,
        no_request("GET http://<web>/"),
    ),
    attack(
        "post-of-nobody",
        "post",
        r#"{"url": "http://<web>/"}"#,
        NOTHING,
        no_request("POST http://<web>/"),
    ),
    attack(
        "request-to-another-port",
        "get",
        r#"{"url": "http://<other>/"}"#,
        WEB,
        no_request("GET http://<other>/"),
    ),
    attack(
        "request-by-another-scheme",
        "get",
        r#"{"url": "https://<web>/"}"#,
        WEB,
        no_request("GET https://<web>/"),
    ),
    attack(
        "request-by-no-scheme-of-http",
        "get",
        r#"{"url": "file://<web>/"}"#,
        WEB,
        failed("refused: ErrorCode::HttpProtocolError"),
    ),
    attack(
        "redirect-to-another-port",
        "follow",
        r#"{"url": "http://<web>/to-other?<other>"}"#,
        WEB,
        no_request("GET http://<other>/"),
    )
    .seen(&[("web", 1)]),
    attack(
        "redirect-to-loopback-by-name",
        "follow",
        r#"{"url": "http://<web>/to-other?localhost:<other-port>"}"#,
        WEB,
        no_request("GET http://localhost:<other-port>/"),
    )
    .seen(&[("web", 1)]),
    attack(
        "method-connect",
        "method",
        r#"{"url": "http://<web>/", "method": "CONNECT"}"#,
        WEB,
        no_request("CONNECT http://<web>/"),
    ),
    attack(
        "method-that-is-not-granted",
        "method",
        r#"{"url": "http://<web>/api", "method": "DELETE"}"#,
        BELOW,
        no_request("DELETE http://<web>/api"),
    ),
    attack(
        "method-in-lower-case",
        "method",
        r#"{"url": "http://<web>/api", "method": "get"}"#,
        BELOW,
        no_request("get http://<web>/api"),
    ),
    attack(
        "method-with-line-end",
        "method",
        r#"{"url": "http://<web>/api", "method": "GET / HTTP/1.1\r\nx: "}"#,
        WEB,
        failed("refused: the request's method"),
    ),
    attack(
        "path-and-method-as-granted",
        "get",
        r#"{"url": "http://<web>/api/x?y"}"#,
        BELOW,
        answer("status: 200\nhello"),
    )
    .seen(&[("web", 1)]),
    attack(
        "path-that-is-not-granted",
        "get",
        r#"{"url": "http://<web>/apis"}"#,
        BELOW,
        no_request("GET http://<web>/apis"),
    ),
    attack(
        "path-with-dots",
        "smuggle_path",
        r#"{"url": "http://<web>", "path": "/api/../admin"}"#,
        BELOW,
        no_request("GET http://<web>/admin"),
    ),
    attack(
        "path-with-encoded-dots",
        "smuggle_path",
        r#"{"url": "http://<web>", "path": "/api/%2e%2E/admin"}"#,
        BELOW,
        no_request("GET http://<web>/admin"),
    ),
    attack(
        "path-with-dots-inside-the-granted",
        "smuggle_path",
        r#"{"url": "http://<web>", "path": "/api/../api/x"}"#,
        BELOW,
        no_request("GET http://<web>/api/x"),
    ),
    attack(
        "path-with-backslash",
        "smuggle_path",
        r#"{"url": "http://<web>", "path": "/api/..\\admin"}"#,
        BELOW,
        no_request("GET http://<web>/admin"),
    ),
];
