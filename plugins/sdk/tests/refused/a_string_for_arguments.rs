//~ String` cannot be the arguments of a tool or prompt: they are a struct with `#[arguments]`
//~ write a struct with a field for each argument, put `#[arguments]` on it

use toolhost_plugin::{plugin, tool};

/// Greets somebody.
#[tool]
fn greet(name: String) -> String {
    format!("Hello, {name}!")
}

plugin!(greet);

fn main() {}
