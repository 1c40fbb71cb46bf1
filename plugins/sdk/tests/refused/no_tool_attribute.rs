//~ greet_lacks_the_attribute_tool

use toolhost_plugin::plugin;

/// Greets everybody.
pub fn greet() -> String {
    String::from("Hello!")
}

plugin!(greet);

fn main() {}
