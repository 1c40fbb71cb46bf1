//! Clients that read nothing of what they are sent, or do not finish what they began, in any
//! protocol and however alive they seem.

use bytesize::ByteSize;

use super::*;
use crate::http_front::connection_limit::activity::STALL_TIMEOUT;

const SHORT: Duration = Duration::from_millis(250);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

/// A client of HTTP/2 by hand.
struct Http2(Client);

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

impl Http2 {
    /// One that lets the server send so many bytes of each answer.
    async fn connect(server: &Server, window: u32) -> Http2 {
        let mut client = Http2(server.connect().await);
        client.0.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        let mut settings = vec![0, 4];
        settings.extend(window.to_be_bytes());
        client.0.send(frame(SETTINGS, 0, 0, &settings)).await;
        while client.frame().await.expect("it speaks") != (SETTINGS, 0) {}
        // Of a request's body it takes more than at first from then on.
        client.0.send(frame(SETTINGS, 1, 0, &[])).await;
        client
    }

    /// Sends a request; its answer is still to be read.
    async fn send(&mut self, stream: u32, path: &str, body: Option<usize>) {
        let text = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
        let method = if body.is_some() { 0x83 } else { 0x82 };
        let mut head = vec![method, 0x86, 0x04];
        head.extend(text(path));
        head.push(0x01);
        head.extend(text("localhost"));
        if let Some(length) = body {
            head.extend([0x0f, 0x0d]);
            head.extend(text(&length.to_string()));
        }
        let end = u8::from(body.is_none());
        self.0.send(frame(HEADERS, 4 | end, stream, &head)).await;
        let mut left = body.unwrap_or(0);
        while left > 0 {
            let piece = left.min(16 << 10);
            left -= piece;
            let end = u8::from(left == 0);
            let data = frame(DATA, end, stream, &vec![b'x'; piece]);
            self.0.send(data).await;
        }
    }

    /// The kind and the stream of the next frame; none where the server has closed.
    async fn frame(&mut self) -> Option<(u8, u32)> {
        loop {
            if let Some(head) = self.0.read.first_chunk::<9>() {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                let kind = head[3];
                if self.0.read.len() >= 9 + length {
                    self.0.read.drain(..9 + length);
                    return Some((kind, stream));
                }
            }
            if !self.0.more().await {
                return None;
            }
        }
    }

    /// Waits for the head of an answer.
    async fn answered(&mut self, stream: u32) {
        loop {
            let next = self.frame().await.expect("it is answered");
            if next == (HEADERS, stream) {
                return;
            }
        }
    }

    /// Sends frames again and again, until the server has closed.
    async fn chatter(mut self, frames: &[Vec<u8>]) {
        let begun = tokio::time::Instant::now();
        for frame in frames.iter().cycle() {
            if self.0.stream.write_all(frame).await.is_err() {
                return;
            }
            let read = self.0.stream.read_buf(&mut self.0.read);
            if let Ok(Ok(0) | Err(_)) = tokio::time::timeout(SHORT / 10, read).await {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "it goes on and on");
        }
    }
}

fn pings() -> Vec<Vec<u8>> {
    vec![
        frame(PING, 0, 0, &[0; 8]),
        frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
        frame(SETTINGS, 0, 0, &[]),
    ]
}

#[tokio::test]
async fn clients_that_take_no_answer_keep_nobody_out() {
    let mut config = plain();
    config.max_connections = 6;
    // Served only by eviction, not because a timeout passed.
    config.header_timeout = 10 * PATIENCE;
    config.idle_timeout = 10 * PATIENCE;
    config.body_timeout = 10 * PATIENCE;
    let server = Server::start(&config).await;
    let mut silent = Vec::new();
    let mut chatting = Vec::new();
    for number in 0..6 {
        match number % 3 {
            0 => {
                let mut client = Http2::connect(&server, 0).await;
                client.send(1, "/healthz", None).await;
                client.answered(1).await;
                chatting.push(tokio::spawn(async move { client.chatter(&pings()).await }));
            }
            1 => {
                let mut client = server.connect().await;
                client.open_stream(&server).await;
                silent.push(client);
            }
            _ => {
                let mut client = server.connect().await;
                let head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n";
                client.send(format!("{head}half of it")).await;
                silent.push(client);
            }
        }
    }
    // More than the sockets take of both streams.
    server.events.add_permits(10_000_000);
    // Before that, a connection that has just become idle would be evicted.
    tokio::time::sleep(2 * STALL_TIMEOUT).await;
    // As many as all of those, so that each kind has to make room.
    let mut served = Vec::new();
    for _ in 0..6 {
        let mut client = server.connect().await;
        assert_eq!(client.ask(&message("")).await.name(), "anonymous");
        served.push(client);
    }
    for chatting in chatting {
        chatting.await.unwrap();
    }
}

#[tokio::test]
async fn who_takes_no_answer_is_closed_however_alive_it_seems() {
    let mut config = plain();
    config.idle_timeout = SHORT;
    let server = Server::start(&config).await;
    // One that waits for an answer, and one that has asked for nothing since.
    let mut silent = Http2::connect(&server, 0).await;
    silent.send(1, "/healthz", None).await;
    silent.answered(1).await;
    silent.chatter(&pings()).await;
    let mut idle = Http2::connect(&server, 1 << 20).await;
    idle.send(1, "/healthz", None).await;
    idle.answered(1).await;
    idle.chatter(&pings()).await;
}

#[tokio::test]
async fn who_takes_a_byte_now_and_then_is_closed() {
    let mut config = plain();
    config.idle_timeout = SHORT;
    let server = Server::start(&config).await;
    let mut client = Http2::connect(&server, 1).await;
    client.send(1, "/mcp", Some(512 << 10)).await;
    client.answered(1).await;
    let byte = frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes());
    client.chatter(&[byte]).await;
}

#[tokio::test]
async fn what_clients_have_not_taken_is_bounded_for_all_together() {
    const ANSWER: usize = 512 << 10;
    let mut config = plain();
    config.max_unsent = ByteSize::mib(2);
    config.idle_timeout = 10 * PATIENCE;
    let server = Server::start(&config).await;
    let mut silent = Vec::new();
    for _ in 0..12 {
        let mut client = Http2::connect(&server, 0).await;
        client.send(1, "/mcp", Some(ANSWER)).await;
        client.answered(1).await;
        silent.push(client);
    }
    // A client that reads its answer gets it.
    let body = "x".repeat(ANSWER);
    let head = format!("Host: localhost\r\nContent-Length: {ANSWER}\r\n");
    let reply = server
        .ask(&format!("POST /mcp HTTP/1.1\r\n{head}\r\n{body}"))
        .await;
    assert_eq!(reply.json()["body"], body);
    // The first of the others have made room.
    for client in &mut silent[..4] {
        while client.frame().await.is_some() {}
    }
    until("no more is held than may be", || {
        !server.front.unsent().is_over()
    })
    .await;
    drop(silent);
    until("nothing is held", || server.front.unsent() == 0).await;
}
