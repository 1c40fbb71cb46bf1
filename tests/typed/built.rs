//! A component that wit-bindgen built in Rust: `tests/guests/typed`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use toolhost::permissions::Permissions;
use toolhost::{CallError, ToolHost};

use crate::common::{call, error, load, manifest, plugin, root};

async fn stock() -> ToolHost {
    let mut plugin = plugin("typed");
    plugin.wit = Some(root().join("tests/guests/typed/wit/stock.wit"));
    let env = BTreeMap::from([("TZ".to_owned(), "UTC".to_owned())]);
    load(manifest([
        plugin.with_permissions(Permissions::default().with_env(env))
    ]))
    .await
}

async fn answer(host: &ToolHost, tool: &str, arguments: Value) -> Result<Value, CallError> {
    let output = host.call(call(tool, arguments)).await.outcome?;
    Ok(serde_json::from_str(output.structured.unwrap().get()).unwrap())
}

fn items() -> Value {
    json!([
        {
            "id": 1, "name": "bolt", "price": 0.1, "labels": ["new", "fragile"], "color": "dark-blue",
            "size": [2, 0.5],
        },
        { "id": "18446744073709551615", "name": "nut", "labels": [], "color": "dark-blue", "size": [2, 0.5] },
    ])
}

#[tokio::test]
async fn functions_take_and_return_what_their_types_say() {
    let host = stock().await;
    let all = answer(&host, "find", json!({ "query": { "tag": "all" } }))
        .await
        .unwrap();
    assert_eq!(all, json!({ "result": items() }));
    let query = json!({ "query": { "tag": "by-id", "val": "18446744073709551615" } });
    let one = answer(&host, "find", query).await.unwrap();
    assert_eq!(one["result"][0], items()[1]);
    let query = json!({ "query": { "tag": "by-price", "val": [0, 1] } });
    let one = answer(&host, "find", query).await.unwrap();
    assert_eq!(one["result"][0], items()[0]);
    let summary = answer(&host, "summarize", json!({ "items": items() }))
        .await
        .unwrap();
    let expected = json!({ "count": 2, "by-color": [["Color::DarkBlue", 2]], "cheapest": 0.1, "first": { "some": "b" } });
    assert_eq!(summary, expected);
    let sum = answer(&host, "checksum", json!({ "bytes": "AQI=" }))
        .await
        .unwrap();
    assert_eq!(sum, json!({ "result": 33 }));
}

#[tokio::test]
async fn errors_panics_and_permissions_are_as_for_plugins() {
    let host = stock().await;
    let query = |name: &str| json!({ "query": { "tag": "by-name", "val": name } });
    let failed = answer(&host, "find", query("none")).await.unwrap_err();
    assert_eq!(failed, CallError::failed(r#"{"tag":"nothing-found"}"#));
    let failed = host
        .call(call("fail", json!({ "message": "on purpose" })))
        .await;
    let CallError::Trap { message } = error(&failed) else {
        panic!("{:?}", error(&failed));
    };
    assert!(message.contains("on purpose"), "{message}");
    let environment = answer(&host, "environment", json!({})).await.unwrap();
    assert_eq!(environment, json!({ "result": [["TZ", "UTC"]] }));
}

#[tokio::test]
async fn the_wit_file_describes_all_of_it() {
    let host = stock().await;
    let description = |tool: &str| host.tool(tool).unwrap().description.clone();
    assert_eq!(description("find"), "Finds items.");
    assert_eq!(description("checksum"), "A checksum of bytes.");
    let output = host.tool("find").unwrap().output_schema.clone().unwrap();
    let id = &output["properties"]["result"]["items"]["properties"]["id"];
    assert_eq!(id["description"], "Its number, never used again.");
    let input = &host.tool("find").unwrap().input_schema["properties"]["query"];
    assert_eq!(input["anyOf"][2]["description"], "The least and the most.");
}
