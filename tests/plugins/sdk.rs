//! `plugins/sdk`: what it makes of documented functions and structs, as hosts list it.

use serde_json::{Value, json};
use toolhost::tool::{Annotations, Tool};

use super::structured;
use crate::common::{self, call, error};

const PLUGINS: [&str; 5] = ["calculator", "fetch", "filesystem", "json", "time"];

async fn tool(plugin: &str, name: &str) -> Tool {
    let host = common::host(&[plugin]).await;
    let found = host.tools().find(|tool| tool.name == name);
    found.expect("it is listed").clone()
}

#[tokio::test]
async fn a_tool_is_listed_as_its_function_says() {
    let add = tool("time", "time_add").await;
    assert_eq!(add.plugin, "time");
    assert_eq!(add.title.as_deref(), Some("Add to a date"));
    // The comment's lines are one paragraph.
    assert!(
        add.description
            .starts_with("Adds a time span to a date, or subtracts one. ")
    );
    assert!(!add.description.contains('\n'), "{}", add.description);
    assert_eq!(
        add.annotations,
        Annotations::default()
            .with_read_only(true)
            .with_idempotent(true)
            .with_open_world(false)
    );
    let write = tool("filesystem", "fs_write").await.annotations;
    assert_eq!((write.read_only, write.destructive), (None, Some(true)));
    let fetch = tool("fetch", "fetch").await.annotations;
    assert_eq!((fetch.read_only, fetch.open_world), (None, Some(true)));
}

#[tokio::test]
async fn the_schema_of_the_arguments_is_their_struct() {
    let add = tool("time", "time_add").await.input_schema;
    assert_eq!(add["type"], "object");
    assert_eq!(add["additionalProperties"], json!(false));
    assert_eq!(add["required"], json!(["datetime", "span"]));
    assert_eq!(add["properties"]["span"]["type"], "string");
    assert_eq!(add["properties"]["zone"]["type"], json!(["string", "null"]));
    let zone = &add["properties"]["zone"]["description"];
    assert!(zone.as_str().unwrap().starts_with("Zone of `datetime`"));

    let calculate = tool("calculator", "calculate").await.input_schema;
    assert_eq!(calculate["properties"]["decimal_places"]["maximum"], 200);
    let between = tool("time", "time_between").await.input_schema;
    let units = &between["properties"]["largest_unit"]["enum"];
    assert!(
        units.as_array().unwrap().contains(&json!("week")),
        "{units}"
    );
}

#[tokio::test]
async fn every_tool_says_what_it_is_and_every_argument_too() {
    let host = common::host(&PLUGINS).await;
    assert_eq!(host.tools().count(), 13);
    for tool in host.tools() {
        let name = &tool.name;
        assert!(
            tool.title.is_some() && tool.description.len() > 40,
            "{name}"
        );
        assert!(tool.annotations.open_world.is_some(), "{name}");
        let schema = &tool.input_schema;
        assert_eq!(schema["additionalProperties"], json!(false), "{name}");
        for (argument, schema) in schema["properties"].as_object().unwrap() {
            assert!(schema["description"].is_string(), "{name}: {argument}");
        }
        let text = tool.input_schema.to_string();
        assert!(
            !text.contains("$ref") && !text.contains("$defs"),
            "{name}: {text}"
        );
    }
}

#[tokio::test]
async fn structured_output_is_what_its_schema_announces() {
    let host = common::host(&["time"]).await;
    for (name, arguments) in [
        ("time_now", json!({})),
        (
            "time_convert",
            json!({"datetime": "2026-03-29T02:30", "from": "Europe/Berlin", "to": ["UTC"]}),
        ),
        ("time_add", json!({"datetime": "now", "span": "1 day"})),
        ("time_between", json!({"start": "now", "end": "2026-01-01"})),
    ] {
        let tool = host.tools().find(|tool| tool.name == name).unwrap();
        let schema = tool.output_schema.as_ref().expect("an output schema");
        let answer = structured(&host.call(call(name, arguments)).await);
        if let Err(error) = jsonschema::validate(schema, &answer) {
            panic!("{name}: {error} in {answer}");
        }
    }
    let calculate = tool("calculator", "calculate").await;
    assert_eq!(calculate.output_schema, None, "text has none");
}

#[tokio::test]
async fn arguments_that_are_no_part_of_the_struct_are_refused() {
    let host = common::host(&PLUGINS).await;
    for tool in host.tools() {
        let arguments = json!({"no_such_argument": 1});
        let result = host.call(call(&tool.name, arguments)).await;
        assert_eq!(error(&result).code(), "invalid-arguments", "{}", tool.name);
    }
    let null: Value = json!({"zone": null});
    assert!(host.call(call("time_now", null)).await.outcome.is_ok());
}
