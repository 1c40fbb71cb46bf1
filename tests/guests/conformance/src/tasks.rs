//! Tools that take their time (SEP-2663). Whether a call becomes a task is the server's to say.

use std::thread::sleep;
use std::time::Duration;
use toolhost_plugin::ask::{self, Form, Roots};
use toolhost_plugin::serde_json::json;
use toolhost_plugin::{Deserialize, Error, arguments, progress, tool};

/// Longer than the server waits before it makes a task of a call.
const WHILE: Duration = Duration::from_secs(1);

#[arguments]
pub(crate) struct Greeted {
    name: String,
}

/// Greets, at once.
#[tool]
pub(crate) fn greet(args: Greeted) -> String {
    format!("Hello, {}!", args.name)
}

#[arguments]
pub(crate) struct Slow {
    /// How many.
    seconds: f64,
    /// What the result is to be known by.
    label: Option<String>,
}

/// Takes so many seconds.
#[tool]
pub(crate) fn slow_compute(args: Slow) -> Result<String, Error> {
    progress(1.0, Some(2.0), Some("computing"));
    let time = Duration::try_from_secs_f64(args.seconds);
    sleep(time.map_err(|error| Error::failed(error.to_string()))?);
    let label = args.label.unwrap_or_default();
    Ok(format!("computed {label} for {} s", args.seconds))
}

/// Fails, after a second.
#[tool]
pub(crate) fn failing_job() -> Result<String, Error> {
    sleep(WHILE);
    Err(Error::failed("the job failed"))
}

/// Asks for what the client cannot be asked, after a second: an error of the protocol.
#[tool]
pub(crate) fn protocol_error_job() -> Result<String, Error> {
    sleep(WHILE);
    let roots = ask::one(Roots::new("roots"))?;
    Ok(format!("{} roots", roots.len()))
}

#[derive(Deserialize)]
#[serde(crate = "toolhost_plugin::serde")]
struct Confirmation {
    confirm: bool,
}

fn confirmation(key: &str, message: &str) -> Form<Confirmation> {
    let schema = json!({
        "type": "object",
        "properties": { "confirm": { "type": "boolean" } },
        "required": ["confirm"]
    });
    Form::of(key, message, schema)
}

#[arguments]
pub(crate) struct Deleted {
    filename: String,
}

/// Asks whether to delete a file, after a second; it deletes none.
#[tool]
pub(crate) fn confirm_delete(args: Deleted) -> Result<String, Error> {
    sleep(WHILE);
    let message = format!("Delete {}?", args.filename);
    let Confirmation { confirm } = ask::one(confirmation("confirm", &message))?;
    Ok(format!("deleted {}: {confirm}", args.filename))
}

/// Asks for two things at once, after a second.
#[tool]
pub(crate) fn multi_input() -> Result<String, Error> {
    sleep(WHILE);
    let (first, second) = ask::all((
        confirmation("first", "One?"),
        confirmation("second", "Two?"),
    ))?;
    Ok(format!("{} and {}", first.confirm, second.confirm))
}

#[derive(Deserialize)]
#[serde(crate = "toolhost_plugin::serde")]
struct Name {
    name: String,
}

/// Asks for a name at once, and greets after a second.
#[tool]
pub(crate) fn test_tool_with_task() -> Result<String, Error> {
    let schema = json!({
        "type": "object",
        "properties": { "name": { "type": "string" } },
        "required": ["name"]
    });
    let Name { name } = ask::one(Form::of("user_name", "What is your name?", schema))?;
    sleep(WHILE);
    Ok(format!("Hello, {name}!"))
}

/// Asks for two confirmations, one after the other, after a second.
#[tool]
pub(crate) fn confirm_twice() -> Result<String, Error> {
    sleep(WHILE);
    let first: Confirmation = ask::one(confirmation("confirm", "Sure?"))?;
    let second: Confirmation = ask::one(confirmation("again", "Really?"))?;
    Ok(format!("{} and {}", first.confirm, second.confirm))
}
