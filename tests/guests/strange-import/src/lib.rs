//! A plugin that imports an interface which no host of plugins offers.

use acme::cloud::storage;
use std::hint::black_box;

wit_bindgen::generate!({
    inline: "
        package test:strange-import;
        world strange {
            import acme:cloud/storage@1.2.3;
        }
        package acme:cloud@1.2.3 {
            interface storage {
                get: func(key: string) -> string;
            }
        }
    ",
    world: "test:strange-import/strange",
    generate_all,
});

listing::plugin!({
    // An import that nothing mentions would be left out of the component.
    black_box(storage::get as fn(&str) -> String);
    vec![listing::tool("strange_import", listing::ANYTHING)]
});
