//! Bad listings of tools.

use std::time::Duration;

use toolhost::limits::ByteSize;

use super::refused;
use crate::common;
use crate::common::binary::{Folder, listed};
use crate::common::root;

#[tokio::test]
async fn a_listing_that_spins_meets_its_deadline() {
    let mut plugin = common::plugin("listing-spins");
    plugin.limits.timeout = Duration::from_millis(200);
    let message = refused(plugin).await.message;
    assert!(message.contains("list-tools"), "{message}");
    assert!(message.contains("timed out after 200 ms"), "{message}");
}

#[tokio::test]
async fn a_listing_that_traps_says_how() {
    let message = refused(common::plugin("listing-traps")).await.message;
    assert!(message.contains("list-tools"), "{message}");
    assert!(message.contains("unreachable"), "{message}");
}

#[tokio::test]
async fn every_bad_listing_is_refused_for_what_is_wrong_with_it() {
    for (name, words) in [
        ("listing-many", &["10000 tools", "1000"][..]),
        ("listing-empty", &["no tools"]),
        ("listing-bad-schema", &["`bad_schema`", "not JSON"]),
        (
            "listing-not-object-schema",
            &["`no_schema`", "not a valid JSON Schema"],
        ),
        (
            "listing-remote-ref",
            &["`remote_ref`", "https://example.com/schema.json"],
        ),
        ("listing-huge-schema", &["`huge_schema`", "bytes"]),
        ("listing-duplicate", &["two tools named `twice`"]),
        (
            "listing-illegal-name",
            &["bad name!", "[A-Za-z0-9_-]{1,64}"],
        ),
        (
            "listing-long-template",
            &["template named \"dear\"", "10000 bytes", "2048"],
        ),
        (
            "listing-dear-template",
            &["template named \"dear\"", "500 variables", "16"],
        ),
        ("listing-duplicate-prompt", &["two prompts named `twice`"]),
    ] {
        let message = refused(common::plugin(name)).await.message;
        for words in words {
            assert!(message.contains(words), "{name}: {message}");
        }
        assert!(message.len() < 2000, "{name}: {} bytes", message.len());
    }
}

#[tokio::test]
async fn a_listing_is_held_to_the_memory_of_a_call() {
    let mut plugin = common::plugin("listing-many");
    plugin.limits.memory = ByteSize::mib(2);
    let message = refused(plugin).await.message;
    assert!(
        message.contains("memory limit exceeded (2 MiB)"),
        "{message}"
    );
}

#[test]
fn through_the_binary_each_of_them_exits_1_and_says_why() {
    let mut guests: Vec<String> = std::fs::read_dir(root().join("tests/guests"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("listing-"))
        // Nothing is wrong with these.
        .filter(|name| !["listing-other", "listing-any-template"].contains(&&**name))
        .collect();
    guests.extend(["other-version", "strange-import"].map(str::to_owned));
    assert!(guests.len() >= 12, "{guests:?}");
    for name in guests {
        let folder = Folder::with(format!("{}timeout = \"1s\"\n", listed(&name)));
        for command in ["check", "list", "run"] {
            let input = r#"{"name":"anything"}"#;
            folder
                .run(&[command], input)
                .failed(&format!("{name}.wasm: "));
        }
    }
}
