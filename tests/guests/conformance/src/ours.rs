//! Tools of no suite but ours.

use std::fs::OpenOptions;
use std::hint::black_box;
use std::io::Write;
use toolhost_plugin::ask::{self, Answer, Form, Page};
use toolhost_plugin::serde_json::json;
use toolhost_plugin::{Error, Output, arguments, log, progress, tool};

/// Computes for ever.
#[tool]
pub(crate) fn spin() {
    for_ever();
}

pub(crate) fn for_ever() {
    let mut turns = 0_u64;
    while black_box(turns) < u64::MAX {
        turns += 1;
    }
}

#[arguments]
struct Name {
    /// What people call you.
    name: String,
}

#[arguments]
struct Age {
    age: u8,
}

/// Asks for a name (`name`) and then, in another round, for an age (`age`).
#[tool]
pub(crate) fn ask_twice() -> Result<String, Error> {
    let Name { name } = ask::form("name", "What is your name?")?;
    let Age { age } = ask::form("age", format!("How old are you, {name}?"))?;
    Ok(format!("{name} is {age}"))
}

#[arguments]
struct Order {
    /// Who it is for.
    #[schemars(length(min = 1))]
    name: String,
    #[serde(default = "one")]
    count: u8,
    size: Size,
    extras: Option<Vec<Extra>>,
    #[serde(default)]
    hurry: bool,
}

fn one() -> u8 {
    1
}

#[arguments]
#[derive(Debug)]
#[serde(rename_all = "lowercase")]
enum Size {
    /// A small one
    Small,
    /// A large one
    Large,
}

#[arguments]
#[derive(Debug)]
#[serde(rename_all = "lowercase")]
enum Extra {
    Milk,
    Sugar,
}

/// Asks for a struct with fields of every kind (`order`); a no is an answer.
#[tool]
pub(crate) fn ask_typed() -> Result<String, Error> {
    let form = Form::<Order>::new("order", "What would you like?");
    Ok(match ask::one(ask::maybe(form))? {
        Answer::Accepted(order) => format!(
            "{} x {:?} for {}, extras {:?}, hurry {}",
            order.count, order.size, order.name, order.extras, order.hurry
        ),
        Answer::Declined => "declined".to_owned(),
        Answer::Dismissed => "dismissed".to_owned(),
    })
}

#[arguments]
pub(crate) struct Visit {
    /// If not given: `https://example.com/login`.
    url: Option<String>,
}

/// Has the user visit a page (`login`); a no is an answer.
#[tool]
pub(crate) fn ask_page(args: Visit) -> Result<&'static str, Error> {
    let url = args.url.as_deref().unwrap_or("https://example.com/login");
    let page = Page::new("login", "Please log in.", url).id("visit-1");
    Ok(match ask::one(ask::maybe(page))? {
        Answer::Accepted(()) => "visited",
        Answer::Declined => "declined",
        Answer::Dismissed => "dismissed",
    })
}

#[arguments]
pub(crate) struct Count {
    /// How many questions, each in a round of its own; 1 if not given.
    questions: Option<u32>,
    /// A file that gets a line whenever the tool runs.
    file: Option<String>,
}

#[arguments]
struct Number {
    n: i64,
}

/// Asks for numbers (`n1`, `n2`, …), one a round, and adds them up. It logs `run` whenever it runs.
#[tool]
pub(crate) fn ask_and_count(args: Count) -> Result<String, Error> {
    log::info("run");
    if let Some(file) = args.file {
        let mut file = OpenOptions::new().create(true).append(true).open(file)?;
        writeln!(file, "run")?;
    }
    let mut sum = 0;
    for question in 1..=args.questions.unwrap_or(1) {
        let Number { n } = ask::form(format!("n{question}"), format!("Number {question}?"))?;
        sum += n;
    }
    Ok(format!("sum {sum}"))
}

#[arguments]
pub(crate) struct Touch {
    uri: String,
}

/// Says that a resource has changed.
#[tool]
pub(crate) fn touch_resource(args: Touch) {
    toolhost_plugin::resource_updated(&args.uri);
}

/// Says that the list of resources has changed.
#[tool]
pub(crate) fn change_resources() {
    toolhost_plugin::resources_changed();
}

#[arguments]
pub(crate) struct Changes {
    n: u32,
    uri: String,
}

/// Says so often that the list of resources has changed, and that one of them has.
#[tool]
pub(crate) fn many_changes(args: Changes) {
    for _ in 0..args.n {
        toolhost_plugin::resources_changed();
        toolhost_plugin::resource_updated(&args.uri);
    }
}

const NUMBER: &str =
    r#"{"type":"object","properties":{"number":{"type":"integer"}},"required":["number"]}"#;

/// Has a structured output that its output schema forbids.
#[tool(output_schema = NUMBER)]
pub(crate) fn structured_wrong() -> Result<Output, Error> {
    Output::json(&json!({ "number": "seven" }))
}

/// Has an output schema, and no structured output.
#[tool(output_schema = NUMBER)]
pub(crate) fn structured_missing() -> &'static str {
    "seven"
}

#[arguments]
pub(crate) struct Progress {
    n: u32,
}

/// Reports 0 to `n` of `n`, and after every report one of half as much.
#[tool]
pub(crate) fn many_progress(args: Progress) -> String {
    let total = f64::from(args.n);
    for done in 0..=args.n {
        let done = f64::from(done);
        progress(done, Some(total), None);
        progress(done / 2.0, Some(total), Some("backwards"));
    }
    format!("reported {} times", 2 * (u64::from(args.n) + 1))
}
