//! An MCP server in this process, what clients get from it, and what all of that must be.

use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use toolhost::mcp::{Server, ServerInfo};

use crate::common;

/// Nothing that a client sends keeps the server for as long. It is shorter than what the server gives those that run at
/// the end of its input, and rmcp its answers: whatever comes to wait for that would wait without reason.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// Some tools of the guests never end by themselves.
const TIMEOUT: Duration = Duration::from_millis(200);

/// Tools, resources, prompts, completion, and tools that ask their client.
const GUESTS: &[&str] = &["calculator", "conformance", "time"];

/// One thread, so that an input is always served in the same order.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = Builder::new_current_thread();
        builder.enable_all().build().expect("a runtime")
    })
}

/// One server for all inputs: what one client does to it, another would see.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let plugins = GUESTS.iter().map(|name| {
            let mut plugin = common::plugin(name);
            plugin.limits.timeout = TIMEOUT;
            plugin
        });
        let host = runtime().block_on(common::load(common::manifest(plugins)));
        Server::new(host, ServerInfo::default())
    })
}

/// Whether a server may send that message: one of JSON-RPC.
pub fn is_message(message: &Value) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{what}: {message}"));
    if message["jsonrpc"] != "2.0" {
        return wrong("no JSON-RPC 2.0");
    }
    let has = |name: &str| message.get(name).is_some();
    match (has("method"), has("result"), has("error")) {
        (true, false, false) if message["method"].is_string() => Ok(()),
        (false, true, false) if is_id(&message["id"]) => Ok(()),
        (false, false, true) => {
            let error = &message["error"];
            // Of a message whose id cannot be read.
            let has_id = is_id(&message["id"]) || message["id"].is_null();
            match has_id && error["code"].is_i64() && error["message"].is_string() {
                true => Ok(()),
                false => wrong("no error"),
            }
        }
        _ => wrong("neither a request, a notification nor an answer"),
    }
}

/// Whether that is the id of a request.
pub fn is_id(id: &Value) -> bool {
    id.is_string() || id.is_i64()
}

/// Whether it is an answer to some request.
pub fn is_answer(message: &Value) -> bool {
    message.get("method").is_none()
}
