//! A secret that a plugin is granted, or that headers have, is in nothing that the host says.

use serde_json::json;

use super::attack::Attack;
use super::attack::Generation;
use super::stage::{SECRET, Stage};
use super::table;
use crate::common::binary::{Folder, json_lines, run};

/// Spellings of the secret, those of base64 without what they share with the text around.
const SPELLINGS: [&str; 8] = [
    SECRET,
    "czNjcjN0L1Rva2VuK1ZhbHVlPTQy",
    "NjcjN0L1Rva2VuK1ZhbHVlPT",
    "2NyM3QvVG9rZW4rVmFsdWU9ND",
    "7333637233742f546f6b656e2b56616c75653d3432",
    "7333637233742F546F6B656E2B56616C75653D3432",
    "s3cr3t%2FToken%2BValue%3D42",
    r"s3cr3t\/Token+Value=42",
];

/// So many of its characters give it away.
const PART: usize = 8;

/// Whether a text has the secret, or much of it, in any spelling.
pub fn is_in(text: &str) -> bool {
    let bytes = format!("{:?}", SECRET.as_bytes());
    let inside = bytes.trim_matches(['[', ']']);
    let parts = (0..=SECRET.len() - PART).map(|at| &SECRET[at..at + PART]);
    let each = |escape: fn(u8) -> String| SECRET.bytes().map(escape).collect::<String>();
    let escaped = [
        each(|byte| format!("u{byte:04x}")),
        each(|byte| format!("x{byte:02x}")),
        each(|byte| format!("%{byte:02x}")),
        each(|byte| format!("%25{byte:02x}")),
        each(|byte| format!("&#{byte};")),
        each(|byte| format!("&#x{byte:x};")),
    ];
    let lower = text.replace('\\', "").to_lowercase();
    text.contains(inside)
        || parts.into_iter().any(|part| text.contains(part))
        || SPELLINGS.iter().any(|spelling| text.contains(spelling))
        || escaped.iter().any(|spelling| lower.contains(spelling))
}

/// The table's attacks on secrets that need no server.
fn leaks() -> Vec<&'static Attack> {
    table::attacks()
        .filter(|attack| attack.tool.starts_with("leak_") && attack.tool != "leak_url")
        .collect()
}

#[test]
fn no_output_log_or_audit_of_the_binary_has_a_secret() {
    let stage = Stage::new(Generation::Wasi2);
    let granted = stage.manifest_text(
        "permissions.secrets = { TOKEN = { file = '<secret>' } }\n\
         permissions.http = ['http://<web>']",
    );
    let folder = Folder::with(format!(
        "{granted}\n[audit]\npath = 'audit.jsonl'\narguments = true\n"
    ));
    let leaks = leaks();
    assert!(leaks.len() >= 15, "{}", leaks.len());
    let name = json!({ "name": "TOKEN" });
    let mut calls: Vec<_> = leaks
        .iter()
        .map(|attack| (attack.name, attack.tool, name.clone()))
        .collect();
    let url = stage.fill("http://<web>/echo");
    calls.push(("url", "leak_url", json!({ "name": "TOKEN", "url": url })));
    let url = stage.fill("http://<other>/");
    calls.push((
        "denied-url",
        "leak_url",
        json!({ "name": "TOKEN", "url": url }),
    ));
    // Whoever has the secret already may write it into its own arguments.
    calls.push(("arguments", "secret", json!({ "name": SECRET })));

    let mut command = folder.command(&["run", "-vv"]);
    command.env("TOOLHOST_LOG", "trace");
    let ended = run(command, json_lines(&calls));
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(ended.lines().len(), calls.len());
    let audit = std::fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
    assert!(audit.lines().count() > calls.len(), "{audit}");
    for (what, text) in [
        ("stdout", &ended.stdout),
        ("stderr", &ended.stderr),
        ("audit", &audit),
    ] {
        assert!(text.contains("***"), "{what} has nothing to hide: {text}");
        let line = text.lines().find(|line| is_in(line));
        assert_eq!(line, None, "{what}");
    }
    // It was sent where the plugin may send it, and nowhere else.
    assert!(is_in(&stage.web.take().concat()));
    assert_eq!(stage.other.take(), Vec::<String>::new());
}

#[tokio::test]
async fn nothing_of_the_interface_prints_a_secret() {
    let stage = Stage::new(Generation::Wasi2);
    let manifest = stage.manifest(
        "permissions.http = ['http://<web>']\n\
         permissions.secrets = { TOKEN = { file = '<secret>' }, OTHER = { file = '<secret>' } }\n\
         permissions.http-headers = [{ host = '<web>', name = 'X-Key', value = '${TOKEN}' }]",
    );
    let printed = format!("{manifest:?}");
    assert!(printed.contains("TOKEN") && !is_in(&printed), "{printed}");
    let host = crate::common::load(manifest).await;
    let plugins: Vec<_> = host.plugins().collect();
    let printed = format!("{plugins:?} {:?}", host.mask());
    assert!(printed.contains("TOKEN") && !is_in(&printed), "{printed}");
}
