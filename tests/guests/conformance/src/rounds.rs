//! Tools that need several rounds (SEP-2322).

use toolhost_plugin::ask::{self, Form, Kind, Roots, Sample};
use toolhost_plugin::serde_json::json;
use toolhost_plugin::{Deserialize, Error, tool};

#[derive(Deserialize)]
#[serde(crate = "toolhost_plugin::serde")]
struct Name {
    name: String,
}

#[derive(Deserialize)]
#[serde(crate = "toolhost_plugin::serde")]
struct Color {
    color: String,
}

#[derive(Deserialize)]
#[serde(crate = "toolhost_plugin::serde")]
struct Confirmation {
    ok: bool,
}

fn name(key: &str, message: &str) -> Form<Name> {
    Form::of(
        key,
        message,
        json!({
            "type": "object",
            "properties": { "name": { "type": "string" } },
            "required": ["name"]
        }),
    )
}

fn greeting() -> Sample {
    Sample::new("greeting")
        .user("Generate a greeting")
        .max_tokens(50)
}

/// Asks for a name, and greets.
#[tool]
pub(crate) fn test_input_required_result_elicitation() -> Result<String, Error> {
    let Name { name } = ask::one(name("user_name", "What is your name?"))?;
    Ok(format!("Hello, {name}!"))
}

/// Asks the client's model something.
#[tool]
pub(crate) fn test_input_required_result_sampling() -> Result<String, Error> {
    let question = Sample::new("capital_question").user("What is the capital of France?");
    let answer = ask::one(question.max_tokens(100))?;
    Ok(format!("Sampling response: {}", answer.text()))
}

/// Asks for the client's folders.
#[tool]
pub(crate) fn test_input_required_result_list_roots() -> Result<String, Error> {
    let roots = ask::one(Roots::new("client_roots"))?;
    let uris: Vec<String> = roots.into_iter().map(|root| root.uri).collect();
    Ok(format!("Client roots: [{}]", uris.join(", ")))
}

/// Asks for a confirmation, and has something to remember meanwhile.
#[tool]
pub(crate) fn test_input_required_result_request_state() -> Result<String, Error> {
    confirmed()
}

/// The same, for those who change what it has to remember.
#[tool]
pub(crate) fn test_input_required_result_tampered_state() -> Result<String, Error> {
    confirmed()
}

fn confirmed() -> Result<String, Error> {
    let mut is_new = false;
    ask::remember("stage", || {
        is_new = true;
        Ok("confirm".to_owned())
    })?;
    let Confirmation { ok } = ask::one(Form::of(
        "confirm",
        "Please confirm",
        json!({
            "type": "object",
            "properties": { "ok": { "type": "boolean" } },
            "required": ["ok"]
        }),
    ))?;
    if is_new {
        return Err(Error::failed("the state was lost"));
    }
    Ok(format!("Confirmed ({ok}): state-ok"))
}

/// Asks the user, the client's model and the client, all at once.
#[tool]
pub(crate) fn test_input_required_result_multiple_inputs() -> Result<String, Error> {
    ask::remember("stage", || Ok("gather".to_owned()))?;
    let (name, greeting, roots) = ask::all((
        name("user_name", "What is your name?"),
        greeting(),
        Roots::new("client_roots"),
    ))?;
    Ok(format!(
        "All inputs received: {}, {}, {} roots",
        name.name,
        greeting.text(),
        roots.len()
    ))
}

/// Asks for a name, and then for a color.
#[tool]
pub(crate) fn test_input_required_result_multi_round() -> Result<String, Error> {
    ask::remember("stage", || Ok("started".to_owned()))?;
    let Name { name } = ask::one(name("step1", "Step 1: What is your name?"))?;
    let Color { color } = ask::one(Form::of(
        "step2",
        "Step 2: What is your favorite color?",
        json!({
            "type": "object",
            "properties": { "color": { "type": "string" } },
            "required": ["color"]
        }),
    ))?;
    Ok(format!("Multi-round flow complete: {name} likes {color}"))
}

/// Asks whatever the client can answer.
#[tool]
pub(crate) fn test_input_required_result_capabilities() -> Result<String, Error> {
    let (name, greeting, roots) = ask::all((
        ask::can(Kind::Form).then(|| name("user_name", "What is your name?")),
        ask::can(Kind::Prompt).then(greeting),
        ask::can(Kind::Roots).then(|| Roots::new("client_roots")),
    ))?;
    let answered: Vec<&str> = [
        name.map(|_| "a form"),
        greeting.map(|_| "sampling"),
        roots.map(|_| "roots"),
    ]
    .into_iter()
    .flatten()
    .collect();
    Ok(format!(
        "Capability-aware flow complete: {}",
        answered.join(", ")
    ))
}
