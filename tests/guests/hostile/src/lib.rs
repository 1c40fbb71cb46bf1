//! One plugin with a tool for every attack on its host. What a tool tries is in its description.
//!
//! A tool says plainly what it got: a text that starts with `ESCAPED: ` means that the attack
//! succeeded, and a failure that starts with `refused: ` that the host said no. Those that make
//! many attempts answer a line for each, `NAME: DONE` or `NAME: refused CODE`. Tools that never
//! end, and tools that the host has to end, do not answer at all.

mod ends;
mod environment;
mod files;
mod http;
mod memory;
mod output;
mod secrets;
mod sockets;
mod time;

use exported::{Call, Error, Guest, Output, Tool};
#[cfg(feature = "wasi3")]
use exports::toolhost::concurrent::tools as exported;
#[cfg(not(feature = "wasi3"))]
use exports::toolhost::plugin::tools as exported;
use serde_json::{Value, json};
use std::fmt::Display;
use std::hint::black_box;
use toolhost::plugin::types::{Annotations, Content};
use wasip2::io::streams::{OutputStream, StreamError};

// This guest is built twice: as `hostile`, and as `hostile3`, a plugin of the concurrent engine whose
// `wasip2` is WASI 0.3.
#[cfg(not(feature = "wasi3"))]
wit_bindgen::generate!({ path: "../../../wit/0.1.0", world: "plugin" });
#[cfg(feature = "wasi3")]
wit_bindgen::generate!({
    path: ["../../../wit/0.1.0", "../../../wit/concurrent-0.1.0"],
    world: "toolhost:concurrent/plugin",
    generate_all,
});

struct Hostile;
export!(Hostile);

impl Guest for Hostile {
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
                    read_only: None,
                    destructive: None,
                    idempotent: None,
                    open_world: None,
                },
            })
            .collect()
    }

    #[cfg(feature = "wasi3")]
    async fn call_tool(call: Call) -> Answer {
        run(call)
    }

    #[cfg(not(feature = "wasi3"))]
    fn call_tool(call: Call) -> Answer {
        run(call)
    }
}

fn run(call: Call) -> Answer {
    let Some(tool) = tools().find(|tool| tool.name == call.name) else {
        return Err(Error::Failed(format!("no tool {}", call.name)));
    };
    let arguments = serde_json::from_str(&call.arguments)
        .map_err(|error| Error::InvalidArguments(error.to_string()))?;
    (tool.run)(&Given { arguments })
}

type Answer = Result<Output, Error>;

fn tools() -> impl Iterator<Item = &'static Behaviour> {
    [
        HEALTHY,
        time::TOOLS,
        memory::TOOLS,
        output::TOOLS,
        ends::TOOLS,
        environment::TOOLS,
        http::TOOLS,
        sockets::TOOLS,
        files::TOOLS,
        files::links::TOOLS,
        files::protected::TOOLS,
        files::script::TOOLS,
        files::temporary::TOOLS,
        files::write::TOOLS,
        secrets::TOOLS,
    ]
    .into_iter()
    .flatten()
}

const HEALTHY: &[Behaviour] = &[Behaviour {
    name: "healthy",
    description: "Answers the square of the number, by adding it up.",
    takes: &[("number", "integer")],
    run: |given| {
        let number = given.number::<i32>("number")?.unsigned_abs();
        let square = (0..number).fold(0u64, |sum, _| black_box(sum + u64::from(number)));
        text(square.to_string())
    },
}];

/// One tool.
struct Behaviour {
    name: &'static str,
    description: &'static str,
    /// Its arguments, all required: name and type.
    takes: &'static [(&'static str, &'static str)],
    run: fn(&Given) -> Answer,
}

impl Behaviour {
    fn schema(&self) -> Value {
        let property = |(name, kind): &(&str, &str)| (name.to_string(), json!({ "type": kind }));
        json!({
            "type": "object",
            "properties": self.takes.iter().map(property).collect::<serde_json::Map<_, _>>(),
            "required": self.takes.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        })
    }
}

/// The arguments of a call, parsed.
struct Given {
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

fn failed(error: impl Display) -> Error {
    Error::Failed(error.to_string())
}

/// The host said no.
fn refused(error: impl Display) -> Error {
    failed(format_args!("refused: {error}"))
}

/// The answer of a tool that has one text to give.
fn text(text: impl Into<String>) -> Answer {
    Ok(Output {
        content: vec![Content::Text(text.into())],
        structured: None,
    })
}

/// The answer of an attack that succeeded.
fn escaped(what: impl Display) -> Answer {
    text(format!("ESCAPED: {what}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes all bytes, as many at once as WASI lets one call write.
fn write_all(stream: &OutputStream, bytes: &[u8]) -> Result<(), StreamError> {
    bytes
        .chunks(4096)
        .try_for_each(|chunk| stream.blocking_write_and_flush(chunk))
}
