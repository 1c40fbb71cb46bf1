//! One jq program on one document, by jaq.

use jaq_core::load::{Arena, Error as LoadError, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, data};
use jaq_json::{Val, read, write};
use toolhost_plugin::Error;

/// How much to answer.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) results: usize,
    pub(crate) bytes: usize,
}

/// The results, a line each, and why there are no more of them if there were.
pub(crate) struct Answers {
    pub(crate) lines: Vec<String>,
    pub(crate) cut: Option<String>,
}

/// Runs the program on every JSON text of the document.
pub(crate) fn run(
    document: &str,
    program: &str,
    raw: bool,
    bounds: Bounds,
) -> Result<Answers, Error> {
    let defs = jaq_core::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs());
    let funs = jaq_core::funs()
        .chain(jaq_std::funs())
        .chain(jaq_json::funs());
    let arena = Arena::default();
    let modules = Loader::new(defs)
        .load(
            &arena,
            File {
                code: program,
                path: (),
            },
        )
        .map_err(|errors| load_error(program, errors.into_iter().map(|(_, error)| error)))?;
    let filter = Compiler::default()
        .with_funs(funs)
        .compile(modules)
        .map_err(|errors| {
            let undefined =
                errors
                    .into_iter()
                    .flat_map(|(_, errors)| errors)
                    .map(|(name, kind)| {
                        format!(
                            "{} `{name}` is not defined, at {}",
                            kind.as_str(),
                            position(program, name)
                        )
                    });
            wrong_program(undefined)
        })?;

    let mut answers = Answers {
        lines: Vec::new(),
        cut: None,
    };
    let mut bytes = 0;
    for input in read::parse_many(document.as_bytes()) {
        let input = input.map_err(|error| {
            Error::invalid_arguments(format!("document is a string that is not JSON: {error}"))
        })?;
        let context = Ctx::<data::JustLut<Val>>::new(&filter.lut, Vars::new([]));
        for result in filter.id.run((context, input)) {
            let value = match result {
                Ok(value) => value,
                Err(exception) => match exception.get_err() {
                    Ok(error) => return Err(runtime_error(&error, answers.lines.len())),
                    // `halt`: the program is done.
                    Err(_) => return Ok(answers),
                },
            };
            if answers.lines.len() >= bounds.results {
                answers.cut = Some(format!(
                    "Stopped after {} results (`limit`): there are more.",
                    bounds.results
                ));
                return Ok(answers);
            }
            let line = line(&value, raw)?;
            bytes += line.len() + 1;
            if bytes > bounds.bytes {
                answers.cut = Some(format!(
                    "Stopped after {} results: the next one exceeds {} bytes in total. Select less.",
                    answers.lines.len(),
                    bounds.bytes
                ));
                return Ok(answers);
            }
            answers.lines.push(line);
        }
    }
    Ok(answers)
}

fn line(value: &Val, raw: bool) -> Result<String, Error> {
    if let (true, Val::TStr(text)) = (raw, value) {
        return Ok(String::from_utf8_lossy(text).into_owned());
    }
    let mut line = Vec::new();
    write::write(&mut line, &write::Pp::default(), 0, value)?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn runtime_error(error: &jaq_json::Error, results: usize) -> Error {
    let after = if results == 0 {
        String::new()
    } else {
        format!(" (results before it: {results})")
    };
    Error::failed(format!("jq: {error}{after}"))
}

fn load_error<'s>(program: &'s str, errors: impl Iterator<Item = LoadError<&'s str>>) -> Error {
    let mut messages = Vec::new();
    for error in errors {
        match error {
            LoadError::Io(errors) => {
                messages.extend(
                    errors
                        .into_iter()
                        .map(|(path, error)| format!("cannot load {path:?}: {error}")),
                );
            }
            LoadError::Lex(errors) => messages.extend(
                errors
                    .into_iter()
                    .map(|(expected, found)| expectation(program, expected.as_str(), found)),
            ),
            LoadError::Parse(errors) => messages.extend(
                errors
                    .into_iter()
                    .map(|(expected, found)| expectation(program, expected.as_str(), found)),
            ),
        }
    }
    wrong_program(messages.into_iter())
}

fn expectation(program: &str, expected: &str, found: &str) -> String {
    // jaq's word for "no more of this".
    let expected = if expected == "nothing" {
        "an operator or the end"
    } else {
        expected
    };
    let position = position(program, found);
    let found: String = found.chars().take(20).collect();
    if found.is_empty() {
        format!("expected {expected} at {position}")
    } else {
        format!("expected {expected} at {position}, found {found:?}")
    }
}

/// Where a part of the program stands in it, for people: the column, and the line if there are several.
fn position(program: &str, part: &str) -> String {
    // jaq hands out slices of the program, except for the end of it and for its own prelude.
    let offset = (part.as_ptr() as usize).wrapping_sub(program.as_ptr() as usize);
    let Some(before) = program
        .get(..offset)
        .filter(|before| before.len() < program.len())
    else {
        return "the end".to_owned();
    };
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    if program.contains('\n') {
        format!("line {line}, column {column}")
    } else {
        format!("column {column}")
    }
}

fn wrong_program(messages: impl Iterator<Item = String>) -> Error {
    let messages: Vec<String> = messages.collect();
    Error::invalid_arguments(format!("program: {}", messages.join("; ")))
}
