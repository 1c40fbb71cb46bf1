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
        limit("64 MiB of memory"),
    ),
    attack(
        "memory-bomb-in-many-memories",
        "attack",
        "{}",
        MANY_MEMORIES,
        limit("64 MiB of memory"),
    ),
    attack(
        "memory-bomb-in-inner-components",
        "attack",
        "{}",
        "path = '<inner-memories>'",
        limit("64 MiB of memory"),
    ),
    attack(
        "handles-of-an-inner-component",
        "attack",
        "{}",
        "path = '<inner-handles>'\ntimeout = '5s'",
        limit("1000 open host resources"),
    ),
    attack(
        "recursion-in-an-inner-component",
        "attack",
        "{}",
        "path = '<inner-deep>'",
        limit("512 KiB of stack"),
    ),
    attack(
        "table-bomb",
        "attack",
        "{}",
        MANY_TABLES,
        limit("4 MiB of memory"),
    ),
    attack(
        "recursion-in-least-stack",
        "attack",
        "{}",
        LEAST_STACK,
        limit("64 KiB of stack"),
    ),
    attack(
        "recursion-in-large-stack",
        "attack",
        "{}",
        LARGE_STACK,
        limit("4 MiB of stack"),
    ),
    attack(
        "recursion-in-rust",
        "recurse",
        "{}",
        NOTHING,
        limit("512 KiB of stack"),
    ),
    attack(
        "recursion-in-realloc",
        "attack",
        "{}",
        REALLOC_STACK,
        limit("512 KiB of stack"),
    ),
    attack(
        "resource-bomb",
        "resource_bomb",
        "{}",
        NOTHING,
        limit("1000 open host resources"),
    ),
    attack(
        "timer-bomb-that-polls",
        "poll_many",
        "{}",
        NOTHING,
        limit("1000 open host resources"),
    ),
    attack(
        "fields-bomb",
        "fields_bomb",
        "{}",
        NOTHING,
        limit("1000 open host resources"),
    ),
    attack(
        "request-bomb",
        "request_bomb",
        "{}",
        NOTHING,
        limit("64 MiB of memory"),
    ),
    attack(
        "body-bomb",
        "body_bomb",
        "{}",
        NOTHING,
        limit("1000 open host resources"),
    ),
    attack(
        "descriptor-bomb",
        "descriptor_bomb",
        r#"{"path": "/ro/a.txt"}"#,
        READING,
        limit("1000 open host resources"),
    ),
    attack(
        "folder-listing-bomb",
        "dir_stream_bomb",
        "{}",
        LISTING,
        limit("1000 open host resources"),
    ),
    attack(
        "random-bytes-without-end",
        "random_huge",
        "{}",
        NOTHING,
        limit("6 MiB of data handed over at once"),
    ),
    attack(
        "transfer-bomb",
        "transfer_bomb",
        r#"{"bytes": 10000000}"#,
        NOTHING,
        limit("6 MiB of data handed over at once"),
    ),
    attack(
        "transfer-bomb-over-set-bound",
        "transfer_bomb",
        r#"{"bytes": 2000000}"#,
        SMALL_TRANSFER,
        limit("1 MiB of data handed over at once"),
    ),
    attack(
        "denied-flood",
        "denied_flood",
        r#"{"count": 100000}"#,
        NOTHING,
        answer("asked"),
    ),
];
