//! Many connections at once.

use super::*;

/// Both ends of each connection are descriptors of this process.
fn allow_descriptors(count: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < count) {
        let current = Some(limit.maximum.map_or(count, |maximum| maximum.min(count)));
        setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
    }
}

#[tokio::test]
async fn a_thousand_that_do_nothing_keep_nobody_out() {
    allow_descriptors(4000);
    let mut config = plain();
    config.max_connections = 1000;
    // Served only by eviction, not because a timeout passed.
    config.header_timeout = 10 * PATIENCE;
    config.idle_timeout = 10 * PATIENCE;
    let server = Server::start(&config).await;
    let mut idle = Vec::new();
    for number in 0..1000 {
        let mut client = server.connect().await;
        match number % 3 {
            0 => {}
            1 => client.send("GET /healthz HTTP/1.1\r\nHost: ").await,
            _ => assert_eq!(client.ask(&get(&server, "/healthz")).await.status, 200),
        }
        idle.push(client);
    }
    for number in 0..10 {
        let reply = server.connect().await.ask(&message("")).await;
        assert_eq!(reply.status, 200, "{number}");
    }
    // The one that has done nothing for longest made room, the last one need not.
    assert_eq!(idle[0].end().await, "");
    let last = idle.last_mut().unwrap();
    last.send("localhost\r\n\r\n").await;
    last.send(get(&server, "/readyz")).await;
    assert!(last.more().await);
}

#[tokio::test]
async fn one_that_is_served_makes_no_room() {
    let mut config = plain();
    config.max_connections = 2;
    let server = Server::start(&config).await;
    let mut busy = [server.connect().await, server.connect().await];
    for client in &mut busy {
        client.open_stream(&server).await;
    }
    let mut waiting = server.connect().await;
    waiting.send(message("")).await;
    server.events.add_permits(2);
    for client in &mut busy {
        client.until("data: 1\n\n").await;
    }
    assert_eq!(waiting.read.len(), 0);
    let [first, second] = busy;
    drop(first);
    assert_eq!(waiting.reply().await.status, 200);
    drop(second);
}

#[tokio::test]
async fn more_may_be_open_after_a_reload() {
    let mut config = plain();
    config.max_connections = 1;
    let server = Server::start(&config).await;
    let mut busy = server.connect().await;
    busy.open_stream(&server).await;
    let mut waiting = server.connect().await;
    waiting.send(message("")).await;
    config.max_connections = 2;
    server.front.reload(&config).unwrap();
    assert_eq!(waiting.reply().await.status, 200);
}
