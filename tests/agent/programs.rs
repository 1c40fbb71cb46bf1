//! Programs of a model: those that run here, in code mode, and those that its API runs, whose calls come here.

use serde_json::{Value, json};
use toolhost::wire::Format;

use crate::apis;
use crate::command::{asks, with, without_keys};
use crate::common::binary::{Folder, listed, run};
use crate::peer::{Peer, Say, calls, text};

fn folder() -> Folder {
    let script = listed("script") + "permissions.tools = ['*']\n";
    Folder::with(format!(
        "{script}{}{}",
        listed("echo"),
        listed("calculator")
    ))
}

#[test]
fn in_code_mode_the_model_is_offered_programs() {
    let code = "const sum = await tools.calculate({ expression: '6 * 7' }); await tools.echo({ text: `it is ${sum}` })";
    for format in apis() {
        let program = calls(format, &[("a", "run_script", json!({ "code": code }))]);
        let direct = calls(format, &[("b", "echo", json!({ "text": "hi" }))]);
        let peer = Peer::start(vec![program, direct, text(format, "done")]);
        let folder = folder();
        let arguments = with(asks(format, &peer), &["--code-mode", "What is it?"]);
        let ended = run(without_keys(&folder, &arguments), "").answered();
        assert_eq!(ended.stdout, "done\n");
        let asked = peer.asked();
        let offered = asked[0].body["tools"].to_string();
        for (name, is_offered) in [
            ("run_script", true),
            ("search_tools", true),
            ("describe_tool", true),
            ("\"echo\"", false),
            ("\"calculate\"", false),
        ] {
            assert_eq!(offered.contains(name), is_offered, "{format:?}: {name}");
        }
        // As signatures in the description.
        assert!(offered.contains("calculate(args:"), "{format:?}");
        assert!(
            asked[1].text.contains("it is 42"),
            "{format:?}: {}",
            asked[1].text
        );
        assert!(
            asked[2].text.contains("called by programs only"),
            "{format:?}"
        );
    }
}

fn whole(body: Value) -> Say {
    Say::Whole(200, "", body.to_string())
}

/// The sequence of Anthropic's documentation,
/// <https://platform.claude.com/docs/en/agents-and-tools/tool-use/programmatic-tool-calling>: a program calls
/// twice, then the model answers with what the program printed.
#[test]
fn calls_of_a_program_that_anthropic_runs_are_answered_in_its_container() {
    let version = "code_execution_20260120";
    let container = json!({ "id": "container_xyz789", "expires_at": "2026-12-31T14:30:00Z" });
    let server = json!({ "type": "server_tool_use", "id": "srvtoolu_abc123", "name": "code_execution",
        "input": { "code": "print(await echo(text='West'), await echo(text='East'))" } });
    let block = |id: &str, region: &str| {
        json!({ "type": "tool_use", "id": id, "name": "echo", "input": { "text": region },
            "caller": { "type": version, "tool_id": "srvtoolu_abc123" } })
    };
    let message = |content: Value, stop: &str| {
        whole(
            json!({ "id": "msg", "type": "message", "role": "assistant", "model": "m", "content": content,
            "container": container, "stop_reason": stop, "usage": { "input_tokens": 1, "output_tokens": 1 } }),
        )
    };
    let first =
        json!([{ "type": "text", "text": "I'll query both." }, server, block("toolu_1", "West")]);
    let second = json!([block("toolu_2", "East")]);
    let output = json!({ "type": "code_execution_tool_result", "tool_use_id": "srvtoolu_abc123", "content": {
        "type": "code_execution_result", "stdout": "West East", "stderr": "", "return_code": 0, "content": [] } });
    let last = json!([output, { "type": "text", "text": "West and East." }]);
    let peer = Peer::start(vec![
        message(first.clone(), "tool_use"),
        message(second.clone(), "tool_use"),
        message(last, "end_turn"),
    ]);
    let folder = Folder::with(listed("echo") + "allowed-callers = ['programmatic']\n");
    let arguments = with(asks(Format::Anthropic, &peer), &["--no-stream", "Which?"]);
    let ended = run(without_keys(&folder, &arguments), "").answered();
    assert!(
        ended.stdout.ends_with("West and East.\n"),
        "{}",
        ended.stdout
    );
    let asked = peer.asked();
    assert_eq!(
        asked[0].body["tools"][0]["allowed_callers"],
        json!([version])
    );
    assert_eq!(asked[0].body.get("container"), None);
    for (at, content, id, result) in [
        (1, &first, "toolu_1", "West"),
        (2, &second, "toolu_2", "East"),
    ] {
        assert_eq!(asked[at].body["container"], "container_xyz789");
        let messages = asked[at].body["messages"].as_array().unwrap();
        let [.., answer, results] = &messages[..] else {
            panic!("{messages:?}");
        };
        // The model's part as it was, the caller included.
        assert_eq!(&answer["content"], content);
        // Results only: the API refuses a message that has anything beside them.
        let results = results["content"].as_array().unwrap();
        assert_eq!(results.len(), 1, "{results:?}");
        assert_eq!(results[0]["type"], "tool_result");
        assert_eq!(results[0]["tool_use_id"], id);
        assert!(results[0]["content"].to_string().contains(result));
    }
}

/// The items of OpenAI's Responses API: `program`, calls with a `caller`, whose outputs repeat it, and `program_output`.
/// Shapes as of openai/openai-agents-python#3833 and openai-php/client#790.
#[test]
fn calls_of_a_program_that_openai_runs_are_answered_to_their_caller() {
    let caller = json!({ "type": "program", "caller_id": "call_prog" });
    let program = json!({ "type": "program", "id": "prog_1", "call_id": "call_prog", "code": "text(await tools.echo({ text: 'West' }))" });
    let item = json!({ "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "echo",
        "arguments": "{\"text\":\"West\"}", "status": "completed", "caller": caller });
    let output = json!({ "type": "program_output", "id": "po_1", "call_id": "call_prog", "result": "West", "status": "completed" });
    let said = json!({ "type": "message", "id": "m", "role": "assistant", "status": "completed",
        "content": [{ "type": "output_text", "text": "West it is.", "annotations": [] }] });
    let response = |output: Value| {
        whole(
            json!({ "id": "resp", "object": "response", "status": "completed", "model": "m", "output": output }),
        )
    };
    let peer = Peer::start(vec![
        response(json!([program, item])),
        response(json!([output, said])),
    ]);
    let folder = Folder::with(listed("echo") + "allowed-callers = ['programmatic']\n");
    let arguments = with(
        asks(Format::OpenaiResponses, &peer),
        &["--no-stream", "Which?"],
    );
    let ended = run(without_keys(&folder, &arguments), "").answered();
    assert_eq!(ended.stdout, "West it is.\n");
    let asked = peer.asked();
    assert_eq!(
        asked[0].body["tools"][0]["allowed_callers"],
        json!(["programmatic"])
    );
    let input = asked[1].body["input"].as_array().unwrap();
    let [.., sent, called, answered] = &input[..] else {
        panic!("{input:?}");
    };
    assert_eq!((sent, called), (&program, &item));
    assert_eq!(
        *answered,
        json!({ "type": "function_call_output", "call_id": "call_1", "output": "West", "caller": caller })
    );
}
