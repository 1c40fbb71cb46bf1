//! HTTP requests within others, and headers that are the host's to set.

use super::super::attack::{Attack, answer, attack, denied, failed, limit};

const WEB: &str = "permissions.http = ['http://<web>']";
const HEADERS: &str = "permissions.http = ['http://<web>', 'http://<other>']
permissions.http-headers = [
    { host = '<web>', name = 'Authorization', value = 'Bearer ${TOKEN}' },
]
permissions.secrets = { TOKEN = { file = '<secret>' } }";

pub const ATTACKS: &[Attack] = &[
    attack(
        "line-end-in-header-value",
        "header",
        r#"{"url": "http://<web>/echo", "name": "x-a", "value": "1\r\nx-b: 2"}"#,
        WEB,
        failed("refused: HeaderError::InvalidSyntax"),
    ),
    attack(
        "line-feed-in-header-value",
        "header",
        r#"{"url": "http://<web>/echo", "name": "x-a", "value": "1\nx-b: 2"}"#,
        WEB,
        failed("refused: HeaderError::InvalidSyntax"),
    ),
    attack(
        "null-in-header-value",
        "header",
        r#"{"url": "http://<web>/echo", "name": "x-a", "value": "1\u0000"}"#,
        WEB,
        failed("refused: HeaderError::InvalidSyntax"),
    ),
    attack(
        "line-end-in-header-name",
        "header",
        r#"{"url": "http://<web>/echo", "name": "x-a\r\nx-b", "value": "1"}"#,
        WEB,
        failed("refused: HeaderError::InvalidSyntax"),
    ),
    attack(
        "colon-in-header-name",
        "header",
        r#"{"url": "http://<web>/echo", "name": "x-a: 1", "value": "1"}"#,
        WEB,
        failed("refused: HeaderError::InvalidSyntax"),
    ),
    attack(
        "line-end-in-path",
        "smuggle_path",
        r#"{"url": "http://<web>", "path": "/ HTTP/1.1\r\nx-b: 2\r\n\r\n"}"#,
        WEB,
        failed("refused: the request's path"),
    ),
    attack(
        "space-in-path",
        "smuggle_path",
        r#"{"url": "http://<web>", "path": "/echo HTTP/1.0"}"#,
        WEB,
        failed("refused: the request's path"),
    ),
    attack(
        "path-without-slash",
        "smuggle_path",
        r#"{"url": "http://<web>", "path": "@<other>/"}"#,
        WEB,
        failed("refused: the request's path"),
    ),
    attack(
        "path-that-is-a-url",
        "smuggle_path",
        r#"{"url": "http://<web>", "path": "http://<other>/"}"#,
        WEB,
        failed("refused: the request's path"),
    ),
    attack(
        "header-host",
        "header",
        r#"{"url": "http://<web>/echo", "name": "Host", "value": "<other>"}"#,
        WEB,
        failed("refused: HeaderError::Forbidden"),
    ),
    attack(
        "header-transfer-encoding",
        "header",
        r#"{"url": "http://<web>/echo", "name": "Transfer-Encoding", "value": "chunked"}"#,
        WEB,
        failed("refused: HeaderError::Forbidden"),
    ),
    attack(
        "header-connection",
        "header",
        r#"{"url": "http://<web>/echo", "name": "connection", "value": "keep-alive"}"#,
        WEB,
        failed("refused: HeaderError::Forbidden"),
    ),
    attack(
        "header-te",
        "header",
        r#"{"url": "http://<web>/echo", "name": "te", "value": "trailers"}"#,
        WEB,
        failed("refused: HeaderError::Forbidden"),
    ),
    attack(
        "header-upgrade",
        "header",
        r#"{"url": "http://<web>/echo", "name": "upgrade", "value": "h2c"}"#,
        WEB,
        failed("refused: HeaderError::Forbidden"),
    ),
    attack(
        "header-content-length",
        "header",
        r#"{"url": "http://<web>/echo", "name": "content-length", "value": "5"}"#,
        WEB,
        failed("refused: ErrorCode::HttpRequestBodySize(Some(0))"),
    )
    .by_wasi3(failed("refused: ErrorCode::HttpProtocolError")),
    attack(
        "header-content-length-of-no-number",
        "header",
        r#"{"url": "http://<web>/echo", "name": "content-length", "value": "0, 5"}"#,
        WEB,
        failed("refused: HeaderError::InvalidSyntax"),
    ),
    attack(
        "body-longer-than-it-says",
        "content_length_lie",
        r#"{"url": "http://<web>/echo"}"#,
        WEB,
        failed("refused: ErrorCode::HttpRequestBodySize(Some(10)), after 0 bytes"),
    )
    .seen(&[("web", 1)])
    .or_less(),
    attack(
        "header-that-is-harmless",
        "header",
        r#"{"url": "http://<web>/echo", "name": "X-A", "value": "1"}"#,
        WEB,
        answer("status: 200\nGET /echo HTTP/1.1\r\nhost: <web>\r\nx-a: 1\r\n\r\n"),
    )
    .by_wasi3(answer(
        "status: 200\nGET /echo HTTP/1.1\r\nx-a: 1\r\nhost: <web>\r\n\r\n",
    ))
    .seen(&[("web", 1)]),
    attack(
        "header-flood",
        "header_flood",
        r#"{"url": "http://<web>/"}"#,
        WEB,
        limit("HTTP header size limit exceeded (64 KiB)"),
    )
    // The guest is told at the header that is too much, and sends the others.
    .only_wasi2(),
    attack(
        "header-of-the-host",
        "header",
        r#"{"url": "http://<web>/echo", "name": "authorization", "value": "mine"}"#,
        HEADERS,
        answer(
            "status: 200\nGET /echo HTTP/1.1\r\nhost: <web>\r\nauthorization: Bearer ***\r\n\r\n",
        ),
    )
    .by_wasi3(answer(
        "status: 200\nGET /echo HTTP/1.1\r\nauthorization: Bearer ***\r\nhost: <web>\r\n\r\n",
    ))
    .seen(&[("web", 1)]),
    attack(
        "header-of-the-host-for-another",
        "get",
        r#"{"url": "http://<other>/"}"#,
        HEADERS,
        answer("status: 200\nother"),
    )
    .seen(&[("other", 1)]),
    attack(
        "header-of-the-host-after-redirect",
        "follow",
        r#"{"url": "http://<web>/to-other?<other>"}"#,
        HEADERS,
        answer("status: 200\nother"),
    )
    .seen(&[("web", 1), ("other", 1)]),
    attack(
        "secret-that-is-for-headers",
        "secret",
        r#"{"name": "TOKEN"}"#,
        HEADERS,
        denied("secret TOKEN (refused: no secret TOKEN)"),
    ),
];
