//! What is encoded comes out as it went in, in every format.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use toolhost_wire::wire::{self, Answer, Format, Stop};
use toolhost_wire::{CallError, Output, ToolCall, ToolResult};

use crate::common::arbitrary;
use crate::common::responses::{
    APIS, Around, Pieces, Style, TEXT, chunked, encoded, events, receive, sse, whole,
};

/// Many, and none kept of those that fail: what they print is enough to go by.
fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(200)
    }
}

/// Whether the API sends calls without ids, or servers that speak it do.
fn may_lack_ids(format: Format) -> bool {
    matches!(
        format,
        Format::OpenaiChat | Format::Gemini | Format::Ollama | Format::Json
    )
}

fn ids(format: Format) -> impl Strategy<Value = Option<String>> {
    let missing = match may_lack_ids(format) {
        true => 1,
        false => 0,
    };
    prop_oneof![
        missing => Just(None),
        4 => "[a-z0-9_]{1,12}".prop_map(Some),
        1 => ".{1,12}".prop_map(Some),
    ]
}

fn given() -> impl Strategy<Value = (Format, Vec<ToolCall>)> {
    proptest::sample::select(Format::ALL.to_vec()).prop_flat_map(|format| {
        let calls = arbitrary::calls(ids(format), 5);
        (Just(format), calls)
    })
}

/// The id that a decoded call has: MCP's keep their type.
fn decoded_id(format: Format, id: Option<&str>) -> Option<String> {
    let id = id?;
    let is_json = serde_json::from_str::<&RawValue>(id).is_ok();
    Some(match format == Format::Mcp && is_json {
        true => json!(id).to_string(),
        false => id.to_owned(),
    })
}

fn decoded(format: Format, calls: &[ToolCall]) -> Vec<ToolCall> {
    let calls = calls.iter().map(|call| {
        let id = decoded_id(format, call.id.as_deref());
        call.clone().with_id(id)
    });
    calls.collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn calls_of_a_response_decode_to_what_was_encoded((format, calls) in given()) {
        let expected = decoded(format, &calls);
        for around in [Around::Response, Around::Message, Around::Calls] {
            let text = whole(format, &calls, around);
            if text.is_empty() {
                continue;
            }
            let (_, found) = wire::decode(text.as_bytes(), Some(format)).expect(&text);
            prop_assert_eq!(&found, &expected, "{}", &text);
            // The shape is enough to tell, but for arrays without anything in them.
            let detected = wire::decode(text.as_bytes(), None);
            // Ollama's messages are those of a chat.
            let shows = match format {
                Format::Ollama if around != Around::Response => Format::OpenaiChat,
                format => format,
            };
            if text != "[]" {
                prop_assert_eq!(detected.expect(&text), (shows, expected.clone()), "{}", &text);
            }
        }
        for (position, (call, expected)) in calls.iter().zip(&expected).enumerate() {
            let text = encoded(format, position, call);
            let (_, one) = wire::decode(text.as_bytes(), None).expect(&text);
            prop_assert_eq!(&one[..], std::slice::from_ref(expected));
        }
    }

    #[test]
    fn a_reply_has_the_calls_the_text_and_what_goes_back(
        (format, calls) in given().prop_filter("APIs", |(format, _)| !format.is_lines()),
    ) {
        let text = whole(format, &calls, Around::Response);
        let reply = format.wire().reply(&text).expect(&text);
        prop_assert_eq!(&reply.calls, &calls);
        let stop = if calls.is_empty() { Stop::End } else { Stop::Calls };
        prop_assert_eq!(&reply.stop, &stop);
        prop_assert_eq!((reply.tokens.input, reply.tokens.output), (9, 7));
        if !matches!(format, Format::OpenaiChat | Format::OpenaiResponses) {
            prop_assert_eq!(&reply.text, TEXT);
        }
        // To the letter, thoughts and signatures too.
        for message in &reply.messages {
            let has_calls = !calls.is_empty();
            prop_assert!(!has_calls || text.contains(content_of(format, message)), "{message} in {text}");
        }
        let back = messages(&reply.messages);
        let (_, again) = wire::decode(back.as_bytes(), Some(format)).expect(&back);
        prop_assert_eq!(&again, &calls);
    }

    #[test]
    fn calls_of_a_stream_are_handed_on_as_they_were_encoded(
        (format, pieces) in streamed(),
        order in proptest::collection::vec(any::<Index>(), 64),
        style in style(),
        size in 1..200usize,
    ) {
        let calls: Vec<ToolCall> = pieces.iter().map(|pieces| pieces.call.clone()).collect();
        let mut order = order.iter().cycle();
        let events = events(format, &pieces, |count| order.next().unwrap().index(count));
        let (bytes, _) = sse(&events, style);
        for told in [None, Some(format)] {
            let taken = receive(chunked(&bytes, size), told);
            prop_assert!(taken.error.is_none(), "{:?}", taken.error);
            prop_assert_eq!(taken.format, Some(format));
            let mut handed = taken.handed;
            handed.sort_by_key(|(position, _)| *position);
            let expected: Vec<_> = calls.iter().cloned().enumerate().collect();
            prop_assert_eq!(&handed, &expected);
            prop_assert_eq!(&taken.text, TEXT);
            let received = taken.received.unwrap();
            prop_assert!(received.is_complete);
            prop_assert_eq!(&received.reply.cut, &[0usize; 0]);
            let reply = received.reply;
            prop_assert_eq!((&reply.calls, &*reply.text), (&calls, TEXT));
            let stop = if calls.is_empty() { Stop::End } else { Stop::Calls };
            prop_assert_eq!(&reply.stop, &stop);
            prop_assert_eq!((reply.tokens.input, reply.tokens.output), (9, 7));
            // The next request holds the same calls.
            let back = messages(&reply.messages);
            let (_, again) = wire::decode(back.as_bytes(), Some(format)).expect(&back);
            prop_assert_eq!(again, with_objects(format, &calls));
        }
    }

    #[test]
    fn results_are_read_back_with_their_ids_texts_and_errors(
        format in proptest::sample::select(Format::ALL.to_vec()),
        given in proptest::collection::vec(result(), 0..5),
    ) {
        let results: Vec<ToolResult> = given
            .iter()
            .map(|(id, text, is_error)| tool_result(id, text, *is_error))
            .collect();
        let answers: Vec<Answer> = results.iter().map(Answer::new).collect();
        let messages = format.answers(&answers);
        let expected: Vec<_> = results.iter().map(|result| {
            (json!(result.id), result.to_text(), result.outcome.is_err())
        }).collect();
        prop_assert_eq!(read(format, &messages), expected);
    }

    #[test]
    fn an_answer_has_the_id_of_its_call_whatever_that_is(
        (format, calls) in given(),
    ) {
        let text = whole(format, &calls, Around::Calls);
        let (_, decoded) = wire::decode(text.as_bytes(), Some(format)).unwrap();
        let results: Vec<ToolResult> = decoded.into_iter().map(|call| {
            tool_result("", "fine", false).with_id(call.id)
        }).collect();
        let answers: Vec<Answer> = results.iter().map(Answer::new).collect();
        let ids: Vec<Value> = read(format, &format.answers(&answers)).into_iter().map(|(id, ..)| id).collect();
        let given: Vec<Value> = calls.iter().map(|call| json!(call.id)).collect();
        prop_assert_eq!(ids, given);
    }
}

/// A message without the braces that a decoder may have put around what it keeps.
fn content_of(format: Format, message: &RawValue) -> &str {
    let key = match format {
        Format::Anthropic => r#""content":"#,
        Format::Gemini => r#""parts":"#,
        _ => return message.get(),
    };
    let (_, content) = message.get().split_once(key).unwrap();
    content.strip_suffix('}').unwrap()
}

/// Messages as a document that holds the calls of the last response.
fn messages(messages: &[Box<RawValue>]) -> String {
    match messages {
        [one] if one.get().starts_with('{') => one.get().to_owned(),
        many => serde_json::to_string(many).unwrap(),
    }
}

/// In a message of Anthropic's arguments are an object in any case.
fn with_objects(format: Format, calls: &[ToolCall]) -> Vec<ToolCall> {
    let mut calls = calls.to_vec();
    if format == Format::Anthropic {
        for call in calls.iter_mut().filter(|call| call.arguments.is_empty()) {
            call.arguments = "{}".to_owned();
        }
    }
    calls
}

fn streamed() -> impl Strategy<Value = (Format, Vec<Pieces>)> {
    proptest::sample::select(APIS.to_vec()).prop_flat_map(|format| {
        // Without any arguments at all, as some models call what takes none.
        let emptied = proptest::collection::vec(0..10u8, 5);
        let calls =
            (arbitrary::calls(ids(format), 5), emptied).prop_map(move |(mut calls, dice)| {
                for (call, dice) in calls.iter_mut().zip(dice) {
                    if dice == 0 && format != Format::Gemini {
                        call.arguments.clear();
                    }
                }
                calls
            });
        (Just(format), calls.prop_flat_map(arbitrary::in_pieces))
    })
}

fn style() -> impl Strategy<Value = Style> {
    let line_end = proptest::sample::select(vec!["\n", "\r\n", "\r"]);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (line_end, flags).prop_map(|(line_end, (chatty, many_lines, bom, closed))| Style {
        line_end,
        chatty,
        many_lines,
        bom,
        closed,
    })
}

fn result() -> impl Strategy<Value = (String, String, bool)> {
    // Where there is no flag, the text's beginning tells an error.
    let text = ".{0,40}".prop_filter("no error", |text| !text.starts_with("Error: "));
    ("[a-z_]{9,12}", text, any::<bool>())
}

fn tool_result(id: &str, text: &str, is_error: bool) -> ToolResult {
    let outcome = match is_error {
        true => Err(CallError::failed(text)),
        false => Ok(Output::text(text)),
    };
    ToolResult::new("tool", outcome).with_id(id.to_owned())
}

/// Reads results as the API would: id, text, and whether it is an error.
fn read(format: Format, messages: &[Box<RawValue>]) -> Vec<(Value, String, bool)> {
    let messages = messages.iter().map(|message| message.get());
    let messages: Vec<Value> = messages
        .map(|message| serde_json::from_str(message).unwrap())
        .collect();
    let string = |value: &Value| value.as_str().unwrap().to_owned();
    let inner = |key: &str| -> Vec<Value> {
        // All of them in one message of the user.
        assert!(messages.len() <= 1);
        let of_user = messages
            .iter()
            .inspect(|message| assert_eq!(message["role"], "user"));
        of_user
            .flat_map(|message| message[key].as_array().unwrap().clone())
            .collect()
    };
    let by_text = |id: &Value, text: &Value| {
        let text = string(text);
        let is_error = text.starts_with("Error: ");
        (id.clone(), text, is_error)
    };
    match format {
        Format::OpenaiChat => messages
            .iter()
            .inspect(|message| assert_eq!(message["role"], "tool"))
            .map(|message| by_text(&message["tool_call_id"], &message["content"]))
            .collect(),
        Format::OpenaiResponses => messages
            .iter()
            .inspect(|item| assert_eq!(item["type"], "function_call_output"))
            .map(|item| by_text(&item["call_id"], &item["output"]))
            .collect(),
        Format::Anthropic => inner("content")
            .iter()
            .inspect(|block| assert_eq!(block["type"], "tool_result"))
            .map(|block| {
                let is_error = block.get("is_error").is_some_and(|flag| flag == true);
                (
                    block["tool_use_id"].clone(),
                    string(&block["content"]),
                    is_error,
                )
            })
            .collect(),
        Format::Gemini => inner("parts")
            .iter()
            .map(|part| {
                let part = &part["functionResponse"];
                let response = part["response"].as_object().unwrap();
                let (key, text) = response.iter().next().unwrap();
                assert!(response.len() == 1 && ["output", "error"].contains(&&**key));
                (part["id"].clone(), string(text), key == "error")
            })
            .collect(),
        Format::Ollama => messages
            .iter()
            .inspect(|message| assert_eq!(message["role"], "tool"))
            .inspect(|message| assert_eq!(message["tool_name"], "tool"))
            .map(|message| by_text(&message["tool_call_id"], &message["content"]))
            .collect(),
        Format::Bedrock => inner("content")
            .iter()
            .map(|block| {
                let result = &block["toolResult"];
                let is_error = result.get("status").is_some_and(|status| status == "error");
                let text = match &result["content"].as_array().unwrap()[..] {
                    [] => String::new(),
                    [block] => string(&block["text"]),
                    _ => panic!("{block}"),
                };
                (result["toolUseId"].clone(), text, is_error)
            })
            .collect(),
        Format::Mcp => messages
            .iter()
            .inspect(|message| assert_eq!(message["jsonrpc"], "2.0"))
            .map(|message| {
                let result = &message["result"];
                let is_error = result.get("isError").is_some_and(|flag| flag == true);
                let [block] = &result["content"].as_array().unwrap()[..] else {
                    panic!("{message}");
                };
                (message["id"].clone(), string(&block["text"]), is_error)
            })
            .collect(),
        Format::Json => messages
            .iter()
            .map(|line| {
                let is_error = line.get("error").is_some();
                (line["id"].clone(), string(&line["content"]), is_error)
            })
            .collect(),
        other => panic!("nobody reads {other}"),
    }
}
