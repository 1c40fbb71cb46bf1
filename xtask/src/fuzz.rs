//! `cargo xtask fuzz`: the checks of `tests/fuzz`, on inputs that libFuzzer finds by coverage.

use crate::{Usage, cargo, guests, root, run, ui};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const HELP: &str = "\
Fuzz what reads untrusted input, guided by coverage (libFuzzer), two targets at a time. Needs a C++ compiler.

Usage: cargo xtask fuzz [OPTIONS] [TARGET]...

Targets (all by default):
  arguments     Arguments of tools against their schemas
  decode        Responses of models, in every format
  events        Event streams of models
  http_front    Bytes on a connection of the HTTP server
  http_rule     HTTP rules, and requests against them
  manifest      Manifests
  mcp_messages  Messages to the MCP server over stdio

Options:
  --seconds N   Fuzz each target for so long [default: 1200]
  --keep        Put what was found into fuzz/corpus, reduced to what adds coverage

A failing input is written to target/fuzz. Copy it into tests/corpus/TARGET, under a name that says what it is, to have
`cargo test --test fuzz` try it first. The log of each target is target/fuzz/TARGET.log.";

const TARGETS: [&str; 7] = [
    "arguments",
    "decode",
    "events",
    "http_front",
    "http_rule",
    "manifest",
    "mcp_messages",
];

/// Targets that are fuzzed side by side.
const AT_ONCE: usize = 2;

/// The longest input, in bytes: what takes more to fail is rare, and found more slowly.
const MAX_LEN: usize = 4096;

/// What the repository keeps for each target, in bytes.
const MAX_CORPUS: u64 = 96 << 10;

const BETWEEN_REPORTS: Duration = Duration::from_secs(60);

struct Options {
    targets: Vec<&'static str>,
    seconds: u64,
    keeps: bool,
}

/// Runs the command with its arguments.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    let Some(options) = options(arguments)? else {
        println!("{HELP}");
        return Ok(());
    };
    guests::build(guests::way()?, guests::Scope::All)?;
    let fuzzer = Fuzzer::build()?;
    let mut failed = Vec::new();
    let mut waiting = options.targets.iter().rev().copied().collect::<Vec<_>>();
    let mut running: Vec<Running> = Vec::new();
    ui::say(format_args!(
        "fuzzing {} for {} s each",
        options.targets.join(", "),
        options.seconds
    ));
    let mut reported = Instant::now();
    while !(waiting.is_empty() && running.is_empty()) {
        while running.len() < AT_ONCE
            && let Some(target) = waiting.pop()
        {
            running.push(fuzzer.start(target, options.seconds)?);
        }
        std::thread::sleep(Duration::from_millis(200));
        let mut still = Vec::new();
        for mut target in running {
            match target
                .child
                .try_wait()
                .context("cannot wait for the fuzzer")?
            {
                None => still.push(target),
                Some(status) => {
                    target.report();
                    if !status.success() {
                        target.explain();
                        failed.push(target.name);
                    }
                }
            }
        }
        running = still;
        if reported.elapsed() >= BETWEEN_REPORTS {
            running.iter().for_each(Running::report);
            reported = Instant::now();
        }
    }
    if options.keeps {
        for target in &options.targets {
            fuzzer.keep(target)?;
        }
    }
    if !failed.is_empty() {
        bail!("{} failed: see above", failed.join(", "));
    }
    Ok(())
}

/// None where help was asked for.
fn options(arguments: &[String]) -> Result<Option<Options>> {
    let mut options = Options {
        targets: Vec::new(),
        seconds: 1200,
        keeps: false,
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" | "-h" => return Ok(None),
            "--keep" => options.keeps = true,
            "--seconds" => {
                let seconds = arguments.next().and_then(|it| it.parse().ok());
                let seconds = seconds.filter(|seconds| *seconds > 0);
                options.seconds = seconds
                    .ok_or_else(|| Usage("--seconds takes a whole number from 1".to_owned()))?;
            }
            name => match TARGETS.iter().find(|target| **target == name) {
                Some(target) => options.targets.push(target),
                None => {
                    return Err(Usage(format!("unknown argument `{name}`\n\n{HELP}")).into());
                }
            },
        }
    }
    if options.targets.is_empty() {
        options.targets.extend(TARGETS);
    }
    Ok(Some(options))
}

struct Fuzzer {
    root: PathBuf,
    program: PathBuf,
    /// Failing inputs, logs, and what was found so far.
    folder: PathBuf,
}

struct Running {
    name: &'static str,
    child: Child,
    log: PathBuf,
    start: Instant,
}

impl Fuzzer {
    /// Builds it, with counters in the crates of this workspace.
    fn build() -> Result<Fuzzer> {
        let root = root()?;
        ui::say("building the fuzzer");
        let mut build = cargo();
        build.args(["build", "--quiet", "--package", "toolhost-fuzz"]);
        build.env("RUSTC_WORKSPACE_WRAPPER", root.join("fuzz/rustc"));
        build.env("CARGO_TARGET_DIR", root.join("target"));
        run(build.current_dir(&root)).context("is a C++ compiler installed (Debian: g++)?")?;
        Ok(Fuzzer {
            program: root.join("target/debug/toolhost-fuzz"),
            folder: root.join("target/fuzz"),
            root,
        })
    }

    fn command(&self, target: &str, log: &Path) -> Result<Command> {
        let output =
            File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(&self.program);
        command
            .env("TOOLHOST_FUZZ_TARGET", target)
            .env("TOOLHOST_FUZZ_DICTIONARY", self.dictionary(target))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .current_dir(&self.root)
            // Not into the folder above, whatever it does with what fails.
            .arg(format!(
                "-artifact_prefix={}/{target}-",
                self.folder.display()
            ));
        Ok(command)
    }

    /// The program writes it before it reads it.
    fn dictionary(&self, target: &str) -> PathBuf {
        self.folder.join(format!("{target}.dict"))
    }

    fn found(&self, target: &str) -> PathBuf {
        self.folder.join("corpus").join(target)
    }

    fn kept(&self, target: &str) -> PathBuf {
        self.root.join("fuzz/corpus").join(target)
    }

    /// Folders with inputs to begin with.
    fn seeds(&self, target: &str) -> Vec<PathBuf> {
        let written = self.root.join("tests/corpus");
        let mut seeds = vec![
            self.kept(target),
            written.join(target),
            written.join(format!("{target}_valid")),
        ];
        if target == "manifest" {
            seeds.push(self.root.join("tests/manifests"));
        }
        seeds.retain(|folder| folder.is_dir());
        seeds
    }

    fn start(&self, name: &'static str, seconds: u64) -> Result<Running> {
        let found = self.found(name);
        create(&found)?;
        let log = self.folder.join(format!("{name}.log"));
        let mut command = self.command(name, &log)?;
        command
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={MAX_LEN}"))
            .arg(format!("-dict={}", self.dictionary(name).display()))
            // Seconds for one input, and MiB.
            .args(["-timeout=30", "-rss_limit_mb=3072", "-print_final_stats=1"])
            .arg(found)
            .args(self.seeds(name));
        let child = command.spawn().context("cannot run the fuzzer")?;
        Ok(Running {
            name,
            child,
            log,
            start: Instant::now(),
        })
    }

    /// Puts what adds coverage, of all inputs that there are, into the repository.
    fn keep(&self, target: &str) -> Result<()> {
        let (kept, merged) = (self.kept(target), self.folder.join("merged").join(target));
        if merged.is_dir() {
            fs::remove_dir_all(&merged)?;
        }
        create(&merged)?;
        let log = self.folder.join(format!("{target}.merge.log"));
        let mut merge = self.command(target, &log)?;
        merge.args(["-set_cover_merge=1", "-timeout=30", "-rss_limit_mb=3072"]);
        merge.arg(format!("-max_len={MAX_LEN}"));
        merge.arg(&merged).arg(self.found(target));
        merge.args(self.seeds(target));
        run(&mut merge).with_context(|| format!("{} says why", log.display()))?;

        let mut inputs = Vec::new();
        for entry in fs::read_dir(&merged)? {
            let entry = entry?;
            inputs.push((entry.metadata()?.len(), entry.path()));
        }
        // Many short ones say more than a few long ones.
        inputs.sort();
        let (all, mut bytes) = (inputs.len(), 0);
        inputs.retain(|(length, _)| {
            bytes += length;
            bytes <= MAX_CORPUS
        });
        if kept.is_dir() {
            fs::remove_dir_all(&kept)?;
        }
        create(&kept)?;
        for (_, path) in &inputs {
            let name = path.file_name().context("a file has a name")?;
            fs::copy(path, kept.join(name))?;
        }
        ui::say(format_args!(
            "{target}: kept {} of {all} inputs in {}",
            inputs.len(),
            kept.display()
        ));
        Ok(())
    }
}

impl Running {
    /// Says how far it is, by the last line that tells.
    fn report(&self) {
        let log = String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned();
        let line = log.lines().rfind(|line| line.contains(" exec/s: "));
        let line = line.map(str::trim).unwrap_or("no inputs yet");
        let seconds = self.start.elapsed().as_secs();
        ui::say(format_args!("{} after {seconds} s: {line}", self.name));
    }

    /// Shows what it said of a failing input.
    fn explain(&self) {
        let log = String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = log.lines().filter(|line| !line.starts_with('#')).collect();
        let last = lines.len().saturating_sub(60);
        for line in &lines[last..] {
            eprintln!("{}: {line}", self.name);
        }
        eprintln!("{}: all of it is in {}", self.name, self.log.display());
    }
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}
