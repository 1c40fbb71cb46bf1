//! Tools that ask one thing.

use toolhost_plugin::ask::{self, Answer, Form, Kind, Sample};
use toolhost_plugin::serde_json::{Value, json};
use toolhost_plugin::{Error, arguments, tool};

#[arguments]
pub(crate) struct Sampling {
    /// The prompt to send
    prompt: String,
}

/// Has the client's model answer.
#[tool]
pub(crate) fn test_sampling(args: Sampling) -> Result<String, Error> {
    let answer = ask::one(Sample::new("sampling").user(args.prompt).max_tokens(100))?;
    Ok(format!("LLM response: {}", answer.text()))
}

#[arguments]
pub(crate) struct Elicitation {
    /// The message to show
    message: String,
}

/// Has the user fill in a form.
#[tool]
pub(crate) fn test_elicitation(args: Elicitation) -> Result<String, Error> {
    let schema = json!({
        "type": "object",
        "properties": {
            "username": { "type": "string", "description": "User's response" },
            "email": { "type": "string", "description": "User's email address" }
        },
        "required": ["username", "email"]
    });
    Ok(format!("User response: {}", asked(args.message, schema)?))
}

/// Has the user fill in a form with a default for everything.
#[tool]
pub(crate) fn test_elicitation_sep1034_defaults() -> Result<String, Error> {
    let schema = json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "description": "User's name", "default": "John Doe" },
            "age": { "type": "integer", "description": "User's age", "default": 30 },
            "score": { "type": "number", "description": "User's score", "default": 95.5 },
            "status": {
                "type": "string",
                "description": "User's status",
                "enum": ["active", "inactive", "pending"],
                "default": "active"
            },
            "verified": {
                "type": "boolean",
                "description": "Whether user is verified",
                "default": true
            }
        },
        "required": []
    });
    let message = "Please provide values (all have defaults)".to_owned();
    Ok(format!(
        "Elicitation completed: {}",
        asked(message, schema)?
    ))
}

/// Has the user choose, in every way there is.
#[tool]
pub(crate) fn test_elicitation_sep1330_enums() -> Result<String, Error> {
    let schema = json!({
        "type": "object",
        "properties": {
            "untitledSingle": { "type": "string", "enum": ["option1", "option2", "option3"] },
            "titledSingle": {
                "type": "string",
                "oneOf": [
                    { "const": "value1", "title": "First Option" },
                    { "const": "value2", "title": "Second Option" },
                    { "const": "value3", "title": "Third Option" }
                ]
            },
            "legacyEnum": {
                "type": "string",
                "enum": ["opt1", "opt2", "opt3"],
                "enumNames": ["Option One", "Option Two", "Option Three"]
            },
            "untitledMulti": {
                "type": "array",
                "items": { "type": "string", "enum": ["option1", "option2", "option3"] }
            },
            "titledMulti": {
                "type": "array",
                "items": {
                    "anyOf": [
                        { "const": "value1", "title": "First Choice" },
                        { "const": "value2", "title": "Second Choice" },
                        { "const": "value3", "title": "Third Choice" }
                    ]
                }
            }
        },
        "required": []
    });
    let message = "Test enum schema improvements".to_owned();
    Ok(format!(
        "Elicitation completed: {}",
        asked(message, schema)?
    ))
}

fn asked(message: String, schema: Value) -> Result<String, Error> {
    let form = Form::<Value>::of("elicitation", message, schema);
    Ok(match ask::one(ask::maybe(form))? {
        Answer::Accepted(content) => format!("action=accept, content={content}"),
        Answer::Declined => "action=decline, content={}".to_owned(),
        Answer::Dismissed => "action=cancel, content={}".to_owned(),
    })
}

/// Needs a client with a model.
#[tool]
pub(crate) fn test_missing_capability() -> Result<&'static str, Error> {
    if !ask::can(Kind::Prompt) {
        ask::sample("capability", "Are you there?")?;
    }
    Ok("Required capability declared")
}

/// Has the user fill in a form, while the response is a stream.
#[tool]
pub(crate) fn test_streaming_elicitation() -> Result<String, Error> {
    let value: Value = ask::form_of(
        "streaming_elicitation",
        "Provide a value",
        json!({
            "type": "object",
            "properties": { "value": { "type": "string" } },
            "required": ["value"]
        }),
    )?;
    Ok(format!("Got: {}", value["value"]))
}
