//! What the command says of servers.

use serde_json::Value;

use super::Stage;
use toolhost_testing::needs;

#[test]
fn list_check_and_dry_run_mark_what_is_not_sandboxed() {
    needs!(python);
    let stage = Stage::new(&[], "tools = ['echo']");
    stage.manifest();
    let listed = stage.folder.run(&["list", "--start-servers"], "");
    assert_eq!(
        listed.stdout, "echo\ttest\tDoes echo.\tnot sandboxed\n",
        "{listed:?}"
    );
    let listed = stage
        .folder
        .run(&["list", "--start-servers", "--format", "json"], "");
    let tools: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(tools[0]["sandboxed"], false, "{tools}");
    let checked = stage.folder.run(&["check", "--start-servers"], "");
    assert!(checked.stdout.contains("test (python3 "), "{checked:?}");
    assert!(checked.stdout.contains("not sandboxed"), "{checked:?}");
    assert!(
        checked
            .stdout
            .ends_with("is OK: 0 plugins, 1 MCP server, 1 tool\n"),
        "{checked:?}"
    );
    let call = r#"[{"id": "1", "name": "echo", "arguments": {"text": "a"}}]"#;
    let planned = stage
        .folder
        .run(&["run", "--dry-run", "--start-servers"], call);
    let planned: Value = serde_json::from_str(&planned.stdout).unwrap();
    assert_eq!(planned[0]["server"], "test", "{planned}");
    assert_eq!(planned[0]["sandboxed"], false, "{planned}");
    let ran = stage.folder.run(&["call", "echo", r#"{"text": "a"}"#], "");
    assert_eq!(ran.stdout.trim(), "a", "{ran:?}");
    assert!(!stage.events().is_empty());
    let events = stage.events();
    let starts = events
        .iter()
        .filter_map(|event| event.strip_prefix("start "));
    super::wait_until_gone(&starts.map(str::to_owned).collect::<Vec<_>>());
}
