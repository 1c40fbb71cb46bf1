//! HTTP servers that are slow or say much, and requests that are many.

use super::super::attack::{Attack, TIMEOUT, answer, attack, failed, limit};

const WEB: &str = "permissions.http = ['http://<web>']";
const QUICK_WEB: &str = "permissions.http = ['http://<web>']\ntimeout = '300ms'";
const SMALL_WEB: &str = "permissions.http = ['http://<web>']
max-response = '1MiB'
max-requests = 5
max-open-requests = 3";

pub const ATTACKS: &[Attack] = &[
    attack(
        "slow-loris-head",
        "slow",
        r#"{"url": "http://<web>/drip-head"}"#,
        QUICK_WEB,
        TIMEOUT,
    )
    .seen(&[("web", 1)]),
    attack(
        "slow-loris-body",
        "slow",
        r#"{"url": "http://<web>/drip-body"}"#,
        QUICK_WEB,
        TIMEOUT,
    )
    .seen(&[("web", 1)]),
    attack(
        "server-that-never-answers",
        "get",
        r#"{"url": "http://<web>/hang"}"#,
        QUICK_WEB,
        TIMEOUT,
    )
    .seen(&[("web", 1)]),
    attack(
        "body-that-never-comes",
        "get",
        r#"{"url": "http://<web>/hang-body"}"#,
        QUICK_WEB,
        TIMEOUT,
    )
    .seen(&[("web", 1)]),
    attack(
        "large-response",
        "download",
        r#"{"url": "http://<web>/large"}"#,
        SMALL_WEB,
        limit("HTTP response size limit exceeded (1 MiB)"),
    )
    .seen(&[("web", 1)]),
    attack(
        "large-response-head",
        "get",
        r#"{"url": "http://<web>/large-head"}"#,
        WEB,
        limit("HTTP header size limit exceeded (64 KiB)"),
    )
    .seen(&[("web", 1)]),
    attack(
        "endless-response-head",
        "get",
        r#"{"url": "http://<web>/endless-head"}"#,
        WEB,
        limit("HTTP header size limit exceeded (64 KiB)"),
    )
    .seen(&[("web", 1)]),
    attack(
        "trailers-of-a-response",
        "get",
        r#"{"url": "http://<web>/trailers"}"#,
        WEB,
        answer("status: 200\nhello"),
    )
    .seen(&[("web", 1)]),
    attack(
        "trailers-without-end",
        "get",
        r#"{"url": "http://<web>/endless-trailers"}"#,
        WEB,
        failed("…"),
    )
    .seen(&[("web", 1)]),
    attack(
        "trailer-without-end",
        "get",
        r#"{"url": "http://<web>/endless-trailer"}"#,
        WEB,
        failed("…"),
    )
    .seen(&[("web", 1)]),
    attack(
        "chunk-extension-without-end",
        "get",
        r#"{"url": "http://<web>/endless-extension"}"#,
        WEB,
        failed("…"),
    )
    .seen(&[("web", 1)]),
    attack(
        "response-of-two-lengths",
        "get",
        r#"{"url": "http://<web>/two-lengths"}"#,
        WEB,
        failed("…"),
    )
    .seen(&[("web", 1)]),
    attack(
        "response-of-a-length-and-chunks",
        "get",
        r#"{"url": "http://<web>/length-and-chunks"}"#,
        WEB,
        answer("status: 200\nhello"),
    )
    .seen(&[("web", 1)]),
    attack(
        "response-that-changes-the-protocol",
        "get",
        r#"{"url": "http://<web>/upgrade"}"#,
        WEB,
        answer("status: 101\n"),
    )
    .seen(&[("web", 1)]),
    attack(
        "interim-responses-without-end",
        "get",
        r#"{"url": "http://<web>/hints"}"#,
        SMALL_WEB,
        limit("HTTP response size limit exceeded (1 MiB)"),
    )
    .seen(&[("web", 1)]),
    attack(
        "response-that-is-no-http",
        "get",
        r#"{"url": "http://<web>/garbage"}"#,
        WEB,
        failed("refused: ErrorCode::HttpProtocolError"),
    )
    .seen(&[("web", 1)]),
    attack(
        "many-requests",
        "many",
        r#"{"url": "http://<web>/", "count": 6}"#,
        SMALL_WEB,
        limit("HTTP request limit exceeded (5)"),
    )
    .seen(&[("web", 5)]),
    attack(
        "many-requests-within-bound",
        "many",
        r#"{"url": "http://<web>/", "count": 5}"#,
        SMALL_WEB,
        answer("status: 200 (5 times)"),
    )
    .seen(&[("web", 5)]),
    attack(
        "many-open-requests",
        "many_open",
        r#"{"url": "http://<web>/hang-body", "count": 4}"#,
        SMALL_WEB,
        limit("concurrent HTTP request limit exceeded (3)"),
    )
    .seen(&[("web", 3)])
    .or_less(),
    attack(
        "many-open-requests-within-bound",
        "many_open",
        r#"{"url": "http://<web>/hang-body", "count": 3}"#,
        SMALL_WEB,
        answer("3 responses open at once"),
    )
    .seen(&[("web", 3)]),
    attack(
        "upload-without-end",
        "upload",
        r#"{"url": "http://<web>/hang", "bytes": 1000000000000}"#,
        QUICK_WEB,
        TIMEOUT,
    )
    .seen(&[("web", 1)]),
];
