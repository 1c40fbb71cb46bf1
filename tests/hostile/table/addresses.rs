//! HTTP to the loopback, under other names than the granted one.

use super::super::attack::{Attack, answer, attack, denied, failed, no_request};

const WEB: &str = "permissions.http = ['http://<web>']";
const NAMES: &str =
    "permissions.http = ['http://localhost', 'http://*.localhost', 'https://localhost']";
const PORT: &str = "permissions.http = ['http://localhost:<web-port>']";
const TLS: &str = "permissions.http = ['https://<tls>', 'https://localhost:<tls-port>']";

pub const ATTACKS: &[Attack] = &[
    attack(
        "name-of-loopback",
        "get",
        r#"{"url": "http://localhost/"}"#,
        NAMES,
        denied("http request to localhost: … is a loopback address …"),
    ),
    attack(
        "name-of-loopback-by-tls",
        "get",
        r#"{"url": "https://localhost/"}"#,
        NAMES,
        denied("http request to localhost: … is a loopback address …"),
    ),
    attack(
        "name-of-loopback-at-another-port",
        "get",
        r#"{"url": "http://localhost:<web-port>/"}"#,
        NAMES,
        no_request("GET http://localhost:<web-port>/"),
    ),
    attack(
        "name-for-a-granted-address",
        "get",
        r#"{"url": "http://localhost:<web-port>/"}"#,
        WEB,
        no_request("GET http://localhost:<web-port>/"),
    ),
    attack(
        "name-granted-with-its-port",
        "get",
        r#"{"url": "http://localhost:<web-port>/"}"#,
        PORT,
        answer("status: 200\nhello"),
    )
    .seen(&[("web", 1)]),
    attack(
        "address-for-a-granted-name",
        "get",
        r#"{"url": "http://<web>/"}"#,
        PORT,
        no_request("GET http://<web>/"),
    ),
    attack(
        "loopback-ipv6",
        "get",
        r#"{"url": "http://[::1]:<web-port>/"}"#,
        WEB,
        no_request("GET http://[::1]:<web-port>/"),
    ),
    attack(
        "loopback-ipv4-in-ipv6",
        "get",
        r#"{"url": "http://[::ffff:127.0.0.1]:<web-port>/"}"#,
        WEB,
        no_request("GET http://[::ffff:7f00:1]:<web-port>/"),
    ),
    attack(
        "loopback-by-6to4",
        "get",
        r#"{"url": "http://[2002:7f00:1::]:<web-port>/"}"#,
        WEB,
        no_request("GET http://[2002:7f00:1::]:<web-port>/"),
    ),
    attack(
        "loopback-by-nat64",
        "get",
        r#"{"url": "http://[64:ff9b::7f00:1]:<web-port>/"}"#,
        WEB,
        no_request("GET http://[64:ff9b::7f00:1]:<web-port>/"),
    ),
    attack(
        "loopback-in-hexadecimal",
        "authority",
        r#"{"authority": "0x7f.1:<web-port>", "path": "/"}"#,
        WEB,
        no_request("GET http://<web>/"),
    ),
    attack(
        "loopback-in-octal",
        "authority",
        r#"{"authority": "0177.0.0.1:<web-port>", "path": "/"}"#,
        WEB,
        no_request("GET http://<web>/"),
    ),
    attack(
        "loopback-as-one-number",
        "authority",
        r#"{"authority": "2130706433:<web-port>", "path": "/"}"#,
        WEB,
        no_request("GET http://<web>/"),
    ),
    attack(
        "loopback-with-trailing-dot",
        "authority",
        r#"{"authority": "127.0.0.1.:<web-port>", "path": "/"}"#,
        WEB,
        no_request("GET http://<web>/"),
    ),
    attack(
        "name-with-trailing-dot",
        "authority",
        r#"{"authority": "localhost.:<web-port>", "path": "/"}"#,
        PORT,
        no_request("GET http://localhost.:<web-port>/"),
    ),
    attack(
        "name-of-loopback-with-trailing-dot",
        "authority",
        r#"{"authority": "localhost.", "path": "/"}"#,
        NAMES,
        no_request("GET http://localhost./"),
    ),
    attack(
        "authority-with-user",
        "authority",
        r#"{"authority": "<web>@<other>", "path": "/"}"#,
        WEB,
        no_request("GET http://<other>/"),
    ),
    attack(
        "authority-with-granted-host-behind-user",
        "authority",
        r#"{"authority": "a:b@<web>", "path": "/"}"#,
        WEB,
        no_request("GET http://<web>/"),
    ),
    attack(
        "authority-with-path",
        "authority",
        r#"{"authority": "<web>/x?", "path": "/"}"#,
        WEB,
        failed("refused: the request's authority"),
    ),
    attack(
        "authority-without-host",
        "authority",
        r#"{"authority": ":<web-port>", "path": "/"}"#,
        WEB,
        failed("refused: ErrorCode::HttpRequestUriInvalid"),
    ),
    attack(
        "certificate-of-its-own",
        "get",
        r#"{"url": "https://<tls>/"}"#,
        TLS,
        failed(
            "refused: …the server's certificate is not valid: this machine does not trust its issuer…",
        ),
    ),
    attack(
        "certificate-of-its-own-for-a-name",
        "get",
        r#"{"url": "https://localhost:<tls-port>/"}"#,
        TLS,
        failed(
            "refused: …the server's certificate is not valid: this machine does not trust its issuer…",
        ),
    ),
    attack(
        "plain-http-to-tls",
        "get",
        r#"{"url": "http://<tls>/"}"#,
        TLS,
        no_request("GET http://<tls>/"),
    ),
];
