//! Asks on the terminal what a tool wants to know.

use futures_util::future::BoxFuture;
use serde_json::{Map, Number, Value};
use toolhost::input::{Question, QuestionKind, QuestionKinds, Reply};
use toolhost::{CallError, Responder};

use super::terminal::{Dialog, Terminal};

/// Somebody at the terminal.
pub(super) struct Asker(pub(super) Terminal);

impl Responder for Asker {
    fn kinds(&self) -> QuestionKinds {
        [QuestionKind::Form, QuestionKind::Page, QuestionKind::Roots]
            .into_iter()
            .collect()
    }

    fn reply<'a>(
        &'a self,
        tool: &'a str,
        question: &'a Question,
    ) -> BoxFuture<'a, Result<Reply, CallError>> {
        Box::pin(async move {
            let mut dialog = self.0.dialog().await;
            match question {
                Question::Form { message, schema } => {
                    asks(&mut dialog, tool, message);
                    let reply = form(&mut dialog, schema).await;
                    reply.map_err(CallError::failed)
                }
                Question::Page { message, url, .. } => {
                    asks(&mut dialog, tool, message);
                    dialog.say(format_args!("It asks you to visit {url}"));
                    Ok(visited(&mut dialog).await)
                }
                // Whoever sits here works on no folders that a tool should know of.
                Question::Roots => Ok(Reply::Roots(Vec::new())),
                _ => Err(CallError::failed("sampling is not available at a terminal")),
            }
        })
    }
}

/// A tool's text: no line of it begins where one of ours does.
fn asks(dialog: &mut Dialog, tool: &str, message: &str) {
    // Before anything of it is shown, and not between the fields of a form: somebody may paste all answers.
    dialog.discard_typed();
    let mut lines = message.lines();
    let first = lines.next().unwrap_or_default();
    dialog.say(format_args!("{tool} asks: {first}"));
    lines.for_each(|line| dialog.say(format_args!("  {line}")));
}

async fn visited(dialog: &mut Dialog) -> Reply {
    loop {
        dialog.prompt("Have you visited it? [y]es, [n]o: ");
        let Some(line) = dialog.line().await else {
            return Reply::Dismissed;
        };
        match line.trim().to_lowercase().as_str() {
            "y" | "yes" => return Reply::Accepted(None),
            "n" | "no" => return Reply::Declined,
            _ => {}
        }
    }
}

const HELP: &str = "  (empty line: use the default or skip the field; `!`: decline to answer)";

async fn form(dialog: &mut Dialog, schema: &str) -> Result<Reply, String> {
    let schema: Value = serde_json::from_str(schema).map_err(|error| error.to_string())?;
    let empty = Map::new();
    let fields = schema["properties"].as_object().unwrap_or(&empty);
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    dialog.say(HELP);
    let mut answer = Map::new();
    for (name, field) in fields {
        let is_required = required.contains(&name.as_str());
        loop {
            dialog.prompt(prompt(name, field, is_required));
            let Some(line) = dialog.line().await else {
                return Ok(Reply::Dismissed);
            };
            let line = line.trim();
            if line == "!" {
                return Ok(Reply::Declined);
            }
            if line.is_empty() {
                match field.get("default") {
                    Some(default) => {
                        answer.insert(name.clone(), default.clone());
                    }
                    None if is_required => continue,
                    None => {}
                }
                break;
            }
            match read(line, field) {
                Ok(value) => {
                    answer.insert(name.clone(), value);
                    break;
                }
                Err(expected) => dialog.say(format_args!("  must be {expected}")),
            }
        }
    }
    Ok(Reply::Accepted(Some(Value::Object(answer).to_string())))
}

/// `Name (what it is) [a | b] [default: a]: `
fn prompt(name: &str, field: &Value, is_required: bool) -> String {
    let text = |key: &str| field.get(key).and_then(Value::as_str);
    let mut prompt = format!("  {}", text("title").unwrap_or(name));
    if let Some(description) = text("description") {
        prompt += &format!(" ({description})");
    }
    let choices: Vec<String> = choices(field)
        .iter()
        .map(|(value, title)| match title {
            Some(title) if title != value => format!("{value} = {title}"),
            _ => value.clone(),
        })
        .collect();
    if !choices.is_empty() {
        prompt += &format!(" [{}]", choices.join(" | "));
    } else if field["type"] == "boolean" {
        prompt += " [yes | no]";
    }
    match field.get("default") {
        Some(default) => prompt += &format!(" [default: {default}]"),
        None if is_required => {}
        None => prompt += " [optional]",
    }
    prompt + ": "
}

/// What may be chosen, with what people call it: `enum` with `enumNames`, or `oneOf` or `anyOf` of
/// constants, of the field or of its items.
fn choices(field: &Value) -> Vec<(String, Option<String>)> {
    let of = match field.get("items") {
        Some(items) => items,
        None => field,
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(values) = of["enum"].as_array() {
        let names = of["enumNames"].as_array();
        let named = values.iter().enumerate().filter_map(|(at, value)| {
            let name = names.and_then(|names| text(names.get(at)?));
            Some((text(value)?, name))
        });
        return named.collect();
    }
    let constants = of["oneOf"].as_array().or_else(|| of["anyOf"].as_array());
    constants
        .into_iter()
        .flatten()
        .filter_map(|choice| Some((text(&choice["const"])?, text(&choice["title"]))))
        .collect()
}

/// # Errors
///
/// What is expected instead.
fn read(line: &str, field: &Value) -> Result<Value, String> {
    let choices = choices(field);
    let chosen = |text: &str| {
        let mut found = choices.iter();
        let found = found.find(|(value, title)| value == text || title.as_deref() == Some(text));
        match (choices.is_empty(), found) {
            (true, _) => Ok(Value::from(text)),
            (false, Some((value, _))) => Ok(Value::from(value.as_str())),
            (false, None) => Err("one of the choices".to_owned()),
        }
    };
    let number = |value: Option<Number>, expected: &str| {
        let value = value.filter(|value| in_range(value, field));
        value.map(Value::Number).ok_or_else(|| match range(field) {
            Some(range) => format!("{expected} {range}"),
            None => expected.to_owned(),
        })
    };
    match field["type"].as_str() {
        Some("boolean") => match line.to_lowercase().as_str() {
            "y" | "yes" | "true" => Ok(Value::Bool(true)),
            "n" | "no" | "false" => Ok(Value::Bool(false)),
            _ => Err("yes or no".to_owned()),
        },
        Some("integer") => number(line.parse::<i64>().ok().map(Number::from), "an integer"),
        Some("number") => number(
            line.parse::<f64>().ok().and_then(Number::from_f64),
            "a number",
        ),
        Some("array") => {
            let items = line
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            Ok(Value::Array(items.map(chosen).collect::<Result<_, _>>()?))
        }
        _ => chosen(line),
    }
}

fn in_range(value: &Number, field: &Value) -> bool {
    let value = value.as_f64().unwrap_or_default();
    let bound = |key: &str| field[key].as_f64();
    bound("minimum").is_none_or(|least| value >= least)
        && bound("maximum").is_none_or(|most| value <= most)
}

fn range(field: &Value) -> Option<String> {
    match (field.get("minimum"), field.get("maximum")) {
        (Some(least), Some(most)) => Some(format!("from {least} to {most}")),
        (Some(least), None) => Some(format!("of at least {least}")),
        (None, Some(most)) => Some(format!("of at most {most}")),
        (None, None) => None,
    }
}
