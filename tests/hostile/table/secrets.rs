//! Attacks on secrets.

use super::super::attack::{Attack, End, answer, attack, denied, failed, no_request, trap};
use super::NOTHING;

const SECRET: &str = "permissions.secrets = { TOKEN = { file = '<secret>' } }";
const SECRET_AND_WEB: &str = "permissions.secrets = { TOKEN = { file = '<secret>' } }
permissions.http = ['http://<web>']";
const NAME: &str = r#"{"name": "TOKEN"}"#;

pub const ATTACKS: &[Attack] = &[
    attack(
        "secret-of-nobody",
        "secret",
        NAME,
        NOTHING,
        denied("secret TOKEN (refused: no secret TOKEN)"),
    ),
    attack(
        "secret-of-another-name",
        "secret",
        r#"{"name": "token"}"#,
        SECRET,
        denied("secret token (refused: no secret token)"),
    ),
    attack(
        "secret-as-granted",
        "secret",
        NAME,
        SECRET,
        answer("got 21 bytes"),
    ),
    attack("secret-in-text", "leak_text", NAME, SECRET, answer("***")),
    attack(
        "secret-in-structured-output",
        "leak_structured",
        NAME,
        SECRET,
        answer("leaked"),
    ),
    attack("secret-in-error", "leak_error", NAME, SECRET, failed("***")),
    attack(
        "secret-in-invalid-arguments",
        "leak_invalid",
        NAME,
        SECRET,
        End::Error("invalid-arguments", "invalid arguments: ***"),
    ),
    attack(
        "secret-in-denial",
        "leak_denied",
        NAME,
        SECRET,
        denied("***"),
    ),
    attack("secret-in-log", "leak_log", NAME, SECRET, answer("leaked")),
    attack(
        "secret-in-stdout",
        "leak_stdout",
        NAME,
        SECRET,
        answer("leaked"),
    ),
    attack(
        "secret-in-stderr",
        "leak_stderr",
        NAME,
        SECRET,
        answer("leaked"),
    ),
    attack(
        "secret-in-two-writes",
        "leak_split",
        NAME,
        SECRET,
        answer("leaked"),
    ),
    attack(
        "secret-in-panic",
        "leak_panic",
        NAME,
        SECRET,
        trap("wasm trap: wasm `unreachable` instruction executed; its stderr ends with:\n…***…"),
    ),
    attack(
        "secret-in-progress",
        "leak_progress",
        NAME,
        SECRET,
        answer("leaked"),
    ),
    attack(
        "secret-in-image",
        "leak_blob",
        NAME,
        SECRET,
        answer("[image: image/png, 3 bytes]"),
    ),
    attack(
        "secret-in-link",
        "leak_link",
        NAME,
        SECRET,
        answer("[page: https://example.com/?key=***]"),
    ),
    attack(
        "secret-in-other-spellings",
        "leak_encoded",
        NAME,
        SECRET,
        answer("***\n***\n***\n***\n***\n***"),
    ),
    attack(
        "secret-in-escapes",
        "leak_escaped",
        NAME,
        SECRET,
        answer("***\n***\n***\n***\n***\n***\n***\n***\n***\n***"),
    ),
    attack(
        "secret-in-escapes-of-structured-output",
        "leak_structured_escaped",
        NAME,
        SECRET,
        answer("leaked"),
    ),
    attack(
        "secret-where-progress-is-cut",
        "leak_long_progress",
        NAME,
        SECRET,
        answer("leaked"),
    ),
    attack(
        "secret-as-name-of-a-secret",
        "leak_name",
        NAME,
        SECRET,
        denied("secret *** (asked)"),
    ),
    attack(
        "secret-in-url",
        "leak_url",
        r#"{"name": "TOKEN", "url": "http://<web>/echo"}"#,
        SECRET_AND_WEB,
        answer("status: 200\nGET /echo?*** HTTP/1.1\r\nhost: <web>\r\n\r\n"),
    )
    .seen(&[("web", 1)]),
    attack(
        "secret-in-denied-url",
        "leak_url",
        r#"{"name": "TOKEN", "url": "http://<other>/"}"#,
        SECRET_AND_WEB,
        no_request("GET http://<other>/"),
    ),
];
