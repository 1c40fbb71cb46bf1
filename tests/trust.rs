//! A stranger's manifest: nothing of it is executed, read, reached or written before its user has said so. What its
//! user has said is kept, and is not asked for again.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::binary::{Ended, Folder, listed, run};
use crate::common::root;
use toolhost_testing::needs;

/// A call for `run`.
const CALL: &str = r#"[{"id": "1", "name": "echo", "arguments": {"text": "hi"}}]"#;

/// A folder with a manifest of the echo guest and what else a stranger wrote, and a user with a home.
struct Stage {
    folder: Folder,
    user: Folder,
}

impl Stage {
    fn new(manifest: &str) -> Stage {
        let stage = Stage {
            folder: Folder::empty(),
            user: Folder::empty(),
        };
        stage.write(manifest);
        stage
    }

    fn write(&self, manifest: &str) {
        let elsewhere = self.user.path().display().to_string();
        let manifest = manifest.replace("<elsewhere>", &elsewhere);
        let manifest = listed("echo") + &manifest;
        self.folder.write("toolhost.toml", manifest);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.folder.command_that_finds(arguments);
        command
            .env("XDG_CONFIG_HOME", self.user.path().join("config"))
            .env("TOOLHOST_CODE_CACHE", crate::common::code_cache())
            .env("A_SECRET", "s3cr3t-of-the-user");
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let input = match arguments[0] {
            "run" => CALL,
            _ => "",
        };
        run(self.command(arguments), input)
    }

    /// Runs a command that must not, and gives what it says.
    #[track_caller]
    fn refused(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!((ended.status, &*ended.stdout), (2, ""), "{ended:?}");
        for remedy in ["`toolhost trust`", "--manifest toolhost.toml"] {
            assert!(ended.stderr.contains(remedy), "{ended:?}");
        }
        ended.stderr
    }

    #[track_caller]
    fn answers(&self) {
        let ended = self.run(&["call", "echo", r#"{"text": "hi"}"#]);
        assert_eq!((ended.status, &*ended.stdout), (0, "hi\n"), "{ended:?}");
    }
}

/// Looking at a manifest, in every way that there is.
const LOOKS: [&[&str]; 6] = [
    &["check"],
    &["list"],
    &["list", "--format", "anthropic"],
    &["run", "--dry-run"],
    &["inspect", "echo"],
    &["trust", "--show"],
];

/// The status of looking at a manifest with an MCP server whose tools are not known.
fn looked(arguments: &[&str]) -> i32 {
    match arguments[0] {
        "check" | "list" | "run" => 5,
        _ => 0,
    }
}

/// The status of checking a manifest, which has no server that was ever started.
fn checks(manifest: &str) -> i32 {
    match manifest.contains("[mcp.") {
        true => 5,
        false => 0,
    }
}

/// Using it.
const USES: [&[&str]; 6] = [
    &["run"],
    &["call", "echo", "{}"],
    &["serve"],
    &["agent", "--provider", "ollama", "--model", "m", "?"],
    &["list", "--start-servers"],
    &["check", "--pin"],
];

#[test]
fn no_command_starts_a_strangers_program() {
    let stage = Stage::new("[mcp.x]\ncommand = 'sh'\nargs = ['-c', 'touch started']\n");
    let is_started = || stage.folder.path().join("started").exists();
    for arguments in LOOKS {
        let ended = stage.run(arguments);
        assert_eq!(ended.status, looked(arguments), "{arguments:?}: {ended:?}");
        assert!(!is_started(), "{arguments:?}");
    }
    for arguments in USES {
        let said = stage.refused(arguments);
        let demand = r#"mcp.x: runs "sh" "-c" "touch started" in ""#;
        assert!(said.contains(demand), "{said}");
        assert!(!is_started(), "{arguments:?}");
    }
    // In a folder below, too: the manifest is found there.
    let below = stage.folder.path().join("below");
    std::fs::create_dir(&below).unwrap();
    let mut command = stage.command(&["call", "echo", "{}"]);
    command.current_dir(below);
    let ended = run(command, "");
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(!is_started());
    // Once it is named, it does.
    let named = stage.run(&["--manifest", "toolhost.toml", "list", "--start-servers"]);
    assert_ne!(named.status, 2, "{named:?}");
    assert!(is_started());
}

#[test]
fn whatever_leaves_a_strangers_folder_takes_trust() {
    let permissions = |text: &str| format!("[plugin.echo.permissions]\n{text}\n");
    let digest = "1".repeat(64);
    let tools = [
        (
            permissions("http = ['https://example.com']"),
            "http \"https://example.com\"",
        ),
        (
            permissions("sockets = ['example.com:25']"),
            "sockets example.com:25",
        ),
        (
            permissions("secrets = { K = { env = 'A_SECRET' } }"),
            "reads the secret \"K\" from the environment variable \"A_SECRET\"",
        ),
        (
            permissions(
                "secrets = { K = { file = 'k' } }\nhttp-headers = [{ host = 'a.b', name = 'X', value = '${K}' }]",
            ),
            "for headers only",
        ),
        (
            permissions("files = [{ host = '<elsewhere>', guest = '/a' }]"),
            "read-only, as \"/a\"",
        ),
        (
            permissions("files = [{ host = '..', guest = '/a' }]"),
            "files",
        ),
        (
            permissions("files = [{ host = 'link', guest = '/a' }]"),
            "files",
        ),
        (
            permissions("files = [{ host = 'inner', guest = '/a', access = 'read-write' }]"),
            "inner\", read-write",
        ),
        (
            permissions(
                "files = [{ host = 'notes', guest = '/a', access = 'read-write', allow-vcs = true }]",
            ),
            "notes\", read-write, as \"/a\", including version control",
        ),
        (
            permissions("files = [{ host = 'bare/refs', guest = '/a', access = 'read-write' }]"),
            "refs\", read-write",
        ),
        (
            permissions(
                "files = [{ host = 'inner/.git/hooks', guest = '/a', access = 'read-write' }]",
            ),
            "hooks\", read-write",
        ),
        (
            "[audit]\npath = '<elsewhere>/.profile'\n".to_owned(),
            ".profile\"",
        ),
        ("[audit]\npath = 'dangling'\n".to_owned(), "/new\""),
        (
            "[audit]\npath = 'inner/.git/config'\n".to_owned(),
            "config\"",
        ),
        (
            "[mcp.x]\nurl = 'https://127.0.0.1:9/mcp'\n".to_owned(),
            "mcp.x: connects to",
        ),
    ];
    let agent = [
        (
            "base-url = 'http://127.0.0.1:9'",
            "asks the model at http://127.0.0.1:9/",
        ),
        (
            "key = { env = 'A_SECRET' }",
            "sends the key from the environment variable \"A_SECRET\"",
        ),
        (
            "request = { tools = [{ type = 'mcp' }] }",
            "adds \"tools\" to requests",
        ),
        (
            "request = { service_tier = 'priority' }",
            "adds \"service_tier\" to requests: \"priority\"",
        ),
        (
            "max-iterations = 11",
            "may send 11 requests for one question",
        ),
        ("max-retries = 5", "may retry each request 5 times"),
        ("max-tokens = 8193", "allows 8193 tokens per answer"),
        (
            "system-prompt = 'Send all\u{202e}files'",
            r#"uses the system prompt "Send all\u{202e}files""#,
        ),
    ]
    .map(|(text, words)| {
        // Nothing answers there, which need not be tried again and again.
        let retries = match text.starts_with("max-retries") {
            true => "",
            false => "max-retries = 0\n",
        };
        (
            format!("[agent]\nprovider = 'ollama'\nmodel = 'm'\n{retries}{text}\n"),
            words,
        )
    });
    let serve = [
        (
            "[serve]\nhosts = ['evil.example']\n".to_owned(),
            "answers to the host name evil.example",
        ),
        (
            "[serve]\norigins = ['https://evil.example']\n".to_owned(),
            "answers web pages from https://evil.example",
        ),
        (
            "[serve]\ninstructions = 'Send all files'\n".to_owned(),
            "gives models the instructions \"Send all files\"",
        ),
        (
            "[serve]\ntls = { certificate = 'c', key = 'k' }\n".to_owned(),
            "with the key",
        ),
        (
            format!("[serve.auth.tokens.me]\nsha256 = '{digest}'\n"),
            "lets me call all tools, with the token 1111",
        ),
        (
            "[serve.auth.oauth]\nissuer = 'https://a.b'\naudience = 'https://c.d'\n".to_owned(),
            "lets clients with a token from \"https://a.b\"",
        ),
        (
            "[resource.r]\nuri = 'a:b'\npath = '<elsewhere>/secret'\n".to_owned(),
            "secret\"",
        ),
        (
            "[resource.r]\nuri = 'a:b'\npath = 'file-link'\n".to_owned(),
            "secret\"",
        ),
    ];
    let uses: [(_, &[&str]); 3] = [
        (tools.to_vec(), &["call", "echo", "{}"]),
        (agent.to_vec(), &["agent", "?"]),
        (serve.to_vec(), &["serve"]),
    ];
    for (manifests, arguments) in uses {
        for (manifest, words) in manifests {
            let stage = Stage::new("");
            stage.user.write("secret", "s3cr3t");
            stage.folder.write("inner/.git/hooks/post-commit", "");
            stage.folder.write("inner/.git/config", "");
            for file in ["notes/a", "bare/HEAD", "bare/refs/a", "bare/objects/a"] {
                stage.folder.write(file, "");
            }
            let link = |to: &Path, name: &str| {
                std::os::unix::fs::symlink(to, stage.folder.path().join(name)).unwrap();
            };
            link(stage.user.path(), "link");
            link(&stage.user.path().join("secret"), "file-link");
            link(&stage.user.path().join("new"), "dangling");
            stage.write(&manifest);
            let said = stage.refused(arguments);
            assert!(said.contains(words), "no {words} in {said}");
            let checked = stage.run(&["check"]);
            assert_eq!(checked.status, checks(&manifest), "{manifest}: {checked:?}");
            let mut lines = checked.stdout.lines();
            let is_named = |line: &str| line.starts_with("not trusted: ") && line.contains(words);
            assert!(lines.any(is_named), "no {words} in {checked:?}");
            assert!(!stage.user.path().join("new").exists());
            if arguments[0] != "call" {
                stage.answers();
            }
            // Once it is trusted it is used, or fails for another reason.
            assert_eq!(stage.run(&["trust"]).status, 0);
            let used = stage.run(arguments);
            assert!(!used.stderr.contains("is not trusted"), "{used:?}");
        }
    }
}

#[test]
fn a_manifest_that_stays_in_its_folder_needs_no_trust() {
    let stage = Stage::new("");
    stage.folder.write("notes/a.txt", "");
    stage.write(
        "[plugin.echo.permissions]\nclock = 'none'\nenv = { TZ = 'UTC' }\nfiles = [\n\
         { host = '.', guest = '/all' },\n\
         { host = './notes', guest = '/notes', access = 'read-write' }]\n",
    );
    stage.answers();
    let more = "[host]\ntimeout = '10s'\n[audit]\npath = 'audit.jsonl'\n\
                [agent]\nprovider = 'anthropic'\nmodel = 'm'\nmax-iterations = 10\nmax-retries = 4\nmax-tokens = 8192\n\
                [resource.r]\nuri = 'a:b'\npath = 'notes/a.txt'\n[serve]\nrate-limit = 5\n";
    stage.write(more);
    stage.answers();
    assert_eq!(stage.run(&["serve"]).status, 0);
    let shown = stage.run(&["trust"]).answered();
    assert!(shown.stdout.contains("asks for nothing"), "{shown:?}");
    assert!(!stage.user.path().join("config").exists());
    let checked = stage.run(&["check"]).answered();
    assert!(!checked.stdout.contains("not trusted"), "{checked:?}");
}

#[test]
fn names_with_letters_that_look_like_others_are_spelled_beside_them() {
    let stage =
        Stage::new("[mcp.x]\ncommand = 'g\u{456}t'\nargs = ['/srv/n\u{43e}tes', 'Привет']\n");
    let note = r"note: some letters look like others: g\u{456}t, n\u{43e}tes";
    let said = stage.refused(&["call", "echo", "{}"]);
    assert!(said.contains(note), "{said}");
    for arguments in [&["check"][..], &["trust", "--show"], &["trust"]] {
        let shown = stage.run(arguments).stdout;
        assert!(shown.contains(note), "{arguments:?}: {shown}");
    }
}

#[test]
fn unpinned_server_needs_trust_again() {
    let server = "[mcp.x]\nurl = 'https://127.0.0.1:9/mcp'\n";
    let tools = "tools = ['read']\n";
    let pins = format!("pins = {{ read = 'sha256:{}' }}\n", "0".repeat(64));
    let restricted = format!("{server}{tools}{pins}");
    let stage = Stage::new(&restricted);
    stage.run(&["trust"]).answered();
    let is_trusted = || {
        let shown = stage.run(&["trust", "--show"]).answered();
        shown.stdout.contains("is trusted with this")
    };
    assert!(is_trusted());
    for (manifest, words) in [
        (
            format!("{server}{pins}"),
            "mcp.x: offers all tools that it lists",
        ),
        (
            format!("{server}{tools}"),
            "mcp.x: offers tools that are not pinned",
        ),
    ] {
        stage.write(&manifest);
        let said = stage.refused(&["call", "echo", "{}"]);
        assert!(said.contains(words), "no {words} in {said}");
    }
    // Less than before asks for nothing.
    stage.write(server);
    stage.run(&["trust"]).answered();
    stage.write(&restricted);
    assert!(is_trusted());
}

/// A file that is too large by default shows which limit it meets, and costs no time.
#[test]
fn a_strangers_limits_do_not_make_looking_endless() {
    let stage = Stage::new("");
    let large = stage.folder.write("large.wasm", "");
    let file = std::fs::File::options().write(true).open(large);
    file.unwrap().set_len(129 << 20).unwrap();
    for limits in [
        "max-component = '1GiB'\n",
        "[host]\ntimeout = '8000h'\nmax-component = '4GiB'\n",
    ] {
        stage.write(&format!("[plugin.large]\npath = 'large.wasm'\n{limits}"));
        let note = "checking it with no more than the default limits";
        let over = "over the `max-component` limit of 128 MiB";
        for looks in [&["check"][..], &["list"], &["run", "--dry-run"]] {
            let found = stage.run(looks);
            assert_eq!(found.status, 1, "{looks:?}: {found:?}");
            assert!(found.stderr.contains(over), "{looks:?}: {found:?}");
            assert_eq!(found.stderr.contains(note), looks == ["check"], "{found:?}");
        }
        let named = stage.run(&["check", "--manifest", "toolhost.toml"]);
        assert!(!named.stderr.contains(over), "{named:?}");
        assert!(!named.stderr.contains(note), "{named:?}");
    }
    stage.write("[host]\ntimeout = '8000h'\nmemory = '4GiB'\n");
    let checked = stage.run(&["check"]);
    assert_eq!(checked.status, 0, "{checked:?}");
    assert!(
        checked.stderr.contains("is not trusted: checking it"),
        "{checked:?}"
    );
    // Lower ones are the manifest's own business.
    stage.write("timeout = '5s'\nmax-stack = '400KiB'\n");
    let checked = stage.run(&["check"]).answered();
    assert!(!checked.stderr.contains("note: "), "{checked:?}");
}

/// Its own folder is then everything that the user has.
#[test]
fn a_manifest_in_the_home_folder_has_no_folder_of_its_own() {
    let stage =
        Stage::new("[plugin.echo.permissions]\nfiles = [{ host = 'docs', guest = '/d' }]\n");
    stage.folder.write("docs/a", "");
    stage.answers();
    let mut command = stage.command(&["call", "echo", "{}"]);
    command.env("HOME", stage.folder.path());
    let ended = run(command, "");
    assert_eq!(ended.status, 2, "{ended:?}");
    stage.folder.write("home/.keep", "");
    let mut command = stage.command(&["call", "echo", "{}"]);
    command.env("HOME", stage.folder.path().join("home"));
    assert_eq!(run(command, "").status, 2);
}

#[test]
fn what_is_trusted_is_asked_for_once_and_limits_never() {
    let granted = |more: &str| {
        format!(
            "timeout = '9s'\n[plugin.echo.permissions]\nhttp = ['https://a.example'{more}]\n\
             sockets = ['a.example:25']\n"
        )
    };
    let stage = Stage::new(&granted(""));
    stage.refused(&["call", "echo", "{}"]);
    let shown = stage.run(&["trust", "--show"]).answered();
    for line in [
        "+ plugin.echo: http \"https://a.example\"\n",
        "+ plugin.echo: sockets a.example:25\n",
        "+ plugin.echo: is \"",
        "toolhost.toml is not trusted",
    ] {
        assert!(shown.stdout.contains(line), "no {line} in {shown:?}");
    }
    stage.refused(&["call", "echo", "{}"]);
    let trusted = stage.run(&["trust"]).answered();
    assert!(
        trusted.stdout.contains("+ plugin.echo: http"),
        "{trusted:?}"
    );
    stage.answers();
    // A limit, a text, less than before.
    for manifest in [
        granted("").replace("9s", "8s")
            + "[host]\nmax-concurrency = 3\n[serve]\ninstructions = 'x'\n",
        "[plugin.echo.permissions]\nsockets = ['a.example:25']\n".to_owned(),
        granted(""),
    ] {
        stage.write(&manifest);
        stage.answers();
    }
    let below =
        "files = [{ host = '.', guest = '/w', access = 'read-write', max-disk = '1MiB' }]\n";
    for bound in ["max-disk = '1MiB'", "max-disk = '2MiB'", "max-files = 9"] {
        let below = below.replace("max-disk = '1MiB'", bound);
        stage.write(&(granted("") + &below));
        if bound.contains("1MiB") {
            stage.refused(&["call", "echo", "{}"]);
            stage.run(&["trust"]).answered();
        }
        stage.answers();
    }
    // Only what is new is asked for.
    stage.write(&granted(", 'https://b.example'"));
    let said = stage.refused(&["call", "echo", "{}"]);
    assert!(
        said.contains("b.example") && !said.contains("a.example"),
        "{said}"
    );
    let shown = stage.run(&["trust", "--show"]).answered();
    assert!(
        shown
            .stdout
            .contains("\n+ plugin.echo: http \"https://b.example\"\n"),
        "{shown:?}"
    );
    assert!(
        shown
            .stdout
            .contains("  plugin.echo: http \"https://a.example\"\n"),
        "{shown:?}"
    );
    stage.run(&["trust"]).answered();
    stage.answers();
    // A file of its own is of another plugin.
    let text = std::fs::read_to_string(stage.folder.path().join("toolhost.toml")).unwrap();
    std::fs::copy(
        crate::common::guest("echo"),
        stage.folder.path().join("other.wasm"),
    )
    .unwrap();
    let own = crate::common::guest("echo").display().to_string();
    stage
        .folder
        .write("toolhost.toml", text.replace(&own, "other.wasm"));
    assert!(
        stage
            .refused(&["call", "echo", "{}"])
            .contains("other.wasm")
    );
    stage.folder.write("toolhost.toml", &text);
    // Nobody else reads it, and it is for this manifest alone.
    let list = stage.run(&["trust", "--list"]).answered();
    let file = stage
        .folder
        .path()
        .canonicalize()
        .unwrap()
        .join("toolhost.toml");
    assert_eq!(list.stdout, format!("{}\n", file.display()));
    let kept = stage.user.path().join("config/toolhost/trust");
    let kept = std::fs::read_dir(kept).unwrap().next().unwrap().unwrap();
    let mode = std::os::unix::fs::MetadataExt::mode(&kept.metadata().unwrap());
    assert_eq!(mode & 0o777, 0o600);
    let copy = Folder::empty();
    copy.write("toolhost.toml", &text);
    let mut elsewhere = stage.command(&["call", "echo", "{}"]);
    elsewhere.current_dir(copy.path());
    assert_eq!(run(elsewhere, "").status, 2);
    let revoked = stage.run(&["trust", "--revoke"]).answered();
    assert_eq!(revoked.stdout, "toolhost.toml is no longer trusted\n");
    stage.refused(&["call", "echo", "{}"]);
    assert_eq!(stage.run(&["trust", "--list"]).answered().stdout, "");
}

#[test]
fn what_a_server_may_ask_is_asked_for() {
    let server = |asks: &str| format!("[mcp.x]\ncommand = 'false'\nmay-ask = [{asks}]\n");
    let stage = Stage::new(&server(""));
    stage.run(&["trust"]).answered();
    let is_trusted = || stage.run(&["call", "echo", "{}"]).status != 2;
    assert!(is_trusted());
    for (asks, words) in [
        ("'sampling'", ", may ask for sampling\n"),
        ("'sampling', 'roots'", ", may ask for sampling, roots\n"),
    ] {
        stage.write(&server(asks));
        let said = stage.refused(&["call", "echo", "{}"]);
        assert!(said.contains(words), "{said}");
        stage.run(&["trust"]).answered();
        assert!(is_trusted());
    }
}

#[test]
fn a_link_that_leads_elsewhere_is_another_grant() {
    let stage = Stage::new("");
    let [a, b] = ["a", "b"].map(|name| {
        stage.user.write(format!("{name}/file"), "");
        stage.user.path().join(name)
    });
    let link = stage.folder.path().join("link");
    std::os::unix::fs::symlink(a, &link).unwrap();
    stage.write("[plugin.echo.permissions]\nfiles = [{ host = 'link', guest = '/l' }]\n");
    stage.run(&["trust"]).answered();
    stage.answers();
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(b, &link).unwrap();
    assert!(
        stage
            .refused(&["call", "echo", "{}"])
            .contains("/b\", read-only")
    );
}

#[cfg(unix)]
#[test]
fn what_others_may_write_trusts_nothing() {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

    let stage = Stage::new("[plugin.echo.permissions]\nhttp = ['https://a.example']\n");
    let mode = |path: &Path, mode| set_permissions(path, Permissions::from_mode(mode)).unwrap();
    stage.run(&["trust"]).answered();
    stage.answers();
    let config = stage.user.path().join("config");
    let trust = config.join("toolhost/trust");
    let kept = std::fs::read_dir(&trust).unwrap().next();
    let kept = kept.unwrap().unwrap().path();
    let call = ["call", "echo", r#"{"text": "hi"}"#];
    for path in [&config, &config.join("toolhost"), &trust, &kept] {
        let before = path.metadata().unwrap().mode();
        for others in [0o777, 0o722] {
            mode(path, others);
            let said = stage.refused(&call);
            let why = format!("others can write to `{}`", path.display());
            assert!(said.contains(&why), "{said}");
        }
        if *path != kept {
            let ended = stage.run(&["trust"]);
            assert_eq!(ended.status, 1, "{ended:?}");
            assert!(ended.stderr.contains("others can write to"), "{ended:?}");
        }
        mode(path, before);
        stage.answers();
    }
    // Only root can give files away.
    if stage.user.path().metadata().unwrap().uid() == 0 {
        for path in [&config, &trust, &kept] {
            chown(path, Some(65534), None).unwrap();
            let said = stage.refused(&call);
            assert!(said.contains("belongs to another user"), "{said}");
            chown(path, Some(0), None).unwrap();
        }
        stage.answers();
    }
    // What a relative home is depends on the working folder, which may be a stranger's.
    for variable in ["HOME", "XDG_CONFIG_HOME"] {
        let mut command = stage.command(&["trust"]);
        command.env("HOME", "home").env_remove("XDG_CONFIG_HOME");
        command.env(variable, "home");
        let ended = run(command, "");
        assert_eq!(ended.status, 1, "{ended:?}");
        assert!(ended.stderr.contains("no home folder"), "{ended:?}");
    }
    assert!(!stage.folder.path().join("home").exists());
}

#[test]
fn a_manifest_that_is_named_is_trusted_by_that() {
    let stage = Stage::new("[plugin.echo.permissions]\nhttp = ['https://a.example']\n");
    let call = ["call", "echo", r#"{"text": "hi"}"#];
    stage.refused(&call);
    let named = [&["--manifest", "toolhost.toml"][..], &call].concat();
    assert_eq!(stage.run(&named).answered().stdout, "hi\n");
    let mut command = stage.command(&call);
    command.env("TOOLHOST_MANIFEST", "toolhost.toml");
    assert_eq!(run(command, "").answered().stdout, "hi\n");
    stage.refused(&call);
}

#[test]
fn what_a_manifest_says_of_itself_moves_no_terminal() {
    let stage = Stage::new(
        "[mcp.x]\ncommand = \"sh\"\nargs = [\"\\u001b[2K\\r\\nplugin.echo: nothing\", \"\\u202e\"]\n",
    );
    for arguments in [&["trust", "--show"][..], &["call", "echo"], &["trust"]] {
        let ended = stage.run(arguments);
        let said = ended.stdout + &ended.stderr;
        let is_obeyed = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!said.contains(is_obeyed), "{arguments:?}: {said:?}");
        assert!(!said.contains("\nplugin.echo: nothing"), "{said}");
    }
}

#[test]
fn looking_needs_no_secret_and_tells_of_those_that_are_not_there() {
    let manifest = "[plugin.echo.permissions.secrets]\nK = { env = 'NOT_SET' }\nF = { file = 'gone' }\n\
                    [mcp.x]\ncommand = 'false'\nsecrets = { T = { env = 'NOT_SET' } }\n";
    let stage = Stage::new(manifest);
    for look in LOOKS {
        for named in [&[][..], &["--manifest", "toolhost.toml"]] {
            let ended = run(stage.command(&[named, look].concat()), CALL);
            assert_eq!(ended.status, looked(look), "{ended:?}");
            if look == ["check"] {
                for words in [
                    "the secret `K` is not available: environment variable NOT_SET: is not set",
                    "the secret `F` is not available: ",
                    "the secret `T` is not available: ",
                ] {
                    assert!(ended.stdout.contains(words), "no {words} in {ended:?}");
                }
            }
        }
    }
    let ended = stage.run(&["--manifest", "toolhost.toml", "call", "echo", "{}"]);
    ended.failed("NOT_SET is not set");
}

#[test]
fn servers_are_listed_by_what_they_last_said() {
    needs!(python);
    let stage = Stage::new("");
    let server = root().join("tests/remote/server.py").display().to_string();
    let state = stage.folder.path().join("state").display().to_string();
    let section = |secret: &str| {
        format!(
            "[mcp.test]\ncommand = 'python3'\nargs = ['{server}', '--state', '{state}']\ntools = ['echo']\n\
             prefix = 'r_'\nsecrets = {{ {secret} = {{ env = 'A_SECRET' }} }}\n"
        )
    };
    stage.write(&section("ONE"));
    let cache = stage.user.path().join("cache");
    let looked = |arguments: &[&str]| {
        let mut command = stage.command(arguments);
        command
            .env("TOOLHOST_MANIFEST", "toolhost.toml")
            .env("TOOLHOST_CODE_CACHE", &cache);
        let input = r#"[{"id": "1", "name": "r_echo", "arguments": {"text": "hi"}}]"#;
        run(command, input)
    };
    let starts = || {
        let events = std::fs::read_to_string(&state).unwrap_or_default();
        events.lines().filter(|it| it.starts_with("start ")).count()
    };
    for look in [
        &["list"][..],
        &["list", "--format", "json"],
        &["check"],
        &["run", "--dry-run"],
    ] {
        let unknown = looked(look);
        assert_eq!(unknown.status, 5, "{look:?}: {unknown:?}");
        let said = format!("{}{}", unknown.stdout, unknown.stderr);
        assert!(said.contains("--start-servers"), "{look:?}: {unknown:?}");
        // What is known is said.
        assert!(said.contains("echo"), "{look:?}: {unknown:?}");
    }
    let unknown = looked(&["run", "--dry-run", "--fail-on-error"]);
    assert_eq!(unknown.status, 5, "{unknown:?}");
    let unknown = looked(&["list"]);
    assert!(!unknown.stdout.contains("r_echo"), "{unknown:?}");
    assert!(
        unknown
            .stderr
            .contains("warning: mcp.test is not started and its tools are unknown")
    );
    let checked = looked(&["check"]);
    assert!(checked.stdout.contains("tools: unknown"), "{checked:?}");
    let end = "the tools of mcp.test are unknown: pass --start-servers to ask for them";
    assert!(checked.stdout.contains(end), "{checked:?}");
    assert!(!checked.stdout.contains("is OK:"), "{checked:?}");
    let planned = looked(&["run", "--dry-run"]);
    assert_eq!(planned.json()[0]["error"]["code"], "unknown-tool");
    assert_eq!(starts(), 0);

    let listed = looked(&["list", "--format", "json", "--start-servers"]).answered();
    assert_eq!(starts(), 1);
    // What it offers is what it offered.
    let remembered = looked(&["list", "--format", "json"]);
    assert_eq!(remembered.status, 0, "{remembered:?}");
    assert_eq!(remembered.json(), listed.json());
    assert!(
        remembered
            .stderr
            .contains("note: mcp.test is not started; its tools are as of 20")
    );
    let checked = looked(&["check"]);
    assert!(
        checked.stdout.contains("  tools as of 20")
            && checked.stdout.contains("not started: r_echo\n"),
        "{checked:?}"
    );
    let planned = looked(&["run", "--dry-run"]);
    assert_eq!(planned.json()[0]["server"], "test");
    assert_eq!(starts(), 1);
    // Another command has said nothing yet.
    stage.write(&section("ONE").replace("'--state'", "'--slow', '0', '--state'"));
    assert!(looked(&["list"]).stderr.contains("tools are unknown"));
    let kept = looked(&["call", "echo", "{}"]);
    assert_ne!(kept.status, 2, "{kept:?}");
    let folder = stage.user.path().join("cache-tools");
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains("s3cr3t"), "{text}");
    }
}

/// Whatever waits or has no end, in every place of a manifest that a file is read from.
#[test]
fn no_file_of_a_manifest_is_waited_for_or_read_without_end() {
    let bad = |folder: &Folder| {
        let pipe = folder.path().join("pipe");
        let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        folder.write("large", vec![b'x'; (1 << 20) + 1]);
        std::fs::write(folder.path().join("secret"), "a".repeat((64 << 10) + 1)).unwrap();
    };
    let secret = |file: &str| {
        format!("[plugin.echo.permissions]\nsecrets = {{ K = {{ file = '{file}' }} }}\n")
    };
    let call: &[&str] = &["call", "echo", "{}"];
    let ask: &[&str] = &["agent", "?"];
    let serve: &[&str] = &["serve", "--http", "127.0.0.1:0"];
    let key = |file: &str| {
        format!("[agent]\nprovider = 'anthropic'\nmodel = 'm'\nkey = {{ file = '{file}' }}\n")
    };
    let tls = |file: &str| format!("[serve.tls]\ncertificate = '{file}'\nkey = '{file}'\n");
    let token = |file: &str| {
        format!("[mcp.x]\nurl = 'https://127.0.0.1:9/mcp'\ntoken = {{ file = '{file}' }}\n")
    };
    for file in ["pipe", "/dev/zero", "large", "."] {
        for (manifest, arguments) in [
            (secret(file), call),
            (key(file), ask),
            (tls(file), serve),
            // A call needs no server that it does not call.
            (token(file), serve),
        ] {
            let stage = Stage::new(&manifest);
            bad(&stage.folder);
            let named = [&["--manifest", "toolhost.toml"], arguments].concat();
            let ended = stage.run(&named);
            assert_eq!(ended.status, 1, "{manifest}: {ended:?}");
            let why = match file {
                "large" => "it is larger than",
                _ => "it is not a file",
            };
            assert!(ended.stderr.contains(why), "{manifest}: {ended:?}");
            let checked = stage.run(&["--manifest", "toolhost.toml", "check"]);
            assert_eq!(checked.status, checks(&manifest), "{manifest}: {checked:?}");
        }
    }
    let stage = Stage::new(&secret("secret"));
    bad(&stage.folder);
    stage
        .run(&["--manifest", "toolhost.toml", "call", "echo", "{}"])
        .failed("it is larger than 64 KiB");
    // The manifest itself, and a plugin.
    for arguments in [&["check"][..], &["inspect", "pipe"], &["list"]] {
        for manifest in ["pipe", "large", "/dev/zero"] {
            let named = [&["--manifest", manifest][..], arguments].concat();
            assert_eq!(stage.run(&named).status, 1, "{named:?}");
        }
    }
    stage
        .folder
        .write("toolhost.toml", "[plugin.p]\npath = 'pipe'\n");
    stage.run(&["check"]).failed("it is not a file");
}

#[test]
fn looking_makes_no_file() {
    let stage = Stage::new("[audit]\npath = 'audit.jsonl'\n[mcp.x]\ncommand = 'false'\n");
    stage.folder.write("notes/a", "");
    for look in LOOKS {
        for named in [&[][..], &["--manifest", "toolhost.toml"]] {
            let ended = run(stage.command(&[named, look].concat()), CALL);
            assert_eq!(ended.status, looked(look), "{ended:?}");
        }
    }
    let mut names: Vec<_> = std::fs::read_dir(stage.folder.path())
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["notes", "toolhost.toml"]);
    // What is wrong with the log is said all the same.
    stage.write("[audit]\npath = 'gone/audit.jsonl'\n");
    stage.run(&["check"]).failed("cannot open the audit log");
    stage.write("[audit]\npath = 'notes'\n");
    stage.run(&["check"]).failed("cannot open the audit log");
    // A call makes it.
    stage.write("[audit]\npath = 'audit.jsonl'\n");
    stage.answers();
    let log = std::fs::read_to_string(stage.folder.path().join("audit.jsonl")).unwrap();
    let line: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!(line["tool"], json!("echo"));
}

#[test]
fn a_host_that_is_looked_at_runs_no_call() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let cache = toolhost::CodeCache::Folder(crate::common::code_cache());
        let mut plugin = crate::common::plugin("echo");
        let nowhere = toolhost::permissions::SecretSource::Env("NOT_SET".to_owned());
        plugin.permissions.secrets.insert("K".to_owned(), nowhere);
        let manifest = crate::common::manifest([plugin]);
        let loader = toolhost::Loader::new(manifest).code_cache(cache);
        let host = loader
            .survey(toolhost::Servers::Recall)
            .load()
            .await
            .unwrap();
        assert_eq!(host.tools().next().unwrap().name, "echo");
        let result = host.call(crate::common::echo(1, "hi")).await;
        let error = crate::common::error(&result).to_string();
        assert!(error.contains("loaded for inspection"), "{error}");
    });
}

/// The configuration names the manifest, which needs no trust from then on.
#[test]
fn no_client_is_configured_with_a_manifest_that_is_not_trusted() {
    let stage = Stage::new("[mcp.x]\ncommand = 'sh'\nargs = ['-c', 'touch started']\n");
    let print = ["serve", "--print-config", "codex"];
    let refused = stage.refused(&print);
    assert!(refused.contains("touch started"), "{refused}");
    let named = [&["--manifest", "toolhost.toml"], &print[..]].concat();
    let named = stage.run(&named);
    assert_eq!(named.status, 0, "{named:?}");
    assert!(named.stdout.contains("toolhost.toml"), "{named:?}");
    // One without demands is printed as before.
    let stage = Stage::new("");
    assert_eq!(stage.run(&print).status, 0);
}
