//! Attacks with too much of an answer or a log.

use super::super::attack::{Attack, answer, attack, failed, limit, trap};
use super::NOTHING;

const LIST_WITHOUT_END: &str = "path = '<list-without-end>'";

pub const ATTACKS: &[Attack] = &[
    attack(
        "stdout-flood",
        "stdout_flood",
        "{}",
        NOTHING,
        limit("log size limit exceeded (256 KiB)"),
    ),
    attack(
        "stderr-flood",
        "stderr_flood",
        "{}",
        NOTHING,
        limit("log size limit exceeded (256 KiB)"),
    ),
    attack(
        "log-flood",
        "log_flood",
        "{}",
        NOTHING,
        limit("log size limit exceeded (256 KiB)"),
    ),
    attack(
        "empty-log-flood",
        "spin_log_empty",
        "{}",
        NOTHING,
        limit("log size limit exceeded (256 KiB)"),
    ),
    attack(
        "progress-flood",
        "progress_flood",
        "{}",
        NOTHING,
        answer("ESCAPED: reported progress 100000 times"),
    ),
    attack(
        "output-bomb",
        "output_bomb",
        r#"{"bytes": 2000000}"#,
        NOTHING,
        limit("output size limit exceeded (1 MiB)"),
    ),
    attack(
        "huge-output-bomb",
        "output_bomb",
        r#"{"bytes": 20000000}"#,
        NOTHING,
        limit("output size limit exceeded (1 MiB)"),
    )
    // An async function returns by a call of the host.
    .by_wasi3(limit("host call transfer limit exceeded (6 MiB)")),
    attack(
        "error-bomb",
        "error_bomb",
        r#"{"bytes": 2000000}"#,
        NOTHING,
        limit("output size limit exceeded (1 MiB)"),
    ),
    attack(
        "content-bomb",
        "content_bomb",
        r#"{"count": 100000}"#,
        NOTHING,
        limit("output size limit exceeded (1 MiB)"),
    )
    .by_wasi3(limit("host call transfer limit exceeded (6 MiB)")),
    attack(
        "structured-bomb",
        "structured_bomb",
        r#"{"depth": 100000}"#,
        NOTHING,
        failed("its structured output is nested deeper than 128"),
    ),
    attack(
        "list-without-end",
        "attack",
        "{}",
        LIST_WITHOUT_END,
        trap("list pointer/length out of bounds of memory"),
    ),
    attack(
        "invalid-utf8",
        "invalid_utf8",
        "{}",
        NOTHING,
        trap("invalid utf-8 sequence of 1 bytes from index 1"),
    ),
];
