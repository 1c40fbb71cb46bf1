//! Runs a program of the model, in JavaScript or TypeScript, that calls the host's other tools.

mod engine;
mod erase;
mod source;

use engine::Ran;
use program::ANSWER;
use toolhost_plugin::{Error, Output, arguments, plugin, tool};

plugin!(run_script);

#[arguments]
#[serde(deny_unknown_fields)]
struct Script {
    /// The program. Top-level `await` and `return` are allowed; without a `return`, its last expression is its value.
    code: String,
}

/// Runs a JavaScript or TypeScript program that calls other tools as async functions, `await tools.NAME(args)`, and
/// returns its value. Use one program where several calls would be needed: run independent calls together with
/// `Promise.all`, loop over results, filter them, and return only what is needed. A tool returns its structured output, or
/// else its text. A call that fails throws an error with the properties `code`, `message` and `tool`.
///
/// The value is JSON: what the program returns, or its last expression. `console.log` is shown as well. There are timers,
/// but no files, network, modules or Node.js: everything else is done by tools. `await tools.search("words")` finds tools,
/// `await tools.describe("NAME")` says how one is called.
///
/// ${tools}
#[tool(title = "Run a script", open_world, output_schema = ANSWER)]
fn run_script(args: Script) -> Result<Output, Error> {
    let program = source::prepare(&args.code).map_err(|error| Error::failed(error.to_string()))?;
    let Ran { value, console } = engine::run(&program)?;
    program::answer(value, console)
}
