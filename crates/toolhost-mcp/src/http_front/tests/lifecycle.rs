//! The server's beginning and end.

use super::*;

#[tokio::test]
async fn a_server_that_drains_finishes_what_it_has_and_takes_nothing_new() {
    let mut server = Server::start(&ServeConfig::default()).await;
    let mut running = server.connect().await;
    running.open_stream(&server).await;
    let mut messages = server.connect().await;
    assert_eq!(messages.ask(&message("")).await.status, 200);
    let mut probe = server.connect().await;
    assert_eq!(probe.ask(&get(&server, "/readyz")).await.status, 200);

    server.lifecycle.drain.cancel();
    let reply = messages.ask(&message("")).await;
    assert_eq!(reply.status, 503);
    assert!(reply.retry_after().is_some(), "{reply:?}");
    assert_eq!(reply.header("connection"), Some("close"));
    assert_eq!(messages.end().await, "");
    assert_eq!(probe.ask(&get(&server, "/readyz")).await.status, 503);

    let begun = tokio::time::Instant::now();
    while TcpStream::connect(server.address).await.is_ok() {
        assert!(begun.elapsed() < PATIENCE, "it still listens");
        tokio::task::yield_now().await;
    }
    server.events.add_permits(1);
    running.until("data: 1\n\n").await;
    assert!(!server.task.is_finished());
    drop(running);
    let ended = tokio::time::timeout(PATIENCE, &mut server.task).await;
    ended.expect("nothing runs").unwrap();
}

#[tokio::test]
async fn a_connection_that_does_nothing_does_not_hold_up_the_end() {
    let mut config = plain();
    config.header_timeout = 10 * PATIENCE;
    config.idle_timeout = 10 * PATIENCE;
    let mut server = Server::start(&config).await;
    let mut idle = server.connect().await;
    assert_eq!(idle.ask(&get(&server, "/readyz")).await.status, 200);
    let mut silent = server.connect().await;
    server.lifecycle.drain.cancel();
    let ended = tokio::time::timeout(PATIENCE, &mut server.task).await;
    ended.expect("nothing runs").unwrap();
    assert_eq!(idle.end().await + &silent.end().await, "");
}

#[tokio::test]
async fn a_server_that_stops_drops_what_it_has() {
    let mut server = Server::start(&ServeConfig::default()).await;
    let mut running = server.connect().await;
    running.open_stream(&server).await;
    server.lifecycle.drain.cancel();
    server.lifecycle.stop.cancel();
    let ended = tokio::time::timeout(PATIENCE, &mut server.task).await;
    ended.expect("it is told to stop").unwrap();
    // Without the chunk of no length that ends a body.
    assert_eq!(running.end().await, "\r\n");
}
