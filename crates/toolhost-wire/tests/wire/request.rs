//! Requests to a model: what is asked is said in each API's own words.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use toolhost_wire::wire::{Format, Request, ToolChoice};

/// What a test asks for.
struct Asked {
    has_tools: bool,
    tool_choice: ToolChoice,
    parallel: bool,
    temperature: Option<f64>,
    max_tokens: Option<u64>,
    stream: bool,
    is_own_api: bool,
    carried: Map<String, Value>,
    extra: Map<String, Value>,
}

/// The body of a request with a message and a tool.
fn body(format: Format, change: impl FnOnce(&mut Asked)) -> Value {
    let mut asked = Asked {
        has_tools: true,
        tool_choice: ToolChoice::Auto,
        parallel: true,
        temperature: None,
        max_tokens: None,
        stream: false,
        is_own_api: true,
        carried: Map::new(),
        extra: Map::new(),
    };
    change(&mut asked);
    let api = format.api().unwrap();
    let tools = RawValue::from_string("[{}]".to_owned()).unwrap();
    let messages = [api.user("Hi.")];
    let mut request = Request::new("model-1", &messages);
    request.system = Some("Be brief.");
    request.tools = asked.has_tools.then_some(&*tools);
    request.tool_choice = asked.tool_choice;
    request.parallel = asked.parallel;
    request.temperature = asked.temperature;
    request.max_tokens = asked.max_tokens;
    request.stream = asked.stream;
    request.is_own_api = asked.is_own_api;
    request.carried = Some(&asked.carried);
    request.extra = Some(&asked.extra);
    serde_json::from_str(api.request(&request).get()).unwrap()
}

#[test]
fn a_plain_request_has_what_was_asked_and_no_more() {
    let user = json!({ "role": "user", "content": "Hi." });
    for (format, expected) in [
        (
            Format::OpenaiChat,
            json!({
                "model": "model-1",
                "messages": [{ "role": "system", "content": "Be brief." }, user],
                "tools": [{}],
            }),
        ),
        (
            Format::OpenaiResponses,
            json!({
                "model": "model-1", "instructions": "Be brief.", "input": [user], "tools": [{}],
            }),
        ),
        (
            Format::Anthropic,
            // The API wants a bound.
            json!({
                "model": "model-1", "max_tokens": 8192, "system": "Be brief.", "messages": [user],
                "tools": [{}],
            }),
        ),
        (
            Format::Gemini,
            json!({
                "systemInstruction": { "parts": [{ "text": "Be brief." }] },
                "contents": [{ "role": "user", "parts": [{ "text": "Hi." }] }],
                "tools": [{}],
            }),
        ),
    ] {
        assert_eq!(body(format, |_| {}), expected, "{format}");
    }
}

#[test]
fn parallel_calls_are_switched_off_in_each_apis_way() {
    let off = |format| body(format, |asked| asked.parallel = false);
    for format in [Format::OpenaiChat, Format::OpenaiResponses] {
        assert_eq!(off(format)["parallel_tool_calls"], false, "{format}");
        assert_eq!(
            body(format, |_| {}).get("parallel_tool_calls"),
            None,
            "{format}"
        );
    }
    assert_eq!(
        off(Format::Anthropic)["tool_choice"],
        json!({ "type": "auto", "disable_parallel_tool_use": true })
    );
    // It has no switch for it.
    assert_eq!(off(Format::Gemini), body(Format::Gemini, |_| {}));
    // Nor is there anything to switch where there are no tools.
    for format in [
        Format::OpenaiChat,
        Format::OpenaiResponses,
        Format::Anthropic,
        Format::Gemini,
    ] {
        let body = body(format, |asked| {
            asked.parallel = false;
            asked.has_tools = false;
            asked.tool_choice = ToolChoice::Required;
        });
        for key in ["parallel_tool_calls", "tool_choice", "tools", "toolConfig"] {
            assert_eq!(body.get(key), None, "{format}");
        }
    }
}

#[test]
fn the_choice_of_a_tool_is_said_in_each_apis_words() {
    let one = ToolChoice::Tool("f".to_owned());
    let gemini = |config: Value| json!({ "functionCallingConfig": config });
    for (choice, chat, responses, anthropic, config) in [
        (
            ToolChoice::None,
            json!("none"),
            json!("none"),
            json!({ "type": "none" }),
            gemini(json!({ "mode": "NONE" })),
        ),
        (
            ToolChoice::Required,
            json!("required"),
            json!("required"),
            json!({ "type": "any", "disable_parallel_tool_use": true }),
            gemini(json!({ "mode": "ANY" })),
        ),
        (
            one,
            json!({ "type": "function", "function": { "name": "f" } }),
            json!({ "type": "function", "name": "f" }),
            json!({ "type": "tool", "name": "f", "disable_parallel_tool_use": true }),
            gemini(json!({ "mode": "ANY", "allowedFunctionNames": ["f"] })),
        ),
    ] {
        let said = |format| {
            body(format, |asked| {
                asked.tool_choice = choice.clone();
                asked.parallel = false;
            })
        };
        assert_eq!(said(Format::OpenaiChat)["tool_choice"], chat);
        assert_eq!(said(Format::OpenaiResponses)["tool_choice"], responses);
        assert_eq!(said(Format::Anthropic)["tool_choice"], anthropic);
        assert_eq!(said(Format::Gemini)["toolConfig"], config);
    }
    for (text, choice) in [
        ("auto", ToolChoice::Auto),
        ("none", ToolChoice::None),
        ("required", ToolChoice::Required),
        ("f", ToolChoice::Tool("f".to_owned())),
    ] {
        assert_eq!(text.parse(), Ok(choice));
    }
}

#[test]
fn bounds_temperature_and_streams_go_by_each_apis_names() {
    let full = |format, is_own_api| {
        body(format, |asked| {
            asked.temperature = Some(0.5);
            asked.max_tokens = Some(100);
            asked.stream = true;
            asked.is_own_api = is_own_api;
        })
    };
    let chat = full(Format::OpenaiChat, true);
    assert_eq!(
        (&chat["max_completion_tokens"], chat.get("max_tokens")),
        (&json!(100), None)
    );
    assert_eq!(chat["stream_options"], json!({ "include_usage": true }));
    // Other servers know the older name only.
    let other = full(Format::OpenaiChat, false);
    assert_eq!(
        (&other["max_tokens"], other.get("max_completion_tokens")),
        (&json!(100), None)
    );
    assert_eq!(
        full(Format::OpenaiResponses, true)["max_output_tokens"],
        100
    );
    assert_eq!(full(Format::Anthropic, true)["max_tokens"], 100);
    for format in [
        Format::OpenaiChat,
        Format::OpenaiResponses,
        Format::Anthropic,
    ] {
        let body = full(format, true);
        assert_eq!(
            (&body["temperature"], &body["stream"]),
            (&json!(0.5), &json!(true)),
            "{format}"
        );
    }
    // There the address says whether it streams.
    let gemini = full(Format::Gemini, true);
    assert_eq!(
        gemini["generationConfig"],
        json!({ "temperature": 0.5, "maxOutputTokens": 100 })
    );
    assert_eq!(gemini.get("stream"), None);
}

#[test]
fn what_is_given_beside_replaces_what_would_be_said() {
    let Value::Object(extra) = json!({ "model": "other", "seed": 7, "tools": null }) else {
        unreachable!()
    };
    for format in [
        Format::OpenaiChat,
        Format::OpenaiResponses,
        Format::Anthropic,
        Format::Gemini,
    ] {
        let body = body(format, |asked| asked.extra = extra.clone());
        assert_eq!(
            (&body["model"], &body["seed"]),
            (&json!("other"), &json!(7)),
            "{format}"
        );
        assert_eq!(body["tools"], Value::Null, "{format}");
    }
}
