//! The loop between a model and its tools, by hand, with OpenAI Chat Completions or a compatible server:
//! `OPENAI_API_KEY=… cargo run --example openai -- "What is 17 times 23?"`.
//!
//! `OPENAI_BASE_URL` (by default `https://api.openai.com/v1`) and `OPENAI_MODEL` choose another server and model.
//! [`toolhost::agent`] is this loop with retries, streams, budgets and approval.

use std::env;
use std::error::Error;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use toolhost::wire::{self, Answer, Format, Names};
use toolhost::{Loader, Manifest, NativeTools, Tool};

const FORMAT: Format = Format::OpenaiChat;

/// A model that calls tools for ever is stopped.
const MAX_TURNS: usize = 10;

#[derive(Deserialize, JsonSchema)]
struct Multiply {
    a: i64,
    b: i64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let question = env::args().nth(1).ok_or("what do you want to ask?")?;
    let tools = NativeTools::new("math").tool(
        Tool::new("multiply", "Multiplies two integers").read_only(),
        async |args: Multiply| match args.a.checked_mul(args.b) {
            Some(product) => Ok(product),
            None => Err("the product is too large"),
        },
    );
    let host = Loader::new(Manifest::default())
        .provider(tools)
        .load()
        .await?;

    let tools: Vec<&Tool> = host.tools().collect();
    let names = Names::of_tools(FORMAT, &tools);
    let declared = FORMAT.declare(&tools, &names).tools;
    let mut messages = vec![to_raw_value(
        &json!({ "role": "user", "content": question }),
    )?];
    for _ in 0..MAX_TURNS {
        let response = ask(&messages, &declared).await?;
        let mut reply = wire::reply(&response, FORMAT)?;
        if reply.calls.is_empty() {
            println!("{}", reply.text);
            return Ok(());
        }
        // The model's own message first, as it came, then a message for each of its calls.
        messages.extend(reply.messages);
        names.restore(&mut reply.calls);
        let results = host.run_all(reply.calls).await;
        for result in &results {
            println!("{}: {}", result.name, result.to_text());
        }
        let answers: Vec<Answer> = results.iter().map(Answer::new).collect();
        messages.extend(FORMAT.answers(&answers));
    }
    Err("the model calls tools without end".into())
}

/// Sends the conversation, and returns the body of the response.
async fn ask(messages: &[Box<RawValue>], tools: &RawValue) -> Result<Vec<u8>, Box<dyn Error>> {
    let base = env::var("OPENAI_BASE_URL");
    let base = base.unwrap_or_else(|_| "https://api.openai.com/v1".to_owned());
    let model = env::var("OPENAI_MODEL").unwrap_or_else(|_| "gpt-5-mini".to_owned());
    let body = json!({ "model": model, "messages": messages, "tools": tools });
    // Any HTTP client will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut request = reqwest::Client::new().post(format!("{base}/chat/completions"));
    if let Ok(key) = env::var("OPENAI_API_KEY") {
        request = request.bearer_auth(key);
    }
    let request = request.header("content-type", "application/json");
    let response = request.body(body.to_string()).send().await?;
    // An error of the API is in the body: `wire::reply` says what it is.
    Ok(response.bytes().await?.into())
}
