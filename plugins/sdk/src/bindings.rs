//! Bindings generated from the plugin interface. Each world has its own module and export macro, so that a plugin exports
//! only what it has; all share one set of types. `wit/` is a copy of the folder in the repository's root, which is not
//! part of the published crate.

#![allow(missing_docs, unreachable_pub, clippy::all)]

wit_bindgen::generate!({
    path: "wit/0.1.0",
    world: "plugin",
    // `plugin!` exports from the plugin's crate.
    pub_export_macro: true,
    export_macro_name: "__export_plugin",
    default_bindings_module: "toolhost_plugin::__private::bindings",
    runtime_path: "::toolhost_plugin::__private::wit_bindgen::rt",
    // Replies are kept from one round of questions to the next.
    additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
});

pub mod resources {
    wit_bindgen::generate!({
        path: "wit/0.1.0",
        world: "resource-provider",
        with: { "toolhost:plugin/types@0.1.0": crate::bindings::toolhost::plugin::types },
        pub_export_macro: true,
        export_macro_name: "__export_resources",
        default_bindings_module: "toolhost_plugin::__private::bindings::resources",
        runtime_path: "::toolhost_plugin::__private::wit_bindgen::rt",
        additional_derives: [PartialEq],
    });
}

pub mod prompts {
    wit_bindgen::generate!({
        path: "wit/0.1.0",
        world: "prompt-provider",
        with: { "toolhost:plugin/types@0.1.0": crate::bindings::toolhost::plugin::types },
        pub_export_macro: true,
        export_macro_name: "__export_prompts",
        default_bindings_module: "toolhost_plugin::__private::bindings::prompts",
        runtime_path: "::toolhost_plugin::__private::wit_bindgen::rt",
        additional_derives: [PartialEq],
    });
}

pub mod completion {
    wit_bindgen::generate!({
        path: "wit/0.1.0",
        world: "completion-provider",
        with: { "toolhost:plugin/types@0.1.0": crate::bindings::toolhost::plugin::types },
        pub_export_macro: true,
        export_macro_name: "__export_completion",
        default_bindings_module: "toolhost_plugin::__private::bindings::completion",
        runtime_path: "::toolhost_plugin::__private::wit_bindgen::rt",
        additional_derives: [PartialEq],
    });
}

pub mod calls {
    wit_bindgen::generate!({
        path: ["wit/0.1.0", "wit/calls-0.1.0"],
        world: "toolhost:calls/caller",
        with: { "toolhost:plugin/types@0.1.0": crate::bindings::toolhost::plugin::types },
        runtime_path: "::toolhost_plugin::__private::wit_bindgen::rt",
    });
}
