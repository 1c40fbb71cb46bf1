//! `toolhost summarize`.

use serde_json::json;

use crate::common::binary::{Folder, json_lines, listed};

/// The contents of the results of `echo` for these texts.
fn echoed(folder: &Folder, options: &[&str], texts: &[&str]) -> Vec<String> {
    let calls: Vec<_> = texts
        .iter()
        .map(|text| ("id", "echo", json!({ "text": text })))
        .collect();
    let ended = folder
        .run(&[&["run"], options].concat(), json_lines(&calls))
        .answered();
    let contents = ended.lines();
    let contents = contents
        .iter()
        .map(|result| result["content"].as_str().unwrap());
    contents.map(str::to_owned).collect()
}

#[test]
fn summarize_shows_ten_items_and_2000_characters() {
    let folder = Folder::of(&["echo"]);
    let items = json!((0..25).collect::<Vec<_>>()).to_string();
    let text = "é".repeat(2001);
    let fits = "é".repeat(2000);
    let texts = [&*items, r#"{"b":[],"a":1.50}"#, &text, &fits];
    let contents = echoed(&folder, &["--summarize"], &texts);
    let ten = serde_json::to_string_pretty(&(0..10).collect::<Vec<_>>()).unwrap();
    assert_eq!(
        contents[0],
        format!("Results from echo:\nFound 25 items.\n{ten}")
    );
    assert_eq!(
        contents[1],
        "Results from echo:\n{\n  \"b\": [],\n  \"a\": 1.50\n}"
    );
    let (heading, rest) = contents[2].split_once('\n').unwrap();
    assert_eq!(heading, "Results from echo:");
    let (shown, note) = rest.split_once('\n').unwrap();
    assert_eq!(shown, fits);
    assert!(note.contains("cut"), "{note}");
    assert_eq!(contents[3], format!("Results from echo:\n{fits}"));
}

#[test]
fn both_numbers_of_summarize_can_be_set_by_option_and_by_manifest() {
    let numbers = "summarize-items = 3\nsummarize-chars = 5\n";
    let by_manifest = Folder::with(format!(
        "[host]\nsummarize = true\n{numbers}{}",
        listed("echo")
    ));
    let by_option = Folder::of(&["echo"]);
    let texts = ["[1,2,3,4]", "123 456"];
    let options = [
        "--summarize",
        "--summarize-items",
        "3",
        "--summarize-chars",
        "5",
    ];
    let contents = echoed(&by_manifest, &[], &texts);
    assert_eq!(contents, echoed(&by_option, &options, &texts));
    assert_eq!(
        contents[0],
        "Results from echo:\nFound 4 items.\n[\n  1,\n  2,\n  3\n]"
    );
    assert!(
        contents[1].starts_with("Results from echo:\n123 4\n"),
        "{}",
        contents[1]
    );
    // An option goes before the manifest's number, and the other number stays.
    let contents = echoed(&by_manifest, &["--summarize-items", "1"], &texts);
    assert_eq!(contents[0], "Results from echo:\nFound 4 items.\n[\n  1\n]");
    assert!(
        contents[1].starts_with("Results from echo:\n123 4\n"),
        "{}",
        contents[1]
    );
    let off = Folder::with(format!("[host]\n{numbers}{}", listed("echo")));
    assert_eq!(echoed(&off, &[], &texts), texts);
}

#[test]
fn summarize_passes_errors_through_unchanged() {
    let folder = Folder::of(&["misbehave"]);
    let long = "why ".repeat(1000);
    let calls = json_lines(&[
        ("a", "fail", json!({ "message": long })),
        ("b", "fail", json!({ "message": "[1,2]" })),
        ("c", "nothing", json!({})),
    ]);
    let plain = folder.run(&["run"], &calls).answered().lines();
    let options = ["run", "--summarize", "--summarize-chars", "5"];
    let summarized = folder.run(&options, &calls).answered().lines();
    assert_eq!((plain.len(), summarized.len()), (3, 3));
    for (plain, summarized) in plain.iter().zip(&summarized) {
        assert_eq!(plain["content"], summarized["content"]);
        assert_eq!(plain["error"], summarized["error"]);
    }
    assert_eq!(summarized[0]["error"]["message"], long);
}
