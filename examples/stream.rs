//! Calls of a streaming model answer: each starts as soon as its arguments are complete.
//! `cargo run --example stream`.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use schemars::JsonSchema;
use serde::Deserialize;
use toolhost::wire::{Delta, Events, Format, event_data};
use toolhost::{Loader, Manifest, NativeTools, Tool, ToolCall};

#[derive(Deserialize, JsonSchema)]
struct Weather {
    city: String,
}

/// What an API would send: two calls, a word, and the end.
const EVENTS: [&str; 5] = [
    r#"{"choices":[{"delta":{"content":"Let me look. "}}]}"#,
    r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"call_1","function":{"name":"weather","arguments":"{\"city\":\"Oslo\"}"}}]}}]}"#,
    r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"call_2","function":{"name":"weather","arguments":"{\"city\":"}}]}}]}"#,
    r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"function":{"arguments":"\"Lima\"}"}}]}}]}"#,
    r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tools = NativeTools::new("forecast").tool(
        // What changes something would wait for the end of the answer: one that breaks off is void.
        Tool::new("weather", "Tells the weather in a city").read_only(),
        async |args: Weather| format!("{}: 12 °C", args.city),
    );
    let host = Loader::new(Manifest::default())
        .provider(tools)
        .load()
        .await?;

    // In place of the body of a response, such as `reqwest::Response::bytes_stream`.
    let body = stream::iter(EVENTS).then(async |data| {
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok(format!("data: {data}\n\n").into())
    });
    let mut data = Box::pin(event_data(body));
    let mut events = Events::new(Some(Format::OpenaiChat))?;
    let mut batch = host.open_batch();

    while !events.is_over() {
        tokio::select! {
            Some((position, result)) = batch.next() => {
                println!("result {position}: {}", result.to_text());
            }
            next = data.next() => {
                let Some(data) = next else { break };
                for delta in events.event(&data?)? {
                    match delta {
                        Delta::Text(text) => println!("text: {text}"),
                        Delta::Call { position, call } => {
                            let ToolCall { name, arguments, .. } = &call;
                            println!("call {position}: {name} {arguments}");
                            batch.add_early(position, call);
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    let (_, received) = events.finish()?;
    if received.is_complete {
        batch.complete();
    } else {
        batch.abandon();
    }
    while let Some((position, result)) = batch.next().await {
        println!("result {position}: {}", result.to_text());
    }
    // What goes into the next request, ahead of the messages with the results.
    println!("message: {}", received.reply.messages[0]);
    Ok(())
}
