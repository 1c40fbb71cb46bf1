//! Fuzzing: what reads untrusted text is given a great deal of it, for a bounded time: arguments,
//! responses and event streams of every format, manifests, http rules, MCP messages, HTTP.
//!
//! Each test takes bytes. First come the files of `tests/corpus/<test>`, then inputs that are made
//! for `TOOLHOST_FUZZ_SECONDS` (10 if not set; with 0 only the corpus is tried). What fails is made
//! smaller and written to `target/fuzz`; copied into the corpus, it is tried first on every run.
//!
//! The same checks, guided by coverage: `cargo xtask fuzz`. What it found is in `fuzz/corpus`, and tried here too.

#[allow(dead_code)] // the other tests use more of it
mod common;

#[path = "fuzz/arguments.rs"]
mod arguments;
#[path = "fuzz/decode.rs"]
mod decode;
#[path = "fuzz/events.rs"]
mod events;
#[path = "fuzz/harness.rs"]
mod harness;
#[path = "fuzz/http_front.rs"]
mod http_front;
#[path = "fuzz/http_rule.rs"]
mod http_rule;
#[path = "fuzz/manifest.rs"]
mod manifest;
#[path = "fuzz/manifest_keys.rs"]
mod manifest_keys;
#[path = "fuzz/mcp_messages.rs"]
mod mcp_messages;
#[path = "fuzz/mutate.rs"]
mod mutate;
#[path = "fuzz/served.rs"]
mod served;
