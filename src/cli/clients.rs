//! Configurations of MCP clients for this server, as each client documents them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::out::Out;

/// The environment variable that clients take a bearer token from.
pub(super) const TOKEN: &str = "TOOLHOST_TOKEN";

/// Clients show a tool as the server's name and its own, in 60 to 64 characters together.
const LONGEST_NAME: usize = 32;

/// An MCP client whose configuration format is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ClientApp {
    ClaudeDesktop,
    ClaudeCode,
    Vscode,
    Cursor,
    Codex,
    Inspector,
}

/// How a client reaches this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ServerAddress {
    /// The client starts it.
    Stdio {
        name: String,
        /// This executable's absolute path.
        command: String,
        args: Vec<String>,
    },
    /// It listens.
    Http {
        name: String,
        url: String,
        needs_token: bool,
    },
}

/// A path that cannot be written into a configuration.
#[derive(Debug)]
pub(super) enum PathError {
    NotText(PathBuf),
    Absolute(PathBuf, io::Error),
}

impl std::error::Error for PathError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotText(_) => None,
            Self::Absolute(_, error) => Some(error),
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotText(path) => write!(
                f,
                "cannot put a path that is not UTF-8 into a client's configuration: {}",
                path.display()
            ),
            Self::Absolute(path, _) => {
                write!(f, "cannot find the absolute path of {}", path.display())
            }
        }
    }
}

impl ServerAddress {
    /// A server that the client starts: `COMMAND --manifest MANIFEST serve`, with the client's
    /// name.
    pub(super) fn stdio(
        command: &Path,
        manifest: &Path,
        for_whom: Option<&str>,
    ) -> Result<Self, PathError> {
        let mut args = vec![
            "--manifest".to_owned(),
            absolute_text(manifest)?,
            "serve".to_owned(),
        ];
        if let Some(name) = for_whom {
            args.extend(["--client".to_owned(), name.to_owned()]);
        }
        Ok(Self::Stdio {
            name: name_for(manifest)?,
            command: absolute_text(command)?,
            args,
        })
    }

    /// A server that listens at that URL.
    pub(super) fn http(
        manifest: &Path,
        url: impl Into<String>,
        needs_token: bool,
    ) -> Result<Self, PathError> {
        Ok(Self::Http {
            name: name_for(manifest)?,
            url: url.into(),
            needs_token,
        })
    }
}

fn absolute(path: &Path) -> Result<PathBuf, PathError> {
    std::path::absolute(path).map_err(|error| PathError::Absolute(path.to_owned(), error))
}

fn absolute_text(path: &Path) -> Result<String, PathError> {
    let text = absolute(path)?.into_os_string().into_string();
    text.map_err(|path| PathError::NotText(path.into()))
}

/// The server's name: that of the manifest's folder, in the characters that every client accepts.
fn name_for(manifest: &Path) -> Result<String, PathError> {
    let manifest = absolute(manifest)?;
    let folder = manifest.parent().and_then(Path::file_name);
    let folder = folder.map(|name| name.to_string_lossy());
    Ok(safe_name(folder.as_deref().unwrap_or_default()))
}

fn safe_name(folder: &str) -> String {
    let words = folder.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let mut name = words.join("-");
    name.truncate(LONGEST_NAME);
    match name.trim_end_matches('-') {
        "" => "toolhost".to_owned(),
        // Claude Code reserves it.
        "workspace" => "toolhost-workspace".to_owned(),
        name => name.to_owned(),
    }
}

/// Prints the snippet on stdout, and on stderr where it belongs.
pub(super) fn print(client: ClientApp, server: &ServerAddress) -> io::Result<()> {
    Out::stdout().text(&config(client, server))?;
    Out::stderr().line(place(client, server))
}

/// The snippet, with a newline at its end.
pub(super) fn config(client: ClientApp, server: &ServerAddress) -> String {
    match client {
        ClientApp::ClaudeDesktop => claude_desktop(server),
        ClientApp::ClaudeCode => claude_code(server),
        ClientApp::Vscode => vscode(server),
        ClientApp::Cursor => cursor(server),
        ClientApp::Codex => codex(server),
        ClientApp::Inspector => inspector(server),
    }
}

/// The file that the snippet belongs in, and what else has to be done.
pub(super) fn place(client: ClientApp, server: &ServerAddress) -> String {
    let place = match client {
        ClientApp::ClaudeDesktop => {
            "add this to claude_desktop_config.json, in ~/Library/Application Support/Claude on macOS or \
             %APPDATA%\\Claude on Windows, and restart Claude Desktop"
        }
        ClientApp::ClaudeCode => "add this to .mcp.json in the project's root folder",
        ClientApp::Vscode => {
            "add this to .vscode/mcp.json, or to the file that `MCP: Open User Configuration` opens"
        }
        ClientApp::Cursor => {
            "add this to .cursor/mcp.json in the project, or to ~/.cursor/mcp.json"
        }
        ClientApp::Codex => {
            "add this to ~/.codex/config.toml, or to .codex/config.toml in a trusted project"
        }
        ClientApp::Inspector => {
            "save this to a file and run npx @modelcontextprotocol/inspector --config FILE"
        }
    };
    let ServerAddress::Http {
        needs_token: true, ..
    } = server
    else {
        return place.to_owned();
    };
    let token = match client {
        ClientApp::ClaudeDesktop | ClientApp::Inspector => {
            format!("; replace <{TOKEN}> with the token")
        }
        ClientApp::Vscode => "; VS Code asks for the token".to_owned(),
        ClientApp::ClaudeCode | ClientApp::Cursor | ClientApp::Codex => {
            format!("; the client reads the token from the environment variable {TOKEN}")
        }
    };
    place.to_owned() + &token
}

/// <https://modelcontextprotocol.io/docs/develop/connect-local-servers>.
///
/// This file cannot name a remote server: Claude Desktop connects to those from Anthropic's cloud
/// (<https://support.claude.com/en/articles/11503834-building-custom-connectors-via-remote-mcp-servers>),
/// which does not reach this machine. So `mcp-remote` is put between; the header has no space
/// because of a bug on Windows that its manual describes
/// (<https://github.com/geelen/mcp-remote#custom-headers>).
fn claude_desktop(server: &ServerAddress) -> String {
    let (name, entry) = match server {
        ServerAddress::Stdio {
            name,
            command,
            args,
        } => (name, json!({ "command": command, "args": args })),
        ServerAddress::Http {
            name,
            url,
            needs_token: false,
        } => (
            name,
            json!({ "command": "npx", "args": ["-y", "mcp-remote", url] }),
        ),
        ServerAddress::Http {
            name,
            url,
            needs_token: true,
        } => (
            name,
            json!({
                "command": "npx",
                "args": ["-y", "mcp-remote", url, "--header", "Authorization:${AUTH_HEADER}"],
                "env": { "AUTH_HEADER": format!("Bearer <{TOKEN}>") },
            }),
        ),
    };
    servers("mcpServers", name, entry)
}

/// <https://code.claude.com/docs/en/mcp>.
fn claude_code(server: &ServerAddress) -> String {
    typed("mcpServers", server, &format!("${{{TOKEN}}}"))
}

/// <https://code.visualstudio.com/docs/copilot/reference/mcp-configuration>.
fn vscode(server: &ServerAddress) -> String {
    let (name, entry) = typed_entry(server, "${input:toolhost-token}");
    let mut document = Map::new();
    if let ServerAddress::Http {
        needs_token: true, ..
    } = server
    {
        let input = json!({
            "type": "promptString",
            "id": "toolhost-token",
            "description": "Bearer token of toolhost",
            "password": true,
        });
        document.insert("inputs".to_owned(), json!([input]));
    }
    document.insert("servers".to_owned(), json!({ name: entry }));
    pretty(&document.into())
}

/// <https://cursor.com/docs/mcp>.
fn cursor(server: &ServerAddress) -> String {
    match server {
        ServerAddress::Stdio { .. } => typed("mcpServers", server, ""),
        ServerAddress::Http {
            name,
            url,
            needs_token,
        } => {
            let mut entry = json!({ "url": url });
            if *needs_token {
                entry["headers"] = bearer(&format!("${{env:{TOKEN}}}"));
            }
            servers("mcpServers", name, entry)
        }
    }
}

/// <https://developers.openai.com/codex/mcp>.
fn codex(server: &ServerAddress) -> String {
    match server {
        ServerAddress::Stdio {
            name,
            command,
            args,
        } => {
            let args: Vec<String> = args.iter().map(|text| toml_string(text)).collect();
            format!(
                "[mcp_servers.{name}]\ncommand = {}\nargs = [{}]\n",
                toml_string(command),
                args.join(", ")
            )
        }
        ServerAddress::Http {
            name,
            url,
            needs_token,
        } => {
            let token = match needs_token {
                true => format!("bearer_token_env_var = {}\n", toml_string(TOKEN)),
                false => String::new(),
            };
            format!("[mcp_servers.{name}]\nurl = {}\n{token}", toml_string(url))
        }
    }
}

/// <https://github.com/modelcontextprotocol/inspector/blob/main/docs/mcp-server-configuration.md>.
fn inspector(server: &ServerAddress) -> String {
    typed("mcpServers", server, &format!("<{TOKEN}>"))
}

fn typed(key: &str, server: &ServerAddress, token: &str) -> String {
    let (name, entry) = typed_entry(server, token);
    servers(key, name, entry)
}

/// The server's name, and the entry of a client that needs the transport's type.
fn typed_entry<'a>(server: &'a ServerAddress, token: &str) -> (&'a str, Value) {
    match server {
        ServerAddress::Stdio {
            name,
            command,
            args,
        } => (
            name,
            json!({ "type": "stdio", "command": command, "args": args }),
        ),
        ServerAddress::Http {
            name,
            url,
            needs_token,
        } => {
            let mut entry = json!({ "type": "http", "url": url });
            if *needs_token {
                entry["headers"] = bearer(token);
            }
            (name, entry)
        }
    }
}

fn bearer(token: &str) -> Value {
    json!({ "Authorization": format!("Bearer {token}") })
}

fn servers(key: &str, name: &str, entry: Value) -> String {
    pretty(&json!({ key: { name: entry } }))
}

fn pretty(document: &Value) -> String {
    format!("{document:#}\n")
}

/// A basic string. Its escapes are JSON's, but it also needs one for DEL.
pub(super) fn toml_string(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

#[cfg(test)]
mod tests {
    use toml::de::{DeTable, DeValue};

    use super::*;

    const ALL: [ClientApp; 6] = [
        ClientApp::ClaudeDesktop,
        ClientApp::ClaudeCode,
        ClientApp::Vscode,
        ClientApp::Cursor,
        ClientApp::Codex,
        ClientApp::Inspector,
    ];

    /// Characters that a path may contain on some system.
    const STRANGE: &str = "/a b/\"q\"/back\\slash/'s'/é\t\u{7f}\u{1}/$HOME";

    fn stdio() -> ServerAddress {
        ServerAddress::Stdio {
            name: "notes".to_owned(),
            command: STRANGE.to_owned(),
            args: ["--manifest", STRANGE, "serve"].map(str::to_owned).into(),
        }
    }

    fn http(needs_token: bool) -> ServerAddress {
        ServerAddress::Http {
            name: "notes".to_owned(),
            url: "http://127.0.0.1:8080/mcp".to_owned(),
            needs_token,
        }
    }

    /// The snippet, parsed.
    fn read(client: ClientApp, server: &ServerAddress) -> Value {
        let text = config(client, server);
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{text:?}");
        match client {
            ClientApp::Codex => json_of_table(DeTable::parse(&text).unwrap().get_ref()),
            _ => serde_json::from_str(&text).unwrap(),
        }
    }

    fn json_of_table(table: &DeTable<'_>) -> Value {
        let members = table.iter();
        members
            .map(|(key, value)| (key.get_ref().to_string(), json_of(value.get_ref())))
            .collect()
    }

    fn json_of(value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::from(&**text),
            DeValue::Array(items) => items.iter().map(|item| json_of(item.get_ref())).collect(),
            DeValue::Table(table) => json_of_table(table),
            other => panic!("no snippet has {other:?}"),
        }
    }

    /// The only server of a snippet.
    fn entry(client: ClientApp, server: &ServerAddress) -> Value {
        let key = match client {
            ClientApp::Vscode => "servers",
            ClientApp::Codex => "mcp_servers",
            _ => "mcpServers",
        };
        let document = read(client, server);
        let servers = document[key].as_object().unwrap();
        assert_eq!(servers.len(), 1, "{document}");
        servers["notes"].clone()
    }

    #[test]
    fn the_page_of_clients_shows_these_snippets() {
        let page = include_str!("../../docs/clients.md");
        let server = ServerAddress::Stdio {
            name: "notes".to_owned(),
            command: "/usr/local/bin/toolhost".to_owned(),
            args: ["--manifest", "/home/me/notes/toolhost.toml", "serve"]
                .map(str::to_owned)
                .into(),
        };
        for client in ALL {
            for server in [&server, &http(true)] {
                let snippet = config(client, server);
                assert!(page.contains(&snippet), "{client:?}: not there:\n{snippet}");
            }
        }
    }

    #[test]
    fn names_are_as_documented() {
        let names = ALL.map(|client| client.to_possible_value().unwrap().get_name().to_owned());
        assert_eq!(
            names,
            [
                "claude-desktop",
                "claude-code",
                "vscode",
                "cursor",
                "codex",
                "inspector"
            ]
        );
    }

    #[test]
    fn every_client_gets_the_command_as_it_is() {
        for client in ALL {
            let entry = entry(client, &stdio());
            assert_eq!(entry["command"], STRANGE, "{client:?}");
            let args = json!(["--manifest", STRANGE, "serve"]);
            assert_eq!(entry["args"], args, "{client:?}");
        }
    }

    #[test]
    fn every_client_gets_the_url() {
        for client in ALL {
            for needs_token in [false, true] {
                let entry = entry(client, &http(needs_token));
                let url = match client {
                    ClientApp::ClaudeDesktop => &entry["args"][2],
                    _ => &entry["url"],
                };
                assert_eq!(url, "http://127.0.0.1:8080/mcp", "{client:?}");
                let has_token = entry.to_string().contains("Bearer")
                    || entry.get("bearer_token_env_var").is_some();
                assert_eq!(has_token, needs_token, "{client:?}: {entry}");
            }
        }
    }

    #[test]
    fn each_client_takes_the_token_in_its_own_way() {
        let header = |client| entry(client, &http(true))["headers"]["Authorization"].clone();
        assert_eq!(header(ClientApp::ClaudeCode), "Bearer ${TOOLHOST_TOKEN}");
        assert_eq!(header(ClientApp::Cursor), "Bearer ${env:TOOLHOST_TOKEN}");
        assert_eq!(header(ClientApp::Vscode), "Bearer ${input:toolhost-token}");
        assert_eq!(header(ClientApp::Inspector), "Bearer <TOOLHOST_TOKEN>");
        let inputs = &read(ClientApp::Vscode, &http(true))["inputs"];
        assert_eq!(inputs[0]["id"], "toolhost-token");
        assert_eq!(inputs[0]["password"], true);
        assert!(
            read(ClientApp::Vscode, &http(false))
                .get("inputs")
                .is_none()
        );
        let codex = entry(ClientApp::Codex, &http(true));
        assert_eq!(codex["bearer_token_env_var"], "TOOLHOST_TOKEN");
        let desktop = entry(ClientApp::ClaudeDesktop, &http(true));
        assert_eq!(desktop["args"][4], "Authorization:${AUTH_HEADER}");
        assert_eq!(desktop["env"]["AUTH_HEADER"], "Bearer <TOOLHOST_TOKEN>");
    }

    #[test]
    fn the_transport_is_named_where_it_has_to_be() {
        for client in [
            ClientApp::ClaudeCode,
            ClientApp::Vscode,
            ClientApp::Inspector,
        ] {
            assert_eq!(entry(client, &stdio())["type"], "stdio", "{client:?}");
            assert_eq!(entry(client, &http(false))["type"], "http", "{client:?}");
        }
        assert_eq!(entry(ClientApp::Cursor, &stdio())["type"], "stdio");
    }

    #[test]
    fn a_snippet_is_indented() {
        let server = ServerAddress::Stdio {
            name: "notes".to_owned(),
            command: "/bin/toolhost".to_owned(),
            args: vec!["serve".to_owned()],
        };
        let expected = r#"{
  "mcpServers": {
    "notes": {
      "command": "/bin/toolhost",
      "args": [
        "serve"
      ]
    }
  }
}
"#;
        assert_eq!(config(ClientApp::ClaudeDesktop, &server), expected);
        let expected = "[mcp_servers.notes]\ncommand = \"/bin/toolhost\"\nargs = [\"serve\"]\n";
        assert_eq!(config(ClientApp::Codex, &server), expected);
    }

    #[test]
    fn the_name_is_the_folders_made_safe() {
        assert_eq!(safe_name("notes"), "notes");
        assert_eq!(safe_name("My  Notes (2.0)"), "My-Notes-2-0");
        assert_eq!(safe_name("my_notes-2"), "my_notes-2");
        assert_eq!(safe_name("ñ.\"]"), "toolhost");
        assert_eq!(safe_name(""), "toolhost");
        assert_eq!(safe_name("workspace"), "toolhost-workspace");
        assert_eq!(
            safe_name(&"ab ".repeat(20)),
            "ab-ab-ab-ab-ab-ab-ab-ab-ab-ab-ab"
        );
    }

    #[cfg(unix)]
    #[test]
    fn paths_become_absolute() {
        let server =
            ServerAddress::stdio(Path::new("bin/toolhost"), Path::new("toolhost.toml"), None)
                .unwrap();
        let here = std::env::current_dir().unwrap();
        let folder = here.file_name().unwrap().to_str().unwrap();
        let ServerAddress::Stdio {
            name,
            command,
            args,
        } = server
        else {
            panic!("{server:?}");
        };
        assert_eq!(name, safe_name(folder));
        assert_eq!(Path::new(&command), here.join("bin/toolhost"));
        assert_eq!(args[0], "--manifest");
        assert_eq!(Path::new(&args[1]), here.join("toolhost.toml"));
        assert_eq!(args[2], "serve");
        let at_root = ServerAddress::stdio(
            Path::new("/bin/toolhost"),
            Path::new("/toolhost.toml"),
            None,
        );
        assert!(matches!(at_root, Ok(ServerAddress::Stdio { name, .. }) if name == "toolhost"));
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_no_text_is_an_error() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(OsStr::from_bytes(b"/a\xff/toolhost.toml"));
        let error = ServerAddress::stdio(Path::new("/bin/toolhost"), path, None).unwrap_err();
        assert!(error.to_string().contains("is not UTF-8"), "{error}");
        // Over HTTP the path is not part of the snippet.
        assert!(ServerAddress::http(path, "http://127.0.0.1/mcp", false).is_ok());
    }

    #[test]
    fn where_it_belongs_says_what_to_do_with_the_token() {
        for client in ALL {
            let without = place(client, &http(false));
            let with = place(client, &http(true));
            let is_place = ["add this to ", "save this to "]
                .iter()
                .any(|it| without.starts_with(it));
            assert!(is_place, "{without}");
            assert!(
                with.starts_with(&without) && with.contains("token"),
                "{with}"
            );
        }
    }
}
