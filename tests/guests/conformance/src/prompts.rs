//! What to begin with, and what its arguments could be.

use crate::{PIXEL, embedded};
use toolhost_plugin::completion::{Request, Subject, Suggestions};
use toolhost_plugin::serde_json::{Value, json};
use toolhost_plugin::{Content, Conversation, Error, Media, arguments, ask, prompt};

/// A simple prompt without arguments.
#[prompt(title = "Simple prompt", icon = "https://example.com/prompt.png")]
pub(crate) fn test_simple_prompt() -> &'static str {
    "This is a simple prompt for testing."
}

#[arguments]
pub(crate) struct Two {
    /// First test argument
    arg1: String,
    /// Second test argument
    arg2: String,
}

/// A prompt with two arguments.
#[prompt]
pub(crate) fn test_prompt_with_arguments(args: Two) -> String {
    format!(
        "Prompt with arguments: arg1='{}', arg2='{}'",
        args.arg1, args.arg2
    )
}

#[arguments]
#[serde(rename_all = "camelCase")]
pub(crate) struct Embedding {
    /// URI of the resource to embed
    resource_uri: String,
}

/// A prompt with a resource in it.
#[prompt]
pub(crate) fn test_prompt_with_embedded_resource(args: Embedding) -> Conversation {
    Conversation::new()
        .user(embedded(
            &args.resource_uri,
            "text/plain",
            "Embedded resource content for testing.",
        ))
        .user("Please process the embedded resource above.")
}

/// A prompt with an image in it.
#[prompt]
pub(crate) fn test_prompt_with_image() -> Conversation {
    Conversation::new()
        .user(Content::Image(Media {
            data: PIXEL.into(),
            mime_type: "image/png".into(),
        }))
        .user("Please analyze the image above.")
}

/// A prompt that asks something first.
#[prompt]
pub(crate) fn test_input_required_result_prompt() -> Result<Conversation, Error> {
    let answer: Value = ask::form_of(
        "user_context",
        "What context should the prompt use?",
        json!({
            "type": "object",
            "properties": { "context": { "type": "string" } },
            "required": ["context"]
        }),
    )?;
    let context = answer["context"].as_str().unwrap_or_default();
    Ok(Conversation::new()
        .user(format!("Prompt with elicited context: {context}"))
        .with_description("A prompt built from elicited context"))
}

/// Completes the arguments of `test_prompt_with_arguments` and the template's `id`.
pub(crate) fn complete(request: &Request) -> Result<Suggestions, Error> {
    Ok(match (&request.of, request.argument.as_str()) {
        (Subject::Prompt(name), argument) if name == "test_prompt_with_arguments" => {
            match (argument, request.other("arg1")) {
                ("arg1", _) => request.among(["paris", "park", "party", "test"]),
                ("arg2", Some(first)) => request.among([format!("{first}-second")]),
                ("arg2", None) => request.among(["second"]),
                _ => Suggestions::default(),
            }
        }
        (Subject::Template(template), "id") if template == "test://template/{id}/data" => {
            if request.value == "spin" {
                crate::ours::for_ever();
            }
            request.among((1..=150).map(|id| id.to_string()))
        }
        _ => Suggestions::default(),
    })
}
