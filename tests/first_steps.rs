//! What a new user meets: a first manifest, a client's configuration brought along, and messages that say what to do.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use toml_edit::DocumentMut;

use crate::common::binary::{self, Ended, Folder, listed};
use crate::common::{guest, root};

/// The plugins that ship, in a folder of that name.
fn with_plugins(folder: &Folder, name: &str) {
    for plugin in [
        "calculator",
        "fetch",
        "filesystem",
        "html",
        "json",
        "memory",
        "script",
        "script-python",
        "sql",
        "text",
        "time",
    ] {
        let bytes = std::fs::read(guest(plugin)).unwrap();
        folder.write(Path::new(name).join(format!("{plugin}.wasm")), bytes);
    }
}

/// With the manifest that is there to be found, as a user would.
fn in_folder(folder: &Folder, arguments: &[&str]) -> Ended {
    crate::common::binary::run(folder.command_that_finds(arguments), "")
}

#[test]
fn init_writes_a_manifest_that_works_at_once_and_overwrites_nothing() {
    let folder = Folder::empty();
    with_plugins(&folder, "plugins");
    let said = in_folder(&folder, &["init"]).answered().stdout;
    for words in [
        "wrote toolhost.toml",
        "calculator, html, json, text, time",
        "toolhost call time_now",
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    let manifest = std::fs::read_to_string(folder.path().join("toolhost.toml")).unwrap();
    assert!(
        manifest.contains("path = \"plugins/time.wasm\""),
        "{manifest}"
    );
    // Nothing in it takes trust, and nothing is granted.
    let answer = in_folder(
        &folder,
        &["call", "calculate", r#"{"expression": "6 * 7"}"#],
    );
    assert_eq!(answer.answered().stdout, "42\n");
    let checked = in_folder(&folder, &["check"]).answered().stdout;
    let is_granted = |checked: &str| {
        let mut granted = checked.lines().filter(|line| line.contains("granted:"));
        granted.any(|line| line.trim() != "granted: nothing")
    };
    assert!(!is_granted(&checked), "{checked}");
    in_folder(&folder, &["init"]).failed("toolhost.toml already exists; it is not overwritten");
    let kept = std::fs::read_to_string(folder.path().join("toolhost.toml")).unwrap();
    assert_eq!(kept, manifest);
    // What it has as comments is right as well.
    let all = manifest.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if rest.starts_with('[') || rest.contains(" = ") => rest,
        _ => line,
    });
    folder.write("toolhost.toml", all.collect::<Vec<_>>().join("\n"));
    let checked = folder.run(&["check"], "");
    assert!(is_granted(&checked.stdout), "{checked:?}");
}

#[test]
fn init_takes_plugins_from_a_folder_and_writes_where_it_is_told() {
    let folder = Folder::empty();
    with_plugins(&folder, "elsewhere");
    std::fs::create_dir(folder.path().join("project")).unwrap();
    let init = ["-m", "project/tools.toml", "init", "--plugins", "elsewhere"];
    in_folder(&folder, &init).answered();
    let call = [
        "-m",
        "project/tools.toml",
        "call",
        "calculate",
        r#"{"expression": "1 + 1"}"#,
    ];
    assert_eq!(in_folder(&folder, &call).answered().stdout, "2\n");
    let none = in_folder(&folder, &["init", "--plugins", "project"]);
    none.failed("no plugins (*.wasm) in project");
    in_folder(&folder, &["check"]).failed("run `toolhost init`");
}

#[test]
fn the_first_manifest_of_the_readme_works() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let (_, rest) = readme.split_once("```toml\n").unwrap();
    let (manifest, _) = rest.split_once("```").unwrap();
    let folder = Folder::with(manifest);
    with_plugins(&folder, "plugins");
    in_folder(&folder, &["check"]).answered();
    let listed = in_folder(&folder, &["call", "fs_list", r#"{"path": "/work"}"#]).answered();
    assert!(listed.stdout.contains("toolhost.toml"), "{listed:?}");
}

const CLIENT: &str = r#"{
  // Of a client.
  "mcpServers": {
    "files": { "command": "npx", "args": ["-y", "server-files", "."], "env": { "LEVEL": "1", "API_KEY": "s3cret" } },
    "search api": {
      "type": "http", "url": "https://example.com/mcp", "headers": { "Authorization": "Bearer ${env:SEARCH}" }
    },
    "old": { "type": "sse", "url": "https://example.com/sse" },
    "off": { "command": "x", "disabled": true }
  }
}"#;

#[test]
fn import_makes_tables_of_a_clients_configuration() {
    let folder = Folder::with("# mine\n");
    folder.write("client.json", CLIENT);
    let imported = folder.run(&["import", "client.json"], "");
    assert_eq!(imported.status, 0, "{imported:?}");
    let tables: DocumentMut = imported.stdout.parse().unwrap();
    let files = &tables["mcp"]["files"];
    assert_eq!(files["command"].as_str(), Some("npx"));
    assert_eq!(files["args"].as_array().unwrap().len(), 3);
    assert_eq!(files["env"]["LEVEL"].as_str(), Some("1"));
    assert_eq!(files["secrets"]["API_KEY"]["env"].as_str(), Some("API_KEY"));
    let search = &tables["mcp"]["search-api"];
    assert_eq!(search["url"].as_str(), Some("https://example.com/mcp"));
    assert_eq!(search["token"]["env"].as_str(), Some("SEARCH"));
    assert_eq!(tables["mcp"].as_table().unwrap().len(), 2);
    for note in ["API_KEY", "SEARCH", "skipped `old`", "skipped `off`"] {
        assert!(
            imported.stderr.contains(note),
            "no {note:?} in {imported:?}"
        );
    }
    assert!(!format!("{imported:?}").contains("s3cret"), "{imported:?}");

    let vs_code = CLIENT.replace("mcpServers", "servers");
    let piped = folder.run(&["import", "-"], vs_code);
    assert_eq!(piped.stdout, imported.stdout);
    let appended = folder.run(&["import", "--append", "client.json"], "");
    assert_eq!(
        (appended.status, &*appended.stdout),
        (0, ""),
        "{appended:?}"
    );
    let manifest = std::fs::read_to_string(folder.path().join("toolhost.toml")).unwrap();
    assert_eq!(manifest, format!("# mine\n\n{}", imported.stdout));
    let again = folder.run(&["import", "--append", "client.json"], "");
    again.failed("already has these servers: files, search-api");
    folder
        .run(&["import", "-"], "{}")
        .failed("`mcpServers` (Claude, Cursor) or `servers` (VS Code)");
}

#[cfg(unix)]
#[test]
fn input_without_an_end_is_refused() {
    let folder = Folder::with("# mine\n");
    for command in ["import", "run"] {
        folder
            .run(&[command, "/dev/zero"], "")
            .failed("cannot read /dev/zero: it is larger than 64 MiB");
    }
}

/// A clone can have a link in place of the manifest; a user's own link is named.
#[cfg(unix)]
#[test]
fn import_appends_through_a_link_only_to_a_manifest_that_is_named() {
    let folder = Folder::empty();
    folder.write("client.json", CLIENT);
    folder.write("dotfiles/mine", "# mine\n");
    std::os::unix::fs::symlink("dotfiles/mine", folder.path().join("toolhost.toml")).unwrap();
    let read = || std::fs::read_to_string(folder.path().join("dotfiles/mine")).unwrap();
    let import = ["import", "--append", "client.json"];
    let found = binary::run(folder.command_that_finds(&import), "");
    found.failed("toolhost.toml is a symlink, which could lead to any file, so it is not written: pass --manifest");
    assert_eq!(read(), "# mine\n");
    let named = [
        "--manifest",
        "toolhost.toml",
        "import",
        "--append",
        "client.json",
    ];
    let named = binary::run(folder.command_that_finds(&named), "");
    assert_eq!(named.status, 0, "{named:?}");
    assert!(read().contains("[mcp.files]"), "{}", read());
}

#[test]
fn import_says_what_it_leaves_out_and_what_to_look_through() {
    let folder = Folder::empty();
    let config = r#"{ "mcpServers": {
        "my server": { "command": "one", "args": ["--token", "abc"] },
        "my.server": { "command": "two" },
        "there": { "url": "https://example.com/mcp?token=abc" },
        "user": { "url": "https://me:word@example.com/mcp" }
    } }"#;
    let imported = folder.run(&["import", "-"], config);
    assert_eq!(imported.status, 0, "{imported:?}");
    let tables: DocumentMut = imported.stdout.parse().unwrap();
    assert_eq!(tables["mcp"]["my-server"]["command"].as_str(), Some("one"));
    for note in [
        "skipped another server `my-server`",
        "the `args` of `my-server` was copied unchanged",
        "the `url` of `there` was copied unchanged",
        "skipped `user`: `mcp.user.url` must be an http or https URL without user",
    ] {
        assert!(
            imported.stderr.contains(note),
            "no {note:?} in {imported:?}"
        );
    }
}

#[test]
fn import_names_each_member_that_it_does_not_take() {
    let folder = Folder::empty();
    let config = r#"{ "mcpServers": {
        "a": {
            "type": "stdio", "command": "one", "args": "--all", "cwd": null, "env": [], "disabled": false,
            "envFile": ".env", "timeout": 60, "alwaysAllow": ["x"], "autoApprove": [], "disabledTools": [],
            "gallery\u001b[31m": true
        },
        "b": { "transport": "sse", "url": "https://example.com/sse" },
        "c": { "command": "two", "env": { "a=b": "1" } },
        "d": { "url": "not a url" },
        "e": { "command": "three", "enabled": false }
    } }"#;
    let imported = folder.run(&["import", "-"], config);
    assert_eq!(imported.status, 0, "{imported:?}");
    let tables: DocumentMut = imported.stdout.parse().unwrap();
    assert_eq!(tables["mcp"].as_table().unwrap().len(), 1, "{imported:?}");
    for note in [
        "skipped `args` of `a`",
        "skipped `env` of `a`",
        "skipped `envFile` of `a`: list its variables",
        "skipped `timeout` of `a`: set `timeout` with a unit",
        "skipped `alwaysAllow` of `a`",
        "skipped `autoApprove` of `a`",
        "skipped `disabledTools` of `a`",
        r"skipped `gallery\u{1b}[31m` of `a`",
        "skipped `b`: it uses the old SSE",
        "skipped `c`: ",
        "skipped `d`: ",
        "skipped `e`: it is disabled",
    ] {
        assert!(
            imported.stderr.contains(note),
            "no {note:?} in {imported:?}"
        );
    }
    for silent in ["`type`", "`cwd`", "`disabled`"] {
        assert!(!imported.stderr.contains(silent), "{imported:?}");
    }
}

#[test]
fn init_takes_what_can_be_a_plugin_and_every_one_of_a_name() {
    let folder = Folder::empty();
    let plugins = folder.path().join("line\nend");
    std::fs::create_dir(&plugins).unwrap();
    let time = guest("time");
    let filesystem = guest("filesystem");
    for (plugin, name) in [
        (&time, "a b.wasm"),
        (&time, "a_b.wasm"),
        (&filesystem, "filesystem.wasm"),
    ] {
        std::fs::copy(plugin, plugins.join(name)).unwrap();
    }
    std::fs::write(
        plugins.join("broken.wasm"),
        b"\0asm\x0d\0\x01\0 and no more",
    )
    .unwrap();
    std::fs::write(plugins.join("empty.wasm"), b"").unwrap();
    let init = ["-m", "other.toml", "init", "--plugins", "line\nend"];
    let said = in_folder(&folder, &init);
    assert_eq!(said.status, 0, "{said:?}");
    for name in ["broken", "empty"] {
        let note = format!(r"note: skipped line\nend/{name}.wasm: is not ");
        assert!(said.stderr.contains(&note), "{said:?}");
    }
    assert!(
        said.stdout.contains("toolhost -m other.toml list"),
        "{said:?}"
    );
    let written = std::fs::read_to_string(folder.path().join("other.toml")).unwrap();
    let document: DocumentMut = written.parse().unwrap();
    let names: Vec<&str> = document["plugin"]
        .as_table()
        .unwrap()
        .iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["a_b", "a_b_2"]);
    // The one that needs a grant is a comment, and is a table without the signs.
    let uncommented = written
        .replace("# [plugin.f", "[plugin.f")
        .replace("# path = \"line", "path = \"line");
    let document: DocumentMut = uncommented.parse().unwrap();
    let path = document["plugin"]["filesystem"]["path"].as_str();
    assert_eq!(path, Some("line\nend/filesystem.wasm"));
}

#[test]
fn a_mistake_in_the_manifest_comes_with_what_to_write() {
    for (manifest, remedy) in [
        (
            "[agent]\nkey = 'OPENAI_API_KEY'",
            r#"key = { env = "OPENAI_API_KEY" }"#,
        ),
        (
            "plugin.x.permissions.files = './notes'",
            r#"files = [{ host = "./notes""#,
        ),
        (
            "plugin.x.permissions.files = ['./notes']",
            r#"files = [{ host = "./notes""#,
        ),
        (
            "plugin.x.permissions.secrets = { A = 'B' }",
            r#"{ TOKEN = { env = "EXAMPLE_TOKEN" } }"#,
        ),
        ("plugin.x = 'x.wasm'", "[plugin.time]"),
        (
            "mcp.x.command = 'npx -y foo'",
            r#"command = "npx", args = ["-y", "foo"]"#,
        ),
        ("[mcpServers.x]\ncommand = 'npx'", "`toolhost import FILE`"),
    ] {
        let ended = Folder::with(manifest).run(&["list"], "").failed("  help: ");
        assert!(ended.stderr.contains(remedy), "no {remedy:?} in {ended:?}");
    }
}

#[test]
fn a_missing_folder_hides_no_missing_plugin() {
    let manifest =
        "[plugin.x]\npath = 'no.wasm'\npermissions.files = [{ host = './no', guest = '/no' }]\n";
    let ended = Folder::with(manifest)
        .run(&["check"], "")
        .failed("./no does not exist");
    assert!(ended.stderr.contains("cannot read no.wasm"), "{ended:?}");
}

#[test]
fn each_error_says_that_it_is_one() {
    let ended = Folder::with("a = 1\nb = 2\nc = 3\n")
        .run(&["list"], "")
        .failed("`c`");
    let errors = ended
        .stderr
        .lines()
        .filter(|line| line.starts_with("error: "));
    assert_eq!(errors.count(), 3, "{ended:?}");
}

#[test]
fn a_tilde_is_the_home_folder() {
    let folder = Folder::with("[plugin.echo]\npath = '~/echo.wasm'\n");
    folder.write("home/echo.wasm", std::fs::read(guest("echo")).unwrap());
    let mut command = folder.command(&["call", "echo", r#"{"text": "hi"}"#]);
    command.env("HOME", folder.path().join("home"));
    let ended = crate::common::binary::run(command, "");
    assert_eq!(ended.answered().stdout, "hi\n");
}

#[test]
fn an_empty_manifest_lists_nothing_and_says_why() {
    let ended = Folder::with("").run(&["list"], "");
    assert_eq!((ended.status, &*ended.stdout), (0, ""), "{ended:?}");
    assert!(
        ended.stderr.contains("no plugins or MCP servers"),
        "{ended:?}"
    );
}

#[test]
fn a_panic_is_told_with_what_the_guest_said_of_it() {
    let folder = Folder::with(listed("misbehave"));
    let arguments = r#"{"message": "the disk is \u001b[31mon fire"}"#;
    let ended = folder.run(&["call", "panic", arguments], "").call_failed();
    let text = &ended.stdout;
    assert!(
        text.starts_with("Error: panic failed - wasm trap: "),
        "{text}"
    );
    assert!(text.contains("its stderr ends with:\n"), "{text}");
    assert!(text.contains("panicked at "), "{text}");
    assert!(
        text.contains("the disk is ") && text.contains("on fire"),
        "{text}"
    );
    assert!(
        !text.contains('\u{1b}') && !text.contains("RUST_BACKTRACE"),
        "{text}"
    );
    let long = format!(r#"{{"message": "{}end"}}"#, "x".repeat(20_000));
    let ended = folder.run(&["call", "panic", &long], "").call_failed();
    assert!(ended.stdout.trim_end().ends_with("xend"), "{ended:?}");
    assert!(ended.stdout.len() < 2000, "{}", ended.stdout.len());
}

#[test]
fn an_address_to_serve_at_may_be_a_port() {
    let folder = Folder::of(&["echo"]);
    for address in ["8080", ":8080", "localhost:8080", "127.0.0.1:8080"] {
        let ended = folder.run(
            &["serve", "--http", address, "--print-config", "inspector"],
            "",
        );
        assert!(
            ended.stdout.contains("http://127.0.0.1:8080/mcp"),
            "{address}: {ended:?}"
        );
    }
    let wrong = folder.run(&["serve", "--http", "here"], "");
    assert_eq!(wrong.status, 2, "{wrong:?}");
    assert!(
        wrong
            .stderr
            .contains("such as 127.0.0.1:8080, or just a port"),
        "{wrong:?}"
    );
}

#[test]
fn the_agent_says_that_it_tries_again() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", port.local_addr().unwrap());
    drop(port);
    let agent = "[agent]\nprovider = 'openai-chat'\nmodel = 'm'\nmax-retries = 1\n";
    let folder = Folder::with(format!("{agent}base-url = '{url}'\n"));
    let ended = folder.run(&["agent", "hello"], "");
    assert_eq!((ended.status, &*ended.stdout), (1, ""), "{ended:?}");
    assert!(ended.stderr.contains("; retrying in "), "{ended:?}");
    assert!(ended.stderr.contains("error: no answer from "), "{ended:?}");
}

#[test]
fn serve_warns_of_a_certificate_that_has_expired() {
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2020, 1, 2);
    let key = rcgen::KeyPair::generate().unwrap();
    let tls = "[serve]\ntls = { certificate = 'cert.pem', key = 'key.pem' }\n";
    let folder = Folder::with(format!("{}{tls}", listed("echo")));
    folder.write("cert.pem", params.self_signed(&key).unwrap().pem());
    folder.write("key.pem", key.serialize_pem());
    let mut command = folder.command(&["serve", "--http", "127.0.0.1:0"]);
    let mut server = command
        .stderr(Stdio::piped())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(server.stderr.take().unwrap());
    let mut said = Vec::new();
    for line in stderr.lines().map_while(Result::ok) {
        let is_up = line.contains("https://");
        said.push(line);
        if is_up {
            break;
        }
    }
    server.kill().unwrap();
    server.wait().unwrap();
    let warning = "cert.pem expired on 2020-01-02T00:00:00Z: clients will refuse it";
    assert!(said.iter().any(|line| line.contains(warning)), "{said:?}");
}

#[test]
fn a_component_that_exports_nothing_is_told_of_the_macro_that_does() {
    let folder = Folder::with("[plugin.hello]\npath = 'hello.wasm'\n");
    folder.write("hello.wasm", wat::parse_str("(component)").unwrap());
    folder
        .run(&["list"], "")
        .failed("it exports nothing; in Rust, `plugin!(TOOL, …)` exports tools");
}
