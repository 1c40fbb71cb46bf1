//! The plugin interface as Rust, generated from `wit/`.

#![allow(missing_docs, unreachable_pub)]

wasmtime::component::bindgen!({
    path: "wit/0.1.0",
    world: "plugin",
    imports: { default: trappable },
    exports: { default: async },
});
