//! A host in your own agent: `cargo xtask guests && cargo run --example embed`.

use toolhost::manifest::Manifest;
use toolhost::{ToolCall, ToolHost};

#[tokio::main]
async fn main() -> Result<(), toolhost::LoadError> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/demo");
    let manifest = Manifest::read(format!("{folder}/toolhost.toml"))?;
    let host = ToolHost::load(manifest).await?;

    // What the model may call.
    for tool in host.tools() {
        println!("{}: {}", tool.name, tool.input_schema["properties"]);
    }

    // What it called; the arguments are JSON text, as the model wrote it.
    let calls = [
        ToolCall::new(
            "call_1",
            "calculate",
            r#"{"expression": "5 ft 3 in to cm"}"#,
        ),
        ToolCall::new("call_2", "time_now", r#"{"zone": "Asia/Tokyo"}"#),
        ToolCall::new("call_3", "no_such_tool", "{}"),
    ];
    for result in host.run_all(calls).await {
        match &result.outcome {
            Ok(output) => println!("{:?}: {}", result.id, output.to_text()),
            Err(error) => println!("{:?}: {} ({})", result.id, error, error.code()),
        }
    }
    Ok(())
}
