//! Tasks (`io.modelcontextprotocol/tasks`): calls that outlast their request.

use serde_json::{Value, json};

use crate::access::with_tokens;
use crate::client::{Client, New, Old, Revision};
use crate::common::binary::{Folder, listed};
use crate::common::wait_for;
use crate::http;
use crate::resident::{is_idle, wait_until_busy, wait_until_idle};
use crate::server::Http;

const TASKS: &str = "io.modelcontextprotocol/tasks";

fn capabilities() -> Value {
    json!({ "elicitation": {}, "extensions": { TASKS: {} } })
}

fn folder(serve: &str) -> Folder {
    Folder::with(format!(
        "[serve]\ntask-after = \"300ms\"\n{serve}\n{}{}",
        listed("conformance"),
        listed("echo")
    ))
}

/// The task that a call has become.
#[track_caller]
fn begin(client: &mut Client, tool: &str, arguments: Value) -> String {
    let result = client.call(tool, arguments);
    assert_eq!(result["resultType"], "task", "{result}");
    assert_eq!(result["status"], "working", "{result}");
    assert!(result.get("result").is_none(), "{result}");
    assert!(result["ttlMs"].as_u64() > Some(0), "{result}");
    result["taskId"].as_str().unwrap().to_owned()
}

#[track_caller]
fn get(client: &mut Client, id: &str) -> Value {
    let task = client.result("tasks/get", json!({ "taskId": id }));
    assert_eq!(task["taskId"], id, "{task}");
    task
}

/// The task, once it has such a status.
#[track_caller]
fn until(client: &mut Client, id: &str, status: &str) -> Value {
    wait_for(status, || {
        let task = get(client, id);
        if task["status"] == status {
            return Ok(task);
        }
        let is_over =
            ["completed", "failed", "cancelled"].contains(&task["status"].as_str().unwrap());
        assert!(!is_over, "{task}");
        Err(task)
    })
}

#[test]
fn what_tasks_ask_counts_for_their_client_in_all_its_sessions() {
    const OF_CLIENT: usize = 64;
    const OF_SESSION: usize = 16;
    let (folder, [token]) = with_tokens("[serve]\ntask-after = \"0s\"\n", [("ci", "")]);
    let server = Http::start_in(folder);
    let mut clients: Vec<Client> = (0..OF_CLIENT / OF_SESSION + 1)
        .map(|_| Client::http_as(&server, Old, capabilities(), Some(&token)))
        .collect();
    let mut last = clients.pop().unwrap();
    for client in &mut clients {
        for _ in 0..OF_SESSION {
            let id = begin(client, "ask_twice", json!({}));
            until(client, &id, "input_required");
        }
    }
    let id = begin(&mut last, "ask_twice", json!({}));
    let task = until(&mut last, &id, "completed");
    assert_eq!(task["result"]["isError"], true, "{task}");
    let why = task["result"]["content"][0]["text"].as_str().unwrap();
    assert!(why.contains("too many unanswered questions"), "{why}");
}

fn each_way(check: impl Fn(&mut Client) + Sync) {
    let check = &check;
    // At once: what they do most is wait.
    std::thread::scope(|threads| {
        for revision in [Old, New] {
            threads.spawn(move || {
                check(&mut Client::inside(folder(""), revision, capabilities()));
            });
            threads.spawn(move || {
                let server = Http::start_in(folder(""));
                check(&mut Client::http(&server, revision, capabilities()));
            });
        }
    });
}

#[test]
fn a_call_that_outlasts_its_request_goes_on_as_a_task() {
    each_way(|client| {
        assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
        client.meta = json!({ "progressToken": "p" });
        let id = begin(
            client,
            "slow_compute",
            json!({ "seconds": 1.0, "label": "a" }),
        );
        client.meta = json!({});
        let task = get(client, &id);
        assert_eq!(task["status"], "working", "{task}");
        let task = until(client, &id, "completed");
        let text = &task["result"]["content"][0]["text"];
        assert_eq!(text, "computed a for 1 s", "{task}");
        // It can be asked for again, and ending it changes nothing.
        client.result("tasks/cancel", json!({ "taskId": id }));
        assert_eq!(get(client, &id)["status"], "completed");
    });
}

#[test]
fn a_tool_s_failure_completes_its_task() {
    each_way(|client| {
        let id = begin(client, "failing_job", json!({}));
        let task = until(client, &id, "completed");
        assert_eq!(task["result"]["isError"], true, "{task}");
    });
}

#[test]
fn a_cancelled_task_ends_its_call() {
    each_way(|client| {
        let id = begin(client, "slow_compute", json!({ "seconds": 60.0 }));
        client.result("tasks/cancel", json!({ "taskId": id }));
        let task = until(client, &id, "cancelled");
        assert!(task.get("result").is_none() && task.get("error").is_none());
        let error = client.error("tasks/get", json!({ "taskId": "none" }));
        assert_eq!(error["code"], -32602, "{error}");
        for method in ["tasks/cancel", "tasks/update"] {
            let params = json!({ "taskId": "none", "inputResponses": {} });
            let error = client.error(method, params);
            assert_eq!(error["code"], -32602, "{method}: {error}");
        }
    });
}

#[test]
fn a_task_that_asks_goes_on_with_the_answers() {
    each_way(|client| {
        let id = begin(client, "confirm_twice", json!({}));
        let mut keys = Vec::new();
        for confirm in [true, false] {
            let task = until(client, &id, "input_required");
            let requests = task["inputRequests"].as_object().unwrap();
            assert_eq!(requests.len(), 1, "{task}");
            let (key, request) = requests.iter().next().unwrap();
            assert_eq!(request["method"], "elicitation/create", "{task}");
            assert!(!keys.contains(key), "{key} comes twice");
            keys.push(key.clone());
            // What was not asked, and what was asked before, is passed over; what is no answer is not.
            for responses in [json!({ "other": 7 }), json!({})] {
                let params = json!({ "taskId": id, "inputResponses": responses });
                client.result("tasks/update", params);
            }
            let wrong = json!({ "taskId": id, "inputResponses": { key: 7 } });
            assert_eq!(client.error("tasks/update", wrong)["code"], -32602);
            let answer = json!({ "action": "accept", "content": { "confirm": confirm } });
            let mut responses = json!({ key: answer });
            if let Some(old) = keys.first().filter(|old| *old != key) {
                responses[old] = json!({ "action": "decline" });
            }
            let params = json!({ "taskId": id, "inputResponses": responses });
            client.result("tasks/update", params);
        }
        let task = until(client, &id, "completed");
        assert_eq!(task["result"]["content"][0]["text"], "true and false");
    });
}

#[test]
fn what_is_asked_at_once_is_asked_before_there_is_a_task() {
    let mut client = Client::inside(folder(""), New, capabilities());
    let asked = client.call("test_tool_with_task", json!({}));
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    assert!(asked.get("taskId").is_none(), "{asked}");
    let answer = json!({ "action": "accept", "content": { "name": "Alice" } });
    let mut params = json!({ "name": "test_tool_with_task", "arguments": {},
        "inputResponses": { "user_name": answer } });
    if let Some(state) = asked.get("requestState") {
        params["requestState"] = state.clone();
    }
    let result = client.result("tools/call", params);
    assert_eq!(result["resultType"], "task", "{result}");
    let id = result["taskId"].as_str().unwrap().to_owned();
    let task = until(&mut client, &id, "completed");
    assert_eq!(task["result"]["content"][0]["text"], "Hello, Alice!");
}

#[test]
fn who_takes_no_tasks_has_none() {
    let server = Http::start_in(folder("task-only = [\"failing_job\"]"));
    for revision in [Old, New] {
        let mut client = Client::http(&server, revision, json!({}));
        let result = client.call("slow_compute", json!({ "seconds": 1.0 }));
        assert!(result["content"].is_array(), "{result}");
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            let params = json!({ "taskId": "none", "inputResponses": {} });
            let error = client.error(method, params);
            assert_eq!(error["code"], -32021, "{method}: {error}");
            let needed = &error["data"]["requiredCapabilities"]["extensions"];
            assert!(needed[TASKS].is_object(), "{error}");
        }
        // Nor is it offered what it cannot call.
        let listed = client.result("tools/list", json!({})).to_string();
        assert!(!listed.contains("failing_job"), "{revision:?}");
        let params = json!({ "name": "failing_job", "arguments": {} });
        let error = client.error("tools/call", params);
        assert_eq!(error["code"], -32021, "{error}");
        let mut client = Client::http(&server, revision, capabilities());
        let listed = client.result("tools/list", json!({})).to_string();
        assert!(listed.contains("failing_job"), "{revision:?}");
        begin(&mut client, "failing_job", json!({}));
    }
}

#[test]
fn a_task_is_its_client_s_alone() {
    let server = Http::start_in(folder(""));
    let mut alice = Client::http(&server, Old, capabilities());
    let id = begin(&mut alice, "slow_compute", json!({ "seconds": 60.0 }));
    assert!(id.len() >= 22, "{id}");
    for revision in [Old, New] {
        let mut bob = Client::http(&server, revision, capabilities());
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            let params = json!({ "taskId": id, "inputResponses": {} });
            let error = bob.error(method, params);
            assert_eq!(error["code"], -32602, "{method}: {error}");
        }
    }
    assert_eq!(get(&mut alice, &id)["status"], "working");
}

#[test]
fn task_belongs_to_its_token() {
    let folder = folder("");
    let mut manifest = std::fs::read_to_string(folder.path().join("toolhost.toml")).unwrap();
    let tokens = ["alice", "bob"].map(|name| {
        let made = folder.run(&["token", "new", "--name", name], "");
        let (_, table) = made.stderr.split_once("\n\n").unwrap();
        manifest += &format!("{}\n", table.trim_end());
        made.stdout.trim().to_owned()
    });
    folder.write("toolhost.toml", manifest);
    let server = Http::start_in(folder);
    let [mut alice, mut bob] =
        tokens.map(|token| Client::http_as(&server, New, capabilities(), Some(&token)));
    let id = begin(&mut alice, "slow_compute", json!({ "seconds": 1.0 }));
    let error = bob.error("tasks/get", json!({ "taskId": id }));
    assert_eq!(error["code"], -32602, "{error}");
    let listen = json!({ "notifications": { "taskIds": [id] } });
    bob.request("subscriptions/listen", listen);
    let begun = bob.told("notifications/subscriptions/acknowledged");
    assert_eq!(begun["params"]["notifications"]["taskIds"], json!([]));
    until(&mut alice, &id, "completed");
    let error = bob.error("tasks/get", json!({ "taskId": id }));
    assert_eq!(error["code"], -32602, "{error}");
}

#[test]
fn a_task_outlives_its_connection_and_ends_with_its_session() {
    let server = Http::start_in(folder(""));
    let mut client = Client::http(&server, New, capabilities());
    let id = begin(&mut client, "spin", json!({}));
    client.hang_up();
    assert_eq!(get(&mut client, &id)["status"], "working");
    assert!(!is_idle(server.process()), "it still computes");
    client.result("tasks/cancel", json!({ "taskId": id }));
    until(&mut client, &id, "cancelled");

    let mut client = Client::http(&server, Old, capabilities());
    begin(&mut client, "spin", json!({}));
    let head = [
        ("Mcp-Session-Id", client.session()),
        ("MCP-Protocol-Version", "2025-11-25"),
    ];
    let reply = http::ask(server.address(), "DELETE /mcp", &head, "");
    assert_eq!(reply.status, 204, "{reply:?}");
    wait_until_idle(server.process());
}

#[test]
fn a_call_that_is_given_up_before_it_is_a_task_ends() {
    let server = Http::start_in(Folder::with(format!(
        "{}{}",
        listed("conformance"),
        listed("echo")
    )));
    let give_up = |revision: Revision, end: &dyn Fn(&mut Client, u64)| {
        let mut client = Client::http(&server, revision, capabilities());
        let id = client.start("spin", json!({}));
        wait_until_busy(server.process());
        end(&mut client, id);
        wait_until_idle(server.process());
    };
    give_up(New, &|client, _| client.hang_up());
    give_up(Old, &|client, id| {
        client.notify("notifications/cancelled", json!({ "requestId": id }));
    });
}

#[test]
fn every_call_is_a_task_where_none_is_waited_for() {
    let mut client = Client::inside(
        Folder::with(format!("[serve]\ntask-after = \"0s\"\n{}", listed("echo"))),
        New,
        capabilities(),
    );
    let id = begin(&mut client, "echo", json!({ "text": "hi" }));
    let task = until(&mut client, &id, "completed");
    assert_eq!(task["result"]["content"][0]["text"], "hi");
}

#[test]
fn a_client_with_too_many_tasks_waits_for_the_next_call() {
    let folder = Folder::with(format!(
        "[host]\nmax-concurrency = 200\n[serve]\ntask-after = \"0s\"\n{}{}",
        listed("conformance"),
        listed("echo")
    ));
    let mut client = Client::inside(folder, New, capabilities());
    let ids: Vec<String> = (0..100)
        .map(|_| begin(&mut client, "slow_compute", json!({ "seconds": 60.0 })))
        .collect();
    let result = client.call("echo", json!({ "text": "hi" }));
    assert_eq!(result["content"][0]["text"], "hi", "{result}");
    client.result("tasks/cancel", json!({ "taskId": ids[0] }));
    until(&mut client, &ids[0], "cancelled");
    begin(&mut client, "echo", json!({ "text": "hi" }));
}

#[test]
fn a_stream_tells_what_becomes_of_tasks() {
    let server = Http::start_in(folder(""));
    let mut client = Client::http(&server, New, capabilities());
    let done = begin(&mut client, "slow_compute", json!({ "seconds": 0.5 }));
    until(&mut client, &done, "completed");
    let asks = begin(&mut client, "confirm_delete", json!({ "filename": "a" }));
    let runs = begin(&mut client, "slow_compute", json!({ "seconds": 60.0 }));
    let listen = json!({ "notifications": { "taskIds": [done, asks, runs, "none"] } });
    let subscription = client.request("subscriptions/listen", listen);
    let begun = client.told("notifications/subscriptions/acknowledged");
    let mut known = vec![done.clone(), asks.clone(), runs.clone()];
    known.sort();
    assert_eq!(begun["params"]["notifications"]["taskIds"], json!(known));
    // What was over before is told as well.
    let next = |client: &mut Client, id: &str, status: &str| {
        let told = client.take("notification", |it| {
            it["method"] == "notifications/tasks" && it["params"]["taskId"] == id
        });
        assert_eq!(told["params"]["status"], status, "{told}");
        let meta = &told["params"]["_meta"];
        assert_eq!(meta["io.modelcontextprotocol/subscriptionId"], subscription);
        told["params"].clone()
    };
    let told = next(&mut client, &done, "completed");
    assert_eq!(told["result"]["content"][0]["type"], "text", "{told}");
    let told = next(&mut client, &asks, "input_required");
    assert!(told["inputRequests"]["confirm"].is_object(), "{told}");
    client.result("tasks/cancel", json!({ "taskId": runs }));
    next(&mut client, &runs, "cancelled");
    let answer = json!({ "confirm": { "action": "accept", "content": { "confirm": true } } });
    let params = json!({ "taskId": asks, "inputResponses": answer });
    client.result("tasks/update", params);
    next(&mut client, &asks, "working");
    let told = next(&mut client, &asks, "completed");
    let text = &told["result"]["content"][0]["text"];
    assert_eq!(text, "deleted a: true", "{told}");

    let mut without = Client::http(&server, New, json!({}));
    let listen = json!({ "notifications": { "taskIds": [done] } });
    let error = without.error("subscriptions/listen", listen);
    assert_eq!(error["code"], -32021, "{error}");
}
