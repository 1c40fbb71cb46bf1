//! What the guest `echo` does, as a function of its own type: the benchmarks compare the two.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

#[cfg(target_arch = "wasm32")]
#[path = "../../echo/src/bare.rs"]
mod bare;

use alloc::string::String;

wit_bindgen::generate!({
    inline: "
        package example:echo;
        world echo {
            export echo: func(text: string) -> string;
        }
    ",
});

struct Echo;
export!(Echo);

impl Guest for Echo {
    fn echo(text: String) -> String {
        text
    }
}
