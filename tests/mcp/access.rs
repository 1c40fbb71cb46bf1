//! Who may reach the server, and what each may do there.

use serde_json::{Value, json};

use crate::client::{Answer, http, initialize, post, post_stateless, stateless};
use crate::server::{Http, folder, token};

fn guarded(more: &str) -> Http {
    let folder = folder();
    let manifest = std::fs::read_to_string(folder.path().join("toolhost.toml")).unwrap();
    folder.write("toolhost.toml", format!("{more}\n{manifest}"));
    Http::in_folder(folder, &[])
}

fn tools(server: &Http, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let message = stateless("tools/list", json!({}), json!({}));
    post_stateless(server.address(), &[("Authorization", &bearer)], &message)
}

fn names(answer: &Answer) -> Vec<String> {
    let message = answer.message();
    let tools = message["result"]["tools"].as_array().unwrap().iter();
    tools
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_token_opens_what_it_names() {
    let (all, one) = (token("all", ""), token("one", "tools = ['echo']"));
    let server = guarded(&format!("{}{}", all.toml, one.toml));
    let message = stateless("tools/list", json!({}), json!({}));
    let missing = post_stateless(server.address(), &[], &message);
    assert_eq!(missing.status, 401);
    let challenge = missing.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer"), "{challenge}");
    let wrong = tools(&server, "th_wrong");
    assert_eq!(wrong.status, 401);
    assert!(
        wrong
            .header("www-authenticate")
            .unwrap()
            .contains("invalid_token")
    );

    assert!(names(&tools(&server, &all.token)).len() > 20);
    assert_eq!(names(&tools(&server, &one.token)), ["echo"]);
    let call = |name: &str| {
        let bearer = format!("Bearer {}", one.token);
        let params = json!({ "name": name, "arguments": { "text": "hi" } });
        let message = stateless("tools/call", params, json!({}));
        post_stateless(server.address(), &[("Authorization", &bearer)], &message).message()
    };
    assert_eq!(call("echo")["result"]["content"][0]["text"], "hi");
    let hidden = call("spin");
    assert_eq!(hidden["error"]["code"], -32602, "{hidden}");
    // Not even by a hint.
    let near = call("test_simple_tex");
    assert!(!near.to_string().contains("test_simple_text"), "{near}");
}

#[test]
fn a_session_is_its_beginners_alone() {
    let (alice, bob) = (token("alice", ""), token("bob", ""));
    let server = guarded(&format!("{}{}", alice.toml, bob.toml));
    let alice = format!("Bearer {}", alice.token);
    let bob = format!("Bearer {}", bob.token);
    let begun = post(
        server.address(),
        &[("Authorization", &alice)],
        &initialize(1, &json!({})),
    );
    let id = begun.header("mcp-session-id").unwrap();
    let ping = json!({ "jsonrpc": "2.0", "id": 2, "method": "ping" });
    let ask = |who: &str, message: &Value| {
        let headers = [
            ("Authorization", who),
            ("Mcp-Session-Id", id),
            ("MCP-Protocol-Version", "2025-11-25"),
        ];
        post(server.address(), &headers, message)
    };
    assert_eq!(ask(&alice, &ping).message()["result"], json!({}));
    assert_eq!(ask(&bob, &ping).status, 404);
    let end = |who: &str| {
        let headers = [("Authorization", who), ("Mcp-Session-Id", id)];
        http(server.address(), "DELETE /mcp", &headers, "").status
    };
    assert_eq!(end(&bob), 404);
    assert_eq!(ask(&alice, &ping).status, 200);
    assert!((200..300).contains(&end(&alice)));
    assert_eq!(ask(&alice, &ping).status, 404);
}

#[test]
fn of_too_many_sessions_the_last_is_told_to_come_again() {
    let server = guarded("[serve]\nmax-sessions = 2\nsession-timeout = '1s'");
    let begin = || post(server.address(), &[], &initialize(1, &json!({})));
    for _ in 0..2 {
        assert_eq!(begin().status, 200);
    }
    let refused = begin();
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some());
    // One that says in its header that it has no session is one all the same.
    let mut lie = initialize(1, &json!({}));
    lie["params"]["protocolVersion"] = "2026-07-28".into();
    let lied = post(
        server.address(),
        &[("MCP-Protocol-Version", "2026-07-28")],
        &lie,
    );
    assert!(
        lied.status != 200 || lied.message().get("error").is_some(),
        "{lied:?}"
    );
    // Sessions that nobody uses end.
    let until = std::time::Instant::now() + crate::client::PATIENCE;
    while begin().status != 200 {
        assert!(std::time::Instant::now() < until, "they stay");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn what_a_page_elsewhere_or_a_rebound_name_sends_is_refused() {
    let server = Http::start();
    let message = stateless("tools/list", json!({}), json!({}));
    let status = |header| post_stateless(server.address(), &[header], &message).status;
    assert_eq!(status(("Origin", "http://localhost:3000")), 200);
    assert_eq!(status(("Origin", "https://evil.example")), 403);
    assert_eq!(status(("Origin", "null")), 403);
    assert_eq!(status(("Host", "evil.example")), 403);
    assert_eq!(status(("Host", "localhost.evil.example")), 403);
}

#[test]
fn a_network_without_authentication_is_not_served() {
    let folder = folder();
    let ended = folder.run(&["serve", "--http", "0.0.0.0:0"], "");
    assert_eq!(ended.status, 1, "{}", ended.stderr);
    for part in ["0.0.0.0", "every tool", "toolhost token new", "127.0.0.1"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}

#[test]
fn check_tells_who_may_use_the_server_and_which_tools_are_not_there() {
    let folder = folder();
    let manifest = std::fs::read_to_string(folder.path().join("toolhost.toml")).unwrap();
    let token = token("ci", "tools = ['echo', 'ecko']");
    folder.write("toolhost.toml", format!("{}{manifest}", token.toml));
    let shown = folder.run(&["check"], "").answered().stdout;
    for line in [
        "serve: ci",
        "  warning: `serve.auth.tokens.ci` names `ecko`, and there is no such tool",
        "resource templates: test://template/{id}/data",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    assert!(!shown.contains("names `echo`"), "{shown}");
}
