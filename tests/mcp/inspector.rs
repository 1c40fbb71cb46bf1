//! The Inspector's command line, with the configuration that `serve --print-config` prints for it.

use std::process::Command;

use serde_json::Value;

use crate::common::binary::{Ended, Folder, run};
use crate::common::code_cache;
use crate::server::{Http, folder};
use crate::{installed, node};
use toolhost_testing::needs;

/// The Inspector at the one server of a configuration.
struct Inspector<'a> {
    folder: &'a Folder,
    name: String,
}

impl<'a> Inspector<'a> {
    /// Keeps what `--print-config` prints with these arguments.
    #[track_caller]
    fn configured(folder: &'a Folder, arguments: &[&str]) -> Inspector<'a> {
        let printed = folder.run(
            &[&["serve", "--print-config", "inspector"], arguments].concat(),
            "",
        );
        assert_eq!(printed.status, 0, "{printed:?}");
        assert!(printed.stderr.contains("--config FILE"), "{printed:?}");
        let servers = printed.json()["mcpServers"].clone();
        let names: Vec<&String> = servers.as_object().unwrap().keys().collect();
        let [name] = *names else {
            panic!("{printed:?}");
        };
        folder.write("inspector.json", &printed.stdout);
        Inspector {
            folder,
            name: name.clone(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let package = "node_modules/@modelcontextprotocol/inspector";
        let program = format!("{package}/clients/launcher/build/index.js");
        let mut inspector = node(&installed(&program));
        inspector
            .args(["--cli", "--format", "json", "--config"])
            .arg(self.folder.path().join("inspector.json"))
            .args(["--server", &self.name, "--method"])
            .args(arguments)
            // It keeps things there.
            .env("HOME", self.folder.path())
            .env("MCP_INSPECTOR_SECRET_STORE", "memory")
            .env("TOOLHOST_CODE_CACHE", code_cache())
            .env_remove("TOOLHOST_MANIFEST");
        inspector
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        run(self.command(arguments), "")
    }

    #[track_caller]
    fn result(&self, arguments: &[&str]) -> Value {
        let ended = self.run(arguments);
        assert_eq!(ended.status, 0, "{ended:?}");
        ended.json()["result"].clone()
    }

    /// The names in a list.
    #[track_caller]
    fn names(&self, method: &str, list: &str, key: &str) -> Vec<String> {
        let result = self.result(&[method]);
        let items = result[list]
            .as_array()
            .unwrap_or_else(|| panic!("{result}"));
        let names = items.iter().filter_map(|item| item[key].as_str());
        names.map(str::to_owned).collect()
    }

    #[track_caller]
    fn works(&self) {
        let has = |names: Vec<String>, name: &str| {
            assert!(names.iter().any(|known| known == name), "{names:?}");
        };
        has(
            self.names("tools/list", "tools", "name"),
            "test_simple_text",
        );
        has(
            self.names("resources/list", "resources", "uri"),
            "test://static-text",
        );
        has(
            self.names("prompts/list", "prompts", "name"),
            "test_simple_prompt",
        );
        let call = ["tools/call", "--tool-name", "echo", "--tool-args-json"];
        let result = self.result(&[&call[..], &[r#"{"text": "a \"b\" c"}"#]].concat());
        assert_eq!(result["content"][0]["text"], r#"a "b" c"#);
        let call = ["tools/call", "--tool-name", "echo", "--tool-arg"];
        let result = self.result(&[&call[..], &["text=hello"]].concat());
        assert_eq!(result["content"][0]["text"], "hello");
        const TOOL_ERROR: i32 = 5;
        let failed = self.run(&["tools/call", "--tool-name", "test_error_handling"]);
        assert_eq!(failed.status, TOOL_ERROR, "{failed:?}");
    }
}

#[test]
fn the_inspector_over_stdio() {
    needs!(mcp_peers);
    let folder = folder();
    Inspector::configured(&folder, &[]).works();
}

#[test]
fn the_inspector_over_http() {
    needs!(mcp_peers);
    let server = Http::start();
    Inspector::configured(&server.folder, &["--http", server.address()]).works();
}
