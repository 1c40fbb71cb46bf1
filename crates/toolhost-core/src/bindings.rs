//! Rust bindings of the plugin interface, generated from `wit/`: the world of every plugin, and one
//! for each interface that a plugin may export in addition.

#![allow(missing_docs, unreachable_pub)]

wasmtime::component::bindgen!({
    path: "wit/0.1.0",
    world: "plugin",
    imports: { default: trappable },
    exports: { default: async },
});

pub(crate) mod resources {
    wasmtime::component::bindgen!({
        path: "wit/0.1.0",
        world: "resource-provider",
        exports: { default: async },
        with: { "toolhost:plugin/types@0.1.0": crate::bindings::toolhost::plugin::types },
    });
}

pub(crate) mod prompts {
    wasmtime::component::bindgen!({
        path: "wit/0.1.0",
        world: "prompt-provider",
        exports: { default: async },
        with: { "toolhost:plugin/types@0.1.0": crate::bindings::toolhost::plugin::types },
    });
}

pub(crate) mod completion {
    wasmtime::component::bindgen!({
        path: "wit/0.1.0",
        world: "completion-provider",
        exports: { default: async },
        with: { "toolhost:plugin/types@0.1.0": crate::bindings::toolhost::plugin::types },
    });
}

pub(crate) mod calls {
    wasmtime::component::bindgen!({
        path: ["wit/0.1.0", "wit/calls-0.1.0"],
        world: "toolhost:calls/caller",
        imports: { "toolhost:calls/calls.wait": async | trappable, default: trappable },
        with: { "toolhost:plugin/types@0.1.0": crate::bindings::toolhost::plugin::types },
    });
}
