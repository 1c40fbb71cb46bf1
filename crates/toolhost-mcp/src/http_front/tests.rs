//! The front through real sockets, before a router that says whom it let through.

mod bounds;
mod connections;
mod lifecycle;
mod names;
mod oauth;
mod protocols;
mod silent;
mod smuggling;
mod tokens;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::routing::post;
use axum::{Extension, Router};
use futures_util::{FutureExt, StreamExt};
use http::{HeaderMap, Request};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use toolhost_testing::http::Headers;
use tower::ServiceExt;

use super::{Front, Lifecycle, Principal, accept};
use toolhost_core::manifest::ServeConfig;

/// Longer than anything here takes: a test that waits for this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until something is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = tokio::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        tokio::task::yield_now().await;
    }
}

/// A manifest without `[serve]`.
fn plain() -> ServeConfig {
    ServeConfig::default()
}

struct Server {
    address: SocketAddr,
    front: Front,
    lifecycle: Lifecycle,
    /// Each lets one event out of one stream.
    events: Arc<Semaphore>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(config: &ServeConfig) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let front = Front::new(config).unwrap();
        let lifecycle = Lifecycle::default();
        let events = Arc::new(Semaphore::new(0));
        let task = tokio::spawn({
            let (front, lifecycle) = (front.clone(), lifecycle.clone());
            let router = mcp(Arc::clone(&events));
            let mcp = move |request: Request<Bytes>| {
                let request = request.map(Body::from);
                router.clone().oneshot(request).map(|Ok(response)| response)
            };
            async move { accept(listener, front.site(mcp, || 1 << 20, lifecycle)).await }
        });
        Server {
            address,
            front,
            lifecycle,
            events,
            task,
        }
    }

    async fn connect(&self) -> Client {
        Client::over(TcpStream::connect(self.address).await.unwrap())
    }

    /// One request on a connection of its own.
    async fn ask(&self, request: &str) -> Reply {
        self.connect().await.ask(request).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.lifecycle.stop.cancel();
    }
}

/// `POST` says who was let through with what; `GET` streams an event for each permit, without end.
fn mcp(events: Arc<Semaphore>) -> Router {
    let echo = async |Extension(principal): Extension<Principal>, head: HeaderMap, body: Bytes| {
        assert!(!head.contains_key("authorization"), "the token has passed");
        let tools = principal.tools.as_deref();
        json!({
            "name": &*principal.name,
            "tools": tools,
            "body": String::from_utf8_lossy(&body),
        })
        .to_string()
    };
    let stream = async move || {
        let events = futures_util::stream::unfold((events, 0), async |(events, number)| {
            if number > 0 {
                events.acquire().await.ok()?.forget();
            }
            let event = Bytes::from(format!("data: {number}\n\n"));
            Some((Ok::<_, std::io::Error>(event), (events, number + 1)))
        });
        let mut response = axum::response::Response::new(Body::from_stream(events.boxed()));
        let headers = response.headers_mut();
        headers.insert("content-type", "text/event-stream".parse().unwrap());
        response
    };
    Router::new().route("/mcp", post(echo).get(stream))
}

struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

#[derive(Debug)]
struct Reply {
    status: u16,
    headers: Headers,
    body: String,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The one of the principal that was let through.
    #[track_caller]
    fn name(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["name"].as_str().unwrap().to_owned()
    }

    fn retry_after(&self) -> Option<u64> {
        self.header("retry-after")?.parse().ok()
    }
}

impl Client {
    fn over(stream: TcpStream) -> Client {
        Client {
            stream,
            read: Vec::new(),
        }
    }

    async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).await.unwrap();
    }

    async fn ask(&mut self, request: &str) -> Reply {
        self.send(request).await;
        self.reply().await
    }

    /// Up to and with some text.
    async fn until(&mut self, end: &str) -> String {
        let find = |read: &[u8]| read.windows(end.len()).position(|it| it == end.as_bytes());
        loop {
            if let Some(at) = find(&self.read) {
                let text = self.read.drain(..at + end.len()).collect();
                return String::from_utf8(text).unwrap();
            }
            assert!(
                self.more().await,
                "closed before {end:?}: {:?}",
                self.so_far()
            );
        }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }

    /// Whether anything came, and not the end.
    async fn more(&mut self) -> bool {
        let read = self.stream.read_buf(&mut self.read);
        let read = tokio::time::timeout(PATIENCE, read).await;
        matches!(read.expect("something comes"), Ok(1..))
    }

    /// Waits until the server has closed, and says what came before that.
    async fn end(&mut self) -> String {
        while self.more().await {}
        self.so_far()
    }

    async fn head(&mut self) -> Reply {
        let head = self.until("\r\n\r\n").await;
        let mut lines = head.lines();
        let status = lines.next().unwrap();
        Reply {
            status: status.split(' ').nth(1).unwrap().parse().unwrap(),
            headers: Headers::parse(lines),
            body: String::new(),
        }
    }

    async fn reply(&mut self) -> Reply {
        let mut reply = self.head().await;
        let length = reply
            .header("content-length")
            .map_or(0, |it| it.parse().unwrap());
        while self.read.len() < length {
            assert!(self.more().await, "{reply:?} {:?}", self.so_far());
        }
        reply.body = String::from_utf8(self.read.drain(..length).collect()).unwrap();
        reply
    }

    /// Begins a stream, and reads its first event.
    async fn open_stream(&mut self, server: &Server) -> Reply {
        self.send(get(server, "/mcp")).await;
        let head = self.head().await;
        assert_eq!(head.status, 200, "{head:?}");
        self.until("data: 0\n\n").await;
        head
    }
}

/// A request that nothing is wrong with.
fn get(server: &Server, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", server.address)
}

/// A message to the router, with more lines in its head.
fn message(head: &str) -> String {
    format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n{head}\r\nhi")
}

fn with_token(token: &str) -> String {
    message(&format!("Authorization: Bearer {token}\r\n"))
}
