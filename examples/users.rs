//! One host for many users: `cargo run --example users`.
//!
//! The tool is a native function, so that the example needs no plugin. Plugins are narrowed in the same way, and the host
//! enforces it: their folders, secrets and hosts are those of the manifest or of the user, never more.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use toolhost::{
    CallOptions, Loader, Manifest, Narrowing, NativeContext, NativeTools, Tool, ToolCall,
};

#[derive(Deserialize, JsonSchema)]
struct Note {
    /// What to remember.
    text: String,
}

/// Adds a line to the notes of whoever calls.
async fn remember(note: Note, context: NativeContext) -> Result<String, String> {
    let folder = context.narrowing().and_then(|it| it.folder("/notes"));
    let folder = folder.ok_or("these notes are nobody's")?;
    let file = folder.join("notes.txt");
    let notes = std::fs::read_to_string(&file).unwrap_or_default() + &note.text + "\n";
    std::fs::write(&file, &notes).map_err(|error| error.to_string())?;
    let whose = context.client().unwrap_or("somebody");
    Ok(format!("{whose} has {} notes", notes.lines().count()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tool = Tool::new("remember", "Remembers something for the user").additive();
    let host = Loader::new(Manifest::default())
        .provider(NativeTools::new("notes").tool(tool, remember))
        .load()
        .await?;

    let users = std::env::temp_dir().join(format!("toolhost-users-{}", std::process::id()));
    let mut running = Vec::new();
    for name in ["alice", "bob"] {
        // Of what the program knows of the user, once for a session.
        let folder: PathBuf = users.join(name);
        std::fs::create_dir_all(&folder)?;
        let narrowing = Narrowing::new()
            .client(name)
            .folder("notes", "/notes", &folder);
        let options = CallOptions::new().narrowed(&host.narrow(narrowing)?);

        // Of what the user's model says.
        let note = |id: &str, text: &str| {
            ToolCall::new(
                id,
                "remember",
                serde_json::json!({ "text": text }).to_string(),
            )
        };
        let calls = [note("1", "buy milk"), note("2", "call mum")];
        running.push(host.run_all_with(calls, options));
    }
    for results in futures_util::future::join_all(running).await {
        for result in results {
            println!("{}", result.to_text());
        }
    }
    std::fs::remove_dir_all(&users)?;
    Ok(())
}
