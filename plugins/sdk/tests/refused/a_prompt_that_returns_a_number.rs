//~ a prompt cannot return `u64`

use toolhost_plugin::{plugin, prompt};

/// Counts.
#[prompt]
fn count() -> u64 {
    7
}

plugin! { prompts: [count] }

fn main() {}
