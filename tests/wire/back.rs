//! What goes back to an API of what it sent, and what a call's answer repeats.

use serde_json::{Value, json};
use toolhost::wire::{self, Format};

use crate::common::binary::{Folder, listed};

/// What stands for a whole response in the next request.
fn back(format: Format, response: &Value) -> Vec<Value> {
    let reply = wire::reply(response.to_string().as_bytes(), format);
    let reply = reply.unwrap_or_else(|error| panic!("{error}: {response}"));
    let messages = reply.messages.iter();
    messages
        .map(|raw| serde_json::from_str(raw.get()).unwrap())
        .collect()
}

/// Adds members to an object.
fn with(mut object: Value, more: Value) -> Value {
    let members = more.as_object().unwrap().clone();
    object.as_object_mut().unwrap().extend(members);
    object
}

#[test]
fn nulls_of_an_sdks_dump_do_not_go_back_and_all_else_does() {
    let function = json!({ "arguments": "{\"x\":null}", "name": "f" });
    let call = json!({ "id": "a", "function": function, "type": "function", "new": { "n": null } });
    let message = json!({
        "content": null, "role": "assistant", "tool_calls": [call],
        "reasoning": "…", "reasoning_details": [{ "type": "reasoning.text", "text": "…", "signature": null }],
        "new": [null],
    });
    let dumped = with(
        message.clone(),
        json!({
            "refusal": null, "annotations": null, "audio": null, "function_call": null, "parsed": { "x": 1 },
            "tool_calls": [with(
                call.clone(),
                json!({ "index": null, "function": with(function.clone(), json!({ "parsed_arguments": {} })) }),
            )],
        }),
    );
    let response = json!({ "choices": [{ "message": dumped, "finish_reason": "tool_calls" }] });
    assert_eq!(back(Format::OpenaiChat, &response), [message]);

    let item = json!({
        "type": "function_call", "call_id": "a", "name": "f", "arguments": "{\"x\":null}",
        "namespace": "math", "caller": { "type": "program", "caller_id": "p" }, "new": { "n": null },
    });
    let dumped = with(
        item.clone(),
        json!({ "id": null, "async_": null, "status": null, "parsed_arguments": { "x": null } }),
    );
    let picture =
        json!({ "type": "image_generation_call", "id": "i", "status": "failed", "result": null });
    let said = json!({ "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "Hi." }] });
    let dumped_said = json!({ "type": "message", "role": "assistant", "id": null, "content": [
        { "type": "output_text", "text": "Hi.", "logprobs": null, "parsed": null },
    ] });
    let response = json!({ "output": [dumped, picture, dumped_said], "error": null });
    assert_eq!(
        back(Format::OpenaiResponses, &response),
        [item.clone(), picture, said]
    );
    // Python cannot have a member of that name.
    let late = json!({ "output": [with(item.clone(), json!({ "async_": true }))] });
    assert_eq!(
        back(Format::OpenaiResponses, &late),
        [with(item, json!({ "async": true }))]
    );

    let blocks = json!([
        { "type": "thinking", "thinking": "…", "signature": "c2ln" },
        { "type": "text", "text": "Hm." },
        { "type": "compaction", "content": null },
        { "type": "tool_use", "id": "a", "name": "f", "input": { "x": null }, "new": { "n": null } },
    ]);
    let dumped = json!([
        blocks[0],
        with(blocks[1].clone(), json!({ "citations": null, "parsed_output": {} })),
        { "type": "text", "text": "" },
        blocks[2],
        with(blocks[3].clone(), json!({ "caller": null, "toolset_name": null })),
    ]);
    let response = json!({ "role": "assistant", "content": dumped, "stop_reason": "tool_use", "container": null });
    assert_eq!(
        back(Format::Anthropic, &response),
        [json!({ "role": "assistant", "content": blocks })]
    );

    let parts = json!([
        { "thought": true, "text": "…", "thought_signature": "c2ln" },
        { "function_call": { "args": { "x": null }, "name": "f" }, "new": { "n": null } },
    ]);
    let dumped = json!([
        with(parts[0].clone(), json!({ "function_call": null, "inline_data": null })),
        with(parts[1].clone(), json!({
            "text": null, "thought_signature": null,
            "function_call": with(parts[1]["function_call"].clone(), json!({ "id": null, "will_continue": null })),
        })),
        { "text": null, "thought": null },
    ]);
    let response = json!({ "candidates": [{ "content": { "parts": dumped, "role": "model" }, "finish_reason": "STOP" }] });
    assert_eq!(
        back(Format::Gemini, &response),
        [json!({ "role": "model", "parts": parts })]
    );

    let message = json!({ "role": "assistant", "content": [
        { "reasoningContent": { "reasoningText": { "text": "…", "signature": null } } },
        { "toolUse": { "toolUseId": "a", "name": "f", "input": { "x": null } } },
    ] });
    let mut dumped = message.clone();
    dumped["content"]
        .as_array_mut()
        .unwrap()
        .insert(0, json!({ "text": "" }));
    dumped["content"][2]["text"] = json!(null);
    let response = json!({ "output": { "message": dumped }, "stopReason": "tool_use" });
    assert_eq!(back(Format::Bedrock, &response), [message]);

    let message = json!({
        "role": "assistant", "content": "", "thinking": "…",
        "tool_calls": [{ "function": { "name": "f", "arguments": { "x": null } } }],
    });
    let dumped = with(
        message.clone(),
        json!({ "images": null, "tool_name": null }),
    );
    let response = json!({ "model": "m", "message": dumped, "done": true });
    assert_eq!(back(Format::Ollama, &response), [message]);
}

/// Ollama answers 400 to a text in their place, which some models make of them.
#[test]
fn arguments_go_back_to_ollama_as_an_object() {
    let call = |arguments: Value| json!({ "function": { "name": "f", "arguments": arguments } });
    let message =
        |arguments| json!({ "role": "assistant", "content": "", "tool_calls": [call(arguments)] });
    for (came, goes) in [
        (json!("{\"x\":1}"), json!({ "x": 1 })),
        (json!({ "x": 1 }), json!({ "x": 1 })),
        (json!("{\"x\":"), json!("{\"x\":")),
    ] {
        let response = json!({ "message": message(came), "done": true });
        assert_eq!(back(Format::Ollama, &response), [message(goes)]);
    }
}

/// As a proxy does that has one choice for what a model says and another for what it calls.
#[test]
fn of_several_choices_the_one_with_the_calls_goes_back() {
    let call =
        json!({ "id": "a", "type": "function", "function": { "name": "f", "arguments": "{}" } });
    let message = json!({ "role": "assistant", "content": null, "tool_calls": [call] });
    let said = json!({ "role": "assistant", "content": "Let me look." });
    let response = json!({ "choices": [
        { "message": said, "finish_reason": "tool_calls" },
        { "message": message, "finish_reason": "tool_calls" },
    ] });
    assert_eq!(back(Format::OpenaiChat, &response), [message]);
}

/// OpenAI answers 400 to an empty array.
#[test]
fn a_message_without_calls_goes_back_without_their_array() {
    let message = json!({ "role": "assistant", "content": "Hi.", "tool_calls": [] });
    let response = json!({ "choices": [{ "message": message }] });
    assert_eq!(
        back(Format::OpenaiChat, &response),
        [json!({ "role": "assistant", "content": "Hi." })]
    );
}

/// What is not changed stays as it was written, numbers and spaces too.
#[test]
fn what_has_no_nulls_goes_back_to_the_letter() {
    let message = r#"{ "role":"assistant","content" : null,"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"},"x":1.50}],"\u006eew":1e400}"#;
    let response = format!(r#"{{"choices":[{{"message":{message}}}]}}"#);
    let reply = wire::reply(response.as_bytes(), Format::OpenaiChat).unwrap();
    assert_eq!(reply.messages[0].get(), message);
}

#[test]
fn the_caller_of_a_call_is_that_of_its_output() {
    let folder = Folder::of(&["echo"]);
    let caller = json!({ "type": "program", "caller_id": "prog1" });
    let item = json!({
        "type": "function_call", "id": "fc", "call_id": "a", "name": "echo", "namespace": "x",
        "arguments": "{\"text\":\"hi\"}", "status": "completed", "caller": caller,
    });
    let program = json!({ "type": "program", "id": "p", "call_id": "prog1", "code": "…" });
    let gone = with(item.clone(), json!({ "call_id": "b", "name": "gone" }));
    let direct = with(item.clone(), json!({ "call_id": "c", "caller": null }));
    let response = json!({ "output": [program, item, gone, direct] });
    let results = folder.run(&["run", "--with-message"], response.to_string());
    let mut direct = direct;
    direct.as_object_mut().unwrap().remove("caller");
    assert_eq!(
        results.answered().results(),
        [
            program,
            item,
            gone,
            direct,
            json!({ "type": "function_call_output", "call_id": "a", "output": "hi", "caller": caller }),
            json!({
                "type": "function_call_output", "call_id": "b", "output": "Error: Unknown tool gone", "caller": caller,
            }),
            json!({ "type": "function_call_output", "call_id": "c", "output": "hi" }),
        ]
    );
}

#[test]
fn a_result_of_a_set_of_tools_names_it() {
    let folder = Folder::of(&["echo"]);
    let block = json!({
        "type": "tool_use", "id": "a", "name": "echo", "input": { "text": "hi" }, "toolset_name": "browser",
        "caller": { "type": "code_execution_20260120", "tool_id": "s" },
    });
    let response = json!({ "role": "assistant", "content": [block], "stop_reason": "tool_use" });
    let results = folder
        .run(&["run"], response.to_string())
        .answered()
        .results();
    // The API knows no `caller` there, and takes nothing but results where a program called.
    assert_eq!(
        results,
        [json!({ "role": "user", "content": [
            { "type": "tool_result", "tool_use_id": "a", "content": "hi", "toolset_name": "browser" },
        ] })]
    );
}

#[test]
fn free_text_fills_the_one_string_that_a_tool_requires() {
    let folder = Folder::with(["calculator", "echo", "filesystem"].map(listed).concat());
    let item = |id: &str, name: &str, input: &str| json!({ "type": "custom_tool_call", "call_id": id, "name": name, "input": input });
    let response = json!({ "output": [
        item("a", "calculate", " 6*7\n"),
        item("b", "fs_edit", "a"),
        item("c", "echo", "{\"text\":\"hi\"}"),
        { "type": "function_call", "call_id": "d", "name": "calculate", "arguments": "{\"expression\":\"1+1\"}" },
    ] });
    let results = folder
        .run(&["run"], response.to_string())
        .answered()
        .results();
    let kinds: Vec<&Value> = results.iter().map(|result| &result["type"]).collect();
    let (custom, function) = ("custom_tool_call_output", "function_call_output");
    assert_eq!(kinds, [custom, custom, custom, function]);
    assert_eq!(results[0]["output"], "42");
    let refused = results[1]["output"].as_str().unwrap();
    assert!(refused.contains("exactly one required string"), "{refused}");
    // Free text is text, whatever it looks like.
    assert_eq!(results[2]["output"], "{\"text\":\"hi\"}");
    assert_eq!(results[3]["output"], "2");
    let chat =
        json!([{ "id": "a", "type": "custom", "custom": { "name": "calculate", "input": "6*7" } }]);
    let results = folder.run(&["run"], chat.to_string()).answered().results();
    assert_eq!(
        results,
        [json!({ "role": "tool", "tool_call_id": "a", "content": "42" })]
    );
}

#[test]
fn free_text_that_others_follow_was_not_cut_off() {
    let folder = Folder::of(&["echo"]);
    let item = |id: &str| json!({ "type": "custom_tool_call", "call_id": id, "name": "echo", "input": "hi" });
    let response = json!({
        "output": [item("a"), item("b")], "status": "incomplete",
        "incomplete_details": { "reason": "max_output_tokens" },
    });
    let results = folder
        .run(&["run"], response.to_string())
        .answered()
        .results();
    assert_eq!(results[0]["output"], "hi");
    let cut = results[1]["output"].as_str().unwrap();
    assert!(
        cut.contains("ended before the arguments were complete"),
        "{cut}"
    );
}

#[test]
fn who_may_call_a_tool_is_declared_to_the_apis_that_ask() {
    let plugin = |callers: &str| format!("{}allowed-callers = {callers}\n", listed("echo"));
    let declared = |folder: &Folder, format: &str| {
        let tools = folder
            .run(&["list", "--format", format], "")
            .answered()
            .json();
        tools[0].get("allowed_callers").cloned()
    };
    let version = "code_execution_20260521";
    let pinned = format!("{{ echo = [\"programmatic\", \"{version}\"] }}");
    for (callers, openai, anthropic) in [
        (
            "[\"direct\"]",
            Some(json!(["direct"])),
            Some(json!(["direct"])),
        ),
        (
            "[\"direct\", \"programmatic\"]",
            Some(json!(["direct", "programmatic"])),
            Some(json!(["direct", "code_execution_20260120"])),
        ),
        (
            &pinned,
            Some(json!(["programmatic"])),
            Some(json!([version])),
        ),
        ("[]", None, None),
    ] {
        let folder = Folder::with(plugin(callers));
        assert_eq!(declared(&folder, "openai-responses"), openai, "{callers}");
        assert_eq!(declared(&folder, "anthropic"), anthropic, "{callers}");
        for format in ["openai-chat", "gemini", "ollama", "bedrock"] {
            let tools = folder.run(&["list", "--format", format], "").answered();
            assert!(!tools.stdout.contains("allowed_callers"), "{format}");
        }
    }
    for (callers, why) in [
        ("[\"nobody\"]", "unknown caller"),
        ("\"direct\"", "must be an array"),
        ("{ gone = [\"direct\"] }", "offers no tool named `gone`"),
    ] {
        Folder::with(plugin(callers)).run(&["list"], "").failed(why);
    }
}
