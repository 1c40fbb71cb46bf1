//! `toolhost list`.

use serde_json::json;

use crate::common::binary::Folder;

#[test]
fn list_prints_a_line_per_tool_into_a_pipe() {
    let folder = Folder::of(&["bfcl", "echo"]);
    let ended = folder.run(&["list"], "").answered();
    let rows: Vec<Vec<&str>> = ended
        .stdout
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(rows.len(), 29);
    assert!(rows.iter().all(|row| row.len() == 3), "{rows:?}");
    assert_eq!(
        rows[28],
        ["echo", "echo", "Answers the text that it is given."]
    );
    assert_eq!(rows.iter().filter(|row| row[1] == "bfcl").count(), 28);
}

#[test]
fn list_declares_tools_as_a_models_api_takes_them() {
    let folder = Folder::of(&["echo"]);
    let expected = json!([{
        "type": "function",
        "function": {
            "name": "echo",
            "description": "Answers the text that it is given.",
            "parameters": {
                "type": "object",
                "properties": { "text": { "type": "string" } },
                "required": ["text"],
            },
            "strict": false,
        },
    }]);
    for format in ["openai", "openai-chat"] {
        let ended = folder.run(&["list", "--format", format], "").answered();
        assert_eq!(ended.json(), expected);
    }
}

#[test]
fn list_as_json_has_everything_that_is_known_of_a_tool() {
    let folder = Folder::of(&["echo"]);
    let ended = folder.run(&["list", "--format", "json"], "").answered();
    assert_eq!(
        ended.json(),
        json!([{
            "name": "echo",
            "description": "Answers the text that it is given.",
            "input_schema": {
                "type": "object",
                "properties": { "text": { "type": "string" } },
                "required": ["text"],
            },
            "annotations": { "read_only": true, "idempotent": true, "open_world": false },
            "plugin": "echo",
            "sandboxed": true,
        }])
    );
}
