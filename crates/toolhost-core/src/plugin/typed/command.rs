//! A WASI command as a tool: its arguments, environment and stdin come from the call, its stdout is
//! the result.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, InstancePre};
use wasmtime_wasi::I32Exit;

use crate::limits::Limits;
use crate::plugin::call::{Failure, last_words};
use crate::plugin::declared::Declared;
use crate::sandbox::{CapturedOutput, Program, Sandbox};
use crate::tool::{Content, EmbeddedResource, LogSource, Output, ResourceBody, Tool};

/// Whether it is the interface that commands export.
pub(super) fn is_run(interface: &str) -> bool {
    let version = interface.strip_prefix("wasi:cli/run@");
    version.is_some_and(|version| version.starts_with("0.2.") || version.starts_with("0.3."))
}

/// The URI of output that is not text.
const STDOUT: &str = "stdout:";

/// The function that runs the program.
pub(super) struct Command {
    /// The program's name, its first argument.
    pub(super) name: String,
    pub(super) run: ComponentExportIndex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    stdin: String,
    #[serde(default)]
    env: BTreeMap<String, String>,
}

/// The tool of a command.
pub(super) fn declared(own_name: String, path: String) -> Declared {
    let description =
        format!("Runs the program `{own_name}` and returns what it writes to its standard output.");
    let input = json!({
        "type": "object",
        "properties": {
            "args": {
                "type": "array",
                "items": { "type": "string" },
                "description": "The arguments of the command line, without the program's name",
            },
            "stdin": { "type": "string", "description": "The text of its standard input" },
            "env": {
                "type": "object",
                "additionalProperties": { "type": "string" },
                "description": "Environment variables",
            },
        },
        "additionalProperties": false,
    });
    Declared {
        path: Some(path),
        is_described: false,
        refused: None,
        tool: Tool::new(own_name, description),
        input: input.to_string(),
        output: None,
    }
}

impl Command {
    pub(super) async fn call(
        &self,
        pre: &InstancePre<Sandbox>,
        store: &mut Store<Sandbox>,
        arguments: &str,
        limits: &Limits,
    ) -> wasmtime::Result<Result<Output, Failure>> {
        let program = match program(&self.name, arguments, store.data(), limits) {
            Ok(program) => program,
            Err(failure) => return Ok(Err(failure)),
        };
        let stdout = program.stdout.clone();
        let sandbox = store.data_mut();
        sandbox.set_program(program).map_err(wasmtime::Error::msg)?;
        let instance = pre.instantiate_async(&mut *store).await?;
        let run = instance.get_typed_func::<(), (Result<(), ()>,)>(&mut *store, &self.run)?;
        let status = match run.call_async(&mut *store, ()).await {
            Ok((Ok(()),)) => 0,
            Ok((Err(()),)) => 1,
            Err(error) => match error.downcast_ref::<I32Exit>() {
                Some(I32Exit(status)) => *status,
                None => return Err(error),
            },
        };
        let stdout = stdout.take();
        if status == 0 {
            return Ok(Ok(output(stdout)));
        }
        let journal = &store.data().journal;
        let mut message = match status {
            // WASI passes on no more than that there was one.
            1 => "exited with an error status".to_owned(),
            status => format!("exited with status {status}"),
        };
        let stdout = String::from_utf8_lossy(&stdout);
        let log = journal.lines();
        let stderr = log.iter().filter(|line| line.source == LogSource::Stderr);
        let stderr = last_words(stderr.map(|line| &*line.text), journal.mask());
        match stderr {
            Some(words) => message += &format!("; its stderr ends with:\n{words}"),
            // Some programs write their errors there.
            None => {
                if let Some(words) = last_words(stdout.lines(), journal.mask()) {
                    message += &format!("; its stdout ends with:\n{words}");
                }
            }
        }
        Ok(Err(Failure::Failed(message)))
    }
}

/// What the call asks the program to do.
fn program(
    name: &str,
    arguments: &str,
    sandbox: &Sandbox,
    limits: &Limits,
) -> Result<Program, Failure> {
    let invalid = |pointer: String, message: String| Failure::Arguments { pointer, message };
    let read = serde_json::from_str(arguments);
    let Arguments { args, stdin, env } =
        read.map_err(|error| invalid(String::new(), error.to_string()))?;
    // A C string ends there.
    let has_nul = |text: &str| text.contains('\0');
    if let Some(at) = args.iter().position(|arg| has_nul(arg)) {
        let message = "contains a NUL character".to_owned();
        return Err(invalid(format!("/args/{at}"), message));
    }
    for (name, value) in &env {
        let wrong = |message: String| Err(invalid("/env".to_owned(), message));
        if name.is_empty() || name.contains('=') || has_nul(name) || has_nul(value) {
            return wrong(format!(
                "has a variable {name:?} that no environment can hold"
            ));
        }
        if sandbox.has_variable(name) {
            return wrong(format!("sets `{name}`, which the host has set"));
        }
    }
    Ok(Program {
        args: std::iter::once(name.to_owned()).chain(args).collect(),
        env,
        stdin: stdin.into(),
        stdout: CapturedOutput::new(limits.max_output),
    })
}

/// Text, or bytes that are no text.
fn output(stdout: Vec<u8>) -> Output {
    match String::from_utf8(stdout) {
        Ok(text) => Output::text(text),
        Err(error) => {
            let body = ResourceBody::Blob(error.into_bytes());
            let resource = EmbeddedResource::new(STDOUT, body);
            let resource = resource.with_mime_type("application/octet-stream".to_owned());
            Output::new(vec![Content::Embedded(resource)])
        }
    }
}
