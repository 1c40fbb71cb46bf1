//! One plugin with a tool for every way to misbehave, and one for every thing that a tool may ask
//! of its host. What a tool does is in its description; each takes the fewest arguments it can.

mod answer;
mod memory;
mod time;
mod wasi;

use exports::toolhost::plugin::tools::{Call, Error, Guest, Output, Tool};
use serde_json::{Value, json};
use toolhost::plugin::types::Annotations;

wit_bindgen::generate!({ path: "../../../wit/0.1.0", world: "plugin" });

struct Misbehave;
export!(Misbehave);

impl Guest for Misbehave {
    fn list_tools() -> Vec<Tool> {
        tools()
            .map(|tool| Tool {
                name: tool.name.into(),
                title: None,
                description: tool.description.into(),
                icons: vec![],
                input_schema: tool.schema().to_string(),
                output_schema: None,
                annotations: Annotations {
                    // So that it may start before an answer is complete, though its plugin is granted something.
                    read_only: (tool.name == "hold").then_some(true),
                    destructive: None,
                    idempotent: None,
                    open_world: None,
                },
            })
            .collect()
    }

    fn call_tool(call: Call) -> Answer {
        let Some(tool) = tools().find(|tool| tool.name == call.name) else {
            return Err(Error::Failed(format!("no tool {}", call.name)));
        };
        let arguments = serde_json::from_str(&call.arguments)
            .map_err(|error| Error::InvalidArguments(error.to_string()))?;
        (tool.run)(&Given { call, arguments })
    }
}

type Answer = Result<Output, Error>;

fn tools() -> impl Iterator<Item = &'static Behaviour> {
    [time::TOOLS, memory::TOOLS, answer::TOOLS, wasi::TOOLS]
        .into_iter()
        .flatten()
}

/// One tool.
struct Behaviour {
    name: &'static str,
    description: &'static str,
    takes: Takes,
    run: fn(&Given) -> Answer,
}

/// What arguments a tool takes.
enum Takes {
    /// These, all required: name and type.
    Required(&'static [(&'static str, &'static str)]),
    /// What this JSON Schema says.
    Schema(&'static str),
}

const NOTHING: Takes = Takes::Required(&[]);

impl Behaviour {
    fn schema(&self) -> Value {
        let members = match self.takes {
            Takes::Required(members) => members,
            Takes::Schema(schema) => {
                return serde_json::from_str(schema).expect("the schema is JSON");
            }
        };
        let property = |(name, kind): &(&str, &str)| (name.to_string(), json!({ "type": kind }));
        json!({
            "type": "object",
            "properties": members.iter().map(property).collect::<serde_json::Map<_, _>>(),
            "required": members.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        })
    }
}

/// A call and its arguments, parsed.
struct Given {
    call: Call,
    arguments: Value,
}

impl Given {
    fn text(&self, name: &str) -> Result<&str, Error> {
        self.arguments[name].as_str().ok_or_else(|| missing(name))
    }

    fn number<T: TryFrom<i64>>(&self, name: &str) -> Result<T, Error> {
        let number = self.arguments[name].as_i64();
        number
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| missing(name))
    }
}

fn missing(name: &str) -> Error {
    Error::InvalidArguments(format!("{name} is missing or unfit"))
}

fn failed(error: impl ToString) -> Error {
    Error::Failed(error.to_string())
}

/// The answer of a tool that has one text to give.
fn text(text: impl Into<String>) -> Answer {
    Ok(Output {
        content: vec![toolhost::plugin::types::Content::Text(text.into())],
        structured: None,
    })
}
