//! The plugin interface as Rust: generated, nothing else.

#![allow(missing_docs, unreachable_pub, clippy::all)]

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
    world: "plugin",
    // `plugin!` exports from the author's crate.
    pub_export_macro: true,
    export_macro_name: "__export_plugin",
    default_bindings_module: "toolhost_plugin::__private::bindings",
    runtime_path: "::toolhost_plugin::__private::wit_bindgen::rt",
});
