//! What one request and one connection may take.

use bytesize::ByteSize;

use super::*;

const SHORT: Duration = Duration::from_millis(250);

fn post(head: &str) -> String {
    format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\n{head}\r\n")
}

#[tokio::test]
async fn a_body_is_taken_up_to_its_bound() {
    let mut config = plain();
    config.max_body = ByteSize::b(1000);
    let server = Server::start(&config).await;
    let body = |length: usize| "x".repeat(length);
    let chunk = |length: usize| format!("{length:x}\r\n{}\r\n", body(length));
    let chunked = post("Transfer-Encoding: chunked\r\n");
    for (request, status) in [
        (post("Content-Length: 1000\r\n") + &body(1000), 200),
        (post("Content-Length: 1001\r\n"), 413),
        (post("Content-Length: 9000000000000000000\r\n"), 413),
        (
            format!("{chunked}{}{}0\r\n\r\n", chunk(500), chunk(500)),
            200,
        ),
        (format!("{chunked}{}{}", chunk(500), chunk(501)), 413),
        (format!("{chunked}{}", chunk(100_000)), 413),
    ] {
        let reply = server.ask(&request).await;
        let start = &request[..request.len().min(200)];
        assert_eq!(reply.status, status, "{start}: {reply:?}");
        let is_closed = reply.header("connection") == Some("close");
        assert_eq!(is_closed, status == 413, "{start}: {reply:?}");
    }
}

#[tokio::test]
async fn a_body_has_only_so_much_time() {
    let mut config = plain();
    config.body_timeout = SHORT;
    let server = Server::start(&config).await;
    let mut client = server.connect().await;
    let reply = client
        .ask(&(post("Content-Length: 100\r\n") + "half of it"))
        .await;
    assert_eq!(reply.status, 408);
    assert_eq!(client.end().await, "");
}

#[tokio::test]
async fn a_head_has_only_so_much_time_however_steadily_it_comes() {
    let mut config = plain();
    config.header_timeout = SHORT;
    let server = Server::start(&config).await;
    for before in ["", &get(&server, "/healthz")] {
        let mut client = server.connect().await;
        if !before.is_empty() {
            assert_eq!(client.ask(before).await.status, 200);
        }
        client
            .send("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ")
            .await;
        let started = tokio::time::Instant::now();
        while client.stream.write_all(b"x").await.is_ok() {
            let closed = tokio::time::timeout(Duration::from_millis(5), client.more()).await;
            if closed == Ok(false) {
                break;
            }
            assert!(started.elapsed() < PATIENCE, "it goes on and on");
        }
        assert_eq!(client.so_far(), "");
    }
    // Nor does one that says nothing at all.
    assert_eq!(server.connect().await.end().await, "");
}

#[tokio::test]
async fn a_head_is_taken_up_to_its_bounds() {
    let server = Server::start(&ServeConfig::default()).await;
    let many = |count: usize| "X: x\r\n".repeat(count);
    let long = |length: usize| format!("X: {}\r\n", "x".repeat(length));
    for (head, status) in [
        (many(98), 200),
        (many(101), 431),
        (many(10_000), 431),
        (long(60_000), 200),
        (long(70_000), 431),
    ] {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{head}\r\n");
        let reply = server.ask(&request).await;
        assert_eq!(reply.status, status, "{} bytes: {reply:?}", head.len());
    }
}

#[tokio::test]
async fn what_is_idle_is_closed_and_a_stream_is_not() {
    let mut config = plain();
    config.header_timeout = SHORT;
    config.body_timeout = SHORT;
    config.idle_timeout = SHORT;
    let server = Server::start(&config).await;
    let mut streaming = server.connect().await;
    streaming.open_stream(&server).await;
    // The stream is older than this one, which is too old already.
    let mut idle = server.connect().await;
    assert_eq!(idle.ask(&get(&server, "/healthz")).await.status, 200);
    assert_eq!(idle.end().await, "");
    for number in 1..=3 {
        server.events.add_permits(1);
        // Each comes when it is there, and waits for no other.
        streaming.until(&format!("data: {number}\n\n")).await;
    }
}

#[tokio::test]
async fn who_reads_nothing_of_what_is_sent_is_closed() {
    let mut config = plain();
    config.idle_timeout = SHORT;
    let server = Server::start(&config).await;
    let [mut silent, mut reading] = [server.connect().await, server.connect().await];
    for client in [&mut silent, &mut reading] {
        client.open_stream(&server).await;
    }
    let open = Arc::strong_count(&server.events);
    // More than the sockets of both take, and its reader stays.
    server.events.add_permits(10_000_000);
    let reading = tokio::spawn(async move {
        loop {
            assert!(reading.more().await, "a reader is closed");
            reading.read.clear();
        }
    });
    // The stream of the other is over before anything of it is read.
    until("it is closed", || Arc::strong_count(&server.events) != open).await;
    // Several times what a connection may be idle.
    tokio::time::sleep(5 * SHORT).await;
    assert!(!reading.is_finished(), "a reader is closed");
    reading.abort();
    let sent = silent.end().await;
    assert!(sent.contains("data: 1\n\n") && !sent.contains("data: 9999999\n\n"));
}
