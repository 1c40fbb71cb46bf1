//! Programs whose tools ask: they are run again from their start, and nothing that has ended is done
//! twice.

use serde_json::{Value, json};

use crate::client::{Client, New, Old, text};
use crate::common::Gate;
use crate::common::binary::{Folder, listed};
use crate::lifecycle::{CHANGED, listen, names};
use crate::server::Http;

/// Three questions in a loop, each in a race, with calls around them, and what may not differ when
/// it is run again.
const PROGRAM: &str = "
const said = [];
const once = JSON.stringify([Date.now(), Math.random(), performance.now()]);
said.push(await tools.echo({ text: once }) === once);
for (const n of [1, 2, 3]) {
  const never = tools.echo({ text: `race ${n}` }).then(() => new Promise(() => {}));
  const answer = await Promise.race([tools.test_elicitation({ message: `question ${n}` }), never]);
  said.push(await tools.echo({ text: `${n}: ${answer}` }));
  await sleep(1);
}
said";

fn folder() -> Folder {
    let script = listed("script") + "permissions.tools = ['echo', 'test_elicitation']\n";
    Folder::with(format!(
        "[audit]\npath = 'audit.jsonl'\n{script}{}{}",
        listed("conformance"),
        listed("echo")
    ))
}

fn forms() -> Value {
    json!({ "elicitation": { "form": {} } })
}

fn accepted(n: usize) -> Value {
    let content = json!({ "username": format!("user {n}"), "email": "e" });
    json!({ "action": "accept", "content": content })
}

/// What came of the program, and how often each call ran.
#[track_caller]
fn check(result: &Value, audit: &std::path::Path) {
    let value = &result["structuredContent"]["value"];
    assert_eq!(value[0], true, "{result:#}");
    for n in 1..=3 {
        let said = value[n].as_str().unwrap();
        assert!(said.starts_with(&format!("{n}: ")) && said.contains(&format!("user {n}")));
    }
    let lines = std::fs::read_to_string(audit).unwrap();
    let lines = lines.lines().map(serde_json::from_str);
    let lines: Vec<Value> = lines.map(Result::unwrap).collect();
    let count = |tool: &str| lines.iter().filter(|line| line["tool"] == tool).count();
    // Each question is asked in one run and answered in the next.
    let counts = ["run_script", "test_elicitation", "echo"].map(count);
    assert_eq!(counts, [4, 6, 7], "{lines:#?}");
}

#[test]
fn questions_of_a_program_are_requests_in_a_session() {
    for is_http in [false, true] {
        let folder = folder();
        let audit = folder.path().join("audit.jsonl");
        let server;
        let mut client = match is_http {
            false => Client::inside(folder, Old, forms()),
            true => {
                server = Http::start_in(folder);
                let mut client = Client::http(&server, Old, forms());
                client.listen();
                client
            }
        };
        let id = client.start("run_script", json!({ "code": PROGRAM }));
        for n in 1..=3 {
            let asked = client.told("elicitation/create");
            assert_eq!(asked["params"]["message"], format!("question {n}"));
            client.respond(&asked, accepted(n));
        }
        check(&client.answer(id)["result"], &audit);
    }
}

/// The program, with what it is to go on with.
fn program(state: &Value, responses: Value) -> Value {
    let mut params = json!({ "name": "run_script", "arguments": { "code": PROGRAM } });
    if state.is_string() {
        params["requestState"] = state.clone();
        params["inputResponses"] = responses;
    }
    params
}

#[test]
fn questions_of_a_program_are_results_without_a_session() {
    for is_http in [false, true] {
        let folder = folder();
        let audit = folder.path().join("audit.jsonl");
        let server;
        let mut client = match is_http {
            false => Client::inside(folder, New, forms()),
            true => {
                server = Http::start_in(folder);
                Client::http(&server, New, forms())
            }
        };
        let mut result = client.result("tools/call", program(&Value::Null, Value::Null));
        let mut states = Vec::new();
        for n in 1..=3 {
            assert_eq!(result["resultType"], "input_required", "{result:#}");
            let asked = result["inputRequests"].as_object().unwrap();
            let (key, request) = asked.iter().next().unwrap();
            assert_eq!(asked.len(), 1, "{result:#}");
            assert_eq!(request["params"]["message"], format!("question {n}"));
            let state = result["requestState"].clone();
            states.push(state.clone());
            result = client.result(
                "tools/call",
                program(&state, json!({ key.as_str(): accepted(n) })),
            );
        }
        check(&result, &audit);
        // Each state was for once.
        for state in &states {
            let error = client.error("tools/call", program(state, json!({})));
            assert_eq!(error["code"], -32602, "{error}");
        }
    }
}

#[test]
fn a_program_of_a_client_that_cannot_be_asked_is_told_so() {
    let code = "try { return await tools.test_elicitation({ message: 'who?' }) } catch (error) { return error.message }";
    for is_old in [true, false] {
        let mut client = match is_old {
            true => Client::inside(folder(), Old, json!({})),
            false => Client::inside(folder(), New, json!({})),
        };
        let result = client.call("run_script", json!({ "code": code }));
        let said = text(&result);
        assert!(
            said.ends_with("no one is available to answer: who?"),
            "{said}"
        );
    }
}

/// A server with these lines in the manifest, beside plugins and a gate.
fn manifest(gate: &Gate, more: &str) -> String {
    let script = listed("script") + "permissions.tools = ['*']\n";
    let gate = format!("{}tools = ['hold']\n", gate.listed());
    format!("{script}{gate}{}{more}", listed("echo"))
}

#[test]
fn a_reload_turns_code_mode_on_and_off() {
    let gate = Gate::new();
    let server = Http::start_in(Folder::with(manifest(&gate, "")));
    for revision in [Old, New] {
        let mut client = Client::http(&server, revision, json!({}));
        listen(&mut client);
        let before = names(&mut client);
        assert!(before.contains(&"echo".to_owned()), "{before:?}");
        let reload = |more: &str| {
            server.folder.write("toolhost.toml", manifest(&gate, more));
            server.signal("HUP");
        };
        reload("[serve]\ncode-mode = true\n");
        client.told(CHANGED);
        let three = ["run_script", "search_tools", "describe_tool"];
        assert_eq!(names(&mut client), three);
        let code = json!({ "code": "await tools.echo({ text: 'inside' })" });
        assert_eq!(client.text("run_script", code), "inside");
        let denied = client.call("echo", json!({ "text": "hi" }));
        assert_eq!(denied["isError"], true, "{denied}");
        reload("");
        client.told(CHANGED);
        assert_eq!(names(&mut client), before);
        assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
    }
}

#[test]
fn a_reload_that_code_mode_cannot_have_is_refused() {
    let gate = Gate::new();
    let server = Http::start_in(Folder::with(manifest(&gate, "[serve]\ncode-mode = true\n")));
    let mut client = Client::http(&server, New, json!({}));
    let none = format!("{}[serve]\ncode-mode = true\n", listed("echo"));
    server.folder.write("toolhost.toml", none);
    server.signal("HUP");
    server.until_said("code mode needs a plugin that offers `run_script`");
    let code = json!({ "code": "await tools.echo({ text: 'still' })" });
    assert_eq!(client.text("run_script", code), "still");
}

#[test]
fn a_reload_takes_the_new_max_suspended() {
    let gate = Gate::new();
    let of = |most: u32| {
        let host = format!("[host]\nmax-suspended = {most}\nmax-concurrency = 8\n");
        host + &manifest(&gate, "")
    };
    let server = Http::start_in(Folder::with(of(1)));
    let mut client = Client::http(&server, Old, json!({}));
    client.listen();
    let code = format!("await tools.hold({})", gate.arguments());
    let mut start = || client.start("run_script", json!({ "code": code }));
    let mut ids = vec![start(), start()];
    gate.wait_for(1);
    // The other one waits for its permit, whatever else there is room for.
    assert_eq!(gate.came().len(), 1);
    let more = listed("calculator");
    server.folder.write("toolhost.toml", of(2) + &more);
    server.signal("HUP");
    client.told(CHANGED);
    ids.extend([0, 1].map(|_| client.start("run_script", json!({ "code": code }))));
    gate.wait_for(3);
    gate.open();
    for id in ids {
        assert_eq!(text(&client.answer(id)["result"]), "held");
    }
}
