//! Looking around: environment, terminal, clocks, randomness.

use super::super::attack::{Attack, answer, attack};
use super::NOTHING;

const ENV: &str = "permissions.env = { TZ = 'UTC' }";
const STILL: &str = "permissions.clock = 'none'\npermissions.random = 'none'";

pub const ATTACKS: &[Attack] = &[
    attack(
        "env-of-nobody",
        "env",
        "{}",
        NOTHING,
        answer("{\"env\":{},\"args\":[],\"cwd\":null}"),
    ),
    attack(
        "env-beyond-the-granted",
        "env",
        "{}",
        ENV,
        answer("{\"env\":{\"TZ\":\"UTC\"},\"args\":[],\"cwd\":null}"),
    ),
    attack("stdin", "stdin", "{}", NOTHING, answer("stdin: 0 bytes")),
    attack(
        "terminal",
        "terminal",
        "{}",
        NOTHING,
        answer("terminal: none"),
    ),
    attack(
        "clock-without-clock",
        "clock",
        "{}",
        STILL,
        answer("wall: 0.000000000\nmonotonic: 0\nwall: 0.000000000\nmonotonic: 0"),
    ),
    attack(
        "random-without-random",
        "random",
        "{}",
        STILL,
        answer(
            "random: 03070b0f13171b1f23272b2f33373b3f\n\
             insecure: 03070b0f13171b1f23272b2f33373b3f\n\
             seed: 00000000000000000000000000000000",
        ),
    ),
];
