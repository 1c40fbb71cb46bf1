//! Fuzzing guided by coverage, with libFuzzer: the checks of `tests/fuzz`, which are run there on made inputs.
//! `cargo xtask fuzz` builds it with counters in the project's own crates, and runs it. `TOOLHOST_FUZZ_TARGET` names
//! the check.

#![no_main]
#![allow(dead_code, unused_imports)] // the tests use more of these files

#[path = "../../tests/fuzz/arguments.rs"]
mod arguments;
#[path = "../../tests/fuzz/decode.rs"]
mod decode;
#[path = "../../tests/fuzz/events.rs"]
mod events;
#[path = "../../tests/fuzz/harness.rs"]
mod harness;
#[path = "../../tests/fuzz/http_front.rs"]
mod http_front;
#[path = "../../tests/fuzz/http_rule.rs"]
mod http_rule;
#[path = "../../tests/fuzz/manifest.rs"]
mod manifest;
#[path = "../../tests/fuzz/manifest_keys.rs"]
mod manifest_keys;
#[path = "../../tests/fuzz/mcp_messages.rs"]
mod mcp_messages;
#[path = "../../tests/fuzz/mutate.rs"]
mod mutate;
#[path = "../../tests/fuzz/served.rs"]
mod served;

use std::fmt::Write;
use std::sync::LazyLock;

use harness::Checked;
use libfuzzer_sys::fuzz_target;
use toolhost_testing as common;

/// A check, and words that make a difference to it.
struct Target {
    check: fn(&[u8]) -> Checked,
    words: &'static [&'static str],
}

macro_rules! targets {
    ($($name:ident)*) => {
        fn target(name: &str) -> Option<Target> {
            match name {
                $(stringify!($name) => Some(Target { check: $name::check, words: $name::WORDS }),)*
                _ => None,
            }
        }
    };
}
targets!(arguments decode events http_front http_rule manifest mcp_messages);

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("TOOLHOST_FUZZ_TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| panic!("TOOLHOST_FUZZ_TARGET names no check: `{name}`"))
});

/// Writes the words where libFuzzer is told to look for them; it has not read its options yet.
fn write_dictionary() {
    let Some(file) = std::env::var_os("TOOLHOST_FUZZ_DICTIONARY") else {
        return;
    };
    let mut text = String::new();
    for word in TARGET.words {
        let bytes = word.bytes().fold(String::new(), |mut bytes, byte| {
            write!(bytes, "\\x{byte:02X}").expect("a string takes all");
            bytes
        });
        text += &format!("\"{bytes}\"\n");
    }
    std::fs::write(&file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

fuzz_target!(init: write_dictionary(), |input: &[u8]| {
    if let Err(why) = (TARGET.check)(input) {
        panic!("{why}");
    }
});
