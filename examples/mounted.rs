//! An MCP server nested in your own web server: `cargo run --example mounted`, then
//! `npx @modelcontextprotocol/inspector --cli http://127.0.0.1:8080/mcp --method tools/list`.

use toolhost::mcp::{Server, ServerInfo};
use toolhost::{Loader, Manifest, NativeTools, Tool};

use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Greet {
    /// Who to greet.
    name: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "8080".to_owned());
    let tools = NativeTools::new("manners").tool(
        Tool::new("greet", "Greets somebody").read_only(),
        async |args: Greet| format!("Hello, {}!", args.name),
    );
    let manifest = Manifest::default();
    let serve = manifest.serve.clone();
    let host = Loader::new(manifest).provider(tools).load().await?;

    // Nobody but this machine reaches the address below. Elsewhere `service` is right: it insists on
    // authentication, which the manifest's `[serve]` has.
    let mcp = Server::new(host, ServerInfo::of(&serve)).http(&serve)?;
    let app = axum::Router::new()
        .route(
            "/",
            axum::routing::get(|| async { "The tools are at /mcp.\n" }),
        )
        .nest_service("/mcp", mcp.service_unchecked());

    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("http://{}/mcp", listener.local_addr()?);
    axum::serve(listener, app)
        .with_graceful_shutdown(async {
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    Ok(())
}
