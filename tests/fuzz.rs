//! Fuzzing: what reads untrusted text is given a great deal of it, for a bounded time: arguments,
//! responses and event streams of every format, manifests, http rules.
//!
//! Each test takes bytes. First come the files of `tests/corpus/<test>`, then inputs that are made
//! for `TOOLHOST_FUZZ_SECONDS` (10 if not set; with 0 only the corpus is tried). What fails is made
//! smaller and written to `target/fuzz`; copied into the corpus, it is tried first on every run.

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
#[path = "fuzz/http_rule.rs"]
mod http_rule;
#[path = "fuzz/manifest.rs"]
mod manifest;
#[path = "fuzz/manifest_keys.rs"]
mod manifest_keys;
#[path = "fuzz/mutate.rs"]
mod mutate;
