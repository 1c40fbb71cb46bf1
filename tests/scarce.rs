//! Processes that may have few threads, few descriptors, little address space: they do their work or say why not, in
//! time, and a server that runs out goes on once there is enough again.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::common::binary::{Folder, listed};
use crate::common::guest;

/// Longer than anything here takes, a debugger's compiler on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(120);

const CALL: [&str; 3] = ["call", "echo", r#"{"text": "hi"}"#];

/// A command held to a limit, as `prlimit` names it.
fn limited(limit: &str, of: &Command) -> Command {
    let mut command = Command::new("prlimit");
    command
        .arg(format!("--{limit}"))
        .arg(of.get_program())
        .args(of.get_args());
    for (name, value) in of.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(folder) = of.get_current_dir() {
        command.current_dir(folder);
    }
    command
}

struct Said {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

/// How a command ends, which it must.
fn ends(mut command: Command, what: &str) -> Said {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            let output = child.wait_with_output().unwrap();
            panic!("{what} hangs: {output:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Said {
        status: output.status,
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// Whether it answered; if it did not, it must have said why.
#[track_caller]
fn answered(said: &Said, what: &str) -> bool {
    let Said {
        status,
        stdout,
        stderr,
    } = said;
    match status.code() {
        Some(0) => {
            assert_eq!(stdout, "hi\n", "{what}: {stderr}");
            true
        }
        Some(1) => {
            assert!(stderr.contains("error: "), "{what}: {stderr}");
            false
        }
        // The plugin is known, but its code cannot be loaded or run.
        Some(5) => {
            assert!(stdout.starts_with("Error: "), "{what}: {stdout}");
            false
        }
        // An allocation that fails ends a process, and says so.
        None if status.signal() == Some(6) && stderr.contains("memory allocation of ") => false,
        _ => panic!("{what}: {status}, signal {:?}: {stderr}", status.signal()),
    }
}

/// Somebody who runs nothing else, and may read what is copied for it.
struct Nobody {
    folder: Folder,
    id: u32,
}

impl Nobody {
    fn new() -> Nobody {
        assert!(
            rustix::process::geteuid().is_root(),
            "only root can be somebody else"
        );
        let folder = Folder::empty();
        let id = 60_000 + std::process::id() % 5_000;
        let copy = |from: PathBuf, to: &str| std::fs::copy(from, folder.path().join(to)).unwrap();
        copy(env!("CARGO_BIN_EXE_toolhost").into(), "toolhost");
        copy(guest("echo"), "echo.wasm");
        folder.write("toolhost.toml", "[plugin.echo]\npath = 'echo.wasm'\n");
        for path in [
            folder.path().to_owned(),
            folder.path().join("toolhost.toml"),
        ] {
            std::os::unix::fs::chown(path, Some(id), Some(id)).unwrap();
        }
        Nobody { folder, id }
    }

    fn command(&self, threads: Option<u32>, arguments: &[&str]) -> Command {
        let (toolhost, id) = (self.folder.path().join("toolhost"), self.id.to_string());
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
        if let Some(threads) = threads {
            command.arg("prlimit").arg(format!("--nproc={threads}"));
        }
        command.arg(toolhost).args(arguments);
        command
            .current_dir(self.folder.path())
            .env("TOOLHOST_CODE_CACHE", self.folder.path().join("cache"))
            .env("TOOLHOST_MANIFEST", "toolhost.toml")
            .env("XDG_CONFIG_HOME", self.folder.path().join("config"));
        command
    }
}

#[test]
fn with_few_threads_a_call_is_answered_or_it_is_said_why_not() {
    let nobody = Nobody::new();
    // As it is found: compiled, or not yet.
    for is_compiled in [false, true] {
        let mut counts = [0; 2];
        for threads in 1..=24 {
            if !is_compiled {
                let _ = std::fs::remove_dir_all(nobody.folder.path().join("cache"));
            }
            let what = format!("{threads} threads, compiled: {is_compiled}");
            let said = ends(nobody.command(Some(threads), &CALL), &what);
            counts[usize::from(answered(&said, &what))] += 1;
        }
        assert!(counts[0] > 0 && counts[1] > 0, "{counts:?}");
    }
}

#[test]
fn with_few_descriptors_a_call_is_answered_or_it_is_said_why_not() {
    let folder = Folder::of(&["echo"]);
    let mut counts = [0; 2];
    for descriptors in 3..=40 {
        let what = format!("{descriptors} descriptors");
        let said = ends(
            limited(&format!("nofile={descriptors}"), &folder.command(&CALL)),
            &what,
        );
        // The loader cannot open a library, which it says itself.
        if said.status.code() == Some(127) {
            continue;
        }
        counts[usize::from(answered(&said, &what))] += 1;
    }
    assert!(counts[0] > 0 && counts[1] > 0, "{counts:?}");
}

#[test]
fn little_address_space_gives_an_answer_or_a_reason() {
    let folder = Folder::of(&["echo"]);
    let mut counts = [0; 2];
    for mebibytes in [
        256,
        512,
        1 << 10,
        2 << 10,
        4 << 10,
        6 << 10,
        8 << 10,
        16 << 10,
        64 << 10,
    ] {
        let what = format!("{mebibytes} MiB");
        let limit = format!("as={}", u64::from(mebibytes as u32) << 20);
        let said = ends(limited(&limit, &folder.command(&CALL)), &what);
        counts[usize::from(answered(&said, &what))] += 1;
    }
    assert!(counts[1] > 0, "{counts:?}");
}

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(mut command: Command) -> Server {
        use std::io::{BufRead, BufReader};
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, url) = line.split_once("listening on http://")?;
            Some(url.trim().trim_end_matches("/mcp").to_owned())
        });
        // It is not to wait for whoever reads what it says.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Server {
            child,
            address: address.expect("it listens"),
        }
    }

    /// The status of a probe; none where there is no answer within a moment.
    fn probe(&self) -> Option<u16> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).ok()?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).ok()?;
        std::str::from_utf8(&head[9..]).ok()?.parse().ok()
    }

    /// The processor time that it has taken.
    fn computed(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(10 * ticks)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn server_out_of_descriptors_waits_without_spinning() {
    let folder = Folder::with(listed("echo") + "[serve]\nmax-connections = 10000\n");
    let command = folder.command(&["serve", "--http", "127.0.0.1:0"]);
    let server = Server::start(limited("nofile=40", &command));
    assert_eq!(server.probe(), Some(200));
    let open: Vec<TcpStream> = (0..200)
        .map_while(|_| TcpStream::connect(&server.address).ok())
        .collect();
    assert!(open.len() > 100, "{}", open.len());
    let (start, before) = (Instant::now(), server.computed());
    while start.elapsed() < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let (took, computed) = (start.elapsed(), server.computed() - before);
    assert!(computed < took / 2, "{computed:?} of {took:?}");
    drop(open);
    let start = Instant::now();
    while server.probe() != Some(200) {
        assert!(start.elapsed() < PATIENCE, "it serves nobody any more");
    }
}
