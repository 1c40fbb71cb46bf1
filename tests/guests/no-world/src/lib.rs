//! A good component, and no plugin.

wit_bindgen::generate!({
    inline: "
        package example:thing;
        interface api {
            run: func() -> string;
        }
        world thing {
            export api;
        }
    ",
});

struct NoWorld;
export!(NoWorld);

impl exports::example::thing::api::Guest for NoWorld {
    fn run() -> String {
        "ran".into()
    }
}
