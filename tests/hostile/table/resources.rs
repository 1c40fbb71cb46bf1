//! Attacks on memory, stack and what the host holds for a guest.

use super::super::attack::{Attack, answer, attack, limit};
use super::NOTHING;

const MANY_MEMORIES: &str = "path = '<many-memories>'";
const MANY_TABLES: &str = "path = '<many-tables>'\nmemory = '4MiB'";
const LEAST_STACK: &str = "path = '<deep>'\nmax-stack = '64KiB'";
const LARGE_STACK: &str = "path = '<deep>'\nmax-stack = '4MiB'";
const REALLOC_STACK: &str = "path = '<deep-realloc>'";
const READING: &str = "permissions.files = [{ host = '<reading>', guest = '/ro' }]";
/// How much a listing counts differs between file systems.
const LISTING: &str = "permissions.files = [{ host = '<reading>', guest = '/ro' }]
memory = '2GiB'";
const SMALL_TRANSFER: &str = "max-transfer = '1MiB'";

pub const ATTACKS: &[Attack] = &[
    attack(
        "memory-bomb",
        "allocate",
        "{}",
        NOTHING,
        limit("memory limit exceeded (64 MiB)"),
    ),
    attack(
        "memory-bomb-in-many-memories",
        "attack",
        "{}",
        MANY_MEMORIES,
        limit("memory limit exceeded (64 MiB)"),
    ),
    attack(
        "memory-bomb-in-inner-components",
        "attack",
        "{}",
        "path = '<inner-memories>'",
        limit("memory limit exceeded (64 MiB)"),
    ),
    attack(
        "handles-of-an-inner-component",
        "attack",
        "{}",
        "path = '<inner-handles>'\ntimeout = '5s'",
        limit("open resource limit exceeded (1000)"),
    ),
    attack(
        "recursion-in-an-inner-component",
        "attack",
        "{}",
        "path = '<inner-deep>'",
        limit("stack size limit exceeded (512 KiB)"),
    ),
    attack(
        "table-bomb",
        "attack",
        "{}",
        MANY_TABLES,
        limit("memory limit exceeded (4 MiB)"),
    ),
    attack(
        "recursion-in-least-stack",
        "attack",
        "{}",
        LEAST_STACK,
        limit("stack size limit exceeded (64 KiB)"),
    ),
    attack(
        "recursion-in-large-stack",
        "attack",
        "{}",
        LARGE_STACK,
        limit("stack size limit exceeded (4 MiB)"),
    ),
    attack(
        "recursion-in-rust",
        "recurse",
        "{}",
        NOTHING,
        limit("stack size limit exceeded (512 KiB)"),
    ),
    attack(
        "recursion-in-realloc",
        "attack",
        "{}",
        REALLOC_STACK,
        limit("stack size limit exceeded (512 KiB)"),
    ),
    attack(
        "resource-bomb",
        "resource_bomb",
        "{}",
        NOTHING,
        limit("open resource limit exceeded (1000)"),
    ),
    attack(
        "timer-bomb-that-polls",
        "poll_many",
        "{}",
        NOTHING,
        limit("open resource limit exceeded (1000)"),
    )
    .by_wasi3(limit("memory limit exceeded (64 MiB)")),
    attack(
        "fields-bomb",
        "fields_bomb",
        "{}",
        NOTHING,
        limit("open resource limit exceeded (1000)"),
    ),
    attack(
        "request-bomb",
        "request_bomb",
        "{}",
        NOTHING,
        limit("memory limit exceeded (64 MiB)"),
    ),
    attack(
        "body-bomb",
        "body_bomb",
        "{}",
        NOTHING,
        limit("open resource limit exceeded (1000)"),
    )
    .only_wasi2(),
    attack(
        "descriptor-bomb",
        "descriptor_bomb",
        r#"{"path": "/ro/a.txt"}"#,
        READING,
        limit("open resource limit exceeded (1000)"),
    ),
    attack(
        "folder-listing-bomb",
        "dir_stream_bomb",
        "{}",
        LISTING,
        limit("open resource limit exceeded (1000)"),
    )
    .only_wasi2(),
    attack(
        "random-bytes-without-end",
        "random_huge",
        "{}",
        NOTHING,
        limit("host call transfer limit exceeded (6 MiB)"),
    )
    // It may return less than was asked for.
    .by_wasi3(answer("ESCAPED: got 6291456 random bytes")),
    attack(
        "transfer-bomb",
        "transfer_bomb",
        r#"{"bytes": 10000000}"#,
        NOTHING,
        limit("host call transfer limit exceeded (6 MiB)"),
    ),
    attack(
        "transfer-bomb-over-set-bound",
        "transfer_bomb",
        r#"{"bytes": 2000000}"#,
        SMALL_TRANSFER,
        limit("host call transfer limit exceeded (1 MiB)"),
    ),
    attack(
        "denied-flood",
        "denied_flood",
        r#"{"count": 100000}"#,
        NOTHING,
        answer("asked"),
    ),
];
