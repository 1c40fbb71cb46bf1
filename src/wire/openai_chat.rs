//! OpenAI Chat Completions, as <https://platform.openai.com/docs/api-reference/chat> has it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{DecodeError, arguments, label, unfit};
use crate::tool::{Tool, ToolCall};

/// A tool as the request's `tools` takes it.
#[derive(Debug, Serialize)]
pub struct Declaration<'a> {
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Debug, Serialize)]
struct Function<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a serde_json::Value,
}

/// Declares a tool.
pub fn declare(tool: &Tool) -> Declaration<'_> {
    Declaration {
        r#type: "function",
        function: Function {
            name: &tool.name,
            description: &tool.description,
            parameters: &tool.input_schema,
        },
    }
}

/// The message that answers one call.
#[derive(Debug, Serialize)]
pub struct ToolMessage<'a> {
    role: &'static str,
    /// The API wants one; a call that came without has none to give back.
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    content: String,
}

/// Answers the call with that id. The API has no flag for errors: the text says it.
pub fn answer(id: Option<&str>, content: String) -> ToolMessage<'_> {
    ToolMessage {
        role: "tool",
        tool_call_id: id,
        content,
    }
}

#[derive(Deserialize)]
struct Completion<'a> {
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    message: Option<Message<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    tool_calls: Option<Vec<Call<'a>>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    function: Option<CalledFunction<'a>>,
    #[serde(borrow)]
    custom: Option<CalledCustom<'a>>,
    /// Without the `function` around it, as scripts write it.
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct CalledFunction<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// A call of a custom tool, whose input is free text.
#[derive(Deserialize)]
struct CalledCustom<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

pub(super) fn decode(text: &str) -> Result<Vec<ToolCall>, DecodeError> {
    let document: &RawValue = serde_json::from_str(text).map_err(unfit)?;
    let text = document.get();
    let calls = if text.starts_with('[') {
        serde_json::from_str(text).map_err(unfit)?
    } else {
        let completion: Completion = serde_json::from_str(text).map_err(unfit)?;
        match completion.choices {
            Some(choices) => chosen(choices)?,
            None => {
                let message: Message = serde_json::from_str(text).map_err(unfit)?;
                message.tool_calls.unwrap_or_default()
            }
        }
    };
    Ok(calls.into_iter().map(call).collect())
}

/// The calls of the one choice that has any.
fn chosen(choices: Vec<Choice>) -> Result<Vec<Call>, DecodeError> {
    let mut calls: Vec<Vec<Call>> = choices
        .into_iter()
        .filter_map(|choice| choice.message?.tool_calls)
        .filter(|calls| !calls.is_empty())
        .collect();
    if calls.len() > 1 {
        // Running them all would do things that no reader of one choice asked for.
        return Err(DecodeError::Shape {
            found: format!(
                "a completion of which {} choices have tool calls",
                calls.len()
            ),
            expected: "one of them: pass the message of the choice you mean",
        });
    }
    Ok(calls.pop().unwrap_or_default())
}

fn call(call: Call) -> ToolCall {
    let (name, given) = match (call.function, call.custom) {
        (Some(function), _) => (function.name, function.arguments),
        (None, Some(custom)) => (custom.name, custom.input),
        (None, None) => (call.name, call.arguments),
    };
    ToolCall {
        id: label(call.id),
        name: label(name).unwrap_or_default(),
        arguments: arguments(given),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_stay_text_and_none_spoils_its_siblings() {
        let calls = decode(
            r#"[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\": 1}"}},
                {"id":"b","function":{"name":"f","arguments":"{\"x\":\"\ud800\"}"}},
                {"id":null,"function":{"name":"f","arguments":{"x":[1.0]}}},
                {"id":7,"type":"custom","custom":{"name":"g","input":"free text"}},
                {}]"#,
        )
        .unwrap();
        let seen: Vec<_> = calls
            .iter()
            .map(|call| (call.id.as_deref(), &*call.name, &*call.arguments))
            .collect();
        assert_eq!(
            seen,
            [
                (Some("a"), "f", r#"{"x": 1}"#),
                (Some("b"), "f", r#""{\"x\":\"\ud800\"}""#),
                (None, "f", r#"{"x":[1.0]}"#),
                (Some("7"), "g", "free text"),
                (None, "", ""),
            ]
        );
    }

    #[test]
    fn what_has_no_calls_decodes_to_none() {
        for text in [
            r#"{"choices":[{"message":{"role":"assistant","content":"hi"}}]}"#,
            r#"{"choices":[{"message":{"role":"assistant","tool_calls":null}}]}"#,
            r#"{"choices":[]}"#,
            r#"{"role":"assistant","content":"hi"}"#,
            r#"{"tool_calls":null}"#,
            "[]",
        ] {
            assert_eq!(decode(text).unwrap(), [], "{text}");
        }
    }

    #[test]
    fn of_several_choices_with_calls_none_is_run() {
        let choice = r#"{"message":{"tool_calls":[{"function":{"name":"f"}}]}}"#;
        let one = format!(r#"{{"choices":[{{"message":{{}}}},{choice}]}}"#);
        assert_eq!(decode(&one).unwrap().len(), 1);
        let two = format!(r#"{{"choices":[{choice},{choice}]}}"#);
        assert!(matches!(decode(&two), Err(DecodeError::Shape { .. })));
    }
}
