//! What attacks find around them: servers of the loopback, folders of files, components.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use toolhost_testing::http::{Request, Server, Stream, hang, page, tls};

use super::attack::Generation;
use super::components;
use crate::common;

/// The secret that plugins are granted.
pub const SECRET: &str = "s3cr3t/Token+Value=42";

pub struct Stage {
    pub generation: Generation,
    folder: TempDir,
    /// It answers in all ways; see `answer`.
    pub web: Server,
    /// Another origin.
    pub other: Server,
    /// It speaks TLS, with a certificate that it signed itself.
    pub tls: Server,
    /// What it is sent is a line, and it answers with one.
    pub line: Server,
}

impl Stage {
    pub fn new(generation: Generation) -> Stage {
        let stage = Stage {
            generation,
            folder: tempfile::tempdir().unwrap(),
            other: Server::start(|_, client| page(client, "200", "", "other")),
            tls: Server::behind(tls::wrap(self_signed()), |_, client| {
                page(client, "200", "", "tls")
            }),
            line: Server::lines(),
            web: Server::start(answer),
        };
        stage.make_files();
        for (name, component) in components::all() {
            std::fs::write(stage.path(name), component).unwrap();
        }
        std::fs::copy(common::guest("script"), stage.path("script")).unwrap();
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn make_files(&self) {
        let outside = self.path("outside");
        std::fs::create_dir_all(outside.join("folder")).unwrap();
        std::fs::write(outside.join("note.txt"), "what is outside").unwrap();
        std::fs::write(outside.join("folder/deep.txt"), "deep outside").unwrap();
        std::fs::write(self.path("secret"), SECRET).unwrap();
        self.make_granted("reading");
        let pipe = self.path("reading/pipe");
        let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        self.make_granted("writing");
    }

    /// A folder to grant, with links out of it.
    fn make_granted(&self, name: &str) {
        let folder = self.path(name);
        std::fs::create_dir_all(folder.join("folder")).unwrap();
        std::fs::write(folder.join("a.txt"), "a inside").unwrap();
        std::fs::write(folder.join("b.txt"), "b inside").unwrap();
        std::fs::write(folder.join("folder/c.txt"), "c inside").unwrap();
        symlink(self.path("outside/note.txt"), folder.join("out-absolute")).unwrap();
        symlink("../outside/note.txt", folder.join("out-up")).unwrap();
        symlink("../outside", folder.join("out-folder")).unwrap();
    }

    /// Makes what is in the folder that may be written to anew; the folder stays.
    pub fn reset(&self) {
        for entry in std::fs::read_dir(self.path("writing")).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => std::fs::remove_dir_all(entry.path()).unwrap(),
                false => std::fs::remove_file(entry.path()).unwrap(),
            }
        }
        self.make_granted("writing");
    }

    /// All files that no attack may change, with contents, modes and times.
    pub fn untouchable(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        for folder in ["outside", "reading"] {
            list(&self.path(folder), &mut entries);
        }
        entries
    }

    pub fn servers(&self) -> [(&'static str, &Server); 4] {
        [
            ("web", &self.web),
            ("other", &self.other),
            ("tls", &self.tls),
            ("line", &self.line),
        ]
    }

    /// Puts what is there in the place of `<web>` (host and port), `<web-port>`, `<reading>`
    /// (a folder), and so on for servers, folders, components and files. `<10-mb>` is a long text.
    pub fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, server) in self.servers() {
            let port = server.address.port().to_string();
            text = text.replace(&format!("<{name}-port>"), &port);
            text = text.replace(&format!("<{name}>"), &server.address.to_string());
        }
        text = text.replace("<10-mb>", &"x".repeat(10_000_000));
        while let Some((before, after)) = text.split_once('<') {
            let Some((name, after)) = after.split_once('>') else {
                break;
            };
            let path = self.path(name);
            assert!(path.exists(), "no `<{name}>`");
            text = format!("{before}{}{after}", path.display());
        }
        text
    }

    /// The manifest of a plugin that attacks, and of a healthy one, whose tool is `calm_healthy`.
    pub fn manifest(&self, plugin: &str) -> toolhost::Manifest {
        let text = self.manifest_text(plugin);
        toolhost::Manifest::parse(&text, self.path("toolhost.toml"))
            .unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    pub fn manifest_text(&self, plugin: &str) -> String {
        let hostile = common::guest("hostile");
        let hostile = hostile.display();
        let attacker = match self.generation {
            Generation::Wasi2 => common::guest("hostile"),
            Generation::Wasi3 => common::guest("hostile3"),
        };
        let path = match plugin.contains("path = ") {
            true => String::new(),
            false => format!("path = '{}'\n", attacker.display()),
        };
        format!(
            "[host]\nmax-concurrency = 8\n\
             [plugin.healthy]\npath = '{hostile}'\nprefix = 'calm_'\ntools = ['healthy']\n\
             [plugin.hostile]\n{path}{}",
            self.fill(plugin)
        )
    }
}

/// What is at a path: its contents or where it leads, with its mode and owner, and when it was last changed.
pub type Entry = (PathBuf, Vec<u8>, SystemTime);

fn list(path: &Path, entries: &mut Vec<Entry>) {
    let metadata = std::fs::symlink_metadata(path).unwrap();
    let mut contents = Vec::new();
    if metadata.is_symlink() {
        let target = std::fs::read_link(path).unwrap();
        contents = target.into_os_string().into_encoded_bytes();
    } else if metadata.is_file() {
        contents = std::fs::read(path).unwrap();
    } else if metadata.is_dir() {
        let mut inside: Vec<_> = std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        inside.sort();
        inside.iter().for_each(|path| list(path, entries));
    }
    for number in [metadata.mode(), metadata.uid(), metadata.gid()] {
        contents.extend(number.to_le_bytes());
    }
    entries.push((path.to_owned(), contents, metadata.modified().unwrap()));
}

/// What a server of the web may answer.
fn answer(request: &Request, client: &mut dyn Stream) -> std::io::Result<()> {
    match request.path() {
        "/echo" => page(client, "200", "", request),
        "/to-other" => {
            let query = request.split(['?', ' ']).nth(2).unwrap_or_default();
            page(client, "302", &format!("location: http://{query}/\r\n"), "")
        }
        "/drip-head" => {
            client.write_all(b"HTTP/1.1 200 -\r\nx-slow: ")?;
            drip(client)
        }
        "/drip-body" => {
            client.write_all(b"HTTP/1.1 200 -\r\n\r\n")?;
            drip(client)
        }
        "/hang" => hang(client),
        "/hang-body" => {
            client.write_all(b"HTTP/1.1 200 -\r\ncontent-length: 9\r\n\r\n")?;
            hang(client)
        }
        "/large" => page(client, "200", "", &"x".repeat(2 << 20)),
        "/large-head" => {
            let headers = format!("x-large: {}\r\n", "x".repeat(1000)).repeat(100);
            page(client, "200", &headers, "hello")
        }
        "/endless-head" => {
            client.write_all(b"HTTP/1.1 200 -\r\nx-endless: ")?;
            loop {
                client.write_all(&[b'x'; 1000])?;
            }
        }
        "/trailers" => client.write_all(
            b"HTTP/1.1 200 -\r\ntransfer-encoding: chunked\r\ntrailer: location\r\n\r\n\
              5;ext=\"a;b\"\r\nhello\r\n0\r\n\
              location: http://evil.test/\r\ncontent-length: 1\r\ntransfer-encoding: x\r\n\r\n\
              HTTP/1.1 200 -\r\ncontent-length: 6\r\n\r\nhidden",
        ),
        "/endless-trailers" => {
            client.write_all(b"HTTP/1.1 200 -\r\ntransfer-encoding: chunked\r\n\r\n0\r\n")?;
            loop {
                client.write_all(&b"x-trailer: y\r\n".repeat(100))?;
            }
        }
        "/endless-trailer" => {
            client.write_all(b"HTTP/1.1 200 -\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ")?;
            loop {
                client.write_all(&[b'y'; 1000])?;
            }
        }
        "/endless-extension" => {
            client.write_all(b"HTTP/1.1 200 -\r\ntransfer-encoding: chunked\r\n\r\n5;")?;
            loop {
                client.write_all(&[b'y'; 1000])?;
            }
        }
        "/two-lengths" => client.write_all(
            b"HTTP/1.1 200 -\r\ncontent-length: 5\r\ncontent-length: 50\r\n\r\nhello",
        ),
        "/length-and-chunks" => client.write_all(
            b"HTTP/1.1 200 -\r\ncontent-length: 50\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        "/upgrade" => client.write_all(
            b"HTTP/1.1 101 -\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello",
        ),
        "/hints" => loop {
            client.write_all(&b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(100))?;
        },
        "/garbage" => client.write_all(b"\x00\x01 this is no HTTP\r\n\r\n"),
        _ => page(client, "200", "", "hello"),
    }
}

/// One byte in 50 ms, until the client has had enough.
fn drip(client: &mut dyn Stream) -> std::io::Result<()> {
    loop {
        client.write_all(b"x")?;
        client.flush()?;
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn self_signed() -> Arc<ServerConfig> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    tls_config(vec![cert.der().clone()], key.into())
}

pub fn tls_config(
    chain: Vec<rustls::pki_types::CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key);
    Arc::new(config.unwrap())
}
