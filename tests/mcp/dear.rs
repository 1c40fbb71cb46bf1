//! Checks that would take for ever, over HTTP: the server answers whoever asks for something else.

use serde_json::json;

use crate::client::{Client, New, Old};
use crate::common::binary::{Folder, listed};
use crate::common::dear;
use crate::http;
use crate::server::Http;
use toolhost_testing::needs;

fn served(timeout: &str) -> Http {
    let folder = Folder::empty();
    let more = format!("timeout = '{timeout}'");
    let section = dear::section(&folder, &dear::tools(), &more);
    folder.write(
        "toolhost.toml",
        section + &listed("echo") + "[serve]\ngrace = '200ms'\n",
    );
    Http::start_in(folder)
}

#[test]
fn dear_checks_keep_nobody_from_the_server() {
    needs!(python);
    for revision in [Old, New] {
        let server = served("1s");
        let mut client = Client::http(&server, revision, json!({}));
        let count = 2 * dear::processors();
        let ids: Vec<u64> = (0..count)
            .map(|_| client.start("endless", dear::endless()))
            .collect();
        // All of them are answered within a second of their start; this is before.
        let mut other = Client::http(&server, revision, json!({}));
        for _ in 0..5 {
            let health = http::ask(server.address(), "GET /healthz", &[], "");
            assert_eq!(health.status, 200);
            assert_eq!(other.text("echo", json!({ "text": "hello" })), "hello");
        }
        for id in ids {
            let answer = client.answer(id);
            let said = answer["result"]["content"][0]["text"].as_str();
            assert!(said.is_some_and(|it| it.contains("timed out")), "{answer}");
        }
    }
}

#[test]
fn a_server_that_is_told_to_end_waits_for_no_dear_check() {
    needs!(python);
    let mut server = served("10 minutes");
    let mut client = Client::http(&server, New, json!({}));
    for _ in 0..2 * dear::processors() {
        client.start("endless", dear::endless());
    }
    assert_eq!(
        http::ask(server.address(), "GET /healthz", &[], "").status,
        200
    );
    server.signal("TERM");
    // `end` gives it a tenth of the calls' time.
    let (status, _) = server.end();
    assert!(status.is_some(), "{}", server.said());
}
