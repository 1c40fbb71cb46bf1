//! The tests, by behaviour. One binary, because linking wasmtime takes longer than running them.

mod audit;
mod bad_input;
mod batch;
mod bfcl;
mod call;
mod cli;
mod concurrent;
mod embedding;
mod examples;
mod first_steps;
#[cfg(target_os = "linux")]
mod full_disk;
mod generate;
mod grants;
mod guard;
mod hostile;
mod house;
mod limits;
mod listings;
mod manifest;
mod narrowing;
mod native;
mod nested;
mod once;
mod order;
mod parallel;
mod plugins;
mod queue;
mod quota;
mod remote;
mod repairs;
#[cfg(target_os = "linux")]
mod scarce;
mod schemas;
mod terminal;
mod trust;
mod typed;
mod wire;
mod world;

use toolhost_testing as common;
