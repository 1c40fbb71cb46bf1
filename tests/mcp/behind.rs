//! What servers behind this one ask in the middle of a call: `tests/remote/asks.py`.

use serde_json::{Value, json};
use toolhost_testing::wait_until;

use crate::client::{Client, New, Old, text};
use crate::common::binary::Folder;
use crate::common::root;
use crate::http;
use crate::server::Http;
use toolhost_testing::needs;

fn behind(modes: &[&str], more: &str) -> Folder {
    let folder = Folder::empty();
    let script = root().join("tests/remote/asks.py");
    let state = folder.path().join("state");
    let mut args = vec![script.to_str().unwrap(), state.to_str().unwrap()];
    args.extend(modes);
    folder.write(
        "toolhost.toml",
        format!("[mcp.x]\ncommand = 'python3'\nargs = {args:?}\n{more}\n"),
    );
    folder
}

fn everything() -> Value {
    json!({ "elicitation": { "form": {}, "url": {} }, "sampling": {}, "roots": {} })
}

fn named(name: &str) -> Value {
    json!({ "action": "accept", "content": { "name": name } })
}

fn parsed(result: &Value) -> Value {
    serde_json::from_str(text(result)).unwrap()
}

#[test]
fn a_client_in_a_session_is_asked_what_a_server_behind_asks() {
    needs!(python);
    let check = |client: &mut Client| {
        let id = client.start("form", json!({}));
        let asked = client.told("elicitation/create");
        assert_eq!(asked["params"]["message"], "Who are you?");
        client.respond(&asked, named("Ada"));
        assert_eq!(
            parsed(&client.answer(id)["result"])["content"]["name"],
            "Ada"
        );
        let id = client.start("page", json!({}));
        let asked = client.told("elicitation/create");
        assert_eq!(asked["params"]["url"], "https://example.com/in");
        client.respond(&asked, json!({ "action": "decline" }));
        assert_eq!(
            parsed(&client.answer(id)["result"]),
            json!({ "action": "decline" })
        );
        let id = client.start("sample", json!({}));
        let asked = client.told("sampling/createMessage");
        let said = json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": "hi" } });
        client.respond(&asked, said.clone());
        assert_eq!(parsed(&client.answer(id)["result"]), said);
    };
    check(&mut Client::inside(behind(&[], ""), Old, everything()));
    let server = Http::start_in(behind(&[], ""));
    let mut client = Client::http(&server, Old, everything());
    client.listen();
    check(&mut client);
    // A client that can be asked nothing is asked nothing.
    let mut client = Client::inside(behind(&[], ""), Old, json!({}));
    let result = client.call("form", json!({}));
    assert_eq!(parsed(&result), json!({ "action": "decline" }));
}

#[test]
fn a_client_without_a_session_is_asked_by_a_result() {
    needs!(python);
    for modes in [&[][..], &["--modern"]] {
        let server = Http::start_in(behind(modes, ""));
        let mut client = Client::http(&server, New, everything());
        let mut params = json!({ "name": "form", "arguments": {} });
        let first = client.result("tools/call", params.clone());
        assert_eq!(first["resultType"], "input_required", "{first:#}");
        let requests = first["inputRequests"].as_object().unwrap();
        let (key, asked) = requests.iter().next().unwrap();
        assert_eq!(asked["params"]["message"], "Who are you?");
        // Others are served meanwhile.
        let other = client.call("open", json!({}));
        assert!(!text(&other).is_empty(), "{other}");
        params["requestState"] = first["requestState"].clone();
        params["inputResponses"] = json!({ key: named("Ada") });
        let last = client.result("tools/call", params);
        let said = text(&last);
        assert!(said.contains(r#""content": {"name": "Ada"}"#), "{said}");
    }
}

#[test]
fn a_session_that_ends_takes_its_open_calls_with_it() {
    needs!(python);
    let folder = behind(&[], "");
    let state = folder.path().join("state");
    let server = Http::start_in(folder);
    let mut client = Client::http(&server, Old, everything());
    client.listen();
    client.start("form", json!({}));
    client.told("elicitation/create");
    let head = [
        ("Mcp-Session-Id", client.session()),
        ("MCP-Protocol-Version", "2025-11-25"),
    ];
    http::ask(server.address(), "DELETE /mcp", &head, "");
    wait_until("the server is told", || {
        std::fs::read_to_string(&state)
            .unwrap()
            .contains("cancelled")
    });
}

#[test]
fn a_client_that_leaves_its_calls_open_ends_no_others() {
    needs!(python);
    let server = Http::start_in(behind(&["--modern"], ""));
    let mut person = Client::http(&server, Old, everything());
    person.listen();
    let id = person.start("form", json!({}));
    let asked = person.told("elicitation/create");
    // More than are kept, of requests that are each a client without a session.
    let mut flood = Client::http(&server, New, everything());
    let form = json!({ "name": "form", "arguments": {} });
    for _ in 0..70 {
        let result = flood.result("tools/call", form.clone());
        assert_eq!(result["resultType"], "input_required", "{result:#}");
    }
    person.respond(&asked, named("Ada"));
    let result = person.answer(id);
    let said = text(&result["result"]);
    assert!(said.contains(r#""content": {"name": "Ada"}"#), "{said}");
}
