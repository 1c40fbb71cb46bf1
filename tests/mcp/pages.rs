//! The order of lists, and their pages.

use serde_json::{Value, json};

use crate::client::{Client, New, Old, Revision};
use crate::common::binary::{Folder, listed};
use crate::server::Http;

const GUESTS: [&str; 3] = ["conformance", "echo", "calculator"];

fn paged(size: usize) -> Folder {
    let plugins: Vec<String> = GUESTS.iter().map(|name| listed(name)).collect();
    let prompts: Vec<String> = (0..9)
        .map(|n| format!("[prompt.own{n}]\ntext = 'Say {n}.'\n"))
        .collect();
    Folder::with(format!(
        "{}{}[serve]\npage-size = {size}\n",
        plugins.concat(),
        prompts.concat()
    ))
}

/// The names as `toolhost list` has them, line by line.
fn listed_by_hand(folder: &Folder) -> Vec<String> {
    let list = folder.run(&["list"], "").answered();
    let lines = list.stdout.lines();
    lines
        .map(|line| line.split('\t').next().unwrap().to_owned())
        .collect()
}

/// All pages of a list, and the cursors between them.
#[track_caller]
fn pages(client: &mut Client, method: &str, key: &str) -> (Vec<Vec<Value>>, Vec<String>) {
    let (mut pages, mut cursors) = (Vec::new(), Vec::<String>::new());
    loop {
        let params = match cursors.last() {
            None => json!({}),
            Some(cursor) => json!({ "cursor": cursor }),
        };
        let mut result = client.result(method, params);
        match result[key].take() {
            Value::Array(items) => pages.push(items),
            other => panic!("{other}"),
        }
        assert!(pages.len() < 100, "{cursors:?}");
        match result.get("nextCursor") {
            None => return (pages, cursors),
            Some(cursor) => cursors.push(cursor.as_str().unwrap().to_owned()),
        }
    }
}

fn names(pages: &[Vec<Value>], key: &str) -> Vec<String> {
    let items = pages.iter().flatten();
    items
        .map(|item| item[key].as_str().unwrap().to_owned())
        .collect()
}

#[track_caller]
fn has_every_tool_once(folder: &Folder, client: &mut Client, size: usize) {
    let expected = listed_by_hand(folder);
    assert!(expected.len() > 2 * size, "{expected:?}");
    let (pages, cursors) = pages(client, "tools/list", "tools");
    assert_eq!(names(&pages, "name"), expected);
    assert_eq!(cursors.len(), pages.len() - 1);
    let (last, others) = pages.split_last().unwrap();
    assert!(others.iter().all(|page| page.len() == size));
    assert!((1..=size).contains(&last.len()));
}

#[test]
fn cursors_list_every_tool_once_in_order() {
    for revision in [Old, New] {
        for size in [1, 7] {
            let folder = paged(size);
            let mut client = Client::stdio(&folder, revision, json!({}));
            has_every_tool_once(&folder, &mut client, size);
        }
        let server = Http::start_in(paged(7));
        let mut client = Client::http(&server, revision, json!({}));
        has_every_tool_once(&server.folder, &mut client, 7);
    }
}

#[test]
fn prompts_and_resources_have_pages_too() {
    let mut client = Client::inside(paged(2), Old, json!({}));
    let (prompts, _) = pages(&mut client, "prompts/list", "prompts");
    assert_eq!(prompts.len(), 7);
    let names_of_prompts = names(&prompts, "name");
    let own: Vec<String> = (0..9).map(|n| format!("own{n}")).collect();
    assert_eq!(names_of_prompts[..9], own, "the manifest's come first");
    assert_eq!(names_of_prompts[9], "test_simple_prompt");
    let (resources, _) = pages(&mut client, "resources/list", "resources");
    assert_eq!(resources.len(), 2);
    assert_eq!(
        names(&resources, "uri"),
        [
            "test://static-text",
            "test://static-binary",
            "test://watched-resource",
            "test://asking-resource"
        ]
    );
}

#[test]
fn a_list_that_fits_on_a_page_has_no_cursor() {
    for revision in [Old, New] {
        let folder = paged(1000);
        // The first request of all, by the protocol that has no handshake.
        let mut client = Client::stdio(&folder, revision, json!({}));
        let result = client.result("tools/list", json!({}));
        assert!(result.get("nextCursor").is_none());
        let tools = result["tools"].as_array().unwrap().clone();
        assert_eq!(names(&[tools], "name"), listed_by_hand(&folder));
    }
}

#[test]
fn only_a_cursor_that_was_given_out_for_the_list_is_taken() {
    let folder = paged(7);
    let refused = |client: &mut Client, cursor: &str| {
        let error = client.error("tools/list", json!({ "cursor": cursor }));
        assert_eq!(error["code"], -32602, "{cursor:?}: {error}");
    };
    let cursors_of = |revision: Revision| {
        let mut client = Client::stdio(&folder, revision, json!({}));
        let (_, tools) = pages(&mut client, "tools/list", "tools");
        let (_, prompts) = pages(&mut client, "prompts/list", "prompts");
        let cursor = &tools[0];
        for bad in [
            "",
            "7",
            "nope",
            "OA",
            "\u{0}",
            &"A".repeat(100_000),
            &cursor[..cursor.len() - 1],
            &cursor[1..],
            &format!("{cursor}A"),
            &cursor.to_lowercase(),
            // Of another list.
            &prompts[0],
        ] {
            refused(&mut client, bad);
        }
        // And it still is one.
        client.result("tools/list", json!({ "cursor": cursor }));
        tools
    };
    let before = cursors_of(Old);
    assert_eq!(cursors_of(New), before, "another process, the same list");
    // Of the list before it changed.
    let manifest = std::fs::read_to_string(folder.path().join("toolhost.toml")).unwrap();
    folder.write("toolhost.toml", manifest + &listed("time"));
    let mut client = Client::stdio(&folder, Old, json!({}));
    for cursor in &before {
        refused(&mut client, cursor);
    }
}
