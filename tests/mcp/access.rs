//! Who may reach the server over HTTP, with what, and for how long.

use serde_json::{Value, json};
use toolhost_testing::wait_until;

use crate::client::{Client, New, Old};
use crate::common::binary::{Folder, listed};
use crate::http::{self, Reply};
use crate::server::Http;

const JSON: (&str, &str) = ("Content-Type", "application/json");
const BOTH: (&str, &str) = ("Accept", "application/json, text/event-stream");

fn served(serve: &str) -> Folder {
    Folder::with(format!(
        "{}{}{serve}",
        listed("conformance"),
        listed("echo")
    ))
}

/// A manifest with clients of these names, made as people make them, and their tokens.
pub fn with_tokens<const N: usize>(
    serve: &str,
    clients: [(&str, &str); N],
) -> (Folder, [String; N]) {
    let folder = served("");
    let mut manifest = std::fs::read_to_string(folder.path().join("toolhost.toml")).unwrap();
    manifest += serve;
    let tokens = clients.map(|(name, more)| {
        let made = folder.run(&["token", "new", "--name", name], "");
        assert_eq!(made.status, 0, "{made:?}");
        let (_, table) = made.stderr.split_once("\n\n").unwrap();
        manifest += &format!("{}\n{more}\n", table.trim_end());
        made.stdout.trim().to_owned()
    });
    folder.write("toolhost.toml", manifest);
    (folder, tokens)
}

fn initialize(version: &str) -> String {
    json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": version, "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" },
    } })
    .to_string()
}

fn post(server: &Http, headers: &[(&str, &str)], body: &str) -> Reply {
    let headers = [&[JSON, BOTH], headers].concat();
    http::ask(server.address(), "POST /mcp", &headers, body)
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[test]
fn without_a_token_that_is_taken_nothing_is_answered() {
    let (folder, [token]) = with_tokens("", [("ci", "")]);
    let server = Http::start_in(folder);
    let body = initialize("2025-11-25");
    let none = post(&server, &[], &body);
    assert_eq!(none.status, 401, "{none:?}");
    assert_eq!(none.header("www-authenticate"), Some("Bearer"));
    assert!(!none.body.contains("toolhost"), "{none:?}");
    for wrong in [
        "th_",
        "nope",
        &token[..token.len() - 1],
        &format!("{token}A"),
    ] {
        let refused = post(&server, &[("Authorization", &bearer(wrong))], &body);
        assert_eq!(refused.status, 401, "{wrong}: {refused:?}");
        let challenge = refused.header("www-authenticate").unwrap();
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    }
    for request in ["GET /mcp", "DELETE /mcp"] {
        let refused = http::ask(server.address(), request, &[BOTH], "");
        assert_eq!(refused.status, 401, "{request}");
    }
    let query = http::ask(
        server.address(),
        &format!("POST /mcp?access_token={token}"),
        &[JSON, BOTH],
        &body,
    );
    assert_eq!(query.status, 401, "a token in the address is none");
    // Probes need none.
    for probe in ["GET /healthz", "GET /readyz"] {
        assert_eq!(http::ask(server.address(), probe, &[], "").status, 200);
    }
    for revision in [Old, New] {
        let mut client = Client::http_as(&server, revision, json!({}), Some(&token));
        assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
    }
}

#[test]
fn a_token_shows_and_calls_the_tools_of_its_list_alone() {
    let tools = "tools = ['echo', 'test_simple_text']";
    let (folder, [all, some]) =
        with_tokens("[serve]\npage-size = 1\n", [("all", ""), ("some", tools)]);
    let server = Http::start_in(folder);
    for revision in [Old, New] {
        let mut client = Client::http_as(&server, revision, json!({}), Some(&some));
        let (mut names, mut cursor) = (Vec::new(), Value::Null);
        while names.len() < 10 {
            let params = match &cursor {
                Value::Null => json!({}),
                cursor => json!({ "cursor": cursor }),
            };
            let result = client.result("tools/list", params);
            names.extend(result["tools"].as_array().unwrap().clone());
            cursor = result["nextCursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        let names: Vec<&Value> = names.iter().map(|tool| &tool["name"]).collect();
        assert_eq!(names, ["test_simple_text", "echo"]);
        assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
        let mut unknown = |name: &str| {
            let params = json!({ "name": name, "arguments": {} });
            let error = client.error("tools/call", params);
            assert_eq!(error["code"], -32602);
            error["message"].as_str().unwrap().to_owned()
        };
        // As one that there is not, and it is not even similar to another.
        assert_eq!(unknown("spin"), "Unknown tool spin");
        assert_eq!(unknown("spim"), "Unknown tool spim");
        assert_eq!(unknown("ecko"), "Unknown tool ecko. Similar tools: echo");
        let mut other = Client::http_as(&server, revision, json!({}), Some(&all));
        other.call("change_resources", json!({}));
    }
}

#[test]
fn a_session_is_no_use_to_another_token() {
    let (folder, [a, b]) = with_tokens("", [("a", ""), ("b", "")]);
    let server = Http::start_in(folder);
    let mut client = Client::http_as(&server, Old, json!({}), Some(&a));
    let session = client.session().to_owned();
    let as_b = bearer(&b);
    let headers = [
        ("Authorization", &*as_b),
        ("Mcp-Session-Id", &*session),
        ("MCP-Protocol-Version", "2025-11-25"),
    ];
    let call = json!({ "jsonrpc": "2.0", "id": 9, "method": "tools/call",
        "params": { "name": "echo", "arguments": { "text": "hi" } } });
    let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": { "requestId": 1 } });
    for body in [
        call.to_string(),
        cancel.to_string(),
        initialize("2025-11-25"),
    ] {
        let refused = post(&server, &headers, &body);
        assert_eq!(refused.status, 404, "{body}: {refused:?}");
    }
    // Nor by the header of the protocol that has no sessions.
    let new = [
        headers[0],
        headers[1],
        ("MCP-Protocol-Version", "2026-07-28"),
    ];
    for body in [cancel.to_string(), initialize("2026-07-28")] {
        assert_eq!(post(&server, &new, &body).status, 404, "{body}");
    }
    let get = [&[BOTH][..], &headers].concat();
    assert_eq!(
        http::ask(server.address(), "GET /mcp", &get, "").status,
        404
    );
    let resume = [&get[..], &[("Last-Event-Id", "0/0")]].concat();
    assert_eq!(
        http::ask(server.address(), "GET /mcp", &resume, "").status,
        404
    );
    assert_eq!(
        http::ask(server.address(), "DELETE /mcp", &headers, "").status,
        404
    );
    // It is there still, for who began it.
    assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
    assert_eq!(
        Client::http_as(&server, Old, json!({}), Some(&b)).text("echo", json!({ "text": "hi" })),
        "hi"
    );
}

#[test]
fn an_address_that_others_reach_needs_tokens() {
    let folder = served("");
    for address in ["0.0.0.0:0", "[::]:0"] {
        let refused = folder
            .run(&["serve", "--http", address], "")
            .failed("toolhost token new");
        assert!(refused.stderr.contains("not listening on"), "{refused:?}");
        assert!(refused.stderr.contains("127.0.0.1"), "{refused:?}");
    }
}

#[test]
fn an_address_that_is_taken_is_told_of_before_anything_is_loaded() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = Folder::with("[plugin.none]\npath = 'none.wasm'\n");
    let refused = folder
        .run(&["serve", "--http", &address], "")
        .failed(&format!("cannot listen on {address}"));
    assert!(!refused.stderr.contains("none.wasm"), "{refused:?}");
}

#[test]
fn requests_for_other_hosts_and_from_other_pages_are_refused() {
    let server = Http::start_in(served(
        "[serve]\nhosts = ['tools.example']\norigins = ['https://app.example']\n",
    ));
    let body = initialize("2025-11-25");
    for (header, value, status) in [
        ("Host", "evil.example", 403),
        ("Host", "evil.example:80", 403),
        ("Host", "127.0.0.1.evil.example", 403),
        ("Host", "localhost", 200),
        ("Host", "tools.example", 200),
        ("Origin", "https://evil.example", 403),
        ("Origin", "null", 403),
        ("Origin", "https://app.example.evil.example", 403),
        ("Origin", "https://app.example", 200),
        ("Origin", "http://localhost:3000", 200),
    ] {
        let reply = post(&server, &[(header, value)], &body);
        assert_eq!(reply.status, status, "{header}: {value}: {reply:?}");
    }
}

#[test]
fn sessions_are_bounded_whatever_a_request_says_of_its_protocol() {
    let server = Http::start_in(served("[serve]\nmax-sessions = 2\n"));
    let first = Client::http(&server, Old, json!({}));
    let mut second = Client::http(&server, Old, json!({}));
    let refused = post(&server, &[], &initialize("2025-11-25"));
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    // As it says in its head that it is of the protocol without sessions, and something else.
    for (version, method) in [
        ("2026-07-28", None),
        ("2026-07-28", Some("initialize")),
        ("2026-07-28", Some("tools/list")),
        ("2027-01-01", None),
    ] {
        let mut headers = vec![("MCP-Protocol-Version", version)];
        headers.extend(method.map(|method| ("Mcp-Method", method)));
        let refused = post(&server, &headers, &initialize(version));
        let status = if method == Some("tools/list") {
            400
        } else {
            503
        };
        assert_eq!(refused.status, status, "{refused:?}");
        assert!(refused.header("mcp-session-id").is_none(), "{refused:?}");
    }
    // Who has one goes on, and who needs none.
    assert_eq!(second.text("echo", json!({ "text": "hi" })), "hi");
    let mut new = Client::http(&server, New, json!({}));
    assert_eq!(new.text("echo", json!({ "text": "hi" })), "hi");
    // One that ends makes room.
    let headers = [
        ("Mcp-Session-Id", first.session()),
        ("MCP-Protocol-Version", "2025-11-25"),
    ];
    let deleted = http::ask(server.address(), "DELETE /mcp", &headers, "");
    assert!((200..300).contains(&deleted.status), "{deleted:?}");
    wait_until("there is room", || {
        post(&server, &[], &initialize("2025-11-25")).status == 200
    });
}

#[test]
fn no_client_takes_the_sessions_of_all() {
    let serve = "[serve]\nmax-sessions = 4\n";
    let (folder, tokens) = with_tokens(serve, [("a", ""), ("b", ""), ("c", "")]);
    let server = Http::start_in(folder);
    let begin = |client: usize| {
        let token = bearer(&tokens[client]);
        let head = [("Authorization", &*token)];
        post(&server, &head, &initialize("2025-11-25")).status
    };
    // One has half of them at most, and the others have theirs.
    assert_eq!([begin(0), begin(0), begin(0)], [200, 200, 503]);
    assert_eq!([begin(1), begin(1), begin(1)], [200, 200, 503]);
    assert_eq!(begin(2), 503, "all are in use");
}

#[test]
fn client_at_its_bound_loses_its_least_recently_used_session() {
    let serve = "[serve]\nmax-sessions = 3\nmax-sessions-per-client = 2\nsession-timeout = '10s'\n";
    let (folder, tokens) = with_tokens(serve, [("a", ""), ("b", "")]);
    let server = Http::start_in(folder);
    let begin = |client: usize| {
        let token = bearer(&tokens[client]);
        let head = [("Authorization", &*token)];
        let reply = post(&server, &head, &initialize("2025-11-25"));
        let session = reply.header("mcp-session-id").map(str::to_owned);
        (reply.status, session)
    };
    let is_open = |client: usize, session: &Option<String>| {
        let token = bearer(&tokens[client]);
        let headers = [
            ("Authorization", &*token),
            ("Mcp-Session-Id", session.as_deref().unwrap()),
            ("MCP-Protocol-Version", "2025-11-25"),
        ];
        let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
        post(&server, &headers, &ping.to_string()).status == 200
    };
    let first = begin(0).1;
    let second = begin(0).1;
    assert_eq!(begin(0).0, 503, "both were used just now");
    // A tenth of the time after which they end by themselves.
    let mut third = (503, None);
    wait_until("there is room", || {
        third = begin(0);
        third.0 == 200
    });
    assert_eq!(
        [&first, &second, &third.1].map(|session| is_open(0, session)),
        [false, true, true]
    );
    // Where all places are taken, whoever has the most makes room.
    let other = begin(1).1;
    wait_until("there is room", || {
        assert!(is_open(1, &other));
        begin(1).0 == 200
    });
    assert!(is_open(1, &other), "it has fewer");
}

fn ping(server: &Http, session: &str) -> u16 {
    let headers = [
        ("Mcp-Session-Id", session),
        ("MCP-Protocol-Version", "2025-11-25"),
    ];
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    post(server, &headers, &ping.to_string()).status
}

#[test]
fn a_session_that_is_deleted_is_over() {
    let server = Http::start();
    let [one, other] = [0, 1].map(|_| Client::http(&server, Old, json!({})));
    assert_eq!(ping(&server, one.session()), 200);
    let headers = [
        ("Mcp-Session-Id", one.session()),
        ("MCP-Protocol-Version", "2025-11-25"),
    ];
    let deleted = http::ask(server.address(), "DELETE /mcp", &headers, "");
    assert!((200..300).contains(&deleted.status), "{deleted:?}");
    assert_eq!(ping(&server, one.session()), 404);
    assert_eq!(ping(&server, other.session()), 200);
    assert_eq!(ping(&server, "nope"), 404);
}

#[test]
fn a_session_that_nobody_uses_is_over_and_makes_room() {
    let server = Http::start_in(served(
        "[serve]\nmax-sessions = 1\nsession-timeout = '300ms'\n",
    ));
    let session = Client::http(&server, Old, json!({})).session().to_owned();
    // A ping would keep it: only its place is looked for.
    wait_until("the session has ended", || {
        post(&server, &[], &initialize("2025-11-25")).status == 200
    });
    assert_eq!(ping(&server, &session), 404);
}
