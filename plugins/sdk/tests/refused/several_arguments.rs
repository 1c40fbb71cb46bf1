//~ a tool takes one struct with a field for each argument, or nothing
//~ struct Arguments {
//~     times: Option<u8>,

use toolhost_plugin::{plugin, tool};

/// Greets somebody.
#[tool]
fn greet(name: String, times: Option<u8>) -> String {
    format!("Hello, {name}! ").repeat(times.unwrap_or(1).into())
}

plugin!(greet);

fn main() {}
