//! An agent in your own program, with an observer:
//! `ANTHROPIC_API_KEY=… cargo run --example agent -- "What is 5 ft 3 in in cm?"`.

use toolhost::agent::{Agent, Event, Observer};
use toolhost::manifest::Manifest;
use toolhost::wire::Format;
use toolhost::{ToolCall, ToolHost};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let question = std::env::args().nth(1).ok_or("what do you want to ask?")?;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/demo");
    let mut manifest = Manifest::read(format!("{folder}/toolhost.toml"))?;
    // What the manifest's `[agent]` would say.
    manifest.agent.provider = Some(Format::Anthropic);
    manifest.agent.model = Some("claude-sonnet-4-5".to_owned());
    let host = ToolHost::load(manifest.clone()).await?;
    let mut agent = Agent::new(host, manifest.agent)?;
    let answer = agent.ask(&question, &mut Printer).await?;
    println!("{}", answer.text);
    let summary = agent.summary();
    println!("{} calls in {:?}", summary.calls, summary.wall);
    Ok(())
}

/// Says what the model calls, and what comes of it.
struct Printer;

impl Observer for Printer {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Call { call, .. } => {
                let ToolCall {
                    name, arguments, ..
                } = call;
                println!("{name} {arguments}");
            }
            Event::Result { result, .. } => println!("{}: {}", result.name, result.to_text()),
            _ => {}
        }
    }
}
