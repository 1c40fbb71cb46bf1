//! A secret that a plugin is granted is in no message to a client, whatever is decoded on the way.

use serde_json::{Value, json};

use crate::client::{Client, New, Old};
use crate::common::binary::{Folder, listed};

const SECRET: &str = "s3cr3t/Token+Value=42";

/// So many of its characters give it away.
const PART: usize = 8;

#[track_caller]
fn assert_hidden(tool: &str, message: &Value) {
    let text = message.to_string();
    for at in 0..=SECRET.len() - PART {
        let part = &SECRET[at..at + PART];
        assert!(!text.contains(part), "{tool} says {part}: {text}");
    }
}

#[test]
fn no_message_has_a_secret_or_much_of_one() {
    let granted = "permissions.secrets = { TOKEN = { file = 'secret' } }\n";
    let folder = Folder::with([&*listed("hostile"), granted].concat());
    folder.write("secret", SECRET);
    for revision in [Old, New] {
        let mut client = Client::stdio(&folder, revision, json!({}));
        let tools = client.result("tools/list", json!({}));
        let tools = tools["tools"].as_array().unwrap().iter();
        let names = tools.map(|tool| tool["name"].as_str().unwrap().to_owned());
        let leaks = names.filter(|name| name.starts_with("leak_") && name != "leak_url");
        let leaks: Vec<String> = leaks.collect();
        assert!(leaks.len() >= 18, "{leaks:?}");
        client.meta = json!({
            "progressToken": "p",
            "io.modelcontextprotocol/logLevel": "debug",
        });
        let (mut hidden, mut told) = (0, 0);
        for tool in leaks {
            let id = client.start(&tool, json!({ "name": "TOKEN" }));
            loop {
                let message = client.take("a message", |_| true);
                assert_hidden(&tool, &message);
                hidden += message.to_string().matches("***").count();
                told += usize::from(message.get("method").is_some());
                if message["id"] == id {
                    break;
                }
            }
        }
        assert!(hidden > 20 && told > 2, "{hidden} {told}");
    }
}

#[test]
fn a_secret_of_digits_is_in_no_number() {
    let granted = "permissions.secrets = { size = { file = 'secret' } }\n";
    let folder = Folder::with([&*listed("conformance"), granted].concat());
    folder.write("secret", "8675309");
    for revision in [Old, New] {
        let mut client = Client::stdio(&folder, revision, json!({}));
        let listed = client.result("resources/list", json!({}));
        let resources = listed["resources"].as_array().unwrap();
        let sized = resources
            .iter()
            .find(|it| it["uri"] == "test://sized")
            .unwrap();
        assert_eq!(sized.get("size"), None);
        assert!(resources[0]["size"].is_u64(), "{listed}");
        assert!(!listed.to_string().contains("8675309"), "{listed}");
    }
}
