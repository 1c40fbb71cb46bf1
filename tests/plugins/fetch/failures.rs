//! Servers that say no, break off, never answer or never end.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use toolhost_testing::http::{self, Request, Stream, hang};

use super::{fetch, granted, host_for};
use crate::common::{call, load, manifest, plugin, text};
use crate::plugins::server::{Answer, Server, page};
use crate::plugins::{assert_error, texts};

#[tokio::test]
async fn a_status_that_is_an_error_fails_with_the_servers_words() {
    for (status, words) in [
        (404, "answered 404 Not Found: # No such page"),
        (503, "answered 503 Service Unavailable: # No such page"),
        (418, "answered 418: # No such page"),
    ] {
        let server = Server::start(move |_| Answer {
            status,
            ..page("text/html", "<h1>No such page</h1>")
        });
        let result = host_for(&server).await.call(fetch(&server.url)).await;
        assert_error(&result, "failed", words);
    }
}

#[tokio::test]
async fn a_page_without_end_is_read_to_a_bound() {
    let server = Server::raw(|_, client| {
        client.write_all(b"HTTP/1.1 200 -\r\ncontent-type: text/plain\r\n\r\n")?;
        loop {
            client.write_all(&[b'x'; 65_536])?;
        }
    });
    let host = load(manifest([granted(&[&server.url])])).await;
    let result = host.call(fetch(&server.url)).await;
    assert_eq!(texts(&result)[0].len(), 50_000);
    assert!(
        texts(&result)[1].contains("of at least 5000000"),
        "{}",
        texts(&result)[1]
    );
}

#[tokio::test]
async fn silent_server_times_out_and_siblings_answer() {
    let silent = Server::raw(|_, client| hang(client));
    let stalling = Server::raw(|_, client| {
        client.write_all(b"HTTP/1.1 200 -\r\ncontent-length: 9\r\n\r\nhalf")?;
        hang(client)
    });
    let mut hasty = granted(&[&silent.url, &stalling.url]);
    hasty.limits.timeout = Duration::from_millis(500);
    let host = load(manifest([hasty, plugin("calculator")])).await;
    let calculate = call("calculate", json!({"expression": "1 + 1"}));
    let calls = [fetch(&silent.url), calculate, fetch(&stalling.url)];
    let results = host.run_all(calls).await;
    assert_error(&results[0], "timeout", "500 ms");
    assert_eq!(text(&results[1]), "2");
    assert_error(&results[2], "timeout", "500 ms");
}

#[tokio::test]
async fn who_waits_for_a_server_holds_up_no_sibling() {
    let (answer, may_answer) = channel();
    let may_answer = Mutex::new(may_answer);
    let server = Server::start(move |_| {
        may_answer.lock().unwrap().recv().unwrap();
        page("text/plain", "late")
    });
    let url = &server.url;
    let host = load(manifest([granted(&[url]), plugin("calculator")])).await;
    let calculate = call("calculate", json!({"expression": "1 + 1"}));
    let mut results = host.run([fetch(url), calculate]);
    let (index, result) = results.next().await.unwrap();
    assert_eq!((index, &*text(&result)), (1, "2"));
    answer.send(()).unwrap();
    let (index, result) = results.next().await.unwrap();
    assert_eq!((index, texts(&result)[0]), (0, "late"));
}

#[tokio::test]
async fn a_server_that_is_not_there_or_breaks_off_is_a_failure() {
    let answers = [
        "HTTP/1.1 200 -\r\ncontent-length: 9\r\n\r\nhalf",
        "nonsense\r\n\r\n",
        "",
    ];
    let answers = answers.map(|answer| {
        move |_: &Request, client: &mut dyn Stream| client.write_all(answer.as_bytes())
    });
    // Then the port is closed.
    let server = http::Server::script(Ok, answers.into());
    let url = format!("http://{}", server.address);
    let host = load(manifest([granted(&[&url])])).await;
    assert_error(&host.call(fetch(&url)).await, "failed", "broke off");
    for _ in 0..2 {
        assert_error(&host.call(fetch(&url)).await, "failed", "cannot fetch");
    }
    let result = host.call(fetch(&url)).await;
    assert_error(&result, "failed", "the connection was refused");
}

#[tokio::test]
async fn tls_that_fails_is_a_failure_of_the_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let host = load(manifest([granted(&[&url])])).await;
    let server = tokio::spawn(async move {
        let handshake_failure: &[u8] = &[0x15, 3, 3, 0, 2, 2, 40];
        let mut hellos = Vec::new();
        for answer in [b"HTTP/1.1 400 no TLS here\r\n\r\n", handshake_failure, b""] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut hello = [0; 6];
            stream.read_exact(&mut hello).await.unwrap();
            hellos.push(hello);
            stream.write_all(answer).await.unwrap();
        }
        hellos
    });
    for _ in 0..3 {
        let result = host.call(fetch(&url)).await;
        assert_error(&result, "failed", "no TLS connection could be made");
    }
    for hello in server.await.unwrap() {
        // A handshake record with a client's hello: there are ciphers to offer.
        assert_eq!((hello[0], hello[1], hello[5]), (0x16, 3, 1), "{hello:?}");
    }
}
