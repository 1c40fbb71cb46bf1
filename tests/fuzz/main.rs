//! Fuzzing: what reads untrusted text is given a great deal of it, for a bounded time: arguments,
//! responses and event streams of every format, manifests, http rules, MCP messages, HTTP.
//!
//! Each test takes bytes. First come the files of `tests/corpus/<test>`, then inputs that are made
//! for `TOOLHOST_FUZZ_SECONDS` (10 if not set; with 0 only the corpus is tried). What fails is made
//! smaller and written to `target/fuzz`; copied into the corpus, it is tried first on every run.
//!
//! The same checks, guided by coverage: `cargo xtask fuzz`. What it found is in `fuzz/corpus`, and tried here too.

mod arguments;
mod decode;
mod events;
mod harness;
mod http_front;
mod http_rule;
mod manifest;
mod manifest_keys;
mod mcp_messages;
mod mutate;
mod served;

use toolhost_testing as common;
