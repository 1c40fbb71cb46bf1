//! What arrives at servers, byte for byte.

use serde_json::json;
use toolhost::{ToolHost, ToolResult};
use toolhost_testing::http::{Server, page};

use super::attack::Generation;
use super::stage::{SECRET, Stage};
use crate::common::{call, load, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_with_a_secret_arrives_at_its_host_only_and_once() {
    let stage = Stage::new(Generation::Wasi2);
    let host = load(stage.manifest(
        "permissions.http = ['http://<web>', 'http://<other>']\n\
         permissions.secrets = { TOKEN = { file = '<secret>' } }\n\
         permissions.http-headers = [\n\
            { host = '<web>', name = 'Authorization', value = 'Bearer ${TOKEN}' },\n\
         ]",
    ))
    .await;
    let header = |url: &str, name: &str| {
        let url = stage.fill(url);
        call(
            "header",
            json!({ "url": url, "name": name, "value": "mine" }),
        )
    };
    for name in ["authorization", "AUTHORIZATION", "x-other"] {
        for url in ["http://<web>/", "http://<other>/"] {
            text(&host.call(header(url, name)).await);
        }
    }
    text(
        &host
            .call(call(
                "follow",
                json!({ "url": stage.fill("http://<web>/to-other?<other>") }),
            ))
            .await,
    );

    let authorizations = |request: &str| -> Vec<String> {
        let lines = request.lines().map(str::to_owned);
        lines
            .filter(|line| line.to_lowercase().starts_with("authorization:"))
            .collect()
    };
    let web = stage.web.take();
    assert_eq!(web.len(), 4);
    for request in web {
        assert_eq!(
            authorizations(&request),
            [format!("authorization: Bearer {SECRET}")]
        );
    }
    let other = stage.other.take();
    assert_eq!(other.len(), 4);
    for request in &other {
        assert!(!super::secrets::is_in(request), "{request}");
    }
    let own = other.iter().flat_map(|request| authorizations(request));
    assert_eq!(own.collect::<Vec<_>>(), ["authorization: mine"; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_arrives_for_each_that_is_sent() {
    let stage = Stage::new(Generation::Wasi2);
    let host = load(stage.manifest("permissions.http = ['http://<web>']")).await;
    let url = stage.fill("http://<web>/echo");
    let header = |name: &str, value: &str| json!({ "url": url, "name": name, "value": value });
    let harmless = [
        ("x-a", "1"),
        ("x-a", "a\tb"),
        ("x-a", ""),
        ("x-a", "GET / HTTP/1.1"),
        ("x-a", "\u{10a}\u{10d}"),
    ];
    for (name, value) in harmless {
        let result = host.call(call("header", header(name, value))).await;
        let (answer, sent) = (text(&result), stage.web.take());
        assert_eq!(sent.len(), 1, "{value:?}: {sent:#?}");
        assert_eq!(answer, format!("status: 200\n{}", sent[0]));
        assert_eq!(sent[0].matches("\r\n").count(), 4, "{value:?}: {sent:#?}");
        assert_eq!(sent[0].matches('\n').count(), 4, "{value:?}: {sent:#?}");
    }
    // What it says is what arrives, if anything does.
    let lie = host
        .call(call("content_length_lie", json!({ "url": url })))
        .await;
    assert_eq!(crate::common::error(&lie).code(), "failed");
    for request in stage.web.take() {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with("content-length: 3"), "{request}");
        assert!("xxx".starts_with(body), "{request}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_of_ipv6_may_be_granted_by_itself() {
    // Where a machine has no IPv6 nobody answers, and what is granted and what is not are as they are.
    let server = Server::start_at("[::1]:0", |_, client| page(client, "200", "", "six")).ok();
    let port = server.as_ref().map_or(9, |server| server.address.port());
    let seen = || server.as_ref().map_or(0, |server| server.take().len());
    let stage = Stage::new(Generation::Wasi2);
    let granted = format!("permissions.http = ['http://[::1]:{port}']");
    let host = load(stage.manifest(&granted)).await;
    let get = |host: &str| {
        let url = format!("http://{host}:{port}/");
        call("get", json!({ "url": url }))
    };
    for spelling in ["[::1]", "[0:0:0:0:0:0:0:1]", "[::0001]"] {
        let result = host.call(get(spelling)).await;
        match (spelling, &server) {
            ("[::1]", Some(_)) => {
                assert_eq!((text(&result), seen()), ("status: 200\nsix".to_owned(), 1));
            }
            ("[::1]", None) => assert_eq!(crate::common::error(&result).code(), "failed"),
            _ => assert_eq!(
                (crate::common::error(&result).code(), seen()),
                ("denied", 0),
                "{spelling}"
            ),
        }
    }
    for other in ["127.0.0.1", "localhost", "[::ffff:7f00:1]"] {
        let result = host.call(get(other)).await;
        assert_eq!(crate::common::error(&result).code(), "denied", "{other}");
    }
    assert_eq!(seen(), 0);
}

/// Four calls that put a link to a file inside, then one to somewhere else, under the name that they
/// open.
async fn race(host: &ToolHost, elsewhere: &str, rounds: u32) -> Vec<ToolResult> {
    let race = json!({
        "guest": "/rw",
        "inside": "a.txt",
        "outside_target": elsewhere,
        "rounds": rounds,
    });
    host.run_all((0..4).map(|_| call("race", race.clone())))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_calls_do_not_get_out_by_a_link() {
    let stage = Stage::new(Generation::Wasi2);
    let host = load(stage.manifest(
        "permissions.files = [{ host = '<writing>', guest = '/rw', access = 'read-write' }]",
    ))
    .await;
    let results = race(&host, "../outside/note.txt", 500).await;
    let mut refused = 0;
    for result in &results {
        let answer = text(result);
        assert!(answer.starts_with("read the inside file "), "{answer}");
        refused += usize::from(!answer.contains("refused 0 times"));
    }
    assert_eq!(refused, 4, "each of them met the link outside");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_calls_do_not_open_a_pipe() {
    let stage = Stage::new(Generation::Wasi2);
    let pipe = stage.fill("<writing>/pipe");
    let made = std::process::Command::new("mkfifo").arg(pipe).status();
    assert!(made.unwrap().success());
    let host = load(stage.manifest(
        "timeout = '20s'\n\
         permissions.files = [{ host = '<writing>', guest = '/rw', access = 'read-write' }]",
    ))
    .await;
    let results = race(&host, "pipe", 300).await;
    // Opening it would wait for ever for somebody to write.
    for result in &results {
        let answer = text(result);
        assert!(answer.starts_with("read the inside file "), "{answer}");
    }
}

/// A file that the call did not make is moved as any file is, whatever it is called.
#[cfg(unix)]
#[tokio::test]
async fn no_file_takes_the_mode_of_another_but_one_of_the_calls_own() {
    use std::os::unix::fs::PermissionsExt;
    let stage = Stage::new(Generation::Wasi2);
    let path = |name: &str| std::path::PathBuf::from(stage.fill("<writing>")).join(name);
    let allow = |name: &str, mode| {
        std::fs::set_permissions(path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    allow("a.txt", 0o600);
    allow("b.txt", 0o666);
    let host = load(stage.manifest(
        "permissions.files = [
            { host = '<reading>', guest = '/ro' },
            { host = '<writing>', guest = '/rw', access = 'read-write' },
        ]",
    ))
    .await;
    let arguments =
        json!({"guest": "/rw", "read_only": "/ro", "path": "a.txt", "outside": "note.txt"});
    let answer = text(&host.call(call("temporaries", arguments)).await);
    assert!(
        answer.contains("rename it over another file: DONE"),
        "{answer}"
    );
    for name in ["a.txt", "b.txt"] {
        let found = std::fs::metadata(path(name)).unwrap();
        assert_eq!(found.permissions().mode() & 0o7777, 0o600, "{name}");
    }
}
