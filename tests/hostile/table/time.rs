//! Attacks on the host's time.

use super::super::attack::{Attack, TIMEOUT, attack, denied, limit};
use super::QUICK;

/// The deadline is far off for who has 100 ms.
const BUDGET: &str = "timeout = '5s'\ncpu = '100ms'";
const TRANSCODING: &str = "path = '<transcoding>'\ntimeout = '300ms'";
const ENDLESS_REALLOC: &str = "path = '<endless-realloc>'\ntimeout = '300ms'";
const NO_CLOCK: &str = "permissions.clock = 'none'";

pub const ATTACKS: &[Attack] = &[
    attack("spin", "spin", "{}", QUICK, TIMEOUT),
    attack(
        "spin-in-host-call",
        "spin_in_host_call",
        "{}",
        QUICK,
        TIMEOUT,
    ),
    attack("sleep-forever", "sleep_forever", "{}", QUICK, TIMEOUT),
    attack("wait-an-hour", "deep_poll", "{}", QUICK, TIMEOUT),
    attack("poll-spin", "poll_spin", "{}", QUICK, TIMEOUT),
    attack(
        "memory-fill-across-deadline",
        "fill_forever",
        "{}",
        QUICK,
        TIMEOUT,
    ),
    attack(
        "random-flood",
        "random_flood",
        r#"{"bytes": 1000000}"#,
        QUICK,
        TIMEOUT,
    ),
    attack("string-transcoding", "attack", "{}", TRANSCODING, TIMEOUT),
    attack(
        "spin-in-an-inner-component",
        "attack",
        "{}",
        "path = '<inner-spin>'\ntimeout = '300ms'",
        TIMEOUT,
    ),
    attack(
        "spin-in-a-destructor",
        "attack",
        "{}",
        "path = '<inner-destructor>'\ntimeout = '300ms'",
        TIMEOUT,
    ),
    attack(
        "realloc-without-end",
        "attack",
        "{}",
        ENDLESS_REALLOC,
        TIMEOUT,
    ),
    attack(
        "spin-over-cpu-budget",
        "spin",
        "{}",
        BUDGET,
        limit("CPU time limit exceeded (100 ms)"),
    ),
    attack(
        "spin-in-host-call-over-cpu-budget",
        "spin_in_host_call",
        "{}",
        BUDGET,
        limit("CPU time limit exceeded (100 ms)"),
    ),
    attack(
        "poll-spin-over-cpu-budget",
        "poll_spin",
        "{}",
        BUDGET,
        limit("CPU time limit exceeded (100 ms)"),
    ),
    attack(
        "sleep-without-clock",
        "sleep_forever",
        "{}",
        NO_CLOCK,
        denied("clock: waiting for a time"),
    ),
    attack(
        "poll-spin-without-clock",
        "poll_spin",
        "{}",
        NO_CLOCK,
        denied("clock: waiting for a time"),
    ),
];
