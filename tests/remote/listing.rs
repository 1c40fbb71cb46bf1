//! Which tools are offered, and under which names.

use serde_json::json;
use toolhost::{Provider, ToolCall};

use super::Stage;
use crate::common::{call, text};
use toolhost_testing::needs;

#[tokio::test]
async fn what_a_server_says_of_its_tools_is_taken_over() {
    needs!(python);
    let host = Stage::new(&[], "").load().await;
    let echo = host.tools().find(|tool| tool.name == "echo").unwrap();
    assert_eq!(echo.title.as_deref(), Some("Echo"));
    assert_eq!(echo.description, "Does echo.");
    assert_eq!(echo.plugin, "test");
    assert!(!echo.sandboxed);
    assert_eq!(echo.annotations.read_only, Some(true));
    assert_eq!(echo.icons[0].sizes, ["48x48"]);
    assert_eq!(echo.input_schema["required"], json!(["text"]));
    assert_eq!(host.plugins().count(), 0);
    assert_eq!(host.servers().next().unwrap().name, "test");
    let plan = ToolCall::new("id", "echo", r#"{"text": ""}"#);
    let plan = host.plan(&plan).unwrap();
    assert!(matches!(plan.by, Provider::Server(server) if server.name == "test"));
}

#[tokio::test]
async fn prefix_and_tools_choose_and_name() {
    needs!(python);
    let host = Stage::new(&[], "prefix = 't_'\ntools = ['echo', 'fail']")
        .load()
        .await;
    let names: Vec<&str> = host.tools().map(|tool| &*tool.name).collect();
    assert_eq!(names, ["t_echo", "t_fail"]);
    assert_eq!(
        text(&host.call(call("t_echo", json!({ "text": "a" }))).await),
        "a"
    );
    let problem = Stage::new(&[], "tools = ['ecoh']").problem().await;
    assert!(
        problem.contains("`mcp.test` offers no tool named `ecoh`"),
        "{problem}"
    );
    assert!(problem.contains("did you mean `echo`?"), "{problem}");
}

#[tokio::test]
async fn two_tools_of_one_name_are_an_error_that_names_both() {
    needs!(python);
    let mut stage = Stage::new(&[], "");
    stage.add("other", &[], "tools = ['echo']");
    let problem = stage.problem().await;
    assert!(
        problem.contains(
            "the MCP server `other` and the MCP server `test` both offer a tool named `echo`"
        ),
        "{problem}"
    );
}

#[tokio::test]
async fn all_pages_are_read_and_no_more_than_that() {
    needs!(python);
    let all = Stage::new(&[], "").load().await.tools().count();
    let host = Stage::new(&["pages"], "").load().await;
    assert_eq!(host.tools().count(), all);
    let problem = Stage::new(&["endless-pages"], "").problem().await;
    assert!(
        problem.contains("`mcp.test` lists its tools in more than 100 pages"),
        "{problem}"
    );
    let problem = Stage::new(&["many-tools"], "").problem().await;
    assert!(problem.contains("more than 1000"), "{problem}");
    let problem = Stage::new(&["no-tools"], "").problem().await;
    assert!(
        problem.contains("`mcp.test` offers no usable tools"),
        "{problem}"
    );
}

#[tokio::test]
async fn unusable_tools_are_left_out_unless_listed() {
    needs!(python);
    let all = Stage::new(&[], "").load().await.tools().count();
    let host = Stage::new(&["refused-tools"], "").load().await;
    // `a.name` is offered, under another name.
    assert_eq!(host.tools().count(), all + 1);
    let left_out: Vec<_> = host.left_out().map(|(_, it)| it.tool).collect();
    assert_eq!(left_out, ["remote_ref", "huge", "echo"]);
    for (tool, why) in [
        ("remote_ref", "cannot be checked"),
        ("huge", "cannot be checked"),
    ] {
        let problem = Stage::new(&["refused-tools"], &format!("tools = ['{tool}']"))
            .problem()
            .await;
        let expected = format!("`mcp.test`: tool \"{tool}\" {why}");
        assert!(problem.contains(&expected), "{problem}");
    }
}
