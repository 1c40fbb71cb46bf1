//! Functions of your own program as tools, and a hook around every call: `cargo run --example native`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toolhost::{
    Decision, Hook, Json, Loader, Manifest, NativeTools, Output, Tool, ToolCall, ToolResult,
};

#[derive(Deserialize, JsonSchema)]
struct Find {
    /// Words to look for.
    query: String,
    /// How many at most.
    #[serde(default = "ten")]
    limit: usize,
}

fn ten() -> usize {
    10
}

#[derive(Serialize, JsonSchema)]
struct Found {
    titles: Vec<String>,
}

/// Answers a call that was made before without running it again.
#[derive(Default)]
struct Cache(Mutex<HashMap<String, Output>>);

impl Hook for Cache {
    fn before<'a>(&'a self, call: &'a ToolCall, _: &'a Tool) -> BoxFuture<'a, Decision> {
        let known = self.0.lock().unwrap().get(&key(call)).cloned();
        Box::pin(async { known.map_or(Decision::Run, Decision::Answer) })
    }

    fn after(&self, call: &ToolCall, tool: Option<&Tool>, result: &ToolResult) {
        let is_read_only = tool.is_some_and(|tool| tool.annotations.read_only == Some(true));
        if let (true, Ok(output)) = (is_read_only, &result.outcome) {
            self.0.lock().unwrap().insert(key(call), output.clone());
        }
    }
}

fn key(call: &ToolCall) -> String {
    format!("{} {}", call.name, call.arguments)
}

#[tokio::main]
async fn main() -> Result<(), toolhost::LoadError> {
    let library = Arc::new(["Dune", "Emma", "Ulysses"]);
    let tools = NativeTools::new("library").tool(
        Tool::new("find_books", "Finds books by words of their titles").read_only(),
        move |args: Find| {
            let library = library.clone();
            async move {
                let query = args.query.to_lowercase();
                let found = library
                    .iter()
                    .filter(|it| it.to_lowercase().contains(&query));
                let titles = found.take(args.limit).map(|it| (*it).to_owned()).collect();
                Json(Found { titles })
            }
        },
    );

    // Beside the plugins of a manifest, of which this one has none.
    let host = Loader::new(Manifest::default())
        .provider(tools)
        .hook(Cache::default())
        .load()
        .await?;

    for id in ["call_1", "call_2"] {
        let call = ToolCall::new(id, "find_books", r#"{"query": "e"}"#);
        let result = host.call(call).await;
        println!("{id}: {} after {:?}", result.to_text(), result.usage.run);
    }
    Ok(())
}
