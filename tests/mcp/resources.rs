//! What can be read, what the manifest itself offers, and who is told of changes.

use serde_json::{Value, json};

use crate::client::{Client, New, Old, Revision};
use crate::common::binary::{Folder, listed};
use crate::server::Http;

const WATCHED: &str = "test://watched-resource";

/// The guest with a file to watch, and resources and prompts of the manifest.
fn offering() -> Folder {
    let folder = Folder::empty();
    folder.write("shared/watched.txt", "before");
    folder.write("notes.md", "# Notes\n");
    folder.write("raw.bin", [0, 159, 146, 150]);
    let manifest = r#"
permissions.files = [{ host = "shared", guest = "/shared" }]
config.watched = "/shared/watched.txt"

[resource.readme]
uri = "docs://readme"
title = "Read me"
description = "What this is"
mime-type = "text/plain"
text = "Hello, {{name}}!"

[resource.notes]
uri = "docs://notes"
mime-type = "text/markdown"
path = "notes.md"

[resource.raw]
uri = "docs://raw"
path = "raw.bin"

[prompt.greet]
title = "Greet"
description = "Greets somebody"
text = "Say hello to {{ name }} from {{place}}. {{ {{unknown}} }}"

[prompt.greet.arguments.name]
description = "Whom"
required = true

[prompt.greet.arguments.place]

[prompt.talk]
messages = [
    { role = "user", text = "Hi." },
    { role = "assistant", text = "Hello." },
    { text = "Go on." },
]
"#;
    folder.write(
        "toolhost.toml",
        listed("conformance") + manifest + &listed("echo"),
    );
    folder
}

fn read(client: &mut Client, uri: &str) -> Value {
    client.result("resources/read", json!({ "uri": uri }))["contents"].take()
}

fn both(check: impl Fn(&Folder, &mut Client)) {
    for revision in [Old, New] {
        let folder = offering();
        check(&folder, &mut Client::stdio(&folder, revision, json!({})));
    }
}

#[test]
fn manifest_resources_are_listed_first_by_name() {
    both(|_, client| {
        let listed = client.result("resources/list", json!({}))["resources"].take();
        assert_eq!(
            listed[2],
            json!({ "uri": "docs://readme", "name": "readme", "title": "Read me",
                "description": "What this is", "mimeType": "text/plain" })
        );
        assert_eq!(listed[0]["uri"], "docs://notes");
        assert_eq!(listed[1], json!({ "uri": "docs://raw", "name": "raw" }));
        assert_eq!(
            listed[3],
            json!({ "uri": "test://static-text", "name": "static-text",
                "title": "Static Text Resource",
                "description": "A static text resource for testing",
                "mimeType": "text/plain", "size": 48,
                "icons": [{ "src": "https://example.com/text.png" }] })
        );
        assert_eq!(listed.as_array().unwrap().len(), 7);
        let templates = client.result("resources/templates/list", json!({}));
        assert_eq!(
            templates["resourceTemplates"],
            json!([{ "uriTemplate": "test://template/{id}/data", "name": "template",
                "description": "A resource of any id", "mimeType": "application/json" }])
        );
    });
}

#[test]
fn a_resource_is_read_as_it_is_now() {
    both(|folder, client| {
        assert_eq!(
            read(client, "docs://readme"),
            json!([{ "uri": "docs://readme", "mimeType": "text/plain", "text": "Hello, {{name}}!" }])
        );
        assert_eq!(
            read(client, "docs://notes"),
            json!([{ "uri": "docs://notes", "mimeType": "text/markdown", "text": "# Notes\n" }])
        );
        assert_eq!(
            read(client, "docs://raw"),
            json!([{ "uri": "docs://raw", "blob": "AJ+Slg==" }])
        );
        folder.write("notes.md", "# Other notes\n");
        folder.write("raw.bin", "text now");
        assert_eq!(read(client, "docs://notes")[0]["text"], "# Other notes\n");
        assert_eq!(read(client, "docs://raw")[0]["text"], "text now");
        std::fs::remove_file(folder.path().join("notes.md")).unwrap();
        let error = client.error("resources/read", json!({ "uri": "docs://notes" }));
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains("cannot be read"),
            "{error}"
        );
        // Whatever reads like a path stays a name.
        for uri in [
            "docs://../notes",
            "docs://notes/../readme",
            "file:///etc/passwd",
            "notes.md",
        ] {
            client.error("resources/read", json!({ "uri": uri }));
        }
        assert_eq!(
            read(client, "test://template/a%20b/data")[0]["mimeType"],
            "application/json"
        );
        assert_eq!(
            read(client, "test://static-binary")[0]["blob"]
                .as_str()
                .map(|blob| &blob[..8]),
            Some("iVBORw0K")
        );
    });
}

#[test]
fn prompts_of_the_manifest_are_filled_in_once() {
    both(|_, client| {
        let listed = client.result("prompts/list", json!({}))["prompts"].take();
        assert_eq!(
            listed[0],
            json!({ "name": "greet", "title": "Greet", "description": "Greets somebody",
                "arguments": [
                    { "name": "name", "description": "Whom", "required": true },
                    { "name": "place", "required": false },
                ] })
        );
        assert_eq!(listed[1], json!({ "name": "talk" }));
        let arguments = json!({ "name": "{{place}}", "place": "Öland" });
        let filled = client.result(
            "prompts/get",
            json!({ "name": "greet", "arguments": arguments }),
        );
        assert_eq!(filled["description"], "Greets somebody");
        assert_eq!(
            filled["messages"],
            json!([{ "role": "user", "content": { "type": "text",
                "text": "Say hello to {{place}} from Öland. {{ {{unknown}} }}" } }])
        );
        let error = client.error(
            "prompts/get",
            json!({ "name": "greet", "arguments": { "place": "x" } }),
        );
        assert_eq!(error["code"], -32602);
        assert!(
            error["message"].as_str().unwrap().contains("name"),
            "{error}"
        );
        let talk = client.result("prompts/get", json!({ "name": "talk" }))["messages"].take();
        let said: Vec<_> = talk
            .as_array()
            .unwrap()
            .iter()
            .map(|message| (&message["role"], &message["content"]["text"]))
            .collect();
        let (user, assistant) = (json!("user"), json!("assistant"));
        assert_eq!(
            said,
            [
                (&user, &json!("Hi.")),
                (&assistant, &json!("Hello.")),
                (&user, &json!("Go on."))
            ]
        );
    });
}

/// Has a client told of changes to these resources: the id of its stream, where that is one.
#[track_caller]
fn subscribe(client: &mut Client, uris: &[&str]) -> Option<u64> {
    match client.revision {
        Old => {
            for uri in uris {
                client.result("resources/subscribe", json!({ "uri": uri }));
            }
            None
        }
        New => {
            let filter = json!({ "resourceSubscriptions": uris, "resourcesListChanged": true });
            let id = client.request("subscriptions/listen", json!({ "notifications": filter }));
            let told = client.told("notifications/subscriptions/acknowledged");
            let accepted = &told["params"]["notifications"]["resourceSubscriptions"];
            // So many, and no more.
            assert_eq!(*accepted, json!(uris[..uris.len().min(1000)]));
            Some(id)
        }
    }
}

/// Every way that a client can be told.
fn told_everywhere(check: impl Fn(&Folder, &mut Client)) {
    for revision in [Old, New] {
        both_transports(revision, &check);
    }
}

fn both_transports(revision: Revision, check: &impl Fn(&Folder, &mut Client)) {
    let folder = offering();
    check(&folder, &mut Client::stdio(&folder, revision, json!({})));
    let server = Http::start_in(offering());
    let mut client = Client::http(&server, revision, json!({}));
    if revision == Old {
        client.listen();
    }
    check(&server.folder, &mut client);
}

const UPDATED: &str = "notifications/resources/updated";

#[test]
fn who_subscribed_is_told_what_a_tool_touches_and_nothing_else() {
    told_everywhere(|_, client| {
        let (one, two) = ("test://static-text", "test://template/1/data");
        subscribe(client, &[one, two]);
        for uri in [one, "test://static-binary", "nope", two, one] {
            client.call("touch_resource", json!({ "uri": uri }));
        }
        let told: Vec<Value> = (0..3)
            .map(|_| client.told(UPDATED)["params"]["uri"].take())
            .collect();
        assert_eq!(told, [one, two, one]);
        client.call("change_resources", json!({}));
        client.told("notifications/resources/list_changed");
        assert_eq!(client.so_far(UPDATED), [Value::Null; 0]);
    });
}

#[test]
fn who_subscribed_is_told_of_a_file_that_changes() {
    told_everywhere(|folder, client| {
        let other = "test://static-text";
        subscribe(client, &[WATCHED, "docs://notes", other]);
        // A stream is acknowledged before it is known how its resources are: once anything comes on it,
        // that is known too.
        client.call("touch_resource", json!({ "uri": other }));
        assert_eq!(client.told(UPDATED)["params"]["uri"], other);
        folder.write("shared/watched.txt", "after, and longer");
        assert_eq!(client.told(UPDATED)["params"]["uri"], WATCHED);
        assert_eq!(read(client, WATCHED)[0]["text"], "after, and longer");
        folder.write("notes.md", "# Longer notes\n");
        assert_eq!(client.told(UPDATED)["params"]["uri"], "docs://notes");
    });
}

#[test]
fn who_unsubscribed_is_told_no_more() {
    both_transports(Old, &|_, client: &mut Client| {
        let (one, two) = ("test://static-text", "test://template/1/data");
        subscribe(client, &[one, two]);
        client.result("resources/unsubscribe", json!({ "uri": one }));
        // Of what it was not subscribed to, too.
        client.result(
            "resources/unsubscribe",
            json!({ "uri": "test://static-binary" }),
        );
        for uri in [one, two] {
            client.call("touch_resource", json!({ "uri": uri }));
        }
        assert_eq!(client.told(UPDATED)["params"]["uri"], two);
        client.result("resources/subscribe", json!({ "uri": one }));
        client.call("touch_resource", json!({ "uri": one }));
        assert_eq!(client.told(UPDATED)["params"]["uri"], one);
        assert_eq!(client.so_far(UPDATED), [Value::Null; 0]);
    });
}

#[test]
fn a_stream_has_the_changes_that_it_asked_for_until_it_is_cancelled() {
    let (one, two) = ("test://static-text", "test://template/1/data");
    let id = |told: &Value| {
        let meta = &told["params"]["_meta"];
        meta["io.modelcontextprotocol/subscriptionId"].clone()
    };
    let mut client = Client::inside(offering(), New, json!({}));
    let first = subscribe(&mut client, &[one]).unwrap();
    let second = subscribe(&mut client, &[two]).unwrap();
    for uri in [two, one] {
        client.call("touch_resource", json!({ "uri": uri }));
    }
    let mut told = [0, 1].map(|_| client.told(UPDATED));
    told.sort_by_key(|told| told["params"]["uri"].to_string());
    assert_eq!(
        told.each_ref().map(|told| told["params"]["uri"].clone()),
        [one, two]
    );
    assert_eq!(told.each_ref().map(id), [json!(first), json!(second)]);
    client.notify("notifications/cancelled", json!({ "requestId": first }));
    for uri in [one, two] {
        client.call("touch_resource", json!({ "uri": uri }));
    }
    let told = client.told(UPDATED);
    assert_eq!(
        (&told["params"]["uri"], id(&told)),
        (&json!(two), json!(second))
    );
    assert_eq!(client.so_far(UPDATED), [Value::Null; 0]);
}

#[test]
fn there_is_no_subscription_to_what_there_is_not() {
    both_transports(Old, &|_, client: &mut Client| {
        for uri in ["test://nope", "docs://nope", ""] {
            let error = client.error("resources/subscribe", json!({ "uri": uri }));
            assert_eq!(error["code"], -32002, "{uri}: {error}");
        }
    });
}

#[test]
fn a_session_subscribes_to_so_many_resources_and_no_more() {
    const MOST: usize = 1000;
    let folder = offering();
    let mut client = Client::stdio(&folder, Old, json!({}));
    let uri = |n: usize| json!({ "uri": format!("test://template/{n}/data") });
    let ids: Vec<u64> = (0..MOST + 10)
        .map(|n| client.request("resources/subscribe", uri(n)))
        .collect();
    let answers: Vec<Value> = ids.into_iter().map(|id| client.answer(id)).collect();
    let (taken, refused): (Vec<_>, Vec<_>) = answers
        .iter()
        .partition(|answer| answer.get("result").is_some());
    assert_eq!((taken.len(), refused.len()), (MOST, 10));
    for answer in refused {
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains("1000 resources"), "{answer}");
    }
    // One that it has takes no more room.
    let has = answers
        .iter()
        .position(|answer| answer.get("result").is_some())
        .unwrap();
    client.result("resources/subscribe", uri(has));
    client.result("resources/unsubscribe", uri(has));
    client.result("resources/subscribe", uri(MOST + 100));
    assert_eq!(client.text("echo", json!({ "text": "hi" })), "hi");
}

#[test]
fn watching_very_many_resources_blocks_nobody() {
    let server = Http::start_in(offering());
    let mut client = Client::http(&server, New, json!({}));
    let uris: Vec<String> = (0..20_000)
        .map(|n| format!("test://template/{n}/data"))
        .collect();
    let uris: Vec<&str> = uris.iter().map(String::as_str).collect();
    subscribe(&mut client, &uris);
    for n in 0..20 {
        let text = n.to_string();
        assert_eq!(client.text("echo", json!({ "text": text })), text);
    }
    client.call("touch_resource", json!({ "uri": uris[0] }));
    assert_eq!(client.told(UPDATED)["params"]["uri"], uris[0]);
}

#[test]
fn resource_in_a_writable_folder_follows_no_link() {
    for revision in [Old, New] {
        let grants = "permissions.files = [{ host = 'work', guest = '/w', access = 'read-write' }]\n\
             [resource.r]\nuri = 'docs://r'\npath = 'work/r.md'\nwritable = true\n";
        let hostile = listed("hostile") + "tools = ['replace_by_link']\n";
        let folder = Folder::with(listed("conformance") + &hostile + grants);
        folder.write("work/r.md", "mine");
        folder.write("work/other.md", "other");
        let outside = folder.write("outside/id_rsa", "a private key");
        let mut client = Client::stdio(&folder, revision, json!({}));
        assert_eq!(read(&mut client, "docs://r")[0]["text"], "mine");
        let other = "test://static-text";
        subscribe(&mut client, &["docs://r", other]);
        // Once anything comes, it is known how they are.
        client.call("touch_resource", json!({ "uri": other }));
        assert_eq!(client.told(UPDATED)["params"]["uri"], other);
        let swap = json!({ "guest": "/w", "path": "r.md", "target": "../outside/id_rsa" });
        assert_eq!(client.text("replace_by_link", swap), "replaced");
        // It cannot be seen any more.
        assert_eq!(client.told(UPDATED)["params"]["uri"], "docs://r");
        let error = client.error("resources/read", json!({ "uri": "docs://r" }));
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("is a symlink in a folder"), "{error}");
        // That what it leads to changes is not told; that it is a file again is.
        std::fs::write(outside, "a longer private key").unwrap();
        let file = folder.path().join("work/r.md");
        std::fs::rename(folder.path().join("work/other.md"), file).unwrap();
        assert_eq!(client.told(UPDATED)["params"]["uri"], "docs://r");
        assert_eq!(read(&mut client, "docs://r")[0]["text"], "other");
        assert_eq!(client.so_far(UPDATED), [Value::Null; 0]);
    }
}
