//! Components that other projects published: each loads, or is refused for what it is.
//! `cargo xtask components` fetches them.

use toolhost::LoadError;
use toolhost::manifest::PluginConfig;

use crate::common::{manifest, root, try_load};

/// Why one of them is refused.
async fn refusal(name: &str) -> String {
    let file = root().join(format!("target/components/{name}.wasm"));
    match try_load(manifest([PluginConfig::new(name, file)])).await {
        Err(LoadError::Invalid(problems)) => problems[0].message.clone(),
        Err(other) => panic!("{name}: {other}"),
        Ok(_) => panic!("{name} loads"),
    }
}

#[tokio::test]
async fn a_server_of_http_requests_has_no_function_that_json_can_call() {
    crate::common::needs!(components);
    assert_eq!(
        refusal("oci-wasm").await,
        "has no function that can be a tool: `wasi:http/incoming-handler@0.2.0#handle` has a resource in its \
         parameter `request`"
    );
}

/// Megabytes of interpreters, which take minutes to compile: what they lack is found before that.
#[tokio::test]
async fn sandboxes_that_need_another_host_are_refused_for_what_they_import_from_it() {
    crate::common::needs!(components);
    for (name, import) in [
        ("capsule-js", "capsule:host/api"),
        ("capsule-python", "capsule:host/api"),
        ("hyperlight-javascript", "hyperlight:sandbox/tools"),
        ("hyperlight-python", "hyperlight:sandbox/tools"),
    ] {
        let why = format!("imports interfaces that this host does not provide: {import}");
        assert_eq!(refusal(name).await, why, "{name}");
    }
}
