//! The server in somebody else's: as a service of their router, over their listener, over their streams.

use std::future::ready;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use toolhost::mcp::{McpService, Server, ServerInfo};
use toolhost::{
    CancellationToken, Decision, Hook, Loader, Manifest, NativeTools, Tool, ToolCall, ToolHost,
};

use crate::common::needs;
use crate::http::{self, Reply};

async fn host() -> ToolHost {
    let tools = NativeTools::new("mine").tool_with_schema(
        Tool::new("hello", "Greets").read_only(),
        json!({ "type": "object" }),
        async |_: Value| "hello from axum",
    );
    let loader = Loader::new(Manifest::default()).provider(tools);
    loader.load().await.unwrap()
}

fn manifest(serve: &str) -> Manifest {
    Manifest::parse(serve, "toolhost.toml").unwrap()
}

fn with_token() -> Manifest {
    manifest(&token("ci"))
}

/// A client of that name, whose token is `th_` and the name.
fn token(name: &str) -> String {
    let digest = Sha256::digest(format!("th_{name}"));
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[serve.auth.tokens.{name}]\nsha256 = '{digest}'\n")
}

async fn server(manifest: &Manifest) -> toolhost::mcp::HttpServer {
    let info = ServerInfo::of(&manifest.serve);
    Server::new(host().await, info)
        .http(&manifest.serve)
        .unwrap()
}

/// An axum server that has MCP below `/tools`, and its address.
async fn nested(mcp: McpService) -> String {
    let app = axum::Router::new()
        .route("/", axum::routing::get(async || "an application"))
        .nest_service("/tools", mcp);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async { axum::serve(listener, app).await });
    address
}

fn post(address: &str, path: &str, more: &[(&str, &str)], body: &Value) -> Reply {
    let head = [
        ("Content-Type", "application/json"),
        ("Accept", "application/json"),
    ];
    let head = [&head[..], more].concat();
    http::ask(address, &format!("POST {path}"), &head, &body.to_string())
}

fn initialize() -> Value {
    json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" },
    } })
}

fn hello() -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "hello" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn mcp_is_nested_in_an_axum_router_with_its_own_authentication() {
    let service = server(&with_token()).await.service().unwrap();
    let address = nested(service.clone()).await;
    tokio::task::spawn_blocking({
        let address = address.clone();
        move || {
            let page = http::ask(&address, "GET /", &[], "");
            assert_eq!((page.status, &*page.body), (200, "an application"));
            let token = ("Authorization", "Bearer th_ci");
            for path in ["/tools", "/tools/mcp"] {
                assert_eq!(
                    post(&address, path, &[], &initialize()).status,
                    401,
                    "{path}"
                );
                let begun = post(&address, path, &[token], &initialize());
                assert_eq!(begun.status, 200, "{begun:?}");
                let session = begun.header("mcp-session-id").unwrap().to_owned();
                let session = ("Mcp-Session-Id", &*session);
                let called = post(&address, path, &[token, session], &hello());
                let answer: Value = serde_json::from_str(&called.body).unwrap();
                assert_eq!(answer["result"]["content"][0]["text"], "hello from axum");
                let other = ("Host", "evil.example");
                let refused = post(&address, path, &[token, session, other], &hello());
                assert_eq!(refused.status, 403, "{refused:?}");
            }
        }
    })
    .await
    .unwrap();
    assert_eq!(service.drain(Duration::ZERO).await, 0);
    tokio::task::spawn_blocking(move || {
        let token = ("Authorization", "Bearer th_ci");
        let late = post(&address, "/tools", &[token], &initialize());
        assert_eq!(late.status, 503, "{late:?}");
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn exposed_server_needs_authentication_unless_switched_off() {
    let open = server(&manifest("")).await;
    let why = open.service().unwrap_err().to_string();
    assert!(why.contains("service_unchecked"), "{why}");
    let address = nested(open.service_unchecked()).await;
    let begun = tokio::task::spawn_blocking(move || post(&address, "/tools", &[], &initialize()));
    assert_eq!(begun.await.unwrap().status, 200);

    let stop = CancellationToken::new();
    stop.cancel();
    let everywhere = || TcpListener::bind("0.0.0.0:0");
    let refused = open.serve(everywhere().await.unwrap(), stop.clone(), Duration::ZERO);
    let why = refused.await.unwrap_err().to_string();
    assert!(why.contains("could call every tool"), "{why}");
    let unchecked = open.serve_unchecked(everywhere().await.unwrap(), stop.clone(), Duration::ZERO);
    assert_eq!(unchecked.await, 0);
    let here = TcpListener::bind("127.0.0.1:0").await.unwrap();
    assert_eq!(
        open.serve(here, stop.clone(), Duration::ZERO)
            .await
            .unwrap(),
        0
    );
    let asking = server(&with_token()).await;
    let asking = asking.serve(everywhere().await.unwrap(), stop, Duration::ZERO);
    assert_eq!(asking.await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_does_not_open_what_others_reach() {
    let stop = CancellationToken::new();
    stop.cancel();
    let open = manifest("").serve;
    for address in ["0.0.0.0:0", "127.0.0.1:0"] {
        let server = server(&with_token()).await;
        let listener = TcpListener::bind(address).await.unwrap();
        let served = server.serve(listener, stop.clone(), Duration::ZERO);
        served.await.unwrap();
        let reloaded = server.reload(&open).map_err(|error| error.to_string());
        match address {
            "127.0.0.1:0" => reloaded.unwrap(),
            _ => assert!(reloaded.unwrap_err().contains("could call every tool")),
        }
        server.reload(&with_token().serve).unwrap();
    }
    let server = server(&with_token()).await;
    let _service = server.service().unwrap();
    server.reload(&open).unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_served_over_any_pair_of_streams() {
    let server = Server::new(host().await, ServerInfo::default());
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (reader, writer) = tokio::io::split(ours);
    let serving = tokio::spawn(async move {
        let never = CancellationToken::new();
        server.serve_stream(reader, writer, never).await
    });
    let (reader, mut writer) = tokio::io::split(theirs);
    let mut lines = BufReader::new(reader).lines();
    let begun = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    for message in [initialize(), begun, hello()] {
        writer
            .write_all(format!("{message}\n").as_bytes())
            .await
            .unwrap();
    }
    let mut next = async || -> Value {
        serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap()
    };
    let result = next().await["result"].take();
    assert_eq!(result["protocolVersion"], "2025-11-25");
    assert!(result["capabilities"]["logging"].is_object(), "{result}");
    assert_eq!(
        next().await["result"]["content"][0]["text"],
        "hello from axum"
    );
    writer.shutdown().await.unwrap();
    serving.await.unwrap().unwrap();
}

/// A process that is killed when it is dropped.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn mounted_example_answers_beside_the_applications_page() {
    needs!(examples);
    let mut command = crate::common::example("mounted");
    command.arg("0").stdout(std::process::Stdio::piped());
    let mut server = Running(command.spawn().unwrap());
    let mut lines = std::io::BufReader::new(server.0.stdout.take().unwrap());
    let mut url = String::new();
    std::io::BufRead::read_line(&mut lines, &mut url).unwrap();
    let address = url.trim().strip_prefix("http://").unwrap();
    let address = address.strip_suffix("/mcp").unwrap();

    let page = http::ask(address, "GET /", &[], "");
    assert_eq!(
        (page.status, &*page.body),
        (200, "The tools are at /mcp.\n")
    );
    let begun = post(address, "/mcp", &[], &initialize());
    let session = begun.header("mcp-session-id").unwrap().to_owned();
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "greet", "arguments": { "name": "Ada" } } });
    let head = [("Mcp-Session-Id", &*session)];
    let reply = post(address, "/mcp", &head, &call);
    assert!(reply.body.contains("Hello, Ada!"), "{}", reply.body);
}

/// Counts the calls that are about to wait for their turn.
struct Arrivals(watch::Sender<usize>);

impl Hook for Arrivals {
    fn before<'a>(&'a self, _: &'a ToolCall, _: &'a Tool) -> BoxFuture<'a, Decision> {
        self.0.send_modify(|count| *count += 1);
        Box::pin(ready(Decision::Run))
    }
}

/// A client over streams that has introduced itself.
async fn client(server: &Server) -> impl AsyncWrite + Unpin + use<> {
    let (server, (ours, theirs)) = (server.clone(), tokio::io::duplex(1 << 16));
    let (reader, writer) = tokio::io::split(ours);
    tokio::spawn(async move {
        let never = CancellationToken::new();
        server.serve_stream(reader, writer, never).await
    });
    let begun = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let mut client = theirs;
    for message in [initialize(), begun] {
        send(&mut client, &message).await;
    }
    client
}

async fn send(client: &mut (impl AsyncWrite + Unpin), message: &Value) {
    let line = format!("{message}\n");
    client.write_all(line.as_bytes()).await.unwrap();
}

/// A host that runs one call at a time, each of which waits to be let on, and what is seen of its calls.
struct Steps {
    host: ToolHost,
    /// Calls that are about to wait for their turn.
    arrived: watch::Receiver<usize>,
    /// Those that began.
    order: mpsc::UnboundedReceiver<String>,
    gate: Arc<Semaphore>,
}

async fn steps(manifest: Manifest) -> Steps {
    let (begun, order) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let turn = gate.clone();
    let tools = NativeTools::new("mine").tool_with_schema(
        Tool::new("step", "Waits to be let on").read_only(),
        json!({ "type": "object" }),
        move |arguments: Value| {
            let (begun, turn) = (begun.clone(), turn.clone());
            async move {
                begun.send(arguments["by"].to_string()).unwrap();
                turn.acquire().await.unwrap().forget();
                "done"
            }
        },
    );
    let (arrivals, arrived) = watch::channel(0);
    let loader = Loader::new(manifest)
        .provider(tools)
        .hook(Arrivals(arrivals));
    Steps {
        host: loader.load().await.unwrap(),
        arrived,
        order,
        gate,
    }
}

/// A call of a client by a session of its own, over HTTP; what comes back is the connection that it waits on.
async fn step_in_session(address: &str, by: &'static str) -> TcpStream {
    let address = address.to_owned();
    let asked = tokio::task::spawn_blocking(move || {
        let bearer = format!("Bearer th_{by}");
        let token = ("Authorization", &*bearer);
        let begun = post(&address, "/tools", &[token], &initialize());
        let session = begun.header("mcp-session-id").unwrap().to_owned();
        let head = [
            token,
            ("Mcp-Session-Id", &*session),
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
        ];
        let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        http::ask(&address, "POST /tools", &head, &ready.to_string());
        http::send(&address, "POST /tools", &head, &step(1, by).to_string()).unwrap()
    });
    asked.await.unwrap()
}

#[tokio::test]
async fn a_client_with_many_sessions_has_one_turn() {
    let tokens = format!("{}{}", token("many"), token("few"));
    let manifest = manifest(&format!("[host]\nmax-concurrency = 1\n{tokens}"));
    let serve = manifest.serve.clone();
    let mut steps = steps(manifest).await;
    let server = Server::new(steps.host, ServerInfo::of(&serve));
    let address = nested(server.http(&serve).unwrap().service().unwrap()).await;

    let mut waiting = Vec::new();
    for by in ["many", "many", "many", "many", "few"] {
        waiting.push(step_in_session(&address, by).await);
        let arrived = waiting.len();
        steps.arrived.wait_for(|it| *it == arrived).await.unwrap();
    }
    steps.gate.add_permits(5);
    let mut by = Vec::new();
    for _ in 0..3 {
        by.push(steps.order.recv().await.unwrap());
    }
    assert_eq!(by, [r#""many""#, r#""many""#, r#""few""#]);
}

#[tokio::test]
async fn queued_calls_of_a_client_delay_another_by_one_call() {
    let steps = steps(manifest("[host]\nmax-concurrency = 1\n")).await;
    let Steps {
        host,
        mut arrived,
        mut order,
        gate,
    } = steps;
    let server = Server::new(host, ServerInfo::default());

    let (mut many, mut few) = (client(&server).await, client(&server).await);
    for id in 1..=6 {
        send(&mut many, &step(id, "many")).await;
    }
    // On the one thread of this test a call has its place in the queue once it has been seen here.
    arrived.wait_for(|count| *count == 6).await.unwrap();
    send(&mut few, &step(1, "few")).await;
    arrived.wait_for(|count| *count == 7).await.unwrap();
    gate.add_permits(7);
    let mut by = Vec::new();
    for _ in 0..3 {
        by.push(order.recv().await.unwrap());
    }
    // The first runs already, the second came before.
    assert_eq!(by, [r#""many""#, r#""many""#, r#""few""#]);
}

fn step(id: usize, by: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
        "name": "step", "arguments": { "by": by },
    } })
}
