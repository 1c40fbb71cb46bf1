//! Attacks by ending in every way but an answer.

use super::super::attack::{Attack, answer, attack, trap};
use super::NOTHING;

pub const ATTACKS: &[Attack] = &[
    attack(
        "exit-with-success",
        "exit_ok",
        "{}",
        NOTHING,
        trap("the guest exited with status 0"),
    ),
    attack(
        "exit-with-failure",
        "exit",
        r#"{"status": 3}"#,
        NOTHING,
        trap("the guest exited with status 1"),
    ),
    attack(
        "panic",
        "panic",
        "{}",
        NOTHING,
        trap(
            "wasm trap: wasm `unreachable` instruction executed; its stderr ends with:\n…panicked at …",
        ),
    ),
    attack(
        "unreachable",
        "unreachable",
        "{}",
        NOTHING,
        trap("wasm trap: wasm `unreachable` instruction executed"),
    ),
    attack(
        "division-by-zero",
        "divide",
        "{}",
        NOTHING,
        trap("wasm trap: integer divide by zero"),
    ),
    attack(
        "read-out-of-bounds",
        "out_of_bounds",
        "{}",
        NOTHING,
        trap("wasm trap: out of bounds memory access"),
    ),
    attack(
        "call-of-another-type",
        "null_call",
        "{}",
        NOTHING,
        trap("wasm trap: indirect call type mismatch"),
    ),
    attack(
        "drop-of-a-handle-twice",
        "drop_twice",
        "{}",
        NOTHING,
        trap("unknown handle index 1"),
    ),
    attack(
        "call-of-own-export",
        "reenter",
        "{}",
        NOTHING,
        answer("listed 97 tools"),
    ),
    attack(
        "reentry-through-the-component-model",
        "attack",
        "{}",
        "path = '<reentrant>'",
        trap("wasm trap: cannot enter component instance"),
    ),
    attack(
        "trap-in-an-inner-component",
        "attack",
        "{}",
        "path = '<inner-trap>'",
        trap("wasm trap: wasm `unreachable` instruction executed"),
    ),
    attack(
        "realloc-out-of-bounds",
        "attack",
        "{}",
        "path = '<realloc-out-of-bounds>'",
        trap("realloc return: beyond end of memory"),
    ),
    attack(
        "answer-out-of-bounds",
        "attack",
        "{}",
        "path = '<answer-out-of-bounds>'",
        trap("pointer out of bounds of memory"),
    ),
    attack(
        "answer-of-no-kind",
        "attack",
        "{}",
        "path = '<answer-of-no-kind>'",
        trap("invalid expected discriminant"),
    ),
];
